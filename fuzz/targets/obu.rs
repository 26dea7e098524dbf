//! OBU borders, the sequence header and bare streams: borders tile the unit, the header does not depend on what
//! follows it, and a stream written again reads the same.

#![no_main]

use std::io::Cursor;

use conclave::codecs::container::VideoSource;
use conclave::codecs::container::obu::{DELIMITER, SEQUENCE_HEADER, SequenceHeader, TEMPORAL_DELIMITER, leb128, obus};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some((value, len)) = leb128(data) {
        assert!((1..=8).contains(&len) && value < 1 << 56);
        assert_eq!(leb128(&data[..len]), Some((value, len)));
        assert_eq!(leb128(&data[..len - 1]), None);
    }

    let mut at = 0;
    for obu in obus(data) {
        assert_eq!(obu.bytes, &data[at..at + obu.bytes.len()]);
        assert!(obu.bytes.ends_with(obu.payload) && obu.bytes.len() > obu.payload.len());
        at += obu.bytes.len();
    }

    if let Some(header) = SequenceHeader::parse(data) {
        let mut longer = data.to_vec();
        longer.extend([0xa5; 16]);
        assert_eq!(SequenceHeader::parse(&longer), Some(header));
        assert!((1..=65_536).contains(&header.size.width) && (1..=65_536).contains(&header.size.height));
        assert!(matches!(header.bit_depth, 8 | 10 | 12) && header.profile < 8 && header.level < 32);
        assert!(header.fps.is_none_or(|(num, den)| num > 0 && den > 0));
        let [mark, profile, layout, _] = header.av1c();
        assert_eq!((mark, profile), (0x81, header.profile << 5 | header.level));
        assert_eq!((layout >> 6 & 1 == 1, layout >> 4 & 1 == 1), (header.bit_depth > 8, header.monochrome));
    }

    // A bare stream: its units one behind the other are the same stream.
    let mut stream = DELIMITER.to_vec();
    stream.push(SEQUENCE_HEADER << 3 | 2);
    stream.extend_from_slice(data);
    let units = units(&stream);
    assert!(units.iter().map(Vec::len).sum::<usize>() <= stream.len() + DELIMITER.len());
    assert!(units.iter().all(|unit| unit.first().is_some_and(|first| first >> 3 & 15 == TEMPORAL_DELIMITER)));
    assert_eq!(self::units(&units.concat()), units);
});

/// The units up to the end or the damage.
fn units(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut units = Vec::new();
    let Ok(mut source) = VideoSource::from_stream("fuzz", Box::new(Cursor::new(stream.to_vec()))) else { return units };
    loop {
        let mut unit = Vec::new();
        match source.next_unit(&mut unit) {
            Ok(Some(_)) => units.push(unit),
            Ok(None) => return units,
            Err(_) => {
                assert!(unit.is_empty(), "nothing is appended on an error");
                return units;
            }
        }
    }
}
