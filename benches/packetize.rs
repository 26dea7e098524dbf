//! What cutting a sealed frame into packets costs, by frame size; and the whole way of an 8 kB frame from the encoder to
//! the wire beside the bare AEAD call on the same 8 kB.
//!
//! `seal and packetize` is `Sealer::seal` and `Packetizer::packetize`; `sender` is `Sender::frame`, which keeps every
//! packet for retransmission beside that. Its ring is larger than the second-level cache, as it is in a meeting.

use std::hint::black_box;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use conclave::codecs::{EncodedInfo, Size};
use conclave::e2ee::{Context, Sealer, StaticKeys};
use conclave::frame::{Buffer, Encoded, Header, Kind, Structure};
use conclave::ledger::Ledger;
use conclave::rtp::descriptor::single_layer_structure;
use conclave::rtp::packetize::{Config, Packetizer};
use conclave::send::{self, Sender};
use conclave::time::Time;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

criterion_group!(benches, alone, whole);
criterion_main!(benches);

const SIZES: [usize; 4] = [100, 1200, 8000, 100_000];
const BATCH: BatchSize = BatchSize::NumIterations(32);
const FRAME: usize = 8000;
const HEADER: Header =
    Header { stream: 1, kind: Kind::Camera, spatial: 0, temporal: 0, template_id: 1, frame_number: 7 };

fn alone(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("packetize");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let sealed = sealer().seal(encoded(size), Time(0)).unwrap();
        let mut packetizer = Packetizer::new(Config::default());
        group.bench_function(BenchmarkId::new("sealed frame", size), |bencher| {
            bencher.iter(|| {
                packetizer.packetize(black_box(&sealed), 0, &mut |packet| {
                    let _ = black_box(&packet);
                })
            });
        });
    }
}

fn whole(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("8 kB frame");
    group.throughput(Throughput::Bytes(FRAME as u64)).sample_size(200);
    let (key, mut counter) = (LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32]).unwrap()), 0u64);
    group.bench_function("bare AEAD", |bencher| {
        let routine = |mut data: Vec<u8>| {
            counter += 1;
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&counter.to_be_bytes());
            let nonce = Nonce::assume_unique_for_key(nonce);
            let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&[0; 20]), &mut data).unwrap();
            (data, tag)
        };
        bencher.iter_batched(|| vec![7; FRAME], routine, BATCH);
    });
    let (mut alone, mut packetizer) = (sealer(), Packetizer::new(Config::default()));
    group.bench_function("seal", |bencher| {
        bencher.iter_batched(|| encoded(FRAME), |frame| alone.seal(frame, Time(0)).unwrap(), BATCH);
    });
    group.bench_function("seal and packetize", |bencher| {
        let routine = |frame| {
            let sealed = alone.seal(frame, Time(0)).unwrap();
            packetizer
                .packetize(&sealed, 0, &mut |packet| {
                    let _ = black_box(&packet);
                })
                .unwrap();
            sealed
        };
        bencher.iter_batched(|| encoded(FRAME), routine, BATCH);
    });
    let streams = vec![send::Stream { id: 1, kind: Kind::Camera, payload_type: 96 }];
    let mut keys = StaticKeys::new(&[1; 32], 1).unwrap();
    let mut sender = Sender::new(send::Config { streams, ..send::Config::default() }, Box::new(keys)).unwrap();
    sender.frame(key_frame(FRAME), Time(0), &mut |_| {}).unwrap();
    // One stream for warming up and measuring: its frames go on counting.
    let mut next = delta_frames(FRAME);
    group.bench_function("sender", |bencher| {
        let routine = |frame| {
            sender
                .frame(frame, Time(0), &mut |packet| {
                    let _ = black_box(packet);
                })
                .unwrap()
        };
        bencher.iter_batched(&mut next, routine, BATCH);
    });
}

fn sealer() -> Sealer {
    let mut keys = StaticKeys::new(&[1; 32], 1).unwrap();
    Sealer::new(&mut keys, Context::of(Kind::Camera)).unwrap()
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

/// A frame in the middle of a stream: it needs the one before it, as its template says.
fn encoded(size: usize) -> Encoded {
    let mut payload = Buffer::with_capacity(size);
    let tail = payload.tail();
    tail.resize(tail.len() + size, 7);
    let info = EncodedInfo { dependencies: [1, 0, 0, 0, 0, 0, 0, 0], dependency_count: 1, ..EncodedInfo::default() };
    Encoded {
        payload,
        info,
        header: HEADER,
        captured: Time(0),
        structure: Structure::default(),
        ledger: Ledger::default(),
    }
}
