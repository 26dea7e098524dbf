use conclave::e2ee::proof::{MediaSigner, Policy, ProofError, Prover, Why};

use crate::meeting::{Receiver, Sender, VICTIM, input, ms};

#[test]
fn frames_of_a_sender_that_proves_them_under_other_keys_are_shown_no_more() {
    let (mut victim, mut receiver) = (Sender::victim(), Receiver::new());
    assert!(receiver.camera(&victim.camera(b"shown to all", ms(0)), ms(0)).is_some());
    // From here on it signs what those with the other keys are to believe, and says so to these too.
    victim.epoch = input(VICTIM, 10).derive().unwrap().0.epoch().clone();
    assert!(receiver.proof(&victim.proof(ms(10)), ms(10)).is_empty());
    let frame = victim.camera(b"to some", ms(20));
    let proof = victim.proof(ms(30));
    assert!(receiver.proof(&proof, ms(30)).is_empty());
    assert_eq!(receiver.whys(), [Why::OtherKeys]);
    assert!(receiver.camera(&frame, ms(40)).is_none());
}

#[test]
fn a_sender_whose_epoch_has_other_keys_is_told() {
    let (mut victim, mut receiver) = (Sender::victim(), Receiver::new());
    victim.camera(b"genuine", ms(0));
    let split = input(VICTIM, 10).derive().unwrap().0.epoch().clone();
    let mut prover = Prover::new(MediaSigner::from_seed(&[VICTIM as u8; 32]).unwrap(), Policy::default());
    let digest = conclave::e2ee::proof::Digest([0; 16]);
    let context = conclave::e2ee::Context::new(1).unwrap();
    let frame = conclave::e2ee::proof::Frame { context, counter: 0, digest, key_frame: true };
    prover.sealed(&split, frame, ms(0));
    let proof = prover.due(ms(0)).unwrap();
    assert_eq!(receiver.0.proof(VICTIM, proof, ms(0)), Err(ProofError::Contradiction));
    assert_eq!(receiver.whys(), [Why::OtherKeys]);
}
