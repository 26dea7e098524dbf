//! Relays for a [`super::Gathering`], by name: the honest one, a slow one, one that loses messages, and ten that attack.

mod dropping;
pub mod malicious;
mod slow;

pub use self::dropping::Dropping;
pub use self::malicious::{Attack, Malicious};
pub use self::slow::Slow;

use super::alarm::Alarm;
use crate::e2ee::group::Config;
use crate::enhanced::Service;
use crate::relay::{Connection, Delivery, Hub, Relay};
use crate::time::Time;

/// How a relay behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// It hands everything on at once.
    Honest,
    /// It takes its time.
    Slow,
    /// It loses messages to some.
    Dropping,
    /// It attacks.
    Malicious(Attack),
}

impl Model {
    /// Every model, the attacks last.
    pub fn all() -> impl Iterator<Item = Self> {
        [Model::Honest, Model::Slow, Model::Dropping].into_iter().chain(Attack::ALL.map(Model::Malicious))
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|model| model.name() == name)
    }

    /// Its name; an attack's begins with `malicious:`.
    pub fn name(self) -> String {
        match self {
            Model::Honest => "honest".into(),
            Model::Slow => "slow".into(),
            Model::Dropping => "dropping".into(),
            Model::Malicious(attack) => format!("malicious:{}", attack.name()),
        }
    }

    /// What it does, in a line.
    pub const fn about(self) -> &'static str {
        match self {
            Model::Honest => "hands everything on at once and in one order",
            Model::Slow => "keeps each control message for 50 to 150 ms",
            Model::Dropping => "loses one control message in fifty to every third participant",
            Model::Malicious(attack) => attack.about(),
        }
    }

    /// The relay of a meeting with this invite.
    pub fn relay(self, seed: u64, invite: &Config) -> Any {
        match self {
            Model::Honest => Any::Honest(Box::default()),
            Model::Slow => Any::Slow(Box::new(Slow::new(seed))),
            Model::Dropping => Any::Dropping(Box::new(Dropping::new(seed))),
            Model::Malicious(attack) => Any::Malicious(Box::new(Malicious::new(attack, invite.clone()))),
        }
    }
}

/// What must follow from a relay's conduct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stated {
    /// One of these is told to each victim.
    pub alarms: &'static [Alarm],
    /// Microseconds within which, from when the relay first did it to them.
    pub within_us: u64,
    /// Whether the attacked are in a meeting whose code is another than the others'.
    pub apart: bool,
    /// The same in words.
    pub says: &'static str,
}

/// One of the relays.
pub enum Any {
    /// See [`Model::Honest`].
    Honest(Box<Relay>),
    /// See [`Model::Slow`].
    Slow(Box<Slow>),
    /// See [`Model::Dropping`].
    Dropping(Box<Dropping>),
    /// See [`Model::Malicious`].
    Malicious(Box<Malicious>),
    /// No relay: the service of an enhanced meeting, which makes the keys too.
    Service(Box<Service>),
}

impl Any {
    fn hub(&mut self) -> &mut dyn Hub {
        match self {
            Any::Honest(relay) => &mut **relay,
            Any::Slow(relay) => &mut **relay,
            Any::Dropping(relay) => &mut **relay,
            Any::Malicious(relay) => &mut **relay,
            Any::Service(service) => &mut **service,
        }
    }
}

impl Hub for Any {
    fn connect(&mut self, id: Connection) {
        self.hub().connect(id);
    }

    fn disconnect(&mut self, id: Connection) {
        self.hub().disconnect(id);
    }

    fn message(&mut self, from: Connection, message: &[u8], now: Time) -> Vec<Delivery> {
        self.hub().message(from, message, now)
    }

    fn tick(&mut self, now: Time) -> Vec<Delivery> {
        self.hub().tick(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_is_found_by_its_name_and_says_what_it_does() {
        for model in Model::all() {
            assert_eq!(Model::named(&model.name()), Some(model));
            assert!(!model.about().is_empty() && !model.about().contains('\n'));
        }
        assert_eq!(Model::all().count(), 13);
        assert_eq!(Model::named("malicious"), None);
    }
}
