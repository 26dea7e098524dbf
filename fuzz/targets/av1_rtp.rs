//! Clear AV1 packets: a unit that comes out is well formed and every packet is counted once; what the tests' packetizer
//! cuts up comes out as it was, in whatever order it arrives.

#![no_main]

#[path = "../../tests/support/av1.rs"]
mod clear;

use clear::{Clear, leb128};
use conclave::codecs::container::obu::{DELIMITER, TEMPORAL_DELIMITER, obus};
use conclave::rtp::av1::{Config, Depacketizer, Stats};
use conclave::time::Time;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| match data.split_first() {
    Some((way, rest)) if way & 1 == 0 => hostile(rest),
    Some((_, rest)) => round_trip(rest),
    None => {}
});

/// Payloads of any content behind headers of any order.
fn hostile(mut data: &[u8]) {
    let mut joiner = Depacketizer::new(Config { ssrc: 7, waiting: 16, wait_us: 20 });
    let (mut packets, mut sequence, mut time) = (0, 0u16, 0u32);
    // Each packet: length, step of the sequence number, step of the RTP time and marker; then the payload.
    while let Some(([len, step, flags], after)) = data.split_first_chunk::<3>() {
        let (payload, after) = after.split_at(after.len().min((*len).into()));
        data = after;
        // Mostly in order, now and then a leap.
        sequence = match step {
            0..=200 => sequence.wrapping_add(1),
            201..=250 => sequence.wrapping_add(u16::from(*step)).wrapping_sub(225),
            _ => sequence.wrapping_add(u16::from(*step) << 8),
        };
        time = time.wrapping_add(u32::from(flags & 3));
        let mut packet = vec![0x80, 45 | flags & 0x80];
        packet.extend(sequence.to_be_bytes());
        packet.extend(time.to_be_bytes());
        packet.extend([0, 0, 0, 7]);
        packet.extend_from_slice(payload);
        packets += 1;
        let _ = joiner.push(&packet);
        while let Some(unit) = joiner.next(Time(packets)) {
            let Ok(unit) = unit else { continue };
            let found: Vec<_> = obus(unit.bytes).collect();
            assert_eq!(found.iter().map(|obu| obu.bytes.len()).sum::<usize>(), unit.bytes.len());
            assert!(unit.bytes.starts_with(&DELIMITER) && found.len() > 1);
            assert!(found[1..].iter().all(|obu| obu.kind != TEMPORAL_DELIMITER && obu.kind != 8));
            assert!(found.iter().all(|obu| obu.bytes[0] & 0x82 == 2));
        }
    }
    let Stats { refused, late, overflowed, strayed, skipped, joined, .. } = *joiner.stats();
    assert!(joiner.waiting() <= 16 && joiner.stats().packets == packets);
    assert_eq!(packets, refused + late + overflowed + strayed + skipped + joined + joiner.waiting() as u64);
}

/// Units made of the input, cut up by choices that follow from it.
fn round_trip(data: &[u8]) {
    let seed = data.iter().fold(7u64, |seed, byte| seed.wrapping_mul(31).wrapping_add((*byte).into()));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut units: Vec<Vec<u8>> = Vec::new();
    let mut rest = data;
    while let Some(([head, len], after)) = rest.split_first_chunk::<2>() {
        let (payload, after) = after.split_at(after.len().min((*len).into()));
        rest = after;
        if units.is_empty() || head & 0x80 != 0 {
            units.push(DELIMITER.to_vec());
        }
        // The stream begins with a sequence header; delimiters and tile lists are not carried.
        let kind = match (units.len(), units[units.len() - 1].len(), head >> 3 & 15) {
            (1, 2, _) => 1,
            (_, _, 2 | 8) => 6,
            (_, _, kind) => kind,
        };
        let unit = units.last_mut().expect("was pushed");
        unit.push(kind << 3 | head & 4 | 2);
        if head & 4 != 0 {
            unit.push(head & 0xe0);
        }
        unit.extend(leb128(payload.len()));
        unit.extend_from_slice(payload);
    }
    let mut sender =
        Clear { ssrc: 7, sequence: seed as u16, mtu: random.usize(18..200), marks: true, random: random.clone() };
    let mut packets: Vec<_> = units.iter().zip(0..).flat_map(|(unit, time)| sender.packetize(unit, time)).collect();
    for at in 1..packets.len().saturating_sub(9) {
        packets.swap(at, at + random.usize(..9));
    }
    let (mut joiner, mut out) = (Depacketizer::new(Config { ssrc: 7, ..Config::default() }), Vec::new());
    for packet in &packets {
        joiner.push(packet).expect("is well formed");
        while let Some(unit) = joiner.next(Time(0)) {
            out.push(unit.expect("nothing is lost").bytes.to_vec());
        }
    }
    assert_eq!(out, units);
}
