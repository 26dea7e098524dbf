//! From an encoded frame to a sealed one: the only door through which media leaves the encoder.

use super::aead::{Aead, AwsLc, TAG};
use super::keys::{Context, KeyError, SealKey, Suite};
use super::proof::{Digest, Frame};
use super::record::{Front, Padding, metadata};
use super::schedule::Chain;
use super::sframe;
use super::source::KeySource;
use crate::frame::{Encoded, Kind, Sealed};
use crate::time::Time;

/// Seals the frames of one key context, each with the next counter of its key. The key moves on by the clock; counters
/// run on until another epoch's keys are taken.
///
/// It is not `Clone`, starts at counter 0 and cannot be stored and resumed: that a nonce is never used twice is a
/// matter of its type.
pub struct Sealer<A = AwsLc> {
    record: sframe::Sealer<A>,
    chain: Chain,
    context: Context,
    padding: Padding,
    proves: bool,
    stats: SealStats,
}

/// What a sealer has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SealStats {
    /// Frames sealed.
    pub sealed: u64,
    /// Frames refused.
    pub refused: u64,
    /// Bytes of payload in sealed frames.
    pub payload_bytes: u64,
    /// Bytes of padding in sealed frames.
    pub padding_bytes: u64,
    /// Bytes of sealed frames, headers and tags included.
    pub sealed_bytes: u64,
}

/// Why a frame was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The counters of a key have run out.
    #[error("key {key_id:#x} has sealed 2^48 frames and seals no more: start a new epoch")]
    Exhausted {
        /// The key.
        key_id: u64,
    },
    /// The frame belongs to another context.
    #[error("a frame of kind {kind:?} cannot be sealed with the key of context {context}: open a sealer for its own")]
    Context {
        /// The sealer's context.
        context: u8,
        /// The frame's kind.
        kind: Kind,
    },
    /// No head room.
    #[error("the buffer has no room for headers in front: take it from `Buffer::with_capacity` or clear it first")]
    Room,
    /// The frame is longer than its length field.
    #[error("a frame of {0} bytes is too long to be sealed: the limit is 4 GiB")]
    TooLong(usize),
    /// Too much metadata.
    #[error("{0} bytes of metadata are too many: at most 239 are authenticated")]
    Metadata(usize),
    /// The cipher refused.
    #[error("the cipher refused the frame")]
    Refused,
    /// The next key could not be derived.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Sealer {
    /// A sealer for `context`, with the source's key for it and the default padding.
    ///
    /// # Errors
    /// Those of [`KeySource::sending`], and [`KeyError::KeyId`] where the source names a key that cannot be written.
    pub fn new(source: &mut (impl KeySource + ?Sized), context: Context) -> Result<Self, KeyError> {
        Self::on_arm(source, context)
    }
}

impl<A: Aead> Sealer<A> {
    /// Like [`Sealer::new`], on the cipher `A`.
    ///
    /// # Errors
    /// Those of [`Sealer::new`].
    pub fn on_arm(source: &mut (impl KeySource + ?Sized), context: Context) -> Result<Self, KeyError> {
        let chain = source.sending(context)?;
        let record = sframe::Sealer::new(key(&chain)?);
        let (padding, stats) = (Padding::default(), SealStats::default());
        Ok(Self { record, chain, context, padding, proves: false, stats })
    }

    /// Takes the keys of another epoch, where `source` has them: counters start again, under another key. `false` where
    /// those in use are still in force.
    ///
    /// # Errors
    /// [`KeyError::None`] where nothing may be sealed any more; the sealer is to be dropped.
    pub fn renew(&mut self, source: &mut (impl KeySource + ?Sized)) -> Result<bool, KeyError> {
        let chain = match source.sending(self.context) {
            Err(KeyError::Taken(_)) => {
                if let Some(began) = source.sealing_since() {
                    self.chain.set_began(began);
                }
                return Ok(false);
            }
            chain => chain?,
        };
        self.record = sframe::Sealer::new(key(&chain)?);
        self.chain = chain;
        Ok(true)
    }

    /// Another padding.
    #[must_use]
    pub fn with_padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    /// Frames say what is to be proven of them: [`Sealed::to_prove`].
    #[must_use]
    pub fn with_proofs(mut self) -> Self {
        self.proves = true;
        self
    }

    /// Seals a frame in its own buffer, with the key in force `now`. Allocates only where the key moves on and where the
    /// buffer is too short for padding and tag.
    ///
    /// # Errors
    /// See [`SealError`]. The frame is gone; its counter may be, and the next frame takes the next one.
    pub fn seal(&mut self, frame: Encoded, now: Time) -> Result<Sealed, SealError> {
        let sealed = self.move_on(now).and_then(|()| self.attempt(frame));
        if sealed.is_err() {
            self.stats.refused += 1;
        }
        sealed
    }

    /// Tells the time, so that the keys of a step that is over go whether anything is sealed or not.
    pub fn tick(&mut self, now: Time) {
        // Where the next step cannot be derived, the next frame says so.
        let _ = self.move_on(now);
    }

    /// Moves the chain on by the clock and erases the step before.
    fn move_on(&mut self, now: Time) -> Result<(), SealError> {
        let step = self.chain.step_at(now);
        if step > self.chain.id().step {
            self.chain.advance(step)?;
            self.record.move_on(key(&self.chain)?);
        }
        Ok(())
    }

    fn attempt(&mut self, frame: Encoded) -> Result<Sealed, SealError> {
        let Encoded { mut payload, info, header, captured, structure, ledger } = frame;
        if !self.context.carries(header.kind) {
            return Err(SealError::Context { context: self.context.number(), kind: header.kind });
        }
        let payload_len = payload.len();
        let len = u32::try_from(payload_len).map_err(|_| SealError::TooLong(payload_len))?;
        if !payload.prepend(Front::new(captured, &structure, len).as_slice()) {
            return Err(SealError::Room);
        }
        let padding = self.padding.padded(header.kind, payload.len()) - payload.len();
        // Grow once if at all, before sealing: what a growing vector leaves behind is not wiped.
        let tail = payload.tail();
        tail.reserve(padding + TAG);
        tail.resize(tail.len() + padding, 0);
        let metadata = metadata(&header);
        let counter = self.record.seal(&metadata, &mut payload)?;
        let to_prove = self.proves.then(|| Frame {
            context: self.context,
            counter,
            digest: Digest::of(self.key_id(), counter, &metadata, payload.as_slice()),
            // A packet of sound needs no other, which its encoder says in the same way; others wait for pictures alone.
            key_frame: info.keyframe && header.kind.is_video(),
        });

        self.stats.sealed += 1;
        self.stats.payload_bytes += payload_len as u64;
        self.stats.padding_bytes += padding as u64;
        self.stats.sealed_bytes += payload.len() as u64;
        Ok(Sealed { payload, info, header, captured, structure, ledger, to_prove })
    }

    /// The KID that stands in the headers.
    pub fn key_id(&self) -> u64 {
        self.record.key_id()
    }

    /// The key context.
    pub fn context(&self) -> Context {
        self.context
    }

    /// What was done so far.
    pub fn stats(&self) -> &SealStats {
        &self.stats
    }
}

/// The key of a chain's first link.
fn key<A: Aead>(chain: &Chain) -> Result<SealKey<A>, KeyError> {
    let key_id = chain.id().pack().ok_or(KeyError::KeyId)?;
    SealKey::derive(Suite::Aes256GcmSha512, key_id, chain.base())
}
