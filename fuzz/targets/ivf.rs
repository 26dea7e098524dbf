//! ivf: units and times read from a file and written to another are read from it again.

#![no_main]

#[path = "../../tests/container_support/mod.rs"]
mod container_support;

use std::io::Cursor;

use conclave::codecs::container::VideoSource;
use container_support::sequence_header;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((way, data)) = data.split_first() else { return };
    let mut file = Vec::new();
    if way & 1 == 0 {
        // The whole file.
        file.extend_from_slice(b"DKIF");
    } else {
        // What follows a header and a first frame that are in order.
        let (mut unit, header) = (vec![0x12, 0, 0x0a], sequence_header(64, 48));
        unit.push(header.len() as u8);
        unit.extend(header);
        file = head(30_000, 1001);
        frame(&mut file, &unit, 0);
    }
    file.extend_from_slice(data);
    let units = units(&file);
    // A frame brings a header of 12 bytes, and at most a delimiter is added to it.
    assert!(units.iter().map(|(unit, _)| unit.len() + 10).sum::<usize>() <= file.len());

    let mut again = head(1_000_000, 1);
    units.iter().for_each(|(unit, time)| frame(&mut again, unit, *time));
    assert_eq!(self::units(&again), units);
});

fn head(rate: u32, scale: u32) -> Vec<u8> {
    let mut head = b"DKIF\0\0\x20\0AV01\x40\0\x30\0".to_vec();
    [rate, scale, 0, 0].iter().for_each(|word| head.extend(word.to_le_bytes()));
    head
}

fn frame(file: &mut Vec<u8>, unit: &[u8], time: u64) {
    file.extend((unit.len() as u32).to_le_bytes());
    file.extend(time.to_le_bytes());
    file.extend_from_slice(unit);
}

/// The units, with their times, up to the end or the damage.
fn units(file: &[u8]) -> Vec<(Vec<u8>, u64)> {
    let mut units = Vec::new();
    let Ok(mut source) = VideoSource::from_stream("fuzz", Box::new(Cursor::new(file.to_vec()))) else { return units };
    loop {
        let mut unit = Vec::new();
        match source.next_unit(&mut unit) {
            Ok(Some(time)) => units.push((unit, time)),
            Ok(None) => return units,
            Err(_) => {
                assert!(unit.is_empty(), "nothing is appended on an error");
                return units;
            }
        }
    }
}
