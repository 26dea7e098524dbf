//! Processor time, as the system counts it.

/// Processor time of this process so far, in seconds; 0 where the system does not say.
pub fn cpu_seconds() -> f64 {
    ticks(11)
}

/// Processor time of the programs that this process has started and that have ended, in seconds.
pub fn child_cpu_seconds() -> f64 {
    ticks(13)
}

/// Two neighbouring fields of proc(5), given in ticks of 10 ms; the name and the two fields before it are cut off.
fn ticks(first: usize) -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(first).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}
