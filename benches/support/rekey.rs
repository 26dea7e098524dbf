//! One removal in a group of N, in the worst case: right after all were added in one commit, while most of the tree is
//! blank. Of more than fit into one message, those of the last commit are looked at.

use conclave::e2ee::group::wire::Envelope;
use conclave::e2ee::group::{Config, Device, Group, GroupSuite, Joining, Output};
use conclave::time::Time;

/// Who joins with one commit: with hybrid keys more would not fit into a message.
const AT_ONCE: usize = 333;

/// What it took, in milliseconds and bytes.
#[derive(serde::Serialize)]
pub struct Rekey {
    pub n: usize,
    pub suite: GroupSuite,
    pub build_ms: f64,
    pub bytes: usize,
    pub merge_ms: f64,
    pub process_ms: f64,
    /// From the epoch's secret to the keys of all members.
    pub derive_ms: f64,
    pub add_build_ms: f64,
    pub add_bytes: usize,
    pub welcome_bytes: usize,
    pub join_ms: f64,
}

impl Rekey {
    /// From the wish to remove somebody until whoever was slowest has the keys of the new epoch, the network aside.
    #[allow(dead_code, reason = "one of the benches that share this file asks")]
    pub fn path_ms(&self) -> f64 {
        self.build_ms + self.process_ms + self.derive_ms
    }
}

/// Measures with `clock`, which counts milliseconds; `sampled` members follow, and the slowest of them counts.
pub fn measure(n: usize, config: Config, sampled: usize, clock: fn() -> f64) -> Rekey {
    let (mut now, suite) = (Time::from_ms(1000), config.suite);
    let mut host = Group::create(&Device::generate("host").expect("a device"), config.clone(), now).expect("a group");
    let (mut joiners, mut added) = (vec![], None);
    while host.roster().len() < n {
        let more = (n - host.roster().len()).min(AT_ONCE);
        joiners.clear();
        for _ in 0..more {
            let (joining, knock) =
                Joining::new(&Device::generate("guest").expect("a device"), config.clone()).expect("keys");
            host.admit(&knock[1..], now).expect("a good key package");
            joiners.push(joining);
        }
        now = now.plus(1_000_000);
        added = Some(commit(&mut host, now, clock));
    }
    let added = added.expect("somebody joins");
    let welcome = added.welcome.expect("a welcome");
    let (mut members, mut join_ms) = (vec![], 0f64);
    // The last stays out: it is the one to go.
    joiners.pop();
    let step = joiners.len().div_ceil(sampled);
    for joining in joiners.iter_mut().step_by(step) {
        let start = clock();
        members.push(joining.handle(&welcome, now).expect("the way in").expect("a group"));
        join_ms = join_ms.max(clock() - start);
    }
    let last = host.roster().len() as u16 - 1;
    host.remove(last, false, now.plus(2_000_000)).expect("a member");
    let removed = commit(&mut host, now.plus(4_000_000), clock);
    let (mut process_ms, mut derive_ms) = (0f64, 0f64);
    for member in &mut members {
        while member.poll().is_some() {}
        let start = clock();
        member.handle(&removed.commit, now.plus(4_000_000)).expect("an envelope");
        let processed = clock();
        let epoch = std::iter::from_fn(|| member.poll())
            .find_map(|output| if let Output::Epoch(epoch, _) = output { Some(epoch) } else { None });
        let keys = epoch.expect("an epoch").derive().expect("keys");
        let derived = clock();
        drop(keys);
        assert_eq!(member.roster().len(), n - 1);
        if derived - start > process_ms + derive_ms {
            (process_ms, derive_ms) = (processed - start, derived - processed);
        }
    }
    Rekey {
        n,
        suite,
        build_ms: removed.build_ms,
        bytes: removed.commit.len(),
        merge_ms: removed.merge_ms,
        process_ms,
        derive_ms,
        add_build_ms: added.build_ms,
        add_bytes: added.commit.len(),
        welcome_bytes: welcome.len(),
        join_ms,
    }
}

struct Committed {
    commit: Vec<u8>,
    welcome: Option<Vec<u8>>,
    build_ms: f64,
    merge_ms: f64,
}

/// The host commits at `now`; its commit comes back at once.
fn commit(host: &mut Group, now: Time, clock: fn() -> f64) -> Committed {
    sends(host);
    let start = clock();
    host.tick(now);
    let build_ms = clock() - start;
    let handshake = |message: &Vec<u8>| matches!(Envelope::decode(message), Ok(Envelope::Handshake { .. }));
    let commit = sends(host).into_iter().find(handshake).expect("a commit");
    let start = clock();
    host.handle(&commit, now).expect("its own commit");
    let merge_ms = clock() - start;
    let welcome = |message: &Vec<u8>| matches!(Envelope::decode(message), Ok(Envelope::Welcome { .. }));
    let welcome = sends(host).into_iter().find(welcome);
    Committed { commit, welcome, build_ms, merge_ms }
}

fn sends(group: &mut Group) -> Vec<Vec<u8>> {
    let all = std::iter::from_fn(|| group.poll());
    all.filter_map(|output| if let Output::Send(message) = output { Some(message) } else { None }).collect()
}
