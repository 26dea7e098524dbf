//! What people say and show: doubles that carry no sound and no picture, only their place in the meeting.

use conclave::codecs::{EncodedInfo, Size};
use conclave::encode::Framing;
use conclave::frame::{Buffer, Encoded, Kind};
use conclave::time::Time;

/// Microseconds of a packet of sound.
pub const PACKET_US: u64 = 20_000;
/// Microseconds between two pictures of a camera.
pub const PICTURE_US: u64 = 200_000;

/// Bytes of a packet of sound, of a key frame and of another picture.
const SOUND: usize = 80;
const KEY: usize = 4_000;
const DELTA: usize = 1_000;

/// Where a packet of sound stands: in units of [`PACKET_US`] since the beginning, and where what it is part of began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub slot: u64,
    pub since: u64,
}

impl Place {
    /// The place in a packet.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        Some(Self { slot: number(0)?, since: number(8)? })
    }
}

/// A packet of sound.
pub fn sound(place: Place, number: u64, now: Time) -> Encoded {
    let info = EncodedInfo { frame: number, keyframe: true, ..EncodedInfo::default() };
    Framing::audio(0, Kind::Microphone).frame(payload(place, SOUND), info, now)
}

/// Picture `number`, a key frame or one that needs the one before.
pub fn picture(number: u64, keyframe: bool, now: Time) -> Encoded {
    let mut info = EncodedInfo { frame: number, keyframe, ..EncodedInfo::default() };
    if !keyframe {
        (info.dependencies[0], info.dependency_count) = (1, 1);
    }
    let place = Place { slot: number, since: 0 };
    let len = if keyframe { KEY } else { DELTA };
    Framing::video(0, Kind::Camera, Size::new(64, 64)).frame(payload(place, len), info, now)
}

fn payload(place: Place, len: usize) -> Buffer {
    let mut payload = Buffer::with_capacity(len);
    let bytes = payload.tail();
    bytes.extend_from_slice(&place.slot.to_be_bytes());
    bytes.extend_from_slice(&place.since.to_be_bytes());
    bytes.extend(std::iter::repeat_n(0x55, len - 16));
    payload
}
