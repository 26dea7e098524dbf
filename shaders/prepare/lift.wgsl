// Lift: luma through a tone curve, chroma by what the curve does to the luma around it.
//
// In:  `source`, tight I420; `curve`, for each luma code the code it becomes in the low byte and above it the gain of
//      chroma there with 8 fraction bits, made by the host; `params`.
// Out: `target_words`, one word (four samples) an invocation.
// Workgroup: 64 × 1 × 1.

struct Params {
    luma: vec2<u32>,
    chroma: vec2<u32>,
}

@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> target_words: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read> curve: array<u32>;

fn code(at: u32) -> u32 {
    return (source[at >> 2u] >> ((at & 3u) * 8u)) & 255u;
}

// The mean of the luma that a chroma sample covers, edges replicated, ties up.
fn luma_around(x: u32, y: u32) -> u32 {
    let left = 2u * x;
    let right = min(left + 1u, params.luma.x - 1u);
    let top = 2u * y * params.luma.x;
    let bottom = min(2u * y + 1u, params.luma.y - 1u) * params.luma.x;
    return (code(top + left) + code(top + right) + code(bottom + left) + code(bottom + right) + 2u) >> 2u;
}

@compute @workgroup_size(64)
fn lift(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let total = base(3u, params.luma, params.chroma);
    let first = linear(id, groups) * 4u;
    if first >= total {
        return;
    }
    var place = locate(first, params.luma, params.chroma);
    var word = 0u;
    for (var i = 0u; i < min(4u, total - first); i += 1u) {
        var value = code(first + i);
        if place.plane == 0u {
            value = curve[value] & 255u;
        } else {
            let gain = i32(curve[luma_around(place.x, place.y)] >> 8u);
            value = sample((i32(value) - 128) * gain + (128 << 8u) + 128, 8u);
        }
        word |= value << (i * 8u);
        place = next(place, params.luma, params.chroma);
    }
    target_words[first / 4u] = word;
}
