//! From a microphone's callback to the session's 48 kHz: a wait-free ring, and a resampler steered so that the samples
//! keep the session's time whatever the device's clock does.
//!
//! [`Tap`] is the callback's end: it takes samples of any kind and the time at which they were taken. [`Intake`] is the
//! reader's: it lays the samples out on the session's clock. Where the layout and the stamps part by more than drift can
//! do, sound was lost or withheld, and the layout begins anew: what is missing is not stretched over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

use super::RATE;
use super::drift::{self, Drift};
use super::mixer::FADE;
use super::stretch::{Fixed, Stretch};
use crate::time::Time;

/// What a device gives, and what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The device's rate in hertz.
    pub rate: u32,
    /// The device's channels.
    pub channels: u16,
    /// The channels that the session wants, 1 or 2.
    pub wanted: u8,
}

/// Counters of one device's intake: written by the callback, read anywhere.
#[derive(Debug, Default)]
pub struct Tally {
    callbacks: AtomicU64,
    overrun: AtomicU64,
    withheld: AtomicU64,
}

/// Counters of an intake.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Stats {
    /// Callbacks of the device.
    pub callbacks: u64,
    /// Frames that found no room in the ring, as nobody read.
    pub overrun: u64,
    /// Frames that were dropped unread for being muted.
    pub withheld: u64,
    /// Times that the layout began anew after the first.
    pub leaps: u64,
    /// How much faster than the session's the device's clock runs, in parts per million.
    pub drift_ppm: f64,
    /// Microseconds of sound in the ring now.
    pub ring_us: u64,
    /// Microseconds of sound in the resampler: its filter, and what it has made that was not taken.
    pub resampler_us: u64,
}

/// Seconds of sound for which a ring has room: a reader that is later loses some.
const ROOM_MS: usize = 500;
/// Stamps that wait for the reader.
const STAMPS: usize = 512;
/// What is further off is no drift: at once, and where it stays so over some stamps. The resampler follows 2,000 ppm without
/// being off by as much as the second.
const LEAP_US: f64 = 60_000.0;
const STEP_US: f64 = 5_000.0;
/// Frames that the resampler makes at once: 5 ms.
const CHUNK: usize = 240;

/// The two ends for a device of this format. While `muted` says so the callback's end takes nothing.
pub fn intake(format: Format, muted: Arc<AtomicBool>) -> (Tap, Intake) {
    let wanted = format.wanted.clamp(1, 2);
    let format = Format { rate: format.rate.max(1), channels: format.channels.max(1), wanted };
    let frames = format.rate as usize * ROOM_MS / 1_000;
    let (samples_in, samples) = RingBuffer::new(frames * usize::from(wanted));
    let (stamps_in, stamps) = RingBuffer::new(STAMPS);
    let tally = Arc::<Tally>::default();
    let stretch = Stretch::new(format.rate, RATE, wanted, Fixed::Out(CHUNK));
    let (most_in, most_out) = stretch.most();
    let channels = usize::from(wanted);
    let tap = Tap { format, samples: samples_in, stamps: stamps_in, frames: 0, tally: tally.clone(), muted };
    let intake = Intake {
        format,
        samples,
        stamps,
        tally,
        drift: Drift::new(drift::Config::default()),
        input: vec![0.0; most_in * channels],
        made: vec![0.0; most_out * channels],
        ready: Vec::with_capacity((most_out + RATE as usize / 4) * channels),
        held: stretch.wants() as f64 - CHUNK as f64 * f64::from(format.rate) / f64::from(RATE),
        stretch,
        taken: 0,
        produced: 0,
        layout: None,
        fade: 0,
        leaps: 0,
    };
    (tap, intake)
}

/// The callback's end: no allocation, no lock, no system call.
pub struct Tap {
    format: Format,
    samples: Producer<f32>,
    stamps: Producer<Stamp>,
    frames: u64,
    tally: Arc<Tally>,
    muted: Arc<AtomicBool>,
}

/// All frames up to this number were taken before this time.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    frames: u64,
    at: Time,
}

impl Tap {
    /// Takes what the device gave: interleaved samples within ±1, of which the first was taken at `captured`.
    pub fn hear(&mut self, pcm: impl ExactSizeIterator<Item = f32>, captured: Time) {
        let channels = usize::from(self.format.channels);
        let wanted = usize::from(self.format.wanted);
        let frames = pcm.len() / channels;
        self.tally.callbacks.fetch_add(1, Ordering::Relaxed);
        if self.muted.load(Ordering::Relaxed) {
            self.tally.withheld.fetch_add(frames as u64, Ordering::Relaxed);
            return;
        }
        let fits = frames.min(self.samples.slots() / wanted);
        self.tally.overrun.fetch_add((frames - fits) as u64, Ordering::Relaxed);
        if let Ok(chunk) = self.samples.write_chunk_uninit(fits * wanted) {
            chunk.fill_from_iter(Frames { pcm, channels, wanted, left: fits, second: None });
        }
        self.frames += fits as u64;
        let at = captured.plus(fits as u64 * 1_000_000 / u64::from(self.format.rate));
        // Without room for samples or for a stamp the reader has been away, and finds the next.
        if fits < frames {
            return;
        }
        let _ = self.stamps.push(Stamp { frames: self.frames, at });
    }
}

/// Frames of the device, with the channels that are wanted.
struct Frames<I> {
    pcm: I,
    channels: usize,
    wanted: usize,
    left: usize,
    second: Option<f32>,
}

impl<I: Iterator<Item = f32>> Iterator for Frames<I> {
    type Item = f32;

    fn next(&mut self) -> Option<f32> {
        if let Some(second) = self.second.take() {
            return Some(second);
        }
        self.left = self.left.checked_sub(1)?;
        let first = self.pcm.next()?;
        let right = if self.channels > 1 { self.pcm.next()? } else { first };
        for _ in 2..self.channels {
            self.pcm.next();
        }
        if self.wanted == 1 {
            return Some((first + right) / 2.0);
        }
        self.second = Some(right);
        Some(first)
    }
}

/// The reader's end. Allocates nothing once it is made.
pub struct Intake {
    format: Format,
    samples: Consumer<f32>,
    stamps: Consumer<Stamp>,
    tally: Arc<Tally>,
    drift: Drift,
    stretch: Stretch,
    input: Vec<f32>,
    made: Vec<f32>,
    /// Made and not taken yet.
    ready: Vec<f32>,
    /// Frames that went into the resampler, and those that came out.
    taken: u64,
    produced: u64,
    /// Frames that the filter keeps from its first block on.
    held: f64,
    layout: Option<Layout>,
    /// Frames until a beginning has faded in.
    fade: usize,
    leaps: u64,
}

/// Output frame `frame` was taken at `at_us`, and all others as far from it as they are at 48 kHz.
#[derive(Clone, Copy)]
struct Layout {
    at_us: f64,
    frame: f64,
    /// When the stamp came that was followed last.
    seen: Time,
}

impl Intake {
    /// Fills `pcm` (interleaved, 48 kHz, the wanted channels) and says when its first sample was taken; `None`, and `pcm`
    /// as it was, where there is not enough yet.
    pub fn fill(&mut self, pcm: &mut [f32]) -> Option<Time> {
        if !self.is_ready(pcm.len()) {
            return None;
        }
        let channels = usize::from(self.format.wanted);
        let waiting = (self.ready.len() / channels) as f64;
        let layout = self.layout?;
        let delay = self.stretch.delay() as f64;
        let since = self.produced as f64 - waiting - delay - layout.frame;
        let captured = Time((layout.at_us + since * 1e6 / f64::from(RATE)).max(0.0) as u64);
        let len = pcm.len();
        pcm.copy_from_slice(&self.ready[..len]);
        self.ready.copy_within(len.., 0);
        self.ready.truncate(self.ready.len() - len);
        for frame in pcm.chunks_exact_mut(channels) {
            if self.fade == 0 {
                break;
            }
            let gain = 1.0 - self.fade as f32 / FADE as f32;
            frame.iter_mut().for_each(|sample| *sample *= gain);
            self.fade -= 1;
        }
        Some(captured)
    }

    /// Takes in what has come; whether `samples` samples can be had.
    pub fn is_ready(&mut self, samples: usize) -> bool {
        self.follow();
        let channels = usize::from(self.format.wanted);
        while self.ready.len() < samples {
            let wants = self.stretch.wants();
            let input = &mut self.input[..wants * channels];
            if self.samples.slots() < input.len() || self.samples.pop_entire_slice(input).is_err() {
                return false;
            }
            self.taken += wants as u64;
            let made = self.stretch.process(input, &mut self.made);
            self.produced += made as u64;
            self.ready.extend_from_slice(&self.made[..made * channels]);
        }
        self.layout.is_some()
    }

    /// Drops all that waits, unread: what comes next is laid out anew.
    pub fn clear(&mut self) {
        while self.stamps.pop().is_ok() {}
        if let Ok(chunk) = self.samples.read_chunk(self.samples.slots()) {
            self.taken += (chunk.len() / usize::from(self.format.wanted)) as u64;
            chunk.commit_all();
        }
        // Nor does the filter keep what it heard before.
        if std::mem::take(&mut self.produced) > 0 {
            self.stretch.reset();
        }
        self.ready.clear();
        self.layout = None;
    }

    /// Callbacks so far: a device that stops shows here.
    pub fn callbacks(&self) -> u64 {
        self.tally.callbacks.load(Ordering::Relaxed)
    }

    /// Counters and levels now.
    pub fn stats(&self) -> Stats {
        let channels = usize::from(self.format.wanted);
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let us = |frames: usize, rate: u32| frames as u64 * 1_000_000 / u64::from(rate);
        Stats {
            callbacks: load(&self.tally.callbacks),
            overrun: load(&self.tally.overrun),
            withheld: load(&self.tally.withheld),
            leaps: self.leaps.saturating_sub(1),
            drift_ppm: -self.drift.learnt_ppm(),
            ring_us: us(self.samples.slots() / channels, self.format.rate),
            resampler_us: us(self.ready.len() / channels + self.stretch.delay(), RATE),
        }
    }

    /// Compares the layout with the stamps that have come, and steers.
    fn follow(&mut self) {
        while let Ok(stamp) = self.stamps.pop() {
            let per_frame = f64::from(RATE) / f64::from(self.format.rate);
            let held = if self.produced > 0 { self.held } else { 0.0 };
            let frame = self.produced as f64 + (stamp.frames as f64 - self.taken as f64 + held) * per_frame;
            let Some(layout) = &mut self.layout else {
                self.begin(frame, stamp.at);
                self.fade = FADE;
                continue;
            };
            // Positive where more time has passed than sound came: the sound has to become longer.
            let error_us = (stamp.at.0 as f64 - layout.at_us) - (frame - layout.frame) * 1e6 / f64::from(RATE);
            let middle = self.drift.look(error_us / 1e6);
            let gap = error_us.abs() > LEAP_US;
            if gap || middle.abs() * 1e6 > STEP_US {
                self.drift.forget();
                self.begin(frame, stamp.at);
                // After a gap the sound begins from nothing; a lost piece has clicked already.
                self.fade = if gap { FADE } else { self.fade };
                continue;
            }
            let passed = stamp.at.since(layout.seen) as f64 / 1e6;
            layout.seen = stamp.at;
            let factor = self.drift.steer(middle, passed);
            self.stretch.lengthen(factor);
        }
    }

    fn begin(&mut self, frame: f64, at: Time) {
        self.layout = Some(Layout { at_us: at.0 as f64, frame, seen: at });
        self.leaps += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERTZ: f64 = 100.0;

    fn open(rate: u32, channels: u16, wanted: u8) -> (Tap, Intake, Arc<AtomicBool>) {
        let muted = Arc::new(AtomicBool::new(false));
        let (tap, intake) = intake(Format { rate, channels, wanted }, muted.clone());
        (tap, intake, muted)
    }

    /// A microphone whose clock is `ppm` fast hears [`HERTZ`] for `seconds`; gives every packet to `take`.
    fn listen(
        rate: u32,
        ppm: f64,
        seconds: u64,
        late: impl Fn(u64) -> u64,
        mut take: impl FnMut(&[f32], Time),
    ) -> Stats {
        let (mut tap, mut intake, _) = open(rate, 1, 1);
        let period = u64::from(rate) / 100;
        let mut pcm = vec![0.0; 960];
        for n in 0..seconds * 100 {
            let real = f64::from(rate) * (1.0 + ppm * 1e-6);
            let at = |frame: u64| frame as f64 / real;
            let sound = |i: u64| (std::f64::consts::TAU * HERTZ * at(n * period + i)).sin() as f32 * 0.5;
            let captured = Time(1_000_000 + (at(n * period) * 1e6) as u64 + late(n));
            tap.hear((0..period as usize).map(|i| sound(i as u64)), captured);
            while let Some(at) = intake.fill(&mut pcm) {
                take(&pcm, at);
            }
        }
        intake.stats()
    }

    #[test]
    fn every_sample_keeps_the_sessions_time_whatever_the_device_counts() {
        for (rate, ppm) in [(48_000, 0.0), (48_000, 200.0), (44_100, -200.0), (16_000, 900.0)] {
            let (mut first, mut last, mut packets, mut worst) = (None, Time(0), 0u64, 0.0f64);
            let mut random = fastrand::Rng::with_seed(7);
            let late: Vec<u64> = (0..6_000).map(|_| random.u64(..3_000)).collect();
            let stats = listen(
                rate,
                ppm,
                60,
                |n| late[n as usize],
                |pcm, at| {
                    first.get_or_insert(at);
                    // The phase at the first sample says when that was really taken.
                    if packets > 1_500 {
                        let turn = std::f64::consts::TAU * HERTZ / 48_000.0;
                        let (re, im) = pcm.iter().enumerate().fold((0.0, 0.0), |(re, im), (i, s)| {
                            let angle = turn * i as f64;
                            (re + f64::from(*s) * angle.sin(), im + f64::from(*s) * angle.cos())
                        });
                        let period_us = 1e6 / HERTZ;
                        let really = im.atan2(re) / std::f64::consts::TAU * period_us;
                        let off = (at.0 as f64 - really + period_us / 2.0).rem_euclid(period_us) - period_us / 2.0;
                        // Stamps are 1.5 ms late in the middle, and nobody can know.
                        worst = worst.max((off - 1_500.0).abs());
                    }
                    packets += 1;
                    last = at;
                },
            );
            assert_eq!((stats.leaps, stats.overrun), (0, 0));
            assert!((stats.drift_ppm - ppm).abs() < 20.0, "{rate} {ppm}: {}", stats.drift_ppm);
            assert!(packets.abs_diff(3_000) < 4, "{rate} {ppm}: {packets} packets in a minute");
            let took = last.since(first.expect("packets"));
            assert!(took.abs_diff((packets - 1) * 20_000) < 1_000, "{rate} {ppm}: {took}");
            assert!(worst < 700.0, "{rate} {ppm}: {worst} us off");
        }
    }

    #[test]
    fn a_device_that_stops_for_a_while_is_laid_out_anew() {
        let (mut tap, mut intake, _) = open(48_000, 2, 1);
        let (mut pcm, mut times) = (vec![0.0; 480], Vec::new());
        for n in 0..400u64 {
            let pause = if n >= 200 { 700 } else { 0 };
            tap.hear((0..960).map(|_| 0.25), Time::from_ms(n * 10 + pause));
            while let Some(at) = intake.fill(&mut pcm) {
                times.push(at);
            }
        }
        let widest = times.windows(2).map(|w| w[1].since(w[0])).max().expect("some");
        assert!((600_000..=720_000).contains(&widest), "{widest}");
        assert_eq!(intake.stats().leaps, 1);
    }

    #[test]
    fn a_piece_that_the_device_loses_is_left_out_and_not_stretched_over() {
        let (mut tap, mut intake, _) = open(48_000, 1, 1);
        let (mut pcm, mut count) = (vec![0.0; 480], 0);
        for n in 0..3_000u64 {
            // 20 ms are missing in the middle.
            let lost = if n >= 1_500 { 20 } else { 0 };
            tap.hear((0..480).map(|_| 0.25), Time::from_ms(1_000 + n * 10 + lost));
            while let Some(at) = intake.fill(&mut pcm) {
                count += 1;
                let off = at.0 as i64 - (1_000_000 + (count - 1) * 10_000 - 1_333) - lost as i64 * 1_000;
                assert!(off.abs() < 400 || (1_495..1_505).contains(&n), "{off} us off at {n}");
            }
            let speed = intake.drift.speed();
            assert!((speed - 1.0).abs() < 1e-5, "{speed} at {n}");
        }
        assert_eq!((intake.stats().leaps, count), (1, 2_999));
    }

    #[test]
    fn a_reader_that_sleeps_loses_the_newest_and_it_is_counted() {
        let (mut tap, mut intake, _) = open(48_000, 1, 1);
        for n in 0..100u64 {
            tap.hear((0..480).map(|_| 0.1), Time::from_ms(n * 10));
        }
        assert_eq!(intake.stats().overrun, 24_000);
        let mut pcm = vec![0.0; 960];
        assert!(intake.fill(&mut pcm).is_some());
    }

    #[test]
    fn muted_nothing_is_taken_and_nothing_old_comes_out_later() {
        let (mut tap, mut intake, muted) = open(48_000, 1, 1);
        let mut pcm = vec![0.0; 480];
        tap.hear((0..4_800).map(|_| 0.9), Time::from_ms(0));
        assert!(intake.fill(&mut pcm).is_some());
        muted.store(true, Ordering::Relaxed);
        intake.clear();
        for n in 10..50u64 {
            tap.hear((0..480).map(|_| 0.9), Time::from_ms(n * 10));
            assert_eq!((intake.fill(&mut pcm), intake.samples.slots()), (None, 0));
        }
        assert_eq!(intake.stats().withheld, 40 * 480);
        muted.store(false, Ordering::Relaxed);
        for n in 50..60u64 {
            tap.hear((0..480).map(|_| 0.0), Time::from_ms(n * 10));
        }
        let at = intake.fill(&mut pcm).expect("sound again");
        assert!(at >= Time::from_ms(490), "{at:?}");
        assert!(pcm.iter().all(|sample| *sample == 0.0), "the filter remembers");
    }

    #[test]
    fn channels_are_mixed_down_doubled_or_left_out() {
        for (channels, wanted, expect) in
            [(2, 1, [0.3, 0.3]), (1, 2, [0.2, 0.2]), (6, 2, [0.2, 0.4]), (6, 1, [0.3, 0.3])]
        {
            let (mut tap, mut intake, _) = open(48_000, channels, wanted);
            let one = |i: usize| [0.2, 0.4, 9.0, 9.0, 9.0, 9.0][i % usize::from(channels)];
            for n in 0..10u64 {
                tap.hear((0..480 * usize::from(channels)).map(one), Time::from_ms(n * 10));
            }
            let mut pcm = vec![0.0; 1_920 * usize::from(wanted)];
            intake.fill(&mut pcm).expect("sound");
            let last = &pcm[pcm.len() - 2..];
            let expect = if wanted == 1 { [expect[0]; 2] } else { expect };
            assert!(last.iter().zip(expect).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-3), "{last:?}");
        }
    }
}
