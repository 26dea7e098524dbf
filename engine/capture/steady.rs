//! A stream of pictures that goes on where its device does not.
//!
//! The rules, in their order: where the device is lost, another of its kind goes on if the app allows that; where there is
//! none, a still picture says so. Meanwhile the device that was wanted is looked for, and takes over again when it is
//! back, a camera with its first picture. Two kinds do not come back: what a portal gave, since opening it asks the user,
//! and a window, whose number may be that of another program's next. Each of these is a [`Turn`], and the first picture
//! after it is [`Shot::fresh`].

use std::time::Duration;

use super::CaptureError;
use super::font;
use super::live::{Damage, LiveVideo, Shot, Taken, Turn};
use crate::codecs::{Color, Matrix, Range, Size};
use crate::devices::{Backend, Device, DeviceError, Id, Kind};
use crate::gpu::{Format, Source};
use crate::time::{Clock, Time};

/// How devices are found and opened: [`super::System`] for those of the machine.
pub trait Devices: Send {
    /// What there is of `kind` now, the best first.
    fn list(&mut self, kind: Kind) -> Vec<Device>;

    /// Opens one of them.
    ///
    /// # Errors
    /// Those of the back end.
    fn open(&mut self, device: &Device) -> Result<Box<dyn LiveVideo>, DeviceError>;
}

/// What to do where a device is lost.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Another device of the kind goes on. Right for cameras; a screen that people did not mean to share is not to be
    /// shown in place of the one that they did.
    pub instead: bool,
    /// Time between two looks for the device that was wanted, at least. A look costs the back ends' time to list and to open,
    /// some milliseconds as a rule, and some seconds where a daemon hangs; it is taken between two pictures, and the next
    /// one is the later the longer it took.
    pub look: Duration,
}

impl Rules {
    /// Those that suit a kind of device.
    pub fn of(kind: Kind) -> Self {
        Self { instead: kind == Kind::Camera, look: Duration::from_secs(1) }
    }
}

/// A device with the rules for its loss.
pub struct Steady {
    devices: Box<dyn Devices>,
    rules: Rules,
    clock: Clock,
    wanted: Device,
    state: State,
    /// A camera that was opened, and goes on once it gives a picture.
    coming: Option<(Box<dyn LiveVideo>, Device)>,
    /// Turns that were not told yet, the next one last.
    turns: Vec<Turn>,
    /// Why the device in `state` gives nothing more.
    failed: Option<String>,
    fresh: bool,
    /// Pictures that devices lost which have gone since.
    dropped: u64,
    /// Those that were lost or gave nothing a moment ago: they are left alone until there is no other.
    shunned: Vec<Id>,
    next_look: Time,
    card: Card,
}

enum State {
    /// This device gives pictures.
    Live(Box<dyn LiveVideo>, Device),
    /// The card stands in; its next picture is due then.
    Card { due: Time },
}

impl Steady {
    /// Opens `wanted`.
    ///
    /// # Errors
    /// It cannot be opened now. What is lost later is no error.
    pub fn open(
        mut devices: Box<dyn Devices>,
        wanted: Device,
        rules: Rules,
        clock: Clock,
    ) -> Result<Self, DeviceError> {
        let live = devices.open(&wanted)?;
        let card = Card::new(wanted.kind);
        let state = State::Live(live, wanted.clone());
        let (turns, next_look) = (Vec::new(), Time(0));
        Ok(Self {
            devices,
            rules,
            clock,
            wanted,
            state,
            coming: None,
            turns,
            failed: None,
            fresh: true,
            dropped: 0,
            shunned: Vec::new(),
            next_look,
            card,
        })
    }

    /// The device that gives pictures now; `None` while the card stands in.
    pub fn device(&self) -> Option<&Device> {
        match &self.state {
            State::Live(_, device) => Some(device),
            State::Card { .. } => None,
        }
    }

    /// The device was lost: whoever goes on.
    fn lost(&mut self, why: String) {
        let now = self.clock.now();
        self.next_look = now;
        // Let go first: a back end may allow one stream at a time.
        let State::Live(live, device) = std::mem::replace(&mut self.state, State::Card { due: now }) else { return };
        self.dropped += live.dropped();
        drop(live);
        self.card.begin();
        self.shunned.push(device.id.clone());
        self.turns.insert(0, Turn::Lost { device, why });
    }

    /// Looks for the device that was wanted, and for any where none gives pictures.
    fn look(&mut self, now: Time) {
        if now < self.next_look {
            return;
        }
        let mut wanted = Vec::new();
        if self.wanted.id.backend() != Backend::Portal && self.wanted.kind != Kind::Window {
            wanted.push(self.wanted.clone());
        }
        if self.rules.instead && matches!(self.state, State::Card { .. }) {
            // A portal asks the user each time it is opened, and waits for the answer: that is for the user to begin.
            let others = self.devices.list(self.wanted.kind).into_iter();
            wanted.extend(others.filter(|it| it.id != self.wanted.id && it.id.backend() != Backend::Portal));
        }
        wanted.retain(|device| !self.shunned.contains(&device.id));
        let opened = wanted.into_iter().find_map(|device| Some((self.devices.open(&device).ok()?, device)));
        match opened {
            // A screen gives its picture at once, and no other before something changes.
            Some((live, device)) if device.kind != Kind::Camera => self.go_on(live, device),
            Some(camera) => self.coming = Some(camera),
            None => self.shunned.clear(),
        }
        // From its end on, since a system that hangs takes its time.
        let end = self.clock.now();
        let slow = end.since(now).saturating_sub(QUICK_US);
        self.next_look = end.plus((self.rules.look.as_micros() as u64).max(10 * slow));
    }

    /// Lets the camera that was opened go on, if it gives a picture, waiting for it for `patience` at most.
    fn take_over(&mut self, patience: Duration) {
        let Some((mut live, mut device)) = self.coming.take() else { return };
        match live.wait(patience) {
            Ok(Taken::Picture(_)) => return self.go_on(live, device),
            Ok(Taken::Turn(Turn::Reshaped(now))) => device = now,
            Ok(_) => {}
            Err(_) => return self.shunned.push(device.id),
        }
        self.coming = Some((live, device));
    }

    fn go_on(&mut self, live: Box<dyn LiveVideo>, device: Device) {
        if let State::Live(old, _) = &self.state {
            self.dropped += old.dropped();
        }
        let back = device.id == self.wanted.id;
        self.turns.insert(0, if back { Turn::Back(device.clone()) } else { Turn::Instead(device.clone()) });
        self.state = State::Live(live, device);
        self.shunned.clear();
        self.fresh = true;
    }
}

impl LiveVideo for Steady {
    fn wait(&mut self, patience: Duration) -> Result<Taken<'_>, CaptureError> {
        if let Some(why) = self.failed.take() {
            self.lost(why);
        }
        let until = self.clock.now().plus(patience.as_micros() as u64);
        if self.turns.is_empty() && self.device().is_none_or(|device| device.id != self.wanted.id) {
            if self.coming.is_none() {
                self.look(self.clock.now());
            }
            let idle = match &self.state {
                State::Card { due } => Duration::from_micros(due.since(self.clock.now())).min(patience),
                State::Live(..) => Duration::ZERO,
            };
            self.take_over(idle);
        }
        if let Some(turn) = self.turns.pop() {
            return Ok(Taken::Turn(turn));
        }
        match &mut self.state {
            State::Card { due } => {
                let now = self.clock.now();
                std::thread::sleep(Duration::from_micros((*due).min(until).since(now)));
                let captured = self.clock.now();
                if captured < *due {
                    return Ok(Taken::Nothing);
                }
                *due = captured.plus(CARD_US);
                let (source, first) = self.card.show();
                let damage = if first { Damage::ALL } else { Damage::NONE };
                Ok(Taken::Picture(Shot { source, captured, damage, fresh: first }))
            }
            State::Live(live, _) => match live.wait(patience) {
                Ok(Taken::Picture(shot)) => {
                    self.card.size = shot.source.size;
                    let fresh = std::mem::take(&mut self.fresh) || shot.fresh;
                    let damage = if fresh { Damage::ALL } else { shot.damage };
                    Ok(Taken::Picture(Shot { fresh, damage, ..shot }))
                }
                Ok(other) => Ok(other),
                // The next wait sees to it: this one has lent the device out.
                Err(error) => {
                    self.failed = Some(error.to_string());
                    Ok(Taken::Nothing)
                }
            },
        }
    }

    fn interval_us(&self) -> u64 {
        match &self.state {
            State::Live(live, _) => live.interval_us(),
            State::Card { .. } => CARD_US,
        }
    }

    fn dropped(&self) -> u64 {
        match &self.state {
            State::Live(live, _) => self.dropped + live.dropped(),
            State::Card { .. } => self.dropped,
        }
    }
}

/// The picture that stands in for a device.
struct Card {
    text: &'static str,
    size: Size,
    data: Vec<u8>,
    first: bool,
}

impl Card {
    fn new(kind: Kind) -> Self {
        let text = match kind {
            Kind::Screen => "SCREEN LOST",
            Kind::Window => "WINDOW LOST",
            _ => "CAMERA LOST",
        };
        Self { text, size: Size::new(640, 360), data: Vec::new(), first: true }
    }

    /// Draws it, at the size of the last picture.
    fn begin(&mut self) {
        self.first = true;
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        self.data.clear();
        self.data.resize(Format::I420.len(self.size), 128);
        self.data[..width * height].fill(DARK);
        // The text takes half of the width, and its letters stay square.
        let (columns, rows) = (self.text.len() * (font::WIDTH + 1), font::HEIGHT);
        let scale = (width / 2 / columns).min(height / 2 / rows).max(1);
        let (left, top) = (width.saturating_sub(columns * scale) / 2, height.saturating_sub(rows * scale) / 2);
        for y in 0..rows * scale {
            for x in 0..columns * scale {
                let (at_x, at_y) = (left + x, top + y);
                if at_x < width && at_y < height && font::ink(self.text.as_bytes(), x / scale, y / scale) {
                    self.data[at_y * width + at_x] = LIGHT;
                }
            }
        }
    }

    /// The picture, and whether it is the first since it was drawn.
    fn show(&mut self) -> (Source<'_>, bool) {
        let first = std::mem::take(&mut self.first);
        let color = Color { range: Range::Limited, matrix: Matrix::Bt709 };
        (Source { format: Format::I420, size: self.size, color, data: &self.data }, first)
    }
}

/// A look that takes longer puts off the next one.
const QUICK_US: u64 = 100_000;

/// Time between two pictures of the card.
const CARD_US: u64 = 1_000_000;

/// Luma of the card and of its text.
const DARK: u8 = 40;
const LIGHT: u8 = 180;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Devices that tests plug in and out: each picture is of the device's own grey.
    #[derive(Clone, Default)]
    struct Desk(Arc<Mutex<Vec<(Device, u8)>>>);

    impl Desk {
        fn plug(&self, name: &str, grey: u8) -> Device {
            self.plug_at(Backend::V4l, name, grey)
        }

        fn plug_at(&self, backend: Backend, name: &str, grey: u8) -> Device {
            let id = Id::new(backend, name);
            let device = Device::new(Kind::Camera, id, name);
            self.0.lock().unwrap().push((device.clone(), grey));
            device
        }

        fn unplug(&self, name: &str) {
            self.0.lock().unwrap().retain(|(device, _)| device.name != name);
        }
    }

    impl Devices for Desk {
        fn list(&mut self, kind: Kind) -> Vec<Device> {
            let all = self.0.lock().unwrap();
            all.iter().map(|(device, _)| device.clone()).filter(|device| device.kind == kind).collect()
        }

        fn open(&mut self, device: &Device) -> Result<Box<dyn LiveVideo>, DeviceError> {
            assert_ne!(device.id.backend(), Backend::Portal, "the user is asked");
            let all = self.0.lock().unwrap();
            let Device { kind, id, .. } = device.clone();
            let Some((device, grey)) = all.iter().find(|(there, _)| there.id == id).cloned() else {
                return Err(DeviceError::Missing { kind, id });
            };
            let data = vec![grey; Format::I420.len(SIZE)];
            Ok(Box::new(Plugged { desk: self.clone(), device, data, patience: 5 }))
        }
    }

    struct Plugged {
        desk: Desk,
        device: Device,
        data: Vec<u8>,
        /// Waits that one which gives no picture takes before it is lost.
        patience: u32,
    }

    /// The grey of a camera that gives no picture.
    const NOTHING: u8 = 0;

    impl LiveVideo for Plugged {
        fn wait(&mut self, _: Duration) -> Result<Taken<'_>, CaptureError> {
            let Device { kind, id, .. } = self.device.clone();
            if !self.desk.0.lock().unwrap().iter().any(|(there, _)| there.id == id) {
                return Err(DeviceError::Lost { kind, id, why: "unplugged".into() }.into());
            }
            if self.data[0] == NOTHING {
                self.patience -= 1;
                let lost = DeviceError::Lost { kind, id, why: "it gave no picture".into() };
                return if self.patience == 0 { Err(lost.into()) } else { Ok(Taken::Nothing) };
            }
            let source = Source { format: Format::I420, size: SIZE, color: Color::default(), data: &self.data };
            Ok(Taken::Picture(Shot { source, captured: Time(1), damage: Damage::NONE, fresh: false }))
        }

        fn interval_us(&self) -> u64 {
            40_000
        }

        fn dropped(&self) -> u64 {
            1
        }
    }

    const SIZE: Size = Size::new(320, 180);

    /// What came of `waits` waits: turns by name, pictures by the luma in their corner, `!` where fresh.
    fn see(steady: &mut Steady, waits: usize) -> Vec<String> {
        let mut seen = Vec::new();
        for _ in 0..waits {
            match steady.wait(Duration::ZERO).expect("goes on") {
                Taken::Picture(shot) => {
                    assert_eq!(shot.source.data.len(), Format::I420.len(shot.source.size));
                    assert_eq!(shot.source.size, SIZE, "the card has the size of the picture before it");
                    assert!(!shot.fresh || shot.damage == Damage::ALL);
                    seen.push(format!("{}{}", shot.source.data[0], if shot.fresh { "!" } else { "" }));
                }
                Taken::Turn(Turn::Lost { device, why }) => seen.push(format!("lost {} ({why})", device.name)),
                Taken::Turn(Turn::Instead(device)) => seen.push(format!("instead {}", device.name)),
                Taken::Turn(Turn::Back(device)) => seen.push(format!("back {}", device.name)),
                Taken::Turn(Turn::Reshaped(device)) => seen.push(format!("reshaped {}", device.name)),
                Taken::Nothing => {}
            }
        }
        seen
    }

    fn open(desk: &Desk, wanted: Device, instead: bool) -> Steady {
        let rules = Rules { instead, look: Duration::ZERO };
        Steady::open(Box::new(desk.clone()), wanted, rules, Clock::start()).expect("opens")
    }

    #[test]
    fn the_next_camera_goes_on_and_the_wanted_one_takes_over_again() {
        let desk = Desk::default();
        let (wanted, _) = (desk.plug("desk", 10), desk.plug("lid", 20));
        let mut steady = open(&desk, wanted, true);
        assert_eq!(see(&mut steady, 2), ["10!", "10"]);
        desk.unplug("desk");
        let lost = "lost desk (the camera v4l:desk was lost: unplugged)";
        assert_eq!(see(&mut steady, 5), [lost, "instead lid", "20!", "20"]);
        desk.plug("desk", 10);
        assert_eq!(see(&mut steady, 3), ["back desk", "10!", "10"]);
        assert_eq!(steady.dropped(), 3, "one of each device that was opened");
    }

    #[test]
    fn a_card_stands_in_where_there_is_no_other() {
        let desk = Desk::default();
        let wanted = desk.plug("desk", 10);
        let mut steady = open(&desk, wanted, true);
        assert_eq!(see(&mut steady, 1), ["10!"]);
        desk.unplug("desk");
        let seen = see(&mut steady, 4);
        assert_eq!(seen[1..], [format!("{DARK}!")], "one picture of it, and the next one a second later");
        assert!(steady.device().is_none() && steady.interval_us() == CARD_US);
        desk.plug("lid", 20);
        assert_eq!(see(&mut steady, 2), ["instead lid", "20!"]);
        desk.unplug("lid");
        desk.plug("desk", 10);
        assert_eq!(see(&mut steady, 5).iter().filter(|seen| seen.contains("back desk")).count(), 1);
    }

    #[test]
    fn nobody_is_asked_by_a_portal_because_a_camera_was_lost() {
        let desk = Desk::default();
        let (wanted, _) = (desk.plug("desk", 10), desk.plug_at(Backend::Portal, "camera", 99));
        let mut steady = open(&desk, wanted, true);
        see(&mut steady, 1);
        desk.unplug("desk");
        assert_eq!(see(&mut steady, 20).len(), 2, "that it is lost, and the card");
    }

    #[test]
    fn one_that_gives_nothing_takes_over_from_nobody() {
        let desk = Desk::default();
        let (wanted, _) = (desk.plug("desk", 10), desk.plug("lid", 20));
        let mut steady = open(&desk, wanted, true);
        see(&mut steady, 1);
        desk.unplug("desk");
        assert_eq!(see(&mut steady, 4)[1..], ["instead lid", "20!"]);
        desk.plug("desk", NOTHING);
        assert_eq!(see(&mut steady, 30), ["20"; 30]);
        desk.unplug("desk");
        see(&mut steady, 1);
        desk.plug("desk", 10);
        let seen = see(&mut steady, 20);
        assert_eq!(seen.iter().filter(|seen| *seen == "back desk").count(), 1, "{seen:?}");
        assert_eq!(seen.last().map(String::as_str), Some("10"));
        // Nor from the card; and the next one is tried.
        desk.unplug("desk");
        desk.unplug("lid");
        see(&mut steady, 2);
        (desk.plug("desk", NOTHING), desk.plug("lid", NOTHING), desk.plug("third", 30));
        let seen = see(&mut steady, 60);
        assert!(seen.contains(&"instead third".to_owned()) && !seen.contains(&"back desk".to_owned()), "{seen:?}");
    }

    #[test]
    fn a_window_that_closed_does_not_come_back_as_another() {
        let desk = Desk::default();
        let wanted = Device { kind: Kind::Window, ..desk.plug("window-0x7", 10) };
        let mut steady = open(&desk, wanted, false);
        see(&mut steady, 1);
        desk.unplug("window-0x7");
        assert_eq!(see(&mut steady, 3).len(), 2, "that it is lost, and the card");
        desk.plug("window-0x7", 20);
        assert_eq!(see(&mut steady, 20), Vec::<String>::new());
    }

    #[test]
    fn no_other_goes_on_where_the_rules_forbid_it() {
        let desk = Desk::default();
        let (wanted, _) = (desk.plug("desk", 10), desk.plug("lid", 20));
        let mut steady = open(&desk, wanted, false);
        see(&mut steady, 1);
        desk.unplug("desk");
        assert!(see(&mut steady, 20).iter().all(|seen| !seen.contains("lid") && seen != "20"));
        desk.plug("desk", 30);
        assert_eq!(see(&mut steady, 2), ["back desk", "30!"]);
    }

    #[test]
    fn the_card_says_what_is_lost_in_letters_that_fill_half_of_it() {
        let mut card = Card::new(Kind::Window);
        card.size = Size::new(320, 180);
        card.begin();
        let luma = &card.data[..320 * 180];
        let inked: Vec<usize> = (0..luma.len()).filter(|&at| luma[at] == LIGHT).collect();
        let columns = || inked.iter().map(|at| at % 320);
        assert!(columns().min().unwrap() >= 80 && columns().max().unwrap() < 240 && inked.len() > 400);
        // No size is too small for it.
        card.size = Size::new(1, 1);
        card.begin();
        assert_eq!(card.show().0.data.len(), 3);
    }
}
