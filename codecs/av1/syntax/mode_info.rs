//! What a block is, without its levels: `mode_info` (specification §5.11.6 to §5.11.32).
//!
//! A vector can be said in several ways that mean the same. The cheapest by the probabilities of the moment is taken;
//! no reconstruction depends on it.

use super::mv_stack::MvStack;
use super::tile::Site;
use crate::av1::decisions::{Block, ChromaMode, IntraMode, Reference, Vector};
use crate::av1::entropy::cdf::{Cdfs, MvCdfs};
use crate::av1::entropy::range_coder::RangeCoder;

/// The CDEF strength of a 64×64: its index, and the bits that take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CdefIndex {
    /// Which of the frame's strengths.
    pub index: u8,
    /// `cdef_bits`.
    pub bits: u8,
}

/// Writes a block of a key frame. `cdef` is given at the first block of each 64×64 that is not skipped.
pub fn intra_frame(coder: &mut RangeCoder, cdfs: &mut Cdfs, site: &Site<'_>, cdef: Option<CdefIndex>) {
    let block = site.block();
    skip(coder, cdfs, site, cdef);
    let context = |neighbour: Option<&Block>| neighbour.map_or(0, |block| mode_context(block.mode));
    let cdf = &mut cdfs.intra_frame_y_mode[context(site.above())][context(site.left())];
    coder.symbol(block.mode as usize, cdf, true);
    intra(coder, cdfs, block);
}

/// Writes a block of an inter frame. `cdef` is given at the first block of each 64×64 that is not skipped. Returns
/// whether the block has NEWMV.
pub fn inter_frame(coder: &mut RangeCoder, cdfs: &mut Cdfs, site: &Site<'_>, cdef: Option<CdefIndex>) -> bool {
    let block = site.block();
    skip(coder, cdfs, site, cdef);
    let inter = |neighbour: Option<&Block>| neighbour.map(Block::is_inter);
    let context = match (inter(site.above()), inter(site.left())) {
        (Some(above), Some(left)) if above || left => usize::from(!(above && left)),
        (Some(_), Some(_)) => 3,
        (Some(inter), None) | (None, Some(inter)) => 2 * usize::from(!inter),
        (None, None) => 0,
    };
    coder.bool(block.is_inter(), &mut cdfs.is_inter[context]);
    if !block.is_inter() {
        let size_group = block.size.cells().ilog2() as usize + 1;
        coder.symbol(block.mode as usize, &mut cdfs.y_mode[size_group], true);
        intra(coder, cdfs, block);
        return false;
    }
    reference(coder, cdfs, site);
    vector(coder, cdfs, block.vector, &MvStack::find(site))
}

fn skip(coder: &mut RangeCoder, cdfs: &mut Cdfs, site: &Site<'_>, cdef: Option<CdefIndex>) {
    let skipped = |neighbour: Option<&Block>| usize::from(neighbour.is_some_and(|block| block.skip));
    let context = skipped(site.above()) + skipped(site.left());
    coder.bool(site.block().skip, &mut cdfs.skip[context]);
    if let Some(cdef) = cdef {
        coder.literal(cdef.index.into(), cdef.bits.into());
    }
}

/// What follows the luma mode of an intra block.
fn intra(coder: &mut RangeCoder, cdfs: &mut Cdfs, block: &Block) {
    if let IntraMode::V | IntraMode::H = block.mode {
        let cdf = &mut cdfs.angle_delta[block.mode as usize - IntraMode::V as usize];
        coder.symbol(STRAIGHT, cdf, true);
    }
    let cdf = &mut cdfs.uv_mode_cfl_allowed[block.mode as usize];
    match block.chroma {
        ChromaMode::Dc => coder.symbol(IntraMode::Dc as usize, cdf, true),
        ChromaMode::Cfl(alphas) => {
            coder.symbol(UV_CFL, cdf, true);
            cfl(coder, cdfs, alphas);
        }
    }
}

/// `read_cfl_alphas` (§5.11.45).
fn cfl(coder: &mut RangeCoder, cdfs: &mut Cdfs, [u, v]: [i8; 2]) {
    debug_assert!((u, v) != (0, 0) && u.unsigned_abs() <= 16 && v.unsigned_abs() <= 16, "alphas {u}, {v}");
    let sign = |alpha: i8| usize::from(alpha != 0) + usize::from(alpha > 0);
    let (sign_u, sign_v) = (sign(u), sign(v));
    coder.symbol(sign_u * 3 + sign_v - 1, &mut cdfs.cfl_sign, true);
    for (alpha, sign, other) in [(u, sign_u, sign_v), (v, sign_v, sign_u)] {
        if alpha != 0 {
            let cdf = &mut cdfs.cfl_alpha[(sign - 1) * 3 + other];
            coder.symbol(usize::from(alpha.unsigned_abs()) - 1, cdf, true);
        }
    }
}

/// `read_ref_frames` (§5.11.25). Each bit's context compares how many neighbours have a reference of its one side with
/// how many have one of its other.
fn reference(coder: &mut RangeCoder, cdfs: &mut Cdfs, site: &Site<'_>) {
    let count = |reference: Reference| {
        let has = |neighbour: Option<&Block>| usize::from(neighbour.is_some_and(|block| block.reference == reference));
        has(site.above()) + has(site.left())
    };
    let (last, golden) = (count(Reference::Last), count(Reference::Golden));
    let context = |one: usize, other: usize| (1 + one.cmp(&other) as isize) as usize;
    let is_golden = site.block().reference == Reference::Golden;
    // single_ref_p1: not one of BWDREF, ALTREF2, ALTREF.
    coder.bool(false, &mut cdfs.single_ref[context(last + golden, 0)][0]);
    // single_ref_p3: LAST and LAST2, or LAST3 and GOLDEN.
    coder.bool(is_golden, &mut cdfs.single_ref[context(last, golden)][2]);
    if is_golden {
        // single_ref_p5: not LAST3.
        coder.bool(true, &mut cdfs.single_ref[context(0, golden)][4]);
    } else {
        // single_ref_p4: not LAST2.
        coder.bool(false, &mut cdfs.single_ref[context(last, 0)][3]);
    }
}

/// How a vector is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saying {
    /// GLOBALMV: no motion.
    Global,
    /// NEARESTMV: the first of the stack.
    Nearest,
    /// NEARMV: another of the stack, 1…3.
    Near(usize),
    /// NEWMV: the difference to one of the stack, 0…2.
    New(usize),
}

impl Saying {
    /// `new_mv`, `zero_mv` and `ref_mv`, as many as there are.
    fn bits(self) -> &'static [bool] {
        match self {
            Saying::New(_) => &[false],
            Saying::Global => &[true, false],
            Saying::Nearest => &[true, true, false],
            Saying::Near(_) => &[true, true, true],
        }
    }

    /// The stack's positions at which `drl_mode` is written, and at which it says to stop.
    fn positions(self, found: usize) -> (std::ops::Range<usize>, usize) {
        match self {
            Saying::New(position) => (0..2.min(found.saturating_sub(1)), position),
            Saying::Near(position) => (1..3.min(found.saturating_sub(1)).max(1), position),
            Saying::Global | Saying::Nearest => (0..0, 0),
        }
    }
}

/// From `new_mv` to the vector's difference. Returns whether it is NEWMV.
fn vector(coder: &mut RangeCoder, cdfs: &mut Cdfs, vector: Vector, stack: &MvStack) -> bool {
    let saying = cheapest(cdfs, vector, stack);
    let modes =
        [&mut cdfs.new_mv[stack.new_context], &mut cdfs.zero_mv[ZERO_CONTEXT], &mut cdfs.ref_mv[stack.ref_context]];
    saying.bits().iter().zip(modes).for_each(|(bit, cdf)| coder.bool(*bit, cdf));
    let (positions, stop) = saying.positions(stack.found());
    for position in positions {
        coder.bool(position != stop, &mut cdfs.drl_mode[stack.drl_context(position)]);
        if position == stop {
            break;
        }
    }
    let Saying::New(position) = saying else { return false };
    difference(coder, &mut cdfs.mv, vector, stack.vector(position));
    true
}

/// The cheapest way to say a vector. One that needs no difference is taken where there is one.
fn cheapest(cdfs: &Cdfs, vector: Vector, stack: &MvStack) -> Saying {
    let found = stack.found();
    let known =
        [(vector == Vector::ZERO).then_some(Saying::Global), (vector == stack.vector(0)).then_some(Saying::Nearest)];
    let near = (1..found.clamp(2, 4)).filter(|position| vector == stack.vector(*position)).map(Saying::Near);
    let known = known.into_iter().flatten().chain(near).min_by_key(|saying| saying_cost(cdfs, *saying, stack));
    let new = (0..found.clamp(1, 3)).map(Saying::New);
    let cost = |saying: &Saying| {
        let Saying::New(position) = *saying else { return u32::MAX };
        saying_cost(cdfs, *saying, stack) + difference_cost(&cdfs.mv, vector, stack.vector(position))
    };
    known.or_else(|| new.min_by_key(cost)).unwrap_or(Saying::New(0))
}

/// Bits of a saying in 1/[`BIT`], without the difference.
fn saying_cost(cdfs: &Cdfs, saying: Saying, stack: &MvStack) -> u32 {
    let modes: [&[u16]; 3] =
        [&cdfs.new_mv[stack.new_context], &cdfs.zero_mv[ZERO_CONTEXT], &cdfs.ref_mv[stack.ref_context]];
    let modes = saying.bits().iter().zip(modes).map(|(bit, cdf)| cost(cdf, (*bit).into())).sum::<u32>();
    let (positions, stop) = saying.positions(stack.found());
    let drl = |position: usize| cost(&cdfs.drl_mode[stack.drl_context(position)], usize::from(position != stop));
    modes + positions.take_while(|position| *position <= stop).map(drl).sum::<u32>()
}

/// `read_mv` (§5.11.31).
fn difference(coder: &mut RangeCoder, cdfs: &mut MvCdfs, vector: Vector, from: Vector) {
    let parts = Part::of(vector, from);
    coder.symbol(joint(&parts), &mut cdfs.joint, true);
    for (part, cdfs) in parts.into_iter().zip(&mut cdfs.components) {
        let Some(part) = part else { continue };
        coder.bool(part.negative, &mut cdfs.sign);
        coder.symbol(part.class, &mut cdfs.class, true);
        if part.class == 0 {
            coder.bool(part.whole == 1, &mut cdfs.class0_bit);
            coder.symbol(part.quarters, &mut cdfs.class0_fr[part.whole], true);
        } else {
            for (bit, cdf) in cdfs.bits.iter_mut().enumerate().take(part.class) {
                coder.bool(part.whole >> bit & 1 == 1, cdf);
            }
            coder.symbol(part.quarters, &mut cdfs.fr, true);
        }
    }
}

/// Bits of a difference in 1/[`BIT`].
fn difference_cost(cdfs: &MvCdfs, vector: Vector, from: Vector) -> u32 {
    let parts = Part::of(vector, from);
    let mut sum = cost(&cdfs.joint, joint(&parts));
    for (part, cdfs) in parts.into_iter().zip(&cdfs.components) {
        let Some(part) = part else { continue };
        sum += cost(&cdfs.sign, part.negative.into()) + cost(&cdfs.class, part.class);
        sum += if part.class == 0 {
            cost(&cdfs.class0_bit, part.whole) + cost(&cdfs.class0_fr[part.whole], part.quarters)
        } else {
            let bits = cdfs.bits.iter().enumerate().take(part.class);
            bits.map(|(bit, cdf)| cost(cdf, part.whole >> bit & 1)).sum::<u32>() + cost(&cdfs.fr, part.quarters)
        };
    }
    sum
}

/// `mv_joint`: 1 where the column differs, 2 where the row does.
fn joint(parts: &[Option<Part>; 2]) -> usize {
    usize::from(parts[0].is_some()) << 1 | usize::from(parts[1].is_some())
}

/// A component of a difference that is not 0 (§5.11.32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    negative: bool,
    class: usize,
    /// Whole samples beyond the start of the class.
    whole: usize,
    /// Quarter samples, less one.
    quarters: usize,
}

impl Part {
    /// Row and column of `vector` − `from`.
    fn of(vector: Vector, from: Vector) -> [Option<Self>; 2] {
        let part = |to: i16, from: i16| {
            let difference = i32::from(to) - i32::from(from);
            debug_assert!(difference % 2 == 0, "{to} and {from} are not of quarter samples both");
            (difference != 0).then(|| Self::new(difference))
        };
        [part(vector.row, from.row), part(vector.col, from.col)]
    }

    fn new(difference: i32) -> Self {
        let magnitude = difference.unsigned_abs() as usize - 1;
        let class = (magnitude >> 3).max(1).ilog2() as usize;
        let beyond = if class == 0 { magnitude } else { magnitude - (8 << class) };
        Self { negative: difference < 0, class, whole: beyond >> 3, quarters: beyond >> 1 & 3 }
    }
}

/// About the bits that a symbol costs, in 1/[`BIT`]; the logarithm is a straight line between powers of two.
fn cost(cdf: &[u16], symbol: usize) -> u32 {
    let before = if symbol == 0 { 0 } else { cdf[symbol - 1] };
    let probability = u32::from(cdf[symbol] - before).max(1);
    let log2 = probability.ilog2();
    (15 - log2) * BIT - (((probability - (1 << log2)) * BIT) >> log2)
}

/// The specification's `Intra_Mode_Context` of our modes.
fn mode_context(mode: IntraMode) -> usize {
    match mode {
        IntraMode::Dc | IntraMode::Smooth | IntraMode::Paeth => 0,
        IntraMode::V | IntraMode::SmoothV => 1,
        IntraMode::H | IntraMode::SmoothH => 2,
    }
}

/// `UV_CFL_PRED`.
const UV_CFL: usize = 13;

/// `angle_delta_y` of an angle of 0: `MAX_ANGLE_DELTA`.
const STRAIGHT: usize = 3;

/// `ZeroMvContext` without candidates from other frames.
const ZERO_CONTEXT: usize = 0;

/// One bit of cost.
const BIT: u32 = 256;
