//! A file that is wrong is refused with its name, the line and what was expected there.

use conclave::meeting::policy::{Document, EXAMPLE, MeetingPolicy};

/// The line and the rest of what is said of a file.
fn said(text: &str) -> (usize, String) {
    let error = Document::parse("house.toml", text).map(|_| ()).expect_err(text);
    assert_eq!(error.file, "house.toml");
    let shown = error.to_string();
    assert_eq!(shown, format!("house.toml, line {}: {}", error.line, error.what));
    assert!(!shown.contains('\n'), "{shown}");
    (error.line, error.what)
}

#[track_caller]
fn refused(text: &str, line: usize, parts: &[&str]) {
    let (found, what) = said(text);
    assert_eq!(found, line, "{what}");
    for part in parts {
        assert!(what.contains(part), "{what:?} says {part:?}");
    }
}

#[test]
fn unknown_keys_are_refused_with_those_that_are_known() {
    refused("\n[acount]\n", 2, &["no key `acount`", "`account`", "`group`", "`network`"]);
    refused(
        "[account]\nwaiting_room = true\nalow_e2ee = true",
        3,
        &["`account` has no key `alow_e2ee`", "`allow_e2ee`"],
    );
    refused("[group.a]\n\ngroup = \"b\"", 3, &["`group.a` has no key `group`"]);
    refused("[user.a]\ngroop = \"b\"", 2, &["`user.a` has no key `groop`", "`group`", "`suite`"]);
    refused(
        "[account]\nsuite = {\n value = \"hybrid\",\n lock = true }",
        4,
        &["`account.suite` has no key `lock`", "`locked`"],
    );
    refused("[[clients.admit]]\nkind = \"web\"\nos = \"x\"", 3, &["no key `os`", "`platforms`"]);
    refused("[clients]\nban = 1", 2, &["no key `ban`", "`admit`", "`refuse`"]);
    refused(
        "[clients]\nadmit = [{kind = \"web\", platforms = [\"linux\"], version = \"1.0.0\"}]\n[clients.refuse]\nfax = \"old\"",
        4,
        &["`clients.refuse.fax` is no kind of client", "\"telephone\""],
    );
    refused("[network]\nhosts = []", 2, &["no key `hosts`", "`relays`", "`ports`"]);
    refused("[free_accounts]\nphone = true", 2, &["no key `phone`", "`verified_phone`"]);
}

#[test]
fn wrong_types_are_refused_with_what_is_there_and_what_was_expected() {
    refused(
        "[account]\nallow_e2ee = \"yes\"",
        2,
        &["`account.allow_e2ee` is \"yes\"", "expected true or false", "`locked`"],
    );
    refused("[account]\nallow_e2ee = 1", 2, &["is 1; expected true or false"]);
    refused("[account]\nallow_e2ee = [true]", 2, &["is a list; expected true or false"]);
    refused("[account]\nallow_e2ee = 2026-11-26", 2, &["is a date; expected true or false"]);
    refused("[account]\nroster_limit = 10.5", 2, &["is 10.5; expected a number of people from 1 to 1024"]);
    refused("[account]\nroster_limit = \"10\"", 2, &["is \"10\"; expected a number of people"]);
    refused(
        "[account]\nwaiting_room = { value = true,\n  locked = \"yes\" }",
        3,
        &["`account.waiting_room.locked`", "true or false"],
    );
    refused("[account]\nwaiting_room = {}", 2, &["`account.waiting_room` is empty"]);
    refused("account = 3", 1, &["`account` is 3; expected a table"]);
    refused("[group]\na = 3", 2, &["`group.a` is 3; expected a table"]);
    refused("user = true", 1, &["`user` is true; expected a table"]);
    refused(
        "[network]\nrelays = \"10.0.0.0/8\"\nports = [443]",
        2,
        &["`network.relays` is \"10.0.0.0/8\"; expected a list"],
    );
    refused("clients = { admit = {} }", 1, &["`clients.admit` is a table; expected a list of tables"]);
    refused("clients = { admit = [1] }", 1, &["is 1; expected a table"]);
}

#[test]
fn words_and_numbers_out_of_their_bounds_are_refused_with_the_bounds() {
    refused("[account]\ndefault_encryption = \"e2ee\"", 2, &["is \"e2ee\"; expected \"enhanced\" or \"end-to-end\""]);
    refused(
        "[group.a]\nsuite = { value = \"x25519\" }",
        2,
        &["`group.a.suite.value` is \"x25519\"", "\"hybrid\" or \"classical\""],
    );
    refused("[account]\nproofs = \"never\"", 2, &["\"render-then-prove\" or \"prove-then-render\""]);
    refused("[account]\nroster_limit = 0", 2, &["is 0; expected a number of people from 1 to 1024"]);
    refused("[account]\nroster_limit = 65537", 2, &["is 65537"]);
    refused("[account]\nleaver_window_ms = 249", 2, &["expected a number of milliseconds from 250 to 10000"]);
    refused("[account]\nleaver_window_ms = 99999999999999999999", 2, &[]);
}

#[test]
fn a_user_locks_nothing_and_is_in_a_group_of_the_file() {
    refused("[user.a]\nsuite = { value = \"hybrid\",\n locked = true }", 3, &["`user.a.suite` has a lock", "no level"]);
    refused("[user.a]\nsuite = { locked = false }", 2, &["has a lock"]);
    refused(
        "[group.b]\n[user.a]\ngroup = \"c\"",
        3,
        &["`user.a.group` is \"c\"; expected the name of a group", "(\"b\")"],
    );
    refused("[user.a]\ngroup = 1", 2, &["expected the name of a group in this file (none)"]);
}

#[test]
fn a_client_table_that_does_not_hold_together_is_refused() {
    let row = |kind: &str, platforms: &str, version: &str| {
        format!("[[clients.admit]]\nkind = {kind}\nplatforms = {platforms}\nversion = {version}\n")
    };
    let good = row("\"desktop\"", "[\"linux\"]", "\"5.4.0\"");
    assert!(Document::parse("f", &good).is_ok());
    for version in ["\"5.4\"", "\"5.4.0.1\"", "\"5.4.beta\"", "\"v5.4.0\"", "\"05.4.0\"", "5.4", "5"] {
        refused(
            &row("\"desktop\"", "[\"linux\"]", version),
            4,
            &["`clients.admit.version` is", "three numbers such as \"5.4.0\""],
        );
    }
    refused(&row("\"fridge\"", "[\"linux\"]", "\"5.4.0\""), 2, &["is \"fridge\"; expected \"desktop\" or \"mobile\""]);
    for kind in ["telephone", "sip", "on-premise", "lync"] {
        refused(&row(&format!("{kind:?}"), "[\"linux\"]", "\"5.4.0\""), 2, &["expected \"desktop\""]);
    }
    refused(
        &row("\"desktop\"", "[\"linux\",\n\"beos\"]", "\"5.4.0\""),
        4,
        &["is \"beos\"; expected \"windows\" or \"macos\""],
    );
    refused(&row("\"desktop\"", "[]", "\"5.4.0\""), 3, &["`clients.admit.platforms` is empty"]);
    refused("[[clients.admit]]\nkind = \"web\"", 1, &["misses a part", "`version`"]);
    refused(&format!("{good}{good}"), 7, &["a second row for `desktop` on `linux`"]);
    refused("[clients.refuse]\nweb = \"no\"", 1, &["`clients` lets nobody in"]);
    refused(&format!("{good}[clients.refuse]\ndesktop = \"no\""), 6, &["`desktop` is let in above"]);
    refused(&format!("{good}[clients.refuse]\nweb = \" \""), 6, &["a reason in one line"]);
    refused(&format!("{good}[clients.refuse]\nweb = \"a\\nb\""), 6, &["a reason in one line"]);
    refused(&format!("{good}[clients.refuse]\nweb = \"{}\"", "a".repeat(301)), 6, &["at most 300 bytes"]);
}

#[test]
fn networks_and_ports_that_are_none_are_refused() {
    let network = |relays: &str, ports: &str| format!("[network]\nrelays = {relays}\nports = {ports}\n");
    let good = "[\"10.0.0.0/8\"]";
    refused(&network("[\"10.0.0.0/8\",\n\"10.0.0.1/8\"]", "[443]"), 3, &["is \"10.0.0.1/8\"; expected \"10.0.0.0/8\""]);
    refused(&network("[\"10.0.0.0/33\"]", "[443]"), 2, &["a prefix of at most 32 bits"]);
    refused(&network("[\"relay.example.com\"]", "[443]"), 2, &["expected an address and a prefix"]);
    refused(&network("[10]", "[443]"), 2, &["is 10; expected a network"]);
    refused(&network("[]", "[443]"), 2, &["`network.relays` is empty"]);
    refused(&network(good, "[]"), 3, &["`network.ports` is empty"]);
    for port in ["0", "65536", "-1", "\"443\"", "443.0"] {
        refused(&network(good, &format!("[443, {port}]")), 3, &["expected a port from 1 to 65535"]);
    }
    refused("[network]\nports = [443]", 1, &["`network` misses a part; expected `relays` and `ports`"]);
    let many: Vec<_> = (1..=1001).map(|port| port.to_string()).collect();
    refused(&network(good, &format!("[{}]", many.join(","))), 3, &["has 1001 entries; expected 1000 at most"]);
    let most = network(good, &format!("[{}]", many[..1000].join(",")));
    let most = MeetingPolicy::resolve(&Document::parse("f", &most).unwrap(), None, None).unwrap();
    assert_eq!(MeetingPolicy::decode(&most.encode()), Some(most));
}

#[test]
fn what_is_not_toml_at_all_is_refused_with_its_line() {
    refused("[account]\nallow_e2ee = tru", 2, &["this is not TOML"]);
    refused("[account]\nallow_e2ee true", 2, &["this is not TOML"]);
    refused("[account]\nallow_e2ee = true\nallow_e2ee = false", 3, &["this is not TOML", "duplicate"]);
    refused("[account]\n[account]", 2, &["this is not TOML"]);
    refused("# one\n\n[account\n", 3, &["this is not TOML"]);
    refused("# ä\r\n# ö\r\n[account]\r\nsuite = 1", 4, &["is 1"]);
}

#[test]
fn hostile_files_are_refused_in_one_line() {
    refused(&format!("[account]\nsuite = {}", "[".repeat(100_000)), 2, &["this is not TOML"]);
    refused(&format!("{}\n", "a.".repeat(100_000)), 1, &["this is not TOML"]);
    refused("[account]\n\"a\\nb\\u001b[31m\" = 1", 2, &["no key `a\\nb\\u{1b}[31m`"]);
    refused("[user.\"a\\nb\"]\nsuite = 1", 2, &["`user.a\\nb.suite` is 1"]);
    refused("[account]\nsuite = \"\u{1b}[31m\"", 2, &["this is not TOML"]);
}

#[test]
fn numbers_may_be_written_as_toml_allows() {
    for (number, people) in [("1_000", 1000), ("+5", 5), ("0x10", 16), ("0b11", 3), ("0o17", 15)] {
        let document = Document::parse("f", &format!("[account]\nroster_limit = {number}")).unwrap();
        assert_eq!(document.settings(None, None).unwrap().roster_limit.value.people(), people, "{number}");
    }
}

#[test]
fn a_file_that_leaves_all_out_is_the_standard() {
    for text in ["", "# nothing\n", "[account]\n", "[group.a]\n[user.b]\ngroup = \"a\"\n"] {
        let document = Document::parse("f", text).unwrap();
        assert_eq!(MeetingPolicy::resolve(&document, None, None), Ok(MeetingPolicy::standard()));
    }
}

#[test]
fn a_damaged_example_is_read_or_refused_at_a_line_that_it_has() {
    let mut rng = fastrand::Rng::with_seed(11);
    let signs: Vec<char> = "\"'[]{}=,.#\n\\0z-é ".chars().collect();
    let mut refused = 0;
    for _ in 0..5_000 {
        let mut text: Vec<char> = EXAMPLE.chars().collect();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..text.len());
            match rng.u8(..3) {
                0 => drop(text.remove(at)),
                1 => text.insert(at, signs[rng.usize(..signs.len())]),
                _ => text.truncate(text.len() - rng.usize(..text.len() / 8)),
            }
        }
        let text: String = text.into_iter().collect();
        if let Err(error) = Document::parse("f", &text) {
            assert!((1..=text.matches('\n').count() + 1).contains(&error.line), "{error}");
            refused += 1;
        }
    }
    assert!(refused > 1000, "{refused}");
}
