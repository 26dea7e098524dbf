//! RTP and its extensions: what is read is written again as what reads the same.

#![no_main]

use conclave::rtp::extensions::{Elements, write_one};
use conclave::rtp::header::Rtp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(rtp) = Rtp::parse(data) else { return };
    let body = rtp.extension.map_or(0, |(_, body)| body.len());
    assert!(rtp.payload.len() + body <= data.len());
    // Contributing sources and padding are not written.
    let mut again = vec![0; data.len() + 4];
    let head = rtp.write_header(&mut again).expect("is no longer than it was");
    again.truncate(head);
    again.extend_from_slice(rtp.payload);
    assert_eq!(Rtp::parse(&again), Ok(rtp));

    let Some((profile, body)) = rtp.extension else { return };
    let mut used = 0;
    for (id, element) in Elements::new(profile, body) {
        used += 1 + element.len();
        assert!(id > 0, "0 is padding");
        let mut out = [0; 260];
        let (profile, len) = write_one(id, element, &mut out).expect("one of the forms holds it");
        assert!(Elements::new(profile, &out[..len]).eq([(id, element)]));
    }
    assert!(used <= body.len());
});
