//! Every combination of what three levels say, lock and mean, against a plain table.

use std::collections::BTreeSet;

use conclave::meeting::policy::setting::Say;
use conclave::meeting::policy::{By, Document, Level, MeetingPolicy, Resolved, Row};

/// The rules, as somebody would write them on paper: what the account and the group say and lock, what the user says; who
/// decides and who locks. `v` is a value, `-` none, `*` either; `L` a lock, `o` none. Each combination is in one row
/// and in no other.
const TABLE: [([&str; 3], By, Option<Level>); 9] = [
    (["vL", "**", "*"], By::Level(Level::Account), Some(Level::Account)),
    (["-L", "**", "*"], By::Builtin, Some(Level::Account)),
    (["*o", "vL", "*"], By::Level(Level::Group), Some(Level::Group)),
    (["vo", "-L", "*"], By::Level(Level::Account), Some(Level::Group)),
    (["-o", "-L", "*"], By::Builtin, Some(Level::Group)),
    (["*o", "*o", "v"], By::Level(Level::User), None),
    (["*o", "vo", "-"], By::Level(Level::Group), None),
    (["vo", "-o", "-"], By::Level(Level::Account), None),
    (["-o", "-o", "-"], By::Builtin, None),
];

/// What the table says of a combination.
fn look_up(account: (bool, bool), group: (bool, bool), user: bool) -> (By, Option<Level>) {
    let said = |value: bool| if value { 'v' } else { '-' };
    let word = |(value, lock): (bool, bool)| format!("{}{}", said(value), if lock { 'L' } else { 'o' });
    let words = [word(account), word(group), said(user).to_string()];
    let fits = |pattern: &str, word: &str| {
        pattern.len() == word.len() && pattern.chars().zip(word.chars()).all(|(one, other)| one == '*' || one == other)
    };
    let rows: Vec<_> =
        TABLE.iter().filter(|(row, ..)| row.iter().zip(&words).all(|(row, word)| fits(row, word))).collect();
    assert_eq!(rows.len(), 1, "{words:?} is in one row of the table");
    (rows[0].1, rows[0].2)
}

/// All combinations: the account, the group and the user each say nothing or one of `values`, the first two lock or not.
fn every(values: usize) -> impl Iterator<Item = [(Option<usize>, bool); 3]> {
    let said = move || (0..=values).map(move |value| value.checked_sub(1));
    said().flat_map(move |account| {
        said().flat_map(move |group| {
            said().flat_map(move |user| {
                (0..4).map(move |locks| [(account, locks & 1 == 1), (group, locks & 2 == 2), (user, false)])
            })
        })
    })
}

#[test]
fn every_combination_of_levels_locks_and_values_comes_out_as_the_table_says() {
    let mut seen = BTreeSet::new();
    for builtin in 0..3 {
        for [account, group, user] in every(3) {
            let (by, locked) =
                look_up((account.0.is_some(), account.1), (group.0.is_some(), group.1), user.0.is_some());
            let said = [(Level::Account, account.0), (Level::Group, group.0), (Level::User, user.0)];
            let value =
                said.iter().find(|(level, _)| by == By::Level(*level)).map_or(builtin, |(_, said)| said.unwrap());
            let overruled: Vec<_> = said
                .iter()
                .filter(|(level, _)| by != By::Level(*level))
                .filter_map(|(level, said)| said.map(|said| (*level, said)))
                .collect();
            let say = |(value, locked)| Say { value, locked };
            let found = Resolved::new(builtin, say(account), say(group), user.0);
            assert_eq!(found, Resolved { value, by, locked, overruled }, "{account:?} {group:?} {user:?}");
            for (level, _) in said {
                let above = [Level::Account, Level::Group].into_iter().filter(|above| *above < level);
                let locks = |above: &Level| if *above == Level::Account { account.1 } else { group.1 };
                assert_eq!(found.greyed(level), above.filter(locks).count() > 0);
            }
            seen.insert((account, group, user));
        }
    }
    assert_eq!(seen.len(), 4 * 4 * 4 * 4);
}

/// Values of every setting, as a file has them, the built-in one first.
const VALUES: [(&str, &[&str]); 8] = [
    ("allow_e2ee", &["true", "false"]),
    ("default_encryption", &["\"enhanced\"", "\"end-to-end\""]),
    ("suite", &["\"hybrid\"", "\"classical\""]),
    ("proofs", &["\"render-then-prove\"", "\"prove-then-render\""]),
    ("waiting_room", &["true", "false"]),
    ("recorder_allowed", &["false", "true"]),
    ("roster_limit", &["1000", "1", "1024"]),
    ("leaver_window_ms", &["2000", "250", "10000"]),
];

#[test]
fn every_setting_in_a_file_comes_out_as_the_table_says_and_touches_no_other() {
    let plain = MeetingPolicy::standard().settings().rows();
    assert_eq!(plain.iter().map(|row| row.name).collect::<Vec<_>>(), VALUES.map(|(name, _)| name), "none is left out");
    let mut files = 0;
    for (at, (name, values)) in VALUES.into_iter().enumerate() {
        for [account, group, user] in every(values.len()) {
            let mut text = String::new();
            for (head, (value, locked)) in [("account", account), ("group.g", group), ("user.u", user)] {
                text += &format!("[{head}]\n{}", if head == "user.u" { "group = \"g\"\n" } else { "" });
                text += &match (value, locked) {
                    (None, false) => String::new(),
                    (None, true) => format!("{name} = {{ locked = true }}\n"),
                    (Some(value), false) => format!("{name} = {}\n", values[value]),
                    (Some(value), true) => format!("{name} = {{ value = {}, locked = true }}\n", values[value]),
                };
            }
            let document = Document::parse("f.toml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            let rows = MeetingPolicy::resolve(&document, Some("u"), None).unwrap().settings().rows();
            let (by, locked) =
                look_up((account.0.is_some(), account.1), (group.0.is_some(), group.1), user.0.is_some());
            let word = |value: usize| values[value].trim_matches('"').to_owned();
            let said = [(Level::Account, account.0), (Level::Group, group.0), (Level::User, user.0)];
            let value = said.iter().find(|(level, _)| by == By::Level(*level)).map_or(0, |(_, said)| said.unwrap());
            let others = said.iter().filter(|(level, _)| by != By::Level(*level));
            let overruled = others.filter_map(|(level, said)| said.map(|said| (*level, word(said)))).collect();
            let expected = Row { value: word(value), by, locked, overruled, ..plain[at].clone() };
            for (other, row) in rows.iter().enumerate() {
                assert_eq!(row, if other == at { &expected } else { &plain[other] }, "{text}");
            }
            files += 1;
        }
    }
    assert_eq!(files, 6 * 27 * 4 + 2 * 64 * 4);
}

#[test]
fn somebody_whom_the_file_does_not_know_gets_what_the_group_and_the_account_say() {
    let text = "[account]\nroster_limit = 10\n[group.g]\nroster_limit = 20\n[user.u]\nroster_limit = 30\n[user.v]\ngroup = \"g\"";
    let document = Document::parse("f.toml", text).unwrap();
    let limit = |user, group| document.settings(user, group).map(|settings| settings.roster_limit.value.people());
    assert_eq!(limit(None, None), Ok(10));
    assert_eq!(limit(None, Some("g")), Ok(20));
    assert_eq!(limit(Some("stranger"), None), Ok(10));
    assert_eq!(limit(Some("stranger"), Some("g")), Ok(20));
    assert_eq!(limit(Some("u"), None), Ok(30));
    assert_eq!(limit(Some("u"), Some("g")), Ok(30), "the file does not say where u is");
    assert_eq!(limit(Some("v"), None), Ok(20));
    let error = limit(Some("v"), Some("h")).unwrap_err().to_string();
    assert_eq!(error, "the policy file has no group \"h\"; it has \"g\"");
    let two = Document::parse("f.toml", &format!("{text}\n[group.h]")).unwrap();
    let error = two.settings(Some("v"), Some("h")).unwrap_err().to_string();
    assert_eq!(error, "the policy file has \"v\" in the group \"g\", not in \"h\"");
}
