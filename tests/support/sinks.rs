//! Null sinks on a PipeWire of the test's own. What is played into one comes out of its monitor.
#![allow(dead_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use conclave::audio::microphone::{self, Microphone};
use conclave::audio::speaker::{self, Speaker};
use conclave::audio::{mixer, outlet};
use conclave::capture::live::Turn;
use conclave::devices::{DeviceError, Id};
use conclave::time::Clock;

use super::pipewire::Daemon;
use super::tone::tone;

/// The arguments of a null sink.
pub fn sink(name: &str) -> String {
    format!(
        "{{ factory.name = support.null-audio-sink node.name = {name} node.description = \"{name}\" \
         media.class = Audio/Sink object.linger = true audio.position = [ FL FR ] }}"
    )
}

/// A daemon with these null sinks. The microphone of a sink's name is its monitor.
pub fn start(sinks: &[&str]) -> Option<Daemon> {
    let daemon = Daemon::start("")?;
    sinks.iter().for_each(|name| add(&daemon, name));
    daemon.until("the session manager has chosen one", || daemon.dump().contains("default.audio.sink"));
    Some(daemon)
}

/// The same for who finds no PipeWire and takes ALSA, which reaches each sink as `NAME_out` and its monitor as `NAME_in`.
pub fn start_behind_alsa(sinks: &[&str]) -> Option<Daemon> {
    let daemon = Daemon::start_at("elsewhere", "")?;
    let mut config = "</usr/share/alsa/alsa.conf>\n".to_owned();
    for name in sinks {
        add(&daemon, name);
        for (end, node) in [("out", "playback_node"), ("in", "capture_node")] {
            config += &format!(
                "pcm.{name}_{end} {{ type pipewire {node} \"{name}\" hint {{ show on description \"{name} {end}\" }} }}\n"
            );
        }
    }
    let path = daemon.folder.join("asound.conf");
    std::fs::write(&path, config).expect("a configuration");
    // SAFETY: the daemon lets one test run at a time, and no thread of this one reads the environment yet.
    unsafe { std::env::set_var("ALSA_CONFIG_PATH", &path) };
    // PipeWire's plug-in is a package of its own.
    let mut folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    if !folders.any(|folder| folder.path().join("alsa-lib/libasound_module_pcm_pipewire.so").exists()) {
        println!("skipped: ALSA has no way to PipeWire (pipewire-alsa)");
        return None;
    }
    Some(daemon)
}

/// Adds a null sink.
pub fn add(daemon: &Daemon, name: &str) {
    daemon.cli(&["create-node", "adapter", &sink(name)]).expect("a null sink");
    daemon.until("the sink is there", || daemon.node(name).is_some());
}

/// The id of the device called `name`.
pub fn id(name: &str) -> Id {
    format!("sound:{name}").parse().expect("an id")
}

/// Plays the tone into a device until it is told to stop.
pub struct Player {
    /// Switches the device.
    pub control: speaker::Control,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(Vec<Turn>, outlet::Stats)>,
}

impl Player {
    /// Begins to play, into that device alone.
    pub fn start(name: &str, clock: Clock) -> Self {
        Self::open(name, clock, true)
    }

    /// Begins to play; where it is not `faithful`, into another device while that one is lost.
    pub fn open(name: &str, clock: Clock, faithful: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, id) = (stop.clone(), id(name));
        let (say, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let config = speaker::Config { mixer: mixer::Config { channels: 1, ..Default::default() }, faithful };
            let mut speaker = patiently(|| Speaker::open(&id, config, clock));
            say.send(speaker.control()).expect("somebody waits for it");
            let seat = speaker.playout().mixer().join().expect("a seat");
            let (mut n, mut next, mut turns) = (0u64, clock.now(), Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                let now = clock.now();
                while next <= now {
                    let sound = |i: u64| (tone((n + i) as f64 / 48_000.0) * 32_767.0) as i16;
                    speaker.playout().mixer().feed(seat, &(0..960).map(sound).collect::<Vec<_>>(), 1);
                    (n, next) = (n + 960, next.plus(20_000));
                }
                turns.extend(speaker.beat(now, &mut |_, _| {}));
                std::thread::sleep(Duration::from_millis(3));
            }
            (turns, speaker.playout().stats())
        });
        Self { control: told.recv().expect("a speaker"), stop, thread }
    }

    /// Ends; what became of the device, and the counters.
    pub fn stop(self) -> (Vec<Turn>, outlet::Stats) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("plays")
    }
}

/// A microphone that waits for its device.
pub fn open(name: &str, clock: Clock) -> Microphone {
    let config = microphone::Config { channels: 1, fall_back: false };
    patiently(|| Microphone::open(&id(name), config, clock))
}

/// What `open` opens. On a busy machine the sound server may not answer in time, and is asked again.
pub fn patiently<T>(open: impl Fn() -> Result<T, DeviceError>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        match open() {
            Ok(opened) => return opened,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
