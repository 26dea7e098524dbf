//! A policy file: what the levels say, the client table, free accounts and the network, in TOML. `example.toml` beside
//! this file has all of it, with comments.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::account::FreeAccounts;
use super::clients::{Clients, Kind, Platform, Version};
use super::network::{Allowlist, Network};
use super::reader::{At, FileError, Source};
use super::setting::{NAMES, Says, Settings};
use super::wire::{MAX_ALLOWED, MAX_REASON, reason};

/// The example that is shipped: what is built in, written out, and a group and a user who say otherwise.
pub const EXAMPLE: &str = include_str!("example.toml");

/// A policy file. What it leaves out is as it is built in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    account: Says,
    groups: BTreeMap<String, Says>,
    users: BTreeMap<String, User>,
    pub(super) clients: Clients,
    pub(super) accounts: FreeAccounts,
    pub(super) network: Allowlist,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    group: Option<String>,
    says: Says,
}

/// Why a policy file says nothing of somebody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// No such group.
    #[error("the policy file has no group {0:?}; it has {1}")]
    Group(String, String),
    /// Another group than the file says.
    #[error("the policy file has {user:?} in the group {group:?}, not in {asked:?}")]
    OtherGroup {
        /// Who.
        user: String,
        /// What the file says.
        group: String,
        /// What was asked for.
        asked: String,
    },
}

impl Default for Document {
    fn default() -> Self {
        Self {
            account: Says::default(),
            groups: BTreeMap::new(),
            users: BTreeMap::new(),
            clients: Clients::standard(),
            accounts: FreeAccounts::default(),
            network: Allowlist::standard(),
        }
    }
}

impl Document {
    /// Reads the `text` of `file`.
    ///
    /// # Errors
    /// [`FileError`]: the file, the line and what was expected there.
    pub fn parse(file: &str, text: &str) -> Result<Self, FileError> {
        let source = Source { file, text };
        let value = source.parse()?;
        let root = At { source, path: String::new(), value: &value };
        let [account, groups, users, clients, free, network] =
            root.table(["account", "group", "user", "clients", "free_accounts", "network"])?;
        let mut document = Self::default();
        if let Some(account) = account {
            document.account = says(&account, false)?.0;
        }
        for (name, group) in named(groups)? {
            document.groups.insert(name, says(&group, false)?.0);
        }
        for (name, user) in named(users)? {
            let (says, group) = says(&user, true)?;
            let group = group.map(|group| document.known(&group)).transpose()?;
            document.users.insert(name, User { group, says });
        }
        document.clients = clients.map_or(Ok(document.clients), |clients| read_clients(&clients))?;
        document.accounts = free.map_or(Ok(document.accounts), |free| read_free(&free))?;
        document.network = network.map_or(Ok(document.network), |network| read_network(&network))?;
        Ok(document)
    }

    /// The settings of `user` in `group`. Of whom the file does not know, the group and the account decide; of whom it
    /// does, it says the group itself.
    ///
    /// # Errors
    /// [`Unknown`], where the group is not in the file or another than the file says.
    pub fn settings(&self, user: Option<&str>, group: Option<&str>) -> Result<Settings, Unknown> {
        let none = Says::default();
        let group = self.group_of(user, group)?;
        let group = group.and_then(|group| self.groups.get(group)).unwrap_or(&none);
        let user = user.and_then(|user| self.users.get(user)).map_or(&none, |user| &user.says);
        Ok(Settings::new(&self.account, group, user))
    }

    /// The group that decides for `user`, where `group` was said of them or the file says one.
    ///
    /// # Errors
    /// As [`Document::settings`].
    pub fn group_of<'a>(&'a self, user: Option<&str>, group: Option<&'a str>) -> Result<Option<&'a str>, Unknown> {
        if let Some(group) = group.filter(|group| !self.groups.contains_key(*group)) {
            return Err(Unknown::Group(group.to_owned(), self.group_names()));
        }
        let said = user.and_then(|user| self.users.get_key_value(user));
        match said.and_then(|(name, user)| Some((name, user.group.as_deref()?))) {
            Some((user, said)) => match group {
                Some(asked) if asked != said => {
                    Err(Unknown::OtherGroup { user: user.clone(), group: said.to_owned(), asked: asked.to_owned() })
                }
                _ => Ok(Some(said)),
            },
            None => Ok(group),
        }
    }

    /// The groups that it names.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// The users that it names.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.users.keys().map(String::as_str)
    }

    fn group_names(&self) -> String {
        let names: Vec<_> = self.groups.keys().map(|name| format!("{name:?}")).collect();
        if names.is_empty() { "none".into() } else { names.join(", ") }
    }

    fn known(&self, group: &At<'_>) -> Result<String, FileError> {
        let expected = || format!("the name of a group in this file ({})", self.group_names());
        let name = group.text(expected())?;
        if self.groups.contains_key(name) { Ok(name.to_owned()) } else { Err(group.not(expected())) }
    }
}

/// The tables under `group` or `user`, by name.
fn named(of: Option<At<'_>>) -> Result<Vec<(String, At<'_>)>, FileError> {
    let entries = of.map(|of| of.entries()).transpose()?.unwrap_or_default();
    Ok(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// What one level says, and of a user the group.
fn says<'a>(level: &At<'a>, user: bool) -> Result<(Says, Option<At<'a>>), FileError> {
    let (mut says, mut group) = (Says::default(), None);
    for (name, mut value) in level.entries()? {
        if user && name == "group" {
            group = Some(value);
            continue;
        }
        if !says.set(name, &mut value)? {
            let known = [if user { &["group"][..] } else { &[] }, NAMES].concat();
            return Err(level.unknown(name, &known));
        }
        // Nothing is below a user.
        if let DeValue::Table(table) = value.value.get_ref()
            && user
            && let Some((_, locked)) = table.iter().find(|(key, _)| key.get_ref() == "locked")
        {
            let what = format!("`{}` has a lock; expected none at a user, below whom there is no level", value.path);
            return Err(At { value: locked, ..value.clone() }.error(what));
        }
    }
    Ok((says, group))
}

fn read_clients(clients: &At<'_>) -> Result<Clients, FileError> {
    let [admit, refuse] = clients.table(["admit", "refuse"])?;
    let mut out = Clients { admit: BTreeMap::new(), refuse: BTreeMap::new() };
    let admit = admit.ok_or_else(|| clients.error("`clients` lets nobody in; expected rows `[[clients.admit]]`"))?;
    for row in admit.list("tables of `kind`, `platforms` and `version`")? {
        let [Some(kind), Some(platforms), Some(version)] = row.table(["kind", "platforms", "version"])? else {
            return Err(row.error(format!("`{}` misses a part; expected `kind`, `platforms` and `version`", row.path)));
        };
        let known = words(Kind::ALL.iter().filter(|kind| kind.keeps_keys()).map(|kind| kind.word()));
        let of = Kind::from_word(kind.text(&known)?).filter(|kind| kind.keeps_keys()).ok_or_else(|| kind.not(known))?;
        let expected = "a version of three numbers such as \"5.4.0\"";
        let least = Version::read(version.text(expected)?).ok_or_else(|| version.not(expected))?;
        for platform in platforms.list("platforms")? {
            let known = words(Platform::ALL.iter().map(|platform| platform.word()));
            let on = Platform::from_word(platform.text(&known)?).ok_or_else(|| platform.not(known))?;
            if out.admit.insert((of, on), least).is_some() {
                let (of, on) = (of.word(), on.word());
                return Err(platform.error(format!("a second row for `{of}` on `{on}`; expected one")));
            }
        }
    }
    for (word, why) in refuse.map(|refuse| refuse.entries()).transpose()?.unwrap_or_default() {
        let Some(kind) = Kind::from_word(word) else {
            return Err(why.error(format!(
                "`{}` is no kind of client; expected {}",
                why.path,
                words(Kind::ALL.iter().map(|kind| kind.word()))
            )));
        };
        let expected = format!("a reason in one line of at most {MAX_REASON} bytes");
        let text = why.text(&expected)?;
        if !reason(text) {
            return Err(why.not(expected));
        }
        if out.admit.keys().any(|(of, _)| *of == kind) {
            return Err(why.error(format!("`{word}` is let in above; expected it in one of the two tables")));
        }
        out.refuse.insert(kind, text.to_owned());
    }
    Ok(out)
}

fn read_free(free: &At<'_>) -> Result<FreeAccounts, FileError> {
    let [billing, phone] = free.table(["billing_option", "verified_phone"])?;
    let flag = |value: Option<At<'_>>| value.map_or(Ok(true), |value| value.word());
    Ok(FreeAccounts { billing_option: flag(billing)?, verified_phone: flag(phone)? })
}

fn read_network(network: &At<'_>) -> Result<Allowlist, FileError> {
    let [Some(relays), Some(ports)] = network.table(["relays", "ports"])? else {
        return Err(network.error("`network` misses a part; expected `relays` and `ports`"));
    };
    let relays = few(&relays, "networks such as \"3.138.115.0/27\"")?.into_iter().map(|relay| {
        let text = relay.text("a network such as \"3.138.115.0/27\"")?;
        Network::read(text).map_err(|expected| relay.not(expected))
    });
    let relays = relays.collect::<Result<Vec<_>, _>>()?;
    let ports = few(&ports, "ports")?.into_iter().map(|port| match port.value.get_ref() {
        DeValue::Integer(number) => {
            let number = u16::from_str_radix(number.as_str(), number.radix()).ok().filter(|port| *port != 0);
            number.ok_or_else(|| port.not("a port from 1 to 65535"))
        }
        _ => Err(port.not("a port from 1 to 65535")),
    });
    Ok(Allowlist::new(relays, ports.collect::<Result<Vec<_>, _>>()?))
}

fn few<'a>(list: &At<'a>, of: &str) -> Result<Vec<At<'a>>, FileError> {
    let entries = list.list(of)?;
    match entries.len() <= MAX_ALLOWED {
        true => Ok(entries),
        false => {
            Err(list.error(format!("`{}` has {} entries; expected {MAX_ALLOWED} at most", list.path, entries.len())))
        }
    }
}

fn words(words: impl Iterator<Item = &'static str>) -> String {
    words.map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
}
