//! Whether the stage holds its rate, and the size at which it would: a live session scales its pictures down rather
//! than let them pile up.
//!
//! [`Pace`] is told how long each picture took, how far apart they come and how many were displaced before their turn.
//! It judges by windows of half a second. Four in a row in which the work needs more than 90 % of the time, or in which
//! pictures are displaced while it needs more than half, lower the size to the first step that should need less than 75 %.
//! Ten seconds in which the next larger size should need less than 65 % raise it by one step. Where a raise does not last
//! ten seconds the next one waits twice as long, so that the size does not swing.

use conclave_codecs::Size;

use crate::time::Time;

/// Another size, or the news that there is none to help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// Size of the pictures before.
    pub from: Size,
    /// Size from the next picture on.
    pub to: Size,
    /// What led to it.
    pub why: Why,
    /// Share of the time between two pictures that convert and encode took in the last window, in percent.
    pub load: u32,
    /// Pictures displaced in the last window, because the one before was still being worked on.
    pub displaced: u64,
}

/// Why a size changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub enum Why {
    /// The rate was not held.
    Behind,
    /// The rate was not held and there is no smaller size: `to` is `from`. Said once until it eases.
    Smallest,
    /// There has been time to spare.
    Eased,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Pace {
    /// The size that is wanted.
    full: Size,
    /// Index into the steps; 0 is full size.
    step: u8,
    resizable: bool,
    window: Window,
    /// Windows in a row that were too slow.
    behind: u32,
    /// Since when there has been time to spare.
    eased: Option<Time>,
    raised: Option<Time>,
    /// How long there must be time to spare before the size is raised.
    wait_us: u64,
    told: bool,
}

/// What was seen since `start`.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    start: Option<Time>,
    pictures: u64,
    spent_us: u64,
    interval_us: u64,
    displaced: u64,
}

impl Pace {
    /// For pictures of `full` size; `resizable` says whether smaller ones are possible.
    pub fn new(full: Size, resizable: bool) -> Self {
        Self {
            full,
            step: 0,
            resizable,
            window: Window::default(),
            behind: 0,
            eased: None,
            raised: None,
            wait_us: EASE_US,
            told: false,
        }
    }

    /// The size of the pictures now.
    pub fn size(&self) -> Size {
        self.at(self.step).unwrap_or(self.full)
    }

    /// A picture was done at `now`, after `spent_us` of work. They come `interval_us` apart, and `displaced` of them were
    /// lost since the call before. A change holds from the next picture on.
    pub fn picture(&mut self, now: Time, spent_us: u64, interval_us: u64, displaced: u64) -> Option<Change> {
        // The work of a picture lies before its end.
        let start = *self.window.start.get_or_insert(Time(now.0.saturating_sub(spent_us)));
        self.window.pictures += 1;
        self.window.spent_us = self.window.spent_us.saturating_add(spent_us);
        self.window.interval_us = self.window.interval_us.saturating_add(interval_us);
        self.window.displaced += displaced;
        if now.since(start) < WINDOW_US {
            return None;
        }
        let Window { spent_us, interval_us, displaced, .. } = std::mem::take(&mut self.window);
        let load = (spent_us.saturating_mul(100) / interval_us.max(1)).min(u64::from(u32::MAX)) as u32;
        let (step, why) = self.judge(now, load, displaced)?;
        let from = self.size();
        self.step = step;
        Some(Change { from, to: self.size(), why, load, displaced })
    }

    /// The step to go to after a window, if any.
    fn judge(&mut self, now: Time, load: u32, displaced: u64) -> Option<(u8, Why)> {
        if load > BUSY || displaced > 0 && load > BUSY_AND_LOSING {
            (self.behind, self.eased) = (self.behind + 1, None);
            if self.behind < PATIENCE {
                return None;
            }
            self.behind = 0;
            let Some(step) = self.lower(load) else {
                return (!std::mem::replace(&mut self.told, true)).then_some((self.step, Why::Smallest));
            };
            if self.raised.take().is_some_and(|at| now.since(at) < TRIAL_US) {
                self.wait_us = (2 * self.wait_us).min(MAX_EASE_US);
            }
            return Some((step, Why::Behind));
        }
        self.behind = 0;
        if self.raised.is_some_and(|at| now.since(at) >= TRIAL_US) {
            (self.raised, self.wait_us) = (None, EASE_US);
        }
        let spare = match self.step.checked_sub(1) {
            Some(larger) => self.expected(load, larger) < SPARE,
            None => load < SPARE,
        };
        if !spare {
            self.eased = None;
            return None;
        }
        self.told = false;
        let since = *self.eased.get_or_insert(now);
        if self.step == 0 || now.since(since) < self.wait_us {
            return None;
        }
        (self.eased, self.raised) = (None, Some(now));
        Some((self.step - 1, Why::Eased))
    }

    /// The first smaller step that should do, or the smallest there is.
    fn lower(&self, load: u32) -> Option<u8> {
        let smaller = || (self.step + 1..=LAST_STEP).take_while(|step| self.at(*step).is_some());
        smaller().find(|step| self.expected(load, *step) <= AIM).or_else(|| smaller().last())
    }

    /// What a load at the size of now would be at another step: in proportion to the samples.
    fn expected(&self, load: u32, step: u8) -> u32 {
        let (now, then) = (self.size().area() as u64, self.at(step).unwrap_or(self.full).area() as u64);
        (u64::from(load) * then / now.max(1)).min(u64::from(u32::MAX)) as u32
    }

    /// The size at a step; `None` where that would be too small.
    fn at(&self, step: u8) -> Option<Size> {
        if step == 0 {
            return Some(self.full);
        }
        // 3/4, 1/2, 3/8, 1/4 and so on, in even numbers.
        let (of, shift) = (if step % 2 == 1 { 3 } else { 2 }, u32::from(step - 1) / 2 + 2);
        let side = |full: u32| ((u64::from(full) * of) >> shift) as u32 & !1;
        let size = Size::new(side(self.full.width), side(self.full.height));
        (self.resizable && size.width >= MIN_WIDTH && size.height >= MIN_HEIGHT).then_some(size)
    }
}

/// Length of a window.
const WINDOW_US: u64 = 500_000;
/// Windows in a row that must be too slow.
const PATIENCE: u32 = 4;
/// Loads in percent: too slow; too slow where pictures are displaced; what a lower size is chosen for; what a larger size
/// may be expected to take.
const BUSY: u32 = 90;
const BUSY_AND_LOSING: u32 = 50;
const AIM: u32 = 75;
const SPARE: u32 = 65;
/// Time to spare before a raise, at first and at most.
const EASE_US: u64 = 10_000_000;
const MAX_EASE_US: u64 = 160_000_000;
/// A raise that lasts so long was right.
const TRIAL_US: u64 = 10_000_000;
/// No size is lowered below this.
const MIN_WIDTH: u32 = 160;
const MIN_HEIGHT: u32 = 16;
/// 2⁻⁸ of the full size.
const LAST_STEP: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: u64 = 33_333;
    const HD: Size = Size::new(1280, 720);

    /// A machine that takes so many microseconds for a thousand samples, working on a camera in told time.
    struct Machine {
        pace: Pace,
        now: Time,
        /// When the camera's next picture comes.
        next: Time,
        cost: u64,
    }

    impl Machine {
        fn new(full: Size, cost: u64) -> Self {
            Self { pace: Pace::new(full, true), now: Time(0), next: Time(0), cost }
        }

        /// Runs for so many seconds and returns what changed.
        fn run(&mut self, seconds: u64) -> Vec<Change> {
            let (end, mut changes) = (self.now.plus(seconds * 1_000_000), Vec::new());
            while self.now < end {
                // The newest picture counts, those before it were displaced.
                let missed = self.now.since(self.next) / INTERVAL;
                self.now = self.now.max(self.next);
                self.next = self.next.plus((missed + 1) * INTERVAL);
                let spent = self.cost * self.pace.size().area() as u64 / 1000;
                self.now = self.now.plus(spent);
                changes.extend(self.pace.picture(self.now, spent, INTERVAL, missed));
            }
            changes
        }
    }

    #[test]
    fn a_machine_that_holds_its_rate_is_left_alone() {
        // 28 ms of 33.
        assert_eq!(Machine::new(HD, 30).run(600), []);
    }

    #[test]
    fn a_machine_that_falls_behind_goes_to_the_size_that_it_can_hold_and_stays() {
        // 41 ms of 33: three quarters of the sides take 23 ms.
        let changes = Machine::new(HD, 45).run(600);
        let [Change { from: HD, to, why: Why::Behind, load: 120..=130, displaced: 1.. }] = changes[..] else {
            panic!("{changes:?}")
        };
        assert_eq!(to, Size::new(960, 540));
    }

    #[test]
    fn a_machine_that_is_far_too_slow_goes_down_at_once() {
        // 166 ms of 33: 3/8 of the sides take 23 ms.
        let changes = Machine::new(HD, 180).run(60);
        assert_eq!(changes.iter().map(|change| change.to).collect::<Vec<_>>(), [Size::new(480, 270)]);
    }

    #[test]
    fn a_short_spell_changes_nothing() {
        let mut machine = Machine::new(HD, 20);
        for _ in 0..20 {
            machine.cost = 80;
            assert_eq!(machine.run(1), []);
            machine.cost = 15;
            assert_eq!(machine.run(3), []);
        }
    }

    #[test]
    fn time_to_spare_brings_the_size_back_step_by_step() {
        let mut machine = Machine::new(HD, 100);
        assert_eq!(machine.run(5).last().map(|change| change.to), Some(Size::new(640, 360)));
        machine.cost = 10;
        let changes = machine.run(40);
        let seen: Vec<_> = changes.iter().map(|change| (change.to, change.why)).collect();
        assert_eq!(seen, [(Size::new(960, 540), Why::Eased), (HD, Why::Eased)]);
    }

    #[test]
    fn a_raise_that_does_not_last_is_tried_ever_more_seldom() {
        // What takes more time at full size than its samples say: the forecast is wrong each time.
        let mut pace = Pace::new(Size::new(640, 360), true);
        let (mut now, mut raises) = (Time(0), Vec::new());
        while now < Time(600_000_000) {
            let spent = if pace.size().width == 640 { 40_000 } else { 10_000 };
            now = now.plus(INTERVAL.max(spent));
            raises.extend(pace.picture(now, spent, INTERVAL, 0).filter(|change| change.why == Why::Eased).map(|_| now));
        }
        let gaps: Vec<_> = raises.windows(2).map(|pair| pair[1].since(pair[0]) / 1_000_000).collect();
        assert!((3..=7).contains(&raises.len()) && gaps.is_sorted() && gaps[0] >= 20, "{gaps:?}");
    }

    #[test]
    fn the_smallest_size_is_the_last_word_and_is_said_once() {
        let mut machine = Machine::new(Size::new(640, 360), 100_000);
        let changes = machine.run(600);
        let seen: Vec<_> = changes.iter().map(|change| (change.to, change.why)).collect();
        assert_eq!(seen, [(Size::new(160, 90), Why::Behind), (Size::new(160, 90), Why::Smallest)]);
        for (full, resizable) in [(Size::new(160, 120), true), (Size::new(1280, 16), true), (HD, false)] {
            let mut machine = Machine { pace: Pace::new(full, resizable), ..Machine::new(full, 100_000) };
            let changes = machine.run(600);
            assert!(matches!(changes[..], [Change { from, to, why: Why::Smallest, .. }] if from == full && to == full));
        }
    }

    #[test]
    fn displaced_pictures_count_only_where_the_work_may_be_to_blame() {
        let run = |spent| {
            let (mut pace, mut changes) = (Pace::new(HD, true), Vec::new());
            for picture in 1..300 {
                changes.extend(pace.picture(Time(picture * INTERVAL), spent, INTERVAL, 1));
            }
            changes
        };
        assert_eq!(run(INTERVAL / 4), []);
        assert!(matches!(run(INTERVAL * 3 / 4)[..], [Change { why: Why::Behind, .. }, ..]));
    }
}
