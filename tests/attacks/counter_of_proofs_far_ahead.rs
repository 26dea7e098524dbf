use crate::meeting::{Receiver, Sender, ms};

#[test]
fn a_forged_counter_of_context_7_keeps_no_proof_out() {
    let (mut victim, mut forger, mut receiver) = (Sender::victim(), Sender::forger(), Receiver::new());
    // More than the window of counters is wide.
    let ahead = (0..1500).map(|_| {
        forger.camera(b"forged", ms(0));
        forger.proof(ms(0))
    });
    assert!(receiver.proof(&ahead.last().unwrap(), ms(0)).is_empty());
    for n in 0..60u64 {
        let now = ms(n * 40);
        assert!(receiver.camera(&victim.camera(b"genuine", now), now).is_some(), "frame {n}");
        receiver.proof(&victim.proof(now), now);
    }
    assert_eq!(receiver.whys(), []);
    let (_, verifier) = receiver.0.verifiers().next().unwrap();
    assert_eq!((verifier.stats().proofs, verifier.stats().proven, verifier.stats().unsigned), (60, 60, 1));
}
