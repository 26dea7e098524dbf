//! A service, or a member, that says what it must not.

use conclave::e2ee::Reason;
use conclave::e2ee::group::rules::Illegal;
use conclave::e2ee::group::{Event, Request};
use conclave::enhanced::plan::{Act, Ask, Stay, Wish};
use conclave::enhanced::sign::{Domain, Label};
use conclave::enhanced::wire::{Down, Refusal, Turn, Up};
use conclave::enhanced::{Alarm, Entry};
use conclave::party;

use crate::table::{Table, device, invite};

fn domain() -> Domain {
    Domain::of(&invite()).unwrap()
}

/// Three people; the guest on seat 1 has not heard of the epoch that `request` of the host made.
fn kept_back(request: Request) -> Table {
    let mut table = Table::of(3);
    table.seats[1].kept_back = true;
    table.ask(0, request).unwrap();
    table.run(1_000);
    table
}

/// What the guest makes of a turn that the service changed and signed.
fn judged(table: &mut Table, change: impl FnOnce(&mut Turn)) -> Vec<Alarm> {
    let before = (table.seats[1].party.epoch(), table.seats[1].party.roster().cloned());
    let lie = table.lie(1, change);
    table.hand(1, &lie);
    assert_eq!((table.seats[1].party.epoch(), table.seats[1].party.roster().cloned()), before, "nothing of it is used");
    table.seats[1].alarms()
}

#[test]
fn wishes_in_anothers_name_and_old_ones_are_refused() {
    let mut table = Table::of(3);
    let (host, guest, seen) = (table.peer(0), table.peer(1), table.service.roster().hash());
    let stay = |peer: conclave::data::Peer| Stay { leaf: peer.leaf, joined: peer.joined };
    let wish = |by: u8, stay, sequence, ask| {
        Up::Wish(Wish::sign(&device(by), &domain(), stay, sequence, seen, ask).unwrap()).encode()
    };
    // The guest signs as the host, over its own line and over the host's, and asks for itself what it may not.
    table.say(1, &wish(1, stay(host), 50, Ask::Do(Request::Lock)));
    table.say(0, &wish(1, stay(host), 50, Ask::Do(Request::Lock)));
    table.say(1, &wish(1, stay(guest), 50, Ask::Do(Request::Lock)));
    let stats = table.service.stats();
    assert_eq!((stats.replayed, stats.unsigned, stats.refused), (1, 1, 1));
    let denied = table.seats[1].inbox.iter().filter_map(|message| match Down::decode(message) {
        Some(Down::Denied { why, .. }) => Some(why),
        _ => None,
    });
    assert_eq!(denied.collect::<Vec<_>>(), [Refusal::NotHost]);
    let epoch = table.service.epoch();
    table.run(2_000);
    assert_eq!(table.service.epoch(), epoch, "nothing came of them");

    // The host's own, heard on the way and said again.
    table
        .ask(
            0,
            Request::Policy { recorder_allowed: true, leaver_window_ms: 1, roster_limit: 9, meeting_policy: [1; 32] },
        )
        .unwrap();
    let old = table.seats[0].said.last().unwrap().clone();
    table.run(1_000);
    assert_eq!(table.service.epoch(), epoch + 1);
    table.say(0, &old);
    table.say(2, &old);
    table.run(1_000);
    assert_eq!((table.service.epoch(), table.service.stats().replayed), (epoch + 1, 3));
}

#[test]
fn nobody_comes_in_with_anothers_entry() {
    let mut table = Table::of(2);
    let entry = Entry::of(&device(0), &domain()).unwrap();
    let thief = table.knock(&device(8));
    table.seats[thief].mail.control.clear();
    table.say(thief, &Up::Knock(entry.clone()).encode());
    let Some(Down::Challenge { nonce, .. }) = Down::decode(&table.seats[thief].inbox[0]) else { panic!("a challenge") };
    let asked: &[&[u8]] = &[&nonce, &entry.ticket()];
    let answer = domain().sign(&device(8), Label::Answer, asked).unwrap();
    table.say(thief, &Up::Answer(answer).encode());
    table.run(1_000);
    assert_eq!(table.service.stats().unsigned, 1);
    assert_eq!((table.service.roster().len(), table.seats[thief].party.own()), (2, None));
    // The one whose it is would have been let in, in place of its former self.
    let answer = domain().sign(&device(0), Label::Answer, asked).unwrap();
    table.say(thief, &Up::Answer(answer).encode());
    table.run(1_000);
    assert_eq!(table.seats[1].gone().len(), 1);
}

#[test]
fn a_policy_bit_that_no_host_changed_is_an_alarm_and_its_member_stops_in_time() {
    let mut table = kept_back(Request::Renew);
    let mut policy = table.seats[0].party.plane().unwrap().policy().clone();
    policy.recorder_allowed = true;
    assert_eq!(judged(&mut table, |turn| turn.policy = policy.hash()), [Alarm::Policy]);
    // Heartbeats of an epoch that this member does not believe in are no sign of life.
    table.seats[1].kept_back = false;
    table.run(31_000);
    assert_eq!(table.seats[1].party.sealing(), None);
    assert!(table.seats[0].party.sealing().is_some());
}

#[test]
fn a_roster_that_nobody_asked_for_is_an_alarm() {
    let mut table = kept_back(Request::Renew);
    assert_eq!(judged(&mut table, |turn| turn.roster[0] ^= 1), [Alarm::Roster]);
    let stranger = Entry::of(&device(9), &domain()).unwrap();
    let alarms = judged(&mut table, |turn| turn.acts = vec![Act::Host(stranger)]);
    assert_eq!(alarms[1..], [Alarm::Illegal(Illegal::External)]);
}

#[test]
fn a_media_key_that_the_service_swapped_is_caught() {
    let mut table = Table::of(2);
    table.seats[1].kept_back = true;
    table.knock(&device(5));
    table.run(1_000);
    let swap = |turn: &mut Turn, sign_again: bool| {
        let Some(Act::Wish(wish)) = turn.acts.first_mut() else { panic!("a wish to admit") };
        let Ask::Do(Request::Admit { key_package, .. }) = &mut wish.ask else { panic!("a wish to admit") };
        let mut entry = Entry::decode(key_package).unwrap();
        entry.person.media = device(6).media().public();
        *key_package = entry.encode();
        if sign_again {
            // Even with the host's help.
            *wish = Wish::sign(&device(0), &domain(), wish.stay, wish.sequence, wish.seen, wish.ask.clone()).unwrap();
        }
    };
    let alarms = judged(&mut table, |turn| swap(turn, false));
    assert_eq!(alarms, [Alarm::Forged("wish")]);
    assert_eq!(judged(&mut table, |turn| swap(turn, true))[1..], [Alarm::Forged("entry")]);
    let genuine = table.seats[1].inbox.clone();
    genuine.iter().for_each(|message| table.hand(1, message));
    assert_eq!(table.seats[1].names().len(), 3, "the genuine one is used");
}

#[test]
fn epochs_follow_each_other_and_never_go_back() {
    let mut table = kept_back(Request::Renew);
    assert_eq!(judged(&mut table, |turn| turn.epoch += 1).len(), 1);
    let mut alarms = judged(&mut table, |turn| turn.previous[0] ^= 1);
    let old = table.seats[1].inbox.iter().find(|m| matches!(Down::decode(m), Some(Down::Turn(_)))).unwrap().clone();
    table.hand(1, &old);
    alarms.extend(table.seats[1].alarms().drain(2..));
    let epoch = table.seats[1].party.epoch().unwrap();
    let order = |got| Alarm::Order { expected: epoch + 1, got };
    assert_eq!(alarms, [order(epoch + 2), Alarm::Fork, order(epoch)]);
}

#[test]
fn an_old_wish_moves_nobody_again() {
    let request =
        Request::Policy { recorder_allowed: true, leaver_window_ms: 5, roster_limit: 9, meeting_policy: [1; 32] };
    let mut table = Table::of(3);
    table.seats[1].inbox.clear();
    table.ask(0, request).unwrap();
    table.run(1_000);
    let first = table.seats[1].inbox.clone();
    assert!(table.seats[1].alarms().is_empty());
    table.seats[1].kept_back = true;
    let turn = first.iter().rev().find_map(|message| match Down::decode(message) {
        Some(Down::Turn(turn)) => Some(turn),
        _ => None,
    });
    let acts = turn.unwrap().acts;
    table.ask(0, Request::Renew).unwrap();
    table.run(2_000);
    assert_eq!(judged(&mut table, |turn| turn.acts = acts), [Alarm::Replayed(0)]);
}

#[test]
fn words_hold_in_the_epoch_in_which_they_were_said() {
    let mut table = Table::of(2);
    let word = |table: &mut Table, body: &[u8]| {
        table.seats[0].party.plane().unwrap().tell(body).unwrap();
        table.run(100);
        let is = |message: &&Vec<u8>| matches!(Down::decode(message), Some(Down::Word(_)));
        table.seats[1].inbox.iter().rev().find(is).unwrap().clone()
    };
    let told = |table: &Table, seat: usize| {
        table.seats[seat].group().filter(|event| matches!(event, Event::Told { .. })).count()
    };
    // One that was said before somebody came, and one that was kept back.
    let old = word(&mut table, b"old");
    table.seats[1].kept_back = true;
    let kept = word(&mut table, b"kept back");
    table.seats[1].kept_back = false;
    let new = table.knock(&device(5));
    table.run(1_000);
    table.hand(new, &old);
    table.hand(1, &kept);
    assert_eq!((told(&table, 1), told(&table, new)), (1, 0));
    assert_eq!(
        (table.seats[1].alarms(), table.seats[new].alarms()),
        (vec![Alarm::Replayed(0)], vec![Alarm::Replayed(0)])
    );
}

#[test]
fn members_of_two_forks_with_equal_secrets_neither_hear_nor_believe_each_other() {
    let mut table = Table::of(3);
    let before = table.seats[1].party.plane().unwrap().policy().hash();
    table.seats[1].kept_back = true;
    table.seats[2].kept_back = true;
    let policy =
        Request::Policy { recorder_allowed: true, leaver_window_ms: 5, roster_limit: 9, meeting_policy: [1; 32] };
    table.ask(0, policy).unwrap();
    table.run(1_000);
    // One is told that nothing changed, the other what the host asked for: under one number, with one secret.
    let (one, other) = (
        table.lie(1, |turn| {
            turn.acts.clear();
            turn.policy = before;
        }),
        table.lie(2, |_| {}),
    );
    table.hand(1, &one);
    table.hand(2, &other);
    assert_eq!(table.seats[1].party.epoch(), table.seats[2].party.epoch());
    table.run(1_000);
    let peer = table.peer(2);
    table.talk(3_000, &[1, 2]);
    assert_eq!(table.seats[1].alarms(), []);
    let alarm = |(_, event): &(_, party::Event)| match event {
        party::Event::Open(of, event) => *of == peer && event.reason == Reason::Tampered,
        party::Event::Proof(of, event) => *of == peer && event.why.is_alarm(),
        _ => false,
    };
    assert!(table.seats[1].events.iter().any(alarm), "they find out");
    assert!(table.seats[1].heard.get(&peer).is_none_or(Vec::is_empty));
}
