//! `conclave meet --sim`: a meeting of many in virtual time. People come, speak and go around a relay of one's choice;
//! what the design promises of that is measured, and a bound that does not hold is exit code 1.

mod attack;
mod bounds;
mod media;
mod outcome;
mod plan;
mod seat;
mod sim;
mod watch;

use std::time::Instant;

use conclave::e2ee::group::{GroupSuite, MeetingType};
use conclave::gathering::relays::Model;

use crate::cpu::cpu_seconds;
use crate::input;
use outcome::Outcome;
use sim::Sim;

/// What the meeting is like.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Everybody in this process, in virtual time; there is no other way to meet yet.
    #[arg(long)]
    pub sim: bool,
    /// How many people there are when the meeting begins. Above 200 no group is played: the keys come from the service of
    /// an enhanced meeting, and those who do not speak say nothing on the data channel either.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub people: u32,
    /// How long the meeting is, in minutes; parts of one will do.
    #[arg(long, default_value = "10", value_parser = minutes)]
    pub minutes: f64,
    /// How many come or go in a minute; of those who go, every fourth is put out by the host.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=120))]
    pub churn: u32,
    /// Everything random follows from it, the groups' own keys aside.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[arg(long, default_value = "honest", value_parser = relay, help = RELAY, long_help = relays())]
    pub relay: Model,
    /// Keys of the group: hybrid, or classical, which withstands no quantum computer.
    #[arg(long, default_value = "hybrid", value_parser = input::suite)]
    pub suite: GroupSuite,
    /// Who makes the keys: the participants' devices (end-to-end), or a service that can read the meeting (enhanced).
    /// End-to-end up to 200 people, enhanced above.
    #[arg(long = "type", value_name = "TYPE", value_parser = input::meeting)]
    pub kind: Option<MeetingType>,
}

/// People in a meeting whose group is played.
pub const MOST_IN_A_GROUP: u32 = 200;

impl Args {
    /// Who makes the keys.
    pub fn meeting(&self) -> MeetingType {
        let group = self.people <= MOST_IN_A_GROUP;
        self.kind.unwrap_or(if group { MeetingType::EndToEnd } else { MeetingType::Enhanced })
    }
}

const RELAY: &str = "How the relay behaves: honest, slow, dropping, or malicious:NAME; --help has the names";

fn relays() -> String {
    let line = |model: Model| format!("\n  {:<30} {}", model.name(), model.about());
    Model::all().fold("How the relay behaves:".to_owned(), |text, model| text + &line(model))
}

fn relay(text: &str) -> Result<Model, String> {
    let names = || Model::all().map(Model::name).collect::<Vec<_>>().join(", ");
    Model::named(text).ok_or_else(|| format!("`{text}` is no relay; try one of {}", names()))
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.2..=120.0).contains(&value) => Ok(value),
        _ => Err(format!("`{text}` is no length of a meeting; try 10, or 0.5 (0.2 to 120 minutes)")),
    }
}

/// Shortest meeting with a malicious relay, in minutes: what must follow from an attack has to follow within it.
const ATTACKED: f64 = 0.5;

/// Plays the meeting and prints what came of it. Returns whether every bound held.
pub fn run(args: Args, as_json: bool) -> anyhow::Result<bool> {
    anyhow::ensure!(args.sim, "people in other processes cannot be met yet; add --sim to play all of them in this one");
    anyhow::ensure!(
        !matches!(args.relay, Model::Malicious(_)) || args.minutes >= ATTACKED,
        "an attack needs time to be found out; take --minutes {ATTACKED} or more"
    );
    anyhow::ensure!(
        args.meeting() == MeetingType::Enhanced || args.people <= MOST_IN_A_GROUP,
        "a group of {} people is too large to be played here; take {MOST_IN_A_GROUP} --people or --type enhanced",
        args.people
    );
    anyhow::ensure!(
        args.meeting() == MeetingType::EndToEnd || args.relay == Model::Honest,
        "an enhanced meeting has a service and no relay; leave --relay out, or take --type end-to-end with up to \
         {MOST_IN_A_GROUP} people"
    );
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let bar = indicatif::ProgressBar::new(100);
    let outcome = play(&args, |share| bar.set_position((share * 100.0) as u64))?;
    bar.finish_and_clear();
    let cost = outcome::Cost { wall_s: started.elapsed().as_secs_f64(), cpu_s: cpu_seconds() - cpu };
    if as_json {
        println!("{}", outcome.json(&cost)?);
    } else {
        outcome.print(&cost);
    }
    Ok(outcome.broken.is_empty())
}

fn play(args: &Args, progress: impl FnMut(f64)) -> anyhow::Result<Outcome> {
    let mut sim = Sim::gather(args)?;
    sim.play(progress)?;
    Outcome::of(args, sim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(words: &[&str]) -> Args {
        Line::try_parse_from([&["meet", "--sim"], words].concat()).unwrap_or_else(|e| panic!("{e}")).args
    }

    fn played(words: &[&str]) -> Outcome {
        play(&args(words), |_| ()).unwrap()
    }

    const SMALL: [&str; 8] = ["--people", "6", "--minutes", "0.5", "--churn", "24", "--suite", "classical"];

    #[test]
    fn an_honest_meeting_keeps_its_bounds_and_one_seed_gives_the_same_counters() {
        let (one, two) = (played(&SMALL), played(&SMALL));
        assert_eq!(one.broken, Vec::<String>::new());
        assert_eq!(one.counters(), two.counters());
        assert!(one.joins >= 3 && one.leaves + one.kicks >= 3, "{} joins, {} leaves", one.joins, one.leaves);
        assert!(one.first_picture_ms.count >= 3 && one.alarms.is_empty());
        let other = played(&[&SMALL[..], &["--seed", "2"]].concat());
        assert_ne!(one.counters(), other.counters(), "another seed is another meeting");
    }

    #[test]
    fn every_attack_ends_in_its_alarm() {
        for model in Model::all().filter(|model| matches!(model, Model::Malicious(_))) {
            let name = model.name();
            let words = ["--people", "6", "--minutes", "0.6", "--churn", "0", "--suite", "classical", "--relay", &name];
            let words =
                if name.ends_with("suite-downgrade") { [&words[..6], &words[8..]].concat() } else { words.into() };
            let outcome = played(&words);
            assert_eq!(outcome.broken, Vec::<String>::new(), "{name}");
            assert!(outcome.attack.is_some_and(|attack| attack.told > 0), "{name}");
        }
    }

    #[test]
    fn fifty_people_who_come_and_go_see_one_code_in_each_epoch() {
        let words = ["--people", "50", "--minutes", "0.5", "--churn", "40", "--suite", "classical"];
        let mut sim = Sim::gather(&args(&words)).unwrap();
        sim.play(|_| ()).unwrap();
        assert_eq!(sim.watch.parted, Vec::<u64>::new());
        // Every epoch has a code of its own, and each was seen by more than its committer.
        let (codes, compared) = sim.watch.codes();
        assert!(codes.len() >= 10 && compared >= 50 * 10, "{} codes, {compared} looks", codes.len());
        assert_eq!(codes.iter().collect::<std::collections::BTreeSet<_>>().len(), codes.len());
        // The digits themselves, of the first epochs' end.
        let mut shown = |seat: usize| sim.gathering.party(seat).unwrap().code().unwrap();
        assert_eq!(shown(0), shown(1));
    }

    #[test]
    fn a_service_keeps_the_bounds_and_its_meeting_is_not_shown_as_end_to_end() {
        let outcome = played(&[&SMALL[..6], &["--type", "enhanced"]].concat());
        assert_eq!(outcome.broken, Vec::<String>::new());
        assert_eq!(outcome.shield, Some("Enhanced encryption"));
        assert_eq!(played(&SMALL).shield, Some("End-to-end encrypted"));
        assert_eq!(args(&["--people", "201"]).meeting(), MeetingType::Enhanced);
        for refused in [&["--people", "201", "--type", "end-to-end"][..], &["--type", "enhanced", "--relay", "slow"]] {
            assert!(run(args(refused), false).is_err());
        }
    }

    #[test]
    fn a_slow_relay_keeps_the_bounds() {
        assert_eq!(played(&[&SMALL[..], &["--relay", "slow"]].concat()).broken, Vec::<String>::new());
    }

    #[test]
    fn wrong_words_are_refused_with_a_hint() {
        let said = |words: &[&str]| Line::try_parse_from([&["meet"], words].concat()).err().map(|e| e.to_string());
        assert!(said(&["--relay", "evil"]).unwrap().contains("malicious:fake-member"));
        assert!(said(&["--minutes", "0"]).unwrap().contains("try 10"));
        assert!(said(&["--people", "1"]).is_some());
        let without = run(Args { sim: false, ..args(&[]) }, false).unwrap_err();
        assert!(without.to_string().contains("add --sim"));
    }
}
