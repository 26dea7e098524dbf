//! Sixth of seven: two apps hold an end-to-end-encrypted meeting. The relay between them is in this process; it orders and
//! forwards, and can read nothing.
//!
//! `cargo run --release --example embed_6_meeting`

use std::error::Error;

use conclave::e2ee::group::{self, Device};
use conclave::gathering::{self, Audience, Gathering, Word};
use conclave::meeting::{Config, Event, Meeting, MeetingError};
use conclave::party;
use conclave::relay::Relay;

/// What each app does with what it is told.
struct Apps;

impl Audience<Meeting> for Apps {
    fn sent(&mut self, _seat: usize, _word: Word<'_>, _now: conclave::time::Time) {}

    fn ticked(&mut self, seat: usize, meeting: &mut Meeting, now: conclave::time::Time) {
        while let Some(event) = meeting.event() {
            match event {
                Event::Waiting { members, .. } => println!("[{seat}] waits; {members} inside"),
                Event::Knock(knock) => {
                    println!("[{seat}] {} knocks and is let in", knock.person.name);
                    meeting.admit(&knock.person.identity, now).expect("the host may");
                }
                Event::Chat { from, line } => println!("[{seat}] {}: {}", from.name, *line.text),
                Event::Alarm(alarm) => println!("[{seat}] ALARM {alarm}"),
                Event::Ended(why) => println!("[{seat}] {why}"),
                _ => {}
            }
        }
    }
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let (alice, bob) = (Device::generate("Alice")?, Device::generate("Bob")?);
    // The invite: which group, and who its host is.
    let mut config = Config::new(party::Config::new(group::Config::new(b"monday at nine")));
    config.waiting_room = true;
    config.party.group.host = Some(alice.identity());

    let mut apps = Apps;
    let mut meeting = Gathering::<Meeting>::new(gathering::Config::default(), Relay::new());
    let host = meeting.sit(&mut apps, |now, out| Meeting::found(&alice, config.clone(), now, out))?;
    let guest = meeting.sit(&mut apps, |_, out| Meeting::knock(&bob, config, out))?;
    meeting.run(meeting.now().plus(1_500_000), &mut apps);

    for seat in [host, guest] {
        let one = meeting.party(seat).ok_or(MeetingError::Outside)?;
        let names: Vec<_> =
            one.roster().into_iter().map(|row| format!("{} ({})", row.member.name, row.member.role.name())).collect();
        println!("[{seat}] {}, epoch {}: {}", one.shield().label(), one.epoch(), names.join(", "));
        // An app computes the code on a thread of its own: it takes a tenth of a second.
        let of = one.codes().shown()?;
        let made = one.codes().job(of)?.run()?;
        one.codes().done(made);
        println!("[{seat}] code {}", one.codes().get(of).map(|code| code.to_string()).unwrap_or_default());
    }
    meeting.party(guest).ok_or(MeetingError::Outside)?.chat("Good morning!")?;
    meeting.run(meeting.now().plus(500_000), &mut apps);

    let now = meeting.now();
    meeting.party(host).ok_or(MeetingError::Outside)?.end(now)?;
    meeting.run(now.plus(1_000_000), &mut apps);
    Ok(())
}
