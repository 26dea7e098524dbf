//! The dependency descriptor: bounds hold, and what the writer makes of a structure and distances reads the same.

#![no_main]

use conclave::rtp::descriptor::{Descriptor, MAX_DIFFS, MAX_TARGETS, MAX_TEMPLATES, Outgoing, Templates};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(([way, id, a, b, c], rest)) = data.split_first_chunk::<5>() else { return };
    let known = Templates::parse(rest);
    if let Some(known) = &known {
        check(known);
    }
    for known in [None, known.as_ref()] {
        let Some(descriptor) = Descriptor::parse(rest, known) else { continue };
        if let Some(structure) = &descriptor.structure {
            check(structure);
        }
        if let Some((diffs, count)) = descriptor.custom_diffs {
            assert!(diffs[..usize::from(count)].iter().all(|diff| (1..=4096).contains(diff)));
        }
    }

    let diffs = [1 + u16::from(*a), 1 + (u16::from(*b) << 4), 1 + u16::from(*c) % 16].repeat(3);
    let outgoing = Outgoing {
        start: way & 1 == 0,
        end: way & 2 == 0,
        template_id: id & 63,
        frame_number: u16::from_be_bytes([*a, *b]),
        structure: if way & 4 == 0 { rest } else { &[] },
        diffs: (way & 8 == 0).then(|| &diffs[..usize::from(way >> 4) % (MAX_DIFFS + 1)]),
    };
    let mut out = vec![0; data.len() + 40];
    let Some(len) = outgoing.write(&mut out) else {
        assert!(outgoing.start && known.is_none() && !outgoing.structure.is_empty(), "only damage is not written");
        return;
    };
    let read = Descriptor::parse(&out[..len], None).expect("what is written is read");
    assert_eq!((read.start, read.end), (outgoing.start, outgoing.end));
    assert_eq!((read.template_id, read.frame_number), (outgoing.template_id, outgoing.frame_number));
    if outgoing.start {
        let structure = known.filter(|_| !outgoing.structure.is_empty());
        assert_eq!(read.structure, structure);
        let said = read.custom_diffs.as_ref().map(|(list, count)| &list[..usize::from(*count)]);
        assert_eq!(said, outgoing.diffs);
    }
});

fn check(structure: &Templates) {
    assert!((1..=MAX_TEMPLATES).contains(&structure.count()) && structure.chains <= structure.targets);
    assert!((1..=MAX_TARGETS).contains(&usize::from(structure.targets)));
    for index in 0..MAX_TEMPLATES {
        let template = structure.get((structure.offset + index as u8) & 63);
        assert_eq!(template.is_some(), index < structure.count());
        let Some(template) = template else { continue };
        assert!(template.spatial <= 3 && template.temporal <= 7);
        assert!(template.diffs().iter().all(|diff| (1..=16).contains(diff)));
    }
}
