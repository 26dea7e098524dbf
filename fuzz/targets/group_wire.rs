//! What members of a group send each other, and its policy: whatever is read has that one encoding.

#![no_main]

use conclave::e2ee::group::EnginePolicy;
use conclave::e2ee::group::wire::Envelope;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(envelope) = Envelope::decode(data) {
        assert_eq!(envelope.encode(), data);
    }
    if let Some(policy) = EnginePolicy::decode(data) {
        assert_eq!(policy.encode(), data);
    }
});
