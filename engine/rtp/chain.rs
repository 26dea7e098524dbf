//! Which frames a frame needs, said in a way that a relay cannot change.
//!
//! A frame's authenticated record (E2EE.md §2) holds its number, its template id and, on key frames, the template
//! structure. Distances that a descriptor gives beside its template are outside of it, so **a receiver takes the
//! distances of the authenticated template and nothing else**: not those of the structure outside, and not custom ones,
//! which it counts and ignores. A template's distances have at most 16 frames, so the sender makes them hold:
//!
//! 1. Frame numbers count the frames that are *sent*, not those captured. A frame that the encoder leaves out has no
//!    number, and the frame before is always 1 back.
//! 2. A receiver hands out a frame once the frames of its template were handed out. By that rule it then has the frames
//!    that *those* needed too, back to the key frame: the frame's *past*.
//! 3. The sender takes a template whose past holds every frame that the encoder names, the source of its CDFs
//!    included. One that names exactly those frames is best. Otherwise "the frame before" serves: after an unbroken run
//!    its past is everything since the key frame, so that a long-term reference needs no distance of its own.
//! 4. A frame that leaves others out on purpose, for repair without a key frame, names one at most 16 back. What it
//!    left out is in no later frame's past; a frame that needs it all the same is refused here.
//! 5. The templates of a stream never change (its picture size may), so that a frame whose key frame was withheld is
//!    not read by the templates of another.
//!
//! A decoder that fails all the same is reset and waits for a key frame ([`crate::receive::Receiver::decoder_lost_sync`]).

use conclave_codecs::EncodedInfo;

use super::descriptor::{Template, Templates};
use crate::frame::{Header, Structure};

/// Why a frame's dependencies cannot be stated. The sender asks its encoder for a key frame then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A key frame without a structure that can be read.
    #[error("the key frame carries no template structure; take `rtp::descriptor::single_layer_structure`")]
    Structure,
    /// Other templates than before.
    #[error("the key frame's templates differ from those before; give them to a new stream")]
    Changed,
    /// A delta frame came first.
    #[error("the stream begins with a frame that is no key frame; encode one first")]
    NoKeyframe,
    /// The frame needs one that was not sent or lies before the key frame.
    #[error(
        "the frame needs one {0} frames back that was not sent since the key frame; send every encoded frame in order"
    )]
    Unsent(u16),
    /// No template of its layer fits.
    #[error("no template of the stream's structure covers what the frame needs; encode a key frame")]
    NoTemplate,
}

/// Frames whose encoder numbers are remembered one by one. Older ones are known only as sent since the key frame.
const REMEMBERED: u64 = 256;

/// Longest distance of a template.
const REACH: u64 = 16;

/// The frames that a receiver has before it is given frame n.
#[derive(Clone, Copy, Default)]
struct Past {
    /// Bit i: frame n - 1 - i.
    near: u128,
    /// Everything further back, from the key frame on.
    far: bool,
}

impl Past {
    /// The past of a frame that needs the one `distance` back, which has this past; that frame is number `index` since
    /// the key frame.
    fn after(self, distance: u64, index: u64) -> Self {
        let distance = distance as u32;
        // What moves out of the near part keeps the far part whole if none of it is missing.
        let frames = index.saturating_sub(u64::from(128 - distance)).min(distance.into()) as u32;
        let out = self.near >> (128 - distance);
        let whole = out.trailing_ones() >= frames;
        Self { near: self.near << distance | 1 << (distance - 1), far: self.far && whole }
    }

    fn has(self, distance: u64) -> bool {
        if distance <= 128 { self.near >> (distance - 1) & 1 == 1 } else { self.far }
    }
}

/// Numbers the frames of one stream and chooses their templates.
pub struct Chain {
    templates: Option<Templates>,
    /// Number of the next frame.
    next: u64,
    /// Number and encoder's number of the last key frame.
    key: Option<(u64, u64)>,
    frames: [u64; REMEMBERED as usize],
    pasts: [Past; REACH as usize],
}

impl Default for Chain {
    fn default() -> Self {
        Self { templates: None, next: 0, key: None, frames: [0; _], pasts: [Past::default(); _] }
    }
}

impl Chain {
    /// Writes number and template of the next frame into its header.
    ///
    /// # Errors
    /// See [`Error`]; the frame is not counted then.
    pub fn assign(&mut self, info: &EncodedInfo, structure: &Structure, header: &mut Header) -> Result<(), Error> {
        let (id, past) = if info.keyframe {
            self.adopt(structure)?;
            self.key = Some((self.next, info.frame));
            let id = self.templates.as_ref().and_then(|t| find(t, header, |t| t.diff_count == 0));
            (id.ok_or(Error::NoTemplate)?, Past { near: 0, far: true })
        } else {
            self.choose(info, header)?
        };
        self.frames[(self.next % REMEMBERED) as usize] = info.frame;
        self.pasts[(self.next % REACH) as usize] = past;
        (header.template_id, header.frame_number) = (id, self.next as u16);
        self.next += 1;
        Ok(())
    }

    fn adopt(&mut self, structure: &Structure) -> Result<(), Error> {
        let templates = Templates::parse(structure.as_slice()).ok_or(Error::Structure)?;
        if self.templates.as_ref().is_some_and(|known| !known.alike(&templates)) {
            return Err(Error::Changed);
        }
        self.templates = Some(templates);
        Ok(())
    }

    fn choose(&self, info: &EncodedInfo, header: &Header) -> Result<(u8, Past), Error> {
        let (Some((key, _)), Some(templates)) = (self.key, &self.templates) else { return Err(Error::NoKeyframe) };
        let mut needs = [0; conclave_codecs::MAX_DEPENDENCIES];
        for (need, distance) in needs.iter_mut().zip(info.dependencies()) {
            *need = self.distance(info, *distance)?;
        }
        let needs = &needs[..info.dependencies().len()];
        let past = |t: &Template| {
            let mut past = Past::default();
            for distance in t.diffs().iter().map(|d| u64::from(*d)) {
                let before = self.next.checked_sub(distance).filter(|before| *before >= key)?;
                let one = self.pasts[(before % REACH) as usize].after(distance, before - key);
                past = Past { near: past.near | one.near, far: past.far || one.far };
            }
            (t.diff_count > 0 && needs.iter().all(|need| past.has(*need))).then_some(past)
        };
        let exact = |t: &Template| {
            let named = |need: &u64| t.diffs().iter().any(|d| u64::from(*d) == *need);
            past(t).is_some() && t.diffs().len() == needs.len() && needs.iter().all(named)
        };
        let id = find(templates, header, exact).or_else(|| find(templates, header, |t| past(t).is_some()));
        let id = id.ok_or(Error::NoTemplate)?;
        Ok((id, templates.get(id).and_then(past).ok_or(Error::NoTemplate)?))
    }

    /// How many sent frames back lies the frame `distance` encoder's numbers before this one.
    fn distance(&self, info: &EncodedInfo, distance: u16) -> Result<u64, Error> {
        let (key, key_frame) = self.key.ok_or(Error::NoKeyframe)?;
        let wanted = info.frame.checked_sub(distance.into()).filter(|frame| *frame >= key_frame);
        let wanted = wanted.ok_or(Error::Unsent(distance))?;
        let oldest = key.max(self.next.saturating_sub(REMEMBERED));
        let sent = (oldest..self.next).rev().find(|n| self.frames[(n % REMEMBERED) as usize] <= wanted);
        match sent {
            Some(number) if self.frames[(number % REMEMBERED) as usize] == wanted => Ok(self.next - number),
            Some(_) => Err(Error::Unsent(distance)),
            None => Ok(REMEMBERED + 1),
        }
    }
}

/// Id of the first template of the frame's layer that is `wanted`.
fn find(templates: &Templates, header: &Header, wanted: impl Fn(&Template) -> bool) -> Option<u8> {
    let ids = (0..templates.count() as u8).map(|index| templates.offset.wrapping_add(index) & 63);
    let layer = |t: &Template| (t.spatial, t.temporal) == (header.spatial, header.temporal);
    ids.into_iter().find(|id| templates.get(*id).is_some_and(|t| layer(t) && wanted(t)))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use conclave_codecs::Size;

    use super::*;
    use crate::frame::Kind;
    use crate::rtp::descriptor::single_layer_structure;

    fn assign(chain: &mut Chain, frame: u64, needs: &[u16], width: u32) -> Result<(u8, u16), Error> {
        let mut info = EncodedInfo { frame, keyframe: needs.is_empty(), ..EncodedInfo::default() };
        info.dependencies[..needs.len()].copy_from_slice(needs);
        info.dependency_count = needs.len() as u8;
        let structure = if info.keyframe { single_layer_structure(Size::new(width, 64)) } else { Structure::default() };
        let mut header =
            Header { stream: 1, kind: Kind::Camera, spatial: 0, temporal: 0, template_id: 9, frame_number: 9 };
        chain.assign(&info, &structure, &mut header)?;
        Ok((header.template_id, header.frame_number))
    }

    #[test]
    fn frames_that_the_encoder_leaves_out_have_no_number() {
        let mut chain = Chain::default();
        assert_eq!(assign(&mut chain, 5, &[1], 64), Err(Error::NoKeyframe));
        assert_eq!(assign(&mut chain, 5, &[], 64), Ok((0, 0)));
        assert_eq!(assign(&mut chain, 8, &[3], 64), Ok((1, 1)));
        assert_eq!(assign(&mut chain, 9, &[1, 4], 64), Ok((1, 2)));
        assert_eq!(assign(&mut chain, 10, &[3], 64), Err(Error::Unsent(3)), "frame 7 was never sent");
        assert_eq!(assign(&mut chain, 10, &[6], 64), Err(Error::Unsent(6)), "before the key frame");
        assert_eq!(assign(&mut chain, 11, &[], 128), Ok((0, 3)));
        assert_eq!(assign(&mut chain, 12, &[2], 64), Err(Error::Unsent(2)));
    }

    #[test]
    fn a_long_term_reference_of_any_age_is_covered_by_an_unbroken_run() {
        let mut chain = Chain::default();
        assert_eq!(assign(&mut chain, 0, &[], 64), Ok((0, 0)));
        for frame in 1..5_000u64 {
            assert_eq!(assign(&mut chain, frame, &[1, frame as u16], 64), Ok((1, frame as u16)));
        }
    }

    #[test]
    fn a_repair_names_its_reference_and_what_it_left_out_is_gone() {
        let mut chain = Chain::default();
        (0..40u64).for_each(|f| assert!(assign(&mut chain, f, if f == 0 { &[] } else { &[1] }, 64).is_ok()));
        assert_eq!(assign(&mut chain, 40, &[7], 64), Ok((7, 40)));
        assert_eq!(assign(&mut chain, 41, &[1, 8], 64), Ok((1, 41)));
        assert_eq!(assign(&mut chain, 42, &[1, 3], 64), Err(Error::NoTemplate), "frame 39 was left out");
        assert_eq!(assign(&mut chain, 42, &[1, 42], 64), Ok((1, 42)));
        // The gap leaves the near part: from then on nothing so old is certain.
        (43..300u64).for_each(|f| assert!(assign(&mut chain, f, &[1], 64).is_ok()));
        assert_eq!(assign(&mut chain, 300, &[1, 300], 64), Err(Error::NoTemplate));
        assert_eq!(assign(&mut chain, 300, &[1, 100], 64), Ok((1, 300)));
    }

    #[test]
    fn templates_of_a_stream_do_not_change() {
        let mut chain = Chain::default();
        assert!(assign(&mut chain, 0, &[], 64).is_ok() && assign(&mut chain, 1, &[], 640).is_ok());
        let info = EncodedInfo { frame: 2, keyframe: true, ..EncodedInfo::default() };
        let mut header =
            Header { stream: 1, kind: Kind::Camera, spatial: 0, temporal: 0, template_id: 0, frame_number: 0 };
        assert_eq!(chain.assign(&info, &Structure::default(), &mut header), Err(Error::Structure));
        let other = Structure::new(&[4, 0x0a, 0xa2, 0x80, 0, 0, 0, 0, 0, 0]).expect("short");
        assert!(matches!(chain.assign(&info, &other, &mut header), Err(Error::Changed | Error::Structure)));
    }

    #[test]
    fn whoever_has_the_frames_of_the_templates_has_all_that_the_frames_need() {
        let mut random = fastrand::Rng::with_seed(11);
        let templates = Templates::parse(single_layer_structure(Size::new(64, 64)).as_slice()).expect("reads");
        for round in 0..60 {
            let (mut chain, mut frame) = (Chain::default(), 0);
            // What each number needs in truth, and what its template says.
            let mut sent: BTreeMap<u64, u64> = BTreeMap::new();
            let mut truth: Vec<(bool, Vec<u64>, Vec<u64>)> = Vec::new();
            for _ in 0..400 {
                frame += random.u64(1..4);
                let known: Vec<u64> = sent.keys().copied().collect();
                let key = sent.is_empty() || random.u8(..) < 2;
                let count = if key { 0 } else { random.usize(1..3) };
                let pick = |random: &mut fastrand::Rng| match random.u8(..20) {
                    0 => known[random.usize(..known.len())],
                    1 => known[known.len().saturating_sub(random.usize(1..17))],
                    _ => known[known.len() - 1],
                };
                let needs: Vec<u16> = (0..count).map(|_| (frame - pick(&mut random)) as u16).collect();
                let Ok((id, number)) = assign(&mut chain, frame, &needs, 64) else { continue };
                let number = u64::from(number);
                let real = needs.iter().map(|d| sent[&(frame - u64::from(*d))]).collect();
                let said = templates.get(id).expect("exists").diffs().iter().map(|d| number - u64::from(*d)).collect();
                if key {
                    sent.clear();
                }
                sent.insert(frame, number);
                truth.push((key, real, said));
            }
            // A receiver that loses some and goes by the templates.
            let mut has = BTreeSet::new();
            for (number, (key, real, said)) in truth.iter().enumerate() {
                if random.u8(..100) < 20 || !(*key || said.iter().all(|n| has.contains(n))) {
                    continue;
                }
                assert!(*key || !said.is_empty());
                assert!(real.iter().all(|n| has.contains(n)), "round {round}, frame {number}");
                has.insert(number as u64);
            }
        }
    }
}
