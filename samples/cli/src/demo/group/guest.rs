//! The third participant: it comes, sees the sender's camera, and goes. What it had stays with it after it has gone, so
//! that it shows whether any of that still opens anything.

use std::collections::BTreeMap;

use conclave::e2ee::{KeyId, Keyring};
use conclave::netem::Netem;
use conclave::receive::{self, Receiver};
use conclave::send::Sender;
use conclave::time::{TICK_US, Time};

use crate::demo::{Args, cast, devices, downlink, uplink};

/// The guest's end of the media.
pub struct Guest {
    receiver: Receiver,
    way: Netem,
    back: Netem,
    next_tick: Time,
    heard: Heard,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// When the first picture could be decoded.
    pub first: Option<Time>,
    /// Pictures opened, by the epoch modulo 256 whose keys they were sealed under.
    pub opened: BTreeMap<u8, u64>,
    /// Frames refused, as there is no key for them.
    pub refused: u64,
}

impl Guest {
    /// A guest over the keys of `ring`, on a path like the receiver's with losses of its own.
    pub fn new(args: &Args, ring: Keyring) -> Self {
        let config = receive::Config {
            id: 0x3001,
            video: Some((cast::VIDEO, devices::stream_kind(args))),
            data: Some(cast::DATA),
            ..receive::Config::default()
        };
        let mut paths = [uplink(args), downlink(args)];
        paths.iter_mut().for_each(|path| path.seed = path.seed.wrapping_add(0x9e37_79b9));
        let [way, back] = paths.map(Netem::new);
        Self { receiver: Receiver::new(config, Box::new(ring)), way, back, next_tick: Time(0), heard: Heard::default() }
    }

    /// Moves it on to `now` with the datagrams that went out since; what it asks for again comes to it alone.
    pub fn step(&mut self, sent: impl Iterator<Item = (Time, Box<[u8]>)>, sender: &mut Sender, now: Time) {
        sent.for_each(|(at, datagram)| self.way.push(&datagram, at));
        while let Some(packet) = self.way.pop(now) {
            self.receiver.datagram(packet.as_slice(), now);
        }
        while let Some(packet) = self.back.pop(now) {
            sender.feedback(packet.as_slice(), now, &mut |packet| self.way.push(packet.as_slice(), now));
        }
        while let Some((_, opened)) = self.receiver.video(now) {
            self.heard.first.get_or_insert(now);
            *self.heard.opened.entry(KeyId::unpack(opened.key_id).epoch).or_default() += 1;
            self.receiver.recycle(opened);
        }
        if self.next_tick <= now {
            self.next_tick = now.plus(TICK_US);
            self.receiver.tick(now, &mut |packet| self.back.push(packet.as_slice(), now));
        }
    }

    /// What came of it so far.
    pub fn heard(&self) -> Heard {
        let open = self.receiver.snapshot().open;
        Heard { refused: open.missing_key + open.waiting, ..self.heard.clone() }
    }
}
