//! Header bits: f(n), su(n), ns(n) and leb128 of the specification (§4.10).

/// Writes bits into bytes, the most significant first.
#[derive(Clone, Debug, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// Bits of the last byte that are still free.
    free: u32,
}

impl BitWriter {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all bits, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.free = 0;
    }

    /// f(n): the low `bits` of `value`.
    pub fn literal(&mut self, value: u32, bits: u32) {
        debug_assert!(bits == 32 || value >> bits == 0, "{value} does not fit {bits} bits");
        let mut left = bits;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let now = left.min(self.free);
            left -= now;
            self.free -= now;
            let part = (value >> left) as u8 & (0xff >> (8 - now));
            if let Some(last) = self.bytes.last_mut() {
                *last |= part << self.free;
            }
        }
    }

    /// f(1).
    pub fn flag(&mut self, flag: bool) {
        self.literal(flag.into(), 1);
    }

    /// su(n): two's complement in `bits`.
    pub fn signed(&mut self, value: i32, bits: u32) {
        self.literal(value as u32 & (u32::MAX >> (32 - bits)), bits);
    }

    /// ns(n): one of `count` values; the lower ones take a bit less where `count` is no power of two.
    pub fn non_symmetric(&mut self, value: u32, count: u32) {
        debug_assert!(value < count);
        let width = count.ilog2() + 1;
        let short = (1 << width) - count;
        if value < short {
            self.literal(value, width - 1);
        } else {
            self.literal(value + short, width);
        }
    }

    /// Zeros up to the next byte.
    pub fn byte_align(&mut self) {
        self.free = 0;
    }

    /// The end of an OBU's payload (§5.3.4): a one, then zeros up to the next byte.
    pub fn trailing_bits(&mut self) {
        self.flag(true);
        self.byte_align();
    }

    /// The bytes so far, the last one filled with zeros.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Appends `value` in as few bytes as it takes, seven bits each, the lowest first.
pub fn leb128(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reading side, word for word from the specification.
    struct Reader<'a>(&'a [u8], usize);

    impl Reader<'_> {
        fn f(&mut self, bits: u32) -> u32 {
            (0..bits).fold(0, |value, _| {
                let bit = self.0[self.1 / 8] >> (7 - self.1 % 8) & 1;
                self.1 += 1;
                value << 1 | u32::from(bit)
            })
        }

        fn su(&mut self, bits: u32) -> i32 {
            let value = self.f(bits) as i32;
            if value >> (bits - 1) & 1 == 1 { value - (1 << bits) } else { value }
        }

        fn ns(&mut self, count: u32) -> u32 {
            let width = count.ilog2() + 1;
            let short = (1 << width) - count;
            let value = self.f(width - 1);
            if value < short { value } else { (value << 1) - short + self.f(1) }
        }
    }

    #[test]
    fn every_descriptor_reads_back() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut writer = BitWriter::new();
        let mut values = Vec::new();
        for _ in 0..5000 {
            let kind = random.u32(..3);
            let (value, bits) = match kind {
                0 => {
                    let bits = random.u32(0..32);
                    (random.u32(..1 << bits), bits)
                }
                1 => {
                    let bits = random.u32(1..24);
                    (random.u32(..1 << bits), bits)
                }
                _ => {
                    let count = random.u32(1..1000);
                    (random.u32(..count), count)
                }
            };
            match kind {
                0 => writer.literal(value, bits),
                1 => writer.signed(value as i32 - (1 << (bits - 1)), bits),
                _ => writer.non_symmetric(value, bits),
            }
            values.push((kind, value, bits));
        }
        writer.trailing_bits();
        let mut reader = Reader(writer.bytes(), 0);
        for (kind, value, bits) in values {
            match kind {
                0 => assert_eq!(reader.f(bits), value),
                1 => assert_eq!(reader.su(bits), value as i32 - (1 << (bits - 1))),
                _ => assert_eq!(reader.ns(bits), value),
            }
        }
        assert_eq!(reader.f(1), 1);
        assert!(writer.bytes().len() * 8 - reader.1 < 8);
        assert_eq!(reader.f((writer.bytes().len() * 8 - reader.1) as u32), 0);
    }

    #[test]
    fn five_values_take_two_or_three_bits() {
        let coded = [(0, 0b00, 2), (1, 0b01, 2), (2, 0b10, 2), (3, 0b110, 3), (4, 0b111, 3)];
        for (value, bits, length) in coded {
            let (mut short, mut plain) = (BitWriter::new(), BitWriter::new());
            short.non_symmetric(value, 5);
            plain.literal(bits, length);
            assert_eq!((short.bytes(), short.free), (plain.bytes(), plain.free));
        }
    }

    #[test]
    fn leb128_takes_seven_bits_a_byte() {
        for (value, bytes) in [(0, vec![0]), (127, vec![127]), (128, vec![0x80, 1]), (300, vec![0xac, 2])] {
            let mut out = Vec::new();
            leb128(value, &mut out);
            assert_eq!(out, bytes);
        }
    }
}
