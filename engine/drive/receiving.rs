//! The receiving side: one thread listens, another joins, opens and decodes; the app pulls pictures and sound.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use conclave_codecs::{AudioDecoder, Color, Picture, Size};

use super::socket::{Tally, Wire, listen};
use super::{Crew, Event, Role, StartError, Transport, Worker};
use crate::decode;
use crate::frame::Packet;
use crate::ledger::{Ledger, Stage};
use crate::pool::Pool;
use crate::queue::{self, Counters, Gauge, Idle, Policy, pair};
use crate::receive::{self, Heard, Pair, Receiver};
use crate::stats::{Cause, Drops, Latency, StageStats};
use crate::time::{Clock, TICK_US, Time};

/// What a receiving side is put together from.
pub struct Parts {
    /// The core.
    pub receiver: Receiver,
    /// The way to the sender and back.
    pub transport: Transport,
    /// The clock of the session.
    pub clock: Clock,
    /// Decodes video; without it video is not taken out of the core.
    pub video: Option<decode::Video>,
    /// Decodes audio; without it audio is not taken out of the core.
    pub audio: Option<Box<dyn AudioDecoder>>,
}

/// The decoders of a screen that the sender shares.
#[derive(Default)]
pub struct Share {
    /// Decodes its pictures; without it they are not taken out of the core.
    pub video: Option<decode::Video>,
    /// Decodes its sound; without it that is not taken out of the core.
    pub audio: Option<Box<dyn AudioDecoder>>,
}

/// The counters of a receiving side: each exact, together not of one instant.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Stats {
    /// The core, as of its last tick.
    pub receiver: receive::Snapshot,
    /// Time spent in each stage up to decode, refreshed once a second and at the end.
    pub latency: Latency,
    /// The same for a shared screen.
    pub share_latency: Latency,
    /// Border from the socket to the receiving thread.
    pub packets: Counters,
    /// Border from the decoder to the screen.
    pub screen: Counters,
    /// Border from the audio decoder to the speaker.
    pub speaker: Counters,
    /// The same two borders of a shared screen.
    pub share: [Counters; 2],
    /// Frames and sounds that a decoder refused.
    pub not_decoded: u64,
    /// Datagrams that the transport did not take.
    pub unsent: u64,
    /// Datagrams longer than any packet.
    pub oversized: u64,
    /// Events that nobody took in time.
    pub lost_events: u64,
}

impl Stats {
    /// What was lost at the borders of this side, by cause; what the core lost stands in `receiver`.
    pub fn drops(&self) -> Drops {
        let mut drops = Drops::default();
        drops.add(Cause::ReceiveQueueFull, self.packets.dropped());
        drops.add(Cause::Malformed, self.oversized);
        drops.add(Cause::DecodeFailed, self.not_decoded);
        drops.add(Cause::TransportRefused, self.unsent);
        let [screen, speaker] = &self.share;
        drops.add(Cause::RenderReplaced, self.screen.dropped() + screen.dropped());
        drops.add(Cause::PlayoutFull, self.speaker.dropped() + speaker.dropped());
        drops
    }
}

/// What the receiving thread shows of itself: the core, and the stages of a person and of a screen.
type Board = (receive::Snapshot, [Latency; 2]);

/// See the module. Dropping it stops the side and waits for its threads.
pub struct Receiving {
    crew: Crew,
    board: queue::Receiver<Board>,
    last: Board,
    gauges: [Gauge; 5],
    shared: Arc<Shared>,
    tally: Arc<Tally>,
}

/// What the app and the threads both touch.
#[derive(Default)]
struct Shared {
    keys_changed: AtomicBool,
    not_decoded: AtomicU64,
}

impl Receiving {
    /// Starts the threads. Screen and speaker may go to threads of the app's.
    pub fn start(parts: Parts) -> Result<(Self, Screen, Speaker), StartError> {
        let (receiving, (screen, speaker), _) = Self::start_sharing(parts, Share::default())?;
        Ok((receiving, screen, speaker))
    }

    /// Starts the threads for a person, whose screen and speaker come first, and for what that person shares.
    #[allow(clippy::type_complexity, reason = "two pairs, taken apart at once")]
    pub fn start_sharing(
        parts: Parts,
        share: Share,
    ) -> Result<(Self, (Screen, Speaker), (Screen, Speaker)), StartError> {
        let Parts { receiver, transport, clock, video, audio } = parts;
        let mut crew = Crew::new();
        let (tally, shared) = (Arc::<Tally>::default(), Arc::<Shared>::default());
        let (sender, packets) = pair(Policy::Fifo(PACKETS_DEPTH));
        let (post, board) = pair(Policy::Latest);
        let (person, screen, speaker) = Outlet::open(Pair::Person, video, audio, clock);
        let (screened, shared_screen, shared_speaker) = Outlet::open(Pair::Screen, share.video, share.audio, clock);
        let gauge = |screen: &Screen, speaker: &Speaker| (screen.shown.gauge(), speaker.played.gauge());
        let (a, b) = (gauge(&screen, &speaker), gauge(&shared_screen, &shared_speaker));
        let gauges = [packets.gauge(), a.0, a.1, b.0, b.1];
        let work = Decode {
            receiver,
            wire: Wire::new(transport.outgoing, tally.clone()),
            packets,
            board: post,
            clock,
            outlets: [person, screened],
            shared: shared.clone(),
        };
        crew.spawn(Role::Decode, move |worker| work.run(worker))?;
        let (incoming, counts) = (transport.incoming, tally.clone());
        crew.spawn(Role::Socket, move |worker| listen(worker, incoming, sender, &counts, &clock))?;
        let receiving = Self { crew, board, last: Default::default(), gauges, shared, tally };
        Ok((receiving, (screen, speaker), (shared_screen, shared_speaker)))
    }

    /// The key source has other keys than before: what arrives from now on is opened with them, and a key frame is asked
    /// for where frames waited for a key.
    pub fn keys_changed(&self) {
        self.shared.keys_changed.store(true, Ordering::Release);
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
        let [packets, screen, speaker, shared_screen, shared_speaker] = &self.gauges;
        let (receiver, [latency, share_latency]) = self.last.clone();
        Stats {
            receiver,
            latency,
            share_latency,
            packets: packets.read(),
            screen: screen.read(),
            speaker: speaker.read(),
            share: [shared_screen.read(), shared_speaker.read()],
            not_decoded: self.shared.not_decoded.load(Ordering::Relaxed),
            unsent: self.tally.unsent.load(Ordering::Relaxed),
            oversized: self.tally.oversized.load(Ordering::Relaxed),
            lost_events: self.crew.lost_events(),
        }
    }

    /// Stops the threads, waits for them, and returns the last counters. What screen and speaker hold can still be taken.
    pub fn stop(mut self) -> Stats {
        self.crew.stop();
        self.stats()
    }
}

/// A picture to be shown.
pub struct Shown {
    /// The frame's number within its stream.
    pub frame: u64,
    /// The pixels.
    pub picture: Picture,
    /// When it is to be shown so that it keeps step with the sound, on the session's clock.
    pub show_at: Time,
    /// When it was captured, on the sender's clock.
    pub captured: Time,
    /// Stamps from arrival to the moment it was taken from the screen's queue.
    pub ledger: Ledger,
}

/// Where the app takes pictures. The newest waits, and displaces the one before.
pub struct Screen {
    shown: queue::Receiver<Shown>,
    pictures: Pool<Picture>,
    clock: Clock,
}

impl Screen {
    /// The newest picture that was not taken yet; waits for one for up to `timeout`.
    ///
    /// # Errors
    /// [`Idle::Empty`] where none came, [`Idle::Closed`] where the side has stopped.
    pub fn next(&mut self, timeout: Duration) -> Result<Shown, Idle> {
        let mut shown = self.shown.pop_wait(timeout)?;
        shown.ledger.stamp(Stage::Render, self.clock.now());
        Ok(shown)
    }

    /// A picture comes back, so that its memory is used again.
    pub fn recycle(&self, picture: Picture) {
        self.pictures.give(picture);
    }
}

/// One packet's worth of sound.
pub struct Sound {
    /// Interleaved samples at 48 kHz.
    pub pcm: Vec<i16>,
    /// Where they come from.
    pub heard: Heard,
}

/// Where the app takes sound. Eight packets wait; one that finds no room is dropped.
pub struct Speaker {
    played: queue::Receiver<Sound>,
    sounds: Pool<Vec<i16>>,
}

impl Speaker {
    /// The next sound; waits for it for up to `timeout`. With a time-out of 0 it never parks, as an audio callback wants.
    ///
    /// # Errors
    /// [`Idle::Empty`] where none came, [`Idle::Closed`] where the side has stopped.
    pub fn next(&mut self, timeout: Duration) -> Result<Sound, Idle> {
        self.played.pop_wait(timeout)
    }

    /// A sound comes back, so that its memory is used again.
    pub fn recycle(&self, pcm: Vec<i16>) {
        self.sounds.give(pcm);
    }
}

/// The receiving thread: it owns the core and the decoders.
struct Decode {
    receiver: Receiver,
    wire: Wire,
    packets: queue::Receiver<Packet>,
    board: queue::Sender<Board>,
    clock: Clock,
    outlets: [Outlet; 2],
    shared: Arc<Shared>,
}

/// Where the pictures and the sound of a person come out, or those of a screen.
struct Outlet {
    pair: Pair,
    video: Option<Show>,
    audio: Option<Play>,
}

impl Outlet {
    /// The decoders' end and the app's two.
    fn open(
        pair_of: Pair,
        video: Option<decode::Video>,
        audio: Option<Box<dyn AudioDecoder>>,
        clock: Clock,
    ) -> (Self, Screen, Speaker) {
        let ((show, shown), (play, played)) = (pair(Policy::Latest), pair(Policy::Fifo(SOUND_DEPTH)));
        let pictures = Pool::new(4, || Picture::new(Size::new(16, 16), Color::default()));
        let sounds = Pool::new(SOUND_DEPTH + 2, Vec::new);
        let screen = Screen { shown, pictures: pictures.clone(), clock };
        let speaker = Speaker { played, sounds: sounds.clone() };
        let video = video.map(|stage| Show { stage, screen: show, pictures, stages: StageStats::new() });
        let audio = audio.map(|decoder| Play { decoder, speaker: play, sounds, pcm: vec![0; decode::MAX_PCM] });
        (Self { pair: pair_of, video, audio }, screen, speaker)
    }
}

struct Show {
    stage: decode::Video,
    screen: queue::Sender<Shown>,
    pictures: Pool<Picture>,
    stages: StageStats,
}

struct Play {
    decoder: Box<dyn AudioDecoder>,
    speaker: queue::Sender<Sound>,
    sounds: Pool<Vec<i16>>,
    pcm: Vec<i16>,
}

impl Decode {
    fn run(mut self, worker: &mut Worker) {
        let packet_us = self.receiver.audio_samples() as u64 * 1_000_000 / 48_000;
        let mut latency = <[Latency; 2]>::default();
        let (mut next_tick, mut next_latency) = (self.clock.now(), Time(0));
        let mut next_play = next_tick;
        let (mut open, mut more) = (true, false);
        while (open || more) && !worker.stopping() {
            // Where another picture is due, what has arrived is taken and nothing is waited for.
            open = self.take(if more { Time(0) } else { next_tick.min(next_play) });
            if self.shared.keys_changed.swap(false, Ordering::Acquire) {
                self.receiver.keys_changed(self.clock.now());
            }
            // One picture at a time, so that the sound keeps its turns however long pictures take.
            more = (0..self.outlets.len()).fold(false, |more, outlet| self.show(outlet, worker) || more);
            let now = self.clock.now();
            // The speaker keeps its own beat, so turns that were missed are made up for.
            for _ in 0..MAX_MISSED {
                if next_play > now {
                    break;
                }
                next_play = next_play.plus(packet_us);
                (0..self.outlets.len()).for_each(|outlet| self.play(outlet, worker, now));
            }
            next_play = next_play.max(now);
            if next_tick <= now {
                next_tick = now.plus(TICK_US);
                self.receiver.tick(now, &mut |packet| self.wire.send(packet));
                if next_latency <= now {
                    next_latency = now.plus(LATENCY_US);
                    latency = self.latency();
                }
                let _ = self.board.push((self.receiver.snapshot(), latency.clone()));
            }
            self.wire.tell(worker);
        }
        let _ = self.board.push((self.receiver.snapshot(), self.latency()));
    }

    /// Gives the core what has arrived, a queue's worth at most; waits for the first until `until`. `false` where
    /// nothing will come any more.
    fn take(&mut self, until: Time) -> bool {
        let timeout = Duration::from_micros(until.since(self.clock.now()));
        let mut next = match self.packets.pop_wait(timeout) {
            Ok(packet) => Some(packet),
            Err(Idle::Empty) => return true,
            Err(Idle::Closed) => return false,
        };
        for _ in 0..PACKETS_DEPTH {
            let Some(packet) = next else { break };
            self.receiver.datagram(packet.as_slice(), self.clock.now());
            next = self.packets.pop();
        }
        true
    }

    /// Decodes and shows the next picture of an outlet, where one is due: `false` where none is.
    fn show(&mut self, outlet: usize, worker: &mut Worker) -> bool {
        let Outlet { pair, video, .. } = &mut self.outlets[outlet];
        let Some(Show { stage, screen, pictures, stages }) = video else { return false };
        let mut show = |shown: decode::Shown<'_>, show_at: Time| {
            stages.record(&shown.ledger);
            let mut picture = pictures.take();
            std::mem::swap(shown.picture, &mut picture);
            let decode::Shown { frame, captured, ledger, .. } = shown;
            let shown = Shown { frame, picture, show_at, captured, ledger };
            screen.push(shown).returned().into_iter().for_each(|old| pictures.give(old.picture));
        };
        stage.step_of(*pair, &mut self.receiver, self.clock.now(), &mut show).unwrap_or_else(|error| {
            self.shared.not_decoded.fetch_add(1, Ordering::Relaxed);
            worker.post.fail(error);
            true
        })
    }

    fn play(&mut self, outlet: usize, worker: &mut Worker, now: Time) {
        let Outlet { pair, audio, .. } = &mut self.outlets[outlet];
        let Some(Play { decoder, speaker, sounds, pcm }) = audio else { return };
        match decode::play_of(*pair, &mut self.receiver, &mut **decoder, now, pcm) {
            Ok((_, Heard::Nothing)) => {}
            Ok((samples, heard)) => {
                let mut pcm = sounds.take();
                pcm.extend_from_slice(samples);
                speaker.push(Sound { pcm, heard }).returned().into_iter().for_each(|lost| sounds.give(lost.pcm));
            }
            Err(error) => {
                self.shared.not_decoded.fetch_add(1, Ordering::Relaxed);
                worker.post.fail(error);
            }
        }
    }

    fn latency(&self) -> [Latency; 2] {
        let of = |outlet: &Outlet| outlet.video.as_ref().map_or_else(Latency::default, |show| show.stages.latency());
        self.outlets.each_ref().map(of)
    }
}

/// Datagrams that wait for the receiving thread.
const PACKETS_DEPTH: usize = 256;

/// Packets of sound that wait for the speaker: 160 ms.
const SOUND_DEPTH: usize = 8;

/// Packets of sound that are made up for at once.
const MAX_MISSED: usize = 8;

/// Time between two readings of the percentiles.
const LATENCY_US: u64 = 1_000_000;
