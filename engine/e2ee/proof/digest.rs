//! What a signature stands for a frame with: a hash of everything that was sent, never only the tag. Whoever has the key
//! of AES-GCM makes a second ciphertext with the same tag in one multiplication.

use aws_lc_rs::digest::{SHA256, digest};

/// The first 16 bytes of `SHA-256(0x00 ‖ u64 KID ‖ u64 CTR ‖ u32 len ‖ SHA-256(metadata) ‖ SHA-256(frame))`, where the
/// frame is header, ciphertext and tag and `len` counts its bytes.
///
/// Two frames of one digest are a collision of 128 bits of SHA-256, which takes 2^64 work of a sender that wants to deny
/// what it sent; for anybody else it is a second preimage.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// Bytes of a digest.
    pub const LEN: usize = 16;

    /// The digest of one sealed frame. Allocates nothing.
    pub fn of(key_id: u64, counter: u64, metadata: &[u8], frame: &[u8]) -> Self {
        // The first byte keeps these inputs apart from everything else that is hashed.
        let mut input = [0; 1 + 8 + 8 + 4 + 32 + 32];
        input[1..9].copy_from_slice(&key_id.to_be_bytes());
        input[9..17].copy_from_slice(&counter.to_be_bytes());
        // Longer frames are not sealed.
        input[17..21].copy_from_slice(&u32::try_from(frame.len()).unwrap_or(u32::MAX).to_be_bytes());
        input[21..53].copy_from_slice(digest(&SHA256, metadata).as_ref());
        input[53..].copy_from_slice(digest(&SHA256, frame).as_ref());
        let mut out = [0; Self::LEN];
        out.copy_from_slice(&digest(&SHA256, &input).as_ref()[..Self::LEN]);
        Self(out)
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0[..6].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_an_independent_computation() {
        // python3: h = hashlib.sha256; h(b"\0" + pack(">QQI", 0x80315, 7, 3) + h(b"CM1").digest() + h(b"abc").digest())
        let expected = [0xe3, 0xac, 0xa0, 0x42, 0xce, 0xc1, 0x91, 0x36, 0x83, 0xc6, 0xf7, 0x71, 0xe6, 0x87, 0x01, 0x48];
        assert_eq!(Digest::of(0x80315, 7, b"CM1", b"abc").0, expected);
    }

    #[test]
    fn every_bit_of_every_input_counts() {
        let frame: Vec<u8> = (0..60).collect();
        let genuine = Digest::of(9, 4, b"metadata", &frame);
        for bit in 0..frame.len() * 8 {
            let mut other = frame.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(Digest::of(9, 4, b"metadata", &other), genuine);
        }
        for bit in 0..64 {
            assert_ne!(Digest::of(9 ^ 1 << bit, 4, b"metadata", &frame), genuine);
            assert_ne!(Digest::of(9, 4 ^ 1 << bit, b"metadata", &frame), genuine);
        }
        assert_ne!(Digest::of(9, 4, b"metadatb", &frame), genuine);
        assert_ne!(Digest::of(9, 4, b"metadata", &frame[1..]), genuine);
        assert_ne!(Digest::of(9, 4, b"metadata\0", &frame[1..]), genuine, "what moves over the border is seen");
    }
}
