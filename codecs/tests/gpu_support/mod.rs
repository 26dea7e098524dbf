//! What the tests of the encoder on the GPU share.
#![allow(dead_code, reason = "each test uses a part")]

use std::sync::{Arc, OnceLock};

use conclave_codecs::av1::encoder::Encoder;
use conclave_codecs::av1::gpu::Context;
use conclave_codecs::{Color, Config, EncodedInfo, FrameInput, Picture, Rect, Size, VideoEncoder};
use conclave_shaders::device::Prefer;

/// One context for all tests of a program; `None`, said aloud, where there is no adapter.
pub fn context() -> Option<Arc<Context>> {
    static OPENED: OnceLock<Option<Arc<Context>>> = OnceLock::new();
    OPENED.get_or_init(open).clone()
}

/// A context of its own, for a test that loses its device.
pub fn open() -> Option<Arc<Context>> {
    match Context::open(Prefer::Any) {
        Ok(context) => Some(context),
        Err(conclave_shaders::DeviceError::NoAdapter { why }) => {
            println!("skipped: {why}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// The encoder on the GPU beside the one on the CPU.
pub struct Pair {
    pub gpu: Encoder,
    pub cpu: Encoder,
    pub units: Vec<Vec<u8>>,
    pub pictures: Vec<Picture>,
    next: u64,
}

impl Pair {
    pub fn open(context: &Arc<Context>, config: Config) -> Self {
        let gpu = Encoder::open_on(context, config).unwrap_or_else(|error| panic!("{config:?}: {error}"));
        let cpu = Encoder::open(config).expect("opens");
        Self { gpu, cpu, units: Vec::new(), pictures: Vec::new(), next: 0 }
    }

    /// The same with what differs from the picture before.
    pub fn push_damaged(&mut self, picture: &Picture, parts: &[Rect]) -> Option<EncodedInfo> {
        self.gpu.damaged(parts);
        self.cpu.damaged(parts);
        self.push(picture, false)
    }

    /// Encodes a picture on both: decisions, reconstruction and bytes are the same.
    pub fn push(&mut self, picture: &Picture, keyframe: bool) -> Option<EncodedInfo> {
        let input = FrameInput { frame: self.next, keyframe };
        self.next += 1;
        let what = format!("frame {} of {}", input.frame, picture.size());
        let [ours, theirs] = [&mut self.gpu, &mut self.cpu].map(|encoder| {
            encoder.submit(picture, input).unwrap_or_else(|error| panic!("{what}: {error}"));
            let mut unit = Vec::new();
            let info = encoder.poll(&mut unit).expect("a frame or none");
            (info, unit)
        });
        same_decisions(&self.gpu, &self.cpu, &what);
        assert_eq!(ours.0, theirs.0, "{what}");
        assert!(ours.1 == theirs.1, "{what}: the bytes differ");
        let info = ours.0?;
        let [mine, other] = [&mut self.gpu, &mut self.cpu].map(|encoder| {
            let mut shown = Picture::new(Size::new(1, 1), Color::default());
            assert!(encoder.reconstruction(&mut shown), "{what}");
            shown
        });
        assert!(mine == other, "{what}: the reconstructions differ");
        self.units.push(ours.1);
        self.pictures.push(mine);
        Some(info)
    }
}

fn same_decisions(ours: &Encoder, theirs: &Encoder, what: &str) {
    let (ours, theirs) = (ours.decisions(), theirs.decisions());
    let layout = *theirs.layout();
    assert_eq!((ours.quantizer, ours.deblock, ours.cdef), (theirs.quantizer, theirs.deblock, theirs.cdef), "{what}");
    for row in 0..layout.rows {
        for col in 0..layout.cols {
            let (block, cell) = (*theirs.block(row, col), layout.cell(row, col));
            assert_eq!(*ours.block(row, col), block, "{what}, cell {row} {col}");
            if row % block.size.cells() != 0 || col % block.size.cells() != 0 {
                continue;
            }
            assert_eq!(ours.ends[cell], theirs.ends[cell], "{what}, cell {row} {col}");
            for plane in 0..3 {
                let end = usize::from(theirs.ends[cell][plane]);
                let side = block.transform_side(plane);
                let mine = &ours.levels(plane, row, col, side)[..end];
                assert_eq!(mine, &theirs.levels(plane, row, col, side)[..end], "{what}, cell {row} {col}, {plane}");
            }
        }
    }
}
