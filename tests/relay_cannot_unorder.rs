//! A relay that rewrites dependency descriptors, withholds frames and sends others out of order can make a receiver
//! show less. It can never make it hand a decoder a frame whose references are missing.

mod support;

use conclave::codecs::{EncodedInfo, Size};
use conclave::frame::{Buffer, Encoded, Header, Kind, Structure};
use conclave::receive::Receiver;
use conclave::rtp::DESCRIPTOR_ID;
use conclave::rtp::descriptor::{Descriptor, Outgoing, single_layer_structure};
use conclave::rtp::extensions::{Elements, write_one};
use conclave::rtp::header::Rtp;
use conclave::send::{self, Sender};
use conclave::time::Time;

/// What the encoder of these tests says of frame `n`: key frames, runs, a long-term reference, frames left out, and
/// repairs that name an older frame.
fn needs(random: &mut fastrand::Rng, n: u64, key: u64, last: u64) -> Vec<u16> {
    match random.u8(..20) {
        _ if n == key => Vec::new(),
        0..3 => vec![(n - last) as u16, (n - key) as u16],
        _ => vec![(n - last) as u16],
    }
}

/// The packets of each of `count` frames; each frame is one packet, and its payload names it and what it needs.
fn frames(random: &mut fastrand::Rng, count: u64, keys: conclave::e2ee::StaticKeys) -> Vec<Vec<u8>> {
    let config = send::Config { streams: support::streams(), ..send::Config::default() };
    let mut sender = Sender::new(config, Box::new(keys)).expect("opens");
    let (mut out, mut key, mut last, mut n) = (Vec::new(), 0, 0, 0);
    for sent in 0..count {
        if sent % 60 == 0 {
            key = n;
        }
        let needs = needs(random, n, key, last);
        let mut info = EncodedInfo { frame: n, keyframe: n == key, ..EncodedInfo::default() };
        info.dependencies[..needs.len()].copy_from_slice(&needs);
        info.dependency_count = needs.len() as u8;
        let mut payload = Buffer::with_capacity(200);
        payload.tail().extend_from_slice(&n.to_be_bytes());
        needs.iter().for_each(|d| payload.tail().extend_from_slice(&(n - u64::from(*d)).to_be_bytes()));
        let structure = if info.keyframe { single_layer_structure(Size::new(64, 48)) } else { Structure::default() };
        let header = Header {
            stream: support::VIDEO,
            kind: Kind::Camera,
            spatial: 0,
            temporal: 0,
            template_id: 0,
            frame_number: 0,
        };
        let captured = Time(n * 33_000);
        let frame = Encoded { payload, info, header, captured, structure, ledger: Default::default() };
        let before = out.len();
        let sealed = sender.frame(frame, captured, &mut |p| out.push(p.as_slice().to_vec())).expect("goes out");
        assert_eq!(out.len(), before + 1);
        drop(sealed);
        last = n;
        // The encoder leaves a frame out now and then.
        n += if random.u8(..10) == 0 { 2 } else { 1 };
    }
    out
}

/// How a relay rewrites a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    None,
    /// Custom distances that say less, more or something else.
    Distances,
    /// Another template.
    Template,
    /// Another frame number.
    Number,
    /// A structure in which nothing needs anything, on frames that have none.
    Structure,
    /// No structure where there was one.
    Stripped,
    /// No descriptor at all.
    Bare,
}

/// The packet with its descriptor rewritten.
fn rewrite(random: &mut fastrand::Rng, datagram: &[u8], lie: Lie) -> Vec<u8> {
    let rtp = Rtp::parse(datagram).expect("is RTP");
    let (profile, body) = rtp.extension.expect("has one");
    let (_, element) = Elements::new(profile, body).find(|(id, _)| *id == DESCRIPTOR_ID).expect("has a descriptor");
    let known = conclave::rtp::descriptor::Templates::parse(single_layer_structure(Size::new(64, 48)).as_slice());
    let d = Descriptor::parse(element, known.as_ref()).expect("reads");
    let own = single_layer_structure(Size::new(64, 48));
    // One template that needs nothing, in layer 0, with id `template_id`.
    let mut lax = vec![d.template_id << 2, 0x0e, 0x80, 0, 0];
    lax.resize(12, 0);
    let custom: Vec<u16> = (0..random.usize(..4)).map(|_| random.u16(1..40)).collect();
    let structure: &[u8] = match lie {
        Lie::Structure => &lax,
        Lie::Stripped => &[],
        _ if d.structure.is_some() => own.as_slice(),
        _ => &[],
    };
    let outgoing = Outgoing {
        start: true,
        end: true,
        template_id: if lie == Lie::Template { random.u8(..18) } else { d.template_id },
        frame_number: if lie == Lie::Number { d.frame_number.wrapping_add(random.u16(1..9)) } else { d.frame_number },
        structure,
        diffs: (lie == Lie::Distances).then_some(&custom[..]),
    };
    let (mut element, mut extension, mut out) = ([0; 200], [0; 220], vec![0; 1500]);
    let Some(len) = outgoing.write(&mut element) else { return datagram.to_vec() };
    let (profile, len) = write_one(DESCRIPTOR_ID, &element[..len], &mut extension).expect("fits");
    let extension = (lie != Lie::Bare).then_some((profile, &extension[..len]));
    let head = Rtp { extension, ..rtp }.write_header(&mut out).expect("fits");
    out.truncate(head);
    out.extend_from_slice(rtp.payload);
    out
}

/// A decoder that holds what it was given, and refuses what it lacks the references of.
#[derive(Default)]
struct Judge {
    has: std::collections::BTreeSet<u64>,
    last: Option<u64>,
}

impl Judge {
    fn take(&mut self, payload: &[u8]) {
        let mut words = payload.chunks_exact(8).map(|w| u64::from_be_bytes(w.try_into().expect("eight")));
        let number = words.next().expect("names itself");
        assert!(self.last < Some(number), "{number} after {:?}", self.last);
        let needs: Vec<u64> = words.collect();
        if needs.is_empty() {
            self.has.clear();
        }
        assert!(needs.iter().all(|n| self.has.contains(n)), "{number} needs {needs:?}");
        self.has.insert(number);
        self.last = Some(number);
    }
}

fn drain(receiver: &mut Receiver, judge: &mut Judge, now: Time) {
    while let Some((_, opened)) = receiver.video(now) {
        judge.take(opened.payload.as_slice());
        receiver.recycle(opened);
    }
    receiver.tick(now, &mut |_| {});
}

#[test]
fn whatever_a_relay_rewrites_the_decoder_gets_whole_references_in_order() {
    let lies = [Lie::Distances, Lie::Template, Lie::Number, Lie::Structure, Lie::Stripped, Lie::Bare];
    let (mut shown, mut ignored, mut differed, mut tampered) = (0, 0, 0, 0);
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (ours, theirs) = support::keys();
        let packets = frames(&mut random, 600, ours);
        let (mut receiver, mut judge) = (support::receiver(theirs), Judge::default());
        let mut kept: Vec<Vec<u8>> = Vec::new();
        for (i, packet) in packets.iter().enumerate() {
            let now = Time::from_ms(i as u64 * 33);
            let lie = if random.u8(..10) < 3 { lies[random.usize(..lies.len())] } else { Lie::None };
            let packet = rewrite(&mut random, packet, lie);
            match random.u8(..20) {
                0 => {}
                1 | 2 => kept.push(packet),
                3 => {
                    receiver.datagram(&packet, now);
                    receiver.datagram(&packet, now);
                }
                _ => receiver.datagram(&packet, now),
            }
            if !kept.is_empty() && random.u8(..4) == 0 {
                let late = kept.swap_remove(random.usize(..kept.len()));
                receiver.datagram(&late, now);
            }
            drain(&mut receiver, &mut judge, now);
        }
        let seen = receiver.snapshot();
        let o = &seen.open;
        assert_eq!(o.arrived, o.opened + o.malformed + o.missing_key + o.replayed + o.too_old + o.tampered + o.waiting);
        assert_eq!(o.opened, seen.video.inserted + seen.receiver.unknown_template);
        shown += seen.video.handed_out;
        ignored += seen.video_packets.distances_ignored;
        differed += seen.video_packets.structures_differed;
        tampered += o.tampered;
    }
    assert!(shown > 1_000, "{shown}");
    assert!(ignored > 100 && differed > 0 && tampered > 1_000, "{ignored} {differed} {tampered}");
}

#[test]
fn distances_outside_neither_free_a_frame_nor_hold_one_up() {
    for custom in [&[] as &[u16], &[2], &[40]] {
        let mut random = fastrand::Rng::with_seed(3);
        let (ours, theirs) = support::keys();
        let packets = frames(&mut random, 4, ours);
        let mut receiver = support::receiver(theirs);
        let lie = |packet: &[u8]| {
            let rtp = Rtp::parse(packet).expect("is RTP");
            let (profile, body) = rtp.extension.expect("has one");
            let (_, element) = Elements::new(profile, body).next().expect("has one");
            let d = Descriptor::parse(element, None).expect("reads");
            let (start, end, template_id, frame_number) = (true, true, d.template_id, d.frame_number);
            let o = Outgoing { start, end, template_id, frame_number, structure: &[], diffs: Some(custom) };
            let (mut bytes, mut extension, mut out) = ([0; 32], [0; 64], vec![0; 1500]);
            let len = o.write(&mut bytes).expect("fits");
            let (profile, len) = write_one(DESCRIPTOR_ID, &bytes[..len], &mut extension).expect("fits");
            let head = Rtp { extension: Some((profile, &extension[..len])), ..rtp }.write_header(&mut out);
            out.truncate(head.expect("fits"));
            out.extend_from_slice(rtp.payload);
            out
        };
        let count = |receiver: &mut Receiver, packet: &[u8]| {
            receiver.datagram(packet, Time(0));
            std::iter::from_fn(|| receiver.video(Time(0))).count()
        };
        assert_eq!(count(&mut receiver, &packets[0]), 1);
        assert_eq!(count(&mut receiver, &lie(&packets[2])), 0, "frame 1 is missing: {custom:?}");
        assert_eq!(count(&mut receiver, &packets[1]), 2, "both at once: {custom:?}");
        assert_eq!(receiver.snapshot().video_packets.distances_ignored, 1);
    }
}

#[test]
fn a_key_frame_without_its_structure_outside_is_known_by_the_one_inside() {
    let mut random = fastrand::Rng::with_seed(4);
    let (ours, theirs) = support::keys();
    let packets = frames(&mut random, 130, ours);
    let (mut receiver, mut judge) = (support::receiver(theirs), Judge::default());
    for (i, packet) in packets.iter().enumerate() {
        // Frame 59 is withheld, so that only the key frame after it helps.
        if i == 59 {
            continue;
        }
        let lie = if i > 0 { Lie::Stripped } else { Lie::None };
        receiver.datagram(&rewrite(&mut random, packet, lie), Time::from_ms(i as u64 * 33));
        drain(&mut receiver, &mut judge, Time::from_ms(i as u64 * 33));
    }
    let seen = receiver.snapshot();
    assert_eq!((seen.video.handed_out, seen.video_packets.structures_differed), (129, 2));
}

#[test]
fn whoever_joins_late_asks_for_a_key_frame() {
    let mut random = fastrand::Rng::with_seed(5);
    let (ours, theirs) = support::keys();
    let packets = frames(&mut random, 70, ours);
    let (mut receiver, mut judge) = (support::receiver(theirs), Judge::default());
    for packet in &packets[1..20] {
        receiver.datagram(packet, Time(0));
        drain(&mut receiver, &mut judge, Time(0));
    }
    assert_eq!(receiver.snapshot().receiver.keyframe_requests, 1);
    receiver.datagram(&packets[60], Time(1));
    receiver.datagram(&packets[61], Time(1));
    drain(&mut receiver, &mut judge, Time(1));
    assert_eq!(receiver.snapshot().video.handed_out, 2);
}
