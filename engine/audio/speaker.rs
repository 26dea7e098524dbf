//! A speaker through `cpal`: a [`Playout`] whose other end is the device's callback.
//!
//! A device that is lost is looked for until it is back, while the mix goes on; the system's default device stands in for
//! it. Another device is opened beside the one that plays, which fades out once the new one is heard.

use std::sync::{Arc, Weak};

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{FromSample, OutputCallbackInfo, SampleFormat, SizedSample};
use crossbeam::queue::ArrayQueue;

use super::device::{self, Found, PATIENCE, Search, Trouble, build, find};
use super::mixer;
use super::outlet::{Drain, Format, Outlet, outlet};
use super::playout::Playout;
use crate::capture::live::Turn;
use crate::devices::{Device, DeviceError, Id, Kind};
use crate::time::{Clock, Time};

/// How a speaker is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// How the voices are mixed.
    pub mixer: mixer::Config,
    /// A lost device is waited for, and none plays in its place.
    pub faithful: bool,
}

/// See the module. It belongs on one thread, which calls [`Speaker::beat`].
pub struct Speaker {
    config: Config,
    clock: Clock,
    wanted: Id,
    host: cpal::HostId,
    playout: Playout,
    live: Option<Sink>,
    /// One that is replaced and plays its last.
    leaving: Option<Sink>,
    turn: Option<Turn>,
    opened: Arc<ArrayQueue<(Sink, Outlet)>>,
    search: Search<(Sink, Outlet)>,
    look: Time,
    /// The wanted device opened last time and played nothing.
    dumb: bool,
}

/// A handle for the app: switches the device, from any thread.
#[derive(Clone)]
pub struct Control {
    channels: u8,
    clock: Clock,
    opened: Weak<ArrayQueue<(Sink, Outlet)>>,
}

impl Control {
    /// Opens another device, which takes over once it plays. The one before is heard until then.
    ///
    /// # Errors
    /// It cannot be opened; nothing has changed.
    pub fn switch(&self, id: &Id) -> Result<(), DeviceError> {
        let opened = Sink::open(id, self.channels, self.clock, None)?;
        // One that waits to be taken over gives way; without a speaker it is closed again.
        drop(self.opened.upgrade().map(|queue| queue.force_push(opened)));
        Ok(())
    }
}

impl Speaker {
    /// Opens the device called `id`, which is silent until somebody has a seat and is fed.
    ///
    /// # Errors
    /// It is not there, in use, or may not be used.
    pub fn open(id: &Id, config: Config, clock: Clock) -> Result<Self, DeviceError> {
        let mut playout = Playout::new(config.mixer, None);
        let (sink, outlet) = Sink::open(id, playout.mixer().channels(), clock, None)?;
        playout.switch(outlet);
        Ok(Self {
            config,
            clock,
            wanted: id.clone(),
            host: sink.host,
            playout,
            live: Some(sink),
            leaving: None,
            turn: None,
            opened: Arc::new(ArrayQueue::new(1)),
            search: Search::new(),
            look: clock.now(),
            dumb: false,
        })
    }

    /// The mixer, the levels and the counters.
    pub fn playout(&mut self) -> &mut Playout {
        &mut self.playout
    }

    /// The handle for other threads.
    pub fn control(&mut self) -> Control {
        let channels = self.playout.mixer().channels();
        Control { channels, clock: self.clock, opened: Arc::downgrade(&self.opened) }
    }

    /// The device that plays; `None` while it is lost.
    pub fn device(&self) -> Option<&Device> {
        self.live.as_ref().map(|live| &live.device)
    }

    /// Plays what is due at `now`, as [`Playout::beat`] does; what became of the device.
    pub fn beat(&mut self, now: Time, heard: &mut dyn FnMut(&[i16], Time)) -> Option<Turn> {
        self.playout.beat(now, heard);
        if !self.playout.is_leaving() {
            self.leaving = None;
        }
        if let Some((sink, outlet)) = self.opened.pop() {
            self.wanted = sink.device.id.clone();
            self.turn = Some(Turn::Instead(sink.device.clone()));
            self.adopt(sink, outlet);
        }
        if let Some(turn) = self.turn.take() {
            return Some(turn);
        }
        let callbacks = self.playout.outlet().map_or(0, Outlet::callbacks);
        if let Some(why) = self.live.as_mut().and_then(|live| live.lost(callbacks, now)) {
            let Sink { device, told, .. } = self.live.take()?;
            self.dumb = callbacks == 0;
            // One that played is looked for at once.
            self.look = if self.dumb { now.plus(LOOK_US) } else { now };
            // One that never played leaves its place to the one before.
            self.live = self.leaving.take().filter(|_| self.playout.back());
            if let Some(live) = &self.live {
                self.turn = told.then(|| Turn::Instead(live.device.clone()));
            } else {
                self.playout.unplug();
            }
            // What was never told of is not lost either.
            return told.then_some(Turn::Lost { device, why });
        }
        if let Some(live) = self.live.as_mut().filter(|live| !live.told && callbacks > 0) {
            live.told = true;
            self.dumb = false;
            let device = live.device.clone();
            return Some(if device.id == self.wanted { Turn::Back(device) } else { Turn::Instead(device) });
        }
        self.seek(now);
        None
    }

    /// Looks for the wanted device where another or none plays, and for one in its place.
    fn seek(&mut self, now: Time) {
        let plays_wanted = self.live.as_ref().is_some_and(|live| live.device.id == self.wanted);
        if let Some(found) = self.search.take() {
            self.look = now.plus(LOOK_US);
            // The app may have switched meanwhile.
            let fits = |sink: &Sink| !plays_wanted && (self.live.is_none() || sink.device.id == self.wanted);
            if let Some((mut sink, outlet)) = found.filter(|(sink, _)| fits(sink)) {
                sink.told = false;
                return self.adopt(sink, outlet);
            }
        }
        if plays_wanted || self.leaving.is_some() || self.search.is_running() || self.look > now {
            return;
        }
        let (wanted, other) = (self.wanted.clone(), device::default_id());
        let stands_in = self.live.is_none() && !self.config.faithful;
        let ids = match (stands_in, self.dumb) {
            (true, true) => vec![other, wanted],
            (true, false) => vec![wanted, other],
            (false, _) => vec![wanted],
        };
        let (channels, clock, host) = (self.playout.mixer().channels(), self.clock, Some(self.host));
        self.search.begin(move || ids.iter().find_map(|id| Sink::open(id, channels, clock, host).ok()));
    }

    fn adopt(&mut self, sink: Sink, outlet: Outlet) {
        self.host = sink.host;
        self.leaving = self.live.replace(sink);
        self.playout.switch(outlet);
    }
}

/// A device that runs.
struct Sink {
    device: Device,
    host: cpal::HostId,
    trouble: Trouble,
    /// Callbacks at the last look, and when there were more than before.
    seen: (u64, Time),
    /// The app knows of it.
    told: bool,
    _stream: cpal::Stream,
}

/// A device that wants nothing for so long is lost.
const STALLED_US: u64 = 1_000_000;
/// Time between two looks for a device that is lost.
const LOOK_US: u64 = 1_000_000;
/// A latency beyond that is a fault of the stamp.
const PLAUSIBLE_US: u64 = 500_000;

impl Sink {
    fn open(id: &Id, channels: u8, clock: Clock, on: Option<cpal::HostId>) -> Result<(Self, Outlet), DeviceError> {
        let found = find(Kind::Speaker, id, on)?;
        let format = Format { rate: found.config.sample_rate, channels: found.config.channels, given: channels };
        let trouble = Trouble::new();
        // A stream that is refused has swallowed its end of the ring.
        let mut made = None;
        let stream = build(&found, Kind::Speaker, |config| {
            let (drain, outlet) = outlet(format);
            made = Some(outlet);
            play(&found, config, drain, trouble.clone(), clock)
        })?;
        stream.play().map_err(|error| device::refused(Kind::Speaker, id, &error))?;
        let outlet = made.ok_or_else(|| DeviceError::Missing { kind: Kind::Speaker, id: id.clone() })?;
        let seen = (0, clock.now());
        Ok((Self { device: found.device, host: found.host, trouble, seen, told: true, _stream: stream }, outlet))
    }

    /// Why nothing more will be played, where that shows.
    fn lost(&mut self, callbacks: u64, now: Time) -> Option<String> {
        if let Some(why) = self.trouble.take() {
            return Some(why);
        }
        if callbacks != self.seen.0 {
            self.seen = (callbacks, now);
        }
        (now.since(self.seen.1) > STALLED_US).then(|| "it plays nothing any more".to_owned())
    }
}

fn play(
    found: &Found,
    config: cpal::StreamConfig,
    drain: Drain,
    trouble: Trouble,
    clock: Clock,
) -> Result<cpal::Stream, cpal::Error> {
    match found.format {
        SampleFormat::F32 => output::<f32>(found, config, drain, trouble, clock),
        SampleFormat::F64 => output::<f64>(found, config, drain, trouble, clock),
        SampleFormat::I8 => output::<i8>(found, config, drain, trouble, clock),
        SampleFormat::I16 => output::<i16>(found, config, drain, trouble, clock),
        SampleFormat::I24 => output::<cpal::I24>(found, config, drain, trouble, clock),
        SampleFormat::I32 => output::<i32>(found, config, drain, trouble, clock),
        SampleFormat::I64 => output::<i64>(found, config, drain, trouble, clock),
        SampleFormat::U8 => output::<u8>(found, config, drain, trouble, clock),
        SampleFormat::U16 => output::<u16>(found, config, drain, trouble, clock),
        SampleFormat::U24 => output::<cpal::U24>(found, config, drain, trouble, clock),
        SampleFormat::U32 => output::<u32>(found, config, drain, trouble, clock),
        SampleFormat::U64 => output::<u64>(found, config, drain, trouble, clock),
        _ => Err(cpal::Error::new(cpal::ErrorKind::UnsupportedConfig)),
    }
}

fn output<T: SizedSample + FromSample<f32>>(
    found: &Found,
    config: cpal::StreamConfig,
    mut drain: Drain,
    trouble: Trouble,
    clock: Clock,
) -> Result<cpal::Stream, cpal::Error> {
    let channels = usize::from(config.channels).max(1);
    let give = move |out: &mut [T], info: &OutputCallbackInfo| {
        let stamp = info.timestamp();
        let delay = stamp.playback.duration_since(stamp.callback).as_micros() as u64;
        let delay = if delay > PLAUSIBLE_US { 0 } else { delay };
        let frames = out.len() / channels;
        let mut places = out.iter_mut();
        drain.play(frames, clock.now(), delay, |sample| {
            if let Some(place) = places.next() {
                *place = T::from_sample(sample.clamp(-1.0, 1.0));
            }
        });
    };
    found.inner.build_output_stream::<T, _, _>(config, give, move |error| trouble.note(error), PATIENCE)
}
