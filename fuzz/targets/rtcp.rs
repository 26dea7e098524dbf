//! RTCP: each message that is read and used here is written again as what reads the same.

#![no_main]

use std::collections::BTreeSet;

use conclave::rtp::rtcp::{self, Message, NackWriter};
use libfuzzer_sys::fuzz_target;

/// Items of a NACK that the writer holds.
const ITEMS: usize = 64;

fuzz_target!(|data: &[u8]| {
    let (mut messages, mut failed) = (0, false);
    for message in rtcp::parse(data) {
        assert!(!failed, "after an error nothing follows");
        messages += 1;
        let mut out = [0; 300];
        let Ok(message) = message else {
            failed = true;
            continue;
        };
        let len = match message {
            Message::SenderReport(report) => report.write(&mut out),
            Message::ReceiverReport(report) => report.write(&mut out),
            Message::Pli(pli) => pli.write(&mut out),
            Message::Nack(nack) => {
                let mut writer = NackWriter::new(nack.ssrc, nack.media_ssrc);
                let mut asked = BTreeSet::new();
                for sequence in nack.sequences().take_while(|sequence| writer.add(*sequence)) {
                    asked.insert(sequence);
                }
                assert!(nack.sequences().count() <= 17 * data.len() / 4);
                assert_eq!(writer.is_empty(), asked.is_empty());
                let len = writer.write(&mut out).expect("fits");
                assert!(len <= 12 + 4 * ITEMS);
                let Some(Ok(Message::Nack(again))) = rtcp::parse(&out[..len]).next() else { panic!("no NACK") };
                assert_eq!((again.ssrc, again.media_ssrc), (nack.ssrc, nack.media_ssrc));
                assert_eq!(again.sequences().collect::<BTreeSet<_>>(), asked);
                continue;
            }
            Message::Other(_) => continue,
        };
        assert!(rtcp::parse(&out[..len.expect("fits")]).eq([Ok(message)]));
    }
    assert!(messages <= data.len().div_ceil(4));
});
