//! Which clients an end-to-end encrypted meeting takes: a table that a deployment may set for itself.
//!
//! What a client says of itself proves nothing. The table spares people a meeting that their client cannot hold; who is in
//! the meeting, its keys say.

use std::collections::BTreeMap;
use std::fmt;

/// What somebody joins with, as it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// What kind of program or machine.
    pub kind: Kind,
    /// What it runs on; nothing for a telephone.
    pub platform: Option<Platform>,
    /// Its version, such as `5.4.0`.
    pub version: String,
}

/// A word of a table, with its number in the encoding and how people call it.
macro_rules! names {
    ($(#[$doc:meta])* $kind:ident { $($(#[$of:meta])* $name:ident = $number:literal, $word:literal, $called:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
        #[repr(u8)]
        pub enum $kind {
            $($(#[$of])* #[serde(rename = $word)] $name = $number,)+
        }

        impl $kind {
            /// All there are.
            pub const ALL: &[$kind] = &[$($kind::$name),+];

            /// As a file has it.
            pub const fn word(self) -> &'static str {
                match self { $($kind::$name => $word),+ }
            }

            /// The one with this number.
            pub(super) fn from_number(number: u8) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| *one as u8 == number)
            }

            /// The one with this word.
            pub(super) fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.word() == word)
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($kind::$name => $called),+ })
            }
        }
    };
}

impl Client {
    /// What it says at the door: `u8 kind ‖ u8 platform or 0 ‖ version`.
    pub fn encode(&self) -> Vec<u8> {
        let platform = self.platform.map_or(0, |platform| platform as u8);
        [&[self.kind as u8, platform][..], self.version.as_bytes()].concat()
    }

    /// Reads what somebody says at the door; `None` where it is no client.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let ([kind, platform], version) = bytes.split_first_chunk()?;
        let platform = match platform {
            0 => None,
            number => Some(Platform::from_number(*number)?),
        };
        let version = std::str::from_utf8(version).ok().filter(|version| version.len() <= MAX_VERSION)?;
        Some(Self { kind: Kind::from_number(*kind)?, platform, version: version.to_owned() })
    }
}

/// Bytes of the longest version that is read.
const MAX_VERSION: usize = 64;

names! {
    /// A kind of client.
    Kind {
        /// A program on a computer.
        Desktop = 1, "desktop", "desktop client";
        /// A program on a telephone or a tablet.
        Mobile = 2, "mobile", "mobile client";
        /// A machine of a meeting room.
        Room = 3, "room", "room system";
        /// A page in a browser.
        Web = 4, "web", "web client";
        /// A program of somebody else, over a software development kit.
        Sdk = 5, "sdk", "third-party SDK client";
        /// A telephone line.
        Telephone = 6, "telephone", "telephone";
        /// A conference system over SIP or H.323.
        Sip = 7, "sip", "SIP or H.323 system";
        /// A meeting server of the customer's own.
        OnPremise = 8, "on-premise", "on-premise connector";
        /// Lync or Skype for Business.
        Lync = 9, "lync", "Lync or Skype client";
    }
}

names! {
    /// What a client runs on.
    Platform {
        /// Windows.
        Windows = 1, "windows", "Windows";
        /// macOS.
        MacOs = 2, "macos", "macOS";
        /// Linux.
        Linux = 3, "linux", "Linux";
        /// Android.
        Android = 4, "android", "Android";
        /// iOS.
        Ios = 5, "ios", "iOS";
        /// A computer that runs a meeting room.
        Pc = 6, "pc", "a PC";
        /// A machine made for meeting rooms.
        Appliance = 7, "appliance", "an appliance";
    }
}

impl Kind {
    /// Whether a client of this kind can keep a key at all. Of the others a gateway would, in somebody else's house, so
    /// that no table can let them in.
    pub const fn keeps_keys(self) -> bool {
        !matches!(self, Kind::Telephone | Kind::Sip | Kind::OnPremise | Kind::Lync)
    }
}

/// Three numbers, compared as numbers: 5.10.0 is after 5.4.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub [u32; 3]);

impl Version {
    /// Reads `5.4.0`: three numbers without signs, spaces or leading zeros.
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let mut number = || {
            let part = parts.next()?;
            let plain = part.bytes().all(|byte| byte.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
            part.parse().ok().filter(|_| plain)
        };
        let version = [number()?, number()?, number()?];
        parts.next().is_none().then_some(Self(version))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Version([major, minor, patch]) = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// Which clients are let in, from which version, and why the others are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clients {
    pub(super) admit: BTreeMap<(Kind, Platform), Version>,
    pub(super) refuse: BTreeMap<Kind, String>,
}

/// Why a client is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Nothing of this kind is.
    #[error("a {kind} cannot join an end-to-end encrypted meeting: {why}")]
    Kind {
        /// Which kind.
        kind: Kind,
        /// The reason, from the table.
        why: String,
    },
    /// Others of its kind are.
    #[error("a {kind} can join an end-to-end encrypted meeting on {on} only; join from one of these")]
    Platform {
        /// Which kind.
        kind: Kind,
        /// Where such clients are let in.
        on: String,
    },
    /// It is too old.
    #[error("version {version} of the {kind} is older than {least}, the first that may join; update it")]
    Old {
        /// Which kind.
        kind: Kind,
        /// What it has.
        version: Version,
        /// What it needs.
        least: Version,
    },
    /// What it says is no version.
    #[error("{said:?} is no version of a {kind}; expected three numbers such as 5.4.0")]
    Version {
        /// Which kind.
        kind: Kind,
        /// What it said, its beginning.
        said: String,
    },
}

impl Clients {
    /// The table of the seed document.
    pub fn standard() -> Self {
        use Kind::{Desktop, Mobile, Room};
        use Platform::{Android, Appliance, Ios, Linux, MacOs, Pc, Windows};
        let (client, room) = (Version([5, 4, 0]), Version([5, 2, 2]));
        let admit = [(Desktop, Windows), (Desktop, MacOs), (Desktop, Linux), (Mobile, Android), (Mobile, Ios)];
        let admit = admit.map(|row| (row, client)).into_iter();
        let rooms = [(Room, Pc), (Room, MacOs), (Room, Appliance)].map(|row| (row, room));
        let refuse = REFUSED.map(|(kind, why)| (kind, why.to_owned()));
        Self { admit: admit.chain(rooms).collect(), refuse: refuse.into() }
    }

    /// Whether `client` is let in.
    ///
    /// # Errors
    /// [`Unfit`], with the reason.
    pub fn admit(&self, client: &Client) -> Result<(), Unfit> {
        let kind = client.kind;
        let rows = || self.admit.iter().filter(move |((of, _), _)| *of == kind);
        if rows().next().is_none() || !kind.keeps_keys() {
            let why = self.refuse.get(&kind).map_or(UNLISTED, String::as_str).to_owned();
            return Err(Unfit::Kind { kind, why });
        }
        let Some((_, least)) = rows().find(|((_, platform), _)| Some(*platform) == client.platform) else {
            let on: Vec<_> = rows().map(|((_, platform), _)| platform.to_string()).collect();
            return Err(Unfit::Platform { kind, on: on.join(", ") });
        };
        match Version::read(&client.version) {
            None => Err(Unfit::Version { kind, said: client.version.chars().take(40).collect() }),
            Some(version) if version < *least => Err(Unfit::Old { kind, version, least: *least }),
            Some(_) => Ok(()),
        }
    }

    /// Who is let in, and from which version.
    pub fn admitted(&self) -> impl Iterator<Item = (Kind, Platform, Version)> + '_ {
        self.admit.iter().map(|((kind, platform), version)| (*kind, *platform, *version))
    }

    /// Which kinds are not, and why.
    pub fn refused(&self) -> impl Iterator<Item = (Kind, &str)> + '_ {
        Kind::ALL.iter().filter(|kind| !self.admit.keys().any(|(of, _)| of == *kind)).map(|kind| {
            let why = self.refuse.get(kind).map_or(UNLISTED, String::as_str);
            (*kind, why)
        })
    }
}

const UNLISTED: &str = "no row of the client table lets one in";

const REFUSED: [(Kind, &str); 6] = [
    (Kind::Web, "the page and its code come from the service anew each time, and could be told to give the keys away"),
    (Kind::Sdk, "nobody has vouched for what it does with the keys"),
    (Kind::Telephone, "a telephone line carries sound in the clear, and has no device that could keep a key"),
    (Kind::Sip, "it speaks through a gateway, which would have to hold the keys"),
    (Kind::OnPremise, "it mixes the meeting on a server, which would have to hold the keys"),
    (Kind::Lync, "it speaks through a gateway to another service, which would have to hold the keys"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let read = |text| Version::read(text).unwrap();
        assert!(read("5.10.0") > read("5.4.0") && read("5.4.10") > read("5.4.9") && read("10.0.0") > read("9.99.99"));
        for wrong in
            ["", "5", "5.4", "5.4.0.1", "5.4.", ".4.0", "5..0", "05.4.0", "5.4.0-beta", "+5.4.0", "5. 4.0", "v5.4.0"]
        {
            assert_eq!(Version::read(wrong), None, "{wrong}");
        }
        assert_eq!(Version::read("5.4.4294967296"), None);
        assert_eq!(read("0.10.4294967295").to_string(), "0.10.4294967295");
    }
}
