//! The SFrame header: whatever is accepted is minimal, so that writing it again gives the same bytes.

#![no_main]

use conclave::e2ee::header::{Header, MAX_LEN};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((header, len)) = Header::read(data) else { return };
    let mut again = [0; MAX_LEN];
    assert_eq!(header.write(&mut again), len);
    assert_eq!(again[..len], data[..len]);
});
