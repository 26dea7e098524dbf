// Convert: a packed or planar source to tight I420 of the same size.
//
// In:  `source`, bytes in the layout that `params.format` names; `params`, made once by the host.
// Out: `target_words`, one word (four samples) an invocation.
// Workgroup: 64 × 1 × 1.

struct Params {
    // Three input coefficients and the offset that holds rounding, for Y, U and V; fixed point.
    y: vec4<i32>,
    u: vec4<i32>,
    v: vec4<i32>,
    width: u32,
    height: u32,
    // 0 four bytes a pixel, 1 NV12, 2 I420, 3 YUY2.
    format: u32,
    // Fraction bits of the chroma rows: 16 and the logarithm of the samples summed.
    chroma_shift: u32,
}

@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> target_words: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

const LUMA_SHIFT: u32 = 16u;

fn byte(index: u32) -> i32 {
    return i32((source[index >> 2u] >> ((index & 3u) * 8u)) & 255u);
}

// The three components at luma position (x, y): R, G, B as stored, or Y and the chroma sample that covers it.
fn components(x: u32, y: u32) -> vec3<i32> {
    let w = params.width;
    let area = w * params.height;
    let cw = (w + 1u) / 2u;
    switch params.format {
        case 0u: {
            let word = source[y * w + x];
            return vec3<i32>(vec3<u32>(word, word >> 8u, word >> 16u) & vec3<u32>(255u));
        }
        case 1u: {
            let at = area + ((y / 2u) * cw + x / 2u) * 2u;
            return vec3<i32>(byte(y * w + x), byte(at), byte(at + 1u));
        }
        case 2u: {
            let at = area + (y / 2u) * cw + x / 2u;
            return vec3<i32>(byte(y * w + x), byte(at), byte(at + cw * ((params.height + 1u) / 2u)));
        }
        default: {
            let word = source[y * cw + x / 2u];
            let luma = select(word, word >> 16u, (x & 1u) == 1u);
            return vec3<i32>(vec3<u32>(luma, word >> 8u, word >> 24u) & vec3<u32>(255u));
        }
    }
}

fn apply(row: vec4<i32>, c: vec3<i32>) -> i32 {
    return row.x * c.x + row.y * c.y + row.z * c.z + row.w;
}

fn chroma(row: vec4<i32>, cx: u32, cy: u32) -> u32 {
    let x = cx * 2u;
    let y = cy * 2u;
    let below = min(y + 1u, params.height - 1u);
    var sum = components(x, y) + components(x, below);
    if params.format == 0u {
        let right = min(x + 1u, params.width - 1u);
        sum += components(right, y) + components(right, below);
    }
    return sample(apply(row, sum), params.chroma_shift);
}

@compute @workgroup_size(64)
fn convert(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let luma_extent = vec2<u32>(params.width, params.height);
    let chroma_extent = (luma_extent + 1u) / 2u;
    let total = luma_extent.x * luma_extent.y + 2u * chroma_extent.x * chroma_extent.y;
    let first = linear(id, groups) * 4u;
    if first >= total {
        return;
    }
    var place = locate(first, luma_extent, chroma_extent);
    var word = 0u;
    for (var i = 0u; i < min(4u, total - first); i += 1u) {
        var value: u32;
        switch place.plane {
            case 0u: { value = sample(apply(params.y, components(place.x, place.y)), LUMA_SHIFT); }
            case 1u: { value = chroma(params.u, place.x, place.y); }
            default: { value = chroma(params.v, place.x, place.y); }
        }
        word |= value << (i * 8u);
        place = next(place, luma_extent, chroma_extent);
    }
    target_words[first / 4u] = word;
}
