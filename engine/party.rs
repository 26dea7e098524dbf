//! One participant's device, sans-IO: its place in the group, a sender for what it says, a receiver for each of the
//! others, and its end of the meeting's data.
//!
//! ```text
//! control ─► Plane ─► epoch ─┬─► keys ─► Sender ─► datagrams
//!    ▲         │             ├─► keys ─► Receiver of each member ◄─ datagrams
//!    └─────────┘             └─► members ─► data Channel
//! ```
//!
//! The control plane is a group, or a member of an enhanced meeting: [`Plane`]. A party is told the time, the messages that
//! the relay or the service delivers (reliable, in one order for all) and the datagrams of the others, and gives what it has
//! to say to an [`Out`]. Encoded frames go in through [`Party::frame`]; what was opened is taken from [`Party::receiver`].
//! Streams need no signalling: their ids follow from who sends them ([`stream_id`]).

mod plane;

use std::collections::{BTreeMap, VecDeque};

use crate::control::Edge;
use crate::data::{self, Channel, Peer};
use crate::e2ee::group::wire::Ticket;
use crate::e2ee::group::{self, Device, Group, GroupError, Joining, Output, Request, Switch};
use crate::e2ee::ring::OVERLAP_US;
use crate::e2ee::{Context, EpochInput, Keeper, KeySource, Keyring, Roster, keyring, proof};
use crate::enhanced::{self, EnhancedError, Knocking};
use crate::frame::{Buffer, Encoded, Kind, Packet, Sealed};
use crate::pool::Pool;
use crate::receive::{self, Receiver};
use crate::rtp::header::{Rtp, is_rtcp};
use crate::send::{self, SendError, Sender, Stream};
use crate::time::{Stopwatch, Time};

use self::plane::{Door, Entered};
pub use self::plane::{Facts, Keys, Plane};

/// What a party is opened with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The group, or the enhanced meeting, as the invite has it.
    pub group: group::Config,
    /// What it sends, beside data; of a kind with several encodings one.
    pub sends: Vec<Kind>,
    /// What it hears of the others, beside data.
    pub hears: Vec<Kind>,
    /// When frames are believed to come from whom they say.
    pub proofs: proof::Policy,
    /// Largest datagram in bytes.
    pub mtu: usize,
    /// Stamps from a running or a still watch.
    pub watch: Stopwatch,
    /// What it says of itself when it knocks, beside its name; empty: nothing.
    pub card: Vec<u8>,
}

impl Config {
    /// A party that sends and hears microphone and camera.
    pub fn new(group: group::Config) -> Self {
        Self {
            group,
            sends: vec![Kind::Microphone, Kind::Camera],
            hears: vec![Kind::Microphone, Kind::Camera],
            proofs: proof::Policy::default(),
            mtu: 1200,
            watch: Stopwatch::still(),
            card: Vec::new(),
        }
    }
}

/// Where a party's words go.
pub trait Out {
    /// A message to the relay, which comes to the others in one order.
    fn control(&mut self, message: Vec<u8>);
    /// A datagram to everybody, or for RTCP to the sender of the stream that it names.
    fn datagram(&mut self, packet: &Packet);
}

/// What a party tells its app.
#[derive(Debug)]
pub enum Event {
    /// The group has a new epoch.
    Epoch {
        /// Its number.
        epoch: u64,
        /// Who is in it.
        roster: Roster,
        /// The group's policy as it stands in its transcript.
        policy: Vec<u8>,
        /// What only members of this epoch can say: security codes are taken over it.
        authenticator: Vec<u8>,
    },
    /// A word of the group.
    Group(group::Event),
    /// The service of an enhanced meeting did what it must not.
    Alarm(enhanced::Alarm),
    /// A message of a member, or that one is missing.
    Data(data::Event),
    /// Frames of a member could not be opened.
    Open(Peer, crate::e2ee::Event),
    /// Frames of a member were not, or again are, proven to be its own.
    Proof(Peer, proof::Event),
}

/// Why a party could not begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartyError {
    /// The group.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The sender.
    #[error(transparent)]
    Send(#[from] SendError),
    /// What is to be said does not fit.
    #[error(transparent)]
    Data(#[from] data::Refused),
    /// Keys of an epoch.
    #[error(transparent)]
    Key(#[from] crate::e2ee::KeyError),
    /// The service of an enhanced meeting.
    #[error(transparent)]
    Enhanced(#[from] EnhancedError),
    /// This is asked of a group, and the meeting has none.
    #[error("the keys of this meeting come from a service: it has no group")]
    NoGroup,
    /// Nobody has let it in yet, or it has left.
    #[error("this participant is not in the meeting: wait for the welcome, or join again")]
    Outside,
}

/// The id of a stream: leaf, the epoch in which its owner came, key context. No two streams of a meeting share one while
/// both are heard.
pub fn stream_id(owner: Peer, context: Context) -> u32 {
    u32::from(owner.leaf) << 22 | (owner.joined as u32 & 0x7_ffff) << 3 | u32::from(context.number())
}

/// How long a sender stays in the old epoch where nobody was put out, in microseconds: by then the new one is with
/// nearly everybody, and with 250 ms for the commit and a second on the way it is within the two seconds of the design.
pub const SWITCH_US: u64 = 250_000;

/// Somebody counts as silent after so many microseconds without a datagram: all that is asked for again or waits for a
/// key or a proof is over by then.
const ACTIVE_US: u64 = 1_000_000;

/// Microseconds between two looks at somebody who is silent: keys are moved on that much late at most.
const QUIET_US: u64 = 500_000;

/// Data waits in so many buffers at most.
const BUFFERS: usize = 32;

/// See the module.
pub struct Party {
    device: Device,
    config: Config,
    stage: Stage,
    events: VecDeque<Event>,
}

#[allow(clippy::large_enum_variant, reason = "made and moved once a meeting")]
enum Stage {
    Outside(Door),
    Inside(Inside),
    Gone,
}

struct Inside {
    plane: Plane,
    media: Option<Media>,
    remotes: BTreeMap<Peer, Remote>,
    /// The members of an epoch, told to the data channel once frames are sealed under its keys.
    members: Option<(Vec<Peer>, Time)>,
    /// Nothing is sealed any more before the next epoch.
    stopped: bool,
}

/// What there is once the first epoch is known.
struct Media {
    own: Peer,
    keeper: Keeper,
    sender: Sender,
    channel: Channel,
    buffers: Pool<Buffer>,
}

struct Remote {
    keeper: Keeper,
    /// A receiver takes memory, so a member that has said nothing has none; its keys move on all the same.
    idle: Option<Keyring>,
    receiver: Option<Box<Receiver>>,
    /// It is no longer in the roster; its last frames are opened until then.
    until: Option<Time>,
    /// When something of it last came.
    heard: Option<Time>,
    /// When it is looked after next, where nothing comes.
    next: Time,
}

impl Party {
    /// Founds the meeting, as its host.
    ///
    /// # Errors
    /// [`PartyError`].
    pub fn found(device: &Device, config: Config, now: Time, out: &mut dyn Out) -> Result<Self, PartyError> {
        let group = Group::create(device, config.group.clone(), now)?;
        let mut party = Self { device: device.share(), config, stage: Stage::Gone, events: VecDeque::new() };
        party.enter(Plane::Group(Box::new(group)), now, out)?;
        Ok(party)
    }

    /// Knocks: the first control message goes to the relay, and whoever rules lets it in.
    ///
    /// # Errors
    /// [`PartyError`].
    pub fn knock(device: &Device, config: Config, out: &mut dyn Out) -> Result<Self, PartyError> {
        let (joining, knock) = Joining::with_card(device, config.group.clone(), &config.card)?;
        out.control(knock);
        let stage = Stage::Outside(Door::Group(Box::new(joining)));
        Ok(Self { device: device.share(), config, stage, events: VecDeque::new() })
    }

    /// Knocks at an enhanced meeting: the first control message goes to the service that signs with `service`, over a
    /// channel that the app keeps encrypted. Its host comes in by itself, others once they are admitted.
    ///
    /// # Errors
    /// [`PartyError`] where `config` is not an enhanced meeting's.
    pub fn enhanced(device: &Device, config: Config, service: [u8; 32], out: &mut dyn Out) -> Result<Self, PartyError> {
        let (knocking, knock) = Knocking::new(device, enhanced::Config { meeting: config.group.clone(), service })?;
        out.control(knock);
        let stage = Stage::Outside(Door::Service(Box::new(knocking)));
        Ok(Self { device: device.share(), config, stage, events: VecDeque::new() })
    }

    /// Takes a message that the relay delivered.
    ///
    /// # Errors
    /// [`PartyError`] where it is no message of this meeting; nothing has changed then.
    pub fn control(&mut self, message: &[u8], now: Time, out: &mut dyn Out) -> Result<(), PartyError> {
        match &mut self.stage {
            Stage::Outside(door) => match door.handle(message, now)? {
                Entered::Not => Ok(()),
                Entered::Say(message) => {
                    out.control(message);
                    Ok(())
                }
                Entered::In(plane) => self.enter(plane, now, out),
            },
            Stage::Inside(inside) => {
                inside.plane.handle(message, now)?;
                self.follow(now, out)
            }
            Stage::Gone => Ok(()),
        }
    }

    /// Takes a datagram of another participant, or RTCP that others wrote about this one's streams.
    pub fn datagram(&mut self, datagram: &[u8], now: Time, out: &mut dyn Out) {
        let Stage::Inside(inside) = &mut self.stage else { return };
        if is_rtcp(datagram) {
            return inside.rtcp(datagram, now, out);
        }
        let Ok(rtp) = Rtp::parse(datagram) else { return };
        let Some(own) = inside.media.as_ref().map(|media| media.own) else { return };
        let owner = inside.remotes.iter_mut().find(|(peer, _)| owns(**peer, rtp.ssrc));
        if let Some((peer, remote)) = owner {
            remote.heard = Some(now);
            remote.open(*peer, own, &self.config).datagram(datagram, now);
        }
    }

    /// Seals a frame of this participant and gives its datagrams to `out`. Whatever stream its header names, it goes out
    /// on this participant's own of its kind.
    ///
    /// # Errors
    /// [`PartyError::Outside`], and [`SendError`] where there is no key or the frame does not fit.
    pub fn frame(&mut self, mut frame: Encoded, now: Time, out: &mut dyn Out) -> Result<Sealed, PartyError> {
        let media = self.inside_mut()?.media.as_mut().ok_or(PartyError::Outside)?;
        frame.header.stream = stream_id(media.own, Context::of(frame.header.kind));
        Ok(media.sender.frame(frame, now, &mut |packet| out.datagram(packet))?)
    }

    /// Moves everything on: what the group, the sender, the receivers and the data have to say goes to `out`.
    ///
    /// # Errors
    /// [`PartyError`] where an epoch gives no keys; nothing more is sealed then.
    pub fn tick(&mut self, now: Time, out: &mut dyn Out) -> Result<(), PartyError> {
        let Stage::Inside(inside) = &mut self.stage else { return Ok(()) };
        inside.plane.tick(now);
        inside.media(now, out, &mut self.events);
        self.follow(now, out)
    }

    /// Leaves: the others are told, and this participant goes once they have let it, or are silent.
    pub fn leave(&mut self, now: Time) {
        if let Stage::Inside(inside) = &mut self.stage {
            inside.plane.leave(now);
        }
    }

    /// Goes at once, without a word: every key is erased, and nothing that comes is taken any more.
    pub fn close(&mut self) {
        self.stage = Stage::Gone;
    }

    /// What a Welcome for this participant names, while it knocks.
    pub fn ticket(&self) -> Option<Ticket> {
        match &self.stage {
            Stage::Outside(Door::Group(joining)) => Some(joining.ticket()),
            _ => None,
        }
    }

    /// What a participant's latest messages say of it, this one's included.
    pub fn state(&self, peer: Peer) -> Option<data::State> {
        self.inside()?.media.as_ref()?.channel.state(peer)
    }

    /// The newest epoch that each of the others has proven to seal under, and when its last proof came; of those who were
    /// heard and are still in.
    pub fn proven(&self) -> impl Iterator<Item = (Peer, u64, Time)> {
        let remotes = self.inside().into_iter().flat_map(|inside| &inside.remotes);
        let there = remotes.filter(|(_, remote)| remote.until.is_none());
        there.filter_map(|(peer, remote)| {
            let (epoch, at) = remote.receiver.as_ref()?.proven()?;
            Some((*peer, epoch, at))
        })
    }

    /// Says something to everybody, sealed, reliably and in order.
    ///
    /// # Errors
    /// [`PartyError::Outside`], [`PartyError::Data`].
    pub fn say(&mut self, topic: data::Topic, bytes: &[u8]) -> Result<u64, PartyError> {
        let media = self.inside_mut()?.media.as_mut().ok_or(PartyError::Outside)?;
        Ok(media.channel.send(topic, bytes)?)
    }

    /// What happened, in order; to be called until `None` after every call that moved something.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Who this participant is in the meeting; nobody before it is let in.
    pub fn own(&self) -> Option<Peer> {
        self.inside()?.media.as_ref().map(|media| media.own)
    }

    /// The group, to be asked what a host decides.
    ///
    /// # Errors
    /// [`PartyError::Outside`], [`PartyError::NoGroup`].
    pub fn group(&mut self) -> Result<&mut Group, PartyError> {
        match self.plane()? {
            Plane::Group(group) => Ok(group),
            Plane::Service(_) => Err(PartyError::NoGroup),
        }
    }

    /// The control plane, whichever it is, to be asked what a host decides.
    ///
    /// # Errors
    /// [`PartyError::Outside`].
    pub fn plane(&mut self) -> Result<&mut Plane, PartyError> {
        Ok(&mut self.inside_mut()?.plane)
    }

    /// What runs now: where the keys come from, and what kind of meeting the epoch in force says it is.
    pub fn facts(&self) -> Facts {
        let keys = match &self.stage {
            Stage::Outside(door) => Some(door.keys()),
            Stage::Inside(inside) => Some(inside.plane.keys()),
            Stage::Gone => None,
        };
        let sealing = self.inside().and_then(|inside| inside.media.as_ref()?.sender.epoch());
        Facts::of(keys, sealing.map(|epoch| &**epoch))
    }

    /// Who is in the meeting, by the tree of the group or by what its members signed.
    pub fn roster(&self) -> Option<&Roster> {
        Some(self.inside()?.plane.roster())
    }

    /// Number of the control plane's epoch.
    pub fn epoch(&self) -> Option<u64> {
        Some(self.inside()?.plane.epoch())
    }

    /// The epoch that frames are sealed under; none while nothing may be sealed.
    pub fn sealing(&self) -> Option<u64> {
        self.inside()?.media.as_ref()?.sender.epoch().map(|epoch| epoch.number)
    }

    /// Where the wishes of the others for the encoder land.
    pub fn edge(&self) -> Option<&Edge> {
        Some(self.inside()?.media.as_ref()?.sender.edge())
    }

    /// The sender and its counters.
    pub fn sender(&self) -> Option<&Sender> {
        Some(&self.inside()?.media.as_ref()?.sender)
    }

    /// Those who were heard, each with its receiver.
    pub fn heard(&mut self) -> impl Iterator<Item = (Peer, &mut Receiver)> {
        let inside = match &mut self.stage {
            Stage::Inside(inside) => Some(inside),
            _ => None,
        };
        let remotes = inside.into_iter().flat_map(|inside| &mut inside.remotes);
        remotes.filter_map(|(peer, remote)| Some((*peer, &mut **remote.receiver.as_mut()?)))
    }

    fn inside(&self) -> Option<&Inside> {
        match &self.stage {
            Stage::Inside(inside) => Some(inside),
            _ => None,
        }
    }

    fn inside_mut(&mut self) -> Result<&mut Inside, PartyError> {
        match &mut self.stage {
            Stage::Inside(inside) => Ok(inside),
            _ => Err(PartyError::Outside),
        }
    }

    fn enter(&mut self, plane: Plane, now: Time, out: &mut dyn Out) -> Result<(), PartyError> {
        self.stage =
            Stage::Inside(Inside { plane, media: None, remotes: BTreeMap::new(), members: None, stopped: false });
        self.follow(now, out)
    }

    /// Takes what the group gives: words for the relay, epochs, events.
    fn follow(&mut self, now: Time, out: &mut dyn Out) -> Result<(), PartyError> {
        let Stage::Inside(inside) = &mut self.stage else { return Ok(()) };
        let mut left = false;
        while let Some(output) = inside.plane.poll() {
            let output = match output {
                enhanced::Output::Group(output) => output,
                enhanced::Output::Alarm(alarm) => {
                    self.events.push_back(Event::Alarm(alarm));
                    continue;
                }
            };
            match output {
                Output::Send(message) => out.control(message),
                Output::Epoch(input, switch) => {
                    let event = Event::Epoch {
                        epoch: input.epoch,
                        roster: input.roster.clone(),
                        policy: input.policy.clone(),
                        authenticator: input.authenticator.clone(),
                    };
                    let turned = inside.turn(*input, switch, (&self.device, &self.config), now);
                    turned.inspect_err(|_| inside.stop())?;
                    self.events.push_back(event);
                }
                Output::Event(event) => {
                    inside.heed(&event, now);
                    left |= matches!(event, group::Event::Left(_));
                    self.events.push_back(Event::Group(event));
                }
            }
        }
        if left {
            // Every key goes with it.
            self.stage = Stage::Gone;
        }
        Ok(())
    }
}

impl Inside {
    /// A new epoch: its keys go where they are used.
    fn turn(
        &mut self,
        input: EpochInput,
        switch: Switch,
        (device, config): (&Device, &Config),
        now: Time,
    ) -> Result<(), PartyError> {
        let (send, mut open) = input.derive()?;
        let epoch = send.epoch().clone();
        let peer = |leaf| epoch.roster.get(leaf).map(|member| Peer { leaf, joined: member.joined });
        let own = peer(epoch.own).ok_or(PartyError::Outside)?;
        let at = match (&self.media, switch) {
            (Some(_), Switch::Soon) => now.plus(SWITCH_US),
            _ => now,
        };
        let first = self.media.is_none();
        if first {
            self.media = Some(Media::new(own, device, config)?);
        }
        let Some(media) = &mut self.media else { return Err(PartyError::Outside) };
        media.keeper.send(send, at);
        self.stopped = false;

        let others: Vec<Peer> = epoch.roster.iter().filter_map(|m| peer(m.leaf)).filter(|peer| *peer != own).collect();
        for (peer, remote) in &mut self.remotes {
            if others.binary_search(peer).is_err() && remote.until.is_none() {
                remote.until = Some(now.plus(OVERLAP_US));
            }
        }
        for peer in &others {
            if let Some(keys) = open.take(peer.leaf) {
                self.remotes.entry(*peer).or_insert_with(Remote::new).keeper.open(keys);
            }
        }
        if first {
            // At once, so that what is said now has those whom it is for.
            media.channel.members(others.into_iter().chain([own]), now);
        } else {
            self.members = Some((others, at));
        }
        Ok(())
    }

    /// The epoch that frames are sealed in is over and there are no keys of the next: somebody who was put out would
    /// still open what is said.
    fn stop(&self) {
        if let Some(media) = &self.media {
            media.keeper.stop();
        }
    }

    /// What this participant does by itself where something happens in the group.
    fn heed(&mut self, event: &group::Event, now: Time) {
        let Some(media) = &mut self.media else { return };
        match event {
            group::Event::Began { epoch, began } => {
                let keepers = self.remotes.values().map(|remote| &remote.keeper).chain([&media.keeper]);
                keepers.for_each(|keeper| keeper.began(*epoch, *began));
            }
            group::Event::StopSealing => {
                self.stopped = true;
                media.keeper.stop();
            }
            // What was sealed with is gone: only a new epoch lets this participant speak again.
            group::Event::Alive if std::mem::take(&mut self.stopped) || media.sender.epoch().is_none() => {
                let _ = self.plane.ask(Request::Renew, now);
            }
            _ => {}
        }
    }

    fn rtcp(&mut self, datagram: &[u8], now: Time, out: &mut dyn Out) {
        // The stream that it is of, or whose receiver wrote it (RFC 3550 §6.4): one member's in any case.
        let from = datagram.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        let author = self.remotes.iter_mut().find(|(peer, _)| from.is_some_and(|stream| owns(**peer, stream)));
        if let Some(receiver) = author.and_then(|(_, remote)| remote.receiver.as_mut()) {
            receiver.datagram(datagram, now);
        }
        if let Some(media) = &mut self.media {
            media.sender.feedback(datagram, now, &mut |packet| out.datagram(packet));
        }
    }

    fn media(&mut self, now: Time, out: &mut dyn Out, events: &mut VecDeque<Event>) {
        let Some(media) = &mut self.media else { return };
        media.sender.tick(now, &mut |packet| out.datagram(packet));
        self.remotes.retain(|_, remote| remote.until.is_none_or(|until| now < until));
        for (peer, remote) in &mut self.remotes {
            if !remote.is_due(now) {
                continue;
            }
            if let Some(keys) = &mut remote.idle {
                keys.turn(now);
            }
            let Some(receiver) = &mut remote.receiver else { continue };
            receiver.tick(now, &mut |packet| out.datagram(packet));
            while let Some(opened) = receiver.data(now) {
                // A frame that says nothing or comes from a stranger is counted by the channel.
                let _ = media.channel.frame(*peer, opened.payload.as_slice());
                receiver.recycle(opened);
            }
            events.extend(std::iter::from_fn(|| receiver.event()).map(|event| Event::Open(*peer, event)));
            events.extend(std::iter::from_fn(|| receiver.proof_event()).map(|event| Event::Proof(*peer, event)));
        }
        if let Some((members, _)) = self.members.take_if(|(_, at)| *at <= now) {
            media.channel.members(members.into_iter().chain([media.own]), now);
        }
        let Media { sender, channel, buffers, .. } = media;
        // Without a key nothing goes out, and nobody is given up for that.
        if sender.epoch().is_some() {
            channel.poll(now, buffers, &mut |frame| {
                if let Ok(sealed) = sender.frame(frame, now, &mut |packet| out.datagram(packet)) {
                    buffers.give(sealed.recycle());
                }
            });
        }
        events.extend(std::iter::from_fn(|| channel.event()).map(Event::Data));
    }
}

impl Media {
    fn new(own: Peer, device: &Device, config: &Config) -> Result<Self, PartyError> {
        let (keeper, ring) = keyring();
        let stream = |kind: Kind| {
            let payload_type = if kind.is_audio() {
                111
            } else if kind == Kind::Data {
                109
            } else {
                96
            };
            Stream { id: stream_id(own, Context::of(kind)), kind, payload_type }
        };
        let streams = config.sends.iter().copied().filter(|kind| *kind != Kind::Data).chain([Kind::Data]);
        let settings = send::Config { streams: streams.map(stream).collect(), mtu: config.mtu, watch: config.watch };
        let mut sender = Sender::new(settings, Box::new(ring))?;
        sender.prove(device.media(), config.proofs)?;
        let channel = Channel::new(stream_id(own, Context::of(Kind::Data)), own);
        Ok(Self { own, keeper, sender, channel, buffers: Pool::new(BUFFERS, || Buffer::with_capacity(1500)) })
    }
}

impl Remote {
    fn new() -> Self {
        let (keeper, ring) = keyring();
        Self { keeper, idle: Some(ring), receiver: None, until: None, heard: None, next: Time(0) }
    }

    /// Whether it is to be looked after now: whoever is silent needs it seldom, and in a large meeting most are.
    fn is_due(&mut self, now: Time) -> bool {
        let active = self.heard.is_some_and(|heard| now.since(heard) < ACTIVE_US);
        if !active && now < self.next {
            return false;
        }
        self.next = now.plus(QUIET_US);
        true
    }

    /// The receiver, made at the first datagram.
    fn open(&mut self, peer: Peer, own: Peer, config: &Config) -> &mut Receiver {
        let Self { idle, receiver, .. } = self;
        receiver.get_or_insert_with(|| {
            let ring = idle.take().unwrap_or_else(|| keyring().1);
            let id = |kind| stream_id(peer, Context::of(kind));
            let hears = |kind| config.hears.contains(&kind);
            let settings = receive::Config {
                id: stream_id(own, Context::of(Kind::Data)),
                video: hears(Kind::Camera).then(|| (id(Kind::Camera), Kind::Camera)),
                audio: hears(Kind::Microphone).then(|| (id(Kind::Microphone), Kind::Microphone)),
                screen: hears(Kind::Screen).then(|| id(Kind::Screen)),
                screen_audio: hears(Kind::ScreenAudio).then(|| id(Kind::ScreenAudio)),
                data: Some(id(Kind::Data)),
                proofs: Some(config.proofs),
                watch: config.watch,
                ..receive::Config::default()
            };
            Box::new(Receiver::new(settings, Box::new(ring)))
        })
    }
}

/// Whether `stream` is one of `owner`'s.
fn owns(owner: Peer, stream: u32) -> bool {
    stream >> 3 == stream_id(owner, Context::of(Kind::Microphone)) >> 3
}
