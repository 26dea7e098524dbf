
// Quarter-sample motion (twin: subpel.rs). A workgroup refines the vector of one block. The samples around it come into
// workgroup memory once; then eight candidates are compared at a time, eight invocations each: the four sides and the
// four diagonals of a centre, of which only those count that the twin would have tried.

@group(0) @binding(1) var<storage, read> frames: array<u32>;
@group(0) @binding(3) var<storage, read_write> vectors: array<u32>;

// Where the vectors begin, by superblock: whole samples, then eighths.
const BY16_AT: u32 = 5u;
const BY32_AT: u32 = 21u;
const BY8_AT: u32 = 25u;
const FINE8_AT: u32 = 89u;
const FINE16_AT: u32 = 153u;
const FINE32_AT: u32 = 169u;

// A block at full scale begins at most so many samples before the plane.
const REACH: i32 = 80;
// More than any cost.
const NONE: u32 = 0x40000000u;

// The reference from one sample to the left of the block and one above it on: side + 2 rows of side / 4 + 1 words.
var<workgroup> window: array<u32, 306>;
// The block itself.
var<workgroup> block: array<u32, 256>;
// What the candidates cost: eight half a sample away, eight a quarter, and the whole-sample vector.
var<workgroup> sums: array<atomic<u32>, 17>;

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

// Compares a candidate, `offset` (x, y) in eighths away from the whole-sample position `to`.
fn compare(slot: u32, part: u32, side: u32, to: vec2<i32>, offset: vec2<i32>) {
    let floor = offset >> vec2<u32>(3u);
    let at = to + floor;
    let size = vec2<i32>(i32(params.width), i32(params.height));
    // As `inside` of search.wgsl.
    let possible = all(at >= vec2<i32>(-REACH)) && all(at <= size + (REACH / 5 - 1));
    let fraction = vec2<u32>(offset & vec2<i32>(7)) / 2u;
    let left = 4u - fraction.x;
    let above = 4u - fraction.y;
    let words = side / 4u;
    let stride = words + 1u;
    // The window begins one sample and one row earlier.
    let shift = u32(floor.x + 1) * 8u;
    let count = side / 8u;
    let first = part * count;
    var sum = 0u;
    for (var x = 0u; x < words; x += 1u) {
        // Even and odd samples of a row, each blended across.
        var even = vec2<u32>(0u);
        var odd = vec2<u32>(0u);
        for (var y = 0u; y <= count; y += 1u) {
            let word = (first + y + u32(floor.y + 1)) * stride + x;
            let low = window[word];
            let high = window[word + 1u];
            let a = between(low, high, shift);
            let b = between(low, high, shift + 8u);
            even.y = (a & HALVES) * left + (b & HALVES) * fraction.x;
            odd.y = ((a >> 8u) & HALVES) * left + ((b >> 8u) & HALVES) * fraction.x;
            if y > 0u {
                let source = block[(first + y - 1u) * words + x];
                let even_blend = ((even.x * above + even.y * fraction.y + 0x00080008u) >> 4u) & HALVES;
                let odd_blend = ((odd.x * above + odd.y * fraction.y + 0x00080008u) >> 4u) & HALVES;
                sum += difference_of_halves(source & HALVES, even_blend)
                    + difference_of_halves((source >> 8u) & HALVES, odd_blend);
            }
            even.x = even.y;
            odd.x = odd.y;
        }
    }
    var cost = total(sum);
    if part == 0u {
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

fn refine(side: u32, whole_at: u32, fine_at: u32, number: u32, lane: u32) {
    let blocks = grid(side);
    let col = number % blocks.x;
    let row = number / blocks.x;
    let own = row * grid_stride(side) + col;
    let whole = unpack_pair(vectors[whole_at * superblocks() + own]);
    let at = vec2<i32>(i32(col * side), i32(row * side));
    let to = at + whole;
    let source = plane_of(SOURCE, 0u);
    let reference = plane_of(params.last, 0u);
    let words = side / 4u;
    let stride = words + 1u;
    for (var i = lane; i < (side + 2u) * stride; i += GROUP) {
        let y = clamp(to.y - 1 + i32(i / stride), 0, reference.height - 1);
        let line = reference.at + u32(y) * reference.stride;
        let place = place_in(to.x - 1 + i32(i % stride) * 4, reference.width);
        let low = frames[line + u32(place.x) / 4u];
        let high = frames[line + u32(place.x + 3) / 4u];
        window[i] = moved(between(low, high, (u32(place.x) & 3u) * 8u), place.y);
    }
    for (var i = lane; i < side * words; i += GROUP) {
        block[i] = frames[word_at(source, u32(at.x) + i % words * 4u, u32(at.y) + i / words)];
    }
    workgroupBarrier();
    // The vector itself, by all invocations.
    var sum = 0u;
    for (var i = lane; i < side * words; i += GROUP) {
        let word = (i / words + 1u) * stride + i % words;
        sum += difference(block[i], between(window[word], window[word + 1u], 8u));
    }
    atomicAdd(&sums[16], total(sum));
    let candidate = lane >> 3u;
    let part = lane & 7u;
    compare(candidate, part, side, to, direction(candidate) * 4);
    workgroupBarrier();
    let size = vec2<i32>(i32(params.width), i32(params.height));
    let possible = all(to >= vec2<i32>(-REACH)) && all(to <= size + (REACH / 5 - 1));
    let start = Best(select(NONE, atomicLoad(&sums[16]), possible), vec2<i32>(0));
    let half = choose(start, 0u, 4);
    compare(8u + candidate, part, side, to, half.offset + direction(candidate) * 2);
    workgroupBarrier();
    let best = choose(half, 8u, 2);
    if lane == 0u {
        // A vector is row, then column.
        let vector = vec2<i32>(whole.y * 8 + best.offset.y, whole.x * 8 + best.offset.x);
        vectors[fine_at * superblocks() + own] = pack_pair(vector);
    }
}

@compute @workgroup_size(64)
fn refine8(
    @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = grid(8u);
    let number = linear_group(id, groups);
    if number >= blocks.x * blocks.y {
        return;
    }
    refine(8u, BY8_AT, FINE8_AT, number, lane);
}

@compute @workgroup_size(64)
fn refine16(
    @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = grid(16u);
    let number = linear_group(id, groups);
    if number >= blocks.x * blocks.y {
        return;
    }
    refine(16u, BY16_AT, FINE16_AT, number, lane);
}

@compute @workgroup_size(64)
fn refine32(
    @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = grid(32u);
    let number = linear_group(id, groups);
    if number >= blocks.x * blocks.y {
        return;
    }
    refine(32u, BY32_AT, FINE32_AT, number, lane);
}
