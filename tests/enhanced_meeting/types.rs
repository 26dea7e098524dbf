//! Two types of meeting: whoever expects the other one is not let in, and nothing of it is ever sealed.

use conclave::e2ee::group::wire::Envelope;
use conclave::e2ee::group::{Config, Device, GroupError, MeetingType};
use conclave::enhanced::EnhancedError;
use conclave::enhanced::wire::{Down, Refusal};
use conclave::party::{self, Keys, Party, PartyError};

use crate::people;
use crate::table::{Mail, Table, device, invite, settings};

fn seals_nothing(party: &mut Party, now: conclave::time::Time) {
    let mut mail = Mail::default();
    let frame = people::sound(1, now);
    assert!(matches!(party.frame(frame, now, &mut mail), Err(PartyError::Outside)));
    assert!(mail.datagrams.is_empty() && party.sealing().is_none() && party.own().is_none());
    let facts = party.facts();
    assert_eq!((facts.sealing, facts.meeting), (None, None));
}

#[test]
fn who_expects_end_to_end_is_not_let_into_an_enhanced_meeting() {
    let mut table = Table::of(1);
    let mut mail = Mail::default();
    let group = party::Config::new(Config::new(b"an enhanced meeting"));
    let party = Party::knock(&device(4), group, &mut mail).unwrap();
    let seat = table.sit(party, mail);
    table.run(1_000);
    let inbox = &table.seats[seat].inbox;
    assert!(inbox.iter().any(|m| matches!(Down::decode(m), Some(Down::Refused(Refusal::MeetingType)))));
    let mismatch = |error: &PartyError| matches!(error, PartyError::Group(GroupError::Mismatch("meeting type")));
    assert!(table.seats[seat].errors.iter().any(mismatch));
    let now = table.now;
    seals_nothing(&mut table.seats[seat].party, now);
    assert_eq!(table.service.roster().len(), 1);
}

#[test]
fn who_expects_an_enhanced_meeting_is_not_let_into_a_group() {
    let mut mail = Mail::default();
    let now = conclave::time::Time(0);
    let group = party::Config::new(Config::new(b"an enhanced meeting").classical());
    let host = Party::found(&device(0), group, now, &mut mail).unwrap();
    let facts = host.facts();
    assert_eq!(facts.keys, Some(Keys::Group));
    let mut knocks = Mail::default();
    let mut party = Party::enhanced(&device(1), settings(), invite().service, &mut knocks).unwrap();
    assert!(Envelope::decode(&knocks.control[0]).is_err(), "no relay passes such a knock on");
    let mut heard = 0;
    for message in mail.control {
        let refused = party.control(&message, now, &mut knocks);
        assert!(matches!(refused, Err(PartyError::Enhanced(EnhancedError::Mismatch("meeting type")))));
        heard += 1;
    }
    assert!(heard > 0);
    seals_nothing(&mut party, now);
}

#[test]
fn a_welcome_of_another_type_service_or_host_is_not_used() {
    let mut table = Table::of(1);
    let seat = table.knock(&device(1));
    table.seats[seat].kept_back = true;
    table.step();
    let challenge = table.seats[seat].inbox[0].clone();
    table.hand(seat, &challenge);
    table.run(1_000);
    let welcome = table.seats[seat].inbox.iter().find(|m| matches!(Down::decode(m), Some(Down::Welcome(_)))).cloned();
    let welcome = welcome.unwrap();
    let mut refusals = vec![];
    let mut hand = |change: &dyn Fn(&mut conclave::enhanced::wire::Welcome)| {
        let Some(Down::Welcome(mut one)) = Down::decode(&welcome) else { panic!("a welcome") };
        change(&mut one);
        table.hand(seat, &Down::Welcome(one).encode());
        refusals.extend(table.seats[seat].errors.pop().map(|error| error.to_string()));
        assert!(table.seats[seat].party.own().is_none());
    };
    // Behind the version, the profile, the suite and the post-quantum bit.
    hand(&|one| one.policy[5] = MeetingType::EndToEnd as u8);
    hand(&|one| {
        let mut policy = conclave::e2ee::group::EnginePolicy::decode(&one.policy).unwrap();
        policy.roles.clear();
        one.policy = policy.encode();
    });
    hand(&|one| one.epoch += 1);
    hand(&|one| one.signature[3] ^= 1);
    hand(&|one| one.members[0].0.joined = 0);
    hand(&|one| one.members[0].1.person.media = device(9).media().public());
    hand(&|one| one.secret = conclave::e2ee::MediaSecret::new(&[1; 48]).unwrap());
    let told = |word: &str| refusals.iter().filter(|refusal| refusal.contains(word)).count();
    assert_eq!(refusals.len(), 7, "{refusals:?}");
    assert_eq!((told("meeting type"), told("host"), told("device")), (1, 1, 1), "{refusals:?}");
    assert_eq!((told("signature of the epoch"), told("signature of the entry")), (3, 1), "{refusals:?}");
    table.hand(seat, &welcome);
    assert!(table.seats[seat].party.own().is_some(), "the genuine one still does");
}

#[test]
fn no_constructor_takes_the_other_type() {
    let mut mail = Mail::default();
    let (device, now) = (Device::generate("a").unwrap(), conclave::time::Time(0));
    let enhanced = settings();
    assert!(matches!(
        Party::found(&device, enhanced.clone(), now, &mut mail),
        Err(PartyError::Group(GroupError::Enhanced))
    ));
    assert!(matches!(Party::knock(&device, enhanced, &mut mail), Err(PartyError::Group(GroupError::Enhanced))));
    let group = party::Config::new(Config::new(b"g").classical());
    let refused = Party::enhanced(&device, group, invite().service, &mut mail);
    assert!(matches!(refused, Err(PartyError::Enhanced(EnhancedError::Mismatch("meeting type")))));
    // What such a meeting cannot hold it does not promise either.
    let mut config = settings();
    config.group.post_quantum = true;
    let mut other = settings();
    other.group.profile = conclave::e2ee::Profile::Rfc9605Mls;
    for config in [config, other] {
        let refused = Party::enhanced(&device, config, invite().service, &mut mail);
        assert!(matches!(refused, Err(PartyError::Enhanced(EnhancedError::Config))));
    }
    assert!(mail.control.is_empty() && mail.datagrams.is_empty());
}
