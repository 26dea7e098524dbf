//! What the user has verified through everything that happens in a meeting: one test for each row of the table in
//! `engine/meeting/verified`, and the same once more with what a real group tells.

#[path = "support/group.rs"]
#[allow(dead_code)]
mod table;

use conclave::e2ee::group::{Config, Event, Gone};
use conclave::e2ee::{IdentityKey, MediaKey, Member, Role, Roster};
use conclave::meeting::identity::{Attested, Known, Level};
use conclave::meeting::verified::{Again, Change, MAX_STEPS, Memory, NotSeen, State};
use table::Table;

const NOW: u64 = 1_800_000_000;

/// Person 0 is this device, person 1 the host, and all of them are on the leaf of their number.
struct Meeting {
    memory: Memory,
    members: Vec<Member>,
    epoch: u64,
}

fn key(number: u16) -> IdentityKey {
    IdentityKey([number as u8; 32])
}

fn member(leaf: u16, key: IdentityKey, role: Role) -> Member {
    Member { leaf, joined: 0, identity: key, media: MediaKey([0; 32]), name: format!("person {leaf}"), role }
}

fn account(subject: &str) -> Attested {
    Attested { issuer: "https://id".into(), subject: subject.into(), name: None, level: Level::SignedOn }
}

impl Meeting {
    fn of(people: u16) -> Self {
        Self::knowing(people, Known::default())
    }

    fn knowing(people: u16, known: Known) -> Self {
        let role = |number| if number == 1 { Role::Host } else { Role::Participant };
        let members: Vec<_> = (0..people).map(|number| member(number, key(number), role(number))).collect();
        let mut memory = Memory::new(key(0), known);
        memory.joined(7, &Roster::new(members.clone()));
        Self { memory, members, epoch: 7 }
    }

    /// Of three, verified.
    fn verified() -> Self {
        let mut meeting = Self::of(3);
        meeting.memory.matches(7, NOW).unwrap();
        assert_eq!(meeting.memory.state(), State::Verified);
        meeting
    }

    fn epoch_by(&mut self, committer: u16, came: &[(u16, IdentityKey)], gone: &[(u16, Gone)]) {
        let gone: Vec<_> = gone
            .iter()
            .map(|(leaf, how)| {
                let at = self.members.iter().position(|member| member.leaf == *leaf).unwrap();
                (self.members.remove(at), *how)
            })
            .collect();
        let came: Vec<_> = came.iter().map(|(leaf, key)| member(*leaf, *key, Role::Participant)).collect();
        self.members.extend(came.clone());
        self.epoch += 1;
        let roster = Roster::new(self.members.clone());
        let (epoch, committer) = (self.epoch, Some(committer));
        self.memory.changed(&Change { epoch, committer, came: &came, gone: &gone, roster: &roster });
    }

    fn come(&mut self, leaf: u16, key: IdentityKey) {
        self.epoch_by(1, &[(leaf, key)], &[]);
    }

    fn go(&mut self, leaf: u16, how: Gone) {
        self.epoch_by(1, &[], &[(leaf, how)]);
    }

    fn attest(&mut self, number: u16, subject: &str) {
        self.memory.attested(&key(number), account(subject), NOW);
    }

    fn state(&self) -> State {
        self.memory.state()
    }

    fn says(&self) -> String {
        self.memory.view().to_string()
    }
}

#[test]
fn nobody_is_verified_before_a_code_was_compared() {
    let mut meeting = Meeting::of(1);
    assert_eq!((meeting.state(), meeting.says().as_str()), (State::Unverified, "Nobody else is here."));
    meeting.come(2, key(2));
    assert_eq!(meeting.state(), State::Unverified);
    assert!(meeting.says().starts_with("Not verified"));
    assert_eq!(meeting.memory.person(&key(0)), State::Verified, "oneself");
    assert_eq!(meeting.memory.person(&key(2)), State::Unverified);
}

#[test]
fn the_same_people_stay_verified_in_later_epochs() {
    let mut meeting = Meeting::verified();
    (0..5).for_each(|_| meeting.epoch_by(1, &[], &[]));
    assert_eq!(meeting.state(), State::Verified);
    assert!(meeting.says().starts_with("Verified"));
}

#[test]
fn a_newcomer_shows_as_one_who_joined_since_until_its_own_code_was_compared() {
    let mut meeting = Meeting::verified();
    meeting.come(3, key(3));
    assert_eq!(meeting.state(), State::Unverified);
    assert_eq!(meeting.says(), "1 person joined since you verified: compare their own code.");
    assert_eq!(meeting.memory.view().joined, [key(3)]);
    assert_eq!(meeting.memory.person(&key(2)), State::Verified, "the others are as they were");
    meeting.come(4, key(4));
    assert!(meeting.says().starts_with("2 people joined"));
    meeting.memory.matches_person(&key(3), NOW);
    meeting.memory.matches_person(&key(9), NOW);
    assert_eq!(meeting.memory.view().joined, [key(4)]);
    meeting.go(4, Gone::Relay);
    assert_eq!(meeting.state(), State::Verified, "a newcomer that goes, however it goes, takes nothing with it");
}

#[test]
fn who_left_by_its_own_signature_is_not_missed() {
    let mut meeting = Meeting::verified();
    meeting.go(2, Gone::Left);
    assert_eq!(meeting.state(), State::Verified);
    meeting.go(1, Gone::Left);
    assert_eq!(meeting.state(), State::Verified, "alone in a meeting that was verified");
}

#[test]
fn who_was_removed_by_the_host_is_not_missed() {
    let mut meeting = Meeting::verified();
    meeting.go(2, Gone::Host(1));
    assert_eq!(meeting.state(), State::Verified);
}

#[test]
fn who_was_removed_by_the_service_has_to_be_verified_again_or_come_back() {
    let mut meeting = Meeting::verified();
    meeting.go(2, Gone::Relay);
    assert_eq!(meeting.state(), State::Unverified);
    assert_eq!(meeting.says(), "Verify again: the service removed 1 person.");
    meeting.epoch_by(1, &[], &[]);
    assert_eq!(meeting.memory.view().again, [Again::Removed(key(2))], "later epochs change nothing about that");
    meeting.come(2, key(2));
    assert_eq!(meeting.state(), State::Verified, "back with its key");

    meeting.go(2, Gone::Relay);
    meeting.memory.matches(meeting.epoch, NOW).unwrap();
    assert_eq!(meeting.state(), State::Verified, "verified again");

    let mut never = Meeting::of(3);
    never.go(2, Gone::Relay);
    assert!(never.says().starts_with("Not verified"), "nothing was verified that could be so again");
}

#[test]
fn who_comes_again_with_its_key_is_who_it_was() {
    let mut meeting = Meeting::verified();
    meeting.epoch_by(1, &[(2, key(2))], &[(2, Gone::Replaced)]);
    assert_eq!(meeting.state(), State::Verified, "in one commit");
    meeting.go(2, Gone::Left);
    meeting.come(5, key(2));
    assert_eq!(meeting.state(), State::Verified, "later, on another leaf");
}

#[test]
fn who_comes_again_with_another_key_is_a_newcomer_where_it_has_no_account() {
    let mut meeting = Meeting::verified();
    meeting.epoch_by(1, &[(2, key(12))], &[(2, Gone::Left)]);
    assert_eq!((meeting.state(), meeting.memory.person(&key(12))), (State::Unverified, State::Unverified));
    assert!(meeting.says().starts_with("1 person joined"));
}

#[test]
fn an_account_that_comes_again_with_another_key_is_a_mismatch_until_accepted() {
    let mut meeting = Meeting::of(3);
    meeting.attest(2, "ann");
    meeting.memory.matches(7, NOW).unwrap();
    meeting.epoch_by(1, &[(2, key(12))], &[(2, Gone::Left)]);
    meeting.attest(12, "ann");
    assert_eq!((meeting.state(), meeting.memory.person(&key(12))), (State::Mismatch, State::Mismatch));
    assert_eq!(meeting.memory.view().mismatched, [key(12)]);
    assert!(meeting.says().starts_with("Mismatch: 1 person with another key"));
    meeting.memory.matches(meeting.epoch, NOW).unwrap();
    assert_eq!(meeting.state(), State::Mismatch, "the code of everybody does not say whose key it should be");
    meeting.memory.matches_person(&key(12), NOW);
    assert_eq!(meeting.state(), State::Mismatch, "nor is a compared code enough by itself");
    meeting.memory.accept(&key(12), NOW);
    assert_eq!(meeting.state(), State::Verified);
    let contact = meeting.memory.contacts().iter().next().unwrap();
    assert_eq!(contact.keys.iter().map(|key| key.identity).collect::<Vec<_>>(), [key(2), key(12)]);
}

#[test]
fn a_mismatch_that_goes_is_no_more() {
    let mut meeting = Meeting::of(3);
    meeting.attest(2, "ann");
    meeting.come(3, key(3));
    meeting.attest(3, "ann");
    assert_eq!(meeting.state(), State::Mismatch, "two keys at once under one account: a second device, or another");
    meeting.go(3, Gone::Host(1));
    assert_eq!(meeting.state(), State::Unverified);
    meeting.come(3, key(3));
    assert_eq!(meeting.state(), State::Mismatch, "it is remembered when it is back");
}

#[test]
fn a_key_of_another_account_is_a_mismatch_too() {
    let mut meeting = Meeting::of(3);
    meeting.attest(2, "ann");
    meeting.attest(2, "bob");
    assert_eq!(meeting.memory.person(&key(2)), State::Mismatch);
}

#[test]
fn a_hand_over_that_the_host_signed_changes_nothing() {
    let mut meeting = Meeting::verified();
    meeting.members[1].role = Role::Participant;
    meeting.members[2].role = Role::Host;
    meeting.epoch_by(1, &[], &[]);
    meeting.epoch_by(2, &[], &[]);
    meeting.epoch_by(2, &[], &[(1, Gone::Left)]);
    assert_eq!(meeting.state(), State::Verified);
}

#[test]
fn a_host_that_leaves_by_its_own_signature_leaves_no_doubt() {
    let mut meeting = Meeting::verified();
    meeting.epoch_by(2, &[], &[(1, Gone::Left)]);
    meeting.epoch_by(2, &[], &[]);
    assert_eq!(meeting.state(), State::Verified);
}

#[test]
fn who_takes_over_by_silence_has_to_be_verified_again() {
    let mut meeting = Meeting::verified();
    meeting.memory.took_over();
    assert_eq!(meeting.state(), State::Unverified);
    assert_eq!(meeting.says(), "Verify again: another member took over making the keys.");
    meeting.epoch_by(2, &[], &[]);
    meeting.memory.matches(meeting.epoch, NOW).unwrap();
    assert_eq!(meeting.state(), State::Verified);

    let mut unseen = Meeting::verified();
    unseen.epoch_by(2, &[], &[]);
    assert_eq!(unseen.memory.view().again, [Again::TookOver], "an ordinary member commits, and the host is there");
    let mut removed = Meeting::verified();
    removed.epoch_by(2, &[], &[(1, Gone::Relay)]);
    assert_eq!(
        removed.says(),
        "Verify again: the service removed 1 person, and another member took over making the keys."
    );
}

#[test]
fn codes_that_differ_are_a_mismatch_and_nothing_of_the_meeting_is_remembered() {
    let mut meeting = Meeting::of(3);
    meeting.attest(2, "ann");
    meeting.memory.matches(7, NOW).unwrap();
    assert_eq!(meeting.memory.contacts().iter().count(), 1);
    meeting.memory.differs();
    assert_eq!(meeting.state(), State::Mismatch);
    assert!(meeting.says().starts_with("Mismatch: the codes differ"));
    assert_eq!(meeting.memory.person(&key(2)), State::Unverified);
    assert_eq!(meeting.memory.contacts().iter().count(), 0);
    meeting.epoch_by(1, &[], &[]);
    assert_eq!(meeting.state(), State::Mismatch);
    meeting.memory.matches(8, NOW).unwrap();
    assert_eq!(meeting.state(), State::Verified, "it was a slip of the tongue");
}

#[test]
fn a_guest_is_never_a_mismatch_and_never_kept() {
    let guest = Attested { level: Level::Guest, ..account("ann") };
    let mut meeting = Meeting::of(4);
    meeting.memory.attested(&key(2), guest.clone(), NOW);
    meeting.memory.attested(&key(3), guest, NOW);
    assert_eq!(meeting.state(), State::Unverified);
    meeting.memory.matches(7, NOW).unwrap();
    assert_eq!(meeting.memory.contacts().iter().count(), 0);
    meeting.attest(1, "ann");
    meeting.memory.attested(&key(2), Attested { level: Level::Guest, ..account("ann") }, NOW);
    assert_eq!(meeting.state(), State::Verified, "not even under a name that has a key");
    let known = meeting.memory.contacts().clone();
    assert_eq!(Meeting::knowing(4, known).memory.person(&key(2)), State::Unverified, "the next meeting");
}

#[test]
fn an_identity_provider_verifies_nobody() {
    let mut meeting = Meeting::of(2);
    meeting.attest(1, "ann");
    assert_eq!(meeting.memory.level(&key(1)), Level::SignedOn);
    assert_eq!((meeting.state(), meeting.memory.person(&key(1))), (State::Unverified, State::Unverified));
}

#[test]
fn who_was_there_in_an_earlier_meeting_is_known_before_and_another_key_then_is_a_mismatch() {
    let mut first = Meeting::of(2);
    first.attest(1, "ann");
    first.memory.matches(7, NOW).unwrap();
    assert_eq!(first.memory.contacts().iter().next().unwrap().keys[0].verified, Some(NOW));
    let known = first.memory.contacts().clone();

    let mut next = Meeting::knowing(2, known.clone());
    assert_eq!((next.state(), next.memory.person(&key(1))), (State::KnownBefore, State::KnownBefore));
    assert!(next.says().starts_with("Known before"));
    next.come(3, key(3));
    assert_eq!(next.state(), State::Unverified, "no more than the least known");
    next.memory.matches(next.epoch, NOW).unwrap();
    assert_eq!(next.state(), State::Verified);

    let mut other = Meeting::knowing(4, known.clone());
    other.attest(3, "ann");
    assert_eq!(other.memory.person(&key(3)), State::Mismatch);

    let mut joins = Meeting::knowing(1, known);
    joins.epoch_by(0, &[(2, key(2))], &[]);
    joins.memory.matches(joins.epoch, NOW).unwrap();
    joins.epoch_by(0, &[(1, key(1))], &[]);
    assert_eq!(joins.state(), State::KnownBefore);
    assert_eq!(joins.says(), "1 person joined since you verified, with keys of an earlier meeting.");
}

#[test]
fn a_code_read_aloud_verifies_who_was_in_its_epoch_and_no_later_comer() {
    let mut meeting = Meeting::of(3);
    let read = meeting.epoch;
    meeting.come(3, key(3));
    meeting.go(2, Gone::Left);
    meeting.epoch_by(1, &[(3, key(3))], &[(3, Gone::Replaced)]);
    meeting.memory.matches(read, NOW).unwrap();
    assert_eq!(meeting.memory.view().joined, [key(3)]);
    meeting.come(2, key(2));
    assert_eq!(meeting.memory.view().joined, [key(3)], "who was in that epoch and is back is verified");

    let mut removed = Meeting::of(3);
    removed.go(2, Gone::Relay);
    removed.memory.matches(7, NOW).unwrap();
    assert_eq!(removed.memory.view().again, [Again::Removed(key(2))], "weighed as if it had been compared then");
    let mut taken = Meeting::of(3);
    taken.memory.took_over();
    taken.epoch_by(1, &[], &[]);
    taken.memory.matches(7, NOW).unwrap();
    assert_eq!(taken.memory.view().again, [Again::TookOver]);
}

#[test]
fn a_code_of_an_epoch_that_this_device_did_not_see_verifies_nobody() {
    let mut meeting = Meeting::of(3);
    assert_eq!(meeting.memory.matches(6, NOW), Err(NotSeen(6)));
    assert_eq!(meeting.memory.matches(8, NOW), Err(NotSeen(8)));
    (0..MAX_STEPS).for_each(|_| meeting.epoch_by(1, &[], &[]));
    assert_eq!(meeting.memory.matches(7, NOW), Err(NotSeen(7)), "too long ago");
    assert_eq!(meeting.state(), State::Unverified);
    assert_eq!(meeting.memory.matches(8, NOW), Ok(()));
    assert_eq!(Memory::new(key(0), Known::default()).matches(0, NOW), Err(NotSeen(0)), "in no meeting yet");
}

#[test]
fn who_is_gone_when_this_device_is_back_is_missed() {
    let mut meeting = Meeting::verified();
    meeting.memory.joined(20, &Roster::new(meeting.members.clone()));
    assert_eq!(meeting.state(), State::Verified);
    let fewer = Roster::new(meeting.members.iter().filter(|member| member.leaf != 2).cloned().collect());
    meeting.memory.joined(30, &fewer);
    assert_eq!(meeting.says(), "Verify again: 1 person left while you were away.");
    assert_eq!(meeting.memory.matches(7, NOW), Err(NotSeen(7)));
    // An epoch that does not follow on the last one is a gap of the same kind.
    let all = Roster::new(meeting.members.clone());
    meeting.memory.changed(&Change { epoch: 40, committer: Some(1), came: &[], gone: &[], roster: &all });
    assert_eq!(meeting.state(), State::Verified, "back with its key");
}

#[test]
fn at_random_the_meeting_is_verified_only_while_everybody_in_it_is() {
    let mut rng = fastrand::Rng::with_seed(1);
    let (mut verified, mut not) = (0, 0);
    for _ in 0..300 {
        let mut meeting = Meeting::of(6);
        // The plain model: who was compared, and whether anything happened that asks for another comparison.
        let mut compared: Vec<IdentityKey> = vec![];
        let mut missed: Vec<IdentityKey> = vec![];
        for _ in 0..40 {
            let present: Vec<_> = meeting.members.iter().map(|member| (member.leaf, member.identity)).collect();
            let other = present.iter().copied().filter(|(leaf, _)| *leaf > 1).nth(rng.usize(..6));
            match (rng.u8(..6), other) {
                (0, _) => {
                    meeting.memory.matches(meeting.epoch, NOW).unwrap();
                    compared.extend(present.iter().map(|(_, identity)| *identity));
                    missed.clear();
                }
                (1, Some((_, identity))) => {
                    meeting.memory.matches_person(&identity, NOW);
                    compared.push(identity);
                }
                (2 | 3, Some((leaf, identity))) => {
                    let how = [Gone::Left, Gone::Host(1), Gone::Relay][rng.usize(..3)];
                    meeting.go(leaf, how);
                    if how == Gone::Relay && compared.contains(&identity) {
                        missed.push(identity);
                    }
                }
                (4, _) => {
                    let leaf = rng.u16(2..10);
                    if present.iter().all(|(other, _)| *other != leaf) {
                        meeting.come(leaf, key(leaf));
                        missed.retain(|identity| *identity != key(leaf));
                    }
                }
                _ => meeting.epoch_by(1, &[], &[]),
            }
            let others = || meeting.members.iter().filter(|member| member.leaf != 0);
            let all = others().all(|member| compared.contains(&member.identity)) && !compared.is_empty();
            let expected = if all && missed.is_empty() { State::Verified } else { State::Unverified };
            assert_eq!(meeting.state(), expected);
            if expected == State::Verified { verified += 1 } else { not += 1 }
        }
    }
    assert!(verified > 1000 && not > 1000, "{verified} and {not}");
}

/// What person 1 of a real group is told, put into its memory.
fn listen(table: &mut Table, memory: &mut Memory) {
    let mut epochs: Vec<_> = std::mem::take(&mut table.people.get_mut(&1).unwrap().epochs);
    for event in table.events(1) {
        match event {
            Event::Changed { epoch, committer, came, gone } => {
                let at = epochs.iter().position(|input| input.epoch == epoch).unwrap();
                let roster = &epochs.remove(at).roster;
                memory.changed(&Change { epoch, committer, came: &came, gone: &gone, roster });
            }
            Event::Committer { .. } => memory.took_over(),
            _ => {}
        }
    }
    assert!(epochs.is_empty(), "an epoch that nothing was said of");
}

#[test]
fn a_real_group_tells_the_memory_what_it_needs() {
    let mut table = Table::of(5, Config::new(b"memory").classical());
    let identity = |id| Table::device(id).identity();
    let mut memory = Memory::new(identity(1), Known::default());
    let first = table.people.get_mut(&1).unwrap().epochs.remove(0);
    memory.joined(first.epoch, &first.roster);
    listen(&mut table, &mut memory);
    memory.matches(table.agree(), NOW).unwrap();
    assert_eq!(memory.state(), State::Verified);

    table.knock(5);
    table.run(1500);
    listen(&mut table, &mut memory);
    assert_eq!(memory.view().joined, [identity(5)]);
    memory.matches_person(&identity(5), NOW);
    assert_eq!(memory.state(), State::Verified);

    let now = table.now;
    table.group(2).leave(now);
    let leaf = table.group(3).own_leaf();
    table.group(0).remove(leaf, true, now).unwrap();
    table.run(1500);
    listen(&mut table, &mut memory);
    assert_eq!((memory.state(), table.group(1).roster().len()), (State::Verified, 4));

    // The host hands over and goes.
    let now = table.now;
    table.group(0).set_role(identity(4), Role::Host, now).unwrap();
    table.run(1500);
    let now = table.now;
    table.group(0).leave(now);
    table.run(3000);
    listen(&mut table, &mut memory);
    assert_eq!((memory.state(), table.group(1).roster().len()), (State::Verified, 3));

    let leaf = table.group(5).own_leaf();
    let removal = table.relay.propose_removal(leaf);
    table.down(removal);
    table.run(3000);
    listen(&mut table, &mut memory);
    assert_eq!(memory.view().again, [Again::Removed(identity(5))]);
    memory.matches(table.agree(), NOW).unwrap();
    assert_eq!(memory.state(), State::Verified);

    table.cut.push(4);
    table.run(8000);
    listen(&mut table, &mut memory);
    assert_eq!(memory.view().again, [Again::TookOver]);
}
