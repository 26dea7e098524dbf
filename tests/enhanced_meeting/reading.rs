//! Who can read what: those who are in, for as long as they are, and the service always.

use conclave::e2ee::group::{Gone, Request};
use conclave::e2ee::record::metadata;
use conclave::e2ee::{EpochInput, KeyId, MediaSecret, OpenKey, OpenKeys, Suite, sframe};
use conclave::frame::{Arrived, Buffer};
use conclave::time::Time;

use crate::spy;
use crate::table::{Shadow, Table, device};

/// Whether one of the keys opens a frame, at whatever step it names.
fn opens(keys: &mut [OpenKeys], frame: &Arrived) -> bool {
    let Some((header, _)) = conclave::e2ee::header::Header::read(frame.payload.as_slice()) else { return false };
    let id = KeyId::unpack(header.key_id);
    let then = Time(id.step * 4_000_000);
    keys.iter_mut().any(|keys| {
        let Some(base) = keys.key(id, then) else { return false };
        let key = OpenKey::derive(Suite::Aes256GcmSha512, header.key_id, &base).unwrap();
        let mut copy = Buffer::with_capacity(frame.payload.len());
        copy.tail().extend_from_slice(frame.payload.as_slice());
        let mut opener: sframe::Opener = sframe::Opener::new(key);
        opener.open(&metadata(&frame.header), &mut copy).is_ok()
    })
}

/// When the frames were sealed that open.
fn opened(keys: &mut [OpenKeys], table: &Table) -> Vec<Time> {
    let frames = spy::frames(&table.wire);
    frames.iter().filter(|(_, frame)| opens(keys, frame)).map(|(at, _)| *at).collect()
}

/// Three people, the last of them with a shadow that keeps every key it is ever told.
fn watched() -> Table {
    let mut table = Table::of(2);
    table.talk(500, &[0, 1]);
    let spy = table.knock(&device(2));
    table.seats[spy].shadow = Some(Shadow::of(&device(2)));
    table.talk(2_000, &[0, 1]);
    assert!(table.seats[spy].party.own().is_some());
    table
}

#[test]
fn a_leaver_reads_nothing_two_seconds_later() {
    let mut table = watched();
    table.leave(2);
    let since = table.now;
    table.talk(4_000, &[0, 1]);
    assert_eq!(table.seats[1].gone(), [Gone::Left]);
    let Shadow { mut keys, secrets, .. } = table.seats[2].shadow.take().unwrap();
    // Its secrets under the number of the epoch that goes on without it.
    assert!(!secrets.is_empty());
    let now = |secret: MediaSecret, leaf| {
        let input = table.service.listen(leaf).unwrap();
        EpochInput { secret: secret.bound(&input.authenticator).unwrap(), ..input }
    };
    let guess = |input: EpochInput| {
        let mut keys = input.derive().unwrap().1;
        keys.set_began(Time(0));
        keys
    };
    let mut guesses = vec![];
    for leaf in [0, 1] {
        guesses.extend(secrets.iter().map(|secret| guess(now(MediaSecret::new(secret).unwrap(), leaf))));
    }
    assert_eq!(opened(&mut guesses, &table), []);
    let mut right = vec![guess(table.service.listen(0).unwrap())];
    assert!(opened(&mut right, &table).len() > 50, "with the epoch's own they would open");
    let opened = opened(&mut keys, &table);
    let window = opened.iter().max().unwrap().since(since) / 1000;
    println!("a leave: the last frame that opens was sealed {window} ms after it; {} open", opened.len());
    assert!(opened.len() > 100 && window <= 2_000, "{window} ms");
}

#[test]
fn who_is_kicked_reads_nothing_half_a_second_later_even_where_it_leaves_at_once() {
    let mut table = watched();
    let since = table.now;
    table.leave(2);
    table.step();
    let identity = table.identity(2);
    table.ask(0, Request::Remove { identity, kick: true }).unwrap();
    table.talk(4_000, &[0, 1]);
    assert_eq!(table.seats[1].gone(), [Gone::Host(0)]);
    let mut keys = table.seats[2].shadow.take().unwrap().keys;
    let opened = opened(&mut keys, &table);
    let window = opened.iter().max().unwrap().since(since) / 1000;
    println!("a kick: the last frame that opens was sealed {window} ms after it; {} open", opened.len());
    assert!(opened.len() > 100 && window <= 100, "{window} ms");
}

#[test]
fn a_joiner_reads_nothing_older() {
    let mut table = watched();
    let mut keys = table.seats[2].shadow.take().unwrap().keys;
    let first = *opened(&mut keys, &table).iter().min().unwrap();
    let frames = spy::frames(&table.wire);
    let before = frames.iter().filter(|(at, _)| *at < first).count();
    println!("{before} frames lie before the first that opens, {} in all", frames.len());
    let joined = table.seats[2].events.first().unwrap().0;
    assert!(before > 50 && first >= joined);
}

#[test]
fn the_service_reads_the_meeting() {
    let mut table = Table::of(2);
    let since = table.now.plus(1_000_000);
    table.talk(3_000, &[0, 1]);
    let listen = |leaf| table.service.listen(leaf).unwrap().derive().unwrap().1;
    // As each of the two it hears the other, so it hears both.
    let mut keys = vec![listen(0), listen(1)];
    keys.iter_mut().for_each(|keys| keys.set_began(Time(0)));
    let all = spy::frames(&table.wire).iter().filter(|(at, _)| *at >= since).count();
    let opened = opened(&mut keys, &table).iter().filter(|at| **at >= since).count();
    assert!(all > 150 && opened == all, "the service opens {opened} of {all} frames: this is no end-to-end encryption");
    assert!(table.service.listen(7).is_err());
}
