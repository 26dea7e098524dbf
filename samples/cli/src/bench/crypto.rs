//! Seal, open and packetize by frame size and cipher arm, beside the bare AEAD call on as many bytes.

use serde_json::json;

use conclave::codecs::{EncodedInfo, Size};
use conclave::e2ee::aead::NONCE;
use conclave::e2ee::{Aead, AesGcm, AwsLc, Context, Opener, Sealer, StaticKeys, Suite};
use conclave::frame::{Arrived, Buffer, Encoded, Header, Kind, Structure};
use conclave::ledger::Ledger;
use conclave::rtp::descriptor::single_layer_structure;
use conclave::rtp::packetize::{Config, Packetizer};
use conclave::send::{self, Sender};
use conclave::time::Time;

use super::{Figure, Timing, time_each};

const SIZES: [usize; 4] = [100, 1_200, 8_000, 100_000];

const HEADER: Header =
    Header { stream: 1, kind: Kind::Camera, spatial: 0, temporal: 0, template_id: 1, frame_number: 7 };

pub fn run(millis: u64, out: &mut Vec<Figure>) -> anyhow::Result<()> {
    for size in SIZES {
        arm::<AwsLc>("aws-lc-rs", size, millis, out)?;
        arm::<AesGcm>("aes-gcm", size, millis, out)?;
        packets(size, millis, out)?;
    }
    Ok(())
}

fn arm<A: Aead>(name: &str, size: usize, millis: u64, out: &mut Vec<Figure>) -> anyhow::Result<()> {
    let bare = A::new(Suite::Aes256GcmSha512, &[7; 32]).ok_or_else(|| anyhow::anyhow!("no AES-256-GCM on {name}"))?;
    let mut counter = 0u64;
    let timing = time_each(
        millis,
        || vec![7; size],
        |mut data: Vec<u8>| {
            counter += 1;
            let mut nonce = [0; NONCE];
            nonce[4..].copy_from_slice(&counter.to_be_bytes());
            let tag = bare.seal(&nonce, &[0; 30], &mut data).expect("a short frame is sealed");
            (data, tag)
        },
    );
    out.push(figure("bare AEAD", size, name, timing));

    let mut sealer = Sealer::<A>::on_arm(&mut StaticKeys::new(&[1; 32], 1)?, Context::of(Kind::Camera))?;
    let timing =
        time_each(millis, || encoded(size), |frame| sealer.seal(frame, Time(0)).expect("a short frame is sealed"));
    out.push(figure("seal", size, name, timing));

    let mut keys = StaticKeys::new(&[1; 32], 0)?;
    keys.admit(1)?;
    let mut opener = Opener::<_, A>::on_arm(keys);
    let arrive = || {
        let mut payload = Buffer::with_capacity(size + 200);
        payload
            .tail()
            .extend_from_slice(sealer.seal(encoded(size), Time(0)).expect("a short frame is sealed").as_slice());
        Arrived { payload, header: HEADER, packets: Default::default(), ledger: Ledger::default() }
    };
    let timing = time_each(millis, arrive, |frame| opener.open(frame, Time(0)).expect("what was sealed opens"));
    out.push(figure("open", size, name, timing));
    Ok(())
}

/// From the encoder to the wire: without and with the packets kept for retransmission.
fn packets(size: usize, millis: u64, out: &mut Vec<Figure>) -> anyhow::Result<()> {
    let mut sealer = Sealer::new(&mut StaticKeys::new(&[1; 32], 1)?, Context::of(Kind::Camera))?;
    let mut packetizer = Packetizer::new(Config::default());
    let mut bytes = 0;
    let timing = time_each(
        millis,
        || encoded(size),
        |frame| {
            let sealed = sealer.seal(frame, Time(0)).expect("a short frame is sealed");
            packetizer.packetize(&sealed, 0, &mut |packet| bytes += packet.as_slice().len()).expect("it is short");
            sealed
        },
    );
    out.push(figure("seal and packetize", size, "aws-lc-rs", timing));
    let streams = vec![send::Stream { id: 1, kind: Kind::Camera, payload_type: 96 }];
    let config = send::Config { streams, ..send::Config::default() };
    let mut sender = Sender::new(config, Box::new(StaticKeys::new(&[1; 32], 1)?))?;
    sender.frame(key_frame(size), Time(0), &mut |_| {})?;
    let send =
        |frame| sender.frame(frame, Time(0), &mut |packet| bytes += packet.as_slice().len()).expect("it is sent");
    let timing = time_each(millis, delta_frames(size), send);
    out.push(figure("seal, packetize and keep", size, "aws-lc-rs", timing));
    anyhow::ensure!(bytes > size, "packets are lost on the way");
    Ok(())
}

fn figure(operation: &str, size: usize, arm: &str, timing: Timing) -> Figure {
    let params = json!({"arm": arm, "bytes": size, "operation": operation, "median_us": timing.median * 1e6});
    Figure::rate("crypto", format!("{operation} {size} B on {arm}"), params, "GB/s", size as f64 / 1e9, timing)
}

/// The frame that a stream begins with.
fn key_frame(size: usize) -> Encoded {
    let info = EncodedInfo { keyframe: true, ..EncodedInfo::default() };
    Encoded { info, structure: single_layer_structure(Size::new(1280, 720)), ..encoded(size) }
}

/// The frames after it, each of which needs the one before.
fn delta_frames(size: usize) -> impl FnMut() -> Encoded {
    let mut number = 0;
    move || {
        let mut frame = encoded(size);
        number += 1;
        frame.info.frame = number;
        frame
    }
}

fn encoded(size: usize) -> Encoded {
    let mut payload = Buffer::with_capacity(size);
    let tail = payload.tail();
    tail.resize(tail.len() + size, 7);
    Encoded {
        payload,
        info: EncodedInfo { dependencies: [1, 0, 0, 0, 0, 0, 0, 0], dependency_count: 1, ..EncodedInfo::default() },
        header: HEADER,
        captured: Time(0),
        structure: Structure::default(),
        ledger: Ledger::default(),
    }
}
