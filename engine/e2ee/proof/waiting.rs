//! Frames of one stream that wait for their proof, and frames of which only one can be the sender's.
//!
//! What a forger can do here: fill the room. It holds a few frames for each counter, of counters close above the last
//! proven one. A newcomer pushes out the oldest of its own counter, or where the stream's room is full those furthest
//! ahead, so that frames made up in advance never keep the genuine one out. What remains: more than [`RIVALS`] forged
//! frames for one counter between the genuine frame and its proof push that frame out. That takes a relay that carries
//! frames in another sender's name, and such a relay could as well have dropped the frame.

use super::digest::Digest;
use crate::time::Time;

/// Frames that wait in one stream.
pub(crate) const MAX_FRAMES: usize = 128;

/// Bytes of frames that wait in one stream.
pub(crate) const MAX_BYTES: usize = 4 << 20;

/// Frames of one counter, of which one at most is genuine.
pub(crate) const RIVALS: usize = 4;

/// How far above the last proven counter a frame may lie.
pub(crate) const AHEAD: u64 = 256;

/// How long a frame waits, in microseconds.
pub(crate) const PATIENCE_US: u64 = 2_000_000;

/// A frame that waits.
pub(crate) struct Waiting<T> {
    pub(crate) counter: u64,
    pub(crate) digest: Digest,
    pub(crate) key_id: u64,
    pub(crate) stream: u32,
    pub(crate) since: Time,
    pub(crate) bytes: usize,
    pub(crate) frame: T,
}

/// See the module. In the order of arrival.
pub(crate) struct Room<T> {
    frames: Vec<Waiting<T>>,
    bytes: usize,
}

impl<T> Room<T> {
    pub(crate) fn new() -> Self {
        Self { frames: Vec::new(), bytes: 0 }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether this frame waits, and whether another one of its counter does.
    pub(crate) fn find(&self, counter: u64, digest: Digest) -> (bool, bool) {
        let mut rivals = self.frames.iter().filter(|waiting| waiting.counter == counter).peekable();
        (rivals.clone().any(|waiting| waiting.digest == digest), rivals.any(|waiting| waiting.digest != digest))
    }

    /// Lets a frame wait; it comes back where it lies further ahead than everything else and there is no room. The second
    /// number counts those that it pushed out.
    pub(crate) fn put(&mut self, waiting: Waiting<T>) -> (Result<(), Waiting<T>>, u64) {
        let mut out = 0;
        if self.frames.iter().filter(|other| other.counter == waiting.counter).count() >= RIVALS {
            self.remove(|other| other.counter == waiting.counter);
            out += 1;
        }
        if waiting.bytes > MAX_BYTES {
            return (Err(waiting), out);
        }
        while self.frames.len() >= MAX_FRAMES || self.bytes + waiting.bytes > MAX_BYTES {
            let furthest = self.frames.iter().map(|other| other.counter).max();
            match furthest.filter(|furthest| *furthest > waiting.counter) {
                Some(furthest) => self.remove(|other| other.counter == furthest),
                None => return (Err(waiting), out),
            };
            out += 1;
        }
        if self.frames.capacity() == 0 {
            self.frames.reserve_exact(MAX_FRAMES);
        }
        self.bytes += waiting.bytes;
        self.frames.push(waiting);
        (Ok(()), out)
    }

    /// Drops the frame furthest ahead. `false`: none is here.
    pub(crate) fn crowd_out(&mut self) -> bool {
        let furthest = self.frames.iter().map(|waiting| waiting.counter).max();
        furthest.and_then(|furthest| self.remove(|waiting| waiting.counter == furthest)).is_some()
    }

    /// Takes out the first frame that is `wanted`.
    pub(crate) fn remove(&mut self, wanted: impl Fn(&Waiting<T>) -> bool) -> Option<Waiting<T>> {
        let at = self.frames.iter().position(wanted)?;
        let waiting = self.frames.remove(at);
        self.bytes -= waiting.bytes;
        Some(waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(counter: u64, n: u64, bytes: usize) -> Waiting<()> {
        let mut digest = [0; 16];
        digest[..8].copy_from_slice(&n.to_be_bytes());
        Waiting { counter, digest: Digest(digest), key_id: 0, stream: 0, since: Time(0), bytes, frame: () }
    }

    #[test]
    fn frames_made_up_in_advance_do_not_keep_the_genuine_ones_out() {
        let mut room = Room::new();
        for n in 0..100_000 {
            let _ = room.put(waiting(n % 200, n, 1000));
        }
        assert!(room.len() <= MAX_FRAMES && room.bytes <= MAX_BYTES);
        for counter in 0..20 {
            let genuine = waiting(counter, 1 << 60, 1000);
            let digest = genuine.digest;
            assert!(room.put(genuine).0.is_ok());
            for n in 0..RIVALS as u64 - 1 {
                let _ = room.put(waiting(counter, 2 << 60 | n, 1000));
            }
            (100..200).for_each(|far| drop(room.put(waiting(far, 3 << 60, 100_000))));
            assert_eq!(room.find(counter, digest), (true, true));
        }
    }

    #[test]
    fn frames_and_bytes_are_bounded_and_the_books_balance() {
        let mut rng = fastrand::Rng::with_seed(11);
        let mut room = Room::new();
        for n in 0..50_000 {
            let _ = room.put(waiting(rng.u64(..300), n, rng.usize(..100_000)));
            assert!(room.len() <= MAX_FRAMES && room.bytes <= MAX_BYTES);
            if rng.u8(..8) == 0 {
                let counter = rng.u64(..300);
                room.remove(|waiting| waiting.counter == counter);
            }
        }
        assert!(room.put(waiting(0, 0, MAX_BYTES + 1)).0.is_err());
        while room.remove(|_| true).is_some() {}
        assert_eq!((room.len(), room.bytes), (0, 0));
    }
}
