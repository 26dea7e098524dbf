//! The sending side: sources and encoders on threads of their own, and one that seals and sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use conclave_codecs::{Color, EncoderInfo, Size};

use super::inject::{VIDEO_DEPTH, border};
use super::socket::{Tally, Wire, listen};
use super::{Crew, Event, Injected, Injector, Pace, Pushed, Role, StartError, Transport, Worker};
use crate::capture::{Microphone, VideoInput};
use crate::control::Edge;
use crate::encode::{self, EncodeError};
use crate::frame::{Encoded, Packet};
use crate::gpu::{Format, Source};
use crate::pool::Pool;
use crate::queue::{self, Awaited, Counters, Gauge, Idle, Policy, Push, pair, wait_any};
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

/// Where video comes from.
#[allow(clippy::large_enum_variant, reason = "made and moved once a session")]
pub enum Video {
    /// Nowhere.
    Off,
    /// From a source, at the pace of its interval, through convert and encode.
    Camera(Box<dyn VideoInput>, encode::Video),
    /// From an encoder of the app's own ([`super::injection`]).
    Encoded(Injected),
}

/// Where audio comes from.
pub enum Audio {
    /// Nowhere.
    Off,
    /// From a source, at the pace of its packets.
    Microphone(Box<dyn Microphone>, encode::Audio),
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
    /// Border from camera to convert.
    pub camera: Counters,
    /// Border from the video encoder to the sending thread.
    pub video: Counters,
    /// Border from the audio encoder to the sending thread.
    pub audio: Counters,
    /// Border from the socket to the sending thread.
    pub feedback: Counters,
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
        drops.add(Cause::CaptureReplaced, self.camera.dropped());
        drops.add(Cause::EncodeFailed, self.not_encoded);
        drops.add(Cause::SealFailed, self.not_sealed);
        drops.add(Cause::SendQueueFull, self.video.dropped() + self.audio.dropped());
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
    encoder: Option<EncoderInfo>,
    /// Where it runs from some moment on.
    moves: Option<queue::Receiver<EncoderInfo>>,
    gauges: Gauges,
    tally: Arc<Tally>,
    lost: Arc<Lost>,
}

impl Sending {
    /// Starts the threads.
    pub fn start(parts: Parts) -> Result<Self, StartError> {
        let Parts { sender, transport, clock, video, audio } = parts;
        let (mut crew, edge) = (Crew::new(), sender.edge().clone());
        let (tally, lost) = (Arc::<Tally>::default(), Arc::<Lost>::default());
        let mut gauges = Gauges::default();
        let (mut encoder, mut moves) = (None, None);
        let video = match video {
            Video::Off => None,
            Video::Camera(input, stage) => {
                let (injector, injected) = border(stage.buffers(), edge.clone(), VIDEO_DEPTH);
                let (grabs, grabbed) = pair(Policy::Latest);
                gauges.camera = Some(grabs.gauge());
                let shelf = Pool::new(3, Vec::new);
                let (spare, counts) = (shelf.clone(), lost.clone());
                let (place, places) = pair(Policy::Latest);
                (encoder, moves) = (Some(stage.encoder().info()), Some(places));
                crew.spawn(Role::Encode, move |worker| {
                    encode(worker, stage, (grabbed, spare), (injector, place), clock, &counts)
                })?;
                crew.spawn(Role::Camera, move |worker| watch(worker, input, grabs, shelf, clock))?;
                Some(injected)
            }
            Video::Encoded(injected) => Some(injected),
        };
        let audio = match audio {
            Audio::Off => None,
            Audio::Microphone(input, stage) => {
                let (injector, injected) = border(stage.buffers(), edge.clone(), AUDIO_DEPTH);
                let counts = lost.clone();
                crew.spawn(Role::Microphone, move |worker| hear(worker, input, stage, injector, clock, &counts))?;
                Some(injected)
            }
            Audio::Encoded(injected) => Some(injected),
        };
        let (packets, feedback) = pair(Policy::Fifo(FEEDBACK_DEPTH));
        let (show, board) = pair(Policy::Latest);
        gauges.video = video.as_ref().map(|injected| injected.frames.gauge());
        gauges.audio = audio.as_ref().map(|injected| injected.frames.gauge());
        gauges.feedback = Some(feedback.gauge());
        let wire = Wire::new(transport.outgoing, tally.clone());
        let work = Outbound { sender, wire, video, audio, feedback, board: show, clock, lost: lost.clone() };
        crew.spawn(Role::Send, move |worker| work.run(worker))?;
        let (incoming, counts) = (transport.incoming, tally.clone());
        crew.spawn(Role::Socket, move |worker| listen(worker, incoming, packets, &counts, &clock))?;
        Ok(Self { crew, edge, board, last: Default::default(), encoder, moves, gauges, tally, lost })
    }

    /// Where the app puts wishes of its own: a key frame, a bitrate.
    pub fn edge(&self) -> &Edge {
        &self.edge
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
        if let Some(now) = self.moves.as_mut().and_then(queue::Receiver::pop) {
            self.encoder = Some(now);
        }
        let read = |gauge: &Option<Gauge>| gauge.as_ref().map_or_else(Counters::default, Gauge::read);
        let (sender, latency) = self.last.clone();
        Stats {
            sender,
            latency,
            encoder: self.encoder.clone(),
            camera: read(&self.gauges.camera),
            video: read(&self.gauges.video),
            audio: read(&self.gauges.audio),
            feedback: read(&self.gauges.feedback),
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

#[derive(Default)]
struct Gauges {
    camera: Option<Gauge>,
    video: Option<Gauge>,
    audio: Option<Gauge>,
    feedback: Option<Gauge>,
}

/// What the threads lose between the queues.
#[derive(Default)]
struct Lost {
    not_encoded: AtomicU64,
    not_sealed: AtomicU64,
}

/// A captured picture on its way to convert.
struct Grab {
    format: Format,
    size: Size,
    color: Color,
    data: Vec<u8>,
    captured: Time,
    /// From the picture before to this one.
    interval_us: u64,
}

/// Work of the camera thread.
fn watch(
    worker: &mut Worker,
    mut input: Box<dyn VideoInput>,
    mut grabs: queue::Sender<Grab>,
    shelf: Pool<Vec<u8>>,
    clock: Clock,
) {
    let mut pace = Pace(clock.now());
    while !worker.stopping() {
        let interval_us = input.interval_us();
        let grab = match input.next() {
            Ok(Some(Source { format, size, color, data })) => {
                let mut copy = shelf.take();
                copy.extend_from_slice(data);
                Grab { format, size, color, data: copy, captured: clock.now(), interval_us }
            }
            Ok(None) => return,
            Err(error) => return worker.post.fail(error),
        };
        match grabs.push(grab) {
            Push::Closed(_) => return,
            other => other.returned().into_iter().for_each(|old| shelf.give(old.data)),
        }
        let next = pace.next(interval_us, clock.now());
        worker.wait(&clock, next);
    }
}

/// Work of the encoding thread.
fn encode(
    worker: &mut Worker,
    mut stage: encode::Video,
    (mut grabs, shelf): (queue::Receiver<Grab>, Pool<Vec<u8>>),
    (mut injector, mut place): (Injector, queue::Sender<EncoderInfo>),
    clock: Clock,
    lost: &Lost,
) {
    let mut failures = Failures::default();
    let mut on_gpu = stage.encoder().gpu().is_some();
    let (waiting, mut displaced) = (grabs.gauge(), 0);
    loop {
        match grabs.pop_wait(PATIENCE) {
            Ok(Grab { format, size, color, data, captured, interval_us }) => {
                if !stage.wants(captured) {
                    shelf.give(data);
                    continue;
                }
                let source = Source { format, size, color, data: &data };
                let begun = clock.now();
                let taken = stage.submit_captured(source, captured, injector.edge(), begun);
                shelf.give(data);
                let result = taken.and_then(|_| drain(&mut stage, &mut injector));
                if result.is_err() {
                    // The wish that the failed picture took is not fulfilled, and the next has lost its reference.
                    injector.edge().request_keyframe();
                }
                if failures.hopeless(result, worker, lost) {
                    return;
                }
                if on_gpu && stage.encoder().gpu().is_none() {
                    on_gpu = false;
                    let info = stage.encoder().info();
                    let _ = place.push(info.clone());
                    worker.post.tell(Event::Moved(info));
                }
                let (now, so_far) = (clock.now(), waiting.read().displaced);
                if let Some(change) = stage.paced(now, now.since(begun), interval_us, so_far - displaced) {
                    worker.post.tell(Event::Resized(change));
                }
                displaced = so_far;
            }
            Err(Idle::Empty) => {}
            Err(Idle::Closed) => break,
        }
    }
    let flushed = stage.flush().and_then(|()| drain(&mut stage, &mut injector));
    failures.hopeless(flushed, worker, lost);
}

fn drain(stage: &mut encode::Video, injector: &mut Injector) -> Result<(), EncodeError> {
    while let Some(frame) = stage.poll()? {
        // The injector counts a frame that finds no room and asks for a key frame.
        let (Pushed::Queued | Pushed::Refused | Pushed::Closed) = injector.push(frame);
    }
    Ok(())
}

/// Work of the microphone thread.
fn hear(
    worker: &mut Worker,
    mut input: Box<dyn Microphone>,
    mut stage: encode::Audio,
    mut injector: Injector,
    clock: Clock,
    lost: &Lost,
) {
    let samples = stage.frame_samples();
    let mut pcm = vec![0; samples * usize::from(input.channels())];
    let mut pace = Pace(clock.now());
    let mut failures = Failures::default();
    while !worker.stopping() {
        match input.fill(&mut pcm) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return worker.post.fail(error),
        }
        let result = stage.encode(&pcm, clock.now()).map(|frame| injector.push(frame));
        if matches!(result, Ok(Pushed::Closed)) || failures.hopeless(result.map(|_| ()), worker, lost) {
            return;
        }
        let next = pace.next(samples as u64 * 1_000_000 / 48_000, clock.now());
        worker.wait(&clock, next);
    }
}

/// Counts the failures of a stage, and those in a row.
#[derive(Default)]
struct Failures(u32);

impl Failures {
    /// Tells of a failure; `true` where there have been too many in a row to go on.
    fn hopeless(&mut self, result: Result<(), EncodeError>, worker: &mut Worker, lost: &Lost) -> bool {
        match result {
            Ok(()) => self.0 = 0,
            Err(error) => {
                self.0 += 1;
                lost.not_encoded.fetch_add(1, Ordering::Relaxed);
                worker.post.fail(error);
            }
        }
        self.0 >= MAX_FAILURES
    }
}

/// The sending thread: it owns the core.
struct Outbound {
    sender: Sender,
    wire: Wire,
    video: Option<Injected>,
    audio: Option<Injected>,
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
            while let Some(packet) = self.feedback.pop() {
                self.sender.feedback(packet.as_slice(), self.clock.now(), &mut |packet| self.wire.send(packet));
            }
            // Sound first: its packets are few and small, and a gap in it is heard.
            let (mut audio, mut video) = (self.audio.take(), self.video.take());
            for feed in [&mut audio, &mut video] {
                if let Some(injected) = feed
                    && !self.forward(worker, injected, &mut stages)
                {
                    *feed = None;
                }
            }
            (self.audio, self.video) = (audio, video);
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

    /// Sends what waits of one stream; `false` where nothing will follow.
    fn forward(&mut self, worker: &mut Worker, injected: &mut Injected, stages: &mut StageStats) -> bool {
        // Read first, so that a frame pushed just before the end is not left behind.
        let closed = injected.frames.is_closed();
        while let Some(frame) = injected.frames.pop() {
            let video = frame.header.kind.is_video();
            match self.send(frame) {
                Ok(sealed) => {
                    stages.record(sealed.ledger());
                    injected.buffers.give(sealed.recycle());
                }
                Err(error) => {
                    self.lost.not_sealed.fetch_add(1, Ordering::Relaxed);
                    if video {
                        self.sender.edge().request_keyframe();
                    }
                    worker.post.fail(error);
                }
            }
            if worker.stopping() {
                break;
            }
        }
        !closed
    }

    fn send(&mut self, frame: Encoded) -> Result<crate::frame::Sealed, SendError> {
        self.sender.frame(frame, self.clock.now(), &mut |packet| self.wire.send(packet))
    }

    /// Waits for a frame or feedback, at the longest until `until`.
    fn wait(&self, until: Time) {
        let left = Duration::from_micros(until.since(self.clock.now()));
        let feeds = [&self.video, &self.audio].into_iter().flatten().map(|injected| &injected.frames as &dyn Awaited);
        let feedback = (!self.feedback.is_closed()).then_some(&self.feedback as &dyn Awaited);
        wait_any(feeds.chain(feedback), left);
    }
}

/// Packets of sound that wait to be sent: 160 ms.
const AUDIO_DEPTH: usize = 8;

/// RTCP datagrams that wait for the sending thread.
const FEEDBACK_DEPTH: usize = 64;

/// Failures of an encoder in a row, after which its thread gives up.
const MAX_FAILURES: u32 = 30;

/// Time between two readings of the percentiles, which cost about a frame's sealing.
const LATENCY_US: u64 = 1_000_000;

/// How long the encoding thread waits at once.
const PATIENCE: Duration = Duration::from_millis(100);
