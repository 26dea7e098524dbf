//! The frame header (specification §5.9): `uncompressed_header` of key frames and inter frames of our subset.
//!
//! Every frame is shown. Order hints, segments, quantizer deltas, filter deltas and global motion are off; a key frame
//! is error resilient because the standard says so, an inter frame never.

use super::bits::BitWriter;
use super::decisions::{Cdef, Deblock, Decisions};
use super::layout::Layout;
use super::plan::{Plan, References, SLOTS};
use super::sequence::Sequence;
use crate::Size;

/// What a frame header is written from, beside the frame's decisions.
#[derive(Clone, Copy, Debug)]
pub struct FrameHeader<'a> {
    /// What holds for the session.
    pub sequence: &'a Sequence,
    /// The frame's place in the stream.
    pub plan: &'a Plan,
    /// Sizes of the frames in the slots, before this frame.
    pub slots: &'a [Size; SLOTS],
}

impl FrameHeader<'_> {
    /// Writes the header, without what aligns it to a byte.
    pub fn write(&self, decisions: &Decisions, bits: &mut BitWriter) {
        let plan = self.plan;
        let differs = plan.size != self.sequence.ceiling;
        bits.flag(false); // show_existing_frame
        bits.literal(if plan.is_key() { KEY_FRAME } else { INTER_FRAME }, 2);
        bits.flag(true); // show_frame
        if !plan.is_key() {
            bits.flag(false); // error_resilient_mode
        }
        bits.flag(false); // disable_cdf_update
        bits.flag(false); // allow_screen_content_tools
        bits.flag(differs); // frame_size_override_flag
        match &plan.references {
            None => self.size(differs, bits),
            Some(references) => self.references(references, differs, bits),
        }
        bits.flag(false); // disable_frame_end_update_cdf
        tiles(decisions.layout(), bits);
        bits.literal(decisions.quantizer.into(), 8); // base_q_idx
        bits.literal(0, 3); // deltas of Y DC, chroma DC, chroma AC
        bits.flag(false); // using_qmatrix
        bits.flag(false); // segmentation_enabled
        bits.flag(false); // delta_q_present
        deblock(&decisions.deblock, bits);
        cdef(&decisions.cdef, bits);
        bits.flag(false); // tx_mode_select
        if !plan.is_key() {
            bits.flag(false); // reference_select
        }
        bits.flag(true); // reduced_tx_set
        if !plan.is_key() {
            bits.literal(0, 7); // is_global, LAST_FRAME to ALTREF_FRAME
        }
    }

    /// `frame_size` and `render_size`.
    fn size(&self, differs: bool, bits: &mut BitWriter) {
        if differs {
            let (width_bits, height_bits) = self.sequence.size_bits();
            bits.literal(self.plan.size.width - 1, width_bits);
            bits.literal(self.plan.size.height - 1, height_bits);
        }
        bits.flag(false); // render_and_frame_size_different
    }

    /// From `primary_ref_frame` to `is_motion_mode_switchable`.
    fn references(&self, references: &References, differs: bool, bits: &mut BitWriter) {
        let names = names(references);
        debug_assert!(
            references.cdfs.is_none_or(|slot| names.contains(&slot)),
            "CDFs of a slot that is not referred to"
        );
        let primary = references.cdfs.and_then(|slot| names.iter().position(|name| *name == slot));
        bits.literal(primary.map_or(PRIMARY_REF_NONE, |index| index as u32), 3);
        bits.literal(self.plan.refresh.into(), 8); // refresh_frame_flags
        names.iter().for_each(|slot| bits.literal((*slot).into(), 3)); // ref_frame_idx
        let same = names.iter().position(|slot| self.slots[usize::from(*slot)] == self.plan.size);
        match same {
            _ if !differs => self.size(differs, bits),
            Some(index) => {
                bits.literal(1, index as u32 + 1); // found_ref
            }
            None => {
                bits.literal(0, names.len() as u32);
                self.size(differs, bits);
            }
        }
        bits.flag(false); // allow_high_precision_mv
        bits.flag(false); // is_filter_switchable
        bits.literal(EIGHTTAP, 2); // interpolation_filter
        bits.flag(false); // is_motion_mode_switchable
    }
}

/// The slots that the seven references name: LAST, LAST2 and LAST3 the frame before, GOLDEN and those after it the
/// long-term reference. A decoder needs every slot that is named, used or not.
fn names(references: &References) -> [u8; 7] {
    let References { last, golden, .. } = *references;
    [last, last, last, golden, golden, golden, golden]
}

/// `tile_info` with uniform spacing (§5.9.15).
fn tiles(layout: &Layout, bits: &mut BitWriter) {
    let (cols, rows) = (layout.superblock_cols(), layout.superblock_rows());
    let least_cols = log2_up(cols.div_ceil(MAX_TILE_WIDTH));
    let least = least_cols.max(log2_up((cols * rows).div_ceil(MAX_TILE_AREA)));
    bits.flag(true); // uniform_tile_spacing_flag
    let (cols_log2, rows_log2) = (layout.tiles.cols_log2.into(), layout.tiles.rows_log2.into());
    increments(least_cols, cols_log2, log2_up(cols.min(MAX_TILE_COLS)), bits);
    increments(least.saturating_sub(cols_log2), rows_log2, log2_up(rows.min(MAX_TILE_ROWS)), bits);
    if cols_log2 + rows_log2 > 0 {
        bits.literal(CONTEXT_TILE as u32, cols_log2 + rows_log2); // context_update_tile_id
        bits.literal(TILE_SIZE_BYTES as u32 - 1, 2); // tile_size_bytes_minus_1
    }
}

/// A power of two as ones from the least possible on, and a zero where it could still grow.
fn increments(least: u32, wanted: u32, greatest: u32, bits: &mut BitWriter) {
    debug_assert!((least..=greatest).contains(&wanted), "{wanted} tiles, as a power of two, of {least} to {greatest}");
    (least..wanted).for_each(|_| bits.flag(true));
    if wanted < greatest {
        bits.flag(false);
    }
}

/// `tile_log2(1, target)`: the smallest power of two that is not below.
fn log2_up(target: usize) -> u32 {
    target.next_power_of_two().trailing_zeros()
}

/// `loop_filter_params` (§5.9.11).
fn deblock(deblock: &Deblock, bits: &mut BitWriter) {
    deblock.luma.iter().for_each(|level| bits.literal((*level).into(), 6));
    if deblock.luma != [0, 0] {
        deblock.chroma.iter().for_each(|level| bits.literal((*level).into(), 6));
    }
    bits.literal(0, 3); // loop_filter_sharpness
    bits.flag(false); // loop_filter_delta_enabled
}

/// `cdef_params` (§5.9.19).
fn cdef(cdef: &Cdef, bits: &mut BitWriter) {
    bits.literal(u32::from(cdef.damping) - 3, 2);
    bits.literal(cdef.bits.into(), 2);
    for strength in &cdef.strengths[..1 << cdef.bits] {
        bits.literal(strength.luma_primary.into(), 4);
        bits.literal(strength.luma_secondary.into(), 2);
        bits.literal(strength.chroma_primary.into(), 4);
        bits.literal(strength.chroma_secondary.into(), 2);
    }
}

/// The tile whose CDFs a frame hands on. Tiles are spaced uniformly, so that none is larger than the first.
pub const CONTEXT_TILE: usize = 0;

/// Bytes of the size before every tile but the last.
pub const TILE_SIZE_BYTES: usize = 4;

const KEY_FRAME: u32 = 0;
const INTER_FRAME: u32 = 1;
const PRIMARY_REF_NONE: u32 = 7;
const EIGHTTAP: u32 = 0;

/// In superblocks: 4096 samples.
const MAX_TILE_WIDTH: usize = 64;

/// In superblocks: 4096 × 2304 samples.
const MAX_TILE_AREA: usize = 64 * 36;

const MAX_TILE_COLS: usize = 64;
const MAX_TILE_ROWS: usize = 64;
