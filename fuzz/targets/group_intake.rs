//! What a member takes in from the relay, the MLS library behind it: bytes of nobody in the group move nothing. Inputs are
//! bytes as they are, or edits of genuine messages that this member has not seen. The keys of the group are made anew in
//! each run, so an edit's effect is told by its place and not by the ciphertext around it.

#![no_main]

use std::cell::RefCell;

use conclave::e2ee::group::wire::Envelope;
use conclave::e2ee::group::{Config, Device, Event, Group, Joining, Output};
use conclave::time::Time;
use libfuzzer_sys::fuzz_target;

/// Where the clock stands.
const NOW: Time = Time::from_ms(10_000);

/// Inputs after which everything is made anew, once the way in was tried.
const INPUTS: u32 = 20_000;

/// A member, somebody who waits for its Welcome, and what they have not heard yet.
struct Stage {
    member: Group,
    joining: Joining,
    welcome: Vec<u8>,
    genuine: Vec<Vec<u8>>,
    inputs: u32,
}

thread_local!(static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) });

fn sends(group: &mut Group) -> Vec<Vec<u8>> {
    let all = std::iter::from_fn(|| group.poll());
    all.filter_map(|output| if let Output::Send(message) = output { Some(message) } else { None }).collect()
}

/// The host's next commit, in force with it, and the Welcome.
fn commit(host: &mut Group, now: Time) -> (Vec<u8>, Option<Vec<u8>>) {
    sends(host);
    host.tick(now);
    let handshake = |message: &Vec<u8>| matches!(Envelope::decode(message), Ok(Envelope::Handshake { .. }));
    let commit = sends(host).into_iter().find(handshake).expect("a commit");
    host.handle(&commit, now).expect("its own");
    let welcome = |message: &Vec<u8>| matches!(Envelope::decode(message), Ok(Envelope::Welcome { .. }));
    (commit, sends(host).into_iter().find(welcome))
}

fn device(name: &str) -> Device {
    Device::generate(name).expect("a device")
}

impl Stage {
    fn set() -> Self {
        let config = Config::new(b"fuzz").classical();
        let mut host = Group::create(&device("host"), config.clone(), Time::from_ms(1000)).expect("a group");
        let knock = |host: &mut Group, name, now| {
            let (joining, knock) = Joining::new(&device(name), config.clone()).expect("keys");
            host.admit(&knock[1..], now).expect("a key package");
            (joining, knock)
        };
        let (mut one, _) = knock(&mut host, "member", Time::from_ms(4000));
        let (mut two, _) = knock(&mut host, "other", Time::from_ms(4000));
        let (_, welcome) = commit(&mut host, Time::from_ms(5000));
        let welcome = welcome.expect("a welcome");
        let mut member = one.handle(&welcome, NOW).expect("the way in").expect("a group");
        let mut other = two.handle(&welcome, NOW).expect("the way in").expect("a group");
        // All of the member's epoch, then one of the next.
        let mut genuine = Vec::new();
        other.tell(b"a word").expect("told");
        other.leave(NOW);
        genuine.extend(sends(&mut other));
        host.tell(b"another").expect("told");
        let (joining, knocked) = knock(&mut host, "late", NOW);
        genuine.extend([sends(&mut host), vec![knocked]].concat());
        let (committed, welcome) = commit(&mut host, NOW.plus(1_000_000));
        host.tell(b"later").expect("told");
        genuine.push(committed);
        genuine.extend(sends(&mut host));
        genuine.extend(welcome.clone());
        sends(&mut member);
        Self { member, joining, welcome: welcome.expect("a welcome"), genuine, inputs: 0 }
    }

    /// A message that the input asks for; `None` where it is a genuine one, whatever the relay wrote in front of it.
    fn message(&self, data: &[u8]) -> Option<Vec<u8>> {
        let (which, mut edits) = data.split_first()?;
        let Some(genuine) = self.genuine.get(usize::from(*which)) else { return Some(edits.to_vec()) };
        let mut message = genuine.clone();
        while let Some(([high, low, change], rest)) = edits.split_first_chunk::<3>() {
            edits = rest;
            let place = usize::from(u16::from_be_bytes([*high, *low]));
            match (message.get_mut(place), high >> 7) {
                (_, 1) => message.truncate(place & 0x7fff),
                (Some(byte), _) => *byte ^= change,
                (None, _) => message.push(*change),
            }
        }
        let body = body(&message).map(<[u8]>::to_vec);
        (body.is_none() || self.genuine.iter().all(|genuine| self::body(genuine) != body.as_deref())).then_some(message)
    }

    fn take(&mut self, message: &[u8]) {
        let before = (self.member.epoch(), self.member.authenticator().to_vec(), self.member.roster().hash());
        let _ = self.member.handle(message, NOW);
        while let Some(output) = self.member.poll() {
            match output {
                Output::Epoch(..) => panic!("an epoch by nobody in the group"),
                Output::Event(Event::Knock { .. } | Event::Told { .. }) => panic!("nobody said this"),
                Output::Send(_) | Output::Event(_) => {}
            }
        }
        let after = (self.member.epoch(), self.member.authenticator().to_vec(), self.member.roster().hash());
        assert!(before == after && self.member.left().is_none());
        assert!(!matches!(self.joining.handle(message, NOW), Ok(Some(_))), "nobody let it in");
    }
}

/// What of a message is for members.
fn body(message: &[u8]) -> Option<&[u8]> {
    match Envelope::decode(message).ok()? {
        Envelope::Handshake { body, .. } | Envelope::Application { body, .. } => Some(body),
        Envelope::Welcome { body, .. } | Envelope::KeyPackage(body) => Some(body),
        Envelope::Knock { key_package, .. } => Some(key_package),
        Envelope::Here { .. } | Envelope::Denied { .. } | Envelope::Room { .. } => None,
    }
}

fuzz_target!(|data: &[u8]| STAGE.with_borrow_mut(|place| {
    let stage = place.get_or_insert_with(Stage::set);
    if let Some(message) = stage.message(data) {
        stage.take(&message);
    }
    stage.inputs += 1;
    if stage.inputs == INPUTS {
        let group = stage.joining.handle(&stage.welcome, NOW);
        assert!(matches!(group, Ok(Some(_))), "forgeries before the Welcome do not keep anybody out");
        *place = None;
    }
}));
