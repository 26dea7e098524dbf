//! The SFrame header (RFC 9605 §4.3): key id and counter in 1 to 17 bytes, one encoding per value.

/// Longest header in bytes: the config byte and two full 64-bit numbers.
pub const MAX_LEN: usize = 17;

/// Key id and counter of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// KID: which key seals the frame.
    pub key_id: u64,
    /// CTR: the frame's number under that key.
    pub counter: u64,
}

impl Header {
    /// Writes the header to the start of `out` and returns its length.
    pub fn write(&self, out: &mut [u8; MAX_LEN]) -> usize {
        let (key_bits, key_len) = nibble(self.key_id);
        let (counter_bits, counter_len) = nibble(self.counter);
        out[0] = key_bits << 4 | counter_bits;
        out[1..1 + key_len].copy_from_slice(&self.key_id.to_be_bytes()[8 - key_len..]);
        let end = 1 + key_len + counter_len;
        out[1 + key_len..end].copy_from_slice(&self.counter.to_be_bytes()[8 - counter_len..]);
        end
    }

    /// Reads a header from the start of `bytes` and says how long it is. `None` where it is cut short or not minimal:
    /// a second encoding of the same numbers would be a second frame to whoever compares bytes.
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let (&config, rest) = bytes.split_first()?;
        let (key_id, key_len) = number(config >> 4, rest)?;
        let (counter, counter_len) = number(config & 0x0f, &rest[key_len..])?;
        Some((Self { key_id, counter }, 1 + key_len + counter_len))
    }
}

/// The four config bits of `value`, and how many bytes follow for it.
fn nibble(value: u64) -> (u8, usize) {
    if value < 8 {
        return (value as u8, 0);
    }
    let len = 8 - value.leading_zeros() as usize / 8;
    (8 | (len as u8 - 1), len)
}

/// The number that `nibble` announces, and how many bytes of `rest` it takes.
fn number(nibble: u8, rest: &[u8]) -> Option<(u64, usize)> {
    if nibble < 8 {
        return Some((nibble.into(), 0));
    }
    let len = usize::from(nibble & 7) + 1;
    let bytes = rest.get(..len)?;
    let value = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    (value >= 8 && bytes[0] != 0).then_some((value, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_round_trips_and_every_truncation_is_refused() {
        let edges = (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit]).chain([u64::MAX]);
        for key_id in edges.clone() {
            for counter in edges.clone() {
                let header = Header { key_id, counter };
                let mut bytes = [0; MAX_LEN];
                let len = header.write(&mut bytes);
                assert_eq!(Header::read(&bytes[..len]), Some((header, len)));
                for cut in 0..len {
                    assert_eq!(Header::read(&bytes[..cut]), None);
                }
            }
        }
    }

    #[test]
    fn longer_encodings_of_the_same_numbers_are_refused() {
        for bytes in [&[0x80, 0][..], &[0x80, 7], &[0x08, 7], &[0x90, 0, 9], &[0x09, 0, 9], &[0xa9, 0, 1, 2, 0, 1]] {
            assert_eq!(Header::read(bytes), None, "{bytes:02x?}");
        }
    }

    #[test]
    fn what_is_read_is_written_back_the_same() {
        let mut rng = fastrand::Rng::with_seed(0x5f4a);
        for _ in 0..200_000 {
            let mut bytes = [0; MAX_LEN];
            rng.fill(&mut bytes);
            let input = &bytes[..rng.usize(..=MAX_LEN)];
            if let Some((header, len)) = Header::read(input) {
                let mut again = [0; MAX_LEN];
                assert_eq!(header.write(&mut again), len);
                assert_eq!(again[..len], input[..len]);
            }
        }
    }
}
