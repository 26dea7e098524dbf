//! The system's sound through `cpal`: what there is, and how a device is opened. On Linux that is PipeWire, or ALSA where
//! no PipeWire runs when the process first looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{BufferSize, ErrorKind, SampleFormat, StreamConfig, SupportedStreamConfigRange};
use crossbeam::queue::ArrayQueue;

use super::RATE;
use crate::devices::{AudioMode, Backend, Device, DeviceError, Id, Kind, Listing, Unseen};

/// What the system calls the device that the user has chosen there.
pub const DEFAULT: &str = "default";

/// The device that the system would take.
pub fn default_id() -> Id {
    Id::new(Backend::Sound, DEFAULT)
}

/// Adds microphones and speakers to `listing`. Asks each for its modes, and lets none of them run.
pub(super) fn list(listing: &mut Listing) {
    quiet();
    let host = cpal::default_host();
    for kind in [Kind::Microphone, Kind::Speaker] {
        let found = match host.devices() {
            Ok(found) => found.collect::<Vec<_>>(),
            Err(error) => {
                listing.unseen.push(unseen(kind, error.to_string()));
                continue;
            }
        };
        let names: Vec<String> = found.iter().map(name).collect();
        let chosen = default_device(&host, kind);
        let chosen_name = chosen.as_ref().map(name);
        let extra = chosen.filter(|chosen| !names.contains(&name(chosen)));
        let mut seen = Vec::new();
        for device in extra.into_iter().chain(found) {
            let default = Some(name(&device)) == chosen_name;
            if seen.contains(&name(&device))
                || !default && (!fits(&host, &device, kind) || is_alias(&host, &name(&device), &names))
            {
                continue;
            }
            seen.push(name(&device));
            match modes(&device, kind) {
                Ok(modes) => listing.devices.push(describe(&device, kind, default, modes)),
                // Another program has it, or this one may not: it is there all the same.
                Err(ErrorKind::DeviceBusy | ErrorKind::PermissionDenied) => {
                    listing.devices.push(describe(&device, kind, default, Vec::new()));
                }
                Err(_) => {}
            }
        }
        if !listing.devices.iter().any(|device| device.kind == kind && device.default) {
            listing.unseen.push(unseen(kind, "the system has no default device".to_owned()));
        }
    }
}

fn unseen(kind: Kind, why: String) -> Unseen {
    let hint = "start PipeWire or PulseAudio, or plug in a sound device";
    Unseen { kind, backend: Backend::Sound, why, hint }
}

/// The name is what `cpal` gives devices for keeps; where a device is not gone by it, the one that is the default is `default`.
fn name(device: &cpal::Device) -> String {
    device.id().map_or_else(|_| String::new(), |id| id.id().to_owned())
}

/// The device that the system would take. PipeWire names one even where it has none; a microphone would then hear what is
/// played.
fn default_device(host: &cpal::Host, kind: Kind) -> Option<cpal::Device> {
    let there = |device: cpal::Device| {
        fits(host, &device, kind)
            && (kind == Kind::Speaker || device.description().is_ok_and(|said| said.driver().is_some()))
    };
    if is_pipewire(host) && !host.devices().is_ok_and(|mut all| all.any(there)) {
        return None;
    }
    match kind {
        Kind::Speaker => host.default_output_device(),
        _ => host.default_input_device(),
    }
}

/// A person would choose it for that. In PipeWire a speaker has an input too, its monitor, and other programs' streams have
/// one end: a microphone is told from those that record by having been made by a factory, or described.
fn fits(host: &cpal::Host, device: &cpal::Device, kind: Kind) -> bool {
    let (hears, plays) = (device.supports_input(), device.supports_output());
    match kind {
        Kind::Speaker if is_pipewire(host) => hears && plays && name(device) != "sink_default",
        Kind::Speaker => plays,
        _ if is_pipewire(host) => hears && !plays && device.description().is_ok_and(|said| is_source(&said)),
        _ => hears,
    }
}

fn is_source(said: &cpal::DeviceDescription) -> bool {
    said.driver().is_some() || !["unknown", "default_input"].contains(&said.name())
}

fn is_pipewire(host: &cpal::Host) -> bool {
    host.id().to_string() == "pipewire"
}

fn describe(device: &cpal::Device, kind: Kind, default: bool, audio: Vec<AudioMode>) -> Device {
    // The same name everywhere for the one that follows the user's choice.
    let id = if default { DEFAULT.to_owned() } else { name(device) };
    let said = match device.description() {
        // What PipeWire's defaults, and its nodes without a description, are called.
        Ok(said) if ["default_input", "default_output"].contains(&said.name()) => "Default".to_owned(),
        Ok(said) if said.name() != "unknown" => said.name().to_owned(),
        _ => id.clone(),
    };
    Device { default, audio, ..Device::new(kind, Id::new(Backend::Sound, id), said) }
}

/// ALSA lists a device once for each of its plug-ins: only those count that a person would choose. A card is reached by
/// `plughw`, which converts what it must, under its name, which outlasts a restart; its number does not.
fn is_alias(host: &cpal::Host, name: &str, all: &[String]) -> bool {
    host.id().to_string() == "alsa" && is_alsa_alias(name, all)
}

fn is_alsa_alias(name: &str, all: &[String]) -> bool {
    const PLUGINS: [&str; 14] = [
        "null",
        "pipewire",
        "pulse",
        "jack",
        "oss",
        "lavrate",
        "samplerate",
        "speexrate",
        "speex",
        "upmix",
        "vdownmix",
        "a52",
        "dmix",
        "dsnoop",
    ];
    match name.split_once(':') {
        None => PLUGINS.contains(&name),
        Some(("plughw", card)) => {
            let numbered =
                |card: &str| card.strip_prefix("CARD=").is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()));
            let named = |other: &String| other.strip_prefix("plughw:").is_some_and(|card| !numbered(card));
            numbered(card) && all.iter().any(named)
        }
        Some(_) => true,
    }
}

fn modes(device: &cpal::Device, kind: Kind) -> Result<Vec<AudioMode>, ErrorKind> {
    let mut modes = Vec::new();
    for range in ranges(device, kind).map_err(|error| error.kind())? {
        let mode = AudioMode { channels: range.channels(), rates: (range.min_sample_rate(), range.max_sample_rate()) };
        if mode.channels <= MOST_CHANNELS && !modes.contains(&mode) {
            modes.push(mode);
        }
    }
    Ok(modes)
}

/// A mode with more is not told: sound servers take any number.
const MOST_CHANNELS: u16 = 8;

fn ranges(device: &cpal::Device, kind: Kind) -> Result<Vec<SupportedStreamConfigRange>, cpal::Error> {
    Ok(match kind {
        Kind::Speaker => device.supported_output_configs()?.collect(),
        _ => device.supported_input_configs()?.collect(),
    })
}

/// A device that was found, and the way in which it is to run.
pub(super) struct Found {
    pub inner: cpal::Device,
    pub device: Device,
    pub config: StreamConfig,
    pub format: SampleFormat,
    /// The way to the sound that it was found on.
    pub host: cpal::HostId,
}

/// Looks for the device called `id`, and for the way that needs the least conversion to 48 kHz. Where a `host` is named no
/// other will do: while PipeWire restarts, what ALSA calls the default is another device, or none.
pub(super) fn find(kind: Kind, id: &Id, on: Option<cpal::HostId>) -> Result<Found, DeviceError> {
    quiet();
    if id.backend() != Backend::Sound {
        return Err(DeviceError::NotBuilt { kind, backend: id.backend() });
    }
    let host = cpal::default_host();
    let inner = match id.name() {
        _ if on.is_some_and(|on| on != host.id()) => None,
        DEFAULT => default_device(&host, kind),
        name => host.device_by_id(&cpal::DeviceId::new(host.id(), name)),
    };
    let inner = inner.ok_or_else(|| DeviceError::Missing { kind, id: id.clone() })?;
    let ranges = ranges(&inner, kind).map_err(|error| refused(kind, id, &error))?;
    let best = ranges.iter().filter_map(|range| Some((cost(range)?, range))).min_by_key(|(cost, _)| *cost);
    let Some((_, range)) = best else {
        let (why, hint) = ("it has no samples that are understood".to_owned(), "pick another device");
        return Err(DeviceError::Unusable { kind, id: id.clone(), why, hint });
    };
    let (low, high) = (range.min_sample_rate(), range.max_sample_rate());
    let config = StreamConfig {
        channels: range.channels(),
        sample_rate: RATE.clamp(low, high),
        buffer_size: BufferSize::Fixed(block(&host, RATE.clamp(low, high))),
    };
    let format = range.sample_format();
    let mut device = describe(&inner, kind, id.name() == DEFAULT, Vec::new());
    device.id = id.clone();
    device.audio = vec![AudioMode { channels: config.channels, rates: (config.sample_rate, config.sample_rate) }];
    Ok(Found { inner, device, config, format, host: host.id() })
}

/// Frames of about 10 ms. PipeWire takes the power of two below what it is asked for, and half of that loses pieces where no
/// realtime priority is to be had.
fn block(host: &cpal::Host, rate: u32) -> u32 {
    if is_pipewire(host) { (rate / 100).next_power_of_two() } else { rate / 100 }
}

/// What a mode costs, the least first; `None` for one that cannot be used. Two channels are best whatever is wanted: sound
/// servers make one of two by rules of their own, some of them louder than either.
fn cost(range: &SupportedStreamConfigRange) -> Option<(u32, u16, u8)> {
    let format = match range.sample_format() {
        SampleFormat::F32 => 0,
        SampleFormat::I16 => 1,
        SampleFormat::I32 => 2,
        SampleFormat::I24 => 3,
        SampleFormat::DsdU8 | SampleFormat::DsdU16 | SampleFormat::DsdU32 => return None,
        _ => 4,
    };
    let rate = RATE.clamp(range.min_sample_rate(), range.max_sample_rate());
    // A lower rate loses sound, a higher one costs time.
    let rate = if rate < RATE { 2 * (RATE - rate) } else { rate - RATE };
    Some((rate, range.channels().abs_diff(2), format))
}

/// Builds a stream with blocks of 10 ms, or with the device's own where it does not take that.
pub(super) fn build<S>(
    found: &Found,
    kind: Kind,
    mut build: impl FnMut(StreamConfig) -> Result<S, cpal::Error>,
) -> Result<S, DeviceError> {
    let wanted = build(found.config);
    let built = match wanted {
        Err(error) if error.kind() == ErrorKind::UnsupportedConfig => {
            build(StreamConfig { buffer_size: BufferSize::Default, ..found.config })
        }
        built => built,
    };
    built.map_err(|error| refused(kind, &found.device.id, &error))
}

/// What the system said, as an error that says what to do.
pub(super) fn refused(kind: Kind, id: &Id, error: &cpal::Error) -> DeviceError {
    let (id, why) = (id.clone(), error.to_string());
    match error.kind() {
        ErrorKind::DeviceBusy => DeviceError::Busy { kind, id },
        ErrorKind::DeviceNotAvailable => DeviceError::Missing { kind, id },
        ErrorKind::PermissionDenied => {
            let hint = "allow it in the system's privacy settings, or join the group `audio`";
            DeviceError::Forbidden { kind, id, why, hint }
        }
        ErrorKind::HostUnavailable | ErrorKind::BackendError if id.name() == DEFAULT => {
            let hint = "start PipeWire or PulseAudio, or plug in a sound device";
            DeviceError::Unreachable { backend: Backend::Sound, why, hint }
        }
        _ => DeviceError::Unusable { kind, id, why, hint: "pick another device: `conclave devices` lists them" },
    }
}

/// What a running stream complains of, from its thread to ours; the first complaints stand.
#[derive(Clone)]
pub(super) struct Trouble {
    errors: Arc<ArrayQueue<cpal::Error>>,
    changed: Arc<AtomicBool>,
}

impl Trouble {
    pub fn new() -> Self {
        Self { errors: Arc::new(ArrayQueue::new(4)), changed: Arc::default() }
    }

    /// For the stream's thread. What it gets over by itself is no trouble.
    pub fn note(&self, error: cpal::Error) {
        match error.kind() {
            ErrorKind::Xrun | ErrorKind::RealtimeDenied => {}
            ErrorKind::DeviceChanged => self.changed.store(true, Ordering::Relaxed),
            _ => drop(self.errors.push(error)),
        }
    }

    /// Why the stream is of no use any more.
    pub fn take(&self) -> Option<String> {
        self.errors.pop().map(|error| error.to_string())
    }

    /// The system has put another device behind the stream since the last call.
    pub fn has_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }
}

/// Opens a device on a thread of its own, so that the sound of another goes on meanwhile.
pub(super) struct Search<T> {
    found: Arc<ArrayQueue<Option<T>>>,
    running: bool,
}

impl<T: Send + 'static> Search<T> {
    pub fn new() -> Self {
        Self { found: Arc::new(ArrayQueue::new(1)), running: false }
    }

    /// It has begun and its end was not taken.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Begins with `open`. What comes of it when nobody waits any more is closed again.
    pub fn begin(&mut self, open: impl FnOnce() -> Option<T> + Send + 'static) {
        let found = self.found.clone();
        let thread = std::thread::Builder::new().name("sound-device".to_owned());
        self.running = thread.spawn(move || found.force_push(open())).is_ok();
    }

    /// What came of it, once it has ended.
    pub fn take(&mut self) -> Option<Option<T>> {
        let found = self.found.pop()?;
        self.running = false;
        Some(found)
    }
}

/// How long opening may wait for a device's first answer, and a stream for its next event.
pub(super) const PATIENCE: Option<Duration> = Some(Duration::from_millis(500));

/// ALSA writes what it cannot open to the standard error, which belongs to the app. The sentences come back as errors.
#[cfg(target_os = "linux")]
fn quiet() {
    use std::ffi::{c_char, c_int};
    use std::sync::Once;
    type Handler = unsafe extern "C" fn(*const c_char, c_int, *const c_char, c_int, *const c_char, ...);
    unsafe extern "C" {
        fn snd_lib_error_set_handler(handler: Option<Handler>) -> c_int;
    }
    unsafe extern "C" fn silent(_: *const c_char, _: c_int, _: *const c_char, _: c_int, _: *const c_char) {}
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let silent: unsafe extern "C" fn(*const c_char, c_int, *const c_char, c_int, *const c_char) = silent;
        // SAFETY: the C ABIs of Linux pass named arguments alike to functions with and without further ones, and the
        // caller clears them away; `silent` looks at none. The library keeps the pointer, to a function that stays.
        unsafe {
            let handler = std::mem::transmute::<
                unsafe extern "C" fn(*const c_char, c_int, *const c_char, c_int, *const c_char),
                Handler,
            >(silent);
            snd_lib_error_set_handler(Some(handler));
        }
    });
}

#[cfg(not(target_os = "linux"))]
fn quiet() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_alsas_many_names_those_are_kept_that_a_person_would_choose() {
        let names = [
            "null",
            "default",
            "pipewire",
            "pulse",
            "my_headset",
            "sysdefault:CARD=PCH",
            "front:CARD=PCH,DEV=0",
            "hw:CARD=PCH,DEV=0",
            "plughw:CARD=PCH,DEV=0",
            "plughw:CARD=0,DEV=0",
            "surround51:CARD=PCH,DEV=0",
            "dmix:CARD=PCH,DEV=0",
        ]
        .map(str::to_owned);
        let kept: Vec<&String> = names.iter().filter(|name| !is_alsa_alias(name, &names)).collect();
        assert_eq!(kept, ["default", "my_headset", "plughw:CARD=PCH,DEV=0"]);
        // Without hints a number is all that there is.
        let bare = ["plughw:CARD=0,DEV=0".to_owned()];
        assert!(!is_alsa_alias(&bare[0], &bare));
    }

    #[test]
    fn the_way_that_needs_least_conversion_is_taken() {
        let range = |channels, low, high, format| {
            SupportedStreamConfigRange::new(channels, low, high, cpal::SupportedBufferSize::Unknown, format)
        };
        let all = [
            range(2, 44_100, 44_100, SampleFormat::F32),
            range(8, 48_000, 48_000, SampleFormat::F32),
            range(1, 16_000, 16_000, SampleFormat::F32),
            range(2, 8_000, 96_000, SampleFormat::U8),
            range(2, 8_000, 96_000, SampleFormat::I16),
            range(2, 48_000, 48_000, SampleFormat::DsdU8),
        ];
        let best = all.iter().filter(|range| cost(range).is_some()).min_by_key(|range| cost(range));
        assert_eq!(best, Some(&all[4]));
    }
}
