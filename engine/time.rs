//! Time as the cores see it: they are told `now`, in microseconds since the session began, and never read a clock.

/// Microseconds since the session began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Time(pub u64);

/// How often both cores want to be told the time, in microseconds.
pub const TICK_US: u64 = 10_000;

impl Time {
    /// A time `ms` milliseconds into the session.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms * 1000)
    }

    /// Microseconds from `earlier` to here; 0 where `earlier` is later.
    pub const fn since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This time, `us` microseconds later.
    pub const fn plus(self, us: u64) -> Self {
        Self(self.0.saturating_add(us))
    }
}

/// The one clock of an embedder that wants real time: threads and programs read it, the cores are told.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: std::time::Instant,
    fast_ppm: i32,
}

impl Clock {
    /// A clock that reads 0 now.
    pub fn start() -> Self {
        Self::start_fast(0)
    }

    /// A clock that reads 0 now and gains so many microseconds a second: that of another machine, to try out drift.
    pub fn start_fast(ppm: i32) -> Self {
        Self { start: std::time::Instant::now(), fast_ppm: ppm }
    }

    /// Time since the start.
    pub fn now(&self) -> Time {
        let real = i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX);
        // A century of microseconds has room for this.
        let gained =
            real / 1_000_000 * i64::from(self.fast_ppm) + real % 1_000_000 * i64::from(self.fast_ppm) / 1_000_000;
        Time(u64::try_from(real.saturating_add(gained)).unwrap_or(0))
    }
}

/// Fine time for ledger stamps, and for nothing else: no decision of a core depends on it.
///
/// A core calls [`Stopwatch::begin`] with the `now` it was told. A *running* stopwatch then adds what really passed
/// since, so that the cost of a stage shows even in virtual time; a *still* one reads `now`, so that ledgers replay.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stopwatch {
    base: Time,
    running: Option<std::time::Instant>,
    runs: bool,
}

impl Stopwatch {
    /// Reads the time it was told.
    pub fn still() -> Self {
        Self::default()
    }

    /// Adds the real time since it was told.
    pub fn running() -> Self {
        Self { runs: true, ..Self::default() }
    }

    /// The core was told `now`.
    pub fn begin(&mut self, now: Time) {
        self.base = now;
        self.running = self.runs.then(std::time::Instant::now);
    }

    /// The time for a stamp.
    pub fn read(&self) -> Time {
        self.base.plus(self.running.map_or(0, |at| at.elapsed().as_micros() as u64))
    }
}
