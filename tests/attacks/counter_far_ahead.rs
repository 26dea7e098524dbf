use conclave::e2ee::proof::Why;

use crate::meeting::{Receiver, Sender, ms};

#[test]
fn it_moves_no_window_and_is_found_out() {
    let (mut victim, mut forger, mut receiver) = (Sender::victim(), Sender::forger(), Receiver::new());
    let ahead = (0..3000).map(|_| forger.camera(b"forged", ms(0))).last().unwrap();
    let (mut shown, mut whys) = (0, Vec::new());
    for n in 0..100u64 {
        let now = ms(n * 40);
        shown += usize::from(receiver.camera(&victim.camera(b"genuine", now), now).is_some());
        if n == 10 {
            receiver.camera(&ahead, now);
        }
        if n % 5 == 4 {
            shown += receiver.proof(&victim.proof(now), now).len();
        }
        shown += receiver.released(now).len();
        whys.extend(receiver.whys());
    }
    assert_eq!((shown, &whys[..]), (100, &[Why::Invented][..]));
}
