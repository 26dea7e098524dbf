use conclave::e2ee::proof::Why;

use crate::meeting::{Receiver, Sender, ms};

#[test]
fn frames_under_a_silent_members_key_are_flagged_within_a_second_and_no_more_are_shown() {
    let (mut forger, mut receiver) = (Sender::forger(), Receiver::new());
    for n in 0..50u64 {
        let now = ms(n * 40);
        let shown = receiver.camera(&forger.camera(b"forged", now), now).is_some();
        let proof = forger.proof(now);
        assert!(receiver.proof(&proof, now).is_empty(), "the forger's signature proves nothing");
        assert_eq!(shown, n <= 25, "frame {n}");
    }
    assert_eq!(receiver.whys(), [Why::Unproven]);
}

#[test]
fn a_frame_under_a_speaking_members_key_is_found_out_by_its_next_proof() {
    let (mut victim, mut forger, mut receiver) = (Sender::victim(), Sender::forger(), Receiver::new());
    let forged = forger.camera(b"forged", ms(0));
    let genuine: Vec<_> = (0..3).map(|_| victim.camera(b"genuine", ms(0))).collect();
    assert!(receiver.camera(&forged, ms(0)).is_some());
    assert!(genuine[1..].iter().all(|frame| receiver.camera(frame, ms(1)).is_some()));
    assert!(receiver.proof(&victim.proof(ms(200)), ms(200)).is_empty());
    assert_eq!(receiver.whys(), [Why::Swapped]);
    assert_eq!(receiver.camera(&genuine[0], ms(210)).as_deref(), Some(&b"genuine"[..]), "late, and its own");
}
