//! The specification's symbol decoder (§8.2), word for word: what the range coder is tested against.

/// Symbols from bytes.
pub struct Decoder<'a> {
    bytes: &'a [u8],
    position: usize,
    value: u32,
    range: u32,
    max_bits: i64,
}

impl<'a> Decoder<'a> {
    /// The initialization process (§8.2.2).
    pub fn new(bytes: &'a [u8]) -> Self {
        let size = bytes.len() as i64;
        let mut decoder = Self { bytes, position: 0, value: 0, range: 1 << 15, max_bits: 8 * size - 15 };
        let bits = (size * 8).min(15) as u32;
        decoder.value = ((1 << 15) - 1) ^ (decoder.read(bits) << (15 - bits));
        decoder
    }

    fn read(&mut self, bits: u32) -> u32 {
        (0..bits).fold(0, |value, _| {
            let bit = self.bytes[self.position / 8] >> (7 - self.position % 8) & 1;
            self.position += 1;
            value << 1 | u32::from(bit)
        })
    }

    /// A symbol, which its CDF learns (§8.2.6).
    pub fn symbol(&mut self, cdf: &mut [u16]) -> usize {
        let n = cdf.len() - 1;
        let (mut current, mut previous);
        let mut symbol = 0;
        current = self.range;
        loop {
            previous = current;
            let f = (1 << 15) - u32::from(cdf[symbol]);
            current = (((self.range >> 8) * (f >> 6)) >> 1) + 4 * (n - symbol - 1) as u32;
            if self.value >= current {
                break;
            }
            symbol += 1;
        }
        self.range = previous - current;
        self.value -= current;
        let bits = 15 - self.range.ilog2();
        self.range <<= bits;
        let new = i64::from(bits).min(self.max_bits.max(0)) as u32;
        let padded = self.read(new) << (bits - new);
        self.value = padded ^ (((self.value + 1) << bits) - 1);
        self.max_bits -= i64::from(bits);
        let rate = 3 + u32::from(cdf[n] > 15) + u32::from(cdf[n] > 31) + n.ilog2().min(2);
        for (i, value) in cdf[..n - 1].iter_mut().enumerate() {
            let target = if i >= symbol { 1 << 15 } else { 0 };
            if target < *value {
                *value -= (*value - target) >> rate;
            } else {
                *value += (target - *value) >> rate;
            }
        }
        cdf[n] += u16::from(cdf[n] < 32);
        symbol
    }

    /// L(n).
    pub fn literal(&mut self, bits: u32) -> u32 {
        (0..bits).fold(0, |value, _| value << 1 | self.symbol(&mut [1 << 14, 1 << 15, 0]) as u32)
    }

    /// The Exp-Golomb code of `coeffs` (§5.11.39).
    pub fn golomb(&mut self) -> u32 {
        let mut length = 1;
        while self.literal(1) == 0 {
            length += 1;
        }
        1 << (length - 1) | self.literal(length - 1)
    }

    /// The exit process (§8.2.4): its demands on the bits that are left.
    pub fn exit(mut self) {
        assert!(self.max_bits >= -14);
        let trailing = self.position as i64 - (self.max_bits + 15).min(15);
        self.position = trailing as usize;
        assert_eq!(self.read(1), 1);
        let rest = (self.bytes.len() * 8 - self.position) as u32;
        assert!(rest < 16);
        assert_eq!(self.read(rest), 0);
    }
}
