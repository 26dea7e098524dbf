// A picture into the pool, and luma at a quarter and an eighth of its scale (twins: Frame::load, pyramid.rs).
//
// `load`: one invocation a word of the source frame; beyond the true size the last column and row are repeated. The
// others: one invocation a word of the smaller plane; means of 4×4 of the full scale, and of 2×2 of the quarter scale.

@group(0) @binding(1) var<storage, read_write> frames: array<u32>;
@group(0) @binding(2) var<storage, read_write> pyramids: array<u32>;
@group(0) @binding(11) var<storage, read> picture: array<u32>;

// One sample of a plane of `width` columns that begins at byte `at` of the picture.
fn picture_at(at: u32, width: u32, x: u32, y: u32) -> u32 {
    let index = at + y * width + x;
    return (picture[index >> 2u] >> ((index & 3u) * 8u)) & 255u;
}

@compute @workgroup_size(64)
fn load(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = linear(id, groups);
    let blocks = superblocks();
    if index >= FRAME_WORDS * blocks {
        return;
    }
    let plane = select(select(1u, 2u, index >= 1280u * blocks), 0u, index < 1024u * blocks);
    let view = plane_of(SOURCE, plane);
    let size = vec2<u32>(vec2<i32>(view.width, view.height));
    var at = 0u;
    if plane > 0u {
        at = params.width * params.height + (plane - 1u) * size.x * size.y;
    }
    let inside = index - view.at;
    let y = min(inside / view.stride, size.y - 1u);
    let x = (inside % view.stride) * 4u;
    var word = 0u;
    for (var i = 0u; i < 4u; i += 1u) {
        word |= picture_at(at, size.x, min(x + i, size.x - 1u), y) << (i * 8u);
    }
    frames[SOURCE * FRAME_WORDS * blocks + index] = word;
}

// Sum of four samples in a word.
fn sum_of(word: u32) -> u32 {
    let s = unpack_four(word);
    return u32(s.x + s.y + s.z + s.w);
}

fn quarter(index: u32, frame: u32) {
    let stride = params.sb_cols * 4u;
    if index >= 64u * superblocks() {
        return;
    }
    let luma = plane_of(frame, 0u);
    let x = i32((index % stride) * 16u);
    let y = i32((index / stride) * 4u);
    var word = 0u;
    for (var i = 0; i < 4; i += 1) {
        var sum = 8u;
        for (var row = 0; row < 4; row += 1) {
            sum += sum_of(four_clamped(luma, x + i * 4, y + row));
        }
        word |= (sum >> 4u) << (u32(i) * 8u);
    }
    pyramids[frame * 80u * superblocks() + index] = word;
}

fn eighth(index: u32, frame: u32) {
    let stride = params.sb_cols * 2u;
    if index >= 16u * superblocks() {
        return;
    }
    let first = frame * 80u * superblocks();
    let last = vec2<u32>((params.width + 3u) / 4u - 1u, (params.height + 3u) / 4u - 1u);
    let x = (index % stride) * 8u;
    let y = (index / stride) * 2u;
    var word = 0u;
    for (var i = 0u; i < 4u; i += 1u) {
        var sum = 2u;
        for (var j = 0u; j < 4u; j += 1u) {
            let at = min(vec2<u32>(x + 2u * i + j % 2u, y + j / 2u), last);
            sum += (pyramids[first + at.y * params.sb_cols * 4u + at.x / 4u] >> ((at.x & 3u) * 8u)) & 255u;
        }
        word |= (sum >> 2u) << (i * 8u);
    }
    pyramids[first + 64u * superblocks() + index] = word;
}

@compute @workgroup_size(64)
fn quarter_source(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    quarter(linear(id, groups), SOURCE);
}

@compute @workgroup_size(64)
fn eighth_source(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    eighth(linear(id, groups), SOURCE);
}

@compute @workgroup_size(64)
fn quarter_fresh(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    quarter(linear(id, groups), params.fresh);
}

@compute @workgroup_size(64)
fn eighth_fresh(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    eighth(linear(id, groups), params.fresh);
}
