//! The life of a group: coming, going, renewing, taking over, disagreeing, resuming.

#[path = "support/group.rs"]
#[allow(dead_code)]
mod table;

use conclave::e2ee::Role;
use conclave::e2ee::group::wire::Envelope;
use conclave::e2ee::group::{Config, Event, Gone, Group, GroupError, Joining, Left, Request};
use table::{Seat, Table};

fn classical() -> Config {
    Config::new(b"meeting").classical()
}

#[test]
fn hybrid_members_join_in_one_commit_and_share_every_epoch_once() {
    let mut table = Table::of(4, Config::new(b"hybrid"));
    assert_eq!(table.agree(), 1, "three joiners share one commit");
    for id in 0..4 {
        let epochs: Vec<_> = table.people[&id].epochs.iter().map(|input| input.epoch).collect();
        assert_eq!(epochs, if id == 0 { vec![0, 1] } else { vec![1] });
    }
}

#[test]
fn a_leaver_is_out_within_half_a_second_and_a_kick_does_not_wait() {
    let mut table = Table::of(4, classical());
    let now = table.now;
    table.group(2).leave(now);
    table.run(500);
    assert_eq!((table.left(2), table.group(0).roster().len()), (Some(Left::Asked), 3));
    let (now, leaf) = (table.now, table.group(3).own_leaf());
    table.group(0).remove(leaf, true, now).unwrap();
    table.run(80);
    assert_eq!((table.left(3), table.group(1).roster().len()), (Some(Left::Removed), 2));
    table.agree();
}

#[test]
fn every_five_minutes_one_commit_renews_everybody() {
    let mut table = Table::of(4, classical());
    let before = table.agree();
    table.run(305_000);
    assert_eq!(table.agree(), before + 1);
    assert!((0..4).all(|id| table.people[&id].epochs.last().is_some_and(|input| input.epoch == before + 1)));
    let quiet = |event: &Event| match event {
        Event::Began { .. } => true,
        Event::Changed { gone, .. } => gone.is_empty(),
        _ => false,
    };
    assert!((0..4).all(|id| table.events(id).iter().all(quiet)));
}

#[test]
fn when_the_host_falls_silent_the_next_one_commits_leaves() {
    let mut table = Table::of(4, classical());
    table.cut.push(0);
    table.run(8000);
    assert!(table.events(1).contains(&Event::Committer { leaf: 1 }));
    let now = table.now;
    table.group(3).leave(now);
    table.run(500);
    assert_eq!(
        (table.left(3), table.group(1).roster().len(), table.group(2).roster().len()),
        (Some(Left::Asked), 3, 3)
    );
    table.run(70_000);
    assert_eq!(table.left(0), Some(Left::Silence));
    let events = table.events(0);
    assert!(events.contains(&Event::HeartbeatMissing) && events.contains(&Event::StopSealing));
    for id in 1..3 {
        let events = table.events(id);
        assert!(!events.contains(&Event::HeartbeatMissing), "{id} hears the one that took over: {events:?}");
    }
}

#[test]
fn when_the_host_and_its_next_fall_silent_nobody_else_stops() {
    let mut table = Table::of(6, classical());
    table.cut.extend([0, 1]);
    table.run(100_000);
    for id in 2..6 {
        let events = table.events(id);
        assert!(!events.contains(&Event::StopSealing), "{id}: {events:?}");
        assert_eq!(table.left(id), None);
    }
}

#[test]
fn of_two_commits_in_flight_the_first_counts_and_the_second_is_asked_again() {
    let mut table = Table::of(5, classical());
    let (now, one) = (table.now, Table::device(1).identity());
    table.group(0).set_role(one, Role::CoHost, now).unwrap();
    table.run(1000);
    let (now, leaves) = (table.now, [3, 4].map(|id| table.group(id).own_leaf()));
    table.group(0).remove(leaves[0], true, now).unwrap();
    table.group(1).remove(leaves[1], true, now).unwrap();
    (0..2).for_each(|id| table.drain(id));
    table.run(1000);
    table.agree();
    assert_eq!(table.group(2).roster().len(), 3);
    assert_eq!(table.group(0).stats().lost + table.group(1).stats().lost, 1);
}

#[test]
fn a_lock_whose_roster_changed_is_put_to_the_host_again() {
    let mut table = Table::of(4, classical());
    let (now, one) = (table.now, Table::device(1).identity());
    table.group(0).set_role(one, Role::CoHost, now).unwrap();
    table.run(1000);
    let (now, leaf) = (table.now, table.group(3).own_leaf());
    table.group(1).remove(leaf, true, now).unwrap();
    table.group(0).lock(now).unwrap();
    (0..2).for_each(|id| table.drain(id));
    table.run(1000);
    let confirm = |event: &Event| matches!(event, Event::Confirm { request: Request::Lock, .. });
    assert!(table.events(0).iter().any(confirm));
    assert!(table.group(2).policy().lock.is_none());
    let now = table.now;
    table.group(0).lock(now).unwrap();
    table.run(1000);
    table.knock(9);
    table.run(1000);
    assert!(table.events(0).iter().any(|event| matches!(event, Event::Denied { request: Request::Admit { .. }, .. })));
    assert_eq!((table.agree(), table.group(2).roster().len()), (table.group(0).epoch(), 3));
}

#[test]
fn a_member_that_lost_its_state_comes_back_in_place_of_its_former_self_even_when_locked() {
    let mut table = Table::of(3, classical());
    let now = table.now;
    table.group(0).lock(now).unwrap();
    table.run(1000);
    table.stand_up(2);
    table.knock(2);
    table.run(1000);
    table.agree();
    assert_eq!(table.group(0).roster().len(), 3);
    assert_eq!(table.group(2).roster().len(), 3);
}

#[test]
fn a_resumed_process_has_no_keys_before_the_next_epoch() {
    let mut table = Table::of(3, classical());
    let epoch = table.agree();
    let Some(Seat::In(group)) = table.stand_up(1) else { panic!("not in") };
    table.people.get_mut(&1).unwrap().epochs.clear();
    let (config, now) = (table.config(), table.now);
    let group = Group::resume(group.suspend(), &Table::device(1), config, now).unwrap();
    table.sit(1, Seat::In(group));
    assert!(table.people[&1].epochs.is_empty());
    table.run(1500);
    assert_eq!(table.agree(), epoch + 1);
    let epochs: Vec<_> = table.people[&1].epochs.iter().map(|input| input.epoch).collect();
    assert_eq!(epochs, [epoch + 1]);
}

#[test]
fn a_resumed_process_follows_a_commit_of_what_was_proposed_before() {
    let mut table = Table::of(4, classical());
    let epoch = table.agree();
    // A leave of another, which came, and an update of its own, which is on its way.
    let now = table.now;
    table.group(2).leave(now);
    table.run(30);
    let now = table.now;
    table.group(1).ask(Request::Renew, now).unwrap();
    table.run(30);
    assert_eq!(table.agree(), epoch, "nothing is committed yet");
    let Some(Seat::In(group)) = table.people.get_mut(&1).unwrap().seat.take() else { panic!("not in") };
    let (config, now) = (table.config(), table.now);
    let group = Group::resume(group.suspend(), &Table::device(1), config, now).unwrap();
    table.people.get_mut(&1).unwrap().seat = Some(Seat::In(group));
    table.run(500);
    assert!(table.agree() > epoch);
    assert_eq!((table.left(2), table.group(1).roster().len()), (Some(Left::Asked), 3));
    table.run(3_000);
    table.agree();
    assert!(table.events(1).iter().all(|event| !matches!(event, Event::Unreadable { .. } | Event::Stranded)));
}

#[test]
fn the_relay_proposes_a_removal_and_a_member_commits_it() {
    let mut table = Table::of(3, classical());
    let leaf = table.group(2).own_leaf();
    let deliveries = table.relay.propose_removal(leaf);
    table.down(deliveries);
    table.run(1000);
    assert_eq!((table.left(2), table.group(1).roster().len()), (Some(Left::Removed), 2));
    table.agree();
}

#[test]
fn members_are_told_who_came_and_how_others_went() {
    let mut table = Table::of(5, classical());
    (0..5).for_each(|id| drop(table.events(id)));
    let now = table.now;
    table.group(1).leave(now);
    table.run(1000);
    let (now, kicked) = (table.now, table.group(2).own_leaf());
    table.group(0).remove(kicked, true, now).unwrap();
    table.run(1000);
    let silent = table.group(3).own_leaf();
    let deliveries = table.relay.propose_removal(silent);
    table.down(deliveries);
    table.run(1000);
    table.stand_up(4);
    table.knock(4);
    table.run(1000);
    let mut told = vec![];
    for event in table.events(0) {
        let Event::Changed { came, gone, .. } = event else { continue };
        let name = |member: &conclave::e2ee::Member| member.name.clone();
        told.extend(gone.iter().map(|(member, how)| (name(member), Some(*how))));
        told.extend(came.iter().map(|member| (name(member), None)));
    }
    let person = |id| format!("person {id}");
    let gone = [(1, Gone::Left), (2, Gone::Host(0)), (3, Gone::Relay), (4, Gone::Replaced)];
    let expected: Vec<_> =
        gone.map(|(id, how)| (person(id), Some(how))).into_iter().chain([(person(4), None)]).collect();
    assert_eq!(told, expected);
}

#[test]
fn more_joiners_than_one_message_holds_come_with_the_next() {
    use conclave::e2ee::group::wire::{Envelope, MAX_MESSAGE};
    use conclave::e2ee::group::{Device, Joining, Output};
    use conclave::time::Time;
    let config = Config::new(b"hybrid");
    let mut host = Group::create(&Device::generate("host").unwrap(), config.clone(), Time(0)).unwrap();
    for _ in 0..300 {
        let (_, knock) = Joining::new(&Device::generate("guest").unwrap(), config.clone()).unwrap();
        host.admit(&knock[1..], Time(0)).unwrap();
    }
    let mut sizes = vec![];
    for second in 1..4 {
        host.tick(Time::from_ms(second * 1000));
        while let Some(output) = host.poll() {
            let Output::Send(message) = output else { continue };
            assert!(message.len() <= MAX_MESSAGE, "{} bytes", message.len());
            if matches!(Envelope::decode(&message), Ok(Envelope::Handshake { .. })) {
                host.handle(&message, Time::from_ms(second * 1000)).unwrap();
                sizes.push(host.roster().len());
            }
        }
    }
    assert_eq!(sizes, [257, 301]);
}

#[test]
fn the_only_host_hands_over_before_it_goes() {
    let mut table = Table::of(3, classical());
    let now = table.now;
    table.group(0).leave(now);
    table.run(8000);
    assert_eq!(table.left(0), Some(Left::Asked));
    assert_eq!(table.group(2).roster().iter().filter(|member| member.role == Role::Host).count(), 1);
    table.agree();
}

#[test]
fn a_resumed_host_takes_no_key_package_that_led_in_before() {
    let mut table = Table::of(2, classical());
    let (joining, knock) = Joining::new(&Table::device(2), table.config()).unwrap();
    table.sit(2, Seat::Joining(joining));
    table.up(2, knock.clone());
    table.run(1_000);
    assert_eq!(table.group(0).roster().len(), 3);
    let Some(Seat::In(group)) = table.stand_up(0) else { panic!("not in") };
    let (config, now) = (table.config(), table.now);
    let mut group = Group::resume(group.suspend(), &Table::device(0), config, now).unwrap();
    let Ok(Envelope::KeyPackage(old)) = Envelope::decode(&knock) else { panic!("no knock") };
    assert_eq!(group.admit(old, now).err(), Some(GroupError::KeyPackage));
    let (_, knock) = Joining::new(&Table::device(2), table.config()).unwrap();
    let Ok(Envelope::KeyPackage(new)) = Envelope::decode(&knock) else { panic!("no knock") };
    assert!(group.admit(new, now).is_ok());
}

#[test]
fn who_is_admitted_again_while_its_commit_is_on_its_way_comes_once() {
    for early in [0, 60, 120, 150, 180] {
        let mut table = Table::of(2, classical());
        let (joining, knock) = Joining::new(&Table::device(2), table.config()).unwrap();
        table.sit(2, Seat::Joining(joining));
        table.up(2, knock.clone());
        table.run(30 + early);
        let Ok(Envelope::KeyPackage(again)) = Envelope::decode(&knock) else { panic!("no knock") };
        let now = table.now;
        let _ = table.group(0).admit(again, now);
        table.run(3_000);
        table.agree();
        assert_eq!((table.group(0).roster().len(), table.left(2)), (3, None), "{early} ms later");
        assert!(!table.events(0).iter().any(|event| matches!(event, Event::Denied { .. })), "nor is it told no");
    }
}

#[test]
fn a_no_that_the_relay_cannot_judge_keeps_nobody_out() {
    let mut table = Table::of(2, classical());
    let (joining, knock) = Joining::new(&Table::device(2), table.config()).unwrap();
    let no = Envelope::Denied { to: joining.ticket(), body: b"no" }.encode();
    table.sit(2, Seat::Joining(joining));
    table.up(2, knock);
    table.run(50);
    table.up(1, no);
    table.run(3_000);
    table.agree();
    assert_eq!((table.group(0).roster().len(), table.group(2).roster().len()), (3, 3));
}
