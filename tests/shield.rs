//! The shield is green for keys in force and for nothing else.

use conclave::e2ee::group::MeetingType;
use conclave::meeting::shield::{Facts, Keys, Shield};

fn every() -> Vec<Facts> {
    let mut all = Vec::new();
    for epoch in [None, Some(MeetingType::EndToEnd), Some(MeetingType::Enhanced)] {
        for keys in [Keys::Group, Keys::Service, Keys::App] {
            for bits in 0..8 {
                let [sealing, policy_agrees, mismatch] = [0, 1, 2].map(|bit| bits >> bit & 1 == 1);
                all.push(Facts { epoch, keys, sealing, policy_agrees, mismatch });
            }
        }
    }
    all
}

#[test]
fn one_combination_of_facts_is_end_to_end_one_is_enhanced_and_no_other_is_green() {
    let good = |epoch, keys| Facts { epoch: Some(epoch), keys, sealing: true, policy_agrees: true, mismatch: false };
    let end_to_end = good(MeetingType::EndToEnd, Keys::Group);
    let enhanced = good(MeetingType::Enhanced, Keys::Service);
    assert_eq!(every().len(), 72);
    for facts in every() {
        let shield = Shield::new(&facts);
        assert_eq!(shield == Shield::EndToEnd, facts == end_to_end, "{facts:?}");
        assert_eq!(shield == Shield::Enhanced, facts == enhanced, "{facts:?}");
        assert_eq!(shield.green(), facts == end_to_end || facts == enhanced, "{facts:?}");
    }
}

#[test]
fn what_is_not_green_says_what_it_is() {
    for facts in every() {
        let expected = match facts {
            Facts { epoch: None, .. } | Facts { sealing: false, .. } => Shield::Stopped,
            Facts { policy_agrees: false, .. } | Facts { mismatch: true, .. } => Shield::Warning,
            Facts { keys: Keys::App, .. } => Shield::Unknown,
            Facts { epoch: Some(MeetingType::EndToEnd), keys: Keys::Service, .. } => Shield::Warning,
            Facts { epoch: Some(MeetingType::Enhanced), keys: Keys::Group, .. } => Shield::Warning,
            _ => continue,
        };
        assert_eq!(Shield::new(&facts), expected, "{facts:?}");
    }
}

#[test]
fn the_pictures_are_well_formed_and_only_green_ones_have_green() {
    let mut seen = Vec::new();
    for shield in Shield::ALL {
        let svg = shield.svg();
        well_formed(&svg);
        assert!(svg.contains(&format!("<title>{}</title>", shield.label())), "{svg}");
        assert_eq!(svg.contains("#1a9e4b"), shield.green(), "{svg}");
        // Every color in it, not the face alone: none of the others has more green than red and blue.
        for color in svg.split('#').skip(1).filter_map(|rest| rest.get(..6)) {
            let Ok(color) = u32::from_str_radix(color, 16) else { continue };
            let [_, red, green, blue] = color.to_be_bytes();
            assert!(shield.green() || green <= red.max(blue), "{shield:?} has #{color:06x}");
        }
        seen.push(svg);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), Shield::ALL.len(), "each has a sign of its own");
}

#[test]
fn each_has_a_label_and_a_sentence_of_its_own() {
    let sentences: std::collections::BTreeSet<_> = Shield::ALL.map(|shield| (shield.label(), shield.sentence())).into();
    assert_eq!(sentences.len(), Shield::ALL.len());
    for shield in Shield::ALL.into_iter().filter(|shield| *shield != Shield::EndToEnd) {
        assert!(
            !format!("{}{}", shield.label(), shield.sentence()).to_lowercase().contains("end-to-end"),
            "{shield:?}"
        );
    }
}

/// Tags that open are closed in their order, attributes are in quotes, and there is nothing outside the root.
fn well_formed(svg: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = svg;
    while let Some(at) = rest.find('<') {
        assert!(!open.is_empty() || rest[..at].trim().is_empty(), "text outside the root: {svg}");
        let end = at + rest[at..].find('>').expect("a tag ends");
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes in <{tag}>");
        assert!(!tag.contains('<') && !tag.contains('&'), "<{tag}>");
        let name = tag.trim_matches('/').split_whitespace().next().expect("a name");
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) => assert_eq!(open.pop(), Some(name), "{svg}"),
            (false, true) => assert!(!open.is_empty(), "{svg}"),
            (false, false) => open.push(name),
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{svg}");
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
}
