//! Bytes that nobody honest sends: refused without a panic, and nothing has changed.

use conclave::enhanced::wire::{Down, MAX_UP, Up};

use crate::table::{Table, device};

fn mutated(rng: &mut fastrand::Rng, good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(..bytes.len());
        bytes[at] = rng.u8(..);
    }
    if rng.u8(..4) == 0 {
        bytes.truncate(rng.usize(..=bytes.len()));
    }
    bytes
}

#[test]
fn the_service_is_not_moved_by_hostile_bytes() {
    let mut table = Table::of(3);
    table.seats[1].party.plane().unwrap().tell(b"a word").unwrap();
    table.run(1_000);
    let waits = table.knock(&device(7));
    let messages: Vec<Vec<u8>> = table.seats.iter().flat_map(|seat| seat.said.clone()).collect();
    table.seats[0].admits = false;
    let mut rng = fastrand::Rng::with_seed(5);
    let (epoch, roster) = (table.service.epoch(), table.service.roster().clone());
    let mut read = 0;
    for _ in 0..20_000 {
        let good = &messages[rng.usize(..messages.len())];
        let bytes = mutated(&mut rng, good);
        if let Some(up) = Up::decode(&bytes) {
            assert_eq!(up.encode(), bytes, "one encoding for each");
            read += 1;
        }
        let from = [0, 1, 2, waits][rng.usize(..4)] as u64;
        table.service.message(from, &bytes, table.now);
    }
    assert!(read > 1_000, "{read} could be read");
    assert_eq!((table.service.epoch(), table.service.roster()), (epoch, &roster));
    assert!(Up::decode(&vec![0xce; MAX_UP + 1]).is_none());
}

#[test]
fn a_member_is_not_moved_by_hostile_bytes() {
    let mut table = Table::of(3);
    table.seats[2].party.plane().unwrap().tell(b"a word").unwrap();
    table.seats[1].kept_back = true;
    table.ask(0, conclave::e2ee::group::Request::Lock).unwrap();
    table.run(3_000);
    let messages = table.seats[1].inbox.clone();
    let mut rng = fastrand::Rng::with_seed(6);
    let (epoch, roster) = (table.seats[1].party.epoch(), table.seats[1].party.roster().cloned());
    let mut read = 0;
    for _ in 0..20_000 {
        let good = &messages[rng.usize(..messages.len())];
        let bytes = mutated(&mut rng, good);
        let down = Down::decode(&bytes);
        // That it is out needs no signature: whoever holds the channel can cut it as well.
        if bytes == *good || matches!(down, Some(Down::Out)) {
            continue;
        }
        if let Some(down) = down {
            assert_eq!(down.encode()[..], bytes, "one encoding for each");
            read += 1;
        }
        table.hand(1, &bytes);
    }
    assert!(read > 1_000, "{read} could be read");
    assert_eq!((table.seats[1].party.epoch(), table.seats[1].party.roster().cloned()), (epoch, roster));
    assert!(!table.seats[1].alarms().is_empty());
    messages.iter().for_each(|message| table.hand(1, message));
    assert!(table.seats[1].party.plane().unwrap().policy().lock.is_some(), "the genuine ones still do");
}
