//! The Dependency Descriptor extension (AV1 RTP payload specification, appendix A): what a relay reads instead of the
//! bits of a frame.

use conclave_codecs::Size;

use super::bits::{Reader, Writer};
use crate::frame::Structure;

/// Bounds of appendix A: decode targets, templates, chains and dependencies of one frame.
pub const MAX_TARGETS: usize = 32;
/// Templates of one structure.
pub const MAX_TEMPLATES: usize = 64;
/// Dependencies that are kept of one frame.
pub const MAX_DIFFS: usize = 8;

/// One frame template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// Spatial layer.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// Distances, in frames, of the frames needed.
    pub diffs: [u16; MAX_DIFFS],
    /// Entries of `diffs` in use.
    pub diff_count: u8,
}

impl Template {
    /// Distances, in frames, of the frames needed.
    pub fn diffs(&self) -> &[u16] {
        &self.diffs[..usize::from(self.diff_count)]
    }
}

/// The template structure that a key frame carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Templates {
    /// Id of the first template.
    pub offset: u8,
    /// Decode targets.
    pub targets: u8,
    /// Chains.
    pub chains: u8,
    count: u8,
    templates: [Template; MAX_TEMPLATES],
    /// Size of the lowest spatial layer, where it is stated.
    pub resolution: Option<Size>,
}

impl Templates {
    /// The template with this id.
    pub fn get(&self, id: u8) -> Option<&Template> {
        let index = usize::from(id.wrapping_sub(self.offset) & 63);
        self.templates[..usize::from(self.count)].get(index)
    }

    /// Number of templates.
    pub fn count(&self) -> usize {
        self.count.into()
    }

    /// The same layers and distances under the same ids; the picture size may be another.
    pub fn alike(&self, other: &Templates) -> bool {
        let mine = (self.offset, self.targets, self.chains, self.count);
        mine == (other.offset, other.targets, other.chains, other.count) && self.templates == other.templates
    }

    /// Reads a structure from its first byte on.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Self::read(&mut Reader::new(bytes))
    }

    fn read(r: &mut Reader<'_>) -> Option<Self> {
        let offset = r.bits(6)? as u8;
        let targets = r.bits(5)? as u8 + 1;
        let mut s =
            Self { offset, targets, chains: 0, count: 0, templates: [Template::default(); _], resolution: None };
        let (mut spatial, mut temporal) = (0u8, 0u8);
        loop {
            let slot = s.templates.get_mut(usize::from(s.count))?;
            *slot = Template { spatial, temporal, ..Template::default() };
            s.count += 1;
            match r.bits(2)? {
                0 => {}
                1 => temporal += 1,
                2 => (spatial, temporal) = (spatial + 1, 0),
                _ => break,
            }
            if temporal > 7 || spatial > 3 {
                return None;
            }
        }
        let count = usize::from(s.count);
        for _ in 0..count * usize::from(targets) {
            r.bits(2)?;
        }
        for template in &mut s.templates[..count] {
            while r.flag()? {
                let slot = template.diffs.get_mut(usize::from(template.diff_count))?;
                *slot = r.bits(4)? as u16 + 1;
                template.diff_count += 1;
            }
        }
        s.chains = r.non_symmetric(u32::from(targets) + 1)? as u8;
        if s.chains > 0 {
            for _ in 0..targets {
                r.non_symmetric(u32::from(s.chains))?;
            }
            for _ in 0..count * usize::from(s.chains) {
                r.bits(4)?;
            }
        }
        if r.flag()? {
            let layers = s.templates[..count].iter().map(|t| t.spatial).max()? + 1;
            for layer in 0..layers {
                let size = Size::new(r.bits(16)? + 1, r.bits(16)? + 1);
                if layer == 0 {
                    s.resolution = Some(size);
                }
            }
        }
        Some(s)
    }
}

/// One packet's descriptor. Chains and custom decode target indications are checked and skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// First packet of the frame.
    pub start: bool,
    /// Last packet of the frame.
    pub end: bool,
    /// Which template.
    pub template_id: u8,
    /// Counts frames, wraps.
    pub frame_number: u16,
    /// On the first packet of a key frame.
    pub structure: Option<Templates>,
    /// Decode targets that still get frames, one bit each.
    pub active_targets: Option<u32>,
    /// Distances given beside the template, and how many. Nothing authenticates them: see [`super::chain`].
    pub custom_diffs: Option<([u16; MAX_DIFFS], u8)>,
}

/// Bytes of the mandatory fields.
pub const MANDATORY: usize = 3;

impl Descriptor {
    /// Reads an extension element. `known` is the last structure of the stream, which optional fields refer to.
    pub fn parse(bytes: &[u8], known: Option<&Templates>) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let mut d = Self {
            start: r.flag()?,
            end: r.flag()?,
            template_id: r.bits(6)? as u8,
            frame_number: r.bits(16)? as u16,
            structure: None,
            active_targets: None,
            custom_diffs: None,
        };
        if bytes.len() == MANDATORY {
            return Some(d);
        }
        let [structure, active, dtis, diffs, chains] = [r.flag()?, r.flag()?, r.flag()?, r.flag()?, r.flag()?];
        if structure {
            d.structure = Some(Templates::read(&mut r)?);
        }
        let (targets, chain_count) = match d.structure.as_ref().or(known) {
            Some(s) => (usize::from(s.targets), usize::from(s.chains)),
            None if active || dtis || chains => return None,
            None => (0, 0),
        };
        if active {
            d.active_targets = Some(r.bits(targets)?);
        }
        if dtis {
            for _ in 0..targets {
                r.bits(2)?;
            }
        }
        if diffs {
            let (mut list, mut count) = ([0; MAX_DIFFS], 0u8);
            loop {
                let width = r.bits(2)? as usize * 4;
                if width == 0 {
                    break;
                }
                *list.get_mut(usize::from(count))? = r.bits(width)? as u16 + 1;
                count += 1;
            }
            d.custom_diffs = Some((list, count));
        }
        if chains {
            for _ in 0..chain_count {
                r.bits(8)?;
            }
        }
        Some(d)
    }
}

/// What a writer says of one packet.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// First packet of the frame.
    pub start: bool,
    /// Last packet of the frame.
    pub end: bool,
    /// Which template.
    pub template_id: u8,
    /// Counts frames, wraps.
    pub frame_number: u16,
    /// The structure, on the first packet of a key frame; empty otherwise.
    pub structure: &'a [u8],
    /// Distances beside the template's, for relays; receivers go by the template. Ours writes none.
    pub diffs: Option<&'a [u16]>,
}

impl Outgoing<'_> {
    /// Writes the element's data; `None` where it does not fit.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let custom = self.diffs.is_some();
        let [high, low] = self.frame_number.to_be_bytes();
        let first = u8::from(self.start) << 7 | u8::from(self.end) << 6 | self.template_id & 0x3f;
        if !self.start || (self.structure.is_empty() && !custom) {
            // Nearly every packet has no more than these, and they are whole bytes.
            *out.first_chunk_mut::<MANDATORY>()? = [first, high, low];
            return Some(MANDATORY);
        }
        let mut w = Writer::new(out);
        w.bits(first.into(), 8);
        w.bits(self.frame_number.into(), 16);
        w.flag(!self.structure.is_empty());
        w.flag(false);
        w.flag(false);
        w.flag(custom);
        w.flag(false);
        let bits = if self.structure.is_empty() { 0 } else { structure_bits(self.structure)? };
        let mut r = Reader::new(self.structure);
        for _ in 0..bits {
            w.flag(r.flag()?);
        }
        if let Some(diffs) = self.diffs {
            for diff in diffs {
                let less = u32::from(diff.checked_sub(1).filter(|d| *d < 1 << 12)?);
                let nibbles = (32 - less.leading_zeros()).div_ceil(4).max(1);
                w.bits(nibbles, 2);
                w.bits(less, nibbles as usize * 4);
            }
            w.bits(0, 2);
        }
        w.finish()
    }
}

/// The structure of a stream without layers: template 0 needs nothing, template n the frame n back; one decode target,
/// one chain.
pub fn single_layer_structure(size: Size) -> Structure {
    let mut bytes = [0; 96];
    let mut w = Writer::new(&mut bytes);
    w.bits(0, 6);
    w.bits(0, 5);
    for _ in 0..REACH {
        w.bits(0, 2);
    }
    w.bits(3, 2);
    // Every frame is a switch point of the one target: decode target indication 2.
    for _ in 0..=REACH {
        w.bits(2, 2);
    }
    w.flag(false);
    for distance in 1..=REACH {
        w.flag(true);
        w.bits(distance - 1, 4);
        w.flag(false);
    }
    // One chain, which protects the target: ns(2) = 1; ns(1) takes no bit; the distances on it have four bits.
    w.non_symmetric(1, 2);
    w.non_symmetric(0, 1);
    for distance in 0..=REACH {
        w.bits(distance.min(15), 4);
    }
    w.flag(true);
    w.bits(size.width.clamp(1, 65_536) - 1, 16);
    w.bits(size.height.clamp(1, 65_536) - 1, 16);
    let len = w.finish().unwrap_or(0);
    Structure::new(&bytes[..len]).unwrap_or_default()
}

/// The farthest frame that a template names: distances of templates have four bits.
const REACH: u32 = 16;

/// Bits of a structure within its bytes, the padding of the last byte left out.
fn structure_bits(bytes: &[u8]) -> Option<usize> {
    let mut r = Reader::new(bytes);
    Templates::read(&mut r)?;
    Some(r.position())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(structure: &[u8]) -> Outgoing<'_> {
        Outgoing { start: true, end: false, template_id: 0, frame_number: 513, structure, diffs: None }
    }

    #[test]
    fn a_key_frame_carries_its_structure() {
        let structure = single_layer_structure(Size::new(1280, 720));
        let mut out = [0; 64];
        let len = key(structure.as_slice()).write(&mut out).expect("fits");
        let d = Descriptor::parse(&out[..len], None).expect("reads");
        assert_eq!((d.start, d.end, d.template_id, d.frame_number), (true, false, 0, 513));
        let templates = d.structure.expect("has one");
        assert_eq!((templates.count(), templates.targets, templates.chains), (17, 1, 1));
        assert_eq!(templates.resolution, Some(Size::new(1280, 720)));
        assert_eq!(templates.get(0).map(Template::diffs), Some(&[][..]));
        (1..17).for_each(|n| assert_eq!(templates.get(n).map(Template::diffs), Some(&[u16::from(n)][..])));
        assert_eq!(templates.get(17), None);
        assert_eq!(Templates::parse(structure.as_slice()).as_ref(), Some(&templates));
        let other = Templates::parse(single_layer_structure(Size::new(64, 64)).as_slice()).expect("reads");
        assert!(other.alike(&templates) && other != templates);
    }

    #[test]
    fn distances_beside_the_template_are_written_and_read() {
        let mut out = [0; 32];
        let diffs = [1, 17, 300, 4096];
        let o =
            Outgoing { start: true, end: true, template_id: 1, frame_number: 9, structure: &[], diffs: Some(&diffs) };
        let len = o.write(&mut out).expect("fits");
        let d = Descriptor::parse(&out[..len], None).expect("reads");
        assert_eq!(d.custom_diffs.map(|(list, n)| list[..usize::from(n)].to_vec()), Some(diffs.to_vec()));
        assert_eq!(Outgoing { diffs: None, ..o }.write(&mut out), Some(MANDATORY));
        assert_eq!(Outgoing { diffs: Some(&[5000]), ..o }.write(&mut out), None);
    }

    #[test]
    fn optional_fields_without_a_structure_are_refused() {
        assert_eq!(Descriptor::parse(&[0x80, 0, 1, 0x40], None), None);
        assert_eq!(Descriptor::parse(&[0x80, 0], None), None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut random = fastrand::Rng::with_seed(7);
        let known = Templates::parse(single_layer_structure(Size::new(64, 64)).as_slice());
        for _ in 0..100_000 {
            let mut bytes = [0; 40];
            random.fill(&mut bytes);
            let bytes = &bytes[..random.usize(..40)];
            let _ = Descriptor::parse(bytes, known.as_ref().filter(|_| random.bool()));
            let _ = Templates::parse(bytes);
        }
    }
}
