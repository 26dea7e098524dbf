//! A relay keeps a victim in an epoch that has ended, so that whoever was put out goes on reading it.

use conclave::e2ee::group::{Config, Event, Left};

use crate::table::Table;

const VICTIM: u64 = 3;
const PUT_OUT: u64 = 4;

/// The host puts somebody out, and the relay lets the victim hear `island` alone.
fn keeps(island: &[u64]) -> Table {
    let mut table = Table::of(5, Config::new(b"meeting").classical());
    let (now, leaf) = (table.now, table.group(PUT_OUT).own_leaf());
    table.island = island.to_vec();
    table.group(0).remove(leaf, true, now).unwrap();
    table.run(35_000);
    let events = table.events(VICTIM);
    assert!(events.contains(&Event::HeartbeatMissing) && events.contains(&Event::StopSealing), "{events:?}");
    table.run(40_000);
    assert!(!table.events(VICTIM).contains(&Event::Alive));
    assert_eq!(table.left(VICTIM), Some(Left::Silence));
    assert!((0..3).all(|id| table.group(id).roster().len() == 4));
    assert!((0..3).all(|id| !table.events(id).contains(&Event::HeartbeatMissing)));
    table
}

#[test]
fn the_relay_gives_it_nothing_but_its_own_words() {
    keeps(&[VICTIM]);
}

#[test]
fn the_one_put_out_beats_for_all_it_can() {
    let mut table = keeps(&[VICTIM, PUT_OUT]);
    assert!(table.group(VICTIM).stats().beats > 5, "it heard them, and they were not enough");
}
