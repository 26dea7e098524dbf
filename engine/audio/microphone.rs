//! A microphone through `cpal`: its callback fills the ring of an [`Intake`], whoever wants sound waits for it.
//!
//! A device that is lost is looked for until it is back; silence stands in for it, or the system's default device. Another
//! device is opened beside the one that runs, and takes over with a cross-fade once it gives sound.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{InputCallbackInfo, Sample, SampleFormat, SizedSample};
use crossbeam::queue::ArrayQueue;

use super::device::{self, Found, PATIENCE, Search, Trouble, build, find};
use super::intake::{self, Format, Intake, Tap, intake};
use super::level;
use crate::capture::CaptureError;
use crate::capture::live::{Heard, LiveMicrophone, Turn};
use crate::devices::{Device, DeviceError, Id, Kind};
use crate::time::{Clock, Time};

/// How a microphone is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Channels of the session's sound, 1 or 2.
    pub channels: u8,
    /// The system's default device goes on in place of one that is lost.
    pub fall_back: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { channels: 1, fall_back: true }
    }
}

/// See the module.
pub struct Microphone {
    config: Config,
    clock: Clock,
    /// What the app wants to hear.
    wanted: Id,
    host: cpal::HostId,
    live: Option<Source>,
    /// One that takes over once it gives sound.
    coming: Option<Source>,
    /// What is to be told next.
    turn: Option<Turn>,
    shared: Arc<Shared>,
    /// When the next packet of silence is due, and the next look for a device.
    silence: Time,
    look: Time,
    search: Search<Source>,
    /// What is searched for, where that is a default that the system has put another device behind.
    renews: Option<Id>,
    /// The wanted device was lost.
    gone: bool,
    pcm: Vec<f32>,
    other: Vec<f32>,
}

/// What the app's threads and the one that waits for sound both touch.
struct Shared {
    muted: Arc<AtomicBool>,
    level: AtomicU32,
    /// A device that the app opened.
    opened: ArrayQueue<Source>,
    /// There is no microphone any more.
    closed: AtomicBool,
}

/// A handle for the app: mutes, switches, and looks at the level, from any thread.
#[derive(Clone)]
pub struct Control {
    shared: Arc<Shared>,
    config: Config,
    clock: Clock,
}

impl Control {
    /// While muted no sample leaves the device's callback.
    pub fn mute(&self, muted: bool) {
        self.shared.muted.store(muted, Ordering::Relaxed);
    }

    /// Whether it is muted.
    pub fn is_muted(&self) -> bool {
        self.shared.muted.load(Ordering::Relaxed)
    }

    /// Level of what was heard last, in dBFS.
    pub fn level_dbfs(&self) -> f32 {
        f32::from_bits(self.shared.level.load(Ordering::Relaxed))
    }

    /// Opens another device, which takes over once it gives sound. The one before is heard until then.
    ///
    /// # Errors
    /// It cannot be opened; nothing has changed.
    pub fn switch(&self, id: &Id) -> Result<(), DeviceError> {
        let source = Source::open(id, self.config.channels, self.shared.muted.clone(), self.clock, None)?;
        // One that waits to be taken over gives way.
        drop(self.shared.opened.force_push(source));
        if self.shared.closed.load(Ordering::SeqCst) {
            // Nobody takes it over any more, and it is not to hear on.
            drop(self.shared.opened.pop());
        }
        Ok(())
    }
}

impl Microphone {
    /// Opens the device called `id`, and begins to listen.
    ///
    /// # Errors
    /// It is not there, in use, or may not be used.
    pub fn open(id: &Id, config: Config, clock: Clock) -> Result<Self, DeviceError> {
        let config = Config { channels: config.channels.clamp(1, 2), ..config };
        let muted = Arc::new(AtomicBool::new(false));
        let source = Source::open(id, config.channels, muted.clone(), clock, None)?;
        let level = AtomicU32::new(level::SILENCE_DBFS.to_bits());
        let now = clock.now();
        Ok(Self {
            config,
            clock,
            wanted: id.clone(),
            host: source.host,
            live: Some(source),
            coming: None,
            turn: None,
            shared: Arc::new(Shared { muted, level, opened: ArrayQueue::new(1), closed: AtomicBool::new(false) }),
            silence: now,
            look: now,
            search: Search::new(),
            renews: None,
            gone: false,
            pcm: Vec::new(),
            other: Vec::new(),
        })
    }

    /// The handle for other threads.
    pub fn control(&self) -> Control {
        Control { shared: self.shared.clone(), config: self.config, clock: self.clock }
    }

    /// The device that is heard; `None` while it is lost.
    pub fn device(&self) -> Option<&Device> {
        self.live.as_ref().map(|live| &live.device)
    }

    /// Counters of the device that is heard.
    pub fn stats(&self) -> intake::Stats {
        self.live.as_ref().map_or_else(Default::default, |live| live.intake.stats())
    }

    /// What there is for `pcm` at `now`; `None` where that is nothing yet.
    fn step(&mut self, pcm: &mut [i16], now: Time) -> Option<Heard> {
        if let Some(source) = self.shared.opened.pop() {
            self.wanted = source.device.id.clone();
            (self.coming, self.gone) = (Some(source), false);
        }
        if let Some(turn) = self.turn.take() {
            return Some(Heard::Turn(turn));
        }
        if self.shared.muted.load(Ordering::Relaxed) {
            return self.muted(pcm.len(), now);
        }
        self.pcm.resize(pcm.len(), 0.0);
        if let Some(captured) = self.take_over(now).or_else(|| self.live.as_mut()?.intake.fill(&mut self.pcm)) {
            for (out, sample) in pcm.iter_mut().zip(&self.pcm) {
                *out = (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
            }
            let dbfs = level::dbfs(pcm);
            self.shared.level.store(dbfs.to_bits(), Ordering::Relaxed);
            return Some(Heard::Samples { captured, level: level::coarse(dbfs) });
        }
        if let Some(why) = self.live.as_mut().and_then(|live| live.lost(now)) {
            return self.lose(why, now);
        }
        if let Some(why) = self.seek(now) {
            return self.lose(why, now);
        }
        if self.live.is_none() { self.silent(pcm, now) } else { None }
    }

    /// Goes on without the device that was heard.
    fn lose(&mut self, why: String, now: Time) -> Option<Heard> {
        let Source { device, .. } = self.live.take()?;
        self.gone |= device.id == self.wanted;
        (self.silence, self.look) = (now, now);
        Some(Heard::Turn(Turn::Lost { device, why }))
    }

    /// Nothing is read; it is said once for each packet's time.
    fn muted(&mut self, samples: usize, now: Time) -> Option<Heard> {
        for source in [&mut self.live, &mut self.coming].into_iter().flatten() {
            source.intake.clear();
            // A muted device is not watched for its silence.
            source.seen.1 = now;
        }
        self.shared.level.store(level::SILENCE_DBFS.to_bits(), Ordering::Relaxed);
        self.due(samples, now).then_some(Heard::Muted)
    }

    fn silent(&mut self, pcm: &mut [i16], now: Time) -> Option<Heard> {
        let captured = self.silence;
        self.due(pcm.len(), now).then(|| {
            pcm.fill(0);
            self.shared.level.store(level::SILENCE_DBFS.to_bits(), Ordering::Relaxed);
            Heard::Samples { captured, level: level::coarse(level::SILENCE_DBFS) }
        })
    }

    fn due(&mut self, samples: usize, now: Time) -> bool {
        let frames = samples / usize::from(self.config.channels);
        let packet_us = frames as u64 * 1_000_000 / u64::from(super::RATE);
        if now.since(self.silence) > 4 * packet_us {
            self.silence = now;
        }
        let due = self.silence <= now;
        if due {
            self.silence = self.silence.plus(packet_us);
        }
        due
    }

    /// Lets the coming device take over, where it is ready: with a cross-fade where the one before still gives sound.
    fn take_over(&mut self, now: Time) -> Option<Time> {
        let coming = self.coming.as_mut()?;
        let ready = coming.intake.is_ready(self.pcm.len());
        let both = self.live.as_mut().is_some_and(|live| live.intake.is_ready(self.pcm.len()));
        // The one before has its next packet soon, or gives none any more.
        if !ready || self.live.is_some() && !both && coming.age(now) < OVERLAP_US {
            return None;
        }
        let captured = coming.intake.fill(&mut self.pcm)?;
        let before = self.live.take();
        let back = coming.device.id == self.wanted && std::mem::take(&mut self.gone);
        if let Some(mut before) = before.filter(|_| both) {
            self.other.resize(self.pcm.len(), 0.0);
            before.intake.fill(&mut self.other);
            cross(&self.other, &mut self.pcm, usize::from(self.config.channels));
        }
        let device = coming.device.clone();
        self.turn = Some(if back { Turn::Back(device) } else { Turn::Instead(device) });
        self.host = coming.host;
        self.live = self.coming.take();
        Some(captured)
    }

    /// Looks for the wanted device where another or none is heard, for one in its place, and for what the system means by
    /// its default now. Why the one that is heard is none any more.
    fn seek(&mut self, now: Time) -> Option<String> {
        let heard = self.live.as_ref().map(|live| live.device.id.clone());
        let hears_wanted = heard.as_ref() == Some(&self.wanted);
        if let Some(found) = self.search.take() {
            self.look = now.plus(LOOK_US);
            // The app may have switched meanwhile: then nothing of it counts.
            let renewed = self.renews.take().is_some_and(|id| heard == Some(id));
            match found {
                Some(_) if self.coming.is_some() => {}
                Some(source) if renewed || heard.is_none() || !hears_wanted && source.device.id == self.wanted => {
                    self.coming = Some(source);
                }
                None if renewed => return Some("the system has no other".to_owned()),
                _ => {}
            }
        }
        if self.coming.as_mut().is_some_and(|coming| coming.lost(now).is_some()) {
            self.coming = None;
        }
        if self.coming.is_some() || self.search.is_running() {
            return None;
        }
        self.renews = heard.filter(|_| self.live.as_ref().is_some_and(|live| live.trouble.has_changed()));
        let ids = match &self.renews {
            Some(id) => vec![id.clone()],
            None if hears_wanted || self.look > now => return None,
            None if self.live.is_none() && self.config.fall_back => vec![self.wanted.clone(), device::default_id()],
            None => vec![self.wanted.clone()],
        };
        let (channels, muted, clock) = (self.config.channels, self.shared.muted.clone(), self.clock);
        let host = Some(self.host);
        let open = move |id: &Id| Source::open(id, channels, muted.clone(), clock, host).ok();
        self.search.begin(move || ids.iter().find_map(open));
        None
    }
}

impl Drop for Microphone {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        drop(self.shared.opened.pop());
    }
}

impl LiveMicrophone for Microphone {
    fn channels(&self) -> u8 {
        self.config.channels
    }

    fn wait(&mut self, pcm: &mut [i16], patience: Duration) -> Result<Heard, CaptureError> {
        let until = self.clock.now().plus(patience.as_micros() as u64);
        loop {
            let now = self.clock.now();
            if let Some(heard) = self.step(pcm, now) {
                return Ok(heard);
            }
            if now >= until {
                return Ok(Heard::Nothing);
            }
            // The callback wakes nobody, as that would be a system call.
            std::thread::sleep(Duration::from_micros(until.since(now).min(NAP_US)));
        }
    }
}

/// A device that runs.
struct Source {
    device: Device,
    host: cpal::HostId,
    intake: Intake,
    trouble: Trouble,
    /// Callbacks at the last look, and when there were more than before.
    seen: (u64, Time),
    opened: Time,
    _stream: cpal::Stream,
}

/// A device that gives nothing for so long is lost.
const STALLED_US: u64 = 1_000_000;
/// Time between two looks for a device that is lost.
const LOOK_US: u64 = 1_000_000;
/// How long a device that takes over waits for the one before, so that they can be cross-faded.
const OVERLAP_US: u64 = 500_000;
/// Sleep between two looks into the ring.
const NAP_US: u64 = 2_000;
/// A latency beyond that is a fault of the stamp.
const PLAUSIBLE_US: u64 = 500_000;

impl Source {
    fn open(
        id: &Id,
        channels: u8,
        muted: Arc<AtomicBool>,
        clock: Clock,
        on: Option<cpal::HostId>,
    ) -> Result<Self, DeviceError> {
        let found = find(Kind::Microphone, id, on)?;
        let format = Format { rate: found.config.sample_rate, channels: found.config.channels, wanted: channels };
        let trouble = Trouble::new();
        // A stream that is refused has swallowed its tap.
        let mut made = None;
        let stream = build(&found, Kind::Microphone, |config| {
            let (tap, intake) = intake(format, muted.clone());
            made = Some(intake);
            listen(&found, config, tap, trouble.clone(), clock)
        })?;
        stream.play().map_err(|error| device::refused(Kind::Microphone, id, &error))?;
        let (now, Some(intake)) = (clock.now(), made) else {
            return Err(DeviceError::Missing { kind: Kind::Microphone, id: id.clone() });
        };
        Ok(Self {
            device: found.device,
            host: found.host,
            intake,
            trouble,
            seen: (0, now),
            opened: now,
            _stream: stream,
        })
    }

    /// Why nothing more will come, where that shows.
    fn lost(&mut self, now: Time) -> Option<String> {
        if let Some(why) = self.trouble.take() {
            return Some(why);
        }
        let callbacks = self.intake.callbacks();
        if callbacks != self.seen.0 {
            self.seen = (callbacks, now);
        }
        (now.since(self.seen.1) > STALLED_US).then(|| "it gives no sound any more".to_owned())
    }

    fn age(&self, now: Time) -> u64 {
        now.since(self.opened)
    }
}

/// From `old` to `new` within the first 10 ms.
fn cross(old: &[f32], new: &mut [f32], channels: usize) {
    for (n, (old, new)) in old.chunks_exact(channels).zip(new.chunks_exact_mut(channels)).enumerate() {
        let share = ((n + 1) as f32 / super::BLOCK as f32).min(1.0);
        new.iter_mut().zip(old).for_each(|(new, old)| *new = old + (*new - old) * share);
    }
}

fn listen(
    found: &Found,
    config: cpal::StreamConfig,
    tap: Tap,
    trouble: Trouble,
    clock: Clock,
) -> Result<cpal::Stream, cpal::Error> {
    match found.format {
        SampleFormat::F32 => input::<f32>(found, config, tap, trouble, clock),
        SampleFormat::F64 => input::<f64>(found, config, tap, trouble, clock),
        SampleFormat::I8 => input::<i8>(found, config, tap, trouble, clock),
        SampleFormat::I16 => input::<i16>(found, config, tap, trouble, clock),
        SampleFormat::I24 => input::<cpal::I24>(found, config, tap, trouble, clock),
        SampleFormat::I32 => input::<i32>(found, config, tap, trouble, clock),
        SampleFormat::I64 => input::<i64>(found, config, tap, trouble, clock),
        SampleFormat::U8 => input::<u8>(found, config, tap, trouble, clock),
        SampleFormat::U16 => input::<u16>(found, config, tap, trouble, clock),
        SampleFormat::U24 => input::<cpal::U24>(found, config, tap, trouble, clock),
        SampleFormat::U32 => input::<u32>(found, config, tap, trouble, clock),
        SampleFormat::U64 => input::<u64>(found, config, tap, trouble, clock),
        _ => Err(cpal::Error::new(cpal::ErrorKind::UnsupportedConfig)),
    }
}

fn input<T: SizedSample + Sample<Float: Into<f64>>>(
    found: &Found,
    config: cpal::StreamConfig,
    mut tap: Tap,
    trouble: Trouble,
    clock: Clock,
) -> Result<cpal::Stream, cpal::Error> {
    let (rate, channels) = (u64::from(config.sample_rate), usize::from(config.channels).max(1));
    let hear = move |pcm: &[T], info: &InputCallbackInfo| {
        let stamp = info.timestamp();
        let length_us = (pcm.len() / channels) as u64 * 1_000_000 / rate;
        let late = stamp.callback.duration_since(stamp.capture).as_micros() as u64;
        let late = if late == 0 || late > PLAUSIBLE_US { length_us } else { late };
        let captured = Time(clock.now().0.saturating_sub(late));
        tap.hear(pcm.iter().map(|sample| sample.to_float_sample().into() as f32), captured);
    };
    found.inner.build_input_stream::<T, _, _>(config, hear, move |error| trouble.note(error), PATIENCE)
}
