// Mirror: left and right of a tight I420 picture exchanged.
//
// In:  `source`; `params`.
// Out: `target_words`, one word (four samples) an invocation.
// Workgroup: 64 × 1 × 1.

struct Params {
    luma: vec2<u32>,
    chroma: vec2<u32>,
}

@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> target_words: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn mirror(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let total = base(3u, params.luma, params.chroma);
    let first = linear(id, groups) * 4u;
    if first >= total {
        return;
    }
    var place = locate(first, params.luma, params.chroma);
    var word = 0u;
    for (var i = 0u; i < min(4u, total - first); i += 1u) {
        let width = select(params.chroma.x, params.luma.x, place.plane == 0u);
        let at = first + i - place.x + (width - 1u - place.x);
        word |= ((source[at >> 2u] >> ((at & 3u) * 8u)) & 255u) << (i * 8u);
        place = next(place, params.luma, params.chroma);
    }
    target_words[first / 4u] = word;
}
