
// Quarter-sample motion (twin: subpel.rs). A workgroup refines the vectors of one block or a few. The samples around a
// block come into workgroup memory once; then eight candidates are compared at a time, by one invocation or several
// that share the rows: the four sides and the four diagonals of a centre, of which only those count that the twin would
// have tried.

@group(0) @binding(1) var<storage, read> frames: array<u32>;
@group(0) @binding(3) var<storage, read_write> vectors: array<u32>;

// Invocations to a candidate of each size; the host counts the workgroups accordingly.
const PARTS_8: u32 = 1u;
const PARTS_16: u32 = 2u;
const PARTS_32: u32 = 8u;

// The reference from one sample to the left of a block and one above it on: side + 2 rows of side / 4 + 1 words, eight
// times for 8×8, four times for 16×16, once for 32×32.
var<workgroup> window: array<u32, 360>;
// The blocks themselves.
var<workgroup> block: array<u32, 256>;
// What the candidates cost: eight half a sample away, eight a quarter, and the whole-sample vector.
var<workgroup> sums: array<atomic<u32>, 136>;
const SLOTS: u32 = 17u;

// Sides, then diagonals: of the left, of the right.
fn direction(i: u32) -> vec2<i32> {
    switch i {
        case 0u: { return vec2<i32>(-1, 0); }
        case 1u: { return vec2<i32>(1, 0); }
        case 2u: { return vec2<i32>(0, -1); }
        case 3u: { return vec2<i32>(0, 1); }
        case 4u: { return vec2<i32>(-1, -1); }
        case 5u: { return vec2<i32>(-1, 1); }
        case 6u: { return vec2<i32>(1, -1); }
        default: { return vec2<i32>(1, 1); }
    }
}

// Where a block lies in workgroup memory, and the part of its rows that an invocation sums.
struct Place {
    window: u32,
    block: u32,
    part: u32,
}

// Compares a candidate, `offset` (x, y) in eighths away from the whole-sample position `to`.
fn compare(place: Place, slot: u32, side: u32, parts: u32, to: vec2<i32>, offset: vec2<i32>) {
    let floor = offset >> vec2<u32>(3u);
    let at = to + floor;
    let size = vec2<i32>(i32(params.width), i32(params.height));
    let possible = inside(size, at, REACH);
    let fraction = vec2<u32>(offset & vec2<i32>(7)) / 2u;
    let left = 4u - fraction.x;
    let above = 4u - fraction.y;
    let words = side / 4u;
    let stride = words + 1u;
    // The window begins one sample and one row earlier.
    let shift = u32(floor.x + 1) * 8u;
    let count = side / parts;
    let first = place.part * count;
    var sum = 0u;
    for (var x = 0u; x < words; x += 2u) {
        var word = place.window + (first + u32(floor.y + 1)) * stride + x;
        var source = place.block + first * words + x;
        // Eight samples of the row before, blended across: even and odd ones of either word.
        var before = vec4<u32>(0u);
        for (var y = 0u; y <= count; y += 1u) {
            let low = window[word];
            let middle = window[word + 1u];
            let high = window[word + 2u];
            let a = vec2<u32>(between(low, middle, shift), between(middle, high, shift));
            let b = vec2<u32>(between(low, middle, shift + 8u), between(middle, high, shift + 8u));
            let row = (vec4<u32>(a, a >> vec2<u32>(8u)) & vec4<u32>(HALVES)) * left
                + (vec4<u32>(b, b >> vec2<u32>(8u)) & vec4<u32>(HALVES)) * fraction.x;
            if y > 0u {
                let blend = ((before * above + row * fraction.y + 0x00080008u) >> vec4<u32>(4u)) & vec4<u32>(HALVES);
                sum += difference(block[source], blend.x | (blend.z << 8u));
                sum += difference(block[source + 1u], blend.y | (blend.w << 8u));
                source += words;
            }
            before = row;
            word += stride;
        }
    }
    var cost = total(sum);
    if place.part == 0u {
        let bits = select(0u, 2u, fraction.x != 0u) + select(0u, 2u, fraction.y != 0u);
        cost += select(NONE, (bits * params.vector_bit) >> 4u, possible);
    }
    atomicAdd(&sums[slot], cost);
}

// The best offset so far.
struct Best {
    cost: u32,
    offset: vec2<i32>,
}

// The same after the eight slots from `first` on: a barrier stands in front.
fn choose(before: Best, first: u32, distance: i32) -> Best {
    var cost = before.cost;
    var step = vec2<i32>(0);
    for (var i = 0u; i < 4u; i += 1u) {
        let sum = atomicLoad(&sums[first + i]);
        if sum < cost {
            cost = sum;
            step = direction(i);
        }
    }
    // Where a side helped, so may the diagonals next to it.
    let side = step;
    for (var i = 4u; i < 8u; i += 1u) {
        let diagonal = direction(i);
        let next_to = (side.x != 0 && side.x == diagonal.x) || (side.y != 0 && side.y == diagonal.y);
        let sum = atomicLoad(&sums[first + i]);
        if next_to && sum < cost {
            cost = sum;
            step = diagonal;
        }
    }
    return Best(cost, before.offset + step * distance);
}

// Refines the blocks of one workgroup, each with `parts` invocations to a candidate.
fn refine(side: u32, parts: u32, whole_at: u32, group: u32, lane: u32) {
    let blocks = grid(side);
    // The block's invocations, and this one among them. Beyond the last block that one is refined again, for nothing.
    let share = 8u * parts;
    let local = lane / share;
    let mate = lane % share;
    let number = group * (8u / parts) + local;
    let last = blocks.x * blocks.y - 1u;
    let col = min(number, last) % blocks.x;
    let row = min(number, last) / blocks.x;
    let own = row * grid_stride(side) + col;
    let whole = unpack_pair(vectors[whole_at * superblocks() + own]);
    let at = vec2<i32>(i32(col * side), i32(row * side));
    let to = at + whole;
    let source = plane_of(SOURCE, 0u);
    let reference = plane_of(params.last, 0u);
    let words = side / 4u;
    let stride = words + 1u;
    let place = Place(local * (side + 2u) * stride, local * side * words, mate % parts);
    for (var i = mate; i < (side + 2u) * stride; i += share) {
        let y = clamp(to.y - 1 + i32(i / stride), 0, reference.height - 1);
        let line = reference.at + u32(y) * reference.stride;
        let four = place_in(to.x - 1 + i32(i % stride) * 4, reference.width);
        let low = frames[line + u32(four.x) / 4u];
        let high = frames[line + u32(four.x + 3) / 4u];
        window[place.window + i] = moved(between(low, high, (u32(four.x) & 3u) * 8u), four.y);
    }
    for (var i = mate; i < side * words; i += share) {
        block[place.block + i] = frames[word_at(source, u32(at.x) + i % words * 4u, u32(at.y) + i / words)];
    }
    workgroupBarrier();
    // The vector itself, by all invocations of the block.
    var sum = 0u;
    for (var i = mate; i < side * words; i += share) {
        let word = place.window + (i / words + 1u) * stride + i % words;
        sum += difference(block[place.block + i], between(window[word], window[word + 1u], 8u));
    }
    let slot = local * SLOTS;
    atomicAdd(&sums[slot + 16u], total(sum));
    let candidate = mate / parts;
    compare(place, slot + candidate, side, parts, to, direction(candidate) * 4);
    workgroupBarrier();
    let size = vec2<i32>(i32(params.width), i32(params.height));
    let possible = inside(size, to, REACH);
    let start = Best(select(NONE, atomicLoad(&sums[slot + 16u]), possible), vec2<i32>(0));
    let half = choose(start, slot, 4);
    compare(place, slot + 8u + candidate, side, parts, to, half.offset + direction(candidate) * 2);
    workgroupBarrier();
    let best = choose(half, slot + 8u, 2);
    if number <= last && mate == 0u {
        // A vector is row, then column.
        let vector = vec2<i32>(whole.y * 8 + best.offset.y, whole.x * 8 + best.offset.x);
        vectors[fine_at(side) + own] = select(pack_pair(vector), 0u, rests(side, col, row));
    }
}

@compute @workgroup_size(64)
fn refine8(
    @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = grid(8u);
    let group = linear_group(id, groups);
    if group * (8u / PARTS_8) >= blocks.x * blocks.y {
        return;
    }
    refine(8u, PARTS_8, BY8_AT, group, lane);
}

@compute @workgroup_size(64)
fn refine16(
    @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = grid(16u);
    let group = linear_group(id, groups);
    if group * (8u / PARTS_16) >= blocks.x * blocks.y {
        return;
    }
    refine(16u, PARTS_16, BY16_AT, group, lane);
}

@compute @workgroup_size(64)
fn refine32(
    @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = grid(32u);
    let group = linear_group(id, groups);
    if group * (8u / PARTS_32) >= blocks.x * blocks.y {
        return;
    }
    refine(32u, PARTS_32, BY32_AT, group, lane);
}
