//! The relay writes the number of a later epoch over a message's, so that a member believes it is left behind.

use conclave::e2ee::group::wire::Envelope;
use conclave::e2ee::group::{Config, Event, Output};

use crate::table::Table;

/// Where an MLS message of the group "meeting" says its epoch: after version, wire format and group id.
const EPOCH: std::ops::Range<usize> = 12..20;

fn faked(table: &mut Table) -> Vec<u8> {
    table.group(2).tell(b"hello").unwrap();
    let sent = std::iter::from_fn(|| table.group(2).poll()).find_map(|output| match output {
        Output::Send(message) => Some(message),
        _ => None,
    });
    let sent = sent.unwrap();
    let Ok(Envelope::Application { body, .. }) = Envelope::decode(&sent) else { panic!("no word") };
    let mut body = body.to_vec();
    body[EPOCH].copy_from_slice(&77u64.to_be_bytes());
    Envelope::Application { order: 0, body: &body }.encode()
}

#[test]
fn it_is_no_word_of_being_left_behind_while_the_epoch_lives() {
    let mut table = Table::of(3, Config::new(b"meeting").classical());
    let fake = faked(&mut table);
    let stranded = |table: &mut Table| table.events(1).iter().filter(|event| **event == Event::Stranded).count();
    for _ in 0..20 {
        table.down(vec![(1, fake.as_slice().into())]);
        table.run(1000);
    }
    assert!(table.group(1).stats().unreadable >= 20);
    assert_eq!(stranded(&mut table), 0);

    table.island = vec![1];
    table.run(3000);
    table.down(vec![(1, fake.as_slice().into())]);
    table.run(8000);
    assert_eq!(stranded(&mut table), 1, "and once where nothing else comes");
}
