//! A recorder, whose role is to receive only, sends media all the same.

use conclave::codecs::EncodedInfo;
use conclave::e2ee::proof::Policy;
use conclave::e2ee::{EpochInput, Member, Opener, Reason, Role, Roster, keyring};
use conclave::frame::{Buffer, Encoded, Header, Kind, Structure};
use conclave::ledger::Ledger;
use conclave::send::{Config, SendError, Sender as Outgoing, Stream};

use crate::meeting::{Receiver, Sender, VICTIM, input, ms};

/// Epoch 1, in which leaf 1 is a recorder.
fn recorded(own: u16) -> EpochInput {
    let input = input(own, 9);
    let role = |member: &Member| if member.leaf == VICTIM { Role::Recorder } else { member.role };
    let members = input.roster.iter().map(|member| Member { role: role(member), ..member.clone() });
    EpochInput { roster: Roster::new(members.collect()), ..input }
}

#[test]
fn nobody_takes_it_and_its_data_is_taken() {
    let mut recorder = Sender::victim();
    let (keeper, ring) = keyring();
    keeper.open(recorded(0).derive().unwrap().1);
    let mut receiver = Receiver(Opener::new(ring).with_proofs(Policy::RenderThenProve));
    for n in 0..3 {
        assert!(receiver.camera(&recorder.camera(b"a face", ms(n)), ms(n)).is_none());
    }
    assert_eq!((receiver.0.stats().receive_only, receiver.0.stats().opened), (3, 0));
    let events: Vec<_> = std::iter::from_fn(|| receiver.0.event()).map(|event| (event.leaf, event.reason)).collect();
    assert_eq!(events, [(VICTIM, Reason::ReceiveOnly)], "told once a second");
    receiver.proof(&recorder.proof(ms(10)), ms(10));
    assert_eq!((receiver.0.stats().proofs, receiver.0.stats().receive_only), (1, 3));
}

#[test]
fn its_own_sender_refuses_in_words() {
    let (keeper, ring) = keyring();
    keeper.send(recorded(VICTIM).derive().unwrap().0, ms(0));
    let stream = |id, kind| Stream { id, kind, payload_type: 96 };
    let streams = vec![stream(1, Kind::Microphone), stream(2, Kind::Data)];
    let mut sender = Outgoing::new(Config { streams, ..Config::default() }, Box::new(ring)).unwrap();
    let mut packets = 0;
    let mut send = |stream, kind| {
        let header = Header { stream, kind, spatial: 0, temporal: 0, template_id: 0, frame_number: 0 };
        let (payload, info, ledger) = (Buffer::with_capacity(100), EncodedInfo::default(), Ledger::default());
        let frame = Encoded { payload, info, header, captured: ms(0), structure: Structure::default(), ledger };
        sender.frame(frame, ms(0), &mut |_| packets += 1).map(drop)
    };
    let refused = send(1, Kind::Microphone);
    assert!(matches!(refused, Err(SendError::ReceiveOnly(Kind::Microphone))));
    assert!(send(2, Kind::Data).is_ok());
    assert_eq!(packets, 1);
}
