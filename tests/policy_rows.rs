//! Every row of the table in E2EE.md §8 that the policy rules.

use std::collections::BTreeSet;

use conclave::e2ee::group::{EnginePolicy, GroupSuite, MeetingType};
use conclave::e2ee::{IdentityKey, Role, proof};
use conclave::meeting::policy::{
    Account, By, Client, Differs, Document, EXAMPLE, Feature, Kind, Lacking, Level, MeetingPolicy, Platform, Refusal,
    SwitchedOff, Unfit,
};

fn document(text: &str) -> Document {
    Document::parse("test.toml", text).unwrap()
}

fn policy(text: &str) -> MeetingPolicy {
    MeetingPolicy::resolve(&document(text), None, None).unwrap()
}

fn end_to_end() -> MeetingPolicy {
    MeetingPolicy::standard().for_meeting(MeetingType::EndToEnd).unwrap()
}

fn client(kind: Kind, platform: Option<Platform>, version: &str) -> Client {
    Client { kind, platform, version: version.into() }
}

#[test]
fn a_meeting_is_enhanced_by_default_and_end_to_end_encrypted_where_it_is_asked_for() {
    let standard = MeetingPolicy::standard();
    assert_eq!(standard.choose(None), Ok(MeetingType::Enhanced));
    assert_eq!(standard.choose(MeetingType::EndToEnd), Ok(MeetingType::EndToEnd));
    assert_eq!(standard.choose(MeetingType::Enhanced), Ok(MeetingType::Enhanced));
    let other = policy("[account]\ndefault_encryption = \"end-to-end\"");
    assert_eq!(other.choose(None), Ok(MeetingType::EndToEnd));
    assert_eq!(other.choose(MeetingType::Enhanced), Ok(MeetingType::Enhanced));
}

#[test]
fn end_to_end_encryption_that_is_switched_off_is_refused_by_the_level_that_did_it() {
    let off = policy("[account]\nallow_e2ee = { value = false, locked = true }");
    let (by, locked) = (By::Level(Level::Account), Some(Level::Account));
    let refusal = off.choose(MeetingType::EndToEnd).unwrap_err();
    assert_eq!(refusal, Refusal::NotAllowed { by, locked });
    assert!(refusal.to_string().contains("(account, locked by the account)"), "{refusal}");
    assert_eq!(off.choose(None), Ok(MeetingType::Enhanced));
    assert!(off.for_meeting(MeetingType::EndToEnd).is_err());
    let text = "[group.a]\nallow_e2ee = false\n[user.b]\ngroup = \"a\"";
    let off = MeetingPolicy::resolve(&document(text), Some("b"), None).unwrap();
    let refusal = Refusal::NotAllowed { by: By::Level(Level::Group), locked: None };
    assert_eq!(off.choose(MeetingType::EndToEnd), Err(refusal));
}

#[test]
fn a_default_that_is_not_allowed_turns_into_nothing_less_by_itself() {
    let text =
        "[account]\nallow_e2ee = { value = false, locked = true }\n[user.a]\ndefault_encryption = \"end-to-end\"";
    let both = MeetingPolicy::resolve(&document(text), Some("a"), None).unwrap();
    let (default, by, locked) = (By::Level(Level::User), By::Level(Level::Account), Some(Level::Account));
    let refusal = Refusal::Default { default, by, locked };
    assert_eq!(both.choose(None), Err(refusal));
    assert_eq!(both.group_config(b"g"), Err(refusal_of(&both)));
    assert_eq!(both.choose(MeetingType::Enhanced), Ok(MeetingType::Enhanced));
    // Until somebody decides, nothing is opened that an end-to-end encrypted meeting closes.
    assert!(both.ask(Feature::CloudRecording).is_err());
    assert!(both.for_meeting(MeetingType::Enhanced).unwrap().group_config(b"g").is_ok());
}

fn refusal_of(policy: &MeetingPolicy) -> Refusal {
    policy.choose(MeetingType::EndToEnd).unwrap_err()
}

#[test]
fn each_of_the_eight_features_is_switched_off_with_an_error_of_its_own() {
    let (end_to_end, enhanced) = (end_to_end(), MeetingPolicy::standard());
    let names = [
        "join before host",
        "cloud recording",
        "streaming",
        "live transcription",
        "breakout rooms",
        "polling",
        "private one-to-one chat",
        "reactions",
    ];
    assert_eq!(Feature::ALL.map(Feature::name), names);
    let mut said = BTreeSet::new();
    for feature in Feature::ALL {
        let error = end_to_end.ask(feature).unwrap_err();
        assert_eq!(error, SwitchedOff(feature));
        let text = error.to_string();
        let begin = format!("{} is switched off in an end-to-end encrypted meeting: ", feature.name());
        let why = text.strip_prefix(&begin).unwrap_or_else(|| panic!("{text}"));
        assert!(why.split(' ').count() > 5 && said.insert(why.to_owned()), "{text}");
        assert_eq!(enhanced.ask(feature), Ok(()));
    }
    assert_eq!(said.len(), 8);
}

#[test]
fn clients_are_let_in_from_their_version_on_and_on_their_platforms_alone() {
    use Platform::{Android, Appliance, Ios, Linux, MacOs, Pc, Windows};
    let rows: [(Kind, &[Platform], [&str; 3], &str); 3] = [
        (Kind::Desktop, &[Windows, MacOs, Linux], ["5.3.99", "5.4.0", "5.10.0"], "5.4.0"),
        (Kind::Mobile, &[Android, Ios], ["5.3.99", "5.4.0", "5.10.0"], "5.4.0"),
        (Kind::Room, &[Pc, MacOs, Appliance], ["5.2.1", "5.2.2", "5.2.10"], "5.2.2"),
    ];
    let policy = end_to_end();
    for (kind, on, [old, first, later], least) in rows {
        for &platform in Platform::ALL {
            let admit = |version| policy.admit(&client(kind, Some(platform), version));
            if !on.contains(&platform) {
                let error = admit(later).unwrap_err();
                assert!(matches!(&error, Unfit::Platform { kind: of, .. } if *of == kind), "{error}");
                assert!(on.iter().all(|platform| error.to_string().contains(&platform.to_string())), "{error}");
                continue;
            }
            assert_eq!((admit(first), admit(later), admit("6.0.0")), (Ok(()), Ok(()), Ok(())));
            let error = admit(old).unwrap_err();
            assert!(matches!(error, Unfit::Old { .. }), "{error}");
            assert!(
                error.to_string().contains(&format!("version {old} of the {kind} is older than {least}")),
                "{error}"
            );
            for wrong in ["", "5.4", "5.4.0.0", "5.4.x", "v5.4.0", "5.4.0 ", "99999999999.0.0"] {
                assert_eq!(admit(wrong), Err(Unfit::Version { kind, said: wrong.into() }));
            }
        }
        assert!(policy.admit(&client(kind, None, later)).is_err(), "no platform");
    }
}

#[test]
fn each_refused_kind_of_client_is_refused_with_its_own_reason() {
    let (policy, enhanced) = (end_to_end(), MeetingPolicy::standard());
    let kinds = [Kind::Web, Kind::Sdk, Kind::Telephone, Kind::Sip, Kind::OnPremise, Kind::Lync];
    let mut reasons = BTreeSet::new();
    for kind in kinds {
        // Whatever it runs on and however new it says it is.
        for platform in Platform::ALL.iter().copied().map(Some).chain([None]) {
            let one = client(kind, platform, "99.0.0");
            let error = policy.admit(&one).unwrap_err();
            let Unfit::Kind { kind: of, why } = &error else { panic!("{error}") };
            assert!(*of == kind && error.to_string().starts_with(&format!("a {kind} cannot join")), "{error}");
            reasons.insert(why.clone());
            assert_eq!(enhanced.admit(&one), Ok(()), "the service has the keys of an enhanced meeting");
        }
    }
    assert_eq!(reasons.len(), kinds.len());
    let text = "[[clients.admit]]\nkind = \"sdk\"\nplatforms = [\"linux\"]\nversion = \"1.0.0\"";
    let own = self::policy(text).for_meeting(MeetingType::EndToEnd).unwrap();
    assert_eq!(
        own.admit(&client(Kind::Sdk, Some(Platform::Linux), "1.0.0")),
        Ok(()),
        "a deployment sets its own table"
    );
    assert!(own.admit(&client(Kind::Desktop, Some(Platform::Linux), "9.0.0")).is_err());
}

#[test]
fn a_free_account_shows_a_billing_option_and_a_phone_number_and_misses_each_by_its_own_error() {
    let (end_to_end, enhanced) = (end_to_end(), MeetingPolicy::standard());
    let rows = [
        (true, true, Ok(())),
        (false, true, Err(Lacking::BillingOption)),
        (true, false, Err(Lacking::VerifiedPhone)),
        (false, false, Err(Lacking::Both)),
    ];
    for (billing_option, verified_phone, expected) in rows {
        let free = Account { free: true, billing_option, verified_phone };
        assert_eq!(end_to_end.admit_account(&free), expected);
        assert_eq!(end_to_end.admit_account(&Account { free: false, ..free }), Ok(()));
        assert_eq!(enhanced.admit_account(&free), Ok(()));
    }
    let lax = policy("[free_accounts]\nbilling_option = false").for_meeting(MeetingType::EndToEnd).unwrap();
    let nothing = Account { free: true, billing_option: false, verified_phone: false };
    assert_eq!(lax.admit_account(&nothing), Err(Lacking::VerifiedPhone));
    let said = [Lacking::BillingOption, Lacking::VerifiedPhone, Lacking::Both].map(|lacking| lacking.to_string());
    assert!(said[0].contains("billing option") && !said[0].contains("phone"), "{said:?}");
    assert!(said[1].contains("phone number") && !said[1].contains("billing"), "{said:?}");
}

#[test]
fn relays_on_the_list_are_permitted_and_others_refused_with_the_list() {
    let policy = MeetingPolicy::standard();
    let permits = |relay: &str| policy.permits(relay.parse().unwrap());
    for inside in
        ["3.138.115.0:443", "3.138.115.31:443", "44.242.143.128:443", "44.242.143.159:443", "[::ffff:3.138.115.1]:443"]
    {
        assert_eq!(permits(inside), Ok(()), "{inside}");
    }
    let outside = [
        "3.138.114.255:443",
        "3.138.115.32:443",
        "44.242.143.127:443",
        "44.242.143.160:443",
        "3.138.115.1:8801",
        "[2001:db8::1]:443",
        "127.0.0.1:443",
    ];
    for outside in outside {
        assert!(permits(outside).is_err(), "{outside}");
    }
    let error = permits("10.1.2.3:8801").unwrap_err().to_string();
    assert!(
        ["10.1.2.3", "8801", "3.138.115.0/27", "44.242.143.128/27", "443"].iter().all(|part| error.contains(part)),
        "{error}"
    );
    let own = self::policy("[network]\nrelays = [\"2001:db8::/32\"]\nports = [8801, 443]");
    assert_eq!(own.permits("[2001:db8:ffff::1]:8801".parse().unwrap()), Ok(()));
    assert!(own.permits("[2001:db9::1]:8801".parse().unwrap()).is_err());
    assert!(own.permits("3.138.115.1:443".parse().unwrap()).is_err());
}

#[test]
fn the_example_is_the_standard_and_shows_a_group_that_locks() {
    let example = Document::parse("example.toml", EXAMPLE).unwrap();
    let resolve = |user, group| MeetingPolicy::resolve(&example, user, group).unwrap();
    assert_eq!(resolve(None, None), MeetingPolicy::standard());
    assert_eq!(resolve(None, None).hash(), MeetingPolicy::standard().hash());
    let names: Vec<_> = MeetingPolicy::standard().settings().rows().iter().map(|row| row.name).collect();
    let account = EXAMPLE.split("[account]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap();
    for name in names {
        assert!(account.contains(&format!("\n{name} = ")), "{name} is in the example");
    }
    let ada = resolve(Some("ada@example.com"), None);
    let default = &ada.settings().default_encryption;
    assert_eq!((default.value, default.by), (MeetingType::EndToEnd, By::Level(Level::Group)));
    assert_eq!(default.overruled, [(Level::Account, MeetingType::Enhanced), (Level::User, MeetingType::Enhanced)]);
    assert!(default.greyed(Level::User) && !default.greyed(Level::Group));
    assert!(!ada.waiting_room() && ada.proofs() == proof::Policy::ProveThenRender);
    assert!(MeetingPolicy::resolve(&example, Some("ada@example.com"), Some("board")).is_ok());
    assert!(MeetingPolicy::resolve(&example, None, Some("bord")).is_err());
}

/// Policies that differ from the standard in one thing each.
fn variants() -> Vec<MeetingPolicy> {
    let account = [
        "allow_e2ee = false",
        "default_encryption = \"end-to-end\"",
        "suite = \"classical\"",
        "proofs = \"prove-then-render\"",
        "waiting_room = false",
        "recorder_allowed = true",
        "roster_limit = 999",
        "leaver_window_ms = 1999",
    ];
    assert_eq!(account.len(), MeetingPolicy::standard().settings().rows().len(), "one for each setting");
    let account = account.iter().map(|line| format!("[account]\n{line}"));
    let replaced = [
        ("platforms = [\"android\", \"ios\"]", "platforms = [\"android\"]"),
        ("version = \"5.2.2\"", "version = \"5.2.3\""),
        ("kind = \"room\"\nplatforms = [\"pc\", ", "kind = \"room\"\nplatforms = [\"windows\", "),
        ("nobody has vouched", "Nobody has vouched"),
        ("sip = \"", "# sip = \""),
        ("billing_option = true", "billing_option = false"),
        ("verified_phone = true", "verified_phone = false"),
        ("\"3.138.115.0/27\", ", ""),
        ("\"3.138.115.0/27\"", "\"3.138.115.0/28\""),
        ("\"3.138.115.0/27\"", "\"2001:db8::/32\""),
        ("ports = [443]", "ports = [444]"),
        ("ports = [443]", "ports = [443, 444]"),
    ];
    let replaced = replaced.map(|(from, to)| {
        assert_eq!(EXAMPLE.matches(from).count(), 1, "{from}");
        EXAMPLE.replace(from, to)
    });
    let mut variants: Vec<_> = account.chain(replaced).map(|text| policy(&text)).collect();
    variants.push(end_to_end());
    variants
}

#[test]
fn a_policy_reads_back_and_every_part_of_it_is_in_its_hash() {
    let all: Vec<_> = variants().into_iter().chain([MeetingPolicy::standard()]).collect();
    let hashes: BTreeSet<_> = all.iter().map(MeetingPolicy::hash).collect();
    assert_eq!(hashes.len(), all.len());
    for one in &all {
        let read = MeetingPolicy::decode(&one.encode()).unwrap();
        assert_eq!(&read, one);
        assert!(read.settings().rows().iter().all(|row| row.by == By::Host));
        assert_eq!(read.choose(MeetingType::EndToEnd).is_ok(), one.choose(MeetingType::EndToEnd).is_ok());
    }
}

#[test]
fn bytes_that_are_no_policy_are_refused_and_others_read_back_as_they_were() {
    let mut rng = fastrand::Rng::with_seed(6);
    let good: Vec<_> = variants().iter().map(MeetingPolicy::encode).collect();
    let mut read = 0;
    for bytes in &good {
        (0..bytes.len()).for_each(|len| assert!(MeetingPolicy::decode(&bytes[..len]).is_none(), "cut to {len}"));
        assert!(MeetingPolicy::decode(&[&bytes[..], &[0]].concat()).is_none());
    }
    for _ in 0..50_000 {
        let mut bytes = good[rng.usize(..good.len())].clone();
        (0..rng.usize(1..3)).for_each(|_| {
            let at = rng.usize(..bytes.len());
            bytes[at] = if rng.bool() { rng.u8(..) } else { bytes[at] ^ 1 };
        });
        if let Some(policy) = MeetingPolicy::decode(&bytes) {
            assert_eq!(policy.encode(), bytes);
            read += 1;
        }
    }
    assert!(read > 1000, "{read} of the mutations were policies");
}

/// What a group says whose host created it with `policy`.
fn group_of(policy: &MeetingPolicy) -> EnginePolicy {
    let config = policy.group_config(b"group").unwrap();
    EnginePolicy {
        profile: config.profile,
        suite: config.suite,
        post_quantum: config.post_quantum,
        meeting: config.meeting,
        recorder_allowed: config.recorder_allowed,
        leaver_window_ms: config.leaver_window_ms,
        roster_limit: config.roster_limit,
        meeting_policy: config.meeting_policy,
        roles: [(IdentityKey([1; 32]), Role::Host)].into(),
        lock: None,
    }
}

#[test]
fn a_group_is_made_by_the_policy_and_ruled_by_no_other() {
    let text = "[account]\nsuite = \"classical\"\nrecorder_allowed = true\nroster_limit = 12\nleaver_window_ms = 700";
    let policy = policy(text).for_meeting(MeetingType::EndToEnd).unwrap();
    let group = group_of(&policy);
    let expected = (GroupSuite::Classical, false, MeetingType::EndToEnd, true, 700, 12, policy.hash());
    let found = (group.suite, group.post_quantum, group.meeting, group.recorder_allowed, group.leaver_window_ms);
    assert_eq!((found.0, found.1, found.2, found.3, found.4, group.roster_limit, group.meeting_policy), expected);
    assert_eq!(policy.rules(&group), Ok(()));
    assert_eq!(MeetingPolicy::decode(&policy.encode()).unwrap().rules(&group), Ok(()), "as a member sees it");
    let others = [
        (EnginePolicy { meeting: MeetingType::Enhanced, ..group.clone() }, "meeting type"),
        (EnginePolicy { suite: GroupSuite::Hybrid, ..group.clone() }, "suite"),
        (EnginePolicy { post_quantum: true, ..group.clone() }, "post-quantum requirement"),
        (EnginePolicy { recorder_allowed: false, ..group.clone() }, "leave for recorders"),
        (EnginePolicy { leaver_window_ms: 701, ..group.clone() }, "leaver window"),
        (EnginePolicy { roster_limit: 13, ..group.clone() }, "roster limit"),
        (EnginePolicy { meeting_policy: [0; 32], ..group.clone() }, "hash of the policy"),
    ];
    for (other, what) in others {
        assert_eq!(policy.rules(&other), Err(Differs(what)));
    }
    // The host alone says who has which role, and when it is locked.
    assert_eq!(policy.rules(&EnginePolicy { roles: [].into(), lock: Some([].into()), ..group.clone() }), Ok(()));
    for other in variants().iter().filter(|other| other.choose(other.meeting()).is_ok()) {
        assert!(other.rules(&group).is_err());
        assert_eq!(other.rules(&group_of(other)), Ok(()));
    }
}
