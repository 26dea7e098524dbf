//! What an independent reader sees in the datagrams of a meeting: tshark decodes a capture of both directions.

mod container_support;
#[path = "support/pcap.rs"]
mod pcap;
mod support;

use std::collections::{HashMap, HashSet};
use std::process::Command;

use conclave::codecs::EncodedInfo;
use conclave::frame::{Buffer, Encoded, Header, Kind, Packet, Structure};
use conclave::netem::{self, Netem};
use conclave::rehearsal::Cast;
use conclave::rtp::bits::Writer;
use conclave::rtp::header::is_rtcp;
use conclave::rtp::rtcp::{self, Message};
use conclave::rtp::{DESCRIPTOR_ID, extensions};
use conclave::send;
use conclave::time::Time;
use container_support::Folder;
use pcap::Datagram;
use support::{AUDIO, VIDEO, cast, streams};

/// A stream of the test's own beside those of the doubles.
const SCREEN: u32 = 0x5c12_ee77;

const SENDER: u16 = 5_000;
const RECEIVER: u16 = 6_000;

/// What the fields of one datagram say, in the order of [`FIELDS`]; values of repeated fields stand behind commas.
struct Row(Vec<String>);

const FIELDS: [&str; 30] = [
    "udp.srcport",
    "_ws.col.Protocol",
    "_ws.expert.message",
    "rtp.version",
    "rtp.p_type",
    "rtp.ssrc",
    "rtp.seq",
    "rtp.timestamp",
    "rtp.marker",
    "rtp.padding",
    "rtp.ext.profile",
    "rtp.ext.rfc5285.id",
    "rtp.ext.rfc5285.data",
    "rtcp.pt",
    "rtcp.version",
    "rtcp.senderssrc",
    "rtcp.mediassrc",
    "rtcp.timestamp.ntp.msw",
    "rtcp.timestamp.ntp.lsw",
    "rtcp.timestamp.rtp",
    "rtcp.sender.packetcount",
    "rtcp.sender.octetcount",
    "rtcp.ssrc.identifier",
    "rtcp.ssrc.fraction",
    "rtcp.ssrc.cum_nr",
    "rtcp.ssrc.ext_high",
    "rtcp.ssrc.jitter",
    "rtcp.ssrc.lsr",
    "rtcp.ssrc.dlsr",
    "rtcp.rtpfb.nack_pid",
];

impl Row {
    fn get(&self, field: &str) -> &str {
        let at = FIELDS.iter().position(|f| *f == field).unwrap();
        &self.0[at]
    }

    /// A number, decimal or hexadecimal; a negative one as its 32 bits.
    fn number(&self, field: &str) -> u32 {
        number(self.get(field))
    }
}

fn number(text: &str) -> u32 {
    let hex = text.strip_prefix("0x").map(|hex| u32::from_str_radix(hex, 16));
    // Packets that came twice make a count of losses negative.
    let decimal = || text.parse().or_else(|_| text.parse().map(i32::cast_unsigned));
    hex.unwrap_or_else(decimal).unwrap_or_else(|_| panic!("{text:?} is no number"))
}

/// One row for each datagram; `None` without tshark.
fn tshark(datagrams: &[Datagram]) -> Option<Vec<Row>> {
    let folder = Folder::new();
    let path = folder.path("meeting.pcap");
    std::fs::write(&path, pcap::write(datagrams)).unwrap();
    let mut command = Command::new("tshark");
    command.arg("-r").arg(&path).args(["-d", &format!("udp.port=={SENDER},rtp"), "-T", "fields", "-E", "separator=/t"]);
    FIELDS.iter().for_each(|field| _ = command.args(["-e", field]));
    let output = command.output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(|line| Row(line.split('\t').map(str::to_owned).collect())).collect())
}

/// A key frame whose structure (three spatial layers with their sizes) is too long for a one-byte element.
fn screen_frame(number: u16, now: Time) -> Encoded {
    let mut payload = Buffer::with_capacity(3_000);
    payload.tail().extend((0..3_000).map(|i| i as u8));
    let mut bytes = [0; 32];
    let mut w = Writer::new(&mut bytes);
    // Offset 0, one decode target, templates of spatial layers 0, 1, 2; all are switch points.
    for (value, bits) in [(0, 6), (0, 5), (2, 2), (2, 2), (3, 2), (2, 2), (2, 2), (2, 2)] {
        w.bits(value, bits);
    }
    // No dependencies, no chains, then three sizes.
    w.bits(1, 5);
    [320, 180, 640, 360, 1280, 720].iter().for_each(|side| w.bits(side - 1, 16));
    let len = w.finish().unwrap();
    let kind = Kind::Screen;
    Encoded {
        payload,
        info: EncodedInfo { frame: number.into(), keyframe: true, ..EncodedInfo::default() },
        header: Header { stream: SCREEN, kind, spatial: 0, temporal: 0, template_id: 0, frame_number: number },
        captured: now,
        structure: Structure::new(&bytes[..len]).unwrap(),
        ledger: Default::default(),
    }
}

/// Every datagram that either side sends in three seconds over a lossy network, and for each its place in its frame:
/// (first, last), `None` for RTCP and repetitions.
fn meeting() -> (Vec<Datagram>, Vec<Option<(bool, bool)>>) {
    let mut all = streams();
    all.push(send::Stream { id: SCREEN, kind: Kind::Screen, payload_type: 97 });
    let network = netem::Config { seed: 4, loss: 4.0, delay_us: 15_000, ..Default::default() };
    let Cast { video, audio, mut sender, mut receiver, uplink, downlink, .. } = cast(4, network, all);
    let (mut camera, mut video) = video.unwrap();
    let (mut microphone, mut audio) = audio.unwrap();
    let (mut up, mut down) = (Netem::new(uplink), Netem::new(downlink));
    let (mut datagrams, mut places) = (Vec::new(), Vec::new());
    let mut record = |from, to, payload: &[u8], at: Time, place| {
        datagrams.push(Datagram { at: at.0, from, to, payload: payload.to_vec() });
        places.push(place);
    };
    for tick in 0..300u64 {
        let now = Time::from_ms(tick * 10);
        let mut frames = Vec::new();
        if tick % 3 == 0 {
            let picture = camera.next().unwrap().unwrap();
            video.submit(picture, sender.edge(), now).unwrap();
            frames.extend(video.poll().unwrap());
        }
        if tick % 2 == 0 {
            let mut pcm = vec![0; audio.frame_samples()];
            assert!(microphone.fill(&mut pcm).unwrap());
            frames.push(audio.encode(&pcm, now).unwrap());
        }
        if tick % 50 == 10 {
            frames.push(screen_frame(tick as u16, now));
        }
        for frame in frames {
            let mut packets: Vec<Packet> = Vec::new();
            sender.frame(frame, now, &mut |packet| packets.push(packet.clone())).unwrap();
            for (i, packet) in packets.iter().enumerate() {
                record(SENDER, RECEIVER, packet.as_slice(), now, Some((i == 0, i + 1 == packets.len())));
                up.push(packet.as_slice(), now);
            }
        }
        while let Some(packet) = up.pop(now) {
            receiver.datagram(packet.as_slice(), now);
        }
        while let Some((_, opened)) = receiver.video(now) {
            receiver.recycle(opened);
        }
        if tick == 150 {
            receiver.decoder_lost_sync();
        }
        receiver.tick(now, &mut |packet| {
            record(RECEIVER, SENDER, packet.as_slice(), now, None);
            down.push(packet.as_slice(), now);
        });
        let mut send = |packet: &Packet| {
            record(SENDER, RECEIVER, packet.as_slice(), now, None);
            up.push(packet.as_slice(), now);
        };
        while let Some(packet) = down.pop(now) {
            sender.feedback(packet.as_slice(), now, &mut send);
        }
        sender.tick(now, &mut send);
    }
    (datagrams, places)
}

#[test]
fn tshark_sees_the_rtp_that_was_meant() {
    let (datagrams, places) = meeting();
    let Some(rows) = tshark(&datagrams) else { return println!("skipped: tshark is not installed") };
    assert_eq!(rows.len(), datagrams.len());
    let types = HashMap::from([(VIDEO, 96), (AUDIO, 111), (SCREEN, 97)]);
    let (mut next, mut ids, mut profiles, mut repeated) = (HashMap::new(), HashSet::new(), HashMap::new(), 0);
    for ((row, datagram), place) in rows.iter().zip(&datagrams).zip(places).filter(|((_, d), _)| !is_rtcp(&d.payload)) {
        assert_eq!((row.get("_ws.col.Protocol"), row.get("_ws.expert.message")), ("RTP", ""));
        assert_eq!((row.get("rtp.version"), row.get("rtp.padding")), ("2", "0"));
        assert_eq!(row.number("udp.srcport"), u32::from(SENDER));
        let (stream, sequence) = (row.number("rtp.ssrc"), row.number("rtp.seq") as u16);
        assert_eq!(row.number("rtp.p_type"), types[&stream]);
        let Some((first, last)) = place else {
            repeated += 1;
            assert!(ids.contains(&(stream, sequence)), "a repetition of a packet that was never sent");
            continue;
        };
        assert_eq!(*next.entry(stream).or_insert(sequence), sequence, "numbers are contiguous");
        next.insert(stream, sequence.wrapping_add(1));
        ids.insert((stream, sequence));
        assert_eq!(row.get("rtp.marker"), if last { "1" } else { "0" });
        let clock = if stream == AUDIO { 48 } else { 90 };
        assert_eq!(u64::from(row.number("rtp.timestamp")), datagram.at / 1_000 * clock);
        if stream == AUDIO {
            assert_eq!(row.get("rtp.ext.profile"), "");
            continue;
        }
        assert_eq!(row.get("rtp.ext.rfc5285.id"), DESCRIPTOR_ID.to_string());
        let data = row.get("rtp.ext.rfc5285.data").replace(':', "");
        // The start and end bits of the dependency descriptor, in its first byte.
        assert_eq!(u8::from_str_radix(&data[..2], 16).unwrap() >> 6, u8::from(first) << 1 | u8::from(last));
        let (profile, long) = (row.number("rtp.ext.profile") as u16, data.len() > 2 * 16);
        assert_eq!(profile, if long { extensions::TWO_BYTE } else { extensions::ONE_BYTE });
        // Only the structure of a key frame is too long for the one-byte profile.
        assert!(first || !long);
        *profiles.entry(profile).or_insert(0) += 1;
    }
    assert_eq!(next.keys().copied().collect::<HashSet<_>>(), types.keys().copied().collect());
    assert!(
        profiles[&extensions::TWO_BYTE] >= 6 && profiles[&extensions::ONE_BYTE] > 300 && repeated > 5,
        "{profiles:?}, {repeated} repeated"
    );
}

#[test]
fn tshark_sees_the_rtcp_that_was_meant() {
    let (datagrams, places) = meeting();
    let Some(rows) = tshark(&datagrams) else { return println!("skipped: tshark is not installed") };
    let mut sent = HashMap::<u32, (u32, u32)>::new();
    let [mut sender_reports, mut receiver_reports, mut answers, mut nacks, mut plis] = [0; 5];
    for ((row, datagram), place) in rows.iter().zip(&datagrams).zip(places) {
        let payload = &datagram.payload;
        if !is_rtcp(payload) {
            if place.is_some() {
                let header =
                    12 + if row.get("rtp.ext.profile").is_empty() { 0 } else { 4 + 4 * usize::from(payload[15]) };
                let (packets, octets) = sent.entry(row.number("rtp.ssrc")).or_default();
                (*packets, *octets) = (*packets + 1, *octets + (payload.len() - header) as u32);
            }
            continue;
        }
        // tshark makes a note of each round trip it can compute: that is praise.
        let notes = row.get("_ws.expert.message");
        assert!(notes.split(',').all(|n| n.is_empty() || n.starts_with("RTCP round-trip delay detected")), "{notes}");
        assert_eq!((row.get("_ws.col.Protocol"), row.get("rtcp.version")), ("RTCP", "2"));
        let message = rtcp::parse(payload).next().unwrap().unwrap();
        match (row.get("rtcp.pt"), message) {
            ("200", Message::SenderReport(ours)) => {
                sender_reports += 1;
                let (packets, octets) = sent.get(&ours.ssrc).copied().unwrap_or_default();
                assert_eq!(row.number("rtcp.senderssrc"), ours.ssrc);
                assert_eq!(
                    (row.number("rtcp.sender.packetcount"), row.number("rtcp.sender.octetcount")),
                    (packets, octets)
                );
                assert_eq!(u64::from(row.number("rtcp.timestamp.ntp.msw")), datagram.at / 1_000_000);
                let fraction = u64::from(row.number("rtcp.timestamp.ntp.lsw"));
                assert_eq!(fraction, ((datagram.at % 1_000_000) << 32) / 1_000_000);
                let clock = if ours.ssrc == AUDIO { 48 } else { 90 };
                assert_eq!(u64::from(row.number("rtcp.timestamp.rtp")), datagram.at / 1_000 * clock);
            }
            ("201", Message::ReceiverReport(ours)) => {
                receiver_reports += 1;
                let fields = ["fraction", "cum_nr", "ext_high", "jitter", "lsr", "dlsr"];
                let theirs = fields.map(|field| row.number(&format!("rtcp.ssrc.{field}")));
                let lost = u32::from(ours.fraction_lost);
                assert_eq!(theirs, [lost, ours.lost as u32, ours.highest, ours.jitter, ours.last_report, ours.delay]);
                assert_eq!(
                    (row.number("rtcp.senderssrc"), row.number("rtcp.ssrc.identifier")),
                    (ours.ssrc, ours.source)
                );
                let (packets, _) = sent[&ours.source];
                assert!(ours.highest < packets && ours.highest + 20 > packets, "{} of {packets}", ours.highest);
                answers += u32::from(ours.last_report > 0);
            }
            ("205", Message::Nack(ours)) => {
                nacks += 1;
                let (ssrc, media) = (row.number("rtcp.senderssrc"), row.number("rtcp.mediassrc"));
                assert_eq!((ssrc, media), (ours.ssrc, ours.media_ssrc));
                let base: Vec<u32> = row.get("rtcp.rtpfb.nack_pid").split(',').map(number).collect();
                let asked: Vec<u32> = ours.sequences().map(u32::from).collect();
                assert!(base.iter().all(|base| asked.contains(base)) && asked[0] == base[0]);
                assert!(asked.iter().all(|sequence| *sequence < sent[&media].0), "asks for what was never sent");
            }
            ("206", Message::Pli(ours)) => {
                plis += 1;
                assert_eq!((row.number("rtcp.senderssrc"), row.number("rtcp.mediassrc")), (ours.ssrc, ours.media_ssrc));
                assert_eq!(ours.media_ssrc, VIDEO);
            }
            (kind, ours) => panic!("tshark reads type {kind}, we wrote {ours:?}"),
        }
    }
    assert_eq!((sender_reports, receiver_reports, answers), (9, 4, 2));
    assert!(nacks > 5 && plis >= 1, "{nacks} {plis}");
}
