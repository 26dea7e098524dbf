//! When a picture was taken: the device's own time, on the session's clock.

use crate::time::{Clock, Time};

/// Further back than this, a device's time is not the system's monotonic one.
const OLDEST_US: i64 = 2_000_000;

/// So far ahead a device's time may be, for reading two clocks takes time.
const AHEAD_US: i64 = 20_000;

/// How fast the estimate of a clock's offset follows clocks that drift apart: 500 ppm, more than crystals do.
const CREEP: i64 = 2_000;

/// Turns the stamps of one device into session time. They never go back, and are never ahead of now.
pub(super) struct Stamps {
    clock: Clock,
    last: Option<Time>,
    own: Option<Own>,
    /// Stamps in a row that could be of the system's clock.
    near: u32,
}

/// So many, and they are: what came before was a fault.
const ENOUGH: u32 = 10;

/// A device with a clock of its own.
#[derive(Clone, Copy)]
struct Own {
    /// What to add to its time for the system's: the smallest seen, as that picture waited least.
    offset: i64,
    /// Its time at the last picture.
    last: i64,
}

impl Stamps {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, last: None, own: None, near: 0 }
    }

    /// The time of a picture that is here now. `device_ns` is what the device says, if it does: of the system's monotonic
    /// clock, or of one of its own.
    pub(super) fn take(&mut self, device_ns: Option<i64>) -> Time {
        let (system, now) = (monotonic_us(), self.clock.now());
        self.place(device_ns.map(|ns| ns / 1_000), system, now)
    }

    fn place(&mut self, device: Option<i64>, system: i64, now: Time) -> Time {
        // Far beyond any clock, and far from overflow.
        let device = device.map(|device| device.clamp(-(1 << 60), 1 << 60));
        let near = device.is_some_and(|device| (-AHEAD_US..OLDEST_US).contains(&(system - device)));
        self.near = if near { self.near + 1 } else { 0 };
        if self.near >= ENOUGH {
            self.own = None;
        }
        let age = match device {
            None => 0,
            Some(device) if self.own.is_none() && near => system - device,
            Some(device) => {
                let offset = system - device;
                let own = match self.own {
                    Some(Own { offset: known, last }) if (1..OLDEST_US).contains(&(device - last)) => {
                        Own { offset: offset.min(known + (device - last) / CREEP), last: device }
                    }
                    // The first picture, or its clock jumped, or stands still.
                    _ => Own { offset, last: device },
                };
                self.own = Some(own);
                (system - device - own.offset).min(OLDEST_US)
            }
        };
        let taken = Time(now.0.saturating_sub(age.max(0) as u64));
        let taken = self.last.map_or(taken, |last| taken.max(last.plus(1)));
        self.last = Some(taken);
        taken
    }
}

/// The system's monotonic clock, in microseconds.
fn monotonic_us() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on every Linux, and `time` is written to alone.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 50_000_000_000;

    /// The times of pictures that the device stamped `device` and that came at `arrival`, both since `NOW`.
    fn placed(pictures: &[(Option<i64>, i64)]) -> Vec<i64> {
        let mut stamps = Stamps::new(Clock::start());
        let times = pictures.iter().map(|(device, arrival)| {
            let now = Time(10_000_000 + *arrival as u64);
            stamps.place(*device, NOW + arrival, now).0 as i64 - 10_000_000
        });
        times.collect()
    }

    #[test]
    fn a_monotonic_stamp_is_taken_as_it_is() {
        let late = [(Some(NOW), 9_000), (Some(NOW + 40_000), 41_000), (Some(NOW + 80_000), 95_000)];
        assert_eq!(placed(&late), [0, 40_000, 80_000]);
    }

    #[test]
    fn a_clock_of_its_own_keeps_its_cadence_whatever_the_way_takes() {
        // Each picture is 33 ms after the one before, and between 1 and 9 ms on its way.
        let ways = [5, 1, 9, 3, 7, 1];
        let pictures: Vec<_> =
            (0..60).map(|i| (Some(777 + 33_000 * i), 33_000 * i + 1_000 * ways[i as usize % 6])).collect();
        let times = placed(&pictures);
        for pair in times[1..].windows(2) {
            assert!((32_900..33_100).contains(&(pair[1] - pair[0])), "{pair:?}");
        }
    }

    #[test]
    fn without_a_stamp_it_is_when_the_picture_came_and_none_goes_back() {
        assert_eq!(placed(&[(None, 5), (None, 40_000), (None, 40_000)]), [5, 40_000, 40_001]);
        let back = [(Some(NOW + 40_000), 41_000), (Some(NOW + 20_000), 60_000), (Some(NOW + 80_000), 81_000)];
        assert_eq!(placed(&back), [40_000, 40_001, 80_000]);
    }

    #[test]
    fn a_first_stamp_that_is_wrong_does_not_last() {
        // Each is 30 ms old when it comes.
        let stamps = (0..30).map(|i| (Some(if i == 0 { 5 } else { NOW + 40_000 * i - 30_000 }), 40_000 * i));
        let times = placed(&stamps.collect::<Vec<_>>());
        let ages: Vec<i64> = times.iter().zip(0..).map(|(time, i)| 40_000 * i - time).collect();
        assert!(ages[0] == 0 && ages[12..].iter().all(|age| *age == 30_000), "{ages:?}");
    }

    #[test]
    fn absurd_stamps_are_no_fault() {
        assert_eq!(placed(&[(Some(0), 10), (Some(0), 40_010), (Some(0), 80_010)]), [10, 40_010, 80_010]);
        for stamp in [i64::MIN, -1, 0, i64::MAX, NOW + 3_600_000_000] {
            let times = placed(&[(Some(stamp), 10), (Some(stamp.wrapping_add(33_000)), 33_010), (Some(0), 66_010)]);
            assert!(times.is_sorted() && times[2] <= 66_012, "{stamp}: {times:?}");
        }
    }
}
