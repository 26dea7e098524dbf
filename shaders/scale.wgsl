// Scale: a part of a tight I420 picture to a part of one of another size, rows first (`vertical`), then columns
// (`horizontal`). Around that part of the target are bars.
//
// In:  `source`, the picture; `tables`, for each axis the first tap of every output and then `taps` weights of every
//      output (Q14, their sum 16384); `params`, made once by the host.
// Mid: `middle`, columns of the part of the source × rows of the part of the target of each plane, one i32 a sample with 6 fraction bits.
// Out: `target_words`, one word (four samples) an invocation of `horizontal`.
// Workgroup: 64 × 1 × 1.

struct Axis {
    // Index in `tables` of the first taps, and of the weights.
    starts: u32,
    weights: u32,
    // Weights an output.
    taps: u32,
    pad: u32,
}

struct Params {
    source_luma: vec2<u32>,
    source_chroma: vec2<u32>,
    target_luma: vec2<u32>,
    target_chroma: vec2<u32>,
    // The part of the source that is seen, and the part of the target that it fills: x, y, width, height.
    crop_luma: vec4<u32>,
    crop_chroma: vec4<u32>,
    inside_luma: vec4<u32>,
    inside_chroma: vec4<u32>,
    // What the bars are made of: luma, chroma.
    bars: vec4<u32>,
    // Columns of luma and chroma, rows of luma and chroma.
    columns: array<Axis, 2>,
    rows: array<Axis, 2>,
}

@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> target_words: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read> tables: array<i32>;
@group(0) @binding(4) var<storage, read_write> middle: array<i32>;

// Fraction bits dropped after the rows (14 in, 6 kept) and after the columns (the 6 and 14 more).
const ROW_SHIFT: u32 = 8u;
const COLUMN_SHIFT: u32 = 20u;

@compute @workgroup_size(64)
fn vertical(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let luma = vec2<u32>(params.crop_luma.z, params.inside_luma.w);
    let chroma = vec2<u32>(params.crop_chroma.z, params.inside_chroma.w);
    let index = linear(id, groups);
    if index >= luma.x * luma.y + 2u * chroma.x * chroma.y {
        return;
    }
    let place = locate(index, luma, chroma);
    let axis = params.rows[min(place.plane, 1u)];
    let crop = select(params.crop_chroma, params.crop_luma, place.plane == 0u);
    let stride = select(params.source_chroma.x, params.source_luma.x, place.plane == 0u);
    var at = base(place.plane, params.source_luma, params.source_chroma)
        + (crop.y + u32(tables[axis.starts + place.y])) * stride + crop.x + place.x;
    var sum = 1 << (ROW_SHIFT - 1u);
    for (var tap = 0u; tap < axis.taps; tap += 1u) {
        let value = (source[at >> 2u] >> ((at & 3u) * 8u)) & 255u;
        sum += tables[axis.weights + place.y * axis.taps + tap] * i32(value);
        at += stride;
    }
    middle[index] = sum >> ROW_SHIFT;
}

@compute @workgroup_size(64)
fn horizontal(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let luma = params.target_luma;
    let chroma = params.target_chroma;
    let middle_luma = vec2<u32>(params.crop_luma.z, params.inside_luma.w);
    let middle_chroma = vec2<u32>(params.crop_chroma.z, params.inside_chroma.w);
    let total = luma.x * luma.y + 2u * chroma.x * chroma.y;
    let first = linear(id, groups) * 4u;
    if first >= total {
        return;
    }
    var place = locate(first, luma, chroma);
    var word = 0u;
    for (var i = 0u; i < min(4u, total - first); i += 1u) {
        let inside = select(params.inside_chroma, params.inside_luma, place.plane == 0u);
        // Left of it and above it the difference wraps to something large.
        let x = place.x - inside.x;
        let y = place.y - inside.y;
        var value = select(params.bars.y, params.bars.x, place.plane == 0u);
        if x < inside.z && y < inside.w {
            let axis = params.columns[min(place.plane, 1u)];
            let stride = select(middle_chroma.x, middle_luma.x, place.plane == 0u);
            let at = base(place.plane, middle_luma, middle_chroma) + y * stride + u32(tables[axis.starts + x]);
            var sum = 1 << (COLUMN_SHIFT - 1u);
            for (var tap = 0u; tap < axis.taps; tap += 1u) {
                sum += tables[axis.weights + x * axis.taps + tap] * middle[at + tap];
            }
            value = sample(sum, COLUMN_SHIFT);
        }
        word |= value << (i * 8u);
        place = next(place, luma, chroma);
    }
    target_words[first / 4u] = word;
}
