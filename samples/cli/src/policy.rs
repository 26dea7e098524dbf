//! `conclave policy`: what a policy file comes to, line by line: what each user gets, who decided it, and what does not
//! count.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::Subcommand;
use serde_json::{Value, json};

use conclave::e2ee::Roster;
use conclave::e2ee::group::{GroupSuite, MeetingType};
use conclave::meeting::code::{Code, Codes, Of};
use conclave::meeting::policy::words::Word;
use conclave::meeting::policy::{By, Document, EXAMPLE, Feature, Level, MeetingPolicy, Row};

use crate::table::Table;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// What each user gets by a policy file, and who decided it.
    Check {
        /// The policy, in TOML; `-` reads standard input.
        file: PathBuf,
        /// This user alone, whether the file names them or not.
        #[arg(long)]
        user: Option<String>,
        /// In this group of the file; where the file puts the user into one, that is it.
        #[arg(long)]
        group: Option<String>,
    },
    /// Prints a policy with comments: what is built in, written out.
    Example,
}

/// Runs the command.
pub fn run(args: Args, as_json: bool) -> anyhow::Result<()> {
    match args.what {
        What::Check { file, user, group } => check(&file, user, group, as_json),
        What::Example if as_json => {
            println!("{}", json!({ "toml": EXAMPLE }));
            Ok(())
        }
        What::Example => {
            print!("{EXAMPLE}");
            Ok(())
        }
    }
}

/// The policy of a meeting that nobody wrote a file for: of this type and suite, and without a waiting room.
pub fn built_in(meeting: MeetingType, suite: GroupSuite) -> anyhow::Result<MeetingPolicy> {
    let (meeting, suite) = (meeting.text(), suite.text());
    let text = format!("[account]\ndefault_encryption = \"{meeting}\"\nsuite = \"{suite}\"\nwaiting_room = false\n");
    Ok(MeetingPolicy::resolve(&Document::parse("the built-in policy", &text)?, None, None)?)
}

/// The security code of an epoch. It takes a tenth of a second: nobody may wait for this thread.
pub fn code(epoch: u64, authenticator: &[u8], roster: &Roster, policy: &[u8]) -> anyhow::Result<Arc<Code>> {
    let (mut codes, of) = (Codes::new(), Of::Epoch(epoch));
    codes.epoch(epoch, authenticator, roster, policy);
    let made = codes.job(of)?.run()?;
    codes.done(made);
    codes.get(of).ok_or_else(|| anyhow!("the security code was not made"))
}

fn check(file: &PathBuf, user: Option<String>, group: Option<String>, as_json: bool) -> anyhow::Result<()> {
    let (name, text) = read(file)?;
    let document = Document::parse(&name, &text).map_err(|error| anyhow!("{error}; {HINT}"))?;
    let subjects = match (user, group) {
        (None, None) => everybody(&document)?,
        (user, group) => vec![Subject::new(&document, user.as_deref(), group.as_deref())?],
    };
    // All that the file says of no user in particular is the same for each.
    let Some(one) = subjects.first().map(|subject| &subject.policy) else { return Ok(()) };
    if as_json {
        let subjects: Vec<_> = subjects.iter().map(Subject::json).collect();
        let report = json!({
            "file": name, "subjects": subjects, "end_to_end": end_to_end(one),
            "network": { "relays": one.network().relays().map(|relay| relay.to_string()).collect::<Vec<_>>(),
                "ports": one.network().ports().collect::<Vec<_>>() },
        });
        println!("{report}");
        return Ok(());
    }
    for subject in &subjects {
        subject.print();
    }
    print_end_to_end(one);
    println!("Relays that are spoken to\n  {}", one.network());
    Ok(())
}

const HINT: &str = "`conclave policy example` prints a policy that is whole";

fn read(file: &PathBuf) -> anyhow::Result<(String, String)> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input is no text; expected a policy in TOML")?;
        return Ok(("standard input".into(), text));
    }
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read {name}; `conclave policy example > {name}` makes one"))?;
    Ok((name, text))
}

/// Whoever is in no group, each group, and each user that the file names.
fn everybody(document: &Document) -> anyhow::Result<Vec<Subject>> {
    let groups = document.groups().map(|group| Subject::new(document, None, Some(group)));
    let users = document.users().map(|user| Subject::new(document, Some(user), None));
    std::iter::once(Subject::new(document, None, None)).chain(groups).chain(users).collect()
}

/// Somebody of whom the file says something, and what they get.
struct Subject {
    user: Option<String>,
    group: Option<String>,
    /// Whether the file has the user's name.
    named: bool,
    policy: MeetingPolicy,
}

impl Subject {
    fn new(document: &Document, user: Option<&str>, group: Option<&str>) -> anyhow::Result<Self> {
        let policy = MeetingPolicy::resolve(document, user, group)?;
        let group = document.group_of(user, group)?.map(ToOwned::to_owned);
        let named = user.is_some_and(|user| document.users().any(|name| name == user));
        Ok(Self { user: user.map(ToOwned::to_owned), group, named, policy })
    }

    fn title(&self) -> String {
        let place = self.group.as_ref().map_or(String::new(), |group| format!(" in the group {group}"));
        match &self.user {
            Some(user) if self.named => format!("User {user}{place}"),
            Some(user) => format!("User {user}{place}, whom the file does not name"),
            None if self.group.is_some() => format!("Everybody else{place}"),
            None => "Everybody in no group".into(),
        }
    }

    /// A level by the name that it has in the file.
    fn level(&self, level: Level) -> String {
        match (level, &self.group) {
            (Level::Group, Some(group)) => format!("group {group}"),
            _ => level.to_string(),
        }
    }

    fn by(&self, row: &Row) -> String {
        match row.by {
            By::Level(level) => self.level(level),
            by => by.to_string(),
        }
    }

    fn print(&self) {
        let mut table = Table::new(&["setting", "value", "decided by", "locked by", "does not count"]);
        for row in self.policy.settings().rows() {
            let locked = row.locked.map_or(String::new(), |level| self.level(level));
            let overruled = row.overruled.iter().map(|(level, value)| format!("{value} ({})", self.level(*level)));
            let overruled = overruled.collect::<Vec<_>>().join(", ");
            table.row(&[row.name, &row.value, &self.by(&row), &locked, &overruled]);
        }
        println!("{}\n{table}", self.title());
        for (meeting, found) in self.meetings() {
            match found {
                Ok(hash) => println!("  {meeting}: yes, by the policy {hash}"),
                Err(why) => println!("  {meeting}: no: {why}"),
            }
        }
        match self.policy.choose(None) {
            Ok(meeting) => println!("  where the host says nothing: {}\n", meeting.text()),
            Err(why) => println!("  where the host says nothing: none: {why}\n"),
        }
    }

    /// Each type of meeting with the beginning of its policy's hash, or with why there is none.
    fn meetings(&self) -> [(String, Result<String, String>); 2] {
        [MeetingType::EndToEnd, MeetingType::Enhanced].map(|meeting| {
            let policy = self.policy.clone().for_meeting(meeting).map_err(|refusal| refusal.to_string());
            (meeting.text(), policy.map(|policy| policy.hash()[..8].iter().map(|byte| format!("{byte:02x}")).collect()))
        })
    }

    fn json(&self) -> Value {
        let meetings = self.meetings().map(|(meeting, found)| {
            let (hash, why_not) = (found.as_ref().ok(), found.as_ref().err());
            json!({ "type": meeting, "allowed": found.is_ok(), "policy": hash, "why_not": why_not })
        });
        let default = self.policy.choose(None);
        json!({
            "user": self.user, "group": self.group, "named": self.named, "settings": self.policy.settings().rows(),
            "meetings": meetings, "default": default.ok().map(Word::text),
            "why_no_default": default.err().map(|refusal| refusal.to_string()),
        })
    }
}

fn end_to_end(policy: &MeetingPolicy) -> Value {
    let off = Feature::ALL.map(|feature| json!({ "feature": feature, "name": feature.name(), "why": feature.why() }));
    let clients = policy.clients();
    let admitted = clients
        .admitted()
        .map(|(kind, platform, version)| json!({ "kind": kind, "platform": platform, "version": version.to_string() }));
    let refused = clients.refused().map(|(kind, why)| json!({ "kind": kind, "why": why }));
    json!({
        "switched_off": off, "admitted": admitted.collect::<Vec<_>>(), "refused": refused.collect::<Vec<_>>(),
        "free_accounts": policy.free_accounts(),
    })
}

fn print_end_to_end(policy: &MeetingPolicy) {
    println!("What an end-to-end encrypted meeting switches off");
    for feature in Feature::ALL {
        println!("  {}: {}", feature.name(), feature.why());
    }
    println!("\nWho may join one");
    for (kind, platform, version) in policy.clients().admitted() {
        println!("  {kind} on {platform}, from {version} on");
    }
    println!("\nWho may not");
    for (kind, why) in policy.clients().refused() {
        println!("  {kind}: {why}");
    }
    let free = policy.free_accounts();
    let needs =
        [(free.billing_option, "a valid billing option on file"), (free.verified_phone, "a verified phone number")];
    let needs: Vec<_> = needs.iter().filter_map(|(needed, what)| needed.then_some(*what)).collect();
    let needs = if needs.is_empty() { "nothing".into() } else { needs.join(" and ") };
    println!("\nWhat a free account shows to hold one\n  {needs}\n");
}
