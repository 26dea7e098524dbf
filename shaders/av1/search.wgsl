// Whole-sample motion (twin: search.rs): wide on the small scales, narrow at full scale.
//
// One workgroup a block. On the small scales a lane sums a whole candidate; at full scale eight lanes share one, and one
// lane chooses in the twin's order. Out: the first sections of `vectors`.

@group(0) @binding(1) var<storage, read> frames: array<u32>;
@group(0) @binding(2) var<storage, read> pyramids: array<u32>;
@group(0) @binding(3) var<storage, read_write> vectors: array<u32>;

// (cost << 10) | index of the best candidate.
var<workgroup> least: atomic<u32>;
var<workgroup> centre: vec2<i32>;
// Steps to try, and whether they may be.
var<workgroup> candidates: array<vec3<i32>, 8>;
var<workgroup> sums: array<atomic<u32>, 8>;

// A plane of a pyramid.
struct Scaled {
    at: u32,
    // Words a row.
    stride: u32,
    width: i32,
    height: i32,
}

fn quarter_of(frame: u32) -> Scaled {
    let size = vec2<i32>(i32(params.width + 3u) / 4, i32(params.height + 3u) / 4);
    return Scaled(frame * 80u * superblocks(), params.sb_cols * 4u, size.x, size.y);
}

fn eighth_of(frame: u32) -> Scaled {
    let size = vec2<i32>(i32(params.width + 7u) / 8, i32(params.height + 7u) / 8);
    return Scaled(frame * 80u * superblocks() + 64u * superblocks(), params.sb_cols * 2u, size.x, size.y);
}

// Four samples from (x, y) on; beyond the true size the last ones go on for ever.
fn four_scaled(plane: Scaled, x: i32, y: i32) -> u32 {
    let row = plane.at + u32(clamp(y, 0, plane.height - 1)) * plane.stride;
    if x >= 0 && x + 4 <= plane.width {
        let at = row + (u32(x) >> 2u);
        let shift = (u32(x) & 3u) * 8u;
        if shift == 0u {
            return pyramids[at];
        }
        return (pyramids[at] >> shift) | (pyramids[at + 1u] << (32u - shift));
    }
    var word = 0u;
    for (var i = 0; i < 4; i += 1) {
        let column = u32(clamp(x + i, 0, plane.width - 1));
        word |= ((pyramids[row + (column >> 2u)] >> ((column & 3u) * 8u)) & 255u) << (u32(i) * 8u);
    }
    return word;
}

// Sum of absolute differences of four samples.
fn apart(a: u32, b: u32) -> u32 {
    let d = abs(unpack_four(a) - unpack_four(b));
    return u32(d.x + d.y + d.z + d.w);
}

// The same of 8×8 samples.
fn apart8(a: Scaled, ax: i32, ay: i32, b: Scaled, bx: i32, by: i32) -> u32 {
    var sum = 0u;
    for (var y = 0; y < 8; y += 1) {
        sum += apart(four_scaled(a, ax, ay + y), four_scaled(b, bx, by + y));
        sum += apart(four_scaled(a, ax + 4, ay + y), four_scaled(b, bx + 4, by + y));
    }
    return sum;
}

// A block may begin so far before the plane, and a fifth of that behind it.
fn inside(width: i32, height: i32, at: vec2<i32>, before: i32) -> bool {
    let behind = before / 5 - 1;
    return at.x >= -before && at.y >= -before && at.x <= width + behind && at.y <= height + behind;
}

// A block and its four neighbours, in the order in which they are tried.
fn cross_at(i: u32) -> vec2<i32> {
    switch i {
        case 1u: { return vec2<i32>(-1, 0); }
        case 2u: { return vec2<i32>(1, 0); }
        case 3u: { return vec2<i32>(0, -1); }
        case 4u: { return vec2<i32>(0, 1); }
        default: { return vec2<i32>(0, 0); }
    }
}

// All eight neighbours, row by row.
fn square_at(i: u32) -> vec2<i32> {
    let n = i32(select(i, i + 1u, i >= 4u));
    return vec2<i32>(n % 3 - 1, n / 3 - 1);
}

// A block exists in the grid of `side`.
fn exists(side: u32, at: vec2<i32>) -> bool {
    let size = vec2<i32>(grid(side));
    return at.x >= 0 && at.y >= 0 && at.x < size.x && at.y < size.y;
}

// Index of a block in its section of `vectors`.
fn eighth_index(at: vec2<i32>) -> u32 {
    return u32(at.y) * params.sb_cols + u32(at.x);
}

fn quarter_index(at: vec2<i32>) -> u32 {
    return superblocks() + u32(at.y) * grid_stride(32u) + u32(at.x);
}

fn by16_index(at: vec2<i32>) -> u32 {
    return 5u * superblocks() + u32(at.y) * grid_stride(16u) + u32(at.x);
}

fn by32_index(at: vec2<i32>) -> u32 {
    return 21u * superblocks() + u32(at.y) * grid_stride(32u) + u32(at.x);
}

fn by8_index(at: vec2<i32>) -> u32 {
    return 25u * superblocks() + u32(at.y) * grid_stride(8u) + u32(at.x);
}

// Samples of the eighth scale searched each way.
const WIDE: i32 = 12;

// Full search on the eighth scale, for a 64×64. Candidate 0 is no motion; the others follow row by row.
@compute @workgroup_size(64)
fn wide(
    @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let block = linear_group(id, groups);
    let size = grid(64u);
    if block >= size.x * size.y {
        return;
    }
    let at = vec2<i32>(vec2<u32>(block % size.x, block / size.x));
    let source = eighth_of(SOURCE);
    let reference = eighth_of(params.last);
    let origin = at * 8;
    if lane == 0u {
        atomicStore(&least, MAX_U32);
    }
    workgroupBarrier();
    for (var i = lane; i < 626u; i += GROUP) {
        var offset = vec2<i32>(0);
        if i > 0u {
            offset = vec2<i32>(i32(i - 1u) % (2 * WIDE + 1) - WIDE, i32(i - 1u) / (2 * WIDE + 1) - WIDE);
        }
        let to = origin + offset;
        if i == 0u || inside(reference.width, reference.height, to, 10) {
            // A far vector must be clearly better.
            let far = u32(abs(offset.x) + abs(offset.y)) * 2u;
            let cost = apart8(source, origin.x, origin.y, reference, to.x, to.y) + far;
            atomicMin(&least, (cost << 10u) | i);
        }
    }
    workgroupBarrier();
    if lane == 0u {
        let i = i32(atomicLoad(&least) & 1023u);
        var offset = vec2<i32>(0);
        if i > 0 {
            offset = vec2<i32>((i - 1) % (2 * WIDE + 1) - WIDE, (i - 1) / (2 * WIDE + 1) - WIDE);
        }
        vectors[eighth_index(at)] = pack_pair(offset);
    }
}

fn narrow_cost(source: Scaled, reference: Scaled, origin: vec2<i32>, offset: vec2<i32>) -> u32 {
    let to = origin + offset;
    if !inside(reference.width, reference.height, to, 20) {
        return MAX_U32;
    }
    return apart8(source, origin.x, origin.y, reference, to.x, to.y) + u32(abs(offset.x) + abs(offset.y));
}

// Candidates of the eighth scale, refined by ±2 on the quarter scale, for a 32×32.
@compute @workgroup_size(64)
fn narrow(
    @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let block = linear_group(id, groups);
    let size = grid(32u);
    if block >= size.x * size.y {
        return;
    }
    let at = vec2<i32>(vec2<u32>(block % size.x, block / size.x));
    let source = quarter_of(SOURCE);
    let reference = quarter_of(params.last);
    let origin = at * 8;
    if lane == 0u {
        atomicStore(&least, MAX_U32);
    }
    workgroupBarrier();
    var offset = vec2<i32>(0);
    var valid = lane < 6u;
    if lane >= 1u && lane < 6u {
        let near = at / 2 + cross_at(lane - 1u);
        valid = exists(64u, near);
        if valid {
            offset = unpack_pair(vectors[eighth_index(near)]) * 2;
        }
    }
    if valid {
        let cost = narrow_cost(source, reference, origin, offset);
        if cost != MAX_U32 {
            atomicMin(&least, (cost << 10u) | lane);
        }
    }
    workgroupBarrier();
    if (atomicLoad(&least) & 1023u) == lane {
        centre = offset;
    }
    workgroupBarrier();
    // What was best stays ahead of its equals.
    if lane < 25u {
        offset = centre + vec2<i32>(i32(lane) % 5 - 2, i32(lane) / 5 - 2);
        let cost = narrow_cost(source, reference, origin, offset);
        if cost != MAX_U32 {
            atomicMin(&least, (cost << 10u) | (lane + 64u));
        }
    }
    workgroupBarrier();
    let best = atomicLoad(&least) & 1023u;
    if best == lane + 64u {
        vectors[quarter_index(at)] = pack_pair(offset);
    } else if best < 64u && lane == 0u {
        vectors[quarter_index(at)] = pack_pair(centre);
    }
}

// About the bits of one vector component that differs from its prediction by so many samples.
fn length_of(difference: i32) -> u32 {
    let magnitude = u32(abs(difference));
    return 2u * (32u - countLeadingZeros(magnitude)) + select(0u, 1u, magnitude > 0u);
}

// A block at full scale begins at most so many samples before the plane.
const REACH: i32 = 80;

// The best of the candidates tried so far; only the first lane's counts.
struct Best {
    cost: u32,
    offset: vec2<i32>,
}

// Puts a step on the list; one that leads outside is not tried.
fn propose(i: u32, origin: vec2<i32>, offset: vec2<i32>, valid: bool) {
    let may = valid && inside(i32(params.width), i32(params.height), origin + offset, REACH);
    candidates[i] = vec3<i32>(offset, select(0, 1, may));
}

// Sums the differences of `count` proposals and returns the best of them and of `best`.
fn compare(
    lane: u32, count: u32, origin: vec2<i32>, side: u32, expected: vec2<i32>, best: Best,
) -> Best {
    if lane < 8u {
        atomicStore(&sums[lane], 0u);
    }
    workgroupBarrier();
    let candidate = lane / 8u;
    if candidate < count && candidates[candidate].z == 1 {
        let source = plane_of(SOURCE, 0u);
        let reference = plane_of(params.last, 0u);
        let to = origin + candidates[candidate].xy;
        var sum = 0u;
        for (var y = i32(lane % 8u); y < i32(side); y += 8) {
            for (var x = 0; x < i32(side); x += 4) {
                sum += apart(
                    frames[word_at(source, u32(origin.x + x), u32(origin.y + y))], four_clamped(reference, to.x + x, to.y + y),
                );
            }
        }
        atomicAdd(&sums[candidate], sum);
    }
    workgroupBarrier();
    var now = best;
    if lane == 0u {
        for (var i = 0u; i < count; i += 1u) {
            if candidates[i].z == 1 {
                let off = candidates[i].xy - expected;
                let bits = length_of(off.x) + length_of(off.y);
                let cost = atomicLoad(&sums[i]) + ((bits * params.vector_bit) >> 4u);
                if cost < now.cost {
                    now = Best(cost, candidates[i].xy);
                }
            }
        }
    }
    workgroupBarrier();
    return now;
}

@compute @workgroup_size(64)
fn by16(
    @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let block = linear_group(id, groups);
    let size = grid(16u);
    if block >= size.x * size.y {
        return;
    }
    let at = vec2<i32>(vec2<u32>(block % size.x, block / size.x));
    let origin = at * 16;
    let expected = unpack_pair(vectors[quarter_index(at / 2)]) * 4;
    var best = Best(MAX_U32, vec2<i32>(0));
    if lane == 0u {
        propose(0u, origin, vec2<i32>(0), true);
        propose(1u, origin, unpack_pair(vectors[by16_index(at)]), true);
    } else if lane < 6u {
        let near = at / 2 + cross_at(lane - 1u);
        let valid = exists(32u, near);
        propose(lane + 1u, origin, unpack_pair(vectors[quarter_index(select(at / 2, near, valid))]) * 4, valid);
    }
    best = compare(lane, 7u, origin, 16u, expected, best);
    for (var distance = 2; distance > 0; distance -= 1) {
        if lane == 0u {
            for (var i = 0u; i < 8u; i += 1u) {
                propose(i, origin, best.offset + square_at(i) * distance, true);
            }
        }
        best = compare(lane, 8u, origin, 16u, expected, best);
    }
    if lane == 0u {
        for (var i = 0u; i < 4u; i += 1u) {
            propose(i, origin, best.offset + cross_at(i + 1u), true);
        }
    }
    best = compare(lane, 4u, origin, 16u, expected, best);
    if lane == 0u {
        vectors[by16_index(at)] = pack_pair(best.offset);
    }
}

@compute @workgroup_size(64)
fn by32(
    @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let block = linear_group(id, groups);
    let size = grid(32u);
    if block >= size.x * size.y {
        return;
    }
    let at = vec2<i32>(vec2<u32>(block % size.x, block / size.x));
    let origin = at * 32;
    let expected = unpack_pair(vectors[quarter_index(at)]) * 4;
    var best = Best(MAX_U32, vec2<i32>(0));
    if lane == 0u {
        propose(0u, origin, vec2<i32>(0), true);
    } else if lane < 5u {
        let part = at * 2 + vec2<i32>(vec2<u32>((lane - 1u) % 2u, (lane - 1u) / 2u));
        let valid = exists(16u, part);
        propose(lane, origin, unpack_pair(vectors[by16_index(select(at * 2, part, valid))]), valid);
    }
    best = compare(lane, 5u, origin, 32u, expected, best);
    if lane == 0u {
        for (var i = 0u; i < 4u; i += 1u) {
            propose(i, origin, best.offset + cross_at(i + 1u), true);
        }
    }
    best = compare(lane, 4u, origin, 32u, expected, best);
    if lane == 0u {
        vectors[by32_index(at)] = pack_pair(best.offset);
    }
}

@compute @workgroup_size(64)
fn by8(
    @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let block = linear_group(id, groups);
    let size = grid(8u);
    if block >= size.x * size.y {
        return;
    }
    let at = vec2<i32>(vec2<u32>(block % size.x, block / size.x));
    let origin = at * 8;
    let expected = unpack_pair(vectors[by16_index(at / 2)]);
    var best = Best(MAX_U32, vec2<i32>(0));
    if lane == 0u {
        propose(0u, origin, vec2<i32>(0), true);
    } else if lane < 6u {
        let near = at / 2 + cross_at(lane - 1u);
        let valid = exists(16u, near);
        propose(lane, origin, unpack_pair(vectors[by16_index(select(at / 2, near, valid))]), valid);
    }
    best = compare(lane, 6u, origin, 8u, expected, best);
    if lane == 0u {
        for (var i = 0u; i < 8u; i += 1u) {
            propose(i, origin, best.offset + square_at(i), true);
        }
    }
    best = compare(lane, 8u, origin, 8u, expected, best);
    if lane == 0u {
        vectors[by8_index(at)] = pack_pair(best.offset);
    }
}
