// The partition (twin: `join` and `record` of decide.rs): every block against its quarters, then the records.

@group(0) @binding(4) var<storage, read_write> choices: array<u32>;

// Quarter bits of a split, beyond what its parts cost.
const SPLIT_BITS: u32 = 6u;

// First word of the choice of the block of `side` at (`col`, `row`), in blocks.
fn choice_at(side: u32, col: u32, row: u32) -> u32 {
    let first = select(select(320u, 256u, side == 16u), 0u, side == 8u) * superblocks();
    return first + (row * grid_stride(side) + col) * 4u;
}

fn saturated(a: u32, b: u32) -> u32 {
    return a + min(b, MAX_U32 - a);
}

@compute @workgroup_size(64)
fn join16(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    join(16u, linear(id, groups));
}

@compute @workgroup_size(64)
fn join32(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    join(32u, linear(id, groups));
}

// Where the quarters are cheaper, the block takes their cost and is marked as split by the smallest size.
fn join(side: u32, block: u32) {
    let blocks = grid(side);
    if block >= blocks.x * blocks.y {
        return;
    }
    let col = block % blocks.x;
    let row = block / blocks.x;
    let small = grid(side / 2u);
    var split = SPLIT_BITS * params.quarter_bit;
    for (var i = 0u; i < 4u; i += 1u) {
        let quarter = vec2<u32>(col * 2u + (i & 1u), row * 2u + (i >> 1u));
        if quarter.x < small.x && quarter.y < small.y {
            split = saturated(split, choices[choice_at(side / 2u, quarter.x, quarter.y)]);
        }
    }
    // A block that sticks out of the frame is split: its outer part would be coded for nobody.
    let cells = side / 8u;
    let out = (row + 1u) * cells > params.rows || (col + 1u) * cells > params.cols;
    let at = choice_at(side, col, row);
    if out || split < choices[at] {
        choices[at] = split;
        choices[at + 1u] &= ~3u;
    }
}

@group(0) @binding(5) var<storage, read_write> blocks: array<u32>;

// Each cell looks downwards for the block that covers it.
@compute @workgroup_size(64)
fn record(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let cell = linear(id, groups);
    let row = cell / cell_stride();
    let col = cell % cell_stride();
    if row >= params.rows || col >= params.cols {
        return;
    }
    var at = choice_at(32u, col / 4u, row / 4u);
    if (choices[at + 1u] & 3u) != 2u {
        at = choice_at(16u, col / 2u, row / 2u);
        if (choices[at + 1u] & 3u) != 1u {
            at = choice_at(8u, col, row);
        }
    }
    blocks[cell * 2u] = choices[at + 1u];
    blocks[cell * 2u + 1u] = choices[at + 2u];
}
