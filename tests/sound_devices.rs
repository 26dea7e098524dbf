//! Microphones and speakers on a PipeWire of the test's own. What is played into a null sink comes out of its monitor.
#![cfg(all(feature = "devices", target_os = "linux"))]

#[path = "support/pipewire.rs"]
mod pipewire;
#[path = "support/sinks.rs"]
mod sinks;
#[path = "support/tone.rs"]
mod tone;

use std::time::Duration;

use conclave::audio::microphone::{self, Microphone};
use conclave::capture::live::{Heard, LiveMicrophone, Turn};
use conclave::devices::{self, Backend, DeviceError, Kind};
use conclave::time::Clock;
use sinks::{Player, add, id, open, patiently, sink, start};
use tone::{HERTZ, judge};

/// Waits for the next packet or event.
fn next(microphone: &mut Microphone, pcm: &mut [i16]) -> Heard {
    microphone.wait(pcm, Duration::from_millis(200)).expect("a microphone")
}

/// The tone is heard.
fn loud(heard: &Heard) -> bool {
    matches!(heard, Heard::Samples { level, .. } if *level > -15)
}

/// Plays the tone into `name`, and a microphone that hears it; a packet's samples.
fn playing(name: &str) -> (Clock, Player, Microphone, Vec<i16>) {
    let clock = Clock::start();
    let (player, mut microphone, mut pcm) = (Player::start(name, clock), open(name, clock), vec![0; 960]);
    until("the tone is there", clock, || loud(&next(&mut microphone, &mut pcm)));
    (clock, player, microphone, pcm)
}

/// Waits until `done` says so, half a minute at most.
fn until(what: &str, clock: Clock, mut done: impl FnMut() -> bool) {
    let end = clock.now().plus(30_000_000);
    while !done() {
        assert!(clock.now() < end, "not within half a minute: {what}");
    }
}

fn seconds() -> usize {
    std::env::var("CONCLAVE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

#[test]
fn devices_are_listed_under_names_that_last() {
    let Some(daemon) = start(&["near", "far"]) else { return };
    let listing = devices::list();
    let ours = |listing: &devices::Listing, kind| -> Vec<String> {
        let of_kind = listing.devices.iter().filter(|device| device.kind == kind);
        of_kind.map(|device| device.id.name().to_owned()).collect()
    };
    // Monitors are heard by name alone: who falls back to another microphone shall not hear what is played.
    assert!(ours(&listing, Kind::Microphone).is_empty(), "{:?}", listing.devices);
    assert!(listing.unseen.iter().any(|unseen| unseen.kind == Kind::Microphone), "{:?}", listing.unseen);
    let missing = |name: &str| Microphone::open(&id(name), microphone::Config::default(), Clock::start()).err();
    for name in ["default", "nowhere"] {
        assert!(matches!(missing(name), Some(DeviceError::Missing { kind: Kind::Microphone, .. })), "{name}");
    }

    let headset = sink("headset").replace("Audio/Sink", "Audio/Source");
    daemon.cli(&["create-node", "adapter", &headset]).expect("a source");
    daemon.until("it is there", || daemon.node("headset").is_some());
    // The streams of programs are no devices.
    let player = Player::start("near", Clock::start());
    daemon.until("it plays", || daemon.dump().contains("Stream/Output/Audio"));
    let listing = devices::list();
    player.stop();
    assert_eq!(ours(&listing, Kind::Microphone), ["default", "headset"]);
    assert_eq!(ours(&listing, Kind::Speaker), ["default", "far", "near"]);
    for device in listing.devices.iter().filter(|device| device.id.backend() == Backend::Sound) {
        assert!(device.audio.iter().any(|mode| (mode.rates.0..=mode.rates.1).contains(&48_000)), "{device:?}");
        assert_eq!(device.default, device.id.name() == "default", "{device:?}");
        assert!(device.name == device.id.name() || device.default && device.name == "Default", "{device:?}");
    }
}

#[test]
fn what_a_speaker_plays_its_monitor_hears() {
    let Some(_daemon) = start(&["near"]) else { return };
    let clock = Clock::start();
    let player = Player::start("near", clock);
    let mut microphone = open("near", clock);
    let (mut pcm, mut all, mut latencies) = (vec![0; 960], Vec::new(), Vec::new());
    until("the tone is there", clock, || loud(&next(&mut microphone, &mut pcm)));
    // A busy machine loses pieces in the graph. Between them the tone is what it was: there is a second without a break.
    let (mut whole, mut pieces, end) = (None, 0, clock.now().plus(30_000_000));
    while pieces < seconds() || whole.is_none() && clock.now() < end {
        let Heard::Samples { captured, .. } = next(&mut microphone, &mut pcm) else { continue };
        latencies.push(clock.now().since(captured));
        all.extend(pcm.iter().map(|sample| f32::from(*sample) / 32_768.0));
        if all.len() == 48_000 {
            let verdict = judge(&all, 48_000.0);
            println!("{verdict:?}");
            pieces += 1;
            // While a level that was disturbed comes back the pitch is off, by 0.2 % at most.
            let calm = verdict.breaks + verdict.dropouts == 0 && verdict.off_ppm.abs() < 1_000.0;
            whole = whole.or(calm.then_some(verdict));
            all.clear();
        }
    }
    let heard = microphone.stats();
    let (_, played) = player.stop();
    latencies.sort_unstable();
    println!("{heard:?}\n{played:?}");
    println!("from the microphone to the packet: {} us in the middle", latencies[latencies.len() / 2]);
    let Some(whole) = whole else {
        assert!(heard.leaps + played.skipped + played.underruns > 0, "breaks, and nobody has lost anything");
        println!("skipped: this machine is too busy to hear a second of sound without a break");
        return;
    };
    println!("{HERTZ} Hz is off by {:.0} ppm", whole.off_ppm);
    assert!((whole.amplitude - 0.5).abs() < 0.05, "{whole:?}");
}

#[test]
fn muted_nothing_is_read() {
    let Some(_daemon) = start(&["near"]) else { return };
    let clock = Clock::start();
    let player = Player::start("near", clock);
    let mut microphone = open("near", clock);
    let (control, mut pcm) = (microphone.control(), vec![0; 960]);
    until("the tone is there", clock, || loud(&next(&mut microphone, &mut pcm)));
    assert!(control.level_dbfs() > -15.0);
    control.mute(true);
    let before = microphone.stats();
    let mut muted = 0;
    until("a second of being muted", clock, || {
        muted += usize::from(next(&mut microphone, &mut pcm) == Heard::Muted);
        muted == 50
    });
    let stats = microphone.stats();
    assert!(stats.withheld > before.withheld && stats.ring_us == 0, "{stats:?}");
    assert_eq!(control.level_dbfs(), -127.0);
    let ended = clock.now();
    control.mute(false);
    let mut first = None;
    until("the tone is back", clock, || {
        let heard = next(&mut microphone, &mut pcm);
        first = first.take().or(match &heard {
            Heard::Samples { captured, .. } => Some(*captured),
            _ => None,
        });
        loud(&heard)
    });
    // What is heard first was taken after the mute ended, not before.
    assert!(first.is_some_and(|captured| captured.plus(100_000) >= ended), "{first:?} of {ended:?}");
    player.stop();
}

#[test]
fn a_sink_that_is_destroyed_is_named_and_comes_back() {
    let Some(daemon) = start(&["near"]) else { return };
    let (clock, player, mut microphone, mut pcm) = playing("near");
    daemon.remove("near");
    until("the loss is told", clock, || match next(&mut microphone, &mut pcm) {
        Heard::Turn(Turn::Lost { device, why }) => {
            assert!(device.id == id("near") && !why.is_empty(), "{device:?}: {why}");
            true
        }
        heard => {
            assert!(!matches!(heard, Heard::Turn(_)), "{heard:?}");
            false
        }
    });
    assert!(microphone.device().is_none());
    let mut silent = 0;
    until("silence in its place", clock, || {
        silent += usize::from(matches!(next(&mut microphone, &mut pcm), Heard::Samples { level: -127, .. }));
        silent == 25
    });
    add(&daemon, "near");
    until(
        "it is back",
        clock,
        || matches!(next(&mut microphone, &mut pcm), Heard::Turn(Turn::Back(device)) if device.id == id("near")),
    );
    until("the tone is back", clock, || loud(&next(&mut microphone, &mut pcm)));
    let (turns, _) = player.stop();
    let names = turns.iter().map(|turn| match turn {
        Turn::Lost { device, .. } => ("lost", &device.id),
        Turn::Back(device) => ("back", &device.id),
        other => panic!("{other:?}"),
    });
    let names: Vec<_> = names.collect();
    assert_eq!(names.first().map(|(what, _)| *what), Some("lost"), "{turns:?}");
    assert_eq!(names.last().map(|(what, _)| *what), Some("back"), "{turns:?}");
    assert!(names.iter().all(|(_, device)| **device == id("near")));
}

#[test]
fn a_server_that_is_killed_is_told_of_and_found_again() {
    let Some(mut daemon) = start(&["near"]) else { return };
    let (clock, player, mut microphone, mut pcm) = playing("near");
    for round in 0..3 {
        daemon.kill();
        until("the loss is told", clock, || matches!(next(&mut microphone, &mut pcm), Heard::Turn(Turn::Lost { .. })));
        daemon.restart();
        add(&daemon, "near");
        until("it is back", clock, || matches!(next(&mut microphone, &mut pcm), Heard::Turn(Turn::Back(_))));
        until("the tone is back", clock, || loud(&next(&mut microphone, &mut pcm)));
        println!("round {round}: {} threads", std::fs::read_dir("/proc/self/task").expect("ours").count());
    }
    let (turns, _) = player.stop();
    assert!(matches!(turns.as_slice(), [.., Turn::Lost { .. }, Turn::Back(_)]), "{turns:?}");
}

/// Waits until the tone is heard on `name`'s monitor.
fn hear(name: &str, clock: Clock) {
    let (mut microphone, mut pcm) = (open(name, clock), [0; 960]);
    until("the tone is there", clock, || loud(&next(&mut microphone, &mut pcm)));
}

#[test]
fn the_default_speaker_stands_in_until_the_wanted_one_is_back() {
    let Some(daemon) = start(&["near", "far"]) else { return };
    let clock = Clock::start();
    let player = Player::open("near", clock, false);
    hear("near", clock);
    daemon.remove("near");
    hear("far", clock);
    add(&daemon, "near");
    hear("near", clock);
    let (turns, _) = player.stop();
    let [.., Turn::Lost { device: lost, .. }, Turn::Instead(other), Turn::Back(back)] = turns.as_slice() else {
        panic!("{turns:?}")
    };
    assert_eq!([&lost.id, &other.id, &back.id], [&id("near"), &id("default"), &id("near")]);
}

#[test]
fn a_speaker_is_switched_from_another_thread() {
    let Some(_daemon) = start(&["near", "far"]) else { return };
    let clock = Clock::start();
    let player = Player::start("near", clock);
    hear("near", clock);
    assert!(matches!(player.control.switch(&id("nowhere")), Err(DeviceError::Missing { .. })));
    patiently(|| player.control.switch(&id("far")));
    hear("far", clock);
    let control = player.control.clone();
    let (turns, _) = player.stop();
    // It is lost for a moment where the machine stands still, and is back.
    let switched = turns.iter().position(|turn| matches!(turn, Turn::Instead(device) if device.id == id("far")));
    let after = &turns[switched.expect("it is told")..];
    assert!(!after.iter().any(|turn| matches!(turn, Turn::Back(device) if device.id == id("near"))), "{turns:?}");
    // Without a speaker it is opened and closed.
    patiently(|| control.switch(&id("near")));
}

#[test]
fn a_default_microphone_that_is_gone_does_not_become_what_is_played() {
    let Some(daemon) = start(&["near"]) else { return };
    let headset = || {
        let args = sink("headset").replace("Audio/Sink", "Audio/Source");
        daemon.cli(&["create-node", "adapter", &args]).expect("a source");
        daemon.until("it is there", || daemon.node("headset").is_some());
    };
    headset();
    let clock = Clock::start();
    let mut microphone = None;
    until("there is a default", clock, || {
        let config = microphone::Config { channels: 1, fall_back: false };
        microphone = Microphone::open(&id("default"), config, clock).ok();
        microphone.is_some()
    });
    let (mut microphone, mut pcm) = (microphone.expect("opened"), vec![0; 960]);
    let player = Player::start("near", clock);
    until("it hears", clock, || matches!(next(&mut microphone, &mut pcm), Heard::Samples { .. }));
    daemon.remove("headset");
    until("the loss is told", clock, || match next(&mut microphone, &mut pcm) {
        Heard::Turn(Turn::Lost { device, .. }) => device.id == id("default"),
        Heard::Turn(turn) => panic!("{turn:?}"),
        _ => false,
    });
    // No more is heard of the speaker than in the moments before.
    for _ in 0..100 {
        let heard = next(&mut microphone, &mut pcm);
        assert!(!matches!(heard, Heard::Samples { level, .. } if level > -60), "{heard:?}");
    }
    headset();
    until("it is back", clock, || matches!(next(&mut microphone, &mut pcm), Heard::Turn(Turn::Back(_))));
    player.stop();
}

#[test]
fn another_microphone_takes_over_without_a_gap() {
    let Some(_daemon) = start(&["near", "far"]) else { return };
    let clock = Clock::start();
    let players = [Player::start("near", clock), Player::start("far", clock)];
    let (mut microphone, mut pcm) = (open("near", clock), vec![0; 960]);
    until("the tone is there", clock, || loud(&next(&mut microphone, &mut pcm)));
    // The other sink has to play too, or there is nothing to be heard without a gap.
    let mut other = open("far", clock);
    until("the other tone is there", clock, || loud(&next(&mut other, &mut pcm)));
    drop(other);
    // A busy machine loses pieces of the tone; then it is switched back, and listened to again.
    let mut gaps = ["far", "near"].into_iter().cycle().take(10).map(|name| {
        let gap_ms = switched(&mut microphone, name, clock);
        println!("longest silence {gap_ms} ms, to {name}");
        gap_ms
    });
    assert!(gaps.any(|gap_ms| gap_ms <= 40.0));
    drop(gaps);
    players.into_iter().for_each(|player| drop(player.stop()));
}

/// Switches to `name`; milliseconds of the longest silence until half a second later.
fn switched(microphone: &mut Microphone, name: &'static str, clock: Clock) -> f64 {
    let (control, mut pcm, mut all) = (microphone.control(), vec![0; 960], Vec::new());
    let opening = std::thread::spawn(move || patiently(|| control.switch(&id(name))));
    let mut after = 0;
    until("the switch", clock, || {
        match next(microphone, &mut pcm) {
            Heard::Samples { .. } => {
                all.extend_from_slice(&pcm);
                after += usize::from(after > 0);
            }
            Heard::Turn(Turn::Instead(device)) => {
                assert_eq!(device.id, id(name));
                after = 1;
            }
            // One that is lost for a moment, as the machine stood still, was silent.
            Heard::Nothing | Heard::Turn(Turn::Lost { .. } | Turn::Back(_)) => {}
            heard => panic!("{heard:?}"),
        }
        after > 25
    });
    opening.join().expect("opens");
    let (mut quiet, mut longest) = (0, 0);
    for block in all.chunks_exact(120) {
        quiet = if block.iter().all(|sample| sample.abs() < 300) { quiet + 1 } else { 0 };
        longest = longest.max(quiet);
    }
    longest as f64 * 2.5
}
