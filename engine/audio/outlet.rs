//! From the session's 48 kHz to a speaker's callback: a resampler steered so that the ring between the two clocks keeps
//! its level, and an end for the callback that fades where the ring runs dry.
//!
//! The level is measured smoothly: the callback stamps how much it has taken and when, and in between the device is
//! thought to go on at its rate. Else the level would be a saw-tooth, whose beat with the packets looks like drift.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

use super::drift::{self, Drift};
use super::mixer::{FADE, TAIL};
use super::stretch::{Fixed, Stretch};
use super::{BLOCK, BLOCK_US, RATE};
use crate::time::Time;

/// What a device takes, and what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The device's rate in hertz.
    pub rate: u32,
    /// The device's channels.
    pub channels: u16,
    /// Channels of the blocks, 1 or 2.
    pub given: u8,
}

/// What both ends touch.
#[derive(Debug, Default)]
struct Shared {
    callbacks: AtomicU64,
    /// Times that the ring ran dry, and frames of silence that were played for it.
    underruns: AtomicU64,
    silence: AtomicU64,
    /// Playing, not filling up.
    playing: AtomicBool,
    /// Frames, beyond those of one callback, that have to wait before it plays.
    begin: AtomicUsize,
}

/// Counters and levels of an outlet.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Stats {
    /// Callbacks of the device.
    pub callbacks: u64,
    /// Times that the ring ran dry.
    pub underruns: u64,
    /// Frames of silence that were played for want of sound.
    pub silence: u64,
    /// Blocks left out since too much had gathered.
    pub skipped: u64,
    /// Frames without room in the ring.
    pub overfull: u64,
    /// How much faster than the session's the device's clock runs, in parts per million.
    pub drift_ppm: f64,
    /// Microseconds of sound in the ring, as smoothed.
    pub ring_us: u64,
    /// The level aimed at.
    pub target_us: u64,
    /// Microseconds in the resampler's filter.
    pub resampler_us: u64,
    /// What the device says of its own latency, and the block that it has taken.
    pub device_us: u64,
}

/// Room of a ring.
const ROOM_MS: usize = 500;
const STAMPS: usize = 512;
/// What lies in the ring after a block, at first and at most: the block, and what callbacks and blocks may be late.
const LEAST_US: f64 = 20_000.0;
const MOST_US: f64 = 120_000.0;
/// Grows so much when the ring ran dry, and shrinks so much a second.
const GROW_US: f64 = 10_000.0;
const SHRINK_US: f64 = 100.0;
/// What lies beyond the target by more is left out, not played faster, until little is left of it.
const LEAP_US: f64 = 60_000.0;
const LEFT_US: f64 = 12_000.0;
/// Blocks after which the level at which it has begun shows.
const SETTLED: u32 = 8;
/// Share of one stamp in the device's mean delay.
const MEAN: f64 = 1.0 / 64.0;
/// A device is thought to go on for so long after its last callback.
const AHEAD_US: f64 = 100_000.0;

/// The two ends for a device of this format.
pub fn outlet(format: Format) -> (Drain, Outlet) {
    let given = format.given.clamp(1, 2);
    let format = Format { rate: format.rate.max(1), channels: format.channels.max(1), given };
    let channels = usize::from(given);
    let (samples, samples_out) = RingBuffer::new(format.rate as usize * ROOM_MS / 1_000 * channels);
    let (stamps_in, stamps) = RingBuffer::new(STAMPS);
    let shared = Arc::<Shared>::default();
    let stretch = Stretch::new(RATE, format.rate, given, Fixed::In(BLOCK));
    let (_, most) = stretch.most();
    let drain = Drain {
        format,
        samples: samples_out,
        stamps: stamps_in,
        shared: shared.clone(),
        taken: 0,
        last: [0.0; 2],
        fade: 0,
    };
    let outlet = Outlet {
        format,
        samples,
        stamps,
        stamp: None,
        delay_us: None,
        shared,
        drift: Drift::new(drift::Config::default()),
        stretch,
        made: vec![0.0; most * channels],
        held: vec![0.0; BLOCK * channels],
        holding: false,
        skipping: false,
        settled: 0,
        pushed: 0,
        level_us: 0.0,
        target_us: LEAST_US,
        underruns: 0,
        last: None,
        stats: Stats::default(),
    };
    outlet.aim();
    (drain, outlet)
}

/// The callback's end: no allocation, no lock, no system call.
pub struct Drain {
    format: Format,
    samples: Consumer<f32>,
    stamps: Producer<Stamp>,
    shared: Arc<Shared>,
    taken: u64,
    /// Last frame that was played, from which a dry ring fades out.
    last: [f32; 2],
    /// Frames until a beginning has faded in.
    fade: usize,
}

#[derive(Clone, Copy, Debug)]
struct Stamp {
    /// Frames taken, the ones of this callback included.
    taken: u64,
    at: Time,
    /// What is taken next sounds so much later.
    delay_us: u64,
}

impl Drain {
    /// The device wants `frames` frames at `now`, of which the first will sound `delay_us` later. Calls `put` with each
    /// sample, within ±1, interleaved with the device's channels.
    pub fn play(&mut self, frames: usize, now: Time, delay_us: u64, mut put: impl FnMut(f32)) {
        let given = usize::from(self.format.given);
        self.shared.callbacks.fetch_add(1, Ordering::Relaxed);
        let waiting = self.samples.slots() / given;
        let mut playing = self.shared.playing.load(Ordering::Relaxed);
        if !playing && waiting >= frames + self.shared.begin.load(Ordering::Relaxed) {
            (playing, self.fade) = (true, FADE);
        }
        let has = if playing { waiting.min(frames) } else { 0 };
        if let Ok(chunk) = self.samples.read_chunk(has * given) {
            let (front, back) = chunk.as_slices();
            let mut samples = front.iter().chain(back).copied();
            for _ in 0..has {
                let left = samples.next().unwrap_or(0.0);
                let right = if given == 2 { samples.next().unwrap_or(0.0) } else { left };
                let gain = 1.0 - self.fade as f32 / FADE as f32;
                self.fade = self.fade.saturating_sub(1);
                self.last = [left * gain, right * gain];
                frame(self.last, self.format.channels, &mut put);
            }
            chunk.commit_all();
        }
        for _ in has..frames {
            self.last.iter_mut().for_each(|last| *last *= TAIL);
            frame(self.last, self.format.channels, &mut put);
        }
        if playing && has < frames {
            playing = false;
            self.shared.underruns.fetch_add(1, Ordering::Relaxed);
        }
        self.shared.silence.fetch_add((frames - has) as u64, Ordering::Relaxed);
        self.shared.playing.store(playing, Ordering::Relaxed);
        self.taken += has as u64;
        // Without room for a stamp the writer has been away, and finds the next.
        let delay_us = delay_us + frames as u64 * 1_000_000 / u64::from(self.format.rate);
        let _ = self.stamps.push(Stamp { taken: self.taken, at: now, delay_us });
    }
}

/// Left and right go to the first two channels of a device, their middle to the one of a device with one.
fn frame([left, right]: [f32; 2], channels: u16, put: &mut impl FnMut(f32)) {
    if channels == 1 {
        return put((left + right) / 2.0);
    }
    put(left);
    put(right);
    (2..channels).for_each(|_| put(0.0));
}

/// The writer's end. Allocates nothing once it is made.
pub struct Outlet {
    format: Format,
    samples: Producer<f32>,
    stamps: Consumer<Stamp>,
    stamp: Option<Stamp>,
    /// Mean of the stamps' delays.
    delay_us: Option<f64>,
    shared: Arc<Shared>,
    drift: Drift,
    stretch: Stretch,
    made: Vec<f32>,
    /// A block that waits to be blended into the next, where one is left out.
    held: Vec<f32>,
    holding: bool,
    skipping: bool,
    /// Blocks since it plays.
    settled: u32,
    pushed: u64,
    level_us: f64,
    target_us: f64,
    underruns: u64,
    last: Option<Time>,
    stats: Stats,
}

impl Outlet {
    /// Takes one block of [`BLOCK`] frames that belongs to `beat`, the session's time at which it was due. Returns when its
    /// first sample will sound.
    ///
    /// # Panics
    /// The block has another length.
    pub fn push(&mut self, block: &[f32], beat: Time) -> Time {
        assert_eq!(block.len(), self.held.len(), "a block");
        while let Ok(stamp) = self.stamps.pop() {
            let delay_us = stamp.delay_us as f64;
            self.delay_us = self.delay_us.map_or(Some(delay_us), |mean| Some(mean + (delay_us - mean) * MEAN));
            self.stamp = Some(stamp);
        }
        let passed_us = self.last.replace(beat).map_or(0, |last| beat.since(last)) as f64;
        let falling = self.adapt(passed_us);
        let playing = self.shared.playing.load(Ordering::Relaxed);
        let beyond_us = self.level_us - self.target_us;
        self.skipping = playing && beyond_us > if self.skipping { LEFT_US } else { LEAP_US };
        if self.skipping && !self.holding {
            self.held.copy_from_slice(block);
            self.holding = true;
            self.stats.skipped += 1;
            self.drift.forget();
        } else {
            self.write(block);
        }
        self.level_us = self.level(beat);
        self.settled = if playing { self.settled.saturating_add(1) } else { 0 };
        if self.settled == SETTLED {
            // It begins with a block more or less. Whoever hurried to the target now would be out of tune.
            self.target_us = self.level_us.clamp(self.target_us, self.target_us + BLOCK_US as f64);
            self.drift.forget();
        }
        if self.settled >= SETTLED && !self.holding {
            let speed = self.drift.update((self.level_us - self.target_us) / 1e6, passed_us / 1e6);
            self.stretch.lengthen(1.0 / (speed + falling));
        }
        let delay_us = self.delay_us.unwrap_or(0.0);
        let filter_us = self.stretch.delay() as f64 * 1e6 / f64::from(self.format.rate);
        beat.plus((self.level_us - BLOCK_US as f64 + delay_us + filter_us).max(0.0) as u64)
    }

    /// Callbacks so far: a device that stops shows here.
    pub fn callbacks(&self) -> u64 {
        self.shared.callbacks.load(Ordering::Relaxed)
    }

    /// The device plays what it is given, and is not filling up.
    pub fn is_playing(&self) -> bool {
        self.shared.playing.load(Ordering::Relaxed)
    }

    /// Counters and levels now.
    pub fn stats(&self) -> Stats {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Stats {
            callbacks: load(&self.shared.callbacks),
            underruns: load(&self.shared.underruns),
            silence: load(&self.shared.silence),
            drift_ppm: -self.drift.learnt_ppm(),
            ring_us: self.level_us.max(0.0) as u64,
            target_us: self.target_us as u64,
            resampler_us: self.stretch.delay() as u64 * 1_000_000 / u64::from(self.format.rate),
            device_us: self.delay_us.unwrap_or(0.0) as u64,
            ..self.stats
        }
    }

    fn write(&mut self, block: &[f32]) {
        let given = usize::from(self.format.given);
        let blended = std::mem::take(&mut self.holding);
        if blended {
            for (n, (held, new)) in self.held.chunks_exact_mut(given).zip(block.chunks_exact(given)).enumerate() {
                let share = n as f32 / BLOCK as f32;
                held.iter_mut().zip(new).for_each(|(held, new)| *held += (new - *held) * share);
            }
        }
        let made = self.stretch.process(if blended { &self.held } else { block }, &mut self.made);
        let fits = made.min(self.samples.slots() / given);
        let _ = self.samples.push_entire_slice(&self.made[..fits * given]);
        self.stats.overfull += (made - fits) as u64;
        self.pushed += fits as u64;
    }

    /// Microseconds of sound in the ring at `beat`.
    fn level(&self, beat: Time) -> f64 {
        let rate = f64::from(self.format.rate);
        let Some(stamp) = self.stamp else { return self.pushed as f64 * 1e6 / rate };
        // A callback that is late finds less in the device: what counts is when the next sample sounds.
        let late_us = self.delay_us.map_or(0.0, |mean| mean - stamp.delay_us as f64);
        let since_us = (beat.0 as f64 - stamp.at.0 as f64 + late_us).clamp(-AHEAD_US, AHEAD_US);
        (self.pushed as f64 - stamp.taken as f64) * 1e6 / rate - since_us
    }

    /// More waits in the ring after it ran dry, and less after a long time without. Returns how fast the target falls, which
    /// is no drift to be learnt.
    fn adapt(&mut self, passed_us: f64) -> f64 {
        let before_us = self.target_us;
        let underruns = self.shared.underruns.load(Ordering::Relaxed);
        if underruns > self.underruns {
            self.target_us = (self.target_us + GROW_US).min(MOST_US);
            self.underruns = underruns;
            self.drift.forget();
        } else {
            self.target_us = (self.target_us - SHRINK_US * passed_us / 1e6).max(LEAST_US);
        }
        self.aim();
        if passed_us > 0.0 { (before_us - self.target_us).max(0.0) / passed_us } else { 0.0 }
    }

    fn aim(&self) {
        let frames = (self.target_us - BLOCK_US as f64) * f64::from(self.format.rate) / 1e6;
        self.shared.begin.store(frames.max(0.0) as usize, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A speaker whose clock is `ppm` fast plays `seconds` of a tone with callbacks of `period` frames, each late by
    /// `late(n)` microseconds; blocks come every 10 ms except where `blocked`. What was played, and the counters.
    fn play(
        (rate, period): (u32, usize),
        hertz: f64,
        ppm: f64,
        seconds: u64,
        late: impl Fn(u64) -> u64,
        blocked: impl Fn(u64) -> bool,
    ) -> (Vec<f32>, Stats, Vec<(Time, u64)>) {
        let (mut drain, mut outlet) = outlet(Format { rate, channels: 1, given: 1 });
        let (mut all, mut heard) = (Vec::new(), Vec::new());
        let (mut calls, mut beats, mut waiting) = (0u64, 0u64, Vec::new());
        let call_at = |n: u64| n as f64 * period as f64 / (f64::from(rate) * (1.0 + ppm * 1e-6)) * 1e6;
        while beats < seconds * 100 {
            let beat = Time(beats * 10_000);
            let next = Time(call_at(calls) as u64 + late(calls));
            if next <= beat {
                drain.play(period, next, 5_000, |sample| all.push(sample));
                calls += 1;
                continue;
            }
            waiting.push(beat);
            if !blocked(beats) {
                for beat in waiting.drain(..) {
                    let from = beat.0 * 48 / 1_000;
                    let tone = |i: u64| (std::f64::consts::TAU * hertz * (from + i) as f64 / 48_000.0).sin() * 0.5;
                    let block: Vec<f32> = (0..480).map(|i| tone(i) as f32).collect();
                    heard.push((outlet.push(&block, beat), from));
                }
            }
            beats += 1;
        }
        (all, outlet.stats(), heard)
    }

    fn bend(pcm: &[f32]) -> f32 {
        pcm.windows(3).map(|w| (w[2] - 2.0 * w[1] + w[0]).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn drift_is_played_away_without_a_break_at_every_period() {
        for (device, ppm) in
            [((48_000, 480), 200.0), ((48_000, 1_024), -200.0), ((44_100, 441), 500.0), ((96_000, 256), -900.0)]
        {
            let (all, stats, _) = play(device, 400.0, ppm, 90, |_| 0, |_| false);
            assert_eq!((stats.underruns, stats.skipped, stats.overfull), (0, 0, 0), "{device:?} {ppm}");
            assert!((stats.drift_ppm - ppm).abs() < 10.0, "{device:?} {ppm}: {}", stats.drift_ppm);
            assert!(stats.ring_us.abs_diff(stats.target_us) < 1_500, "{stats:?}");
            // 400 Hz at 0.5: no step of the slope beyond that of the tone itself.
            let turn = std::f32::consts::TAU * 400.0 / device.0 as f32;
            let most = 0.5 * turn * turn * 1.15;
            let sound = &all[device.0 as usize..];
            assert!(bend(sound) < most, "{device:?} {ppm}: {} of {most}", bend(sound));
        }
    }

    #[test]
    fn late_callbacks_shake_neither_pitch_nor_level() {
        let mut random = fastrand::Rng::with_seed(6);
        let jitter: Vec<u64> = (0..20_000).map(|_| random.u64(..4_000)).collect();
        let (all, stats, _) = play((48_000, 480), 400.0, 100.0, 60, |n| jitter[n as usize], |_| false);
        assert!(stats.underruns == 0 && stats.skipped == 0, "{stats:?}");
        assert!((stats.drift_ppm - 100.0).abs() < 60.0, "{stats:?}");
        assert!(bend(&all[48_000..]) < 0.5 * 0.0524 * 0.0524 * 1.15);
    }

    #[test]
    fn a_writer_that_sleeps_is_a_fade_and_not_a_click_and_the_level_comes_back() {
        let (all, stats, _) = play((48_000, 480), 400.0, 0.0, 30, |_| 0, |beat| (500..520).contains(&beat));
        assert!(stats.underruns >= 1 && stats.silence > 4_800, "{stats:?}");
        // What gathered meanwhile is left out.
        assert!(stats.skipped >= 5 && stats.ring_us < 120_000, "{stats:?}");
        let jump = all.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(jump < 0.04, "{jump}");
    }

    #[test]
    fn a_device_that_stops_loses_what_it_does_not_take_and_it_is_counted() {
        let (_drain, mut outlet) = outlet(Format { rate: 48_000, channels: 2, given: 2 });
        for beat in 0..200 {
            outlet.push(&[0.1; 960], Time::from_ms(beat * 10));
        }
        assert!(outlet.stats().overfull > 70_000, "{:?}", outlet.stats());
    }

    #[test]
    fn it_is_known_when_a_block_sounds() {
        let (all, _, heard) = play((48_000, 480), 25.0, 0.0, 20, |_| 0, |_| false);
        // The device plays its sample n at n/48 000 s and 5 ms; the tone's phase says which sample of ours that is.
        let (at, from) = heard[1_500];
        let n = ((at.0 - 5_000) * 48 / 1_000) as usize;
        let turn = std::f64::consts::TAU * 25.0 / 48_000.0;
        let (re, im) = all[n..n + 1_920].iter().enumerate().fold((0.0, 0.0), |(re, im), (i, s)| {
            let angle = turn * (from as f64 + i as f64);
            (re + f64::from(*s) * angle.sin(), im + f64::from(*s) * angle.cos())
        });
        let off_us = im.atan2(re) / turn / 0.048;
        assert!(off_us.abs() < 100.0, "{off_us} us off");
    }

    #[test]
    fn a_device_with_one_channel_gets_the_middle_and_one_with_six_the_front() {
        for (channels, expect) in [(1u16, vec![0.3]), (2, vec![0.2, 0.4]), (6, vec![0.2, 0.4, 0.0, 0.0, 0.0, 0.0])] {
            let (mut drain, mut outlet) = outlet(Format { rate: 48_000, channels, given: 2 });
            let block: Vec<f32> = (0..480).flat_map(|_| [0.2, 0.4]).collect();
            let mut all = Vec::new();
            for beat in 0..20 {
                outlet.push(&block, Time::from_ms(beat * 10));
                drain.play(480, Time::from_ms(beat * 10), 0, |sample| all.push(sample));
            }
            let last = &all[all.len() - expect.len()..];
            assert!(last.iter().zip(&expect).all(|(a, b)| (a - b).abs() < 1e-3), "{last:?}");
        }
    }
}
