//! What context 7 carries, proofs and data: once it is opened it is a member's word, and members may be hostile.

#![no_main]

use conclave::data::Body;
use conclave::e2ee::proof::Proof;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(proof) = Proof::read(data) {
        assert!(proof.frames().count() > 0);
        assert_eq!(proof.hash(), Proof::read(data).unwrap().hash());
    }
    if let Some(body) = Body::read(data) {
        let mut again = Vec::new();
        body.write(&mut again);
        assert_eq!(again, data);
    }
});
