
// A picture into the pool, and luma at a quarter and at an eighth of its scale (twins: Frame::load, pyramid.rs). An
// invocation makes one word. Beyond the true size the last column and row go on, at every scale.

@group(0) @binding(1) var<storage, read_write> frames: array<u32>;
@group(0) @binding(2) var<storage, read_write> pyramids: array<u32>;
@group(0) @binding(11) var<storage, read> picture: array<u32>;

// Words of one pyramid, by superblock: 64 at the quarter scale, then 16 at the eighth.
const PYRAMID_WORDS: u32 = 80u;
const QUARTER_WORDS: u32 = 64u;
const EIGHTH_WORDS: u32 = 16u;

// The byte at `at` of the picture.
fn picture_byte(at: u32) -> u32 {
    return (picture[at >> 2u] >> ((at & 3u) * 8u)) & 255u;
}

@compute @workgroup_size(64)
fn load(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let blocks = superblocks();
    let word = linear(id, groups);
    if word >= FRAME_WORDS * blocks {
        return;
    }
    // The word's place in its plane, and where the plane begins in the picture, in bytes.
    let plane = select(select(2u, 1u, word < 1280u * blocks), 0u, word < 1024u * blocks);
    let to = plane_of(SOURCE, plane);
    let width = u32(to.width);
    let height = u32(to.height);
    let start = select(params.width * params.height + (plane - 1u) * width * height, 0u, plane == 0u);
    let place = word - to.at;
    let row = start + min(place / to.stride, height - 1u) * width;
    let x = place % to.stride * 4u;
    if x + 4u <= width {
        let at = row + x;
        let shift = (at & 3u) * 8u;
        var four = picture[at >> 2u] >> shift;
        if shift != 0u {
            four |= picture[(at >> 2u) + 1u] << (32u - shift);
        }
        frames[word] = four;
        return;
    }
    let last = width - 1u;
    frames[word] = picture_byte(row + min(x, last))
        | (picture_byte(row + min(x + 1u, last)) << 8u)
        | (picture_byte(row + min(x + 2u, last)) << 16u)
        | (picture_byte(row + min(x + 3u, last)) << 24u);
}

// The sum of the four samples of a word.
fn sum_of(word: u32) -> u32 {
    let pairs = (word & 0x00ff00ffu) + ((word >> 8u) & 0x00ff00ffu);
    return (pairs & 0xffffu) + (pairs >> 16u);
}

fn quarter(frame: u32, word: u32) {
    let blocks = superblocks();
    if word >= QUARTER_WORDS * blocks {
        return;
    }
    let plane = plane_of(frame, 0u);
    let stride = params.sb_cols * 4u;
    let y = min(i32(word / stride), (plane.height - 1) / 4) * 4;
    let last = (plane.width - 1) / 4;
    var four = 0u;
    for (var i = 0u; i < 4u; i += 1u) {
        let x = min(i32(word % stride * 4u + i), last) * 4;
        let sum = sum_of(four_clamped(plane, x, y)) + sum_of(four_clamped(plane, x, y + 1))
            + sum_of(four_clamped(plane, x, y + 2)) + sum_of(four_clamped(plane, x, y + 3));
        four |= ((sum + 8u) >> 4u) << (i * 8u);
    }
    pyramids[frame * PYRAMID_WORDS * blocks + word] = four;
}

// The quarter scale repeats its own edge as far as the words go, so that nothing has to be clamped here but the last
// column and row.
fn eighth(frame: u32, word: u32) {
    let blocks = superblocks();
    if word >= EIGHTH_WORDS * blocks {
        return;
    }
    let at = frame * PYRAMID_WORDS * blocks;
    let stride = params.sb_cols * 2u;
    let y = min(word / stride, (params.height - 1u) / 8u) * 2u;
    let last = (params.width - 1u) / 8u;
    var four = 0u;
    for (var i = 0u; i < 4u; i += 1u) {
        let x = min(word % stride * 4u + i, last) * 2u;
        let above = pyramids[at + y * stride * 2u + (x >> 2u)];
        let below = pyramids[at + (y + 1u) * stride * 2u + (x >> 2u)];
        let pairs = (above & 0x00ff00ffu) + ((above >> 8u) & 0x00ff00ffu)
            + (below & 0x00ff00ffu) + ((below >> 8u) & 0x00ff00ffu);
        let sum = (pairs >> ((x & 2u) * 8u)) & 0xffffu;
        four |= ((sum + 2u) >> 2u) << (i * 8u);
    }
    pyramids[at + QUARTER_WORDS * blocks + word] = four;
}

@compute @workgroup_size(64)
fn quarter_source(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    quarter(SOURCE, linear(id, groups));
}

@compute @workgroup_size(64)
fn eighth_source(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    eighth(SOURCE, linear(id, groups));
}

@compute @workgroup_size(64)
fn quarter_fresh(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    quarter(params.fresh, linear(id, groups));
}

@compute @workgroup_size(64)
fn eighth_fresh(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    eighth(params.fresh, linear(id, groups));
}
