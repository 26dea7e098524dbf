//! Whether the time of a refusal tells an attacker anything.
//!
//! A frame that is shown and one that is refused are different work by design: one is recorded and read, the other wiped
//! and told of. Whoever sends forgeries learns from neither, since nothing goes back; what must not show is where a frame
//! was changed, as then a tag could be guessed byte by byte. Both are compared here, with a control: one and the same
//! change counted as two.

use std::hint::black_box;
use std::time::Instant;

use conclave::e2ee::aead::TAG;
use conclave::e2ee::header::Header;
use conclave::e2ee::{Context, KeySource, Opener, Sealer, keyring};
use conclave::frame::{Arrived, Kind};
use conclave::time::Time;

use crate::{epochs, nanos};

/// What is done to a frame before it is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    FirstOfTag,
    LastOfTag,
    /// The same, counted apart.
    Control,
    FirstOfText,
    LastOfText,
    Metadata,
}

const CHANGES: [Change; 7] = [
    Change::None,
    Change::FirstOfTag,
    Change::LastOfTag,
    Change::Control,
    Change::FirstOfText,
    Change::LastOfText,
    Change::Metadata,
];

const PAIRS: [(&str, Change, Change); 6] = [
    ("shown, or refused at the tag's last byte", Change::None, Change::LastOfTag),
    ("tag's first byte, or its last", Change::FirstOfTag, Change::LastOfTag),
    ("ciphertext's first byte, or its last", Change::FirstOfText, Change::LastOfText),
    ("ciphertext's last byte, or the tag's last", Change::LastOfText, Change::LastOfTag),
    ("metadata, or the tag's last byte", Change::Metadata, Change::LastOfTag),
    ("control: the same change twice", Change::Control, Change::LastOfTag),
];

pub fn measure(quick: bool) {
    println!("refusals: Welch's t of the times of `Opener::open`, the slowest of both classes together cut off");
    println!("{:>8} {:<42} {:>9} {:>9} {:>9} {:>8} {:>8}", "", "", "n of each", "mean ns", "mean ns", "|t|", "worst");
    let audio = ("audio", Kind::Microphone, 160, 1_000_000);
    for (name, kind, size, rounds) in
        [audio, ("delta", Kind::Camera, 4_000, 1_000_000), ("key", Kind::Camera, 50_000, 200_000)]
    {
        let times = sample(kind, size, if quick { rounds / 100 } else { rounds });
        for (what, one, two) in PAIRS {
            let [one, two] = [one, two].map(|change| &times[change as usize]);
            let (means, t) = welch(one, two, 95);
            let worst =
                [100, 99, 95, 90, 75, 50].map(|percent| welch(one, two, percent).1).into_iter().fold(0.0, f64::max);
            println!("{name:>8} {what:<42} {:>9} {:9.1} {:9.1} {t:8.2} {worst:8.2}", one.len(), means.0, means.1);
        }
    }
    println!("{:>8} |t| with 95 % of the samples kept; worst: of 100, 99, 95, 90, 75 and 50 %\n", "");
}

/// Times of `rounds` frames of each class, in random order; every frame is sealed anew with its own counter.
fn sample(kind: Kind, size: usize, rounds: usize) -> [Vec<u32>; 7] {
    let (keeper, mut sending) = keyring();
    keeper.send(epochs::epoch(1, 1, 2, Time(0)).0, Time(0));
    sending.turn(Time(0));
    let mut sealer = Sealer::new(&mut sending, Context::of(kind)).expect("a key");
    let (keeper, ring) = keyring();
    keeper.open(epochs::epoch(1, 0, 2, Time(0)).1);
    let mut opener = Opener::new(ring);
    let mut rng = fastrand::Rng::with_seed(0xd0d);
    let mut order: Vec<u8> = (0..7).cycle().take(rounds * 7).collect();
    rng.shuffle(&mut order);
    let mut times: [Vec<u32>; 7] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    let (payload, mut buffer) = (vec![0x55; size], epochs::buffer(&vec![0; size + 300]));
    for class in order {
        let change = CHANGES[usize::from(class)];
        let sealed = sealer.seal(epochs::encoded(epochs::header(kind, 9), &payload), Time(0)).expect("sealed");
        buffer.clear();
        buffer.tail().extend_from_slice(sealed.as_slice());
        let mut frame = Arrived {
            payload: buffer,
            header: *sealed.header(),
            packets: Default::default(),
            ledger: *sealed.ledger(),
        };
        let end = frame.payload.len();
        let (_, text) = Header::read(sealed.as_slice()).expect("a header");
        // All classes write one byte and two of metadata, so that caches are alike.
        let (place, bit, other) = match change {
            Change::None => (end - 1, 0, 0),
            Change::FirstOfTag => (end - TAG, 1, 0),
            Change::LastOfTag | Change::Control => (end - 1, 1, 0),
            Change::FirstOfText => (text, 1, 0),
            Change::LastOfText => (end - TAG - 1, 1, 0),
            Change::Metadata => (end - 1, 0, 1),
        };
        frame.payload.as_mut_slice()[place] ^= black_box(bit);
        frame.header.frame_number ^= black_box(other);
        let start = Instant::now();
        let opened = black_box(opener.open(black_box(frame), Time(0)));
        times[usize::from(class)].push(nanos(start));
        assert_eq!(opened.is_ok(), change == Change::None);
        buffer = opened.map_or_else(|rejected| rejected.payload, |opened| opened.payload);
    }
    times
}

/// Both means and |t| of what is left of two classes when times above the `percent`th percentile of both together are cut.
fn welch(one: &[u32], two: &[u32], percent: usize) -> ((f64, f64), f64) {
    let mut all: Vec<u32> = [one, two].concat();
    let keep = all.len() * percent / 100 - 1;
    let most = *all.select_nth_unstable(keep).1;
    let moments = |times: &[u32]| {
        let kept = || times.iter().filter(|time| **time <= most).map(|time| f64::from(*time));
        let count = kept().count().max(2) as f64;
        let mean = kept().sum::<f64>() / count;
        let variance = kept().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    };
    let ((mean_one, error_one), (mean_two, error_two)) = (moments(one), moments(two));
    ((mean_one, mean_two), (mean_one - mean_two).abs() / (error_one + error_two).sqrt())
}
