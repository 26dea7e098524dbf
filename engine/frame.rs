//! The four states of a frame, each an owned type: [`Raw`] → [`Encoded`] → [`Sealed`] → [`Packet`].
//!
//! Only `e2ee::seal` makes a [`Sealed`], and the packetizer takes nothing else, so that plaintext cannot reach the
//! wire. The bytes of a frame stay in one [`Buffer`] from the encoder to the packetizer.

use conclave_codecs::{EncodedInfo, Picture};
use zeroize::Zeroize;

use crate::ledger::Ledger;
use crate::time::Time;

/// Bytes kept free in front of an encoded frame: SFrame header (17), capture time, structure and lengths.
pub const HEAD_ROOM: usize = 192;

/// Bytes kept free behind an encoded frame: the tag and the padding.
pub const TAIL_ROOM: usize = 16 + 256;

/// A byte buffer with room in front, so that headers are added without moving the payload. It is wiped when dropped, since
/// what it held may have been in the clear.
#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// An empty buffer with [`HEAD_ROOM`] in front and room for `capacity` bytes and [`TAIL_ROOM`] behind.
    pub fn with_capacity(capacity: usize) -> Self {
        let mut buffer = Self { bytes: Vec::with_capacity(HEAD_ROOM + capacity + TAIL_ROOM), start: 0 };
        buffer.clear();
        buffer
    }

    /// Empties the buffer and restores the room in front; keeps the allocation.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(HEAD_ROOM, 0);
        self.start = HEAD_ROOM;
    }

    /// The content.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The content, to be changed in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }

    /// Bytes of content.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// No content.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of content that it holds without growing.
    pub fn room(&self) -> usize {
        self.bytes.capacity().saturating_sub(HEAD_ROOM + TAIL_ROOM)
    }

    /// The vector behind the buffer: an encoder appends its output here.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Puts `front` before the content. `false`, and nothing done, where the room does not suffice.
    #[must_use]
    pub fn prepend(&mut self, front: &[u8]) -> bool {
        let Some(start) = self.start.checked_sub(front.len()) else { return false };
        self.bytes[start..self.start].copy_from_slice(front);
        self.start = start;
        true
    }

    /// Drops the first `count` bytes of content; at most all of it.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
    }

    /// Keeps the first `len` bytes of content.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(self.start + len);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // With all that it ever held, behind its end too.
        self.bytes.zeroize();
    }
}

/// What kind of media a stream carries (`kind` of the frame metadata; also the key context of E2EE.md §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[repr(u8)]
pub enum Kind {
    /// A microphone: context 0.
    Microphone = 0,
    /// A camera: context 1.
    Camera = 1,
    /// A shared screen: context 4.
    Screen = 4,
    /// The sound of a shared screen: context 6.
    ScreenAudio = 6,
    /// Application data: context 7.
    Data = 7,
}

impl Kind {
    /// Packets of this kind carry Opus.
    pub const fn is_audio(self) -> bool {
        matches!(self, Kind::Microphone | Kind::ScreenAudio)
    }

    /// Frames of this kind need others, which a dependency descriptor says. All other frames stand by themselves.
    pub const fn is_video(self) -> bool {
        matches!(self, Kind::Camera | Kind::Screen)
    }
}

/// What travels outside the ciphertext and is authenticated with it (E2EE.md §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The stream, one per encoding; the RTP SSRC.
    pub stream: u32,
    /// The media.
    pub kind: Kind,
    /// Spatial layer.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// Template of the dependency descriptor, chosen by the sender; 0 for all but video.
    pub template_id: u8,
    /// Frame number, 16 bits, wrapping, counted by the sender over the frames sent; 0 for all but video.
    pub frame_number: u16,
}

/// A captured picture, converted and ready for the encoder.
pub struct Raw {
    /// The pixels.
    pub picture: Picture,
    /// When it was captured.
    pub captured: Time,
    /// Stamps so far.
    pub ledger: Ledger,
}

/// An encoded frame, in the clear. It can be sealed and nothing else.
pub struct Encoded {
    /// The temporal unit, the audio packet or the data.
    pub payload: Buffer,
    /// What a receiver needs to know without reading the bits; default for all but video.
    pub info: EncodedInfo,
    /// What travels outside the ciphertext.
    pub header: Header,
    /// When it was captured.
    pub captured: Time,
    /// The dependency descriptor's template structure, on key frames of video.
    pub structure: Structure,
    /// Stamps so far.
    pub ledger: Ledger,
}

/// Bytes of a template structure (dependency descriptor), at most 96.
#[derive(Clone, Copy)]
pub struct Structure {
    bytes: [u8; 96],
    len: u8,
}

impl Default for Structure {
    fn default() -> Self {
        Self { bytes: [0; 96], len: 0 }
    }
}

impl Structure {
    /// Copies `bytes`; `None` where there are more than 96.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut structure = Self::default();
        structure.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        structure.len = bytes.len() as u8;
        Some(structure)
    }

    /// The bytes; empty where the frame carries no structure.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }
}

/// A sealed frame: SFrame header and ciphertext. Made by [`crate::e2ee::Sealer`] alone.
pub struct Sealed {
    pub(crate) payload: Buffer,
    pub(crate) info: EncodedInfo,
    pub(crate) header: Header,
    pub(crate) captured: Time,
    pub(crate) structure: Structure,
    pub(crate) ledger: Ledger,
    pub(crate) to_prove: Option<crate::e2ee::proof::Frame>,
}

impl Sealed {
    /// The bytes that go to the packetizer.
    pub fn as_slice(&self) -> &[u8] {
        self.payload.as_slice()
    }

    /// What travels outside the ciphertext.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Dependencies and layer ids.
    pub fn info(&self) -> &EncodedInfo {
        &self.info
    }

    /// When it was captured.
    pub fn captured(&self) -> Time {
        self.captured
    }

    /// The template structure that a key frame carries; empty otherwise.
    pub fn structure(&self) -> &Structure {
        &self.structure
    }

    /// Stamps so far.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What the sender's prover is told of it; none where nothing is proven.
    pub fn to_prove(&self) -> Option<crate::e2ee::proof::Frame> {
        self.to_prove
    }

    /// The buffer, cleared, for the next frame.
    pub fn recycle(mut self) -> Buffer {
        self.payload.clear();
        self.payload
    }
}

/// The packets that a frame came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packets {
    /// Sequence number of the first, unwrapped.
    pub first: u64,
    /// Sequence number of the last, unwrapped.
    pub last: u64,
    /// RTP timestamp, unwrapped.
    pub rtp_time: u64,
}

/// A sealed frame as it arrived: every fragment in order, not yet authenticated. Made by the depacketizer.
pub struct Arrived {
    /// SFrame header and ciphertext, with head room in front.
    pub payload: Buffer,
    /// From the frame's first packet; authenticated by opening.
    pub header: Header,
    /// What it came in.
    pub packets: Packets,
    /// Media kind and packet stamps.
    pub ledger: Ledger,
}

/// An opened frame: authenticated plaintext for the decoder.
pub struct Opened {
    /// The temporal unit or the audio packet, nothing else.
    pub payload: Buffer,
    /// What travelled outside, now authenticated.
    pub header: Header,
    /// Capture time at the sender, on the sender's clock.
    pub captured: Time,
    /// The authenticated template structure of a key frame; empty otherwise.
    pub structure: Structure,
    /// Counter of the SFrame header: frames of one key are ordered by it.
    pub counter: u64,
    /// Key id of the SFrame header.
    pub key_id: u64,
    /// What it came in.
    pub packets: Packets,
    /// Stamps so far.
    pub ledger: Ledger,
}

/// Largest RTP packet that the engine makes or takes, in bytes.
pub const MAX_PACKET: usize = 1500;

/// One RTP or RTCP datagram, inline so that making it never allocates. Made from sealed frames and control alone.
#[derive(Clone)]
pub struct Packet {
    bytes: [u8; MAX_PACKET],
    len: u16,
}

impl Packet {
    /// A packet with a copy of `bytes`; `None` where there are more than [`MAX_PACKET`].
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        let mut packet = Self { bytes: [0; MAX_PACKET], len: bytes.len() as u16 };
        packet.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(packet)
    }

    /// An empty packet to be filled through `spare` and `set_len`.
    pub(crate) fn empty() -> Self {
        Self { bytes: [0; MAX_PACKET], len: 0 }
    }

    /// All [`MAX_PACKET`] bytes, to be written before `set_len`.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Declares how many bytes were written.
    pub(crate) fn set_len(&mut self, len: usize) {
        self.len = len.min(MAX_PACKET) as u16;
    }

    /// The datagram.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }
}
