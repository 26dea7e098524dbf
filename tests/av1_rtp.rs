//! Clear AV1 of other clients: what their packets say comes out as temporal units that decoders take.

#[path = "support/av1.rs"]
mod clear;
mod container_support;
#[path = "support/pcap.rs"]
mod pcap;

use std::collections::HashSet;
use std::process::Command;

use clear::{Clear, noise};
use conclave::codecs::container::obu::{DELIMITER, TEMPORAL_DELIMITER, obus};
use conclave::codecs::container::{VideoWriter, WriterConfig};
use conclave::codecs::{Color, Picture, Size, VideoDecoder, dav1d};
use conclave::rtp::av1::{Config, Depacketizer, Fault, Stats};
use conclave::time::Time;
use container_support::{Folder, media};

/// A sender of its own choices.
fn sender(seed: u64, mtu: usize) -> Clear {
    let mut random = fastrand::Rng::with_seed(seed);
    Clear { ssrc: 7, sequence: random.u16(..), mtu, marks: true, random }
}

fn joiner() -> Depacketizer {
    Depacketizer::new(Config { ssrc: 7, ..Config::default() })
}

/// Everything that is ready at `now`: units, and how many faults.
fn drain(joiner: &mut Depacketizer, now: Time, out: &mut Vec<Vec<u8>>) -> usize {
    let mut faults = 0;
    while let Some(unit) = joiner.next(now) {
        match unit {
            Ok(unit) => out.push(unit.bytes.to_vec()),
            Err(_) => faults += 1,
        }
    }
    faults
}

/// Every packet is in exactly one counter.
fn adds_up(joiner: &Depacketizer) -> bool {
    let Stats { packets, refused, late, overflowed, strayed, skipped, joined, .. } = *joiner.stats();
    packets == refused + late + overflowed + strayed + skipped + joined + joiner.waiting() as u64
}

#[test]
fn units_of_any_shape_come_back_as_they_were_sent() {
    let mut random = fastrand::Rng::with_seed(1);
    for seed in 0..300 {
        let mut sender = sender(seed, random.usize(20..1_500));
        // Without markers the last unit waits for the next one.
        sender.marks = seed % 3 > 0;
        let sent: Vec<_> = (0..20).map(|i| noise(&mut random, i % 7 == 0, 1 + i % 9, 4_000)).collect();
        let (mut joiner, mut out) = (joiner(), Vec::new());
        for (i, unit) in sent.iter().enumerate() {
            for packet in sender.packetize(unit, 3_000 * i as u32) {
                assert!(packet.len() <= sender.mtu);
                joiner.push(&packet).unwrap();
                assert_eq!(drain(&mut joiner, Time(0), &mut out), 0, "seed {seed}");
            }
        }
        assert_eq!(out.len(), if sender.marks { 20 } else { 19 }, "seed {seed}");
        assert!(out.iter().eq(&sent[..out.len()]) && adds_up(&joiner), "seed {seed}");
    }
}

#[test]
fn packets_out_of_order_and_twice_change_nothing() {
    let mut random = fastrand::Rng::with_seed(2);
    let mut sender = sender(2, 300);
    let sent: Vec<_> = (0..200).map(|i| noise(&mut random, i == 0, 3, 2_000)).collect();
    let mut packets: Vec<_> = sent.iter().zip(0..).flat_map(|(unit, i)| sender.packetize(unit, i)).collect();
    // The first stays: it says where the stream begins.
    for at in 1..packets.len() - 20 {
        packets.swap(at, at + random.usize(..20));
    }
    let (mut joiner, mut out) = (joiner(), Vec::new());
    for packet in &packets {
        for _ in 0..random.usize(1..3) {
            joiner.push(packet).unwrap();
            assert_eq!(drain(&mut joiner, Time(0), &mut out), 0);
        }
    }
    assert!(out == sent && joiner.stats().late > 0 && adds_up(&joiner));
}

#[test]
fn after_a_loss_no_unit_comes_out_cut() {
    for seed in 0..50 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut sender = sender(seed, 400);
        sender.marks = seed % 2 == 0;
        let sent: Vec<_> = (0..200).map(|i| noise(&mut random, i % 50 == 0, 3, 3_000)).collect();
        let (mut joiner, mut out, mut faults, mut lost) = (joiner(), Vec::new(), 0, 0);
        for (unit, i) in sent.iter().zip(0u32..) {
            let now = Time(u64::from(i) * 33_000);
            for packet in sender.packetize(unit, i) {
                if random.u8(..100) < 3 {
                    lost += 1;
                    continue;
                }
                joiner.push(&packet).unwrap();
                faults += drain(&mut joiner, now, &mut out);
            }
        }
        let mut rest = sent.iter();
        assert!(
            out.iter().all(|unit| rest.any(|s| s == unit)),
            "seed {seed}: a unit that was not sent, or out of order"
        );
        assert!(faults > 0 && faults <= lost, "seed {seed}: {faults} faults for {lost} packets");
        // A loss costs the unit it lies in and at most the next one, but for losses that follow each other.
        assert!(out.len() + 2 * lost + 1 >= sent.len() && !out.is_empty(), "seed {seed}: {} of 200", out.len());
        assert!(adds_up(&joiner), "seed {seed}: {:?}", joiner.stats());
    }
}

#[test]
fn a_hundred_thousand_random_and_mutated_packets_are_counted_and_survived() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut sender = sender(3, 500);
    let (mut joiner, mut out, mut faults, mut refused) = (joiner(), Vec::new(), HashSet::new(), 0u64);
    let mut packets = Vec::new();
    for i in 0..100_000u32 {
        if packets.is_empty() {
            packets = sender.packetize(&noise(&mut random, i % 5 == 0, 3, 2_000), i);
            packets.reverse();
        }
        let mut packet = packets.pop().unwrap();
        match random.u8(..8) {
            0 => {
                let at = random.usize(..packet.len());
                packet[at] ^= 1 << random.u8(..8);
            }
            1 => packet.truncate(random.usize(..packet.len())),
            2 => {
                // Noise behind a header that is believed.
                packet.resize(12 + random.usize(..1_000), 0);
                random.fill(&mut packet[12..]);
            }
            _ => {}
        }
        refused += u64::from(joiner.push(&packet).is_err());
        out.clear();
        while let Some(unit) = joiner.next(Time(u64::from(i) * 1_000)) {
            match unit {
                Ok(unit) => out.push(unit.bytes.to_vec()),
                Err(fault) => _ = faults.insert(std::mem::discriminant(&fault)),
            }
        }
        for unit in &out {
            let found: Vec<_> = obus(unit).collect();
            assert_eq!(found.iter().map(|obu| obu.bytes.len()).sum::<usize>(), unit.len(), "every byte is in an OBU");
            assert!(unit.starts_with(&DELIMITER) && found.len() > 1);
            assert!(found[1..].iter().all(|obu| obu.kind != TEMPORAL_DELIMITER && obu.bytes[0] & 2 != 0));
        }
    }
    let seen = *joiner.stats();
    assert!(adds_up(&joiner), "{seen:?}");
    assert_eq!((seen.packets, seen.refused), (100_000, refused));
    assert!(seen.units > 1_000 && seen.gaps > 100 && seen.broken > 100, "{seen:?}");
    let met = [Fault::Lost, Fault::Fragments, Fault::Obu("")].map(|fault| std::mem::discriminant(&fault));
    assert!(met.iter().all(|fault| faults.contains(fault)));
}

#[test]
fn a_capture_of_another_client_decodes_and_its_judges_agree() {
    let Some(path) = media("rtp/av1.pcap") else { return };
    let datagrams = pcap::read(&std::fs::read(&path).unwrap()).unwrap();
    let (mut joiner, mut units) = (Depacketizer::new(Config { ssrc: 0xd465_ac89, ..Config::default() }), Vec::new());
    for datagram in &datagrams {
        joiner.push(&datagram.payload).unwrap();
        assert_eq!(drain(&mut joiner, Time(datagram.at), &mut units), 0);
    }
    // The capture ends inside its 45th unit.
    assert_eq!((datagrams.len(), units.len(), joiner.stats().joined), (201, 44, 201));

    let mut decoder = dav1d::Decoder::open(dav1d::Config::default()).unwrap();
    let (mut picture, mut shown, mut size) = (Picture::new(Size::new(1, 1), Color::default()), Vec::new(), None);
    for (unit, frame) in units.iter().zip(0..) {
        decoder.submit(unit, frame).unwrap();
        assert_eq!(decoder.poll(&mut picture).unwrap(), Some(frame));
        shown.extend_from_slice(picture.data());
        assert_eq!(*size.get_or_insert(picture.size()), picture.size());
        assert_eq!(decoder.poll(&mut picture).unwrap(), None);
    }

    // Another reader of the packets counts as many units, and another decoder of the units sees the same pictures.
    let fields = ["-d", "udp.port==1000,rtp", "-Y", "rtp.marker == 1", "-T", "fields", "-e", "rtp.timestamp"];
    match Command::new("tshark").args(fields).arg("-r").arg(&path).output() {
        Err(_) => println!("skipped: tshark is not installed"),
        Ok(output) => {
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(text.lines().collect::<HashSet<_>>().len(), units.len());
        }
    }
    let folder = Folder::new();
    let ivf = folder.path("units.ivf");
    let mut writer = VideoWriter::create(&ivf, &WriterConfig::new(size.unwrap(), (30, 1))).unwrap();
    units.iter().zip(0..).for_each(|(unit, i)| writer.write(unit, i * 33_333, i == 0).unwrap());
    writer.finish().unwrap();
    match Command::new("aomdec").args(["--rawvideo", "-o", "-"]).arg(&ivf).output() {
        Err(_) => println!("skipped: aomdec is not installed"),
        Ok(output) => assert!(output.status.success() && output.stdout == shown),
    }
}
