//! What a new epoch costs: bytes and times of one removal in a group of N, in the worst case, right after all were
//! added in one commit and most of the tree is blank. Prints a table and one line of JSON.

#[path = "support/rekey.rs"]
mod rekey;

use std::sync::LazyLock;
use std::time::Instant;

use conclave::e2ee::group::Config;
use rekey::Rekey;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn clock() -> f64 {
    START.elapsed().as_secs_f64() * 1e3
}

fn measure(n: usize, config: Config) -> Rekey {
    let cost = rekey::measure(n, config, 1, clock);
    let Rekey { suite, build_ms, merge_ms, process_ms, derive_ms, add_build_ms, join_ms, .. } = cost;
    println!(
        "{n:4} {suite:?}: remove build {build_ms:.1} ms, {} B, merge {merge_ms:.1} ms, process {process_ms:.1} ms, \
         derive {derive_ms:.1} ms; add all build {add_build_ms:.1} ms, {} B; welcome {} B, join {join_ms:.1} ms",
        cost.bytes, cost.add_bytes, cost.welcome_bytes,
    );
    cost
}

fn main() {
    let hybrid = [10, 50, 200].map(|n| measure(n, Config::new(b"bench")));
    let classical = measure(200, Config::new(b"bench").classical());
    println!("{}", serde_json::json!({ "hybrid": hybrid, "classical": classical }));
}
