//! Processor time, as the system counts it.

/// Processor time of this process so far, in seconds; 0 where the system does not say.
pub fn cpu_seconds() -> f64 {
    ticks(11)
}

/// Processor time of the programs that this process has started and that have ended, in seconds.
pub fn child_cpu_seconds() -> f64 {
    ticks(13)
}

/// Processor time of the calling thread so far, in seconds; `None` where the system does not say. The kernel brings its
/// count up to date when a thread gives way, so this one does.
pub fn thread_cpu_seconds() -> Option<f64> {
    std::thread::yield_now();
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos: u64 = said.split_whitespace().next()?.parse().ok()?;
    // Without statistics of its scheduler the kernel says 0, which no running thread has used.
    (nanos > 0).then_some(nanos as f64 / 1e9)
}

/// Two neighbouring fields of proc(5), given in ticks of 10 ms; the name and the two fields before it are cut off.
fn ticks(first: usize) -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(first).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_pays_for_its_own_work_only() {
        let Some(start) = thread_cpu_seconds() else { return println!("skipped: the kernel keeps no count") };
        let work = || (0..20_000_000u64).fold(1u64, |a, b| std::hint::black_box(a ^ b));
        let other = std::thread::spawn(move || {
            work();
            thread_cpu_seconds()
        });
        let theirs = other.join().expect("ends").expect("a count");
        let idle = thread_cpu_seconds().expect("a count");
        work();
        let ours = thread_cpu_seconds().expect("a count") - idle;
        // The same work twice, of which one thread saw nothing: far apart whatever else the machine does.
        assert!(idle - start < theirs / 2.0 && ours > (idle - start) * 2.0, "{start} {idle} {theirs} {ours}");
    }
}
