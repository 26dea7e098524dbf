//! What time tells and what time costs: whether a refusal says by its time where a frame was forged, what a flood of
//! forged frames takes, how long sealing takes at worst, and a rekey from the wish to the last key. Tables on stdout.
//!
//! `cargo bench --bench timing` takes some minutes; `-- --quick` takes seconds and is for trying it out; names of parts
//! (`forged`, `flood`, `seal`, `rekey`) leave out the others. Times per call are of the wall, since a processor clock is
//! too slow to read for them: they want an idle core. Processor times are the process's own and want none.

#[path = "../../tests/support/epochs.rs"]
mod epochs;
mod flood;
mod forged;
#[path = "../support/rekey.rs"]
mod rekey;
mod seal;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Instant;

use conclave::e2ee::group::Config;

/// Counts what this thread allocates and what of it lives.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        let _ = LIVE.try_with(|live| live.set(live.get() + layout.size() as i64));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let _ = LIVE.try_with(|live| live.set(live.get() - layout.size() as i64));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let quick = words.iter().any(|word| word == "--quick");
    let parts: Vec<_> = words.iter().filter(|word| !word.starts_with("--")).collect();
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|word| *word == part);
    println!("reading the clock twice: {} ns (median); not subtracted below\n", overhead());
    if wants("forged") {
        forged::measure(quick);
    }
    if wants("flood") {
        flood::measure(quick);
    }
    if wants("seal") {
        seal::measure(quick);
    }
    if wants("rekey") {
        rekeys(quick);
    }
}

/// What two readings of the clock are apart, in nanoseconds.
fn overhead() -> u32 {
    let mut samples: Vec<u32> = (0..100_001).map(|_| nanos(Instant::now())).collect();
    samples.sort_unstable();
    samples[samples.len() / 2]
}

fn nanos(since: Instant) -> u32 {
    since.elapsed().as_nanos().try_into().unwrap_or(u32::MAX)
}

/// Processor time of this process so far, in milliseconds.
#[cfg(target_os = "linux")]
fn cpu_ms() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one `timespec`, and that is what it is given.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "there is no clock of the process");
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// Where the process's clock cannot be read, the wall's.
#[cfg(not(target_os = "linux"))]
fn cpu_ms() -> f64 {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    START.elapsed().as_secs_f64() * 1e3
}

/// A rekey, with three members who follow.
fn rekeys(quick: bool) {
    println!("rekey: processor time from the wish to remove one until the slowest of three sampled has all new keys");
    let config = Config::new(b"bench");
    let all = [(200, config.clone().classical(), 300.0), (200, config.clone(), 600.0), (1000, config, 1500.0)];
    let quickly = [(20, Config::new(b"bench").classical(), 300.0), (20, Config::new(b"bench"), 600.0)];
    for (n, config, target) in if quick { quickly.to_vec() } else { all.to_vec() } {
        let cost = rekey::measure(n, config, 3, cpu_ms);
        println!(
            "{n:5} {:9} build {:7.1} ms, {:8} B, process {:6.1} ms, derive {:5.1} ms: {:7.1} ms of {target} ms; \
             the host merges in {:.1} ms",
            format!("{:?}", cost.suite),
            cost.build_ms,
            cost.bytes,
            cost.process_ms,
            cost.derive_ms,
            cost.path_ms(),
            cost.merge_ms
        );
    }
}
