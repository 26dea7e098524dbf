//! The transforms, apart from any stage.

use conclave_shaders::{Gpu, Kernel, Part, Ring, Stage, wgpu};
use wgpu::BufferUsages;

use super::super::testing::adapter;
use crate::av1::decisions::Transform;
use crate::av1::kernel::transform::{AREA, Coefficients, forward, inverse_add};

/// Words of a block in the buffer: its values, then what the rotations saw beyond 16 bits in each line.
const BLOCK: usize = AREA + 64;

const STAGE: Stage = Stage {
    name: "av1/transform test",
    source: concat!(
        include_str!("../../../../shaders/av1/common.wgsl"),
        include_str!("../../../../shaders/av1/transform.wgsl"),
        r"
        @group(0) @binding(1) var<storage, read_write> values: array<i32>;
        var<workgroup> coefficients: array<i32, 1024>;

        fn copy_in(block: u32, lane: u32) {
            for (var i = lane; i < 1024u; i += GROUP) {
                coefficients[i] = values[block * 1088u + i];
            }
            workgroupBarrier();
        }

        fn copy_out(block: u32, lane: u32) {
            workgroupBarrier();
            for (var i = lane; i < 1024u; i += GROUP) {
                values[block * 1088u + i] = coefficients[i];
            }
            values[block * 1088u + 1024u + lane] = beyond;
        }

        fn forwards(side: u32, block: u32, lane: u32) {
            copy_in(block, lane);
            forward_pass(lane, side, lane, side, forward_shift(side, false));
            workgroupBarrier();
            forward_pass(lane, side, lane * side, 1u, forward_shift(side, true));
            copy_out(block, lane);
        }

        fn backwards(side: u32, block: u32, lane: u32) {
            copy_in(block, lane);
            inverse_pass(lane, side, lane * side, 1u, row_shift(side));
            workgroupBarrier();
            inverse_pass(lane, side, lane, side, 4u);
            copy_out(block, lane);
        }

        @compute @workgroup_size(64)
        fn forward_all(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
            forwards(4u << (id.x % 4u), id.x, lane);
        }

        @compute @workgroup_size(64)
        fn inverse_all(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
            backwards(4u << (id.x % 4u), id.x, lane);
        }
        "
    ),
    entries: &["forward_all", "inverse_all"],
};

/// Runs an entry point over blocks of sides 4, 8, 16, 32 in turn.
fn run(gpu: &Gpu, entry: &'static str, values: &[i32]) -> Vec<i32> {
    let kernel = Kernel::new(gpu, &STAGE, entry).expect("shader");
    let size = 4 * values.len() as u64;
    let buffer = gpu.buffer("values", size, BufferUsages::STORAGE | BufferUsages::COPY_SRC).expect("room");
    gpu.upload(&buffer, bytemuck::cast_slice(values)).expect("values");
    let bindings = kernel.bind(gpu, &[(1, &buffer)]);
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    kernel.dispatch(&mut pass, &bindings, None, [(values.len() / BLOCK) as u32, 1, 1]);
    drop(pass);
    let mut ring = Ring::new(gpu, 1, buffer.size()).expect("room");
    let ticket = ring.submit(gpu, encoder, &[Part::front(&buffer, buffer.size())]).expect("room");
    let values = ring.read(gpu, ticket, |bytes| bytemuck::pod_collect_to_vec(bytes)).expect("a result");
    gpu.check().expect("no error");
    values
}

/// Coefficients lie row after row in the shaders, column after column in the twin.
fn turned(at: usize, side: usize) -> usize {
    at % side * side + at / side
}

#[test]
fn transforms_are_those_of_the_twin_both_ways() {
    let Some(gpu) = adapter() else { return };
    let mut random = fastrand::Rng::with_seed(31);
    let count = 240;
    let mut residuals = vec![[0i16; AREA]; count];
    for residual in &mut residuals {
        let reach = [0, 1, 5, 40, 255][random.usize(..5)];
        let base = random.i16(-255 + reach..=255 - reach);
        residual.fill_with(|| base + random.i16(-reach..=reach));
    }
    let values: Vec<i32> =
        residuals.iter().flat_map(|residual| residual.iter().map(|v| i32::from(*v) << 2).chain([0; 64])).collect();
    let mut ours = run(&gpu, "forward_all", &values);
    let mut twin = Coefficients::default();
    let blocks = ours.chunks_exact_mut(BLOCK).zip(&residuals);
    for (i, (block, residual)) in blocks.enumerate() {
        let side = 4 << (i % 4);
        forward(Transform::Dct, side, &residual[..side * side], &mut twin);
        for at in 0..side * side {
            assert_eq!(block[at], twin.values()[turned(at, side)], "{side}: {at} of block {i}");
        }
        // Some of what is transformed back is coarse, some beyond all range.
        let (step, gain) = ([1, 30, 700][random.usize(..3)], [1, 1, 1, 1, 9][random.usize(..5)]);
        block.iter_mut().for_each(|v| *v = (*v / step * step * gain).clamp(-32768, 32767));
    }
    let back = run(&gpu, "inverse_all", &ours);
    let mut outside = 0;
    for (i, (coefficients, block)) in ours.chunks_exact(BLOCK).zip(back.chunks_exact(BLOCK)).enumerate() {
        let side = 4 << (i % 4);
        twin.clear(side, side);
        for at in (0..side * side).filter(|at| coefficients[*at] != 0) {
            twin.set(turned(at, side), coefficients[at]);
        }
        let within = block[AREA..].iter().all(|beyond| *beyond == 0);
        assert_eq!(within, twin.in_range(Transform::Dct), "{side}: block {i}");
        outside += usize::from(!within);
        for ground in [0, 128, 255] {
            let mut samples = [ground; AREA];
            if within {
                inverse_add(Transform::Dct, &mut twin, &mut samples, side);
                for at in 0..side * side {
                    let sum = (i32::from(ground) + block[at]).clamp(0, 255);
                    assert_eq!(sum, i32::from(samples[at]), "{side}: {at} of block {i}");
                }
            }
        }
    }
    assert!((1..count / 2).contains(&outside), "{outside}");
}
