//! The threads on the way from a source to the sending thread: one takes pictures, one converts and encodes them, one takes
//! and encodes sound.

use std::sync::Arc;
use std::time::Duration;

use conclave_codecs::{Color, EncoderInfo, Size};

use super::events::Event;
use super::inject::{Injector, Pushed};
use super::sending::Lost;
use super::{Pace, Worker};
use crate::capture::live::{Damage, Heard, LiveMicrophone, LiveVideo, Shot, Taken};
use crate::capture::{Microphone, VideoInput};
use crate::encode::content::{Content, Switch};
use crate::encode::{self, EncodeError};
use crate::frame::Kind;
use crate::gpu::{Format, GpuError, Source};
use crate::pool::Pool;
use crate::queue::{self, Idle, Push};
use crate::time::{Clock, Time};

/// A captured picture on its way to convert.
pub(super) struct Grab {
    format: Format,
    size: Size,
    color: Color,
    data: Vec<u8>,
    captured: Time,
    /// From the picture before to this one.
    interval_us: u64,
    /// What differs from picture `number - 1`.
    damage: Damage,
    /// Pictures of the source so far, so that the next thread sees which it missed.
    number: u64,
    /// Times that the source began anew so far.
    turns: u64,
    /// What a screen shows.
    switch: Switch,
}

/// Hands pictures to the encoding thread.
pub(super) struct Grabs {
    queue: queue::Sender<Grab>,
    shelf: Pool<Vec<u8>>,
    number: u64,
    turns: u64,
    switch: Switch,
}

impl Grabs {
    pub(super) fn new(queue: queue::Sender<Grab>, shelf: Pool<Vec<u8>>) -> Self {
        Self { queue, shelf, number: 0, turns: 0, switch: Switch::default() }
    }

    /// `false` where nobody takes them any more.
    fn push(&mut self, shot: Shot<'_>, interval_us: u64) -> bool {
        let Shot { source: Source { format, size, color, data }, captured, damage, fresh } = shot;
        self.number += 1;
        self.turns += u64::from(fresh);
        self.switch.picture(captured, damage.share(size));
        let mut copy = self.shelf.take();
        copy.clear();
        copy.extend_from_slice(data);
        let (number, turns, switch) = (self.number, self.turns, self.switch);
        let grab = Grab { format, size, color, data: copy, captured, interval_us, damage, number, turns, switch };
        match self.queue.push(grab) {
            Push::Closed(_) => false,
            other => {
                other.returned().into_iter().for_each(|old| self.shelf.give(old.data));
                true
            }
        }
    }
}

/// Work of the thread of a source that is asked for pictures.
pub(super) fn watch(worker: &mut Worker, mut input: Box<dyn VideoInput>, mut grabs: Grabs, clock: Clock) {
    let mut pace = Pace(clock.now());
    while !worker.stopping() {
        let interval_us = input.interval_us();
        match input.next() {
            Ok(Some(source)) => {
                let shot = Shot { source, captured: clock.now(), damage: Damage::ALL, fresh: false };
                if !grabs.push(shot, interval_us) {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => return worker.post.fail(error),
        }
        let next = pace.next(interval_us, clock.now());
        worker.wait(&clock, next);
    }
}

/// Work of the thread of a device, which is waited for.
pub(super) fn follow(worker: &mut Worker, mut input: Box<dyn LiveVideo>, mut grabs: Grabs, lost: &Lost) {
    let mut counted = 0;
    while !worker.stopping() {
        let interval_us = input.interval_us();
        let dropped = input.dropped();
        lost.not_taken(dropped.saturating_sub(counted));
        counted = dropped;
        match input.wait(PATIENCE) {
            Ok(Taken::Picture(shot)) => {
                if !grabs.push(shot, interval_us) {
                    return;
                }
            }
            Ok(Taken::Nothing) => {}
            Ok(Taken::Turn(turn)) => worker.post.turn(turn),
            Err(error) => return worker.post.fail(error),
        }
    }
}

/// The encoding thread.
pub(super) struct Encoding {
    pub(super) stage: encode::Video,
    pub(super) grabs: queue::Receiver<Grab>,
    pub(super) shelf: Pool<Vec<u8>>,
    pub(super) injector: Injector,
    /// Where the encoder runs, whenever that changes.
    pub(super) place: queue::Sender<EncoderInfo>,
    pub(super) clock: Clock,
    pub(super) lost: Arc<Lost>,
}

/// The last picture of a screen, which may have to be encoded without a newer one: nothing comes while nothing changes.
struct Held {
    grab: Grab,
    /// It was left out, as the frame rate wanted.
    owed: bool,
    /// Encoding it anew may still make sharp what few bits made coarse.
    coarse: bool,
    due: Time,
}

/// How a picture is looked at this time.
#[derive(Clone, Copy)]
struct Look {
    captured: Time,
    damage: Damage,
    fresh: bool,
}

/// The encoder fails on and on.
struct Hopeless;

impl Encoding {
    pub(super) fn run(self, worker: &mut Worker) {
        let on_gpu = self.stage.encoder().gpu().is_some();
        let waiting = self.grabs.gauge();
        let work = Work { parts: self, failures: Failures::default(), content: None, last: Time(0), on_gpu };
        // It has told of its failures.
        let (Ok(()) | Err(Hopeless)) = work.run(worker, &waiting);
    }
}

/// The encoding thread at work.
struct Work {
    parts: Encoding,
    failures: Failures,
    content: Option<Content>,
    /// Capture time of the last picture.
    last: Time,
    on_gpu: bool,
}

impl Work {
    fn run(mut self, worker: &mut Worker, waiting: &queue::Gauge) -> Result<(), Hopeless> {
        let (mut seen, mut turns, mut displaced) = (0, 0, 0);
        let screen = self.parts.stage.kind() == Kind::Screen;
        let mut held: Option<Held> = None;
        // What differs in pictures that the frame rate left out.
        let mut owed = Damage::NONE;
        loop {
            let patience = held.as_ref().filter(|held| held.coarse || held.owed).map_or(PATIENCE, |_| SETTLE / 4);
            match self.parts.grabs.pop_wait(patience) {
                Ok(mut grab) => {
                    if grab.number != seen + 1 {
                        grab.damage = Damage::ALL;
                    }
                    seen = grab.number;
                    grab.damage = owed.join(grab.damage);
                    let fresh = grab.turns != turns;
                    turns = grab.turns;
                    if screen {
                        self.show(grab.switch.content(), worker);
                    }
                    // The first picture of a new source is not left to the frame rate.
                    let wanted = self.parts.stage.wants(grab.captured) || fresh;
                    let begun = self.parts.clock.now();
                    owed = if wanted { Damage::NONE } else { grab.damage };
                    if wanted {
                        let look = Look { captured: grab.captured, damage: grab.damage, fresh };
                        self.encode(&grab, look, begun, worker)?;
                        let (now, so_far) = (self.parts.clock.now(), waiting.read().displaced);
                        let (spent, lost) = (now.since(begun), so_far - displaced);
                        if let Some(change) = self.parts.stage.paced(now, spent, grab.interval_us, lost) {
                            worker.post.resized(change);
                        }
                        displaced = so_far;
                    }
                    let old = if screen {
                        let held = held.replace(Held { grab, owed: !wanted, coarse: true, due: begun.plus(SETTLE_US) });
                        held.map(|held| held.grab)
                    } else {
                        Some(grab)
                    };
                    old.into_iter().for_each(|old| self.parts.shelf.give(old.data));
                }
                Err(Idle::Empty) => {
                    let Some(last) = &mut held else { continue };
                    let now = self.parts.clock.now();
                    // What it shows now may be had at another size.
                    last.coarse |= self.show(last.grab.switch.picture(now, 0), worker);
                    let asked = self.parts.injector.edge().wants_keyframe();
                    if last.owed && (asked || self.parts.stage.wants(now)) {
                        (last.owed, owed) = (false, Damage::NONE);
                        let look = Look { captured: last.grab.captured, damage: last.grab.damage, fresh: false };
                        self.encode(&last.grab, look, now, worker)?;
                    } else if asked || (!last.owed && last.coarse && last.due <= now && self.parts.stage.wants(now)) {
                        let look = Look { captured: now, damage: Damage::NONE, fresh: false };
                        last.coarse = self.encode(&last.grab, look, now, worker)?;
                    } else {
                        continue;
                    }
                    last.due = now.plus(SETTLE_US);
                }
                Err(Idle::Closed) => break,
            }
        }
        if let Some(Held { grab, owed: true, .. }) = &held {
            let look = Look { captured: grab.captured, damage: grab.damage, fresh: false };
            self.encode(grab, look, self.parts.clock.now(), worker)?;
        }
        let flushed = self.parts.stage.flush().and_then(|()| self.drain());
        self.failures.judge(flushed, worker, &self.parts.lost)
    }

    /// A screen shows `content`; whether that is something else than before.
    fn show(&mut self, content: Content, worker: &mut Worker) -> bool {
        let other = self.content.replace(content) != Some(content);
        if other {
            if let Err(error) = self.parts.stage.set_content(content) {
                worker.post.fail(error);
            }
            worker.post.tell(Event::Content(content));
        }
        other
    }

    /// `false` where the picture shows nothing that encoding it anew would make sharper.
    fn encode(&mut self, grab: &Grab, look: Look, now: Time, worker: &mut Worker) -> Result<bool, Hopeless> {
        let source = Source { format: grab.format, size: grab.size, color: grab.color, data: &grab.data };
        let Look { captured, damage, fresh } = look;
        // One that is encoded anew may be later than the next one of the source; a tick of RTP's clock lies between them.
        let captured = captured.max(self.last.plus(12));
        self.last = captured;
        let Encoding { stage, injector, .. } = &mut self.parts;
        let taken = stage.submit_shot(&Shot { source, captured, damage, fresh }, injector.edge(), now);
        let made = !matches!(taken, Ok(None));
        let result = taken.and_then(|_| self.drain());
        if result.is_err() {
            // The wish that the failed picture took is not fulfilled, and the next has lost its reference.
            self.parts.injector.edge().request_keyframe();
        }
        if self.on_gpu && self.parts.stage.encoder().gpu().is_none() {
            self.on_gpu = false;
            let info = self.parts.stage.encoder().info();
            let _ = self.parts.place.push(info.clone());
            worker.post.moved(info);
        }
        self.failures.judge(result, worker, &self.parts.lost).map(|()| made)
    }

    fn drain(&mut self) -> Result<(), EncodeError> {
        while let Some(frame) = self.parts.stage.poll()? {
            // The injector counts a frame that finds no room and asks for a key frame.
            let (Pushed::Queued | Pushed::Refused | Pushed::Closed) = self.parts.injector.push(frame);
        }
        Ok(())
    }
}

/// Work of the thread of a source that is asked for sound.
pub(super) fn hear(
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
        if matches!(result, Ok(Pushed::Closed)) || failures.judge(result.map(|_| ()), worker, lost).is_err() {
            return;
        }
        let next = pace.next(samples as u64 * 1_000_000 / 48_000, clock.now());
        worker.wait(&clock, next);
    }
}

/// Work of the thread of a microphone, which is waited for.
pub(super) fn listen_in(
    worker: &mut Worker,
    mut input: Box<dyn LiveMicrophone>,
    mut stage: encode::Audio,
    mut injector: Injector,
    lost: &Lost,
) {
    let mut pcm = vec![0; stage.frame_samples() * usize::from(input.channels())];
    let mut failures = Failures::default();
    while !worker.stopping() {
        match input.wait(&mut pcm, PATIENCE) {
            Ok(Heard::Samples { captured, .. }) => {
                let result = stage.encode(&pcm, captured).map(|frame| injector.push(frame));
                if matches!(result, Ok(Pushed::Closed)) || failures.judge(result.map(|_| ()), worker, lost).is_err() {
                    return;
                }
            }
            Ok(Heard::Muted | Heard::Nothing) => {}
            Ok(Heard::Turn(turn)) => worker.post.turn(turn),
            Err(error) => return worker.post.fail(error),
        }
    }
}

/// Counts the failures of a stage in a row.
#[derive(Default)]
struct Failures {
    row: u32,
    /// The app was told that what it cuts out lies outside the source.
    cropped: bool,
}

impl Failures {
    /// Tells of a failure; [`Hopeless`] where there have been too many in a row to go on.
    fn judge(&mut self, result: Result<(), EncodeError>, worker: &mut Worker, lost: &Lost) -> Result<(), Hopeless> {
        match result {
            Ok(()) => *self = Self::default(),
            Err(error) => {
                lost.not_encoded();
                // A source of another size may follow, so that is told once, and is no reason to give up.
                let crop = matches!(error, EncodeError::Convert(GpuError::Crop { .. }));
                self.row += u32::from(!crop);
                if !crop || !std::mem::replace(&mut self.cropped, true) {
                    worker.post.fail(error);
                }
            }
        }
        if self.row < MAX_FAILURES { Ok(()) } else { Err(Hopeless) }
    }
}

/// How long a thread waits at once, and so how long it may take to stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// Time between two encodings of the same picture of a screen.
const SETTLE: Duration = Duration::from_micros(SETTLE_US);
const SETTLE_US: u64 = 100_000;

/// Failures of an encoder in a row, after which its thread gives up.
const MAX_FAILURES: u32 = 30;
