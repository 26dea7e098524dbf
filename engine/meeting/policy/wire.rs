//! A policy as bytes, in the manner of TLS (RFC 8446 §3): integers big-endian, lists and texts behind their length in
//! bytes. One encoding for each policy, so that its hash names it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::MeetingPolicy;
use super::account::FreeAccounts;
use super::clients::{Clients, Kind, Platform, Version};
use super::network::{Allowlist, Network};
use super::setting::{NAMES, Settings};
use super::words::Word;

/// Version of the encoding.
const VERSION: u8 = 1;

/// Bytes of the longest reason in the client table.
pub(super) const MAX_REASON: usize = 300;

/// Networks and ports that an allowlist names at most, each.
pub(super) const MAX_ALLOWED: usize = 1000;

impl MeetingPolicy {
    /// Its bytes: the rules, not who decided them.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend(self.meeting.number().to_be_bytes());
        out.extend(self.settings.numbers().into_iter().flat_map(u32::to_be_bytes));
        list(&mut out, &self.clients.admit, |out, ((kind, platform), Version(version))| {
            out.extend([*kind as u8, *platform as u8]);
            out.extend(version.iter().flat_map(|number| number.to_be_bytes()));
        });
        list(&mut out, &self.clients.refuse, |out, (kind, why)| {
            out.push(*kind as u8);
            list(out, why.as_bytes(), |out, byte| out.push(*byte));
        });
        out.extend([u8::from(self.accounts.billing_option), u8::from(self.accounts.verified_phone)]);
        list(&mut out, &self.network.relays, |out, relay| {
            let (first, bits) = relay.parts();
            match first {
                IpAddr::V4(first) => out.extend([&[4], &first.octets()[..]].concat()),
                IpAddr::V6(first) => out.extend([&[6], &first.octets()[..]].concat()),
            }
            out.push(bits);
        });
        list(&mut out, &self.network.ports, |out, port| out.extend(port.to_be_bytes()));
        out
    }

    /// Reads `bytes`; `None` where they are not the one encoding of a policy.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        if input.u8()? != VERSION {
            return None;
        }
        let meeting = Word::from_number(input.u32()?)?;
        let mut numbers = [0; NAMES.len()];
        for number in &mut numbers {
            *number = input.u32()?;
        }
        let settings = Settings::from_numbers(numbers)?;
        let admit = input.list(|input| {
            let row =
                (Kind::from_number(input.u8()?).filter(|kind| kind.keeps_keys())?, Platform::from_number(input.u8()?)?);
            Some((row, Version([input.u32()?, input.u32()?, input.u32()?])))
        })?;
        let refuse = input.list(|input| {
            let kind = Kind::from_number(input.u8()?)?;
            let why = String::from_utf8(input.list(|byte| byte.u8())?).ok()?;
            reason(&why).then_some((kind, why))
        })?;
        let accounts = FreeAccounts { billing_option: input.bool()?, verified_phone: input.bool()? };
        let relays = input.list(|input| {
            let first = match input.u8()? {
                4 => IpAddr::from(input.take::<4>()?),
                6 => IpAddr::from(input.take::<16>()?),
                _ => return None,
            };
            Network::new(first, input.u8()?)
        })?;
        let ports = input.list(|input| input.take().map(u16::from_be_bytes))?;
        // Sorted, without doubles, nothing both let in and refused, nothing behind: else there were two encodings of one policy.
        let apart = refuse.iter().all(|(kind, _)| !admit.iter().any(|((of, _), _)| of == kind));
        let sorted = admit.is_sorted_by(|one, two| one.0 < two.0)
            && refuse.is_sorted_by(|one, two| one.0 < two.0)
            && relays.is_sorted_by(|one, two| one < two)
            && ports.is_sorted_by(|one, two| one < two);
        let few = relays.len().max(ports.len()) <= MAX_ALLOWED;
        if !(input.0.is_empty() && sorted && apart && few) {
            return None;
        }
        let clients = Clients { admit: BTreeMap::from_iter(admit), refuse: BTreeMap::from_iter(refuse) };
        let network = Allowlist { relays: BTreeSet::from_iter(relays), ports: BTreeSet::from_iter(ports) };
        Some(Self { meeting, settings, clients, accounts, network })
    }
}

/// Whether `why` can stand in the client table: something to read, on one line, and not without end.
pub(super) fn reason(why: &str) -> bool {
    !why.trim().is_empty() && why.len() <= MAX_REASON && !why.contains(char::is_control)
}

/// Writes `entries` behind their length. What a policy may hold is bounded, so that the length fits.
fn list<T>(out: &mut Vec<u8>, entries: impl IntoIterator<Item = T>, mut put: impl FnMut(&mut Vec<u8>, T)) {
    let mut body = Vec::new();
    entries.into_iter().for_each(|entry| put(&mut body, entry));
    out.extend((body.len() as u16).to_be_bytes());
    out.extend(body);
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn bool(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// The entries of a list; `None` where the last one does not end with it.
    fn list<T>(&mut self, entry: impl Fn(&mut Input<'_>) -> Option<T>) -> Option<Vec<T>> {
        let len = usize::from(u16::from_be_bytes(self.take()?));
        let (mut body, rest) = self.0.split_at_checked(len).map(|(body, rest)| (Input(body), rest))?;
        self.0 = rest;
        let mut out = Vec::new();
        while !body.0.is_empty() {
            out.push(entry(&mut body)?);
        }
        Some(out)
    }
}
