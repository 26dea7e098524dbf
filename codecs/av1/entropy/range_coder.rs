//! The range encoder: the inverse of the specification's symbol decoder (§8.2).
//!
//! A decoder holds a window of 15 bits; `low` is the lower end of the interval that the window may lie in, `range` its
//! width. Every symbol cuts the interval, then both are shifted until the width has 16 bits again. Bits that leave the
//! window upwards are done but for a carry, which ripples back through the bytes already written.

/// Symbols in, bytes out. Reusable; once its buffer has grown it allocates no more.
#[derive(Clone, Debug)]
pub struct RangeCoder {
    /// Bytes that left `low`; a later carry can still change them.
    bytes: Vec<u8>,
    /// From above: a carry of 0, 1 or 2 (the range can be twice as wide as the window), `ready` bits that left the
    /// window, the window's 15.
    low: u64,
    /// 32768…65535; 32768 at first.
    range: u32,
    ready: u32,
}

/// Bits of `low` that are moved to `bytes` at once: with those of one more symbol they still fit.
const FLUSH: u32 = 32;
const WINDOW: u32 = 15;

impl Default for RangeCoder {
    fn default() -> Self {
        Self { bytes: Vec::new(), low: 0, range: 1 << WINDOW, ready: 0 }
    }
}

impl RangeCoder {
    /// A coder at the start of a tile.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Back to the start of a tile, with the memory kept.
    pub fn clear(&mut self) {
        self.bytes.clear();
        (self.low, self.range, self.ready) = (0, 1 << WINDOW, 0);
    }

    /// A symbol of a CDF laid out as in the specification: N values, the counter last. `adapt`: the CDF learns it.
    pub fn symbol(&mut self, symbol: usize, cdf: &mut [u16], adapt: bool) {
        self.fixed(symbol, cdf);
        if adapt {
            learn(symbol, cdf);
        }
    }

    /// The same with adaptation, for a CDF whose length the compiler knows: the form for the many symbols of levels.
    #[inline]
    pub fn level<const LEN: usize>(&mut self, symbol: usize, cdf: &mut [u16; LEN]) {
        self.fixed(symbol, cdf);
        learn(symbol, cdf);
    }

    /// A symbol of two values, adapted.
    #[inline]
    pub fn bool(&mut self, bit: bool, cdf: &mut [u16; 3]) {
        self.level(bit.into(), cdf);
    }

    /// A symbol that leaves its CDF alone.
    #[inline]
    pub fn fixed(&mut self, symbol: usize, cdf: &[u16]) {
        let after = cdf.len() - 2 - symbol;
        // Computed for the first symbol too, so that the choice is a move and no branch that is often mispredicted.
        let upper = self.bound(cdf[symbol.saturating_sub(1)], after + 1);
        let upper = if symbol == 0 { self.range } else { upper };
        let lower = self.bound(cdf[symbol], after);
        self.narrow(upper, lower);
    }

    /// The low `bits` of `value`, the highest first, each as likely 0 as 1.
    #[inline]
    pub fn literal(&mut self, value: u32, bits: u32) {
        for bit in (0..bits).rev() {
            let half = self.bound(1 << 14, 1);
            let (upper, lower) = if value >> bit & 1 == 1 { (half, 0) } else { (self.range, half) };
            self.narrow(upper, lower);
        }
    }

    /// A positive number in Exp-Golomb code, as in `coeffs` (§5.11.39): as many zeros as bits follow its highest, then it.
    pub fn golomb(&mut self, x: u32) {
        debug_assert!(x > 0);
        self.literal(0, x.ilog2());
        self.literal(x, x.ilog2() + 1);
    }

    /// Appends the tile's bytes and starts anew. They end as the exit process (§8.2.4) demands: a one where the
    /// decoder's window begins, then zeros.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let half = 1 << (WINDOW - 1);
        // The first number not below `low` that ends in a one and zeros; the range is wide enough to hold it.
        let value = (((self.low + half - 1) & !(half - 1)) | half) >> (WINDOW - 1);
        let bits = self.ready + 1;
        let bytes = bits.div_ceil(8);
        self.append(value << (bytes * 8 - bits), bytes as usize);
        out.extend_from_slice(&self.bytes);
        self.clear();
    }

    /// About as many bits as were spent so far.
    pub fn bits(&self) -> u64 {
        self.bytes.len() as u64 * 8 + u64::from(self.ready)
    }

    /// The part of the range that belongs to symbols beyond `value` of the CDF, of which there are `after`.
    #[inline]
    fn bound(&self, value: u16, after: usize) -> u32 {
        let beyond = (32768 - u32::from(value)) >> 6;
        (((self.range >> 8) * beyond) >> 1) + 4 * after as u32
    }

    /// Cuts the interval down; both bounds count from its upper end.
    #[inline]
    fn narrow(&mut self, upper: u32, lower: u32) {
        self.low += u64::from(self.range - upper);
        let range = upper - lower;
        let shift = range.leading_zeros() - 16;
        self.low <<= shift;
        self.range = range << shift;
        self.ready += shift;
        if self.ready >= FLUSH {
            self.flush();
        }
    }

    #[inline(never)]
    fn flush(&mut self) {
        self.ready -= FLUSH;
        let kept = WINDOW + self.ready;
        self.append(self.low >> kept, FLUSH as usize / 8);
        self.low &= (1 << kept) - 1;
    }

    /// Appends the low `bytes` of `value`; what lies above them is carried.
    fn append(&mut self, value: u64, bytes: usize) {
        let mut carry = value >> (bytes * 8);
        for byte in self.bytes.iter_mut().rev() {
            if carry == 0 {
                break;
            }
            carry += u64::from(*byte);
            *byte = carry as u8;
            carry >>= 8;
        }
        self.bytes.extend_from_slice(&value.to_be_bytes()[8 - bytes..]);
    }
}

/// Adapts a CDF to a symbol (§8.2.6). The last value is moved too, which leaves it 32768: so the loop has no rest.
#[inline]
fn learn(symbol: usize, cdf: &mut [u16]) {
    let Some((counter, values)) = cdf.split_last_mut() else { return };
    let rate = 3 + (*counter >> 4) + values.len().ilog2().min(2) as u16;
    for (i, value) in values.iter_mut().enumerate() {
        let (up, down) = (*value + ((32768 - *value) >> rate), *value - (*value >> rate));
        *value = if i >= symbol { up } else { down };
    }
    *counter += u16::from(*counter < 32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::av1::entropy::decoder::Decoder;
    use rav1e::bench::ec::{Writer, WriterBase, WriterEncoder, update_cdf};

    type Theirs = WriterBase<WriterEncoder>;

    /// A CDF of `n` values with a counter of 0, some of them hardly probable.
    fn random_cdf(random: &mut fastrand::Rng, n: usize) -> Vec<u16> {
        let mut cdf: Vec<u16> = (0..n - 1).map(|_| random.u16(1..=32767)).collect();
        cdf.sort_unstable();
        cdf.extend([32768, 0]);
        cdf
    }

    /// rav1e keeps 32768 minus each value, and the counter in place of the last.
    fn inverse<const N: usize>(cdf: &[u16]) -> [u16; N] {
        std::array::from_fn(|i| if i == N - 1 { cdf[N] } else { 32768 - cdf[i] })
    }

    /// Codes `symbol` of a CDF of N values with both encoders and adapts both CDFs, which must stay the same.
    fn both<const N: usize>(ours: &mut RangeCoder, theirs: &mut Theirs, symbol: usize, cdf: &mut [u16]) {
        let mut mirror = inverse::<N>(cdf);
        theirs.symbol(symbol as u32, &mirror);
        update_cdf(&mut mirror, symbol as u32);
        ours.symbol(symbol, cdf, true);
        assert_eq!(inverse::<N>(cdf), mirror);
    }

    #[test]
    fn a_million_symbols_give_the_bytes_of_rav1e_and_decode() {
        let mut random = fastrand::Rng::with_seed(1);
        let start: Vec<Vec<u16>> = (2..=16).flat_map(|n| [n; 4]).map(|n| random_cdf(&mut random, n)).collect();
        let mut cdfs = start.clone();
        let (mut ours, mut theirs) = (RangeCoder::new(), WriterEncoder::new());
        let mut coded = Vec::new();
        for _ in 0..1_000_000 {
            let which = random.usize(..cdfs.len());
            let cdf = &mut cdfs[which];
            let n = cdf.len() - 1;
            // Mostly as the CDF expects, at times anything: both the short and the long shifts occur.
            let symbol = if random.u8(..8) == 0 {
                random.usize(..n)
            } else {
                let point = random.u16(..32768);
                cdf.iter().position(|value| point < *value).unwrap_or(0)
            };
            let code = [
                both::<2>, both::<3>, both::<4>, both::<5>, both::<6>, both::<7>, both::<8>, both::<9>, both::<10>,
                both::<11>, both::<12>, both::<13>, both::<14>, both::<15>, both::<16>,
            ][n - 2];
            code(&mut ours, &mut theirs, symbol, cdf);
            coded.push((which, symbol));
        }
        let mut bytes = Vec::new();
        ours.finish(&mut bytes);
        assert!(bytes == theirs.done(), "bytes differ");

        let mut cdfs = start;
        let mut decoder = Decoder::new(&bytes);
        for (which, symbol) in coded {
            assert_eq!(decoder.symbol(&mut cdfs[which]), symbol);
        }
        decoder.exit();
    }

    #[test]
    fn every_length_ends_as_a_decoder_demands() {
        let mut random = fastrand::Rng::with_seed(2);
        let mut ours = RangeCoder::new();
        for symbols in 0..400 {
            let mut theirs = WriterEncoder::new();
            let cdfs: Vec<Vec<u16>> = (0..symbols).map(|_| random_cdf(&mut random, 4)).collect();
            let coded: Vec<usize> = cdfs.iter().map(|_| random.usize(..4)).collect();
            for (cdf, symbol) in cdfs.iter().zip(&coded) {
                theirs.symbol(*symbol as u32, &inverse::<4>(cdf));
                ours.fixed(*symbol, cdf);
            }
            let mut bytes = vec![0xa5];
            ours.finish(&mut bytes);
            if symbols > 0 {
                assert_eq!(bytes[1..], theirs.done());
            }
            let mut decoder = Decoder::new(&bytes[1..]);
            for (mut cdf, symbol) in cdfs.into_iter().zip(coded) {
                assert_eq!(decoder.symbol(&mut cdf), symbol);
            }
            decoder.exit();
        }
    }

    #[test]
    fn carries_ripple_through_many_bytes() {
        // The last symbol of a CDF lies at the upper end of the interval: `low` runs up against a long row of ones.
        let mut ours = RangeCoder::new();
        let mut theirs = WriterEncoder::new();
        let cdf = [32000, 32768, 0];
        for i in 0..2000 {
            let symbol = usize::from(i % 500 != 499);
            theirs.symbol(symbol as u32, &inverse::<2>(&cdf));
            ours.fixed(symbol, &cdf);
        }
        let mut bytes = Vec::new();
        ours.finish(&mut bytes);
        assert_eq!(bytes, theirs.done());
    }

    #[test]
    fn literals_and_golomb_codes_read_back() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut coder = RangeCoder::new();
        let numbers: Vec<(u32, u32)> = (0..20_000)
            .map(|_| {
                let bits = random.u32(0..=20);
                (bits, random.u32(..1 << bits))
            })
            .collect();
        for (bits, number) in &numbers {
            coder.literal(*number, *bits);
            coder.golomb(number + 1);
        }
        let spent = coder.bits();
        let mut bytes = Vec::new();
        coder.finish(&mut bytes);
        assert!((spent..=spent + 16).contains(&(bytes.len() as u64 * 8)));
        let mut decoder = Decoder::new(&bytes);
        for (bits, number) in numbers {
            assert_eq!(decoder.literal(bits), number);
            assert_eq!(decoder.golomb(), number + 1);
        }
        decoder.exit();
    }

    #[test]
    fn a_known_length_changes_nothing() {
        let mut random = fastrand::Rng::with_seed(4);
        let (mut general, mut special) = (RangeCoder::new(), RangeCoder::new());
        let mut cdf: [u16; 5] = [4000, 9000, 20000, 32768, 0];
        let mut twin = cdf;
        let mut flag: [u16; 3] = [700, 32768, 0];
        let mut flag_twin = flag;
        for _ in 0..1000 {
            let symbol = random.usize(..4);
            general.symbol(symbol, &mut cdf, true);
            special.level(symbol, &mut twin);
            general.symbol(symbol / 2, &mut flag, true);
            special.bool(symbol > 1, &mut flag_twin);
            assert_eq!((cdf, flag), (twin, flag_twin));
        }
        let (mut a, mut b) = (Vec::new(), Vec::new());
        general.finish(&mut a);
        special.finish(&mut b);
        assert_eq!(a, b);
        let before = cdf;
        general.symbol(2, &mut cdf, false);
        assert_eq!(cdf, before);
    }
}
