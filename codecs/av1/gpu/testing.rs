//! A stand on which single passes run, and their buffers are looked at.

use std::sync::{Arc, OnceLock};

use conclave_shaders::device::Prefer;
use conclave_shaders::{Gpu, Part, Ring, wgpu};

use super::buffers::{Buffers, FRAME_WORDS};
use super::params::Params;
use super::passes::{self, Kernels, Pass};
use crate::av1::frame::Frame;
use crate::av1::layout::Layout;

/// Numbers of frames in the pool that are not references.
pub(super) const SOURCE: u32 = 0;
pub(super) const RECON: u32 = 1;

/// The adapter, opened once for all tests of the process; `None`, said aloud, where there is none.
pub(super) fn adapter() -> Option<Arc<Gpu>> {
    static OPENED: OnceLock<Option<Arc<Gpu>>> = OnceLock::new();
    let opened = OPENED.get_or_init(|| Gpu::open(Prefer::Any).ok().map(Arc::new));
    if opened.is_none() {
        println!("skipped: no Vulkan adapter");
    }
    opened.clone()
}

/// The buffers of one encoder, and some passes ready to run.
pub(super) struct Stand {
    gpu: Arc<Gpu>,
    kernels: Arc<Kernels>,
    bindings: Vec<wgpu::BindGroup>,
    buffers: Buffers,
    pub layout: Layout,
    pub params: Params,
}

impl Stand {
    /// For frames of `layout`, with three references and the passes of `kernels`.
    pub fn new(gpu: &Arc<Gpu>, kernels: &Arc<Kernels>, layout: &Layout) -> Self {
        let buffers = Buffers::new(gpu, layout, 3).expect("buffers");
        let bindings = kernels.bind(gpu, &buffers);
        let params = Params::of(layout);
        Self { gpu: gpu.clone(), kernels: kernels.clone(), bindings, buffers, layout: *layout, params }
    }

    /// Runs passes one after the other.
    pub fn run(&self, passes: &[Pass]) {
        self.run_steps(passes.iter().map(|pass| (*pass, None)));
    }

    /// The same, each with a binding of group 1 where it has one.
    pub fn run_steps<'a>(&self, passes: impl Iterator<Item = (Pass, Option<&'a wgpu::BindGroup>)>) {
        let gpu = &self.gpu;
        gpu.upload(self.buffers.binding(passes::PARAMS), bytemuck::bytes_of(&self.params)).expect("params");
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        let mut recording = encoder.begin_compute_pass(&Default::default());
        for (pass, part) in passes {
            let at = self.kernels.all().iter().position(|(compiled, _)| *compiled == pass).expect("compiled");
            let kernel = &self.kernels.all()[at].1;
            kernel.dispatch(&mut recording, &self.bindings[at], part, pass.groups(&self.layout));
        }
        drop(recording);
        gpu.queue.submit([encoder.finish()]);
        gpu.check().expect("no error");
    }

    /// All words of a buffer.
    pub fn read(&self, binding: u32) -> Vec<u32> {
        let gpu = &self.gpu;
        let buffer = self.buffers.binding(binding);
        let mut ring = Ring::new(gpu, 1, buffer.size()).expect("memory");
        let encoder = gpu.device.create_command_encoder(&Default::default());
        let ticket = ring.submit(gpu, encoder, &[Part::front(buffer, buffer.size())]).expect("room");
        let words = ring.read(gpu, ticket, |bytes| bytemuck::pod_collect_to_vec(bytes)).expect("a result");
        gpu.check().expect("no error");
        words
    }

    /// Writes words into a buffer from its `at`-th word on.
    pub fn write(&self, binding: u32, at: usize, words: &[u32]) {
        self.gpu.queue.write_buffer(self.buffers.binding(binding), 4 * at as u64, bytemuck::cast_slice(words));
    }

    /// Puts a frame into the pool.
    pub fn write_frame(&self, number: u32, frame: &Frame) {
        let words: Vec<u32> = frame.planes.iter().flat_map(|plane| words(&plane.data)).collect();
        self.write(passes::FRAMES, number as usize * self.frame_words(), &words);
    }

    /// Takes a frame out of the pool.
    pub fn read_frame(&self, number: u32) -> Frame {
        let words = self.read(passes::FRAMES);
        let mut bytes = bytemuck::cast_slice::<u32, u8>(&words[number as usize * self.frame_words()..]);
        let mut frame = Frame::new(&self.layout);
        for plane in &mut frame.planes {
            let (mine, rest) = bytes.split_at(plane.data.len());
            plane.data.copy_from_slice(mine);
            bytes = rest;
        }
        frame
    }

    /// Superblocks of a frame.
    pub fn superblocks(&self) -> usize {
        self.layout.superblock_cols() * self.layout.superblock_rows()
    }

    fn frame_words(&self) -> usize {
        FRAME_WORDS as usize * self.superblocks()
    }
}

/// Four samples a word, the first in the low byte.
pub(super) fn words(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    bytes.as_chunks().0.iter().map(|four| u32::from_le_bytes(*four))
}
