//! The adaptive probabilities of a frame, named as in the specification.
//!
//! A CDF of N values is an array of N + 1: value i holds 32768 × the probability of a symbol ≤ i, so that value N − 1 is
//! 32768; the last element counts uses and sets how fast the CDF adapts.

use super::default_cdfs as default;

/// Makes the struct, its default and the walk over every CDF from one list, so that none can be forgotten.
macro_rules! cdfs {
    ($($(#[$doc:meta])* $name:ident: $kind:ty = $default:expr,)*) => {
        /// Every CDF that our subset of the syntax uses. Transform sizes run from 4×4 to 32×32.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Cdfs { $($(#[$doc])* pub $name: $kind,)* }

        impl Cdfs {
            fn with_quantizer_context(quantizer: usize) -> Self {
                Self { $($name: Table::pick(&$default, quantizer),)* }
            }

            /// Sets the counters to 0, as loading CDFs from a reference does (specification §7.20, `load_cdfs`).
            pub fn reset_counters(&mut self) {
                $(self.$name.reset_counters();)*
            }
        }
    };
}

cdfs! {
    /// `TileSkipCdf`, by skipped neighbours.
    skip: [[u16; 3]; 3] = default::SKIP,
    /// `TileIntraFrameYModeCdf`, by the modes above and to the left.
    intra_frame_y_mode: [[[u16; 14]; 5]; 5] = default::INTRA_FRAME_Y_MODE,
    /// `TileYModeCdf`, by block size.
    y_mode: [[u16; 14]; 4] = default::Y_MODE,
    /// `TileUVModeCflNotAllowedCdf`, by luma mode.
    uv_mode_cfl_not_allowed: [[u16; 14]; 13] = default::UV_MODE_CFL_NOT_ALLOWED,
    /// `TileUVModeCflAllowedCdf`, by luma mode.
    uv_mode_cfl_allowed: [[u16; 15]; 13] = default::UV_MODE_CFL_ALLOWED,
    /// `TileAngleDeltaCdf`, by directional mode.
    angle_delta: [[u16; 8]; 8] = default::ANGLE_DELTA,
    /// `TileCflSignCdf`.
    cfl_sign: [u16; 9] = default::CFL_SIGN,
    /// `TileCflAlphaCdf`, by both signs.
    cfl_alpha: [[u16; 17]; 6] = default::CFL_ALPHA,
    /// `TilePartitionW8Cdf`, by smaller neighbours.
    partition_w8: [[u16; 5]; 4] = default::PARTITION_W8,
    /// `TilePartitionW16Cdf`.
    partition_w16: [[u16; 11]; 4] = default::PARTITION_W16,
    /// `TilePartitionW32Cdf`.
    partition_w32: [[u16; 11]; 4] = default::PARTITION_W32,
    /// `TilePartitionW64Cdf`.
    partition_w64: [[u16; 11]; 4] = default::PARTITION_W64,
    /// `TileIsInterCdf`, by intra neighbours.
    is_inter: [[u16; 3]; 4] = default::IS_INTER,
    /// `TileSingleRefCdf`, by the neighbours' references; then `single_ref_p1` to `single_ref_p6`.
    single_ref: [[[u16; 3]; 6]; 3] = default::SINGLE_REF,
    /// `TileNewMvCdf`.
    new_mv: [[u16; 3]; 6] = default::NEW_MV,
    /// `TileZeroMvCdf`.
    zero_mv: [[u16; 3]; 2] = default::ZERO_MV,
    /// `TileRefMvCdf`.
    ref_mv: [[u16; 3]; 6] = default::REF_MV,
    /// `TileDrlModeCdf`.
    drl_mode: [[u16; 3]; 3] = default::DRL_MODE,
    /// The CDFs of vector differences, `MvCtx` 0.
    mv: MvCdfs = MvCdfs::DEFAULT,
    /// `TileIntraTxTypeSet2Cdf`, by transform size and luma mode.
    intra_tx_type_set2: [[[u16; 6]; 13]; 3] = default::INTRA_TX_TYPE_SET2,
    /// `TileInterTxTypeSet3Cdf`, by transform size.
    inter_tx_type_set3: [[u16; 3]; 4] = default::INTER_TX_TYPE_SET3,
    /// `TileTxbSkipCdf` (`all_zero`), by transform size.
    txb_skip: [[[u16; 3]; 13]; 4] = default::TXB_SKIP,
    /// `TileEobPt16Cdf`, by plane type.
    eob_pt_16: [[[u16; 6]; 2]; 2] = default::EOB_PT_16,
    /// `TileEobPt64Cdf`.
    eob_pt_64: [[[u16; 8]; 2]; 2] = default::EOB_PT_64,
    /// `TileEobPt256Cdf`.
    eob_pt_256: [[[u16; 10]; 2]; 2] = default::EOB_PT_256,
    /// `TileEobPt1024Cdf`.
    eob_pt_1024: [[u16; 12]; 2] = default::EOB_PT_1024,
    /// `TileEobExtraCdf`, by transform size and plane type.
    eob_extra: [[[[u16; 3]; 9]; 2]; 4] = default::EOB_EXTRA,
    /// `TileDcSignCdf`, by plane type.
    dc_sign: [[[u16; 3]; 3]; 2] = default::DC_SIGN,
    /// `TileCoeffBaseEobCdf`, by transform size and plane type.
    coeff_base_eob: [[[[u16; 4]; 4]; 2]; 4] = default::COEFF_BASE_EOB,
    /// `TileCoeffBaseCdf`, by transform size and plane type.
    coeff_base: [[[[u16; 5]; 42]; 2]; 4] = default::COEFF_BASE,
    /// `TileCoeffBrCdf`, by transform size and plane type.
    coeff_br: [[[[u16; 5]; 21]; 2]; 4] = default::COEFF_BR,
}

impl Cdfs {
    /// What a frame starts from that takes no CDFs from another; those of levels depend on the quantizer.
    pub fn default_for(base_q_idx: u8) -> Self {
        Self::with_quantizer_context(match base_q_idx {
            0..=20 => 0,
            21..=60 => 1,
            61..=120 => 2,
            _ => 3,
        })
    }
}

/// The CDFs of vector differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MvCdfs {
    /// `TileMvJointCdf`.
    pub joint: [u16; 5],
    /// Row, column.
    pub components: [MvComponent; 2],
}

/// The CDFs of one component of a vector difference; high precision is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MvComponent {
    /// `TileMvSignCdf`.
    pub sign: [u16; 3],
    /// `TileMvClassCdf`.
    pub class: [u16; 12],
    /// `TileMvClass0BitCdf`.
    pub class0_bit: [u16; 3],
    /// `TileMvClass0FrCdf`, by `mv_class0_bit`.
    pub class0_fr: [[u16; 5]; 2],
    /// `TileMvBitCdf`.
    pub bits: [[u16; 3]; 10],
    /// `TileMvFrCdf`.
    pub fr: [u16; 5],
}

impl MvCdfs {
    const DEFAULT: Self =
        Self { joint: default::MV_JOINT, components: [MvComponent::default_of(0), MvComponent::default_of(1)] };
}

impl MvComponent {
    const fn default_of(component: usize) -> Self {
        Self {
            sign: default::MV_SIGN,
            class: default::MV_CLASS[component],
            class0_bit: default::MV_CLASS0_BIT,
            class0_fr: default::MV_CLASS0_FR[component],
            bits: default::MV_BIT,
            fr: default::MV_FR[component],
        }
    }
}

/// A table that holds for every quantizer, or one for each quantizer context.
trait Table<T> {
    fn pick(&self, quantizer: usize) -> T;
}

impl<T: Copy> Table<T> for T {
    fn pick(&self, _: usize) -> T {
        *self
    }
}

impl<T: Copy> Table<T> for [T; 4] {
    fn pick(&self, quantizer: usize) -> T {
        self[quantizer]
    }
}

/// CDFs at any depth of arrays.
trait Counters {
    fn reset_counters(&mut self);
}

impl<const N: usize> Counters for [u16; N] {
    fn reset_counters(&mut self) {
        self[N - 1] = 0;
    }
}

impl<T: Counters, const N: usize> Counters for [T; N] {
    fn reset_counters(&mut self) {
        self.iter_mut().for_each(T::reset_counters);
    }
}

impl Counters for MvCdfs {
    fn reset_counters(&mut self) {
        self.joint.reset_counters();
        for MvComponent { sign, class, class0_bit, class0_fr, bits, fr } in &mut self.components {
            sign.reset_counters();
            class.reset_counters();
            class0_bit.reset_counters();
            class0_fr.reset_counters();
            bits.reset_counters();
            fr.reset_counters();
        }
    }
}
