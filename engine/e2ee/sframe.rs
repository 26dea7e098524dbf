//! SFrame (RFC 9605 §4.4) on any bytes with any metadata: what the engine's own frames are made with, and what other
//! clients and the published vectors are checked against.

use super::aead::{Aead, AwsLc, TAG};
use super::header::{Header, MAX_LEN};
use super::keys::{OpenKey, SealKey};
use super::open::OpenError;
use super::replay::{Seen, Window};
use super::seal::SealError;
use crate::frame::Buffer;

/// Most bytes of metadata, so that header and metadata meet in a fixed array.
pub const MAX_METADATA: usize = 256 - MAX_LEN;

/// Counters end here (E2EE.md §3), far below where one key of GCM has sealed too much.
pub const COUNTER_LIMIT: u64 = 1 << 48;

/// Seals frames under one key, each with the next counter.
pub struct Sealer<A = AwsLc> {
    key: SealKey<A>,
    next: u64,
}

impl<A: Aead> Sealer<A> {
    /// Counters from 0.
    pub fn new(key: SealKey<A>) -> Self {
        Self { key, next: 0 }
    }

    /// Counters from `counter`, for vectors and for tests against other clients. There is no way back from it either.
    pub fn starting_at(key: SealKey<A>, counter: u64) -> Self {
        Self { key, next: counter }
    }

    /// The next key of the same sender and context: counters run on.
    pub(crate) fn move_on(&mut self, key: SealKey<A>) {
        self.key = key;
    }

    /// The KID.
    pub fn key_id(&self) -> u64 {
        self.key.key_id()
    }

    /// Turns the content of `buffer` into an SFrame ciphertext, in place, with `metadata` authenticated beside it.
    /// Returns the counter used. On an error the content is not sealed and must not be sent.
    ///
    /// # Errors
    /// [`SealError::Exhausted`] at the end of the counters, [`SealError::Metadata`] above [`MAX_METADATA`] bytes,
    /// [`SealError::Room`] where the buffer has none in front for the header, [`SealError::Refused`] by the cipher.
    pub fn seal(&mut self, metadata: &[u8], buffer: &mut Buffer) -> Result<u64, SealError> {
        let counter = self.next;
        if counter >= COUNTER_LIMIT {
            return Err(SealError::Exhausted { key_id: self.key_id() });
        }
        let mut header = [0; MAX_LEN];
        let header_len = Header { key_id: self.key_id(), counter }.write(&mut header);
        let header = &header[..header_len];
        let aad = Aad::new(header, metadata).ok_or(SealError::Metadata(metadata.len()))?;
        if !buffer.prepend(header) {
            return Err(SealError::Room);
        }
        // Gone for good before the cipher runs: a counter is never used twice, whatever happens next.
        self.next += 1;
        let (aead, nonce) = self.key.parts(counter);
        let tag = aead.seal(&nonce, aad.as_slice(), &mut buffer.as_mut_slice()[header_len..]);
        buffer.tail().extend_from_slice(&tag.map_err(|_| SealError::Refused)?);
        Ok(counter)
    }
}

/// Opens frames under one key, each counter once.
pub struct Opener<A = AwsLc> {
    key: OpenKey<A>,
    window: Window,
}

impl<A: Aead> Opener<A> {
    /// Nothing seen yet.
    pub fn new(key: OpenKey<A>) -> Self {
        Self { key, window: Window::default() }
    }

    /// Turns an SFrame ciphertext into its plaintext, in place. On an error the content is zeros.
    ///
    /// # Errors
    /// [`OpenError`], whatever the reason: header, key id, counter seen before or too old, forged bytes or metadata.
    pub fn open(&mut self, metadata: &[u8], buffer: &mut Buffer) -> Result<Header, OpenError> {
        let opened = self.attempt(metadata, buffer);
        if opened.is_none() {
            wipe(buffer);
        }
        opened.ok_or(OpenError)
    }

    fn attempt(&mut self, metadata: &[u8], buffer: &mut Buffer) -> Option<Header> {
        let (header, header_len) = Header::read(buffer.as_slice())?;
        if header.key_id != self.key.key_id() || self.window.check(header.counter) != Seen::Fresh {
            return None;
        }
        open(&self.key, header, header_len, metadata, buffer).then_some(())?;
        self.window.record(header.counter).then_some(header)
    }
}

/// Authenticates and decrypts the content of `buffer` behind its header, which was read before. `true`: the content is
/// the plaintext; `false`: the caller wipes it.
pub(crate) fn open<A: Aead>(
    key: &OpenKey<A>,
    header: Header,
    header_len: usize,
    metadata: &[u8],
    buffer: &mut Buffer,
) -> bool {
    let Some(body) = buffer.len().checked_sub(header_len + TAG) else { return false };
    let (front, rest) = buffer.as_mut_slice().split_at_mut(header_len);
    let Some(aad) = Aad::new(front, metadata) else { return false };
    let Some((data, tag)) = rest.split_last_chunk_mut::<TAG>() else { return false };
    let (aead, nonce) = key.parts(header.counter);
    if aead.open(&nonce, aad.as_slice(), data, tag).is_err() {
        return false;
    }
    buffer.consume(header_len);
    buffer.truncate(body);
    true
}

/// Overwrites the content with zeros. The buffer lives on, so a plain store is not optimised away.
pub(crate) fn wipe(buffer: &mut Buffer) {
    buffer.as_mut_slice().fill(0);
}

/// Header and metadata in one piece, as the ciphers want them: the header first (RFC 9605 §4.4.3).
struct Aad {
    bytes: [u8; 256],
    len: usize,
}

impl Aad {
    fn new(header: &[u8], metadata: &[u8]) -> Option<Self> {
        if metadata.len() > MAX_METADATA {
            return None;
        }
        let len = header.len() + metadata.len();
        let mut bytes = [0; 256];
        bytes[..header.len()].copy_from_slice(header);
        bytes[header.len()..len].copy_from_slice(metadata);
        Some(Self { bytes, len })
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e2ee::{BaseKey, Suite};

    fn key() -> SealKey {
        SealKey::derive(Suite::Aes256GcmSha512, 1, &BaseKey::new(&[1; 64]).unwrap()).unwrap()
    }

    #[test]
    fn counters_end_and_stay_ended() {
        let mut sealer = Sealer::starting_at(key(), COUNTER_LIMIT - 1);
        let mut buffer = Buffer::with_capacity(64);
        assert_eq!(sealer.seal(b"", &mut buffer), Ok(COUNTER_LIMIT - 1));
        for _ in 0..3 {
            buffer.clear();
            assert_eq!(sealer.seal(b"", &mut buffer), Err(SealError::Exhausted { key_id: 1 }));
            assert!(buffer.is_empty());
        }
        let mut sealer = Sealer::starting_at(key(), u64::MAX);
        assert_eq!(sealer.seal(b"", &mut buffer), Err(SealError::Exhausted { key_id: 1 }));
    }

    #[test]
    fn a_buffer_without_room_and_too_much_metadata_cost_no_counter() {
        let mut sealer = Sealer::new(key());
        let mut full = Buffer::with_capacity(0);
        assert!(full.prepend(&[0; crate::frame::HEAD_ROOM]));
        assert_eq!(sealer.seal(b"", &mut full), Err(SealError::Room));
        let mut buffer = Buffer::with_capacity(0);
        assert_eq!(sealer.seal(&[0; 240], &mut buffer), Err(SealError::Metadata(240)));
        assert_eq!(sealer.seal(&[0; 239], &mut buffer), Ok(0));
    }
}
