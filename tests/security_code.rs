//! The security code: the same for all members of an epoch, another after any change, and one that can be scanned.

#[path = "support/group.rs"]
#[allow(dead_code)]
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use conclave::e2ee::group::{Config, Request};
use conclave::e2ee::{IdentityKey, MediaKey, Member, Role, Roster};
use conclave::meeting::code::{Code, CodeError, Codes, MAX_PEOPLE, Of, QR_BYTES, RECENT};
use table::Table;

fn member(leaf: u16, key: u8, role: Role) -> Member {
    let (identity, media) = (IdentityKey([key; 32]), MediaKey([key; 32]));
    Member { leaf, joined: 0, identity, media, name: format!("person {leaf}"), role }
}

fn three() -> Vec<Member> {
    vec![member(0, 9, Role::Host), member(1, 4, Role::Participant), member(2, 7, Role::Recorder)]
}

fn made(codes: &mut Codes, of: Of) -> std::sync::Arc<Code> {
    let job = codes.job(of).unwrap();
    let made = std::thread::spawn(move || job.run()).join().unwrap().unwrap();
    codes.done(made);
    codes.get(of).unwrap()
}

fn code(authenticator: &[u8], members: Vec<Member>, policy: &[u8]) -> String {
    let mut codes = Codes::new();
    codes.epoch(5, authenticator, &Roster::new(members), policy);
    made(&mut codes, Of::Epoch(5)).to_string()
}

/// E2EE.md §7 once more, without anything of the engine.
fn plainly(authenticator: &[u8], members: &[(u8, Role)], policy: &[u8]) -> (String, [u8; 64]) {
    let mut entries: Vec<_> = members.iter().map(|(key, role)| ([*key; 32], *role as u8)).collect();
    entries.sort();
    let roster: Vec<u8> = entries.iter().flat_map(|(key, role)| [&[0, 32], &key[..], &[*role]].concat()).collect();
    let len = (authenticator.len() as u16).to_be_bytes();
    let [roster, policy] = [&roster[..], policy].map(|bytes| digest(&SHA256, bytes));
    let x = [b"Conclave 1.0 code", &len[..], authenticator, roster.as_ref(), policy.as_ref()].concat();
    let mut y = [0; 64];
    let params = scrypt::Params::new(15, 8, 1).unwrap();
    scrypt::scrypt(digest(&SHA512, &x).as_ref(), b"Conclave 1.0 code", &params, &mut y).unwrap();
    let group = |bytes: &[u8]| format!("{:05}", u64::from_be_bytes(bytes.try_into().unwrap()) % 100_000);
    (y.chunks(8).map(group).collect::<Vec<_>>().join(" "), y)
}

#[test]
fn the_code_is_the_one_of_the_design() {
    let mut codes = Codes::new();
    codes.epoch(5, &[3; 48], &Roster::new(three()), b"policy");
    let started = Instant::now();
    let code = made(&mut codes, Of::Epoch(5));
    println!("one code took {} ms", started.elapsed().as_millis());
    let members = [(9, Role::Host), (4, Role::Participant), (7, Role::Recorder)];
    let (digits, y) = plainly(&[3; 48], &members, b"policy");
    assert_eq!((code.to_string(), code.bytes()), (digits, &y[..]));
    assert!(code.is(&y) && !code.is(&y[..63]) && !code.is(&[&y[..63], &[y[63] ^ 1]].concat()));
}

#[test]
fn any_change_of_who_is_there_of_a_role_or_of_one_bit_makes_another_code() {
    let good = code(&[3; 48], three(), b"policy");
    let with = |change: fn(&mut Vec<Member>)| {
        let mut members = three();
        change(&mut members);
        code(&[3; 48], members, b"policy")
    };
    let mut rng = fastrand::Rng::with_seed(7);
    let mut flipped = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let at = rng.usize(..bytes.len());
        bytes[at] ^= 1 << rng.u8(..8);
        bytes
    };
    let others = [
        with(|members| members.push(member(3, 1, Role::Participant))),
        with(|members| drop(members.pop())),
        with(|members| members[1].identity.0[31] ^= 1),
        with(|members| members[1].role = Role::CoHost),
        with(|members| members[2].role = Role::Participant),
        with(|members| (members[0].role, members[1].role) = (Role::Participant, Role::Host)),
        code(&flipped(&[3; 48]), three(), b"policy"),
        code(&[3; 48], three(), &flipped(b"policy")),
        code(&[3; 48], three(), &flipped(b"policy")),
        code(&[3; 48], three(), b"policy\0"),
    ];
    let different: BTreeSet<_> = others.iter().chain([&good]).collect();
    assert_eq!(different.len(), others.len() + 1);
    // What no member agrees on is not in it.
    let same = with(|members| {
        members.reverse();
        for (leaf, member) in members.iter_mut().enumerate() {
            (member.leaf, member.joined, member.name) = (leaf as u16 + 20, 9, "another".into());
        }
    });
    assert_eq!(same, good);
}

#[test]
fn members_of_a_group_have_one_code_in_each_epoch_and_another_in_the_next() {
    let mut table = Table::of(4, Config::new(b"codes").classical());
    let change = |table: &mut Table, request: Request| {
        let now = table.now;
        table.group(0).ask(request, now).unwrap();
        table.run(1500);
    };
    change(&mut table, Request::Role { identity: Table::device(2).identity(), role: Role::CoHost });
    change(&mut table, Request::Lock);
    change(&mut table, Request::Unlock);
    table.knock(4);
    table.run(1500);
    let now = table.now;
    table.group(3).leave(now);
    table.run(1500);
    let last = table.agree();
    let mut seen: BTreeMap<u64, (String, usize)> = BTreeMap::new();
    for person in table.people.values() {
        let mut codes = Codes::new();
        for input in &person.epochs {
            codes.epoch(input.epoch, &input.authenticator, &input.roster, &input.policy);
            let code = made(&mut codes, Of::Epoch(input.epoch)).to_string();
            let (first, count) = seen.entry(input.epoch).or_insert((code.clone(), 0));
            assert_eq!(*first, code, "epoch {}", input.epoch);
            *count += 1;
        }
    }
    assert!(seen.len() as u64 == last + 1 && last >= 6, "{} epochs up to {last}", seen.len());
    assert!(seen.values().filter(|(_, count)| *count >= 4).count() >= 5);
    assert_eq!(seen.values().map(|(code, _)| code).collect::<BTreeSet<_>>().len(), seen.len());
}

#[test]
fn the_code_read_aloud_stays_on_every_screen_until_it_is_closed() {
    let mut codes = Codes::new();
    assert_eq!(codes.shown(), Err(CodeError::NoEpoch));
    let epoch = |codes: &mut Codes, number: u64| {
        codes.epoch(number, &number.to_be_bytes(), &Roster::new(three()), b"policy");
    };
    epoch(&mut codes, 10);
    epoch(&mut codes, 11);
    assert_eq!(codes.shown(), Ok(Of::Epoch(11)));
    codes.pin(10).unwrap();
    let before = made(&mut codes, Of::Epoch(10)).to_string();
    (12..12 + 3 * RECENT as u64).for_each(|number| epoch(&mut codes, number));
    assert_eq!((codes.shown(), codes.pinned()), (Ok(Of::Epoch(10)), Some(10)));
    assert_eq!(codes.get(Of::Epoch(10)).unwrap().to_string(), before);
    assert!(codes.job(Of::Epoch(10)).is_ok() && codes.job(Of::Epoch(11)).is_err());
    let recent = (0..200).filter(|number| codes.job(Of::Epoch(*number)).is_ok()).count();
    assert_eq!(recent, RECENT + 1, "what is kept is bounded");
    codes.unpin();
    assert_eq!(codes.shown(), Ok(Of::Epoch(11 + 3 * RECENT as u64)));
    assert_eq!(codes.job(Of::Epoch(10)).err(), Some(CodeError::NotHere(10)));
    // Who came later has no such epoch, and shows no other code in its place.
    assert_eq!(codes.pin(3), Err(CodeError::NotHere(3)));
    epoch(&mut codes, 200);
    assert_eq!(codes.shown(), Err(CodeError::NotHere(3)));
}

#[test]
fn a_code_that_was_computed_for_another_epoch_of_the_same_number_is_not_taken() {
    let mut codes = Codes::new();
    codes.epoch(5, &[1; 48], &Roster::new(three()), b"policy");
    let old = codes.job(Of::Epoch(5)).unwrap().run().unwrap();
    codes.epoch(5, &[2; 48], &Roster::new(three()), b"policy");
    codes.done(old);
    assert!(codes.get(Of::Epoch(5)).is_none());
}

#[test]
fn an_epoch_whose_members_can_prove_nothing_has_no_code() {
    let mut codes = Codes::new();
    codes.epoch(5, &[], &Roster::new(three()), b"policy");
    assert_eq!((codes.shown(), codes.job(Of::Epoch(5)).err()), (Err(CodeError::NoEpoch), Some(CodeError::NotHere(5))));
}

#[test]
fn a_person_has_one_code_in_all_meetings_and_no_other_person_has_it() {
    let ann = IdentityKey([1; 32]);
    let (mut one, mut other) = (Codes::new(), Codes::new());
    other.epoch(3, &[1; 32], &Roster::new(three()), b"policy");
    let code = made(&mut one, Of::Person(ann)).to_string();
    assert_eq!(code, made(&mut other, Of::Person(ann)).to_string());
    assert_ne!(code, made(&mut one, Of::Person(IdentityKey([2; 32]))).to_string());
    assert_eq!(one.get(Of::Person(ann)).unwrap().to_string(), code);
    // Only as many are kept as a screen has use for: the stretch is the same for all, so one is enough here.
    assert!(MAX_PEOPLE >= 16 && one.get(Of::Person(IdentityKey([3; 32]))).is_none());
}

#[test]
fn the_qr_code_on_the_screen_scans_as_the_code() {
    let mut codes = Codes::new();
    for number in 0..4u8 {
        codes.epoch(number.into(), &[number; 48], &Roster::new(three()), b"policy");
        let code = made(&mut codes, Of::Epoch(number.into()));
        let scanned = scan(&code.qr_svg().unwrap());
        assert!(scanned.len() == QR_BYTES && code.is(&scanned));
    }
}

/// Draws the picture, twice as large as it says, and reads the code in it.
fn scan(svg: &str) -> Vec<u8> {
    let within = |text: &str, from: &str, to: &str| {
        let (_, rest) = text.split_once(from).unwrap();
        rest.split_once(to).unwrap().0.to_owned()
    };
    let side: usize = within(svg, "width=\"", "\"").parse().unwrap();
    let path = within(svg, "d=\"", "\"");
    let mut dark = vec![false; side * side];
    // Every dark square is `Mx yhwvhHxVy`.
    for square in path.split('M').skip(1) {
        let numbers: Vec<usize> =
            square.split([' ', 'h', 'v', 'H', 'V']).map(|number| number.parse().unwrap()).collect();
        let [x, y, width, height, ..] = numbers[..] else { panic!("no square: {square}") };
        (y..y + height).for_each(|row| dark[row * side + x..row * side + x + width].fill(true));
    }
    let grey = |x: usize, y: usize| if dark[y / 2 * side + x / 2] { 20 } else { 235 };
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(2 * side, 2 * side, grey);
    let grids = picture.detect_grids();
    assert_eq!(grids.len(), 1);
    let mut bytes = vec![];
    grids[0].decode_to(&mut bytes).unwrap();
    bytes
}
