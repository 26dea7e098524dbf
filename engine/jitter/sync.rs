//! Audio and video in step: sender reports map both RTP clocks to one, and the earlier stream waits for the later.

use crate::time::Time;

/// The wait changes by at most this much a call, so that video neither jumps nor stalls.
const SLEW_US: i64 = 5_000;

/// Video is never held longer than this for the sake of the sound.
const MAX_WAIT_US: i64 = 300_000;

/// One stream's clock, from its last sender report (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug)]
struct Report {
    /// Sender's wall clock in microseconds.
    wall_us: i64,
    rtp: u32,
}

/// Maps the RTP times of one stream to the sender's wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Mapping {
    rate: i64,
    report: Option<Report>,
}

impl Mapping {
    /// A stream with `rate` RTP ticks a second.
    pub fn new(rate: u64) -> Self {
        Self { rate: rate as i64, report: None }
    }

    /// A sender report: 32.32 NTP time and the RTP time of the same moment.
    pub fn report(&mut self, ntp: u64, rtp: u32) {
        let wall_us = ((ntp >> 32) as i64) * 1_000_000 + (((ntp & 0xffff_ffff) * 1_000_000) >> 32) as i64;
        self.report = Some(Report { wall_us, rtp });
    }

    /// The sender's wall clock, in microseconds, at which the media with `rtp` was captured. `None` before a report.
    pub fn wall_us(&self, rtp: u32) -> Option<i64> {
        let report = self.report?;
        Some(report.wall_us + i64::from(rtp.wrapping_sub(report.rtp) as i32) * 1_000_000 / self.rate)
    }
}

/// How long video waits before it is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sync {
    wait_us: i64,
    audio: Option<i64>,
    video: Option<i64>,
}

impl Sync {
    /// Sound captured at `wall_us` on the sender's clock is heard at `now`.
    pub fn heard(&mut self, wall_us: i64, now: Time) {
        self.audio = Some(now.0 as i64 - wall_us);
    }

    /// A picture captured at `wall_us` could be shown at `now`. Returns when to show it.
    pub fn show_at(&mut self, wall_us: i64, now: Time) -> Time {
        let latency = now.0 as i64 - wall_us;
        self.video = Some(latency);
        if let Some(audio) = self.audio {
            let wanted = (audio - latency).clamp(0, MAX_WAIT_US);
            self.wait_us += (wanted - self.wait_us).clamp(-SLEW_US, SLEW_US);
        }
        now.plus(self.wait_us as u64)
    }

    /// How far sound lags behind pictures as they are shown, in microseconds; negative where it leads.
    pub fn skew_us(&self) -> Option<i64> {
        Some(self.audio? - self.video? - self.wait_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtp_times_map_to_the_senders_clock_across_a_wrap() {
        let mut mapping = Mapping::new(90_000);
        assert_eq!(mapping.wall_us(0), None);
        mapping.report(10 << 32 | 1 << 31, u32::MAX - 44_999);
        assert_eq!(mapping.wall_us(45_000), Some(11_500_000));
        assert_eq!(mapping.wall_us(u32::MAX - 89_999), Some(10_000_000));
    }

    #[test]
    fn video_waits_for_the_sound_without_jumping() {
        let mut sync = Sync::default();
        let mut last = 0;
        for i in 0..100u64 {
            let captured = i as i64 * 33_000;
            sync.heard(captured, Time(captured as u64 + 120_000));
            let shown = sync.show_at(captured, Time(captured as u64 + 40_000)).0 as i64 - captured - 40_000;
            assert!((shown - last).abs() <= SLEW_US);
            last = shown;
        }
        assert_eq!(last, 80_000);
        assert_eq!(sync.skew_us(), Some(0));
    }
}
