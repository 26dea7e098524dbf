//! The assembler of sealed frames: whatever comes in whatever order, every packet is counted once and nothing grows.

#![no_main]

use conclave::frame::Kind;
use conclave::rtp::depacketize::Assembler;
use conclave::time::{Stopwatch, Time};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, mut rest)) = data.split_first() else { return };
    let kind = if kind & 1 == 0 { Kind::Camera } else { Kind::Microphone };
    let mut assembler = Assembler::new(7, kind, Stopwatch::still());
    let (mut frames, mut packets) = (0, 0);
    // Each packet: length, sequence number, RTP time, flags; then extension and payload as they come.
    while let Some(([len, sequence, time, flags], after)) = rest.split_first_chunk::<4>() {
        let (body, after) = after.split_at(after.len().min((*len).into()));
        rest = after;
        let mut packet = vec![0x80 | flags & 0x3f, 96, flags >> 6, *sequence, 0, 0, 0, *time, 0, 0, 0, 7];
        packet.extend_from_slice(body);
        packets += 1;
        let (_, mut frame) = assembler.push(&packet, Time(packets));
        while let Some(whole) = frame {
            frames += 1;
            assert!(whole.first <= whole.last && usize::from(whole.dependency_count) <= whole.dependencies.len());
            assert!(whole.arrived.payload.len() <= data.len());
            if flags & 0x20 != 0 {
                assembler.forget(whole.first, whole.last);
            }
            assembler.recycle(whole.arrived.payload);
            frame = assembler.released();
        }
    }
    let seen = assembler.stats();
    let dropped = seen.duplicates + seen.malformed + seen.too_old + seen.overflowed;
    assert_eq!((seen.packets, seen.frames), (packets, frames));
    assert_eq!(seen.packets, seen.joined + assembler.pending() as u64 + dropped);
});
