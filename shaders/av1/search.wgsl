
// Whole-sample motion (twin: search.rs). A workgroup searches for one block or a few neighbours. Of each block up to
// eight candidates are compared at once, by one invocation or several that share the rows: every round has slots of
// its own for the sums, so that one barrier a round is enough, after which every invocation makes the block's choice
// itself.

@group(0) @binding(1) var<storage, read> frames: array<u32>;
@group(0) @binding(2) var<storage, read> pyramids: array<u32>;
@group(0) @binding(3) var<storage, read_write> vectors: array<u32>;

// Words of one pyramid, by superblock; the eighth scale begins behind the quarter scale.
const PYRAMID_WORDS: u32 = 80u;
const QUARTER_WORDS: u32 = 64u;

// Samples of the eighth scale searched each way.
const WIDE: i32 = 12;
// Candidates of `wide`, and the words of a row of the window that holds them all.
const WIDE_COUNT: u32 = 625u;
const WINDOW_STRIDE: u32 = 8u;

// What the candidates cost, and the candidates: block after block, round after round, eight slots each.
var<workgroup> sums: array<atomic<u32>, 128>;
var<workgroup> steps: array<u32, 128>;
// The best of `wide`: cost, then its place in the order of candidates.
var<workgroup> least: atomic<u32>;
var<workgroup> window: array<u32, 256>;
var<workgroup> block: array<u32, 16>;

// About the bits of a vector that differs so much from its prediction.
fn bits_of(difference: vec2<i32>) -> u32 {
    let a = vec2<u32>(abs(difference));
    let bits = 2u * (32u - countLeadingZeros(a)) + min(a, vec2<u32>(1u));
    return bits.x + bits.y;
}

// A block and its four neighbours.
fn cross_at(i: u32) -> vec2<i32> {
    switch i {
        case 1u: { return vec2<i32>(-1, 0); }
        case 2u: { return vec2<i32>(1, 0); }
        case 3u: { return vec2<i32>(0, -1); }
        case 4u: { return vec2<i32>(0, 1); }
        default: { return vec2<i32>(0, 0); }
    }
}

// All eight neighbours, row after row.
fn square_at(i: u32) -> vec2<i32> {
    let place = i32(i + select(0u, 1u, i >= 4u));
    return vec2<i32>(place % 3 - 1, place / 3 - 1);
}

// A scale of a pyramid.
struct Scale {
    at: u32,
    stride: u32,
    size: vec2<i32>,
}

fn quarter_of(frame: u32) -> Scale {
    let size = vec2<i32>(i32(params.width + 3u) / 4, i32(params.height + 3u) / 4);
    return Scale(frame * PYRAMID_WORDS * superblocks(), params.sb_cols * 4u, size);
}

fn eighth_of(frame: u32) -> Scale {
    let size = vec2<i32>(i32(params.width + 7u) / 8, i32(params.height + 7u) / 8);
    return Scale((frame * PYRAMID_WORDS + QUARTER_WORDS) * superblocks(), params.sb_cols * 2u, size);
}

// Four samples of a scale. The words beyond its true width repeat the edge, and there is always a whole one, so that
// clamping begins behind them.
fn scaled_at(scale: Scale, x: i32, y: i32) -> u32 {
    let row = scale.at + u32(clamp(y, 0, scale.size.y - 1)) * scale.stride;
    let place = place_in(x, i32(scale.stride) * 4);
    let low = pyramids[row + u32(place.x) / 4u];
    let high = pyramids[row + u32(place.x + 3) / 4u];
    return moved(between(low, high, (u32(place.x) & 3u) * 8u), place.y);
}

// What an invocation works on: a block, one of its candidates, a part of the rows.
struct Work {
    // False beyond the last block: the last one is searched once more, for nothing.
    exists: bool,
    col: u32,
    row: u32,
    // First slot of the block.
    slot: u32,
    candidate: u32,
    part: u32,
}

// The work of an invocation where each candidate takes `parts` of them and each block `slots`.
fn work_of(blocks: vec2<u32>, group: u32, lane: u32, parts: u32, slots: u32) -> Work {
    let local = lane / (8u * parts);
    let number = group * (8u / parts) + local;
    let last = blocks.x * blocks.y - 1u;
    let block = min(number, last);
    let candidate = lane / parts % 8u;
    return Work(number <= last, block % blocks.x, block / blocks.x, local * slots, candidate, lane % parts);
}

// Invocations to a candidate of each size; the host counts the workgroups accordingly.
const PARTS_QUARTER: u32 = 2u;
const PARTS_8: u32 = 1u;
const PARTS_16: u32 = 2u;
const PARTS_32: u32 = 8u;

// Word `index` of a row of the plane that begins at `row`, with its edges repeated to both sides.
fn edged(plane: Plane, row: u32, index: i32) -> u32 {
    let last = (plane.width - 1) >> 2u;
    let at = clamp(index, 0, last);
    let samples = u32(min(plane.width - at * 4, 4));
    // Beyond the last word its last sample goes on alone, before the first its first.
    let word = frames[row + u32(at)] >> select(0u, (samples - 1u) * 8u, index > last);
    let kept = select(samples, 1u, index != at) * 8u;
    let mask = MAX_U32 >> (32u - kept);
    return (word & mask) | ((((word >> (kept - 8u)) & 255u) * 0x01010101u) & ~mask);
}

// The part of a block's difference that one of `parts` invocations sums.
fn part_of(side: u32, parts: u32, at: vec2<i32>, to: vec2<i32>, part: u32) -> u32 {
    let source = plane_of(SOURCE, 0u);
    let reference = plane_of(params.last, 0u);
    let first = to.x >> 2u;
    let shift = (u32(to.x) & 3u) * 8u;
    var sum = 0u;
    for (var y = part; y < side; y += parts) {
        let begin = word_at(source, u32(at.x), u32(at.y) + y);
        let row = reference.at + u32(clamp(to.y + i32(y), 0, reference.height - 1)) * reference.stride;
        var low = edged(reference, row, first);
        for (var i = 0u; i < side / 4u; i += 1u) {
            let high = edged(reference, row, first + i32(i) + 1);
            sum += difference(frames[begin + i], between(low, high, shift));
            low = high;
        }
    }
    return total(sum);
}

// Puts a candidate into its slot: its invocations come with a part of the difference each.
fn offer(slot: u32, part: u32, step: vec2<i32>, possible: bool, difference: u32, length: u32) {
    var cost = difference;
    if part == 0u {
        steps[slot] = pack_pair(step);
        cost += select(NONE, length, possible);
    }
    atomicAdd(&sums[slot], cost);
}

// The best of the candidates tried so far.
struct Best {
    cost: u32,
    step: vec2<i32>,
}

// The same after `count` slots from `first` on: a barrier stands in front.
fn choose(before: Best, first: u32, count: u32) -> Best {
    var cost = before.cost;
    var slot = 0u;
    for (var i = 0u; i < count; i += 1u) {
        let sum = atomicLoad(&sums[first + i]);
        if sum < cost {
            cost = sum;
            slot = i + 1u;
        }
    }
    if slot == 0u {
        return before;
    }
    return Best(cost, unpack_pair(steps[first + slot - 1u]));
}

// Compares a candidate at full scale.
fn compare(w: Work, round: u32, side: u32, parts: u32, step: vec2<i32>, exists: bool, expected: vec2<i32>) {
    let at = vec2<i32>(i32(w.col), i32(w.row)) * i32(side);
    let size = vec2<i32>(i32(params.width), i32(params.height));
    let possible = exists && inside(size, at + step, REACH);
    var difference = 0u;
    if possible {
        difference = part_of(side, parts, at, at + step, w.part);
    }
    let length = (bits_of(step - expected) * params.vector_bit) >> 4u;
    offer(w.slot + round * 8u + w.candidate, w.part, step, possible, difference, length);
}

// The position of a neighbour in a section of blocks of `side`; whether there is one.
struct Neighbour {
    exists: bool,
    at: u32,
}

fn neighbour(side: u32, col: u32, row: u32, direction: vec2<i32>) -> Neighbour {
    let place = vec2<i32>(i32(col), i32(row)) + direction;
    let exists = all(place >= vec2<i32>(0)) && all(place < vec2<i32>(grid(side)));
    return Neighbour(exists, select(0u, u32(place.y) * grid_stride(side) + u32(place.x), exists));
}

// Full search on the eighth scale, for a 64×64.
@compute @workgroup_size(64)
fn wide(
    @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = grid(64u);
    let number = linear_group(id, groups);
    if number >= blocks.x * blocks.y {
        return;
    }
    let col = number % blocks.x;
    let row = number / blocks.x;
    let own = EIGHTH_AT * superblocks() + row * grid_stride(64u) + col;
    if rests(64u, col, row) {
        if lane == 0u {
            vectors[own] = 0u;
        }
        return;
    }
    let source = eighth_of(SOURCE);
    let reference = eighth_of(params.last);
    let at = vec2<i32>(i32(col), i32(row)) * 8;
    for (var i = lane; i < 256u; i += GROUP) {
        let place = at - WIDE + vec2<i32>(i32(i % WINDOW_STRIDE) * 4, i32(i / WINDOW_STRIDE));
        window[i] = scaled_at(reference, place.x, place.y);
    }
    if lane < 16u {
        block[lane] = pyramids[source.at + (row * 8u + lane / 2u) * source.stride + col * 2u + lane % 2u];
    }
    if lane == 0u {
        atomicStore(&least, MAX_U32);
    }
    workgroupBarrier();
    var best = MAX_U32;
    for (var i = lane; i < WIDE_COUNT; i += GROUP) {
        let across = i % 25u;
        let down = i / 25u;
        let step = vec2<i32>(i32(across), i32(down)) - WIDE;
        var sum = 0u;
        let shift = (across & 3u) * 8u;
        for (var y = 0u; y < 8u; y += 1u) {
            let line = (down + y) * WINDOW_STRIDE;
            let middle = window[line + (across + 4u) / 4u];
            sum += difference(block[y * 2u], between(window[line + across / 4u], middle, shift));
            sum += difference(block[y * 2u + 1u], between(middle, window[line + (across + 7u) / 4u], shift));
        }
        // A far vector must be clearly better. No motion comes first, the others row after row.
        let cost = total(sum) + u32(abs(step.x) + abs(step.y)) * 2u;
        let order = select(i + 1u, 0u, all(step == vec2<i32>(0)));
        if inside(reference.size, at + step, 10) {
            best = min(best, (cost << 10u) | order);
        }
    }
    atomicMin(&least, best);
    workgroupBarrier();
    if lane == 0u {
        let order = atomicLoad(&least) & 1023u;
        let place = select(order - 1u, WIDE_COUNT / 2u, order == 0u);
        let step = vec2<i32>(i32(place % 25u), i32(place / 25u)) - WIDE;
        vectors[own] = pack_pair(step);
    }
}

// Compares a candidate on the quarter scale.
fn compare_quarter(w: Work, round: u32, step: vec2<i32>, exists: bool) {
    let source = quarter_of(SOURCE);
    let reference = quarter_of(params.last);
    let at = vec2<i32>(i32(w.col), i32(w.row)) * 8;
    let to = at + step;
    let possible = exists && inside(reference.size, to, 20);
    var sum = 0u;
    if possible {
        for (var y = w.part; y < 8u; y += PARTS_QUARTER) {
            let begin = source.at + (u32(at.y) + y) * source.stride + w.col * 2u;
            sum += difference(pyramids[begin], scaled_at(reference, to.x, to.y + i32(y)));
            sum += difference(pyramids[begin + 1u], scaled_at(reference, to.x + 4, to.y + i32(y)));
        }
    }
    let length = u32(abs(step.x) + abs(step.y));
    offer(w.slot + round * 8u + w.candidate, w.part, step, possible, total(sum), length);
}

// Candidates of the eighth scale, refined on the quarter scale, for a 32×32.
@compute @workgroup_size(64)
fn narrow(
    @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = grid(32u);
    let group = linear_group(id, groups);
    if group * (8u / PARTS_QUARTER) >= blocks.x * blocks.y {
        return;
    }
    let w = work_of(blocks, group, lane, PARTS_QUARTER, 32u);
    var step = vec2<i32>(0);
    var exists = w.candidate < 6u;
    if exists && w.candidate > 0u {
        let other = neighbour(64u, w.col / 2u, w.row / 2u, cross_at(w.candidate - 1u));
        exists = other.exists;
        step = unpack_pair(vectors[EIGHTH_AT * superblocks() + other.at]) * 2;
    }
    compare_quarter(w, 0u, step, exists);
    workgroupBarrier();
    let centre = choose(Best(NONE, vec2<i32>(0)), w.slot, 6u);
    // Five rows of five but for the centre, which is known.
    for (var round = 0u; round < 3u; round += 1u) {
        let i = round * 8u + w.candidate;
        let place = i32(i + select(0u, 1u, i >= 12u));
        compare_quarter(w, round + 1u, centre.step + vec2<i32>(place % 5, place / 5) - 2, true);
    }
    workgroupBarrier();
    let best = choose(centre, w.slot + 8u, 24u);
    if w.exists && w.candidate == 0u && w.part == 0u {
        vectors[QUARTER_AT * superblocks() + w.row * grid_stride(32u) + w.col] = select(pack_pair(best.step), 0u, rests(32u, w.col, w.row));
    }
}

@compute @workgroup_size(64)
fn by16(
    @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = grid(16u);
    let group = linear_group(id, groups);
    if group * (8u / PARTS_16) >= blocks.x * blocks.y {
        return;
    }
    let w = work_of(blocks, group, lane, PARTS_16, 32u);
    let own = BY16_AT * superblocks() + w.row * grid_stride(16u) + w.col;
    let quarter = QUARTER_AT * superblocks();
    let expected = unpack_pair(vectors[quarter + (w.row / 2u) * grid_stride(32u) + w.col / 2u]) * 4;
    var step = vec2<i32>(0);
    var exists = w.candidate < 7u;
    if w.candidate == 1u {
        // Where the block went in the frame before.
        step = unpack_pair(vectors[own]);
    } else if exists && w.candidate > 1u {
        let other = neighbour(32u, w.col / 2u, w.row / 2u, cross_at(w.candidate - 2u));
        exists = other.exists;
        step = unpack_pair(vectors[quarter + other.at]) * 4;
    }
    compare(w, 0u, 16u, PARTS_16, step, exists, expected);
    workgroupBarrier();
    var best = choose(Best(NONE, vec2<i32>(0)), w.slot, 7u);
    compare(w, 1u, 16u, PARTS_16, best.step + square_at(w.candidate) * 2, true, expected);
    workgroupBarrier();
    best = choose(best, w.slot + 8u, 8u);
    compare(w, 2u, 16u, PARTS_16, best.step + square_at(w.candidate), true, expected);
    workgroupBarrier();
    best = choose(best, w.slot + 16u, 8u);
    compare(w, 3u, 16u, PARTS_16, best.step + cross_at(w.candidate + 1u), w.candidate < 4u, expected);
    workgroupBarrier();
    best = choose(best, w.slot + 24u, 4u);
    if w.exists && w.candidate == 0u && w.part == 0u {
        vectors[own] = select(pack_pair(best.step), 0u, rests(16u, w.col, w.row));
    }
}

@compute @workgroup_size(64)
fn by32(
    @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = grid(32u);
    let group = linear_group(id, groups);
    if group * (8u / PARTS_32) >= blocks.x * blocks.y {
        return;
    }
    let w = work_of(blocks, group, lane, PARTS_32, 16u);
    let own = w.row * grid_stride(32u) + w.col;
    let expected = unpack_pair(vectors[QUARTER_AT * superblocks() + own]) * 4;
    var step = vec2<i32>(0);
    var exists = w.candidate < 5u;
    if exists && w.candidate > 0u {
        let quarter = vec2<i32>(i32(w.candidate - 1u) & 1, i32(w.candidate - 1u) >> 1u);
        let other = neighbour(16u, w.col * 2u, w.row * 2u, quarter);
        exists = other.exists;
        step = unpack_pair(vectors[BY16_AT * superblocks() + other.at]);
    }
    compare(w, 0u, 32u, PARTS_32, step, exists, expected);
    workgroupBarrier();
    var best = choose(Best(NONE, vec2<i32>(0)), w.slot, 5u);
    compare(w, 1u, 32u, PARTS_32, best.step + cross_at(w.candidate + 1u), w.candidate < 4u, expected);
    workgroupBarrier();
    best = choose(best, w.slot + 8u, 4u);
    if w.exists && w.candidate == 0u && w.part == 0u {
        vectors[BY32_AT * superblocks() + own] = select(pack_pair(best.step), 0u, rests(32u, w.col, w.row));
    }
}

@compute @workgroup_size(64)
fn by8(
    @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = grid(8u);
    let group = linear_group(id, groups);
    if group * (8u / PARTS_8) >= blocks.x * blocks.y {
        return;
    }
    let w = work_of(blocks, group, lane, PARTS_8, 16u);
    let by16 = BY16_AT * superblocks();
    let expected = unpack_pair(vectors[by16 + (w.row / 2u) * grid_stride(16u) + w.col / 2u]);
    var step = vec2<i32>(0);
    var exists = w.candidate < 6u;
    if exists && w.candidate > 0u {
        let other = neighbour(16u, w.col / 2u, w.row / 2u, cross_at(w.candidate - 1u));
        exists = other.exists;
        step = unpack_pair(vectors[by16 + other.at]);
    }
    compare(w, 0u, 8u, PARTS_8, step, exists, expected);
    workgroupBarrier();
    var best = choose(Best(NONE, vec2<i32>(0)), w.slot, 6u);
    compare(w, 1u, 8u, PARTS_8, best.step + square_at(w.candidate), true, expected);
    workgroupBarrier();
    best = choose(best, w.slot + 8u, 8u);
    if w.exists && w.candidate == 0u && w.part == 0u {
        vectors[BY8_AT * superblocks() + w.row * grid_stride(8u) + w.col] = select(pack_pair(best.step), 0u, rests(8u, w.col, w.row));
    }
}
