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

            /// Sets the counters to 0, as loading CDFs from a reference does (specification §6.8.2, `load_cdfs`).
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

#[cfg(test)]
mod tests {
    use super::*;
    use rav1e::bench::context::CDFContext;

    /// Quantizers at both ends of every context.
    const QUANTIZERS: [u8; 8] = [1, 20, 21, 60, 61, 120, 121, 255];

    /// Values of one CDF after another, as they lie in arrays of any depth: rav1e has no element for 32768, and the
    /// others as 32768 − value.
    trait Flat {
        fn ours(&self, out: &mut Vec<u16>);
        fn theirs(&self, out: &mut Vec<u16>);
    }

    impl<const N: usize> Flat for [u16; N] {
        fn ours(&self, out: &mut Vec<u16>) {
            assert_eq!(self[N - 2..], [32768, 0]);
            assert!(self[..N - 1].is_sorted());
            out.extend(&self[..N - 2]);
            out.push(self[N - 1]);
        }

        fn theirs(&self, out: &mut Vec<u16>) {
            out.extend(self[..N - 1].iter().map(|value| 32768 - value));
            out.push(self[N - 1]);
        }
    }

    impl<T: Flat, const N: usize> Flat for [T; N] {
        fn ours(&self, out: &mut Vec<u16>) {
            self.iter().for_each(|part| part.ours(out));
        }

        fn theirs(&self, out: &mut Vec<u16>) {
            self.iter().for_each(|part| part.theirs(out));
        }
    }

    fn same(name: &str, ours: &impl Flat, theirs: &impl Flat) {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        ours.ours(&mut left);
        theirs.theirs(&mut right);
        // rav1e has further transform sizes after ours.
        assert!(left.len() <= right.len(), "{name}");
        assert_eq!(left, right[..left.len()], "{name}");
    }

    #[test]
    fn defaults_are_those_of_rav1e() {
        for quantizer in QUANTIZERS {
            let (ours, theirs) = (Cdfs::default_for(quantizer), CDFContext::new(quantizer));
            same("skip", &ours.skip, &theirs.skip_cdfs);
            same("intra_frame_y_mode", &ours.intra_frame_y_mode, &theirs.kf_y_cdf);
            same("y_mode", &ours.y_mode, &theirs.y_mode_cdf);
            same("uv_mode_cfl_not_allowed", &ours.uv_mode_cfl_not_allowed, &theirs.uv_mode_cdf);
            same("uv_mode_cfl_allowed", &ours.uv_mode_cfl_allowed, &theirs.uv_mode_cfl_cdf);
            same("angle_delta", &ours.angle_delta, &theirs.angle_delta_cdf);
            same("cfl_sign", &ours.cfl_sign, &theirs.cfl_sign_cdf);
            same("cfl_alpha", &ours.cfl_alpha, &theirs.cfl_alpha_cdf);
            same("partition_w8", &ours.partition_w8, &theirs.partition_w8_cdf);
            let [w16, w32, w64] = [ours.partition_w16, ours.partition_w32, ours.partition_w64];
            same("partition", &[w16, w32, w64], &theirs.partition_cdf);
            same("is_inter", &ours.is_inter, &theirs.intra_inter_cdfs);
            same("single_ref", &ours.single_ref, &theirs.single_ref_cdfs);
            same("new_mv", &ours.new_mv, &theirs.newmv_cdf);
            same("zero_mv", &ours.zero_mv, &theirs.zeromv_cdf);
            same("ref_mv", &ours.ref_mv, &theirs.refmv_cdf);
            same("drl_mode", &ours.drl_mode, &theirs.drl_cdfs);
            same("mv joint", &ours.mv.joint, &theirs.nmv_context.joints_cdf);
            for (ours, theirs) in ours.mv.components.iter().zip(&theirs.nmv_context.comps) {
                same("mv sign", &ours.sign, &theirs.sign_cdf);
                same("mv class", &ours.class, &theirs.classes_cdf);
                same("mv class0_bit", &ours.class0_bit, &theirs.class0_cdf);
                same("mv class0_fr", &ours.class0_fr, &theirs.class0_fp_cdf);
                same("mv bits", &ours.bits, &theirs.bits_cdf);
                same("mv fr", &ours.fr, &theirs.fp_cdf);
            }
            same("intra_tx_type_set2", &ours.intra_tx_type_set2, &theirs.intra_tx_2_cdf);
            same("inter_tx_type_set3", &ours.inter_tx_type_set3, &theirs.inter_tx_3_cdf);
            same("txb_skip", &ours.txb_skip, &theirs.txb_skip_cdf);
            same("eob_pt_16", &ours.eob_pt_16, &theirs.eob_flag_cdf16);
            same("eob_pt_64", &ours.eob_pt_64, &theirs.eob_flag_cdf64);
            same("eob_pt_256", &ours.eob_pt_256, &theirs.eob_flag_cdf256);
            // rav1e repeats this one for a class of transforms that does not occur at 32×32.
            same(
                "eob_pt_1024",
                &ours.eob_pt_1024,
                &theirs.eob_flag_cdf1024.map(|[two_dimensional, _]| two_dimensional),
            );
            same("eob_extra", &ours.eob_extra, &theirs.eob_extra_cdf);
            same("dc_sign", &ours.dc_sign, &theirs.dc_sign_cdf);
            same("coeff_base_eob", &ours.coeff_base_eob, &theirs.coeff_base_eob_cdf);
            same("coeff_base", &ours.coeff_base, &theirs.coeff_base_cdf);
            same("coeff_br", &ours.coeff_br, &theirs.coeff_br_cdf);
        }
    }

    #[test]
    fn resetting_counters_touches_counters_only() {
        let mut cdfs = Cdfs::default_for(100);
        let clean = cdfs;
        cdfs.skip[2][2] = 7;
        cdfs.coeff_br[3][1][20][4] = 32;
        cdfs.mv.components[1].bits[9][2] = 1;
        cdfs.mv.joint[4] = 3;
        cdfs.cfl_sign[8] = 12;
        assert_ne!(cdfs, clean);
        cdfs.reset_counters();
        assert_eq!(cdfs, clean);
    }
}
