//! The sending side: sources and encoders on threads of their own, and one that seals and sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use conclave_codecs::EncoderInfo;

use super::inject::{VIDEO_DEPTH, border};
use super::socket::{Tally, Wire, listen};
use super::sources::{Encoding, Grabs, follow, hear, listen_in, watch};
use super::{Crew, Event, Injected, Role, StartError, Transport, Worker};
use crate::capture::live::{LiveMicrophone, LiveVideo};
use crate::capture::{Microphone, VideoInput};
use crate::control::Edge;
use crate::encode;
use crate::frame::{Encoded, Packet};
use crate::pool::Pool;
use crate::queue::{self, Awaited, Counters, Gauge, Idle, Policy, pair, wait_any};
use crate::send::{self, SendError, Sender};
use crate::stats::{Cause, Drops, Latency, StageStats};
use crate::time::{Clock, TICK_US, Time};

/// What a sending side is put together from.
pub struct Parts {
    /// The core.
    pub sender: Sender,
    /// The way to the receiver and back.
    pub transport: Transport,
    /// The clock of the session.
    pub clock: Clock,
    /// Where video comes from.
    pub video: Video,
    /// Where audio comes from.
    pub audio: Audio,
}

/// A shared screen, beside the camera and independent of it: streams of their own kinds, and so with keys of their own.
pub struct Share {
    /// Its pictures, for a stage of [`crate::frame::Kind::Screen`].
    pub video: Video,
    /// Its sound.
    pub audio: Audio,
}

/// Where video comes from.
#[allow(clippy::large_enum_variant, reason = "made and moved once a session")]
pub enum Video {
    /// Nowhere.
    Off,
    /// From a source, at the pace of its interval, through convert and encode.
    Camera(Box<dyn VideoInput>, encode::Video),
    /// From a device, at its own pace, through convert and encode.
    Device(Box<dyn LiveVideo>, encode::Video),
    /// From an encoder of the app's own ([`super::injection`]).
    Encoded(Injected),
}

/// Where audio comes from.
pub enum Audio {
    /// Nowhere.
    Off,
    /// From a source, at the pace of its packets.
    Microphone(Box<dyn Microphone>, encode::Audio),
    /// From a device, at its own pace.
    Device(Box<dyn LiveMicrophone>, encode::Audio),
    /// From an encoder of the app's own ([`super::injection`]).
    Encoded(Injected),
}

/// The counters of a sending side: each exact, together not of one instant.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Stats {
    /// The core, as of its last tick.
    pub sender: send::Stats,
    /// Time spent in each stage, refreshed once a second and at the end.
    pub latency: Latency,
    /// The video encoder and where it runs now; `None` where the app encodes by itself.
    pub encoder: Option<EncoderInfo>,
    /// The same of a shared screen.
    pub share_encoder: Option<EncoderInfo>,
    /// Border from camera to convert.
    pub camera: Counters,
    /// Border from the video encoder to the sending thread.
    pub video: Counters,
    /// Border from the audio encoder to the sending thread.
    pub audio: Counters,
    /// The same three borders of a shared screen: to convert, from its encoder, from its audio encoder.
    pub share: [Counters; 3],
    /// Border from the socket to the sending thread.
    pub feedback: Counters,
    /// Pictures that devices gave and that were lost before the first border.
    pub not_taken: u64,
    /// Pictures and packets of sound that were not encoded.
    pub not_encoded: u64,
    /// Frames that were not sealed, that did not fit or that named no stream.
    pub not_sealed: u64,
    /// Datagrams that the transport did not take.
    pub unsent: u64,
    /// Datagrams longer than any packet.
    pub oversized: u64,
    /// Events that nobody took in time.
    pub lost_events: u64,
}

impl Stats {
    /// What was lost on this side, by cause.
    pub fn drops(&self) -> Drops {
        let mut drops = Drops::default();
        let [grabs, pictures, sounds] = &self.share;
        drops.add(Cause::CaptureReplaced, self.camera.dropped() + grabs.dropped() + self.not_taken);
        drops.add(Cause::EncodeFailed, self.not_encoded);
        drops.add(Cause::SealFailed, self.not_sealed);
        drops.add(Cause::SendQueueFull, self.video.dropped() + self.audio.dropped());
        drops.add(Cause::SendQueueFull, pictures.dropped() + sounds.dropped());
        drops.add(Cause::ReceiveQueueFull, self.feedback.dropped());
        drops.add(Cause::TransportRefused, self.unsent);
        drops.add(Cause::Malformed, self.sender.malformed + self.oversized);
        drops
    }
}

/// See the module. Dropping it stops the side and waits for its threads.
pub struct Sending {
    crew: Crew,
    edge: Edge,
    board: queue::Receiver<(send::Stats, Latency)>,
    last: (send::Stats, Latency),
    /// Of a person's pictures and of a shared screen's.
    places: [Option<Place>; 2],
    gauges: Gauges,
    tally: Arc<Tally>,
    lost: Arc<Lost>,
}

impl Sending {
    /// Starts the threads.
    pub fn start(parts: Parts) -> Result<Self, StartError> {
        Self::start_sharing(parts, Share { video: Video::Off, audio: Audio::Off })
    }

    /// Starts the threads, with those of a shared screen beside.
    pub fn start_sharing(parts: Parts, share: Share) -> Result<Self, StartError> {
        let Parts { sender, transport, clock, video, audio } = parts;
        let (mut crew, edge) = (Crew::new(), sender.edge().clone());
        let (tally, lost) = (Arc::<Tally>::default(), Arc::<Lost>::default());
        let mut start = Start { crew: &mut crew, sender: &sender, clock, lost: &lost };
        let person = start.pair(video, audio, [Role::Camera, Role::Encode, Role::Microphone])?;
        let shared = start.pair(share.video, share.audio, [Role::Screen, Role::ScreenEncode, Role::ScreenSound])?;
        let (packets, feedback) = pair(Policy::Fifo(FEEDBACK_DEPTH));
        let (show, board) = pair(Policy::Latest);
        let gauges = Gauges { person: person.gauges(), share: shared.gauges(), feedback: feedback.gauge() };
        let places = [person.place, shared.place];
        let feeds = [person.audio, shared.audio, person.video, shared.video];
        let wire = Wire::new(transport.outgoing, tally.clone());
        let work = Outbound { sender, wire, feeds, feedback, board: show, clock, lost: lost.clone() };
        crew.spawn(Role::Send, move |worker| work.run(worker))?;
        let (incoming, counts) = (transport.incoming, tally.clone());
        crew.spawn(Role::Socket, move |worker| listen(worker, incoming, packets, &counts, &clock))?;
        Ok(Self { crew, edge, board, last: Default::default(), places, gauges, tally, lost })
    }

    /// Where the app puts wishes of its own: a key frame, a bitrate.
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// The same for a shared screen that is encoded here.
    pub fn share_edge(&self) -> Option<&Edge> {
        self.places[1].as_ref().map(|place| &place.edge)
    }

    /// The next event; waits for one for up to `timeout`.
    ///
    /// # Errors
    /// [`Idle::Empty`] where none came, [`Idle::Closed`] where every thread has ended.
    pub fn event(&mut self, timeout: Duration) -> Result<Event, Idle> {
        self.crew.event(timeout)
    }

    /// The counters now.
    pub fn stats(&mut self) -> Stats {
        if let Some(newest) = self.board.pop() {
            self.last = newest;
        }
        let [encoder, share_encoder] =
            self.places.each_mut().map(|place| place.as_mut().map(|place| place.now().clone()));
        let read = |gauges: &[Option<Gauge>; 3]| {
            gauges.each_ref().map(|gauge| gauge.as_ref().map_or_else(Counters::default, Gauge::read))
        };
        let [camera, video, audio] = read(&self.gauges.person);
        let (sender, latency) = self.last.clone();
        Stats {
            sender,
            latency,
            encoder,
            share_encoder,
            camera,
            video,
            audio,
            share: read(&self.gauges.share),
            feedback: self.gauges.feedback.read(),
            not_taken: self.lost.not_taken.load(Ordering::Relaxed),
            not_encoded: self.lost.not_encoded.load(Ordering::Relaxed),
            not_sealed: self.lost.not_sealed.load(Ordering::Relaxed),
            unsent: self.tally.unsent.load(Ordering::Relaxed),
            oversized: self.tally.oversized.load(Ordering::Relaxed),
            lost_events: self.crew.lost_events(),
        }
    }

    /// Stops the threads, waits for them, and returns the last counters. What waits in the queues is dropped and counted.
    pub fn stop(mut self) -> Stats {
        self.crew.stop();
        self.stats()
    }
}

/// Of the borders from source to encoder, from video encoder and from audio encoder.
struct Gauges {
    person: [Option<Gauge>; 3],
    share: [Option<Gauge>; 3],
    feedback: Gauge,
}

/// Starts the threads of a person's streams, or of those of a screen.
struct Start<'a> {
    crew: &'a mut Crew,
    sender: &'a Sender,
    clock: Clock,
    lost: &'a Arc<Lost>,
}

/// What became of two streams.
#[derive(Default)]
struct Started {
    video: Option<Injected>,
    audio: Option<Injected>,
    grabs: Option<Gauge>,
    place: Option<Place>,
}

/// An encoder that runs on a thread of this side.
struct Place {
    edge: Edge,
    info: EncoderInfo,
    /// Where it runs from some moment on.
    moves: queue::Receiver<EncoderInfo>,
}

impl Place {
    fn now(&mut self) -> &EncoderInfo {
        if let Some(info) = self.moves.pop() {
            self.info = info;
        }
        &self.info
    }
}

impl Started {
    fn gauges(&self) -> [Option<Gauge>; 3] {
        let gauge = |injected: &Option<Injected>| injected.as_ref().map(|injected| injected.frames.gauge());
        [self.grabs.clone(), gauge(&self.video), gauge(&self.audio)]
    }
}

impl Start<'_> {
    fn pair(&mut self, video: Video, audio: Audio, roles: [Role; 3]) -> Result<Started, StartError> {
        let [take, encode, hear_role] = roles;
        let mut started = Started::default();
        let clock = self.clock;
        match video {
            Video::Off => {}
            Video::Encoded(injected) => started.video = Some(injected),
            Video::Camera(input, stage) => {
                let grabs = self.encoding(stage, encode, &mut started)?;
                self.crew.spawn(take, move |worker| watch(worker, input, grabs, clock))?;
            }
            Video::Device(input, stage) => {
                let grabs = self.encoding(stage, encode, &mut started)?;
                let lost = self.lost.clone();
                self.crew.spawn(take, move |worker| follow(worker, input, grabs, &lost))?;
            }
        }
        match audio {
            Audio::Off => {}
            Audio::Encoded(injected) => started.audio = Some(injected),
            Audio::Microphone(input, stage) => {
                let (injector, injected) = border(stage.buffers(), self.sender.edge().clone(), AUDIO_DEPTH);
                let lost = self.lost.clone();
                self.crew.spawn(hear_role, move |worker| hear(worker, input, stage, injector, clock, &lost))?;
                started.audio = Some(injected);
            }
            Audio::Device(input, stage) => {
                let (injector, injected) = border(stage.buffers(), self.sender.edge().clone(), AUDIO_DEPTH);
                let lost = self.lost.clone();
                self.crew.spawn(hear_role, move |worker| listen_in(worker, input, stage, injector, &lost))?;
                started.audio = Some(injected);
            }
        }
        Ok(started)
    }

    /// Starts the thread that encodes; where its pictures are to be put.
    fn encoding(&mut self, stage: encode::Video, role: Role, started: &mut Started) -> Result<Grabs, StartError> {
        // Each stream has wishes of its own; those of one that the core does not know are nobody's.
        let edge = self.sender.edge_of(stage.stream()).unwrap_or(self.sender.edge()).clone();
        let (injector, injected) = border(stage.buffers(), edge.clone(), VIDEO_DEPTH);
        let (queue, grabs) = pair(Policy::Latest);
        let shelf = Pool::new(3, Vec::new);
        let (place, moves) = pair(Policy::Latest);
        started.grabs = Some(queue.gauge());
        started.video = Some(injected);
        started.place = Some(Place { edge, info: stage.encoder().info(), moves });
        let (clock, lost, spare) = (self.clock, self.lost.clone(), shelf.clone());
        let work = Encoding { stage, grabs, shelf: spare, injector, place, clock, lost };
        self.crew.spawn(role, move |worker| work.run(worker))?;
        Ok(Grabs::new(queue, shelf))
    }
}

/// What the threads lose between the queues.
#[derive(Default)]
pub(super) struct Lost {
    not_taken: AtomicU64,
    not_encoded: AtomicU64,
    not_sealed: AtomicU64,
}

impl Lost {
    /// So many pictures of a device were lost in front of the first border.
    pub(super) fn not_taken(&self, pictures: u64) {
        self.not_taken.fetch_add(pictures, Ordering::Relaxed);
    }

    /// A picture or a packet of sound was not encoded.
    pub(super) fn not_encoded(&self) {
        self.not_encoded.fetch_add(1, Ordering::Relaxed);
    }
}

/// The sending thread: it owns the core.
struct Outbound {
    sender: Sender,
    wire: Wire,
    /// Sound first: its packets are few and small, and a gap in it is heard.
    feeds: [Option<Injected>; 4],
    feedback: queue::Receiver<Packet>,
    board: queue::Sender<(send::Stats, Latency)>,
    clock: Clock,
    lost: Arc<Lost>,
}

impl Outbound {
    fn run(mut self, worker: &mut Worker) {
        let mut stages = StageStats::new();
        let mut latency = Latency::default();
        let (mut next_tick, mut next_latency) = (self.clock.now(), Time(0));
        while !worker.stopping() {
            // A queue's worth at most: whoever floods it keeps nothing else from going out.
            for _ in 0..FEEDBACK_DEPTH {
                let Some(packet) = self.feedback.pop() else { break };
                self.sender.feedback(packet.as_slice(), self.clock.now(), &mut |packet| self.wire.send(packet));
            }
            for place in 0..self.feeds.len() {
                let feed = self.feeds[place].take();
                self.feeds[place] = feed.and_then(|feed| self.forward(worker, feed, &mut stages));
            }
            let now = self.clock.now();
            if next_tick <= now {
                next_tick = now.plus(TICK_US);
                self.sender.tick(now, &mut |packet| self.wire.send(packet));
                if next_latency <= now {
                    next_latency = now.plus(LATENCY_US);
                    latency = stages.latency();
                }
                let _ = self.board.push((*self.sender.stats(), latency.clone()));
            }
            self.wire.tell(worker);
            self.wait(next_tick);
        }
        let _ = self.board.push((*self.sender.stats(), stages.latency()));
    }

    /// Sends what waits of one stream; its end comes back where more will follow.
    fn forward(&mut self, worker: &mut Worker, mut injected: Injected, stages: &mut StageStats) -> Option<Injected> {
        // Read first, so that a frame pushed just before the end is not left behind.
        let closed = injected.frames.is_closed();
        while let Some(frame) = injected.frames.pop() {
            let stream = frame.header.kind.is_video().then_some(frame.header.stream);
            match self.send(frame) {
                Ok(sealed) => {
                    stages.record(sealed.ledger());
                    injected.buffers.give(sealed.recycle());
                }
                Err(error) => {
                    self.lost.not_sealed.fetch_add(1, Ordering::Relaxed);
                    if let Some(edge) = stream.and_then(|stream| self.sender.edge_of(stream)) {
                        edge.request_keyframe();
                    }
                    worker.post.fail(error);
                }
            }
            if worker.stopping() {
                break;
            }
        }
        (!closed).then_some(injected)
    }

    fn send(&mut self, frame: Encoded) -> Result<crate::frame::Sealed, SendError> {
        self.sender.frame(frame, self.clock.now(), &mut |packet| self.wire.send(packet))
    }

    /// Waits for a frame or feedback, at the longest until `until`.
    fn wait(&self, until: Time) {
        let left = Duration::from_micros(until.since(self.clock.now()));
        let feeds = self.feeds.iter().flatten().map(|injected| &injected.frames as &dyn Awaited);
        let feedback = (!self.feedback.is_closed()).then_some(&self.feedback as &dyn Awaited);
        wait_any(feeds.chain(feedback), left);
    }
}

/// Packets of sound that wait to be sent: 160 ms.
const AUDIO_DEPTH: usize = 8;

/// RTCP datagrams that wait for the sending thread.
const FEEDBACK_DEPTH: usize = 64;

/// Time between two readings of the percentiles, which cost about a frame's sealing.
const LATENCY_US: u64 = 1_000_000;
