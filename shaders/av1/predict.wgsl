// Prediction (twin: predict.rs; specification §7.11.2, §7.11.3).

// Tables of codecs/av1/gpu/tables.rs, one word an entry.
@group(0) @binding(8) var<storage, read> tables: array<i32>;

// Six taps by sixteenths of a sample, halved; then those for blocks of at most 4 samples.
const REGULAR: u32 = 0u;
const SHORT: u32 = 96u;
// Weights of the smooth modes: sides 4, 8, 16, 32, each at its side minus 4.
const SMOOTH: u32 = 192u;
// Scans (row after row positions in coding order): sides 4, 8, 16, 32.
const SCAN_4: u32 = 252u;
const SCAN_8: u32 = 268u;
const SCAN_16: u32 = 332u;
const SCAN_32: u32 = 588u;

fn scan_at(side: u32) -> u32 {
    switch side {
        case 4u: { return SCAN_4; }
        case 8u: { return SCAN_8; }
        case 16u: { return SCAN_16; }
        default: { return SCAN_32; }
    }
}

// Where a block's samples come from and between which of them they lie, in sixteenths.
struct Motion {
    x: i32,
    y: i32,
    across: u32,
    down: u32,
}

// The block at (x, y) of a plane, moved by `vector` (row, column, in eighths of a luma sample).
fn motion(x: u32, y: u32, vector: vec2<i32>, subsampled: bool) -> Motion {
    let scale = select(2, 1, subsampled);
    let at = vec2<i32>(i32(x) * 16 + vector.y * scale, i32(y) * 16 + vector.x * scale);
    return Motion(at.x >> 4u, at.y >> 4u, u32(at.x & 15), u32(at.y & 15));
}

// Four samples from number `begin` (0…3) of the first word on.
fn joined(first: u32, second: u32, begin: u32) -> u32 {
    if begin == 0u {
        return first;
    }
    return (first >> (begin * 8u)) | (second << (32u - begin * 8u));
}

// Any four of the twelve samples of three words.
fn picked(words: vec3<u32>, at: vec4<i32>) -> vec4<i32> {
    let low = select(vec4<u32>(words.x), vec4<u32>(words.y), at >= vec4<i32>(4));
    let word = select(low, vec4<u32>(words.z), at >= vec4<i32>(8));
    return vec4<i32>((word >> ((vec4<u32>(at) & vec4<u32>(3u)) * 8u)) & vec4<u32>(255u));
}

// Four neighbouring samples of row `row` of the block from column `column` on, filtered across: with 4 bits more where
// there is a filter. Rows run from -2 to side + 2 where there is a filter down.
fn filtered_across(plane: Plane, m: Motion, column: u32, row: i32, side: u32) -> vec4<i32> {
    let x = m.x + i32(column);
    let y = m.y + row;
    if m.across == 0u {
        return unpack_four(four_clamped(plane, x, y));
    }
    // Nine samples lie in three words; beyond the true size its last ones stand for those further out.
    let last = plane.width - 1;
    let first = clamp(x - 2, 0, last) & ~3;
    let at_row = plane.at + u32(clamp(y, 0, plane.height - 1)) * plane.stride;
    let at_word = vec3<i32>(first, min(vec2<i32>(first + 4, first + 8), vec2<i32>(last))) >> vec3<u32>(2u);
    let words = vec3<u32>(
        frames[at_row + u32(at_word.x)], frames[at_row + u32(at_word.y)], frames[at_row + u32(at_word.z)],
    );
    var a: vec4<i32>;
    var b: vec4<i32>;
    var c: i32;
    if x >= 2 && x + 6 <= last {
        let begin = u32(x - 2 - first);
        a = unpack_four(joined(words.x, words.y, begin));
        b = unpack_four(joined(words.y, words.z, begin));
        c = byte_of(words.z, begin);
    } else {
        let near = vec4<i32>(x - 2, x - 1, x, x + 1);
        a = picked(words, clamp(near, vec4<i32>(0), vec4<i32>(last)) - first);
        b = picked(words, clamp(near + 4, vec4<i32>(0), vec4<i32>(last)) - first);
        c = picked(words, vec4<i32>(clamp(x + 6, 0, last) - first)).x;
    }
    let at = select(REGULAR, SHORT, side <= 4u) + m.across * 6u;
    let sum = tables[at] * a
        + tables[at + 1u] * vec4<i32>(a.yzw, b.x)
        + tables[at + 2u] * vec4<i32>(a.zw, b.xy)
        + tables[at + 3u] * vec4<i32>(a.w, b.xyz)
        + tables[at + 4u] * b
        + tables[at + 5u] * vec4<i32>(b.yzw, c);
    return (sum + 2) >> vec4<u32>(2u);
}

// Six rows of what `filtered_across` returns, filtered down, as samples. Without a filter down only `c`, the row
// itself, counts.
fn filtered_down(
    m: Motion, side: u32,
    a: vec4<i32>, b: vec4<i32>, c: vec4<i32>, d: vec4<i32>, e: vec4<i32>, f: vec4<i32>,
) -> vec4<i32> {
    var value = c;
    if m.down != 0u {
        let at = select(REGULAR, SHORT, side <= 4u) + m.down * 6u;
        let sum = tables[at] * a + tables[at + 1u] * b + tables[at + 2u] * c
            + tables[at + 3u] * d + tables[at + 4u] * e + tables[at + 5u] * f;
        if m.across != 0u {
            value = (sum + 512) >> vec4<u32>(10u);
        } else {
            value = (sum + 32) >> vec4<u32>(6u);
        }
    } else if m.across != 0u {
        value = (c + 8) >> vec4<u32>(4u);
    }
    return clamp(value, vec4<i32>(0), vec4<i32>(255));
}

// Intra modes, numbered as in the specification.
const DC: u32 = 0u;
const V: u32 = 1u;
const H: u32 = 2u;
const SMOOTH_BOTH: u32 = 9u;
const SMOOTH_V: u32 = 10u;
const SMOOTH_H: u32 = 11u;
const PAETH: u32 = 12u;

// Four neighbouring samples of an intra prediction. `across` and `down` are the smooth weights of their columns and row,
// `above` and `left` the edge samples of those; `right` is the last one above, `bottom` the last one on the left, `mean`
// that of both edges.
fn intra_four(
    mode: u32, across: vec4<i32>, down: i32,
    above: vec4<i32>, left: i32, corner: i32, right: i32, bottom: i32, mean: i32,
) -> vec4<i32> {
    let vertical = down * above + (256 - down) * bottom;
    let horizontal = across * left + (256 - across) * right;
    switch mode {
        case V: { return above; }
        case H: { return vec4<i32>(left); }
        case SMOOTH_BOTH: { return (vertical + horizontal + 256) >> vec4<u32>(9u); }
        case SMOOTH_V: { return (vertical + 128) >> vec4<u32>(8u); }
        case SMOOTH_H: { return (horizontal + 128) >> vec4<u32>(8u); }
        case PAETH: {
            let to_left = abs(above - corner);
            let to_above = vec4<i32>(abs(left - corner));
            let to_corner = abs(above + left - 2 * corner);
            let upper = select(vec4<i32>(corner), above, to_above <= to_corner);
            return select(upper, vec4<i32>(left), (to_left <= to_above) & (to_left <= to_corner));
        }
        default: { return vec4<i32>(mean); }
    }
}

// The mean of the edges, from their sums.
fn intra_mean(side: u32, has_above: bool, has_left: bool, above: u32, left: u32) -> i32 {
    if has_above && has_left {
        return i32((above + left + side) / (2u * side));
    }
    if has_above {
        return i32((above + side / 2u) / side);
    }
    if has_left {
        return i32((left + side / 2u) / side);
    }
    return 128;
}
