//! Promise P8: whatever arrives costs nothing but a count.

mod support;

use conclave::netem;
use conclave::time::Time;
use support::{Witness, keys, meeting, receiver};

/// Datagrams of a real meeting, as material for mutation.
fn material() -> Vec<Vec<u8>> {
    let (ours, _) = keys();
    let config = conclave::send::Config { streams: support::streams(), ..Default::default() };
    let mut sender = conclave::send::Sender::new(config, Box::new(ours)).unwrap();
    let mut out = Vec::new();
    for i in 0..50u64 {
        let mut payload = conclave::frame::Buffer::with_capacity(4_000);
        payload.tail().extend((0..3_000u32).map(|b| (u64::from(b) * (i + 3)) as u8));
        let info = conclave::codecs::EncodedInfo { frame: i, keyframe: true, ..Default::default() };
        let structure = conclave::rtp::descriptor::single_layer_structure(conclave::codecs::Size::new(64, 64));
        let header = conclave::frame::Header {
            stream: support::VIDEO,
            kind: conclave::frame::Kind::Camera,
            spatial: 0,
            temporal: 0,
            template_id: 0,
            frame_number: i as u16,
        };
        let frame = conclave::frame::Encoded {
            payload,
            info,
            header,
            captured: Time(i * 33_000),
            structure,
            ledger: Default::default(),
        };
        sender.frame(frame, Time(i * 33_000), &mut |p| out.push(p.as_slice().to_vec())).unwrap();
        sender.tick(Time(i * 33_000), &mut |p| out.push(p.as_slice().to_vec()));
    }
    out
}

#[test]
fn a_hundred_thousand_random_and_mutated_packets_are_counted_and_survived() {
    let (_, theirs) = keys();
    let mut receiver = receiver(theirs);
    let mut random = fastrand::Rng::with_seed(77);
    let material = material();
    let (mut shown, mut replies) = (0, 0u64);
    for i in 0..100_000u64 {
        let now = Time(i * 500);
        let mut bytes = material[random.usize(..material.len())].clone();
        match random.u8(..4) {
            0 => {}
            1 => {
                let at = random.usize(..bytes.len());
                bytes[at] ^= 1 << random.u8(..8);
            }
            2 => bytes.truncate(random.usize(..bytes.len())),
            _ => {
                bytes.resize(random.usize(..1_500), 0);
                random.fill(&mut bytes);
            }
        }
        receiver.datagram(&bytes, now);
        while let Some((_, opened)) = receiver.video(now) {
            shown += 1;
            receiver.recycle(opened);
        }
        receiver.tick(now, &mut |_| replies += 1);
    }
    let seen = receiver.snapshot();
    let streams = seen.video_packets.packets + seen.audio_packets.packets;
    assert_eq!(seen.receiver.datagrams, 100_000);
    assert_eq!(100_000, seen.receiver.malformed + seen.receiver.foreign + seen.receiver.reports + streams);
    let o = &seen.open;
    assert_eq!(o.arrived, o.opened + o.malformed + o.missing_key + o.replayed + o.too_old + o.tampered + o.waiting);
    assert!(shown > 0 && o.tampered > 0 && seen.video_packets.malformed > 0, "{seen:?}");
    assert!(replies < 100_000, "{replies}");
}

#[test]
fn a_sender_survives_random_feedback() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut meeting = meeting(1, netem::Config::default());
    meeting.run(Time(500_000), &mut Witness::default()).unwrap();
    let (ours, _) = keys();
    let config = conclave::send::Config { streams: support::streams(), ..Default::default() };
    let mut sender = conclave::send::Sender::new(config, Box::new(ours)).unwrap();
    for i in 0..100_000u64 {
        let mut bytes = [0; 64];
        random.fill(&mut bytes);
        bytes[0] = bytes[0] & 0x3f | 0x80;
        bytes[1] = 200 + bytes[1] % 8;
        bytes[2] = 0;
        bytes[3] %= 16;
        sender.feedback(&bytes[..random.usize(..64)], Time(i * 1_000), &mut |_| {});
    }
    assert!(sender.stats().malformed > 0);
}
