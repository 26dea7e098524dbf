//! tmp
/// b
#[derive(Default, Debug)]
pub struct BitWriter {
    bytes: Vec<u8>,
    n: u32,
}
impl BitWriter {
    /// x
    pub fn new() -> Self {
        Self::default()
    }
    /// x
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.n = 0;
    }
    /// x
    pub fn literal(&mut self, v: u32, bits: u32) {
        for i in (0..bits).rev() {
            if self.n % 8 == 0 {
                self.bytes.push(0);
            }
            let l = self.bytes.len() - 1;
            self.bytes[l] |= ((v >> i & 1) as u8) << (7 - self.n % 8);
            self.n += 1;
        }
    }
    /// x
    pub fn flag(&mut self, b: bool) {
        self.literal(b as u32, 1)
    }
    /// x
    pub fn byte_align(&mut self) {
        self.n = self.n.next_multiple_of(8)
    }
    /// x
    pub fn trailing_bits(&mut self) {
        self.flag(true);
        self.byte_align()
    }
    /// x
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
/// l
pub fn leb128(mut v: u64, out: &mut Vec<u8>) {
    loop {
        let b = (v & 0x7f) as u8;
        v >>= 7;
        out.push(if v > 0 { b | 0x80 } else { b });
        if v == 0 {
            break;
        }
    }
}
