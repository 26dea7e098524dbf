//! What the remote people say, mixed by the session's beat and brought to the speaker: the mixer, the way to the device,
//! and what an echo canceller wants to know of it. No device, no clock and no thread of its own.

use super::level::{self, Meter};
use super::mixer::{self, Mixer, Seat};
use super::outlet::{self, Outlet};
use super::{BLOCK, BLOCK_US};
use crate::drive;
use crate::queue::Idle;
use crate::time::Time;

/// Blocks that are made up for at once; those before are left out.
const MOST_MISSED: u64 = 8;
/// Blocks that a seat has room for, and so the most that are taken out of it in vain.
const MOST_DROPPED: u64 = 20;

/// How long an outlet goes on that another one has replaced: its ring is empty by then.
const LEAVES_US: u64 = 300_000;

/// See the module.
pub struct Playout {
    mixer: Mixer,
    outlet: Option<Outlet>,
    /// One that is replaced, and when it will be gone.
    leaving: Option<(Outlet, Option<Time>)>,
    mixed: Vec<f32>,
    given: Vec<i16>,
    next: Option<Time>,
    meter: Meter,
    missed: u64,
}

impl Playout {
    /// A playout that mixes so, for the device at the other end of `outlet`.
    pub fn new(config: mixer::Config, outlet: Option<Outlet>) -> Self {
        let mixer = Mixer::new(config);
        let samples = BLOCK * usize::from(mixer.channels());
        Self {
            mixer,
            outlet,
            leaving: None,
            mixed: vec![0.0; samples],
            given: vec![0; samples],
            next: None,
            meter: Meter::default(),
            missed: 0,
        }
    }

    /// Whoever is heard, and how loud.
    pub fn mixer(&mut self) -> &mut Mixer {
        &mut self.mixer
    }

    /// Takes what `speaker` has ready into the seat; `false` once its side has stopped. `channels` are its decoder's.
    pub fn take(&mut self, seat: Seat, speaker: &mut drive::Speaker, channels: u8) -> bool {
        loop {
            match speaker.next(std::time::Duration::ZERO) {
                Ok(sound) => {
                    self.mixer.feed(seat, &sound.pcm, channels);
                    speaker.recycle(sound.pcm);
                }
                Err(Idle::Empty) => return true,
                Err(Idle::Closed) => return false,
            }
        }
    }

    /// Mixes what is due at `now` and gives it to the device. To be called every 10 ms or more often. `heard` gets each
    /// block as the speaker was given it, interleaved, and when its first sample sounds.
    pub fn beat(&mut self, now: Time, heard: &mut dyn FnMut(&[i16], Time)) {
        let mut next = self.next.unwrap_or(now);
        let missed = (now.since(next) / BLOCK_US).saturating_sub(MOST_MISSED);
        self.missed += missed;
        // What is too late is not heard: whoever waits in a seat would stay that much later for good.
        (0..missed.min(MOST_DROPPED)).for_each(|_| self.mixer.mix(&mut self.mixed));
        next = next.plus(missed * BLOCK_US);
        while next <= now {
            self.block(next, heard);
            next = next.plus(BLOCK_US);
        }
        self.next = Some(next);
    }

    /// Goes on over `outlet`. The one before plays until this one does, and its last block fades out.
    pub fn switch(&mut self, outlet: Outlet) {
        let old = self.outlet.replace(outlet);
        self.leaving = old.map(|old| (old, None));
    }

    /// Goes on over the outlet that was replaced, where that still plays; `false` where there is none.
    pub fn back(&mut self) -> bool {
        let Some((old, None)) = self.leaving.take() else { return false };
        self.outlet = Some(old);
        true
    }

    /// The device is gone: the mix goes on and is heard by nobody.
    pub fn unplug(&mut self) {
        (self.outlet, self.leaving) = (None, None);
    }

    /// The way to the device, where there is one.
    pub fn outlet(&self) -> Option<&Outlet> {
        self.outlet.as_ref()
    }

    /// A device that was replaced still plays.
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// Level of the mix.
    pub fn level_dbfs(&self) -> f32 {
        self.meter.dbfs()
    }

    /// Blocks that were left out since nobody called for them in time.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Counters and levels of the way to the device; all 0 without one.
    pub fn stats(&self) -> outlet::Stats {
        self.outlet.as_ref().map_or_else(Default::default, Outlet::stats)
    }

    fn block(&mut self, beat: Time, heard: &mut dyn FnMut(&[i16], Time)) {
        self.mixer.mix(&mut self.mixed);
        self.meter.feed(level::dbfs_f32(&self.mixed), BLOCK);
        for (given, sample) in self.given.iter_mut().zip(&self.mixed) {
            *given = (sample * 32_767.0).round() as i16;
        }
        let sounds = self.outlet.as_mut().map_or(beat, |outlet| outlet.push(&self.mixed, beat));
        heard(&self.given, sounds);
        let Some((old, until)) = &mut self.leaving else { return };
        match until {
            None if self.outlet.as_ref().is_some_and(Outlet::is_playing) => {
                fade_out(&mut self.mixed, usize::from(self.mixer.channels()));
                old.push(&self.mixed, beat);
                *until = Some(beat.plus(LEAVES_US));
            }
            None => {
                old.push(&self.mixed, beat);
            }
            Some(until) if beat >= *until => self.leaving = None,
            Some(_) => {}
        }
    }
}

fn fade_out(block: &mut [f32], channels: usize) {
    for (n, frame) in block.chunks_exact_mut(channels).enumerate() {
        let gain = 1.0 - (n + 1) as f32 / BLOCK as f32;
        frame.iter_mut().for_each(|sample| *sample *= gain);
    }
}

#[cfg(test)]
mod tests {
    use super::super::outlet::{Format, outlet};
    use super::*;

    #[test]
    fn what_is_heard_is_what_the_device_plays() {
        let format = Format { rate: 48_000, channels: 1, given: 1 };
        let (mut drain, outlet) = outlet(format);
        let config = mixer::Config { channels: 1, ..Default::default() };
        let mut playout = Playout::new(config, Some(outlet));
        let seat = playout.mixer().join().expect("room");
        let (mut played, mut heard) = (Vec::new(), Vec::new());
        for ms in (0..3_000u64).step_by(10) {
            if ms % 20 == 0 {
                let from = ms * 48;
                let tone = |i: u64| ((from + i) as f64 * std::f64::consts::TAU / 150.0).sin() * 12_000.0;
                let pcm: Vec<i16> = (0..960).map(|i| tone(i) as i16).collect();
                playout.mixer().feed(seat, &pcm, 1);
            }
            playout.beat(Time::from_ms(ms), &mut |pcm, at| heard.push((pcm.to_vec(), at)));
            drain.play(480, Time::from_ms(ms), 0, |sample| played.push(sample));
        }
        assert_eq!(heard.len(), 300);
        for (pcm, at) in &heard[100..250] {
            // The device's sample n sounds at n/48 000 s.
            let n = (at.0 * 48 / 1_000) as usize;
            let off = pcm.iter().zip(&played[n..]).map(|(a, b)| (f32::from(*a) / 32_767.0 - b).abs());
            // The tone moves by 0.0153 a sample.
            assert!(off.fold(0.0, f32::max) < 0.05, "at {at:?}");
        }
    }

    #[test]
    fn a_beat_that_comes_late_is_made_up_for_and_a_long_sleep_is_not() {
        let mut playout = Playout::new(mixer::Config::default(), None);
        let mut count = |ms: u64| {
            let mut blocks = 0;
            playout.beat(Time::from_ms(ms), &mut |_, _| blocks += 1);
            blocks
        };
        assert_eq!([count(0), count(5), count(10), count(60), count(10_060), count(10_061)], [1, 0, 1, 5, 9, 0]);
        assert_eq!(playout.missed(), 991);
    }

    #[test]
    fn a_replaced_device_plays_until_the_new_one_does() {
        let format = Format { rate: 48_000, channels: 1, given: 1 };
        let ((mut old, first), (mut new, second)) = (outlet(format), outlet(format));
        let mut playout = Playout::new(mixer::Config { channels: 1, ..Default::default() }, Some(first));
        let seat = playout.mixer().join().expect("room");
        let mut second = Some(second);
        let (mut was, mut is) = (Vec::new(), Vec::new());
        for ms in (0..2_000u64).step_by(10) {
            if ms % 20 == 0 {
                playout.mixer().feed(seat, &[8_000; 960], 1);
            }
            if ms == 1_000 {
                playout.switch(second.take().expect("once"));
            }
            playout.beat(Time::from_ms(ms), &mut |_, _| {});
            old.play(480, Time::from_ms(ms), 0, |sample| was.push(sample));
            // It begins to call back 150 ms after it was opened.
            if ms >= 1_150 {
                new.play(480, Time::from_ms(ms), 0, |sample| is.push(sample));
            } else {
                is.extend_from_slice(&[0.0; 480]);
            }
        }
        let silent = was.iter().zip(&is).skip(48_000).filter(|(a, b)| a.abs().max(b.abs()) < 0.1).count();
        assert!(silent < 480, "{silent} frames of silence");
        assert!(!playout.is_leaving() && was[90_000..].iter().all(|s| s.abs() < 1e-3));
        let jump = was.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(jump < 0.01, "{jump}");
    }
}
