//! Devices as data: what there is, what it can do, what came and went, and why one cannot be had.
//!
//! A device is named by an [`Id`] that stays the same from run to run where the system gives it such a name. Listing opens
//! nothing: it finds a microphone without listening to it. What can be opened is opened in [`crate::capture`] (pictures)
//! and [`crate::audio`] (sound).

mod watch;

pub use watch::{LOOK_MS, Watch};

use std::fmt;

use crate::codecs::Size;

/// What a device is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Gives pictures of what is in front of it.
    Camera,
    /// A whole screen, or what the user picks in the system's own dialogue.
    Screen,
    /// One window.
    Window,
    /// Gives sound.
    Microphone,
    /// Takes sound.
    Speaker,
}

impl Kind {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Kind; 5] = [Kind::Camera, Kind::Screen, Kind::Window, Kind::Microphone, Kind::Speaker];

    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Camera => "camera",
            Kind::Screen => "screen",
            Kind::Window => "window",
            Kind::Microphone => "microphone",
            Kind::Speaker => "speaker",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which part of the system a device is reached through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// PipeWire's graph.
    PipeWire,
    /// Video4Linux, `/dev/video*`.
    V4l,
    /// An X server.
    X11,
    /// The desktop's portal, which asks the user.
    Portal,
    /// The system's sound, through `cpal`.
    Sound,
}

impl Backend {
    /// Lower-case name, with which an [`Id`] begins.
    pub const fn name(self) -> &'static str {
        match self {
            Backend::PipeWire => "pipewire",
            Backend::V4l => "v4l",
            Backend::X11 => "x11",
            Backend::Portal => "portal",
            Backend::Sound => "sound",
        }
    }

    const ALL: [Backend; 5] = [Backend::PipeWire, Backend::V4l, Backend::X11, Backend::Portal, Backend::Sound];
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Names a device: its back end and what that calls it, as in `v4l:usb-046d_HD_Webcam-video-index0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    backend: Backend,
    name: String,
}

impl Id {
    /// The device that `backend` calls `name`.
    pub fn new(backend: Backend, name: impl Into<String>) -> Self {
        Self { backend, name: name.into() }
    }

    /// Where it is reached.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// What the back end calls it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.backend, self.name)
    }
}

impl std::str::FromStr for Id {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let parts = text.split_once(':').filter(|(_, name)| !name.is_empty());
        let found = parts.and_then(|(backend, name)| {
            Some(Self::new(Backend::ALL.into_iter().find(|known| known.name() == backend)?, name))
        });
        found.ok_or_else(|| DeviceError::NoId { text: text.to_owned() })
    }
}

impl serde::Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A device as it was found.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Device {
    /// Its name for programs.
    pub id: Id,
    /// What it is for.
    pub kind: Kind,
    /// Its name for people.
    pub name: String,
    /// The system would take this one of its kind.
    pub default: bool,
    /// What pictures it gives, the best first; empty where that shows only once it is open, and for sound.
    pub video: Vec<VideoMode>,
    /// What sound it takes or gives; empty for pictures.
    pub audio: Vec<AudioMode>,
}

impl Device {
    /// One of which no more is known than its names.
    pub fn new(kind: Kind, id: Id, name: impl Into<String>) -> Self {
        Self { id, kind, name: name.into(), default: false, video: Vec::new(), audio: Vec::new() }
    }
}

/// One way of a device to give pictures.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct VideoMode {
    /// How the bytes lie.
    pub layout: Layout,
    /// Width and height in pixels.
    pub size: Size,
    /// Pictures a second at most, as a fraction; 0/1 where the device gives one whenever something changed.
    pub fps: (u32, u32),
}

/// How a device's bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Samples as they are.
    Plain(crate::gpu::Format),
    /// One JPEG picture after the other.
    Mjpeg,
}

/// One way of a device to take or give sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct AudioMode {
    /// Channels.
    pub channels: u16,
    /// Lowest and highest sample rate in hertz.
    pub rates: (u32, u32),
}

/// What became of a device.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(tag = "event", content = "device", rename_all = "lowercase")]
pub enum Event {
    /// It is there now.
    Added(Device),
    /// It is gone.
    Removed(Device),
    /// Its name, its modes or whether it is the default changed: this is how it is now.
    Changed(Device),
}

impl Event {
    /// The device it befell.
    pub fn device(&self) -> &Device {
        match self {
            Event::Added(device) | Event::Removed(device) | Event::Changed(device) => device,
        }
    }
}

/// What there is, and for each back end that could not be asked, why.
#[derive(Debug, Default, serde::Serialize)]
pub struct Listing {
    /// The devices, by kind.
    pub devices: Vec<Device>,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
}

/// A back end that could not be asked for devices of a kind.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Unseen {
    /// What may be missing from the list.
    pub kind: Kind,
    /// Who could not be asked.
    pub backend: Backend,
    /// Why.
    pub why: String,
    /// What to do about it.
    pub hint: &'static str,
}

/// Everything that can be found now, without opening any of it.
pub fn list() -> Listing {
    let mut listing = Listing::default();
    crate::capture::camera::list(&mut listing);
    crate::capture::screen::list(&mut listing);
    crate::audio::list(&mut listing);
    listing.devices.sort_by(|a, b| (a.kind, !a.default, &a.id).cmp(&(b.kind, !b.default, &b.id)));
    listing
}

/// Why a device gives or takes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// A text that names no device.
    #[error("`{text}` names no device; `conclave devices` lists those there are, as v4l:NAME or x11:screen-0")]
    NoId {
        /// The text.
        text: String,
    },
    /// There is no such device, or no longer.
    #[error("there is no {kind} {id} (any more); plug it in, or pick another: `conclave devices` lists them")]
    Missing {
        /// What was looked for.
        kind: Kind,
        /// Its name.
        id: Id,
    },
    /// Another program has it.
    #[error("the {kind} {id} is in use by another program; close that one, or pick another device")]
    Busy {
        /// What was opened.
        kind: Kind,
        /// Its name.
        id: Id,
    },
    /// The system does not let this program have it.
    #[error("the {kind} {id} may not be used: {why}; {hint}")]
    Forbidden {
        /// What was opened.
        kind: Kind,
        /// Its name.
        id: Id,
        /// What the system said.
        why: String,
        /// What to do.
        hint: &'static str,
    },
    /// It was there and is gone, or stopped to answer.
    #[error("the {kind} {id} was lost: {why}")]
    Lost {
        /// What was open.
        kind: Kind,
        /// Its name.
        id: Id,
        /// What the system said.
        why: String,
    },
    /// It gives nothing that is understood here.
    #[error("the {kind} {id} cannot be used: {why}; {hint}")]
    Unusable {
        /// What was opened.
        kind: Kind,
        /// Its name.
        id: Id,
        /// What is wrong with it.
        why: String,
        /// What to do.
        hint: &'static str,
    },
    /// The part of the system through which it is reached is not there.
    #[error("{backend} cannot be reached: {why}; {hint}")]
    Unreachable {
        /// Who did not answer.
        backend: Backend,
        /// What was said.
        why: String,
        /// What to do.
        hint: &'static str,
    },
    /// This build, or this system, has no such back end.
    #[error("{kind} capture through {backend} is not built for this system yet; use a file or the rendered scene")]
    NotBuilt {
        /// What was wanted.
        kind: Kind,
        /// Through what.
        backend: Backend,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_is_written() {
        for text in ["v4l:usb-cam:0", "x11:window-0x1400003", "pipewire:alsa_input.pci", "sound:default"] {
            assert_eq!(text.parse::<Id>().expect("an id").to_string(), text);
        }
        for text in ["", "v4l", "v4l:", "usb:cam", ":x"] {
            let said = text.parse::<Id>().expect_err("no id").to_string();
            assert!(said.contains("names no device"), "{said}");
        }
    }
}
