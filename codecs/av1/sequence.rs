//! The sequence header (specification §5.5): what holds for the whole session. A change of it begins a new coded video
//! sequence.

use super::bits::BitWriter;
use super::obu::{self, Kind, Layer};
use crate::{Color, Matrix, Range, Size};

/// Most temporal layers of a stream.
pub const MAX_TEMPORAL_LAYERS: u8 = 3;

/// What holds for every frame of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Greatest size of a frame.
    pub ceiling: Size,
    /// Matrix and range of every frame.
    pub color: Color,
    /// Frames a second at most, as a fraction. Only the level depends on it.
    pub fps: (u32, u32),
    /// Temporal layers, 1…[`MAX_TEMPORAL_LAYERS`]; each halves the rate of those below.
    pub temporal_layers: u8,
}

impl Sequence {
    /// The layer to be stated with a frame; `None` in a stream without layers.
    pub fn layer(&self, temporal: u8, spatial: u8) -> Option<Layer> {
        (self.temporal_layers > 1).then_some(Layer { temporal, spatial })
    }

    /// Appends the OBU. `scratch` is overwritten.
    pub fn write(&self, scratch: &mut BitWriter, out: &mut Vec<u8>) {
        scratch.clear();
        self.payload(scratch);
        obu::header(Kind::Sequence, None, scratch.bytes().len(), out);
        out.extend_from_slice(scratch.bytes());
    }

    /// `frame_width_bits_minus_1` + 1, `frame_height_bits_minus_1` + 1.
    pub fn size_bits(&self) -> (u32, u32) {
        let bits = |side: u32| (u32::BITS - (side - 1).leading_zeros()).max(1);
        (bits(self.ceiling.width), bits(self.ceiling.height))
    }

    fn payload(&self, bits: &mut BitWriter) {
        bits.literal(0, 3); // seq_profile: Main
        bits.flag(false); // still_picture
        bits.flag(false); // reduced_still_picture_header
        bits.flag(false); // timing_info_present_flag
        bits.flag(false); // initial_display_delay_present_flag
        let layers = u32::from(self.temporal_layers);
        bits.literal(layers - 1, 5); // operating_points_cnt_minus_1
        for left_out in 0..layers {
            // The first operating point has every layer, each one after it a layer less.
            let kept = (1 << (layers - left_out)) - 1;
            let idc = if layers == 1 { 0 } else { 1 << 8 | kept };
            let level = level(self.ceiling, (self.fps.0, self.fps.1 << left_out));
            bits.literal(idc, 12); // operating_point_idc
            bits.literal(level.into(), 5); // seq_level_idx
            if level > 7 {
                bits.flag(false); // seq_tier: Main
            }
        }
        let (width_bits, height_bits) = self.size_bits();
        bits.literal(width_bits - 1, 4);
        bits.literal(height_bits - 1, 4);
        bits.literal(self.ceiling.width - 1, width_bits);
        bits.literal(self.ceiling.height - 1, height_bits);
        bits.flag(false); // frame_id_numbers_present_flag
        bits.flag(false); // use_128x128_superblock
        bits.flag(false); // enable_filter_intra
        bits.flag(false); // enable_intra_edge_filter
        bits.flag(false); // enable_interintra_compound
        bits.flag(false); // enable_masked_compound
        bits.flag(false); // enable_warped_motion
        bits.flag(false); // enable_dual_filter
        bits.flag(false); // enable_order_hint
        bits.flag(true); // seq_choose_screen_content_tools
        bits.flag(true); // seq_choose_integer_mv
        bits.flag(false); // enable_superres
        bits.flag(true); // enable_cdef
        bits.flag(false); // enable_restoration
        self.color(bits);
        bits.flag(false); // film_grain_params_present
        bits.trailing_bits();
    }

    /// `color_config` (§5.5.2). Pictures state matrix and range; primaries and transfer are not known here.
    fn color(&self, bits: &mut BitWriter) {
        bits.flag(false); // high_bitdepth
        bits.flag(false); // mono_chrome
        bits.flag(true); // color_description_present_flag
        bits.literal(UNSPECIFIED, 8); // color_primaries
        bits.literal(UNSPECIFIED, 8); // transfer_characteristics
        let matrix = match self.color.matrix {
            Matrix::Bt709 => 1,
            Matrix::Bt601 => 6,
            Matrix::Bt2020 => 9,
        };
        bits.literal(matrix, 8); // matrix_coefficients
        bits.flag(self.color.range == Range::Full); // color_range
        bits.literal(0, 2); // chroma_sample_position: unknown
        bits.flag(false); // separate_uv_delta_q
    }
}

/// `CP_UNSPECIFIED` and `TC_UNSPECIFIED`.
const UNSPECIFIED: u32 = 2;

/// `seq_level_idx`: the lowest level of Annex A that holds frames of this size at this rate, in any number of tiles that
/// the encoder makes. 31, which promises nothing, where none does. The bit rate is not looked at: it changes on the way.
fn level(size: Size, fps: (u32, u32)) -> u8 {
    let area = size.area() as u64;
    let fits = |level: &&Level| {
        let rate = area * u64::from(fps.0);
        area <= level.area
            && size.width <= level.width
            && size.height <= level.height
            && rate <= level.rate * u64::from(fps.1)
            && fps.0 <= level.headers * fps.1
    };
    LEVELS.iter().find(fits).map_or(31, |level| level.index)
}

/// A row of the tables of Annex A.3.
struct Level {
    /// `seq_level_idx`.
    index: u8,
    /// `MaxPicSize`.
    area: u64,
    /// `MaxHSize`.
    width: u32,
    /// `MaxVSize`.
    height: u32,
    /// `MaxDisplayRate`, which is below `MaxDecodeRate`; every frame is shown.
    rate: u64,
    /// `MaxHeaderRate`.
    headers: u32,
}

const LEVELS: [Level; 12] = {
    const fn level(index: u8, area: u64, (width, height): (u32, u32), rate: u64) -> Level {
        Level { index, area, width, height, rate, headers: if index < 8 { 150 } else { 300 } }
    }
    [
        level(0, 147_456, (2048, 1152), 4_423_680),
        level(1, 278_784, (2816, 1584), 8_363_520),
        level(4, 665_856, (4352, 2448), 19_975_680),
        level(5, 1_065_024, (5504, 3096), 31_950_720),
        level(8, 2_359_296, (6144, 3456), 70_778_880),
        level(9, 2_359_296, (6144, 3456), 141_557_760),
        level(12, 8_912_896, (8192, 4352), 267_386_880),
        level(13, 8_912_896, (8192, 4352), 534_773_760),
        level(14, 8_912_896, (8192, 4352), 1_069_547_520),
        level(16, 35_651_584, (16384, 8704), 1_069_547_520),
        level(17, 35_651_584, (16384, 8704), 2_139_095_040),
        level(18, 35_651_584, (16384, 8704), 4_278_190_080),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::obu::{SequenceHeader, obus};

    #[test]
    fn a_reader_finds_what_was_written() {
        let colors = [
            Color::default(),
            Color { matrix: Matrix::Bt601, range: Range::Full },
            Color { matrix: Matrix::Bt2020, range: Range::Limited },
        ];
        let sizes = [(16, 16, 0), (66, 50, 0), (640, 360, 1), (1280, 720, 5), (1921, 1081, 8), (4096, 2176, 12)];
        for (i, (width, height, level)) in sizes.into_iter().enumerate() {
            for temporal_layers in 1..=MAX_TEMPORAL_LAYERS {
                let (ceiling, color) = (Size::new(width, height), colors[i % colors.len()]);
                let sequence = Sequence { ceiling, color, fps: (30, 1), temporal_layers };
                let mut out = Vec::new();
                sequence.write(&mut BitWriter::new(), &mut out);
                let obu = obus(&out).next().expect("an OBU");
                assert_eq!(obu.bytes.len(), out.len());
                let header = SequenceHeader::parse(obu.payload).expect("a sequence header");
                assert_eq!((header.size, header.color(), header.level), (ceiling, color, level));
                assert_eq!((header.bit_depth, header.profile, header.tier), (8, 0, 0));
            }
        }
    }

    #[test]
    fn the_level_is_the_lowest_that_holds_size_and_rate() {
        let levels = [
            (1280, 720, (30, 1), 5),
            (1280, 720, (60, 1), 8),
            (1920, 1080, (30000, 1001), 8),
            (1920, 1080, (60, 1), 9),
            (320, 180, (200, 1), 8),
            (4096, 2176, (60, 1), 13),
            (4096, 2304, (30, 1), 16),
            (4096, 2176, (400, 1), 31),
        ];
        for (width, height, fps, index) in levels {
            assert_eq!(level(Size::new(width, height), fps), index, "{width}x{height} at {fps:?}");
        }
    }
}
