//! The assembler of sealed frames: whatever comes in whatever order, every packet is counted once and nothing grows.

#![no_main]

use conclave::codecs::Size;
use conclave::frame::{Kind, Packets};
use conclave::rtp::depacketize::Assembler;
use conclave::rtp::descriptor::{Outgoing, single_layer_structure};
use conclave::rtp::extensions::write_one;
use conclave::rtp::header::Rtp;
use conclave::rtp::{DESCRIPTOR_ID, END, START};
use conclave::time::{Stopwatch, Time};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, mut rest)) = data.split_first() else { return };
    let kind = [Kind::Camera, Kind::Microphone, Kind::Data][usize::from(kind % 3)];
    let mut assembler = Assembler::new(7, kind, Stopwatch::still());
    let first = u64::from(kind.is_video());
    let (mut frames, mut packets) = (first, first);
    if kind.is_video() {
        // The stream's structure comes first, so that what follows can refer to it.
        assert!(assembler.push(&key_frame(), Time(0)).1.is_some());
        assembler.adopt(&single_layer_structure(Size::new(64, 48)));
    }
    // Each packet: length, sequence number, RTP time, flags; then extension and payload as they come.
    while let Some(([len, sequence, time, flags], after)) = rest.split_first_chunk::<4>() {
        let (body, after) = after.split_at(after.len().min((*len).into()));
        rest = after;
        let mut packet = vec![0x80 | flags & 0x3f, 96, flags >> 6, *sequence, 0, 0, 0, *time, 0, 0, 0, 7];
        if flags & 0x1f == 0x11 {
            // One contributing source and the head of an extension, whose content comes.
            packet.extend([0, 0, 0, 0, 0xbe, 0xde, 0, 1, 0x42]);
        }
        packet.extend_from_slice(body);
        packets += 1;
        let (_, mut frame) = assembler.push(&packet, Time(packets));
        while let Some(whole) = frame {
            frames += 1;
            let Packets { first, last, .. } = whole.packets;
            assert!(first <= last && whole.payload.len() <= data.len());
            if flags & 0x20 != 0 {
                assembler.forget(first, last);
            }
            assembler.recycle(whole.payload);
            frame = assembler.released();
        }
    }
    let seen = assembler.stats();
    let dropped = seen.duplicates + seen.malformed + seen.too_old + seen.overflowed;
    assert_eq!((seen.packets, seen.frames), (packets, frames));
    assert_eq!(seen.packets, seen.joined + assembler.pending() as u64 + dropped);
});

/// A key frame in one packet of stream 7, number 0.
fn key_frame() -> Vec<u8> {
    let (mut element, mut body, mut packet) = ([0; 160], [0; 164], vec![0; 200]);
    let structure = single_layer_structure(Size::new(64, 48));
    let descriptor = Outgoing {
        start: true,
        end: true,
        template_id: 0,
        frame_number: 0,
        structure: structure.as_slice(),
        diffs: None,
    };
    let len = descriptor.write(&mut element).expect("fits");
    let (profile, len) = write_one(DESCRIPTOR_ID, &element[..len], &mut body).expect("fits");
    let rtp = Rtp {
        marker: true,
        payload_type: 96,
        sequence: 0,
        timestamp: 0,
        ssrc: 7,
        extension: Some((profile, &body[..len])),
        payload: &[],
    };
    let head = rtp.write_header(&mut packet).expect("fits");
    packet.truncate(head);
    packet.extend([START | END, 1, 2, 3]);
    packet
}
