// Denoise: each sample becomes the mean of its own past for as long as nothing moves there.
//
// In:  `source`, tight I420; `before`, what is remembered of each sample: two to a word, the mean so far with 4 fraction
//      bits in the upper 12 bits of a half, the number of pictures in it in the lower 4; `params`, made by the host.
// Out: `target_words`, one word (four samples) an invocation; `after`, what is remembered next.
// Workgroup: 64 × 1 × 1.

struct Params {
    luma: vec2<u32>,
    chroma: vec2<u32>,
    // For luma and for chroma: the difference at which the gate begins to shut, and how steeply it does.
    begin: vec2<i32>,
    slope: vec2<i32>,
    // Most pictures that count.
    most: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> target_words: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read> before: array<u32>;
@group(0) @binding(4) var<storage, read_write> after: array<u32>;

fn memory(at: u32) -> u32 {
    return (before[at >> 1u] >> ((at & 1u) * 16u)) & 0xffffu;
}

// How far the picture is from what is remembered, with 4 fraction bits.
fn difference(at: u32) -> i32 {
    return i32(((source[at >> 2u] >> ((at & 3u) * 8u)) & 255u) << 4u) - i32(memory(at) >> 4u);
}

// What a sample is remembered as from now on; twin: `denoise::Denoise`.
fn remember(place: Place) -> u32 {
    let luma = place.plane == 0u;
    let extent = select(params.chroma, params.luma, luma);
    let first = base(place.plane, params.luma, params.chroma);
    let last = vec2<i32>(extent) - 1;
    var sum = 0;
    var size = 0;
    var counts = 0u;
    for (var dy = -1; dy <= 1; dy += 1) {
        let row = first + u32(clamp(i32(place.y) + dy, 0, last.y)) * extent.x;
        for (var dx = -1; dx <= 1; dx += 1) {
            let there = row + u32(clamp(i32(place.x) + dx, 0, last.x));
            let d = difference(there);
            sum += d;
            size += abs(d);
            counts += memory(there) & 15u;
        }
    }
    let at = first + place.y * extent.x + place.x;
    let own = difference(at);
    let moved = max(max(3 * abs(own), size), abs(sum) + (abs(sum) >> 2u));
    let begin = select(params.begin.y, params.begin.x, luma);
    let slope = select(params.slope.y, params.slope.x, luma);
    let shut = clamp(((moved - begin) * slope) >> 8u, 0, 256);
    let past = memory(at);
    // No more than those around it have on average: a ninth, for sums up to 135.
    let known = min(past & 15u, (counts * 57u) >> 9u);
    let kept = (known * u32(256 - shut)) >> 8u;
    let weight = i32((256u + (kept + 1u) / 2u) / (kept + 1u));
    let value = i32(past >> 4u) + ((own * weight + 128) >> 8u);
    return (u32(value) << 4u) | min(kept + 1u, params.most);
}

@compute @workgroup_size(64)
fn denoise(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let total = base(3u, params.luma, params.chroma);
    let first = linear(id, groups) * 4u;
    if first >= total {
        return;
    }
    var place = locate(first, params.luma, params.chroma);
    var word = 0u;
    var memories = vec2<u32>(0u);
    for (var i = 0u; i < min(4u, total - first); i += 1u) {
        let value = remember(place);
        word |= ((value + 128u) >> 8u) << (i * 8u);
        memories[i >> 1u] |= value << ((i & 1u) * 16u);
        place = next(place, params.luma, params.chroma);
    }
    target_words[first / 4u] = word;
    after[first / 2u] = memories.x;
    after[first / 2u + 1u] = memories.y;
}
