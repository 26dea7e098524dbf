use conclave::e2ee::proof::{Policy, Why};
use conclave::e2ee::{Opener, keyring};

use crate::meeting::{Receiver, Sender, input, ms};

#[test]
fn no_forged_frame_is_shown_at_all_and_every_genuine_one_is_once() {
    let (mut victim, mut forger) = (Sender::victim(), Sender::forger());
    let (keeper, ring) = keyring();
    keeper.open(input(0, 9).derive().unwrap().1);
    let mut receiver = Receiver(Opener::new(ring).with_proofs(Policy::ProveThenRender));
    let mut shown = Vec::new();
    for n in 0..100u64 {
        let now = ms(n * 40);
        let (genuine, forged) = (victim.camera(b"genuine", now), forger.camera(b"forged", now));
        for frame in [&forged, &genuine, &genuine] {
            assert!(receiver.camera(frame, now).is_none(), "nothing is shown unproven");
        }
        shown.extend(receiver.proof(&forger.proof(now), now));
        shown.extend(receiver.proof(&victim.proof(now), now));
        assert!(receiver.camera(&genuine, now).is_none() && receiver.camera(&forged, now).is_none());
    }
    assert_eq!(shown, vec![b"genuine"; 100]);
    let whys = receiver.whys();
    assert!(whys.contains(&Why::Contested) && whys.contains(&Why::Refuted));
    assert!(whys.len() <= 2 * 4, "{} events in four seconds", whys.len());
}
