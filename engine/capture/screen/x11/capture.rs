//! A screen or a window as a source of pictures.

use std::time::Duration;

use x11rb::protocol::Event;

use super::Wish;
use super::cursor::Cursor;
use super::damage::{self, Account};
use super::pace::Pace;
use super::server::{Fault, Server};
use super::shm::Reader;
use super::view::{Look, News, Sight, View};
use crate::capture::CaptureError;
use crate::capture::live::{Damage, LiveVideo, Rect, Shot, Taken, Turn};
use crate::codecs::{Color, Range};
use crate::devices::{Device, DeviceError, Id};
use crate::gpu::{Format, Source};
use crate::time::{Clock, Time};

/// Pictures of what an [`Id`] names, each when something changed.
///
/// The whole picture stays here, and of the screen only that is read which changed. While nothing changes nothing is read,
/// and nothing asked but the pointer's place where the cursor is wanted: the thread sleeps until the server has word.
pub struct Capture {
    server: Server,
    device: Device,
    sight: Sight,
    account: Account,
    reader: Reader,
    cursor: Option<Cursor>,
    clock: Clock,
    pace: Pace,
    view: Option<View>,
    picture: Vec<u8>,
    /// Something changed that is not read yet.
    changed: bool,
    /// The view is to be looked at again.
    stale: bool,
    /// The next picture follows none.
    fresh: bool,
    /// When the pointer was asked for last.
    pointed: Time,
    /// Refusals in a row.
    refused: u32,
}

/// What a wait came to.
#[allow(clippy::large_enum_variant, reason = "there is one at a time, on the stack")]
enum Step {
    Picture { captured: Time, damage: Damage, fresh: bool },
    Reshaped,
    Nothing,
}

/// Why there is nothing more.
enum End {
    Fault(Fault),
    Lost(String),
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        End::Fault(fault)
    }
}

impl Capture {
    /// Opens what `id` names.
    pub fn open(id: &Id, wish: Wish, clock: Clock) -> Result<Self, DeviceError> {
        let server = Server::connect(wish.display.as_deref())?;
        let (sight, device) = Sight::open(&server, id, wish.region)?;
        let opened = (|| {
            let cursor = if wish.cursor { Some(Cursor::watch(&server)?) } else { None };
            Ok::<_, Fault>((Account::open(&server, sight.window)?, cursor))
        })();
        let (account, cursor) =
            opened.map_err(|fault| DeviceError::Lost { kind: device.kind, id: id.clone(), why: fault.to_string() })?;
        let (num, den) = (u64::from(wish.fps.0.max(1)), u64::from(wish.fps.1.max(1)));
        Ok(Self {
            server,
            device,
            sight,
            account,
            reader: Reader::Wire,
            cursor,
            clock,
            pace: Pace::new((den * 1_000_000 / num).max(1_000)),
            view: None,
            picture: Vec::new(),
            changed: false,
            stale: true,
            fresh: true,
            pointed: Time(0),
            refused: 0,
        })
    }

    /// What comes first: a picture, a change of the source, or the end of the patience.
    fn step(&mut self, patience: Duration) -> Result<Step, End> {
        let until = self.clock.now().plus(u64::try_from(patience.as_micros()).unwrap_or(u64::MAX));
        loop {
            self.heed()?;
            let now = self.clock.now();
            if now >= self.pace.due() {
                match self.turn(now) {
                    // What was told between the answers lies here already, and would wake nobody.
                    Ok(Step::Nothing) if self.heed()? => continue,
                    Ok(Step::Nothing) => {}
                    Ok(step) => {
                        self.refused = 0;
                        return Ok(step);
                    }
                    Err(End::Fault(Fault::Refused(why))) => self.stumble(now, why)?,
                    Err(end) => return Err(end),
                }
            }
            let now = self.clock.now();
            if now >= until {
                return Ok(Step::Nothing);
            }
            let wake = self.wake().map_or(until, |wake| Time(wake.0.min(until.0)));
            self.server.sleep(Duration::from_micros(wake.since(now)))?;
        }
    }

    /// Reads what the server told; `true` where it told something.
    fn heed(&mut self) -> Result<bool, End> {
        let mut told = false;
        while let Some(event) = self.server.event()? {
            told = true;
            match event {
                Event::DamageNotify(_) => self.changed = true,
                Event::XfixesCursorNotify(_) => self.cursor.iter_mut().for_each(|cursor| cursor.stale = true),
                event => match self.sight.heed(&self.server, &event)? {
                    News::Nothing => {}
                    News::Stale => self.stale = true,
                    News::Lost(why) => return Err(End::Lost(why)),
                },
            }
        }
        Ok(told)
    }

    /// When there is something to do that no event tells of.
    fn wake(&self) -> Option<Time> {
        if self.stale || (self.view.is_some() && (self.changed || self.fresh)) {
            return Some(self.pace.due());
        }
        self.view.as_ref()?;
        let pointer = self.cursor.as_ref().map(|_| self.pointed.plus(self.pace.interval_us()));
        pointer.map(|wake| wake.max(self.pace.due()))
    }

    /// What is to be done now, as a picture may be taken.
    fn turn(&mut self, now: Time) -> Result<Step, End> {
        if self.stale && self.look()? {
            return Ok(Step::Reshaped);
        }
        let Some(view) = self.view.take() else { return Ok(Step::Nothing) };
        let taken = self.take(&view, now);
        self.view = Some(view);
        Ok(taken?)
    }

    /// Looks at the source again; `true` where its pictures have another size from now on.
    fn look(&mut self) -> Result<bool, End> {
        let view = match self.sight.look(&self.server)? {
            Look::Seen(view) => Some(view),
            Look::Hidden => None,
            Look::Lost(why) => return Err(End::Lost(why)),
        };
        self.stale = false;
        if view == self.view {
            return Ok(false);
        }
        self.fresh = true;
        self.view = view;
        let Some(view) = &self.view else { return Ok(false) };
        let len = 4 * view.size.area();
        if !self.reader.holds(len) || matches!(self.reader, Reader::Wire) {
            let reader = Reader::open(&self.server, len)?;
            std::mem::replace(&mut self.reader, reader).close(&self.server)?;
        }
        // What cannot be read is black.
        self.picture.clear();
        self.picture.resize(len, 0);
        self.cursor.iter_mut().for_each(Cursor::forget);
        let reshaped = self.device.video.iter().any(|mode| mode.size != view.size);
        self.device.video.iter_mut().for_each(|mode| mode.size = view.size);
        Ok(reshaped)
    }

    /// Takes a picture where there is a reason to.
    fn take(&mut self, view: &View, now: Time) -> Result<Step, Fault> {
        let captured = self.clock.now();
        let mut pointed = false;
        if let Some(cursor) = &mut self.cursor
            && (self.changed || self.fresh || cursor.stale || now >= self.pointed.plus(self.pace.interval_us()))
        {
            self.pointed = now;
            pointed = cursor.look(&self.server, self.sight.window, view)?;
        }
        let mut rects = Vec::new();
        let asked = self.changed || self.fresh;
        if asked {
            self.changed = false;
            let parts = self.account.settle(&self.server)?;
            if self.fresh {
                rects.extend(overlap(view.seen, view.seen));
            } else {
                let parts = parts.into_iter().filter_map(|part| view.part(part));
                let parts = parts.filter_map(|part| overlap(part, view.seen));
                parts.for_each(|part| damage::gather(&mut rects, part, MOST_READ));
                damage::bound(&mut rects);
            }
        }
        if rects.is_empty() && !pointed && !self.fresh {
            if asked {
                self.pace.passed(now);
            }
            return Ok(Step::Nothing);
        }
        let lifted = self.cursor.as_mut().and_then(|cursor| cursor.lift(&mut self.picture, view));
        if let Err(fault) = self.reader.read(&self.server, view, &rects, &mut self.picture) {
            // Part of it may be here already.
            self.fresh = true;
            return Err(fault);
        }
        let drawn = self.cursor.as_mut().and_then(|cursor| cursor.draw(&mut self.picture, view));
        let fresh = std::mem::take(&mut self.fresh);
        let mut damage = if fresh { Damage::ALL } else { Damage::NONE };
        if !fresh {
            let pointed = [lifted, drawn].into_iter().flatten().filter(|_| pointed);
            rects.into_iter().chain(pointed).for_each(|rect| damage.add(rect));
        }
        self.pace.taken(captured);
        Ok(Step::Picture { captured, damage, fresh })
    }

    /// The server refused something: what it named changed in between, and word of that is on its way. Where it goes on
    /// so, there is nothing to be had.
    fn stumble(&mut self, now: Time, why: String) -> Result<(), End> {
        (self.stale, self.fresh) = (true, true);
        self.view = None;
        self.refused += 1;
        self.pace.taken(now);
        if self.refused > MOST_REFUSALS { Err(End::Lost(why)) } else { Ok(()) }
    }
}

impl LiveVideo for Capture {
    fn wait(&mut self, patience: Duration) -> Result<Taken<'_>, CaptureError> {
        match self.step(patience) {
            Ok(Step::Nothing) => Ok(Taken::Nothing),
            Ok(Step::Reshaped) => Ok(Taken::Turn(Turn::Reshaped(self.device.clone()))),
            Ok(Step::Picture { captured, damage, fresh }) => {
                let Some(view) = &self.view else { return Ok(Taken::Nothing) };
                let color = Color { range: Range::Full, ..Color::default() };
                let source = Source { format: Format::Bgra, size: view.size, color, data: &self.picture };
                Ok(Taken::Picture(Shot { source, captured, damage, fresh }))
            }
            Err(End::Lost(why) | End::Fault(Fault::Gone(why) | Fault::Refused(why))) => {
                let Device { kind, id, name, .. } = &self.device;
                let why = format!("“{name}”: {why}");
                Err(DeviceError::Lost { kind: *kind, id: id.clone(), why }.into())
            }
        }
    }

    fn interval_us(&self) -> u64 {
        self.pace.interval_us()
    }

    /// None: what changes between two pictures is in the second.
    fn dropped(&self) -> u64 {
        0
    }
}

/// What both have.
fn overlap(a: Rect, b: Rect) -> Option<Rect> {
    let (x, y) = (a.x.max(b.x), a.y.max(b.y));
    let width = (a.x + a.width).min(b.x + b.width).checked_sub(x)?;
    let height = (a.y + a.height).min(b.y + b.height).checked_sub(y)?;
    (width > 0 && height > 0).then_some(Rect { x, y, width, height })
}

/// Most parts that are read for one picture: room is left for the cursor, where it was and where it is.
const MOST_READ: usize = Damage::MOST - 2;

/// Refusals in a row after which a source is given up: a second at the usual rate.
const MOST_REFUSALS: u32 = 30;
