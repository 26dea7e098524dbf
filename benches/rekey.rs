//! What a new epoch costs: bytes and times of one removal in a group of N, in the worst case, right after all were
//! added in one commit and most of the tree is blank. Prints a table and one line of JSON.

use std::time::Instant;

use conclave::e2ee::group::wire::Envelope;
use conclave::e2ee::group::{Config, Device, Group, Joining, Output};
use conclave::time::Time;

fn sends(group: &mut Group) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| group.poll())
        .filter_map(|output| if let Output::Send(m) = output { Some(m) } else { None })
        .collect()
}

fn is_handshake(message: &[u8]) -> bool {
    matches!(Envelope::decode(message), Ok(Envelope::Handshake { .. }))
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// The host commits at `now`; its commit comes back at once. Gives the commit, the Welcome and what it took to build.
fn commit(host: &mut Group, now: Time) -> (Vec<u8>, Option<Vec<u8>>, f64, f64) {
    sends(host);
    let start = Instant::now();
    host.tick(now);
    let build = ms(start);
    let commit = sends(host).into_iter().find(|message| is_handshake(message)).expect("a commit");
    let start = Instant::now();
    host.handle(&commit, now).expect("its own commit");
    let merge = ms(start);
    let welcome =
        sends(host).into_iter().find(|message| matches!(Envelope::decode(message), Ok(Envelope::Welcome { .. })));
    (commit, welcome, build, merge)
}

fn measure(n: usize, config: Config) -> serde_json::Value {
    let (now, suite) = (Time::from_ms(1000), config.suite);
    let mut host = Group::create(&Device::generate("host").expect("a device"), config.clone(), now).expect("a group");
    let mut joiners = vec![];
    for _ in 1..n {
        let (joining, knock) =
            Joining::new(&Device::generate("guest").expect("a device"), config.clone()).expect("keys");
        host.admit(&knock[1..], now).expect("a good key package");
        joiners.push(joining);
    }
    let (commit_add, welcome, add_build, _) = commit(&mut host, now.plus(1_000_000));
    let welcome = welcome.expect("a welcome");
    let start = Instant::now();
    let mut member = joiners[0].handle(&welcome, now).expect("the way in").expect("a group");
    let join = ms(start);
    let last = host.roster().len() as u16 - 1;
    host.remove(last, false, now.plus(2_000_000)).expect("a member");
    let (remove, _, build, merge) = commit(&mut host, now.plus(4_000_000));
    let start = Instant::now();
    member.handle(&remove, now.plus(4_000_000)).expect("an envelope");
    let process = ms(start);
    assert_eq!(member.roster().len(), n - 1);
    println!(
        "{n:4} {suite:?}: remove build {build:.1} ms, {} B, merge {merge:.1} ms, process {process:.1} ms; \
         add all build {add_build:.1} ms, {} B; welcome {} B, join {join:.1} ms",
        remove.len(),
        commit_add.len(),
        welcome.len(),
    );
    serde_json::json!({ "n": n, "suite": suite, "build_ms": build, "bytes": remove.len(), "merge_ms": merge,
        "process_ms": process, "add_build_ms": add_build, "add_bytes": commit_add.len(),
        "welcome_bytes": welcome.len(), "join_ms": join })
}

fn main() {
    let hybrid = [10, 50, 200].map(|n| measure(n, Config::new(b"bench")));
    let classical = measure(200, Config::new(b"bench").classical());
    println!("{}", serde_json::json!({ "hybrid": hybrid, "classical": classical }));
}
