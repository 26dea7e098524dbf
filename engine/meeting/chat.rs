//! Lines of chat. Each is signed by the identity key of whoever says it, together with the group, the epoch and a number,
//! so that it can be shown to others afterwards ([`super::Report`]) and no member can say it in another's name.
//!
//! On the data channel: `u8 version ‖ u64 epoch ‖ u64 number ‖ signature ‖ text`, integers big-endian.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::data::{MAX_MESSAGE, Peer};
use crate::e2ee::IdentityKey;
use crate::e2ee::group::Device;
use crate::e2ee::group::identity::Signature;
use crate::e2ee::group::wire::MAX_GROUP_ID;
use crate::e2ee::proof::key::SIGNATURE;

const VERSION: u8 = 1;
const CONTEXT: &str = "chat";
const HEAD: usize = 1 + 8 + 8 + SIGNATURE;

/// Bytes of the longest line.
pub const MAX_LINE: usize = MAX_MESSAGE - HEAD;

/// One line, with all that a third party needs to know whose it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// In which group.
    pub group: Vec<u8>,
    /// In which epoch of it.
    pub epoch: u64,
    /// Its number among the lines that its speaker said in one stay.
    pub number: u64,
    /// Who said it.
    pub from: IdentityKey,
    /// What.
    pub text: Zeroizing<String>,
    signature: Signature,
}

/// What was said stays out of logs.
impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {} of {:?} in epoch {}, {} bytes", self.number, self.from, self.epoch, self.text.len())
    }
}

impl Line {
    pub(crate) fn sign(device: &Device, group: &[u8], epoch: u64, number: u64, text: &str) -> Self {
        let (group, text) = (group.to_vec(), Zeroizing::new(text.to_owned()));
        let mut line = Self { group, epoch, number, from: device.identity(), text, signature: [0; SIGNATURE] };
        line.signature = device.vouch(CONTEXT, &line.signed());
        line
    }

    /// Whether its speaker said it, in this group, epoch and place.
    pub fn holds(&self) -> bool {
        self.from.vouched(CONTEXT, &self.signed(), &self.signature)
    }

    fn signed(&self) -> Zeroizing<Vec<u8>> {
        let len = self.group.len().min(MAX_GROUP_ID) as u8;
        let numbers = [self.epoch, self.number].map(u64::to_be_bytes);
        Zeroizing::new([&[len][..], &self.group, numbers.as_flattened(), self.text.as_bytes()].concat())
    }

    /// As it goes over the data channel.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let numbers = [self.epoch, self.number].map(u64::to_be_bytes);
        Zeroizing::new([&[VERSION][..], numbers.as_flattened(), &self.signature, self.text.as_bytes()].concat())
    }

    /// Reads a line that came from `from` in `group`; whether it holds is another question.
    pub(crate) fn decode(bytes: &[u8], from: IdentityKey, group: &[u8]) -> Option<Self> {
        let (head, text) = bytes.split_first_chunk::<HEAD>()?;
        let (version, rest) = head.split_first()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (number, signature) = rest.split_first_chunk()?;
        let text = Zeroizing::new(std::str::from_utf8(text).ok().filter(|text| !text.is_empty())?.to_owned());
        let (epoch, number) = (u64::from_be_bytes(*epoch), u64::from_be_bytes(*number));
        let signature = signature.try_into().ok().filter(|_| *version == VERSION)?;
        Some(Self { group: group.to_vec(), epoch, number, from, text, signature })
    }
}

/// The numbers of everybody's lines.
#[derive(Default)]
pub(crate) struct Numbers {
    next: u64,
    due: BTreeMap<Peer, u64>,
}

impl Numbers {
    /// The number of this participant's next line.
    pub(crate) fn next(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Whether a line is new: its speaker numbers them upwards, in epochs of its stay.
    pub(crate) fn take(&mut self, from: Peer, line: &Line, epoch: u64) -> bool {
        let due = self.due.entry(from).or_default();
        let new = line.number >= *due && line.number < u64::MAX && (from.joined..=epoch).contains(&line.epoch);
        if new {
            *due = line.number + 1;
        }
        new
    }

    /// Forgets whoever is gone.
    pub(crate) fn retain(&mut self, stays: impl Fn(&Peer) -> bool) {
        self.due.retain(|peer, _| stays(peer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_for_its_speaker_place_and_words_alone() {
        let device = Device::generate("a").unwrap();
        let line = Line::sign(&device, b"g", 3, 0, "hello");
        let read = |bytes: &[u8], from, group: &[u8]| Line::decode(bytes, from, group);
        let bytes = line.encode();
        assert_eq!(read(&bytes, device.identity(), b"g"), Some(line.clone()));
        assert!(line.holds());
        assert!(!read(&bytes, device.identity(), b"h").unwrap().holds());
        assert!(!read(&bytes, Device::generate("b").unwrap().identity(), b"g").unwrap().holds());
        for at in 0..bytes.len() {
            let mut edited = bytes.to_vec();
            edited[at] ^= 1;
            assert!(read(&edited, device.identity(), b"g").is_none_or(|line| !line.holds()), "byte {at}");
        }
        assert!(!format!("{line:?}").contains("hello"));
    }

    #[test]
    fn a_line_is_taken_once() {
        let device = Device::generate("a").unwrap();
        let line = |number| Line::sign(&device, b"g", 3, number, "hello");
        let (peer, mut numbers) = (Peer { leaf: 0, joined: 0 }, Numbers::default());
        assert!(numbers.take(peer, &line(0), 3) && numbers.take(peer, &line(2), 3));
        assert!(!numbers.take(peer, &line(2), 3) && !numbers.take(peer, &line(1), 3));
        assert!(!numbers.take(peer, &line(9), 2), "said in an epoch that has not begun");
        let back = Peer { leaf: 0, joined: 4 };
        assert!(!numbers.take(back, &line(9), 5), "of the stay before");
    }
}
