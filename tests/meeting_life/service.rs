//! The same meeting where a service makes the keys: what hosts do and what is on screen is the same, but for the shield.

use conclave::e2ee::group::card::Why;
use conclave::e2ee::group::{Device, MeetingType};
use conclave::e2ee::{IdentityKey, Role};
use conclave::enhanced::{self, Service, ServiceKey};
use conclave::gathering::{self, Gathering};
use conclave::meeting::policy::{Client, Document, EXAMPLE, Feature, Kind, MeetingPolicy, Platform};
use conclave::meeting::shield::Shield;
use conclave::meeting::verified::State;
use conclave::meeting::{Config, Ended, Event, Meeting};

use crate::meetings::Told;

type Room = Gathering<Meeting, Service>;

fn open_door() -> MeetingPolicy {
    let document = Document::parse("test", "[account]\nwaiting_room = false\n").unwrap();
    MeetingPolicy::resolve(&document, None, None).unwrap()
}

fn config(policy: MeetingPolicy, host: IdentityKey) -> Config {
    assert_eq!(policy.meeting(), MeetingType::Enhanced);
    let client = Client { kind: Kind::Desktop, platform: Some(Platform::Linux), version: "5.4.0".into() };
    let mut config = Config::of(policy, b"an enhanced meeting", client).unwrap();
    config.party.group.host = Some(host);
    config
}

/// The meeting of a policy and its service; the first of `devices` is the host and is in.
fn held(policy: MeetingPolicy, devices: &[Device]) -> (Room, Told, Config, [u8; 32]) {
    let (config, key) = (config(policy, devices[0].identity()), ServiceKey::from_seed(&[9; 32]).unwrap());
    let public = key.public();
    let meeting = enhanced::Config { meeting: config.party.group.clone(), service: public };
    let service = Service::new(meeting, key).unwrap();
    let (mut room, mut told) = (Room::new(gathering::Config::default(), service), Told::default());
    room.sit(&mut told, |_, out| Meeting::enhanced(&devices[0], config.clone(), public, out)).unwrap();
    run(&mut room, &mut told, 1_500);
    (room, told, config, public)
}

fn run(room: &mut Room, told: &mut Told, ms: u64) {
    let until = room.now().plus(ms * 1000);
    room.run(until, told);
}

#[test]
fn a_meeting_of_a_service_is_held_in_the_same_words_and_never_shown_as_end_to_end() {
    let devices = ["host", "guest 1", "guest 2"].map(|name| Device::generate(name).unwrap());
    let [guest, other] = [1, 2].map(|at: usize| devices[at].identity());
    let (mut room, mut told, config, public) = held(open_door(), &devices);
    for device in &devices[1..] {
        room.sit(&mut told, |_, out| Meeting::enhanced(device, config.clone(), public, out)).unwrap();
        run(&mut room, &mut told, 1_500);
    }
    for seat in 0..3 {
        let one = room.party(seat).unwrap();
        assert_eq!((one.roster().len(), one.shield()), (3, Shield::Enhanced), "seat {seat}");
        assert_eq!(one.ask(Feature::CloudRecording), Ok(()), "the service has the keys anyway");
    }
    let epoch = room.party(0).unwrap().epoch();
    room.party(0).unwrap().memory().matches(epoch, 0).unwrap();
    let now = room.now();
    room.party(0).unwrap().set_role(&guest, Role::CoHost, now).unwrap();
    room.party(0).unwrap().ask_to_mute(Some(&other)).unwrap();
    room.party(1).unwrap().chat("good morning").unwrap();
    run(&mut room, &mut told, 1_500);
    let now = room.now();
    room.party(1).unwrap().lock(now).unwrap();
    run(&mut room, &mut told, 1_500);
    let has = |told: &Told, seat: usize, is: fn(&Event) -> bool| told.0[seat].iter().any(|(_, event)| is(event));
    assert!(has(&told, 2, |event| matches!(event, Event::AskedToMute { .. })));
    for seat in [0, 2] {
        assert!(has(&told, seat, |event| matches!(event, Event::Chat { line, .. } if *line.text == "good morning")));
    }
    for seat in 0..3 {
        assert!(has(&told, seat, |event| matches!(event, Event::Locked { .. })), "seat {seat}");
        assert!(!has(&told, seat, |event| matches!(event, Event::Alarm(_))), "seat {seat}: {:?}", told.0[seat]);
        assert!(room.party(seat).unwrap().locked());
    }
    let one = room.party(0).unwrap();
    assert!(one.epoch() > epoch);
    assert_eq!(one.verified().state(), State::Verified, "the service makes the keys of every epoch");
    let now = room.now();
    room.party(1).unwrap().remove(&other, now).unwrap();
    run(&mut room, &mut told, 1_500);
    assert!(room.party(2).unwrap().ended().is_some(), "who is put out is out");
    assert_eq!(room.party(0).unwrap().roster().len(), 2);
    let now = room.now();
    room.party(0).unwrap().end(now).unwrap();
    run(&mut room, &mut told, 3_000);
    for seat in 0..2 {
        let one = room.party(seat).unwrap();
        assert!(one.ended().is_some() && one.shield() == Shield::Stopped, "seat {seat}");
    }
}

#[test]
fn the_policy_that_is_shipped_holds_the_meeting_that_it_names() {
    let device = Device::generate("host").unwrap();
    let example = Document::parse("example.toml", EXAMPLE).unwrap();
    for policy in [MeetingPolicy::standard(), MeetingPolicy::resolve(&example, None, None).unwrap()] {
        let (mut room, ..) = held(policy, std::slice::from_ref(&device));
        let one = room.party(0).unwrap();
        assert_eq!((one.roster().len(), one.shield(), one.policy_agrees()), (1, Shield::Enhanced, true));
    }
}

#[test]
fn a_host_obeys_its_own_word_as_all_others_do() {
    let devices = ["host", "guest"].map(|name| Device::generate(name).unwrap());
    let (mut room, mut told, config, public) = held(open_door(), &devices);
    room.sit(&mut told, |_, out| Meeting::enhanced(&devices[1], config, public, out)).unwrap();
    run(&mut room, &mut told, 1_500);
    let epoch = room.party(0).unwrap().epoch();
    room.party(0).unwrap().read_aloud().unwrap();
    room.party(0).unwrap().spotlight(Some(&devices[1].identity())).unwrap();
    run(&mut room, &mut told, 500);
    for seat in 0..2 {
        let one = room.party(seat).unwrap();
        let seen = one.spotlighted().map(|member| member.identity);
        assert_eq!((one.pinned(), seen), (Some(epoch), Some(devices[1].identity())), "seat {seat}");
        assert!(!told.0[seat].iter().any(|(_, event)| matches!(event, Event::Alarm(_))), "seat {seat}");
    }
}

#[test]
fn a_host_turns_away_who_waits_and_that_one_is_told() {
    let devices = ["host", "guest"].map(|name| Device::generate(name).unwrap());
    let (mut room, mut told, config, public) = held(MeetingPolicy::standard(), &devices);
    let knock = |room: &mut Room, told: &mut Told| {
        let seat = room.sit(told, |_, out| Meeting::enhanced(&devices[1], config.clone(), public, out)).unwrap();
        run(room, told, 1_500);
        seat
    };
    let guest = devices[1].identity();
    let seat = knock(&mut room, &mut told);
    assert_eq!(room.party(0).unwrap().waiting().count(), 1);
    room.party(0).unwrap().deny(&guest).unwrap();
    run(&mut room, &mut told, 1_500);
    assert_eq!(room.party(seat).unwrap().ended(), Some(&Ended::Denied(Why::Host)));
    assert_eq!(room.party(0).unwrap().waiting().count(), 0);
    // It may ask again, and be let in.
    let seat = knock(&mut room, &mut told);
    let now = room.now();
    room.party(0).unwrap().admit(&guest, now).unwrap();
    run(&mut room, &mut told, 1_500);
    assert_eq!(room.party(seat).unwrap().roster().len(), 2);
}
