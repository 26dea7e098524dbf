use conclave::e2ee::proof::Why;

use crate::meeting::{Receiver, Sender, ms};

#[test]
fn two_proofs_with_one_number_alarm_whoever_sees_both() {
    let (mut one, mut two, mut receiver) = (Sender::victim(), Sender::victim(), Receiver::new());
    let shown = one.camera(b"what some are shown", ms(0));
    two.camera(b"what others are shown", ms(0));
    assert!(receiver.camera(&shown, ms(0)).is_some());
    receiver.proof(&one.proof(ms(10)), ms(10));
    two.prover.flush(ms(10)).map(|proof| receiver.0.proof(1, proof, ms(20)).unwrap_err()).unwrap();
    assert_eq!(receiver.whys(), [Why::Equivocation]);
}
