use conclave::e2ee::proof::Why;

use crate::meeting::{Receiver, Sender, ms};

#[test]
fn the_genuine_frame_is_shown_once_its_proof_comes() {
    let (mut victim, mut forger, mut receiver) = (Sender::victim(), Sender::forger(), Receiver::new());
    assert!(receiver.camera(&forger.camera(b"forged", ms(0)), ms(0)).is_some());
    let genuine = victim.camera(b"genuine", ms(5));
    assert!(receiver.camera(&genuine, ms(5)).is_none(), "one of the two is forged");
    assert_eq!(receiver.proof(&victim.proof(ms(205)), ms(205)), [b"genuine"]);
    assert_eq!(receiver.whys(), [Why::Contested, Why::Swapped]);
    assert!(receiver.camera(&genuine, ms(210)).is_none(), "and once only");
}
