//! Screens and windows of an X server come as pictures: what was drawn, to the pixel, and no more than what changed.
#![cfg(all(feature = "devices", target_os = "linux"))]

#[path = "support/xvfb.rs"]
mod xvfb;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use conclave::capture::live::{Damage, LiveVideo, Rect, Taken, Turn};
use conclave::capture::screen::{self, Wish};
use conclave::codecs::Size;
use conclave::devices::{DeviceError, Id, Kind, Listing};
use conclave::time::{Clock, Time};
use x11rb::protocol::composite::{ConnectionExt as _, Redirect};
use x11rb::protocol::xproto::{ConfigureWindowAux, StackMode, Window};
use xvfb::{Painter, Xvfb};

/// A capture and the picture it gave last.
struct Eye {
    live: Box<dyn LiveVideo>,
    size: Size,
    picture: Vec<u8>,
    damage: Damage,
    fresh: bool,
    turns: Vec<Turn>,
}

impl Eye {
    fn open(id: &str, wish: Wish) -> Self {
        Self::try_open(id, wish).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_open(id: &str, wish: Wish) -> Result<Self, DeviceError> {
        let live = screen::open(&id.parse::<Id>()?, wish, Clock::start())?;
        let size = Size::new(0, 0);
        Ok(Self { live, size, picture: Vec::new(), damage: Damage::NONE, fresh: false, turns: Vec::new() })
    }

    fn window(window: Window, wish: Wish) -> Self {
        Self::open(&format!("x11:window-0x{window:x}"), wish)
    }

    /// Waits for a picture that shows something new; `false` where none came in `ms`.
    fn next(&mut self, ms: u64) -> bool {
        let until = Instant::now() + Duration::from_millis(ms);
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            match self.live.wait(left).unwrap_or_else(|error| panic!("{error}")) {
                Taken::Picture(shot) => {
                    assert!(!shot.damage.is_none(), "a picture without a reason");
                    self.size = shot.source.size;
                    self.picture.clear();
                    self.picture.extend_from_slice(shot.source.data);
                    (self.damage, self.fresh) = (shot.damage, shot.fresh);
                    return true;
                }
                Taken::Turn(turn) => self.turns.push(turn),
                Taken::Nothing => {}
            }
        }
        false
    }

    /// Takes pictures until one is as `like` wants it; a busy machine may take its time.
    fn until(&mut self, what: &str, like: impl Fn(&Eye) -> bool) {
        let begun = Instant::now();
        while !like(self) {
            assert!(begun.elapsed() < PATIENCE, "no picture came with {what}");
            self.next(200);
        }
    }

    /// Takes pictures until no more come.
    fn rest(&mut self) {
        while self.next(200) {}
    }

    fn pixel(&self, x: u32, y: u32) -> u32 {
        if x >= self.size.width || y >= self.size.height {
            return u32::MAX;
        }
        let at = 4 * (y as usize * self.size.width as usize + x as usize);
        u32::from_le_bytes([self.picture[at], self.picture[at + 1], self.picture[at + 2], 0])
    }

    /// The error that ends it.
    fn end(&mut self) -> String {
        let begun = Instant::now();
        loop {
            match self.live.wait(Duration::from_millis(100)) {
                Err(error) => return error.to_string(),
                Ok(_) => assert!(begun.elapsed() < PATIENCE, "it does not end"),
            }
        }
    }

    /// That the picture is what the server shows.
    fn assert_equals(&self, painter: &Painter) {
        let (width, height) = painter.size;
        assert_eq!(self.size, Size::new(width.into(), height.into()));
        assert_same(&self.picture, &painter.read(painter.root, width, height));
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Compares the colours; the fourth byte means nothing.
fn assert_same(a: &[u8], b: &[u8]) {
    assert_eq!(a.len(), b.len());
    let differ = a.chunks_exact(4).zip(b.chunks_exact(4)).position(|(a, b)| a[..3] != b[..3]);
    assert_eq!(differ, None, "a pixel differs");
}

fn covered(damage: &Damage, x: u32, y: u32) -> bool {
    damage.rects().iter().any(|r| x >= r.x && x - r.x < r.width && y >= r.y && y - r.y < r.height)
}

const RED: u32 = 0xc0_20_10;
const GREEN: u32 = 0x10_b0_30;
const BLUE: u32 = 0x20_30_d0;

#[test]
fn a_screen_is_what_was_drawn_to_the_pixel() {
    let Some(server) = Xvfb::start(321, 243) else { return };
    let painter = server.painter();
    painter.window(10, 20, 100, 50, RED);
    painter.window(300, 200, 100, 100, GREEN);
    let mut eye = Eye::open("x11:screen-0", server.wish());
    assert!(eye.next(5_000) && eye.fresh && eye.damage == Damage::ALL);
    eye.assert_equals(&painter);
    assert_eq!([eye.pixel(10, 20), eye.pixel(109, 69), eye.pixel(320, 242)], [RED, RED, GREEN]);
    assert_eq!([eye.pixel(9, 20), eye.pixel(110, 69), eye.pixel(299, 242)], [0, 0, 0]);
    assert_eq!(eye.turns, []);
}

#[test]
fn what_differs_lies_inside_the_damage_whatever_is_drawn() {
    let Some(server) = Xvfb::start(400, 300) else { return };
    let painter = server.painter();
    let mut rng = fastrand::Rng::with_seed(11);
    let windows: Vec<Window> = (0..4).map(|i| painter.window(40 * i, 30, 90, 70, 0x30_40_50 * i as u32)).collect();
    painter.cursor(9, (0xffff, 0xffff, 0));
    let wish = Wish { cursor: true, fps: (200, 1), ..server.wish() };
    let mut eye = Eye::open("x11:screen-0", wish);
    eye.rest();
    let (mut pictures, mut least, begun) = (0, u64::MAX, Instant::now());
    while pictures < 200 {
        assert!(begun.elapsed() < Duration::from_secs(120), "only {pictures} pictures");
        for _ in 0..rng.u32(1..6) {
            let window = windows[rng.usize(0..4)];
            match rng.u8(0..6) {
                0 => painter.place(window, rng.i32(-60..400), rng.i32(-60..300)),
                1 => painter.resize(window, rng.u32(1..200), rng.u32(1..200)),
                2 => painter.configure(window, &ConfigureWindowAux::new().stack_mode(StackMode::ABOVE)),
                3 => painter.point(rng.i16(0..400), rng.i16(0..300)),
                _ => {
                    let part = (rng.i16(-9..200), rng.i16(-9..200), rng.u16(1..40), rng.u16(1..40));
                    painter.fill(if rng.bool() { window } else { painter.root }, part, rng.u32(0..1 << 24));
                }
            }
        }
        let before = eye.picture.clone();
        if !eye.next(100) {
            continue;
        }
        assert!(!eye.fresh && eye.damage.rects().iter().all(|rect| rect.clip(eye.size) == Some(*rect)));
        pictures += 1;
        least = least.min(eye.damage.rects().iter().map(|r| u64::from(r.width) * u64::from(r.height)).sum());
        for (i, (old, new)) in before.chunks_exact(4).zip(eye.picture.chunks_exact(4)).enumerate() {
            let (x, y) = (i as u32 % eye.size.width, i as u32 / eye.size.width);
            assert!(old[..3] == new[..3] || covered(&eye.damage, x, y), "{x},{y} is not in {:?}", eye.damage);
        }
    }
    // It is told in parts, not each time as a whole.
    assert!(least < 400 * 300 / 10, "{least} pixels of damage at least");
    // Nothing was left out: with the cursor away the last picture is the screen.
    painter.point(399, 299);
    eye.until("the cursor in the corner", |eye| eye.pixel(399, 299) == 0xff_ff_00);
    eye.rest();
    let mut shown = painter.read(painter.root, 400, 300);
    let corner = 4 * (400 * 300 - 1);
    shown[corner..].copy_from_slice(&[0, 0xff, 0xff, 0]);
    assert_same(&eye.picture, &shown);
}

#[test]
fn a_still_screen_gives_no_picture_and_asks_nothing() {
    let Some(server) = Xvfb::start(640, 480) else { return };
    let painter = server.painter();
    painter.window(10, 20, 100, 50, RED);
    for cursor in [false, true] {
        let mut eye = Eye::open("x11:screen-0", Wish { cursor, ..server.wish() });
        eye.until("the picture", |eye| eye.fresh);
        eye.rest();
        let asking = thread_usage();
        (0..300).for_each(|_| painter.sync());
        let (before, served) = (thread_usage(), server.ticks());
        let asked_us = before.0 - asking.0;
        let begun = Instant::now();
        assert!(!eye.next(3_000), "a picture of a still screen");
        let (after, passed) = (thread_usage(), begun.elapsed());
        let (cpu_us, sleeps) = (after.0 - before.0, after.1 - before.1);
        let share = cpu_us as f64 / passed.as_micros() as f64;
        println!(
            "still, cursor {cursor}: {:.2} % of a core, {sleeps} sleeps, server {} ms in {passed:?}",
            100.0 * share,
            10 * (server.ticks() - served)
        );
        // Or twice what so many questions cost, where the machine is that slow.
        assert!(share < 0.02 || cpu_us < 2 * asked_us, "{share}, {cpu_us} µs, {asked_us} µs for 300 questions");
        // With nothing to ask one sleep is enough; the pointer is asked for once an interval.
        assert!(sleeps < if cursor { 300 } else { 10 }, "{sleeps} sleeps");
    }
}

/// `CONCLAVE_SECONDS=60` makes it the run whose figures are told, and holds it to them.
#[test]
fn a_moving_window_is_seen_as_often_as_it_is_drawn() {
    let Some(server) = Xvfb::start(1280, 720) else { return };
    let given: Option<u64> = std::env::var("CONCLAVE_SECONDS").ok().and_then(|text| text.parse().ok());
    let frames = 30 * given.unwrap_or(3);
    let clock = Clock::start();
    let wish = Wish { cursor: true, ..server.wish() };
    let mut live = screen::open(&"x11:screen-0".parse().unwrap(), wish, clock).unwrap();
    let painter = server.painter();
    // When each was begun, and when the server had drawn it.
    let drawn: Arc<Vec<[AtomicU64; 2]>> = Arc::new((0..frames).map(|_| Default::default()).collect());
    let times = drawn.clone();
    let drawing = std::thread::spawn(move || {
        let (back, ticker) = (painter.window(0, 0, 1280, 720, 0), painter.window(0, 0, 16, 16, 0));
        let moving = painter.window(20, 0, 320, 240, RED);
        painter.point(1000, 700);
        (0..5).for_each(|i| painter.fill(back, (200 * i, 90 * i, 150, 80), GREEN));
        let begun = Instant::now() + Duration::from_millis(200);
        for (frame, time) in times.iter().enumerate() {
            let at = begun + Duration::from_micros(33_333 * frame as u64);
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            time[0].store(clock.now().0, Ordering::Relaxed);
            let frame = frame as u32;
            painter.paint(ticker, (0, 0, 16, 16), frame + 1);
            painter.place(moving, (20 + 7 * frame as i32) % 960, (3 * frame as i32) % 480);
            time[1].store(clock.now().0, Ordering::Release);
        }
        // Its windows go with it.
        painter
    });
    let (before, served) = (thread_usage(), server.ticks());
    let (mut seen, mut latencies, mut last, mut pictures) = (Vec::new(), Vec::new(), Time(0), 0);
    let begun = clock.now();
    while seen.last() != Some(&frames) {
        assert!(clock.now().since(begun) < 1_000_000 * (frames / 30 + 20), "the last of {frames} is not seen");
        let Taken::Picture(shot) = live.wait(Duration::from_millis(100)).unwrap() else { continue };
        let [b, g, r] = [0, 1, 2].map(|i| u64::from(shot.source.data[i]));
        let now = clock.now();
        pictures += 1;
        // Each begins its ledger later than the one before, and shows all that was drawn until then.
        let shown = (r << 16) + (g << 8) + b;
        let before = seen.last().copied().unwrap_or(0);
        assert!(last < shot.captured && shot.captured <= now && shown >= before);
        let due = drawn.iter().take_while(|time| (1..=shot.captured.0).contains(&time[1].load(Ordering::Acquire)));
        let due = due.count() as u64;
        assert!(shown >= due, "{shown} is shown where {due} was drawn at {:?}", shot.captured);
        if shown > before {
            seen.push(shown);
            latencies.push(now.since(Time(drawn[shown as usize - 1][0].load(Ordering::Relaxed))));
        }
        last = shot.captured;
    }
    let _painter = drawing.join().unwrap();
    let (after, passed) = (thread_usage(), clock.now().since(begun));
    latencies.sort();
    // On a busy machine drawing is late and catches up: what stood for less than half of an interval could not be seen.
    let time = |frame: u64, which: usize| drawn[frame as usize - 1][which].load(Ordering::Relaxed);
    let stood = |frame: &u64| *frame == frames || time(frame + 1, 0).saturating_sub(time(*frame, 1)) >= 16_667;
    let (stood, hasty): (Vec<u64>, Vec<u64>) = (1..=frames).partition(stood);
    let dropped = stood.iter().filter(|frame| seen.binary_search(frame).is_err()).count();
    println!(
        "{frames} drawn, {} of them for too short a time; {} seen in {pictures} pictures; {dropped} of {} dropped; \
         from change to picture p50 {} µs, p95 {} µs; {:.1} % of a core, server {:.1} %",
        hasty.len(),
        seen.len(),
        stood.len(),
        latencies[latencies.len() / 2],
        latencies[latencies.len() * 95 / 100],
        100.0 * (after.0 - before.0) as f64 / passed as f64,
        1e6 * (server.ticks() - served) as f64 / passed as f64,
    );
    assert!(given.is_none() || 100 * dropped <= stood.len(), "{dropped} of {} dropped", stood.len());
}

/// CPU time of this thread in microseconds, and how often it slept.
fn thread_usage() -> (u64, u64) {
    // SAFETY: the zero bytes are a value of the plain struct, which the call fills.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &mut usage), 0);
        usage
    };
    let us = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    (us(usage.ru_utime) + us(usage.ru_stime), usage.ru_nvcsw as u64)
}

#[test]
fn the_cursor_is_drawn_where_it_points_and_leaves_no_trace() {
    let Some(server) = Xvfb::start(320, 240) else { return };
    let painter = server.painter();
    painter.window(0, 0, 320, 240, BLUE);
    painter.cursor(8, (0xffff, 0x8080, 0));
    painter.point(100, 60);
    let mut eye = Eye::open("x11:screen-0", Wish { cursor: true, ..server.wish() });
    eye.until("the cursor", |eye| eye.pixel(100, 60) == 0xff_80_00);
    assert_eq!([eye.pixel(107, 67), eye.pixel(108, 67), eye.pixel(99, 60)], [0xff_80_00, BLUE, BLUE]);
    eye.rest();
    // Half over the edge.
    painter.point(316, 236);
    eye.until("the cursor at the edge", |eye| eye.pixel(319, 239) == 0xff_80_00);
    assert_eq!([eye.pixel(100, 60), eye.pixel(316, 236), eye.pixel(315, 236)], [BLUE, 0xff_80_00, BLUE]);
    assert!(covered(&eye.damage, 100, 60) && covered(&eye.damage, 319, 239) && !eye.fresh);
    eye.rest();
    // Other looks, in the same place.
    painter.cursor(8, (0, 0xffff, 0));
    eye.until("other looks", |eye| eye.pixel(316, 236) == 0xff_00);
    // Without the wish it is not there.
    let mut bare = Eye::open("x11:screen-0", server.wish());
    assert!(bare.next(5_000));
    assert_eq!(bare.pixel(316, 236), BLUE);
}

#[test]
fn a_region_is_cut_out_and_what_changes_beside_it_makes_no_picture() {
    let Some(server) = Xvfb::start(320, 240) else { return };
    let painter = server.painter();
    let window = painter.window(50, 40, 20, 10, RED);
    let region = Rect { x: 45, y: 35, width: 60, height: 31 };
    let mut eye = Eye::open("x11:screen-0", Wish { region: Some(region), ..server.wish() });
    assert!(eye.next(5_000));
    assert_eq!(eye.size, Size::new(60, 31));
    assert_eq!([eye.pixel(5, 5), eye.pixel(24, 14), eye.pixel(4, 5), eye.pixel(25, 14)], [RED, RED, 0, 0]);
    eye.rest();
    painter.fill(painter.root, (200, 200, 30, 30), GREEN);
    assert!(!eye.next(300), "a picture of what changed elsewhere");
    painter.place(window, 100, 60);
    eye.until("the window at its edge", |eye| eye.pixel(55, 25) == RED);
    assert_eq!(eye.pixel(5, 5), 0);
    // One that lies over the edge is cut; one outside is refused.
    let wide = Rect { x: 300, y: 0, width: u32::MAX, height: u32::MAX };
    let mut eye = Eye::open("x11:screen-0", Wish { region: Some(wide), ..server.wish() });
    assert!(eye.next(5_000));
    assert_eq!(eye.size, Size::new(20, 240));
    let outside = Rect { x: 320, ..region };
    let refused = Eye::try_open("x11:screen-0", Wish { region: Some(outside), ..server.wish() });
    let said = refused.err().expect("nothing to see").to_string();
    assert!(said.contains("outside"), "{said}");
}

#[test]
fn a_window_shows_when_it_is_covered_moved_beyond_the_edge_or_resized() {
    let Some(server) = Xvfb::start(320, 240) else { return };
    let painter = server.painter();
    let window = painter.window(20, 20, 100, 60, RED);
    let cover = painter.window(0, 0, 320, 240, GREEN);
    let mut eye = Eye::window(window, server.wish());
    eye.until("the covered window", |eye| {
        eye.size == Size::new(100, 60) && eye.picture.chunks_exact(4).all(|pixel| pixel[..3] == [0x10, 0x20, 0xc0])
    });
    eye.rest();
    // What is drawn over it is not in it, what is drawn into it is.
    painter.fill(cover, (30, 30, 20, 20), BLUE);
    painter.fill(window, (10, 10, 5, 5), GREEN);
    eye.until("what was drawn", |eye| eye.pixel(14, 14) == GREEN);
    assert!(!eye.fresh && covered(&eye.damage, 10, 10) && !covered(&eye.damage, 20, 20), "{:?}", eye.damage);
    painter.place(window, -50, 200);
    painter.fill(window, (0, 50, 5, 5), BLUE);
    eye.until("what was drawn beyond the edge", |eye| eye.pixel(4, 54) == BLUE);
    assert_eq!([eye.pixel(14, 14), eye.pixel(50, 30)], [GREEN, RED]);
    assert_eq!(eye.turns, []);

    painter.resize(window, 131, 77);
    eye.until("its new size", |eye| eye.size == Size::new(131, 77) && eye.pixel(130, 76) == RED);
    assert!(matches!(&eye.turns[..], [Turn::Reshaped(device)] if device.video[0].size == eye.size), "{:?}", eye.turns);
    // A border is not part of the picture.
    painter.configure(window, &ConfigureWindowAux::new().border_width(7));
    painter.fill(window, (0, 0, 3, 3), BLUE);
    eye.until("its corner inside the border", |eye| eye.pixel(2, 2) == BLUE && eye.pixel(3, 3) == RED);
    eye.rest();
    painter.fill(window, (100, 70, 4, 4), GREEN);
    eye.until("a change inside the border", |eye| eye.pixel(103, 73) == GREEN && eye.pixel(104, 73) == RED);
}

#[test]
fn a_window_that_is_hidden_waits_and_one_that_closes_is_lost_by_name() {
    let Some(server) = Xvfb::start(320, 240) else { return };
    let painter = server.painter();
    let window = painter.unmapped(20, 20, 100, 60, RED);
    painter.title(window, "The minutes");
    let mut eye = Eye::window(window, server.wish());
    assert!(!eye.next(300), "a picture of a window that is not shown");
    painter.map(window);
    eye.until("the window", |eye| eye.pixel(50, 30) == RED);
    assert!(eye.fresh);
    eye.rest();
    painter.unmap(window);
    assert!(!eye.next(300), "a picture of a hidden window");
    painter.map(window);
    assert!(eye.next(5_000) && eye.fresh);
    painter.resize(window, 1, 1);
    eye.until("one pixel", |eye| eye.size == Size::new(1, 1) && eye.pixel(0, 0) == RED);
    painter.close(window);
    let said = eye.end();
    assert!(said.contains(&format!("window-0x{window:x}")) && said.contains("The minutes"), "{said}");
    assert!(said.contains("closed"), "{said}");
}

#[test]
fn a_window_in_the_hands_of_another_is_followed() {
    let Some(server) = Xvfb::start(320, 240) else { return };
    let painter = server.painter();
    let window = painter.window(20, 20, 100, 60, RED);
    let mut eye = Eye::window(window, server.wish());
    eye.until("the window", |eye| eye.pixel(50, 30) == RED);
    use x11rb::protocol::xproto::ConnectionExt as _;
    let frame = painter.window(100, 100, 140, 90, BLUE);
    painter.conn.reparent_window(window, frame, 5, 5).unwrap();
    painter.sync();
    eye.rest();
    painter.fill(window, (10, 10, 5, 5), GREEN);
    eye.until("what was drawn in the frame", |eye| eye.pixel(14, 14) == GREEN && eye.pixel(15, 15) == RED);
    // A frame that is put away hides what is in it, and shows it again.
    eye.rest();
    painter.unmap(frame);
    assert!(!eye.next(300), "a picture of a window in a hidden frame");
    painter.map(frame);
    eye.until("the window again", |eye| eye.fresh && eye.pixel(50, 30) == RED);
}

#[test]
fn a_window_that_cannot_be_redirected_is_read_off_the_screen() {
    let Some(server) = Xvfb::start_with("320x240x24", &["-extension", "Composite"]) else { return };
    let painter = server.painter();
    let window = painter.window(20, 20, 100, 60, RED);
    let mut eye = Eye::window(window, server.wish());
    eye.until("the window", |eye| eye.size == Size::new(100, 60) && eye.pixel(99, 59) == RED);
    painter.place(window, -40, 200);
    eye.until("the part on the screen", |eye| eye.pixel(39, 10) == 0 && eye.pixel(40, 39) == RED);
    painter.fill(window, (0, 0, 100, 60), GREEN);
    eye.until("a change of that part", |eye| eye.pixel(99, 39) == GREEN && eye.pixel(99, 40) == 0);
    painter.place(window, 400, 400);
    assert!(!eye.next(300) || eye.pixel(0, 0) == 0);
    painter.place(window, 0, 0);
    // What was beyond the edge is lost, and its background drawn again.
    eye.until("all of it", |eye| eye.pixel(0, 0) == RED && eye.pixel(99, 59) == RED);
}

#[test]
fn pixels_come_the_same_by_descriptor_by_number_and_over_the_wire() {
    for (options, host) in
        [(&["-listen", "tcp", "-ac"][..], "127.0.0.1"), (&["-extension", "MIT-SHM"][..], ""), (&[][..], "")]
    {
        let Some(server) = Xvfb::start_with("317x211x24", options) else { return };
        let painter = server.painter();
        let window = painter.window(10, 20, 100, 50, RED);
        let wish = Wish { display: Some(format!("{host}{}", server.display)), ..server.wish() };
        let mut eye = Eye::open("x11:screen-0", wish);
        assert!(eye.next(5_000));
        eye.assert_equals(&painter);
        painter.place(window, 61, 83);
        painter.fill(painter.root, (300, 200, 40, 40), GREEN);
        eye.rest();
        assert!(!eye.fresh);
        eye.assert_equals(&painter);
    }
}

#[test]
fn a_screen_that_changes_its_size_says_so_and_goes_on() {
    let Some(server) = Xvfb::start(640, 480) else { return };
    let painter = server.painter();
    painter.window(10, 20, 100, 50, RED);
    let mut eye = Eye::open("x11:screen-0", server.wish());
    eye.until("the window", |eye| eye.pixel(50, 30) == RED);
    painter.shrink(500, 300);
    eye.until("the new size", |eye| eye.size == Size::new(500, 300) && eye.pixel(50, 30) == RED);
    assert!(eye.fresh && matches!(&eye.turns[..], [Turn::Reshaped(_)]), "{:?}", eye.turns);
    painter.fill(painter.root, (490, 290, 10, 10), GREEN);
    eye.until("a change in the new corner", |eye| eye.pixel(499, 299) == GREEN);
}

#[test]
fn a_monitor_is_a_screen_of_its_own_by_name() {
    let Some(server) = Xvfb::start(640, 480) else { return };
    let painter = server.painter();
    painter.window(400, 20, 100, 50, RED);
    use x11rb::protocol::randr::{ConnectionExt as _, MonitorInfo};
    use x11rb::protocol::xproto::ConnectionExt as _;
    let set = |name: &str, x, width, outputs| {
        let name = painter.conn.intern_atom(false, name.as_bytes()).unwrap().reply().unwrap().atom;
        let info = MonitorInfo {
            name,
            x,
            width,
            height: 480,
            width_in_millimeters: 100,
            height_in_millimeters: 100,
            outputs,
            ..MonitorInfo::default()
        };
        painter.conn.randr_set_monitor(painter.root, info).unwrap().check().unwrap();
        name
    };
    set("Left", 0, 320, Vec::new());
    let right = set("Right", 320, 320, Vec::new());
    let mut listing = Listing::default();
    screen::list_on(Some(&server.display), &mut listing);
    let ids: Vec<String> = listing.devices.iter().map(|device| device.id.to_string()).collect();
    assert!(ids.contains(&"x11:screen-Right".into()) && ids.contains(&"x11:screen-0".into()), "{ids:?}");
    assert_eq!(listing.devices.iter().filter(|device| device.kind == Kind::Screen && device.default).count(), 1);
    let mut eye = Eye::open("x11:screen-Right", server.wish());
    assert!(eye.next(5_000));
    assert_eq!((eye.size, eye.pixel(80, 20), eye.pixel(79, 20)), (Size::new(320, 480), RED, 0));
    eye.rest();
    painter.fill(painter.root, (0, 0, 50, 50), GREEN);
    assert!(!eye.next(300), "a picture of what changed on the other monitor");
    painter.fill(painter.root, (320, 0, 5, 5), GREEN);
    eye.until("a change on this one", |eye| eye.pixel(4, 4) == GREEN);
    painter.conn.randr_delete_monitor(painter.root, right).unwrap().check().unwrap();
    // Word of that comes with the next change of the screen.
    painter.shrink(600, 480);
    assert!(eye.end().contains("no monitor Right"));
}

#[test]
fn a_server_that_dies_is_told_of() {
    let Some(mut server) = Xvfb::start(320, 240) else { return };
    let mut eye = Eye::open("x11:screen-0", server.wish());
    assert!(eye.next(5_000));
    let _numbering = server.kill();
    let said = eye.end();
    assert!(said.contains("x11:screen-0 was lost") && said.contains("gone"), "{said}");
    let said = Eye::try_open("x11:screen-0", server.wish()).err().expect("no server").to_string();
    assert!(said.contains("cannot be reached"), "{said}");
    let mut listing = Listing::default();
    screen::list_on(Some(&server.display), &mut listing);
    assert!(listing.devices.is_empty() && listing.unseen.len() == 2, "{listing:?}");
}

#[test]
fn two_look_at_once_and_each_sees_all() {
    let Some(server) = Xvfb::start(320, 240) else { return };
    let painter = server.painter();
    let window = painter.window(20, 20, 100, 60, RED);
    let mut eyes = [
        Eye::open("x11:screen-0", server.wish()),
        Eye::window(window, server.wish()),
        Eye::window(window, server.wish()),
    ];
    eyes.iter_mut().for_each(Eye::rest);
    painter.fill(window, (3, 3, 9, 9), GREEN);
    eyes[0].until("the change on the screen", |eye| eye.pixel(23, 23) == GREEN);
    eyes[1].until("the change in the window", |eye| eye.pixel(11, 11) == GREEN);
    eyes[2].until("the change in the window, too", |eye| eye.pixel(11, 11) == GREEN);
    // One who leaves takes nothing from the other.
    let [_, one, mut other] = eyes;
    drop(one);
    painter.fill(window, (50, 50, 5, 5), BLUE);
    other.until("a change after one left", |eye| eye.pixel(54, 54) == BLUE);
}

#[test]
fn ids_that_name_nothing_get_a_sentence() {
    let Some(server) = Xvfb::start(320, 240) else { return };
    let painter = server.painter();
    let names =
        ["window-0x", "window-0xzz", "window-0x7fffffff", "window-0x0", "window-0xfffffffffffff", "screen-", "x"];
    for name in names.into_iter().chain(["screen-none", "window-12", "screen-\u{1f3a5}", "screen-0\n"]) {
        let said = Eye::try_open(&format!("x11:{name}"), server.wish()).err().expect("no device").to_string();
        assert!(said.contains("there is no"), "{name}: {said}");
    }
    // A window for input alone has no pixels.
    use x11rb::connection::Connection;
    use x11rb::protocol::xproto::{ConnectionExt as _, CreateWindowAux, WindowClass};
    let deaf = painter.conn.generate_id().unwrap();
    let (class, none) = (WindowClass::INPUT_ONLY, CreateWindowAux::new());
    painter.conn.create_window(0, deaf, painter.root, 0, 0, 9, 9, 0, class, 0, &none).unwrap();
    painter.sync();
    let said = Eye::try_open(&format!("x11:window-0x{deaf:x}"), server.wish()).err().expect("no pixels").to_string();
    assert!(said.contains("cannot be used") && said.contains("input"), "{said}");
    for display in ["", ":", "nonsense", ":99999", "[::", "/nowhere:0"] {
        let wish = Wish { display: Some(display.into()), ..Wish::default() };
        assert!(Eye::try_open("x11:screen-0", wish).is_err());
    }
}

#[test]
fn a_screen_of_few_colours_is_refused_with_a_sentence() {
    let Some(server) = Xvfb::start_with("320x240x16", &[]) else { return };
    let said = Eye::try_open("x11:screen-0", server.wish()).err().expect("16 bits").to_string();
    assert!(said.contains("16 bits of colour") && said.contains("24"), "{said}");
}

#[test]
fn windows_are_listed_with_their_titles() {
    let Some(server) = Xvfb::start(320, 240) else { return };
    let painter = server.painter();
    let window = painter.window(20, 20, 100, 60, RED);
    painter.title(window, "The minutes");
    painter.unmapped(0, 0, 10, 10, BLUE);
    let mut listing = Listing::default();
    screen::list_on(Some(&server.display), &mut listing);
    assert_eq!(listing.unseen, []);
    let [screen, shown] = &listing.devices[..] else { panic!("{:?}", listing.devices) };
    assert_eq!((screen.id.to_string(), screen.default, screen.kind), ("x11:screen-0".into(), true, Kind::Screen));
    assert_eq!(screen.video[0].size, Size::new(320, 240));
    assert_eq!((shown.id.to_string(), &shown.name[..]), (format!("x11:window-0x{window:x}"), "The minutes"));
    assert_eq!((shown.kind, shown.video[0].size), (Kind::Window, Size::new(100, 60)));
    assert!(Eye::try_open(&shown.id.to_string(), server.wish()).is_ok());
}

#[test]
fn a_compositing_manager_does_not_hinder() {
    let Some(server) = Xvfb::start(320, 240) else { return };
    let (painter, manager) = (server.painter(), server.painter());
    let window = painter.window(20, 20, 100, 60, RED);
    manager.conn.composite_query_version(0, 4).unwrap().reply().unwrap();
    manager.conn.composite_redirect_subwindows(manager.root, Redirect::MANUAL).unwrap().check().unwrap();
    let mut eye = Eye::window(window, server.wish());
    eye.until("the window", |eye| eye.pixel(50, 30) == RED);
    painter.fill(window, (3, 3, 9, 9), GREEN);
    eye.until("a change", |eye| eye.pixel(11, 11) == GREEN);
}
