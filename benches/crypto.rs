//! What sealing and opening a frame costs, by frame size and cipher arm, beside the bare AEAD call in the same run.
//!
//! `bare` is aws-lc alone on a slice of the payload's size. `frame` is the whole of `Sealer::seal` and `Opener::open`:
//! headers, metadata, padding policy, replay window. Inputs are made in batches outside the measured time; a batch is
//! as cold as the next one's making leaves it, for all arms alike.

use std::hint::black_box;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use conclave::codecs::EncodedInfo;
use conclave::e2ee::proof::{Digest, MediaSigner, Sign};
use conclave::e2ee::{Aead, AesGcm, AwsLc, BaseKey, Context, OpenKey, Opener, SealKey, Sealer, StaticKeys, Suite};
use conclave::frame::{Arrived, Buffer, Encoded, Header, Kind, Structure};
use conclave::ledger::Ledger;
use conclave::time::Time;
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

criterion_group!(benches, seal, open, derive, proof);
criterion_main!(benches);

const SIZES: [usize; 4] = [100, 1200, 8000, 100_000];
const BATCH: BatchSize = BatchSize::NumIterations(32);
const HEADER: Header =
    Header { stream: 1, kind: Kind::Camera, spatial: 0, temporal: 0, template_id: 0, frame_number: 0 };

fn seal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seal");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let (key, mut counter) = (bare_key(), 0);
        group.bench_function(BenchmarkId::new("bare aws-lc", size), |bencher| {
            let routine = |mut data: Vec<u8>| {
                counter += 1;
                let tag = key.seal_in_place_separate_tag(nonce(counter), Aad::from(&[0; 20]), &mut data).unwrap();
                (data, tag)
            };
            bencher.iter_batched(|| vec![7; size], routine, BATCH);
        });
        seal_on::<AwsLc>(&mut group, size);
        seal_on::<AesGcm>(&mut group, size);
    }
}

fn seal_on<A: Aead>(group: &mut BenchmarkGroup<'_, WallTime>, size: usize) {
    let mut sealer = sealer::<A>();
    group.bench_function(BenchmarkId::new(format!("frame {}", A::NAME), size), |bencher| {
        bencher.iter_batched(|| encoded(size), |frame| sealer.seal(frame, Time(0)).unwrap(), BATCH);
    });
}

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let key = bare_key();
        let mut sealed = vec![7; size];
        let tag = key.seal_in_place_separate_tag(nonce(0), Aad::from(&[0; 20]), &mut sealed).unwrap();
        group.bench_function(BenchmarkId::new("bare aws-lc", size), |bencher| {
            let routine = |mut data: Vec<u8>| {
                key.open_in_place_separate_tag(nonce(0), Aad::from(&[0; 20]), tag.as_ref(), &mut data).unwrap();
                data
            };
            bencher.iter_batched(|| sealed.clone(), routine, BATCH);
        });
        open_on::<AwsLc>(&mut group, size);
        open_on::<AesGcm>(&mut group, size);
    }
}

fn open_on<A: Aead>(group: &mut BenchmarkGroup<'_, WallTime>, size: usize) {
    let mut sealer = sealer::<A>();
    let mut keys = StaticKeys::new(&[1; 32], 0).unwrap();
    keys.admit(1).unwrap();
    let mut opener = Opener::<_, A>::on_arm(keys);
    let mut arrive = || {
        let mut payload = Buffer::with_capacity(size + 200);
        payload.tail().extend_from_slice(sealer.seal(encoded(size), Time(0)).unwrap().as_slice());
        Arrived { payload, header: HEADER, packets: Default::default(), ledger: Ledger::default() }
    };
    group.bench_function(BenchmarkId::new(format!("frame {}", A::NAME), size), |bencher| {
        bencher.iter_batched(&mut arrive, |frame| opener.open(frame, Time(0)).unwrap(), BATCH);
    });
}

/// What the first frame of a key costs beyond the others: key and salt of suite 5.
fn derive(criterion: &mut Criterion) {
    let base = BaseKey::new(&[1; 64]).unwrap();
    let mut group = criterion.benchmark_group("derive");
    group.bench_function("sealing key", |bencher| {
        bencher.iter(|| SealKey::<AwsLc>::derive(Suite::Aes256GcmSha512, black_box(8), &base).unwrap());
    });
    group.bench_function("opening key", |bencher| {
        bencher.iter(|| OpenKey::<AwsLc>::derive(Suite::Aes256GcmSha512, black_box(8), &base).unwrap());
    });
}

/// What knowing the sender costs: a digest for each frame on both sides, a signature for each batch.
fn proof(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("proof");
    let (signer, message) = (MediaSigner::from_seed(&[1; 32]).unwrap(), [7; 1100]);
    group.bench_function("sign", |bencher| bencher.iter(|| signer.sign(black_box(&message)).unwrap()));
    let (signature, key) = (signer.sign(&message).unwrap(), UnparsedPublicKey::new(&ED25519, signer.public().0));
    group.bench_function("verify", |bencher| bencher.iter(|| key.verify(black_box(&message), &signature).unwrap()));
    for size in [160, 50 << 10] {
        let frame = vec![7; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("digest", size), |bencher| {
            bencher.iter(|| Digest::of(8, 1, &[0; 13], black_box(&frame)));
        });
    }
}

fn sealer<A: Aead>() -> Sealer<A> {
    let mut keys = StaticKeys::new(&[1; 32], 1).unwrap();
    Sealer::on_arm(&mut keys, Context::of(Kind::Camera)).unwrap()
}

fn encoded(size: usize) -> Encoded {
    let mut payload = Buffer::with_capacity(size);
    let tail = payload.tail();
    tail.resize(tail.len() + size, 7);
    Encoded {
        payload,
        info: EncodedInfo::default(),
        header: HEADER,
        captured: Time(0),
        structure: Structure::default(),
        ledger: Ledger::default(),
    }
}

fn bare_key() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32]).unwrap())
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}
