//! A device seized in the middle of an epoch: all of its storage and of its keys opens no frame older than twelve
//! seconds. Were the keys exported as MLS exports by itself, the storage would give them all again.

#[path = "support/group.rs"]
#[allow(dead_code)]
mod table;

use conclave::codecs::EncodedInfo;
use conclave::e2ee::group::policy::EnginePolicy;
use conclave::e2ee::group::provider::Provider;
use conclave::e2ee::group::{Config, Group};
use conclave::e2ee::{Context, EpochInput, KeySource, Keyring, MediaSecret, Opener, Profile, Roster, Sealer, keyring};
use conclave::frame::{Arrived, Buffer, Encoded, Header, Kind, Structure};
use conclave::ledger::Ledger;
use conclave::time::Time;
use openmls::prelude::{GroupId, MlsGroup, OpenMlsProvider};
use table::{Seat, Table};

const SECONDS: u64 = 60;
const GROUP: &[u8] = b"meeting";
const COMPONENT: u16 = 0x8001;
const HEADER: Header =
    Header { stream: 7, kind: Kind::Microphone, spatial: 0, temporal: 0, template_id: 0, frame_number: 0 };

#[derive(Clone, Copy, PartialEq)]
enum Exporter {
    /// The engine's, each of whose secrets comes out once.
    Safe,
    /// That of RFC 9420 §8.5.
    Plain,
}

impl Exporter {
    /// What the storage of a group that is in its epoch gives.
    fn export(self, storage: &Provider) -> Result<Vec<u8>, String> {
        let mut mls = MlsGroup::load(storage.storage(), &GroupId::from_slice(GROUP)).unwrap().unwrap();
        let told = |error: &dyn std::fmt::Debug| format!("{error:?}");
        match self {
            Exporter::Safe => {
                mls.safe_export_secret(storage.crypto(), storage.storage(), COMPONENT).map_err(|error| told(&error))
            }
            Exporter::Plain => mls.export_secret(storage.crypto(), "media", &[], 32).map_err(|error| told(&error)),
        }
    }
}

/// An epoch with the members of `like`, keyed with `secret`.
fn epoch(like: &EpochInput, secret: &[u8], own: u16) -> EpochInput {
    EpochInput {
        group: like.group.clone(),
        epoch: like.epoch,
        secret: MediaSecret::new(secret).unwrap(),
        profile: Profile::Conclave,
        own,
        roster: Roster::new(like.roster.iter().cloned().collect()),
        policy: like.policy.clone(),
        authenticator: like.authenticator.clone(),
        began: Time(0),
    }
}

fn opening(input: EpochInput) -> Opener<Keyring> {
    let (keeper, mut ring) = keyring();
    keeper.open(input.derive().unwrap().1);
    ring.turn(Time(0));
    Opener::new(ring)
}

fn arrived(bytes: &[u8]) -> Arrived {
    let mut payload = Buffer::with_capacity(bytes.len());
    payload.tail().extend_from_slice(bytes);
    Arrived { payload, header: HEADER, packets: Default::default(), ledger: Ledger::default() }
}

/// The one attack, on a meeting of two that is keyed by `exporter`: how old the oldest frame is that opens, in seconds,
/// how many do, and what the storage says when it is asked for the secret again.
fn seize(exporter: Exporter) -> (u64, usize, Result<(), String>) {
    let mut table = Table::of(2, Config::new(GROUP).classical());
    table.agree();
    let mut take = |id: u64| -> (EpochInput, Provider) {
        let input = table.people.get_mut(&id).unwrap().epochs.pop().unwrap();
        let Some(Seat::In(group)) = table.stand_up(id) else { panic!("not in") };
        (input, Group::suspend(group))
    };
    let ((host, host_storage), (member, storage)) = (take(0), take(1));
    assert!(EnginePolicy::decode(&host.policy).is_some());
    let (leaf, like) = (host.own, epoch(&member, &[0; 32], member.own));
    let (host, member) = match exporter {
        Exporter::Safe => (EpochInput { began: Time(0), ..host }, EpochInput { began: Time(0), ..member }),
        Exporter::Plain => {
            let of = |storage, own| epoch(&like, &exporter.export(storage).unwrap(), own);
            (of(&host_storage, leaf), of(&storage, like.own))
        }
    };

    let (keeper, mut sending) = keyring();
    keeper.send(host.derive().unwrap().0, Time(0));
    sending.turn(Time(0));
    let mut sealer = Sealer::new(&mut sending, Context::of(Kind::Microphone)).unwrap();
    let mut device = opening(member);
    let mut recorded = vec![];
    for second in 0..=SECONDS {
        let now = Time::from_ms(second * 1000);
        let (info, structure, ledger) = (EncodedInfo::default(), Structure::default(), Ledger::default());
        let mut payload = Buffer::with_capacity(64);
        payload.tail().extend_from_slice(b"said in confidence");
        let frame = Encoded { payload, info, header: HEADER, captured: now, structure, ledger };
        let sealed = sealer.seal(frame, now).ok().unwrap().as_slice().to_vec();
        assert!(device.open(arrived(&sealed), now).is_ok());
        recorded.push((second, sealed));
    }

    // The chains as they are, without the memory of what was seen; and whatever the storage gives.
    let seized = Opener::new(std::mem::replace(device.source_mut(), keyring().1));
    let again = exporter.export(&storage);
    let mut hands: Vec<Opener<Keyring>> = vec![seized];
    hands.extend(again.as_ref().ok().map(|secret| opening(epoch(&like, secret, like.own))));
    let opens = |(second, sealed): &(u64, Vec<u8>), hand: &mut Opener<Keyring>| {
        hand.open(arrived(sealed), Time::from_ms(second * 1000)).is_ok()
    };
    let opened: Vec<u64> = recorded
        .iter()
        .filter(|frame| hands.iter_mut().any(|hand| opens(frame, hand)))
        .map(|(second, _)| *second)
        .collect();
    (SECONDS - opened[0], opened.len(), again.map(drop))
}

#[test]
fn a_seized_device_opens_nothing_older_than_twelve_seconds() {
    let (oldest, opened, again) = seize(Exporter::Safe);
    println!("oldest frame that a seized device opens: {oldest} s, {opened} frames of {}", SECONDS + 1);
    assert!(oldest <= 12 && opened > 0);
    let why = again.unwrap_err();
    assert!(why.contains("PuncturedInput"), "{why}");
}

#[test]
fn with_the_plain_exporter_the_same_attack_opens_everything() {
    let (oldest, opened, again) = seize(Exporter::Plain);
    assert_eq!((oldest, opened as u64), (SECONDS, SECONDS + 1));
    assert!(again.is_ok());
}
