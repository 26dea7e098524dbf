//! The bytes between a member and the service: `0xce ‖ u8 kind ‖ …`, integers big-endian, one encoding for each message.
//! No envelope of a group begins so, and each of the two refuses the other.

use zeroize::Zeroizing;

use super::entry::Entry;
use super::plan::{Act, Ask, Stay, Wish};
use super::sign::SIGNATURE;
use crate::e2ee::group::MAX_WORD;
use crate::e2ee::group::card::Why;
use crate::e2ee::group::event::Request;
use crate::e2ee::group::wire::{MAX_MESSAGE, ticket};
use crate::e2ee::keys::MAX_LEAVES;
use crate::e2ee::{IdentityKey, MediaSecret, Role};

/// The first byte of every message.
pub const MARK: u8 = 0xce;

/// Bytes of the longest message of a member.
pub const MAX_UP: usize = MAX_WORD + 1024;

/// Acts that lead to one epoch at most.
pub const MAX_ACTS: usize = 512;

/// Bytes of an epoch's secret.
pub const SECRET: usize = 48;

/// Bytes of the longest policy.
const MAX_POLICY: usize = 1 << 20;

/// Whether these are bytes of an enhanced meeting.
pub fn is_enhanced(bytes: &[u8]) -> bool {
    bytes.first() == Some(&MARK)
}

/// Why the service does not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[repr(u8)]
pub enum Refusal {
    /// The meeting is an enhanced one, and an end-to-end encrypted one was expected.
    #[error("this meeting is enhanced, its keys come from the service: the invite names another type")]
    MeetingType = 1,
    /// Nothing of what was said is signed as it should be.
    #[error("the signature does not hold")]
    Signature = 2,
    /// The meeting is locked.
    #[error("the meeting is locked")]
    Locked = 3,
    /// No more fit in, or wait.
    #[error("the meeting or its waiting room is full")]
    Full = 4,
    /// Only hosts may.
    #[error("only a host or a co-host can do this")]
    NotHost = 5,
    /// It was there before, or its author is no longer in.
    #[error("the wish is an old one")]
    Replayed = 6,
    /// The rules do not allow it.
    #[error("the rules do not allow it")]
    Illegal = 7,
    /// A host said no to whoever knocks.
    #[error("the host did not let you in")]
    Host = 8,
    /// Its invite is of another meeting.
    #[error("the invite names another meeting type or policy than this meeting has: ask for a new one")]
    Invite = 9,
    /// Its client may not join such a meeting.
    #[error("this client may not join this meeting")]
    Client = 10,
}

impl Refusal {
    const ALL: [Self; 10] = [
        Self::MeetingType,
        Self::Signature,
        Self::Locked,
        Self::Full,
        Self::NotHost,
        Self::Replayed,
        Self::Illegal,
        Self::Host,
        Self::Invite,
        Self::Client,
    ];

    /// What it says to whoever knocked and is not let in; nothing where it is no answer to that.
    pub const fn denial(self) -> Option<Why> {
        match self {
            Self::Host => Some(Why::Host),
            Self::Locked => Some(Why::Locked),
            Self::Invite => Some(Why::Invite),
            Self::Client => Some(Why::Client),
            Self::Full => Some(Why::Full),
            _ => None,
        }
    }
}

impl From<Why> for Refusal {
    fn from(why: Why) -> Self {
        match why {
            Why::Host => Self::Host,
            Why::Locked => Self::Locked,
            Why::Invite => Self::Invite,
            Why::Client => Self::Client,
            Why::Full => Self::Full,
        }
    }
}

/// What a member says to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Up {
    /// It wants to come in.
    Knock(Entry),
    /// The challenge, signed: whoever knocks has the key it names.
    Answer([u8; SIGNATURE]),
    /// What it asks for.
    Wish(Wish),
    /// What it says to all.
    Word(Word),
}

/// A signed word of a member to all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// By whom.
    pub stay: Stay,
    /// In which epoch, the only one that it holds in.
    pub epoch: u64,
    /// Rises from word to word of a stay.
    pub sequence: u64,
    /// What.
    pub body: Vec<u8>,
    /// By the author's identity key.
    pub signature: [u8; SIGNATURE],
}

impl Word {
    /// What is signed.
    pub(crate) fn text(&self) -> Vec<u8> {
        let Self { stay, epoch, sequence, body, .. } = self;
        [&stay.bytes()[..], &epoch.to_be_bytes(), &sequence.to_be_bytes(), body].concat()
    }
}

/// The way in, and the whole of an epoch.
pub struct Welcome {
    /// The epoch's secret.
    pub secret: MediaSecret,
    /// Number of the epoch.
    pub epoch: u64,
    /// Link of the one before.
    pub previous: [u8; 32],
    /// Hash of the acts that led to it.
    pub acts: [u8; 32],
    /// Everybody, by leaf, since when, and each one's own entry.
    pub members: Vec<(Stay, Entry)>,
    /// The policy.
    pub policy: Vec<u8>,
    /// By the service, over the statement.
    pub signature: [u8; SIGNATURE],
}

/// From one epoch to the next.
pub struct Turn {
    /// The new epoch's secret.
    pub secret: MediaSecret,
    /// Its number.
    pub epoch: u64,
    /// Link of the one before.
    pub previous: [u8; 32],
    /// What led to it.
    pub acts: Vec<Act>,
    /// Hash of the roster after.
    pub roster: [u8; 32],
    /// Hash of the policy after.
    pub policy: [u8; 32],
    /// By the service, over the statement.
    pub signature: [u8; SIGNATURE],
}

/// A sign of life of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The epoch.
    pub epoch: u64,
    /// Its link.
    pub link: [u8; 32],
    /// Rises from one to the next.
    pub sequence: u64,
    /// How old the epoch is, in microseconds.
    pub age_us: u64,
    /// By the service.
    pub signature: [u8; SIGNATURE],
}

impl Beat {
    /// What is signed.
    pub(crate) fn text(&self) -> Vec<u8> {
        let Self { epoch, link, sequence, age_us, .. } = self;
        [&epoch.to_be_bytes()[..], link, &sequence.to_be_bytes(), &age_us.to_be_bytes()].concat()
    }
}

/// What the service says to a member.
#[allow(clippy::large_enum_variant, reason = "read and used at once")]
pub enum Down {
    /// What whoever knocks has to sign.
    Challenge {
        /// Random bytes.
        nonce: [u8; 32],
        /// By the service, over them and the ticket of the entry.
        signature: [u8; SIGNATURE],
    },
    /// Nobody is let in like this.
    Refused(Refusal),
    /// Somebody knocks.
    Knock(Entry),
    /// The way in.
    Welcome(Welcome),
    /// A new epoch.
    Turn(Turn),
    /// A wish came to nothing.
    Denied {
        /// Its number.
        sequence: u64,
        /// Why.
        why: Refusal,
    },
    /// A word of a member.
    Word(Word),
    /// A sign of life.
    Beat(Beat),
    /// The member is out.
    Out,
}

impl Up {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![MARK];
        match self {
            Up::Knock(entry) => {
                out.push(1);
                out.extend(entry.encode());
            }
            Up::Answer(signature) => {
                out.push(2);
                out.extend(signature);
            }
            Up::Wish(wish) => {
                out.push(3);
                encode_wish(&mut out, wish);
            }
            Up::Word(word) => {
                out.push(4);
                encode_word(&mut out, word);
            }
        }
        out
    }

    /// Reads `bytes`; nothing is verified.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::message(bytes, MAX_UP)?;
        let up = match reader.u8()? {
            1 => Up::Knock(Entry::read(&mut reader)?),
            2 => Up::Answer(reader.array()?),
            3 => Up::Wish(read_wish(&mut reader)?),
            4 => Up::Word(read_word(&mut reader)?),
            _ => return None,
        };
        reader.is_empty().then_some(up)
    }
}

impl Down {
    /// Its bytes, wiped when dropped: some are keys.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Room for the secrets, which come first, so that growing leaves no copy of them behind unwiped.
        let mut out = Zeroizing::new(Vec::with_capacity(self.size()));
        out.push(MARK);
        match self {
            Down::Challenge { nonce, signature } => {
                out.push(65);
                out.extend(nonce);
                out.extend(signature);
            }
            Down::Refused(why) => out.extend([66, *why as u8]),
            Down::Knock(entry) => {
                out.push(67);
                out.extend(entry.encode());
            }
            Down::Welcome(welcome) => {
                out.push(68);
                out.extend_from_slice(welcome.secret.as_slice());
                out.extend(welcome.epoch.to_be_bytes());
                out.extend(welcome.previous);
                out.extend(welcome.acts);
                out.extend((welcome.members.len() as u16).to_be_bytes());
                for (stay, entry) in &welcome.members {
                    out.extend(stay.bytes());
                    out.extend(entry.encode());
                }
                out.extend((welcome.policy.len() as u32).to_be_bytes());
                out.extend_from_slice(&welcome.policy);
                out.extend(welcome.signature);
            }
            Down::Turn(turn) => {
                out.push(69);
                out.extend_from_slice(turn.secret.as_slice());
                out.extend(turn.epoch.to_be_bytes());
                out.extend(turn.previous);
                encode_acts(&mut out, &turn.acts);
                out.extend(turn.roster);
                out.extend(turn.policy);
                out.extend(turn.signature);
            }
            Down::Denied { sequence, why } => {
                out.push(70);
                out.extend(sequence.to_be_bytes());
                out.push(*why as u8);
            }
            Down::Word(word) => {
                out.push(71);
                encode_word(&mut out, word);
            }
            Down::Beat(beat) => {
                out.push(72);
                out.extend(beat.text());
                out.extend(beat.signature);
            }
            Down::Out => out.push(73),
        }
        out
    }

    /// More bytes than it takes.
    fn size(&self) -> usize {
        const MEMBER: usize = 10 + 65 + 128 + SIGNATURE;
        match self {
            Down::Welcome(welcome) => 512 + welcome.members.len() * MEMBER + welcome.policy.len(),
            Down::Turn(turn) => 512 + turn.acts.len() * 2 * MEMBER,
            Down::Word(word) => 256 + word.body.len(),
            _ => 512,
        }
    }

    /// Reads `bytes`; nothing is verified.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::message(bytes, MAX_MESSAGE)?;
        let down = match reader.u8()? {
            65 => Down::Challenge { nonce: reader.array()?, signature: reader.array()? },
            66 => Down::Refused(reader.refusal()?),
            67 => Down::Knock(Entry::read(&mut reader)?),
            68 => Down::Welcome(Welcome {
                secret: reader.secret()?,
                epoch: reader.u64()?,
                previous: reader.array()?,
                acts: reader.array()?,
                members: reader.list(MAX_LEAVES.into(), |reader| Some((reader.stay()?, Entry::read(reader)?)))?,
                policy: {
                    let len = usize::try_from(reader.u32()?).ok().filter(|len| *len <= MAX_POLICY)?;
                    reader.bytes(len)?.to_vec()
                },
                signature: reader.array()?,
            }),
            69 => Down::Turn(Turn {
                secret: reader.secret()?,
                epoch: reader.u64()?,
                previous: reader.array()?,
                acts: reader.list(MAX_ACTS, read_act)?,
                roster: reader.array()?,
                policy: reader.array()?,
                signature: reader.array()?,
            }),
            70 => Down::Denied { sequence: reader.u64()?, why: reader.refusal()? },
            71 => Down::Word(read_word(&mut reader)?),
            72 => Down::Beat(Beat {
                epoch: reader.u64()?,
                link: reader.array()?,
                sequence: reader.u64()?,
                age_us: reader.u64()?,
                signature: reader.array()?,
            }),
            73 => Down::Out,
            _ => return None,
        };
        reader.is_empty().then_some(down)
    }
}

pub(crate) fn encode_acts(out: &mut Vec<u8>, acts: &[Act]) {
    out.extend((acts.len() as u16).to_be_bytes());
    for act in acts {
        match act {
            Act::Wish(wish) => {
                out.push(1);
                encode_wish(out, wish);
            }
            Act::Lost(stay) => {
                out.push(2);
                out.extend(stay.bytes());
            }
            Act::Host(entry) => {
                out.push(3);
                out.extend(entry.encode());
            }
        }
    }
}

fn read_act(reader: &mut Reader<'_>) -> Option<Act> {
    match reader.u8()? {
        1 => Some(Act::Wish(read_wish(reader)?)),
        2 => Some(Act::Lost(reader.stay()?)),
        3 => Some(Act::Host(Entry::read(reader)?)),
        _ => None,
    }
}

fn encode_wish(out: &mut Vec<u8>, wish: &Wish) {
    out.extend(wish.text());
    out.extend(wish.signature);
}

fn read_wish(reader: &mut Reader<'_>) -> Option<Wish> {
    Some(Wish {
        stay: reader.stay()?,
        sequence: reader.u64()?,
        seen: reader.array()?,
        ask: read_ask(reader)?,
        signature: reader.array()?,
    })
}

fn encode_word(out: &mut Vec<u8>, word: &Word) {
    out.extend(word.stay.bytes());
    out.extend(word.epoch.to_be_bytes());
    out.extend(word.sequence.to_be_bytes());
    out.extend((word.body.len() as u32).to_be_bytes());
    out.extend_from_slice(&word.body);
    out.extend(word.signature);
}

fn read_word(reader: &mut Reader<'_>) -> Option<Word> {
    let (stay, epoch, sequence) = (reader.stay()?, reader.u64()?, reader.u64()?);
    let len = usize::try_from(reader.u32()?).ok().filter(|len| *len <= MAX_WORD)?;
    Some(Word { stay, epoch, sequence, body: reader.bytes(len)?.to_vec(), signature: reader.array()? })
}

pub(crate) fn encode_ask(out: &mut Vec<u8>, ask: &Ask) {
    let request = match ask {
        Ask::Leave => return out.push(8),
        Ask::Deny(ticket, why) => {
            out.push(9);
            out.extend(ticket);
            return out.push(*why as u8);
        }
        Ask::Do(request) => request,
    };
    match request {
        Request::Admit { key_package, .. } => {
            out.push(1);
            out.extend_from_slice(key_package);
        }
        Request::Remove { identity, kick } => {
            out.push(2);
            out.extend(identity.0);
            out.push(u8::from(*kick));
        }
        Request::Lock => out.push(3),
        Request::Unlock => out.push(4),
        Request::Role { identity, role } => {
            out.push(5);
            out.extend(identity.0);
            out.push(*role as u8);
        }
        Request::Policy { recorder_allowed, leaver_window_ms, roster_limit, meeting_policy } => {
            out.extend([6, u8::from(*recorder_allowed)]);
            out.extend(leaver_window_ms.to_be_bytes());
            out.extend(roster_limit.to_be_bytes());
            out.extend(meeting_policy);
        }
        Request::Renew => out.push(7),
    }
}

fn read_ask(reader: &mut Reader<'_>) -> Option<Ask> {
    Some(Ask::Do(match reader.u8()? {
        1 => {
            let key_package = Entry::read(reader)?.encode();
            let ticket = ticket(&key_package);
            Request::Admit { key_package, ticket }
        }
        2 => Request::Remove { identity: IdentityKey(reader.array()?), kick: reader.bool()? },
        3 => Request::Lock,
        4 => Request::Unlock,
        5 => Request::Role { identity: IdentityKey(reader.array()?), role: Role::from_number(reader.u8()?)? },
        6 => Request::Policy {
            recorder_allowed: reader.bool()?,
            leaver_window_ms: reader.u32()?,
            roster_limit: reader.u16()?,
            meeting_policy: reader.array()?,
        },
        7 => Request::Renew,
        8 => return Some(Ask::Leave),
        9 => return Some(Ask::Deny(reader.array()?, Why::from_number(reader.u8()?)?)),
        _ => return None,
    }))
}

/// Takes bytes from the front, or nothing where they are too few.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What is behind the mark of a message of at most `max` bytes.
    fn message(bytes: &'a [u8], max: usize) -> Option<Self> {
        let (mark, rest) = bytes.split_first()?;
        (*mark == MARK && bytes.len() <= max).then_some(Self(rest))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn bool(&mut self) -> Option<bool> {
        self.u8().filter(|byte| *byte < 2).map(|byte| byte == 1)
    }

    fn stay(&mut self) -> Option<Stay> {
        let leaf = self.u16().filter(|leaf| *leaf < MAX_LEAVES)?;
        Some(Stay { leaf, joined: self.u64()? })
    }

    fn refusal(&mut self) -> Option<Refusal> {
        let number = self.u8()?;
        Refusal::ALL.into_iter().find(|why| *why as u8 == number)
    }

    fn secret(&mut self) -> Option<MediaSecret> {
        MediaSecret::new(self.bytes(SECRET)?).ok()
    }

    /// A list of at most `most`; room is made as entries are read, whatever its length says.
    fn list<T>(&mut self, most: usize, entry: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::from(self.u16()?);
        if count > most {
            return None;
        }
        let mut all = vec![];
        for _ in 0..count {
            all.push(entry(self)?);
        }
        Some(all)
    }
}
