//! RTP header extensions (RFC 8285), in their one-byte and two-byte forms.

/// Profile of the one-byte form.
pub const ONE_BYTE: u16 = 0xbede;

/// Profile of the two-byte form; the low four bits are free.
pub const TWO_BYTE: u16 = 0x1000;

/// The elements of an extension body, id and data. Damage ends the iteration.
pub struct Elements<'a> {
    rest: &'a [u8],
    two_byte: bool,
}

impl<'a> Elements<'a> {
    /// Over the body of an extension with this profile; empty for profiles of others.
    pub fn new(profile: u16, body: &'a [u8]) -> Self {
        let two_byte = profile & 0xfff0 == TWO_BYTE;
        Self { rest: if two_byte || profile == ONE_BYTE { body } else { &[] }, two_byte }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((0, rest)) = self.rest.split_first() {
            self.rest = rest;
        }
        let (id, len, head) = match (self.two_byte, self.rest) {
            (true, [id, len, ..]) => (*id, usize::from(*len), 2),
            // In the one-byte form, 15 and a 0 with a length end the list (RFC 8285 §4.2).
            (false, [first, ..]) if (1..15).contains(&(first >> 4)) => (first >> 4, usize::from(first & 15) + 1, 1),
            _ => return None,
        };
        let data = self.rest.get(head..head + len);
        self.rest = if data.is_some() { &self.rest[head + len..] } else { &[] };
        Some((id, data?))
    }
}

/// Writes one element, in the one-byte form where it fits, and returns profile and length. `None` where neither
/// form holds it or `out` is too short.
pub fn write_one(id: u8, data: &[u8], out: &mut [u8]) -> Option<(u16, usize)> {
    let short = (1..=14).contains(&id) && (1..=16).contains(&data.len());
    let (profile, head) = if short { (ONE_BYTE, 1) } else { (TWO_BYTE, 2) };
    let area = out.get_mut(..head + data.len())?;
    if short {
        area[0] = id << 4 | (data.len() - 1) as u8;
    } else {
        area[0] = id;
        area[1] = u8::try_from(data.len()).ok().filter(|_| id > 0)?;
    }
    area[head..].copy_from_slice(data);
    Some((profile, head + data.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_with_padding_between() {
        let one = [0x10, 9, 0, 0, 0x31, 7, 8, 0];
        let elements: Vec<_> = Elements::new(ONE_BYTE, &one).collect();
        assert_eq!(elements, [(1, &[9][..]), (3, &[7, 8][..])]);
        let two = [5, 0, 0, 20, 2, 1, 2];
        let elements: Vec<_> = Elements::new(0x1007, &two).collect();
        assert_eq!(elements, [(5, &[][..]), (20, &[1, 2][..])]);
    }

    #[test]
    fn damage_ends_the_list() {
        assert_eq!(Elements::new(ONE_BYTE, &[0x13, 1, 2]).count(), 0);
        assert_eq!(Elements::new(ONE_BYTE, &[0xf0, 1, 2]).count(), 0);
        assert_eq!(Elements::new(ONE_BYTE, &[0x10, 7, 0x01, 1, 2, 0x20, 8]).count(), 1);
        assert_eq!(Elements::new(0x1234, &[0x10, 1]).count(), 0);
    }

    #[test]
    fn what_is_written_is_read() {
        for (id, len) in [(1, 1), (14, 16), (14, 17), (15, 3), (255, 255), (4, 0)] {
            let (data, mut out) = (vec![7; len], [0; 300]);
            let (profile, written) = write_one(id, &data, &mut out).expect("fits");
            assert_eq!(Elements::new(profile, &out[..written]).next(), Some((id, &data[..])));
        }
        assert_eq!(write_one(0, &[1], &mut [0; 9]), None);
        assert_eq!(write_one(1, &[0; 256], &mut [0; 300]), None);
    }
}
