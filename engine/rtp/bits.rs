//! Bits, most significant first, into and out of a short byte string.

/// Reads bits; past the end it yields `None`.
#[derive(Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// From the first bit of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `count` bits, at most 32.
    pub fn bits(&mut self, count: usize) -> Option<u32> {
        if count > 32 || self.at + count > self.bytes.len() * 8 {
            return None;
        }
        let mut value = 0u64;
        for _ in 0..count {
            value = value << 1 | u64::from(self.bytes[self.at / 8] >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value as u32)
    }

    /// The next bit.
    pub fn flag(&mut self) -> Option<bool> {
        self.bits(1).map(|bit| bit == 1)
    }

    /// A value below `n` in the non-symmetric code `ns(n)` of the AV1 specification §4.10.7.
    pub fn non_symmetric(&mut self, n: u32) -> Option<u32> {
        let width = 32 - n.leading_zeros();
        let short = (1u32 << width) - n;
        let value = self.bits(width as usize - 1)?;
        if value < short {
            return Some(value);
        }
        Some((value << 1) - short + self.bits(1)?)
    }

    /// Bits read so far.
    pub fn position(&self) -> usize {
        self.at
    }
}

/// Writes bits into a fixed slice; what does not fit makes [`Writer::finish`] fail.
pub struct Writer<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    /// From the first bit of `bytes`, all of which are cleared.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        bytes.fill(0);
        Self { bytes, at: 0 }
    }

    /// The low `count` bits of `value`.
    pub fn bits(&mut self, value: u32, count: usize) {
        for bit in (0..count).rev() {
            if let Some(byte) = self.bytes.get_mut(self.at / 8) {
                *byte |= ((value >> bit & 1) as u8) << (7 - self.at % 8);
            }
            self.at += 1;
        }
    }

    /// One bit.
    pub fn flag(&mut self, flag: bool) {
        self.bits(u32::from(flag), 1);
    }

    /// `value`, below `n`, in the code `ns(n)`.
    pub fn non_symmetric(&mut self, value: u32, n: u32) {
        let width = 32 - n.leading_zeros();
        let short = (1u32 << width) - n;
        if value < short {
            self.bits(value, width as usize - 1);
        } else {
            self.bits(value + short, width as usize);
        }
    }

    /// Whole bytes written, the last filled up with zeros; `None` where they did not fit.
    pub fn finish(self) -> Option<usize> {
        let len = self.at.div_ceil(8);
        (len <= self.bytes.len()).then_some(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..2_000 {
            let mut bytes = [0; 64];
            let n = random.u32(1..200);
            let (value, plain) = (random.u32(..n), random.u32(..1 << 13));
            let mut writer = Writer::new(&mut bytes);
            writer.bits(plain, 13);
            writer.non_symmetric(value, n);
            writer.flag(true);
            writer.finish().expect("fits");
            let mut reader = Reader::new(&bytes);
            assert_eq!(
                (reader.bits(13), reader.non_symmetric(n), reader.flag()),
                (Some(plain), Some(value), Some(true))
            );
        }
    }

    #[test]
    fn neither_reads_nor_writes_past_the_end() {
        assert_eq!(Reader::new(&[1]).bits(9), None);
        let mut writer = Writer::new(&mut []);
        writer.flag(true);
        assert_eq!(writer.finish(), None);
    }
}
