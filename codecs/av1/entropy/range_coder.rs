//! tmp
/// r
pub struct RangeCoder {
    low: u128,
    rng: u32,
    digits: Vec<u8>,
    nbits: u64,
    pend: Vec<u16>,
    cnt: i32,
    l: u64,
}
impl RangeCoder {
    /// x
    pub fn new() -> Self {
        Self { low: 0, rng: 0x8000, digits: vec![], nbits: 0, pend: vec![], cnt: -9, l: 0 }
    }
    /// x
    pub fn clear(&mut self) {
        *self = Self::new()
    }
    fn store(&mut self, fl: u32, fh: u32, nms: u32) {
        // fl, fh inverse cdf
        let r = self.rng;
        let mut l = self.l;
        let (u, v);
        if fl < 32768 {
            u = ((r >> 8) * (fl >> 6) >> 1) + 4 * nms;
            v = ((r >> 8) * (fh >> 6) >> 1) + 4 * (nms - 1);
            l += (r - u) as u64;
            self.norm(l, u - v);
        } else {
            v = ((r >> 8) * (fh >> 6) >> 1) + 4 * (nms - 1);
            self.norm(l, r - v);
        }
    }
    fn norm(&mut self, mut low: u64, rng: u32) {
        let mut c = self.cnt;
        let d = 15 - rng.ilog2() as i32;
        let mut s = c + d;
        if s >= 0 {
            c += 16;
            let mut m = (1u64 << c) - 1;
            if s >= 8 {
                self.pend.push((low >> c) as u16);
                low &= m;
                c -= 8;
                m >>= 8;
            }
            self.pend.push((low >> c) as u16);
            s = c + d - 24;
            low &= m;
        }
        self.l = low << d;
        self.rng = rng << d;
        self.cnt = s;
    }
    /// x
    pub fn symbol(&mut self, s: usize, cdf: &mut [u16], _adapt: bool) {
        self.fixed(s, cdf);
        let n = cdf.len() - 1;
        let rate = 3 + (cdf[n] > 15) as u32 + (cdf[n] > 31) as u32 + n.ilog2().min(2);
        for i in 0..n - 1 {
            if i >= s { cdf[i] += (32768 - cdf[i]) >> rate } else { cdf[i] -= cdf[i] >> rate }
        }
        cdf[n] += (cdf[n] < 32) as u16;
    }
    /// x
    pub fn fixed(&mut self, s: usize, cdf: &[u16]) {
        let n = cdf.len() - 1;
        assert!(s < n);
        let fl = if s > 0 { 32768 - cdf[s - 1] as u32 } else { 32768 };
        let fh = 32768 - cdf[s] as u32;
        assert!(fl >= fh);
        self.store(fl, fh, (n - s) as u32);
    }
    /// x
    pub fn bool(&mut self, b: bool, cdf: &mut [u16; 3]) {
        self.symbol(b as usize, cdf, true)
    }
    /// x
    pub fn literal(&mut self, v: u32, bits: u32) {
        for i in (0..bits).rev() {
            self.fixed((v >> i & 1) as usize, &[16384, 32768, 0])
        }
    }
    /// x
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let l = self.l;
        let mut c = self.cnt;
        let mut s = 10;
        let m = 0x3fffu64;
        let mut e = ((l + m) & !m) | (m + 1);
        s += c;
        if s > 0 {
            let mut n = (1u64 << (c + 16)) - 1;
            loop {
                self.pend.push((e >> (c + 16)) as u16);
                e &= n;
                s -= 8;
                c -= 8;
                n >>= 8;
                if s <= 0 {
                    break;
                }
            }
        }
        let mut carry = 0;
        let start = out.len();
        for p in self.pend.iter().rev() {
            let v = *p as u32 + carry;
            out.push(v as u8);
            carry = v >> 8;
        }
        out[start..].reverse();
        let _ = (&self.low, &self.digits, &self.nbits);
    }
}
