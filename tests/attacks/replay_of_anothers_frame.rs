use crate::meeting::{Receiver, Sender, ms};

#[test]
fn a_frame_is_shown_once_before_its_proof_and_after() {
    let (mut victim, mut receiver) = (Sender::victim(), Receiver::new());
    let frames: Vec<_> = (0..40).map(|_| victim.camera(b"genuine", ms(0))).collect();
    assert!(frames.iter().all(|frame| receiver.camera(frame, ms(0)).is_some()));
    assert!(frames.iter().all(|frame| receiver.camera(frame, ms(1)).is_none()));
    let proof = victim.proof(ms(2));
    assert!(receiver.proof(&proof, ms(2)).is_empty() && receiver.proof(&proof, ms(2)).is_empty());
    assert!(frames.iter().all(|frame| receiver.camera(frame, ms(3)).is_none()));
    assert_eq!(receiver.0.stats().replayed, 80);
    assert_eq!(receiver.whys(), []);
}
