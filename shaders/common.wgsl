// Functions that every stage shares. This text stands in front of each stage's own.
//
// Samples are bytes, four to a u32, the first in the low byte. A 4:2:0 picture is tight: luma rows, then the rows of
// U, then those of V, with no padding anywhere; planes and rows may begin inside a word.

// Invocations of a workgroup; every stage is one-dimensional.
const GROUP: u32 = 64u;

// Number of this invocation, where the host spread the groups over two dimensions.
fn linear(id: vec3<u32>, groups: vec3<u32>) -> u32 {
    return id.y * groups.x * GROUP + id.x;
}

// Where a sample of a 4:2:0 picture stands: its plane (0 Y, 1 U, 2 V), column and row.
struct Place {
    plane: u32,
    x: u32,
    y: u32,
}

// The place of sample `index` of a tight picture whose luma is `luma` and whose chroma planes are `chroma` (columns,
// rows).
fn locate(index: u32, luma: vec2<u32>, chroma: vec2<u32>) -> Place {
    let first = luma.x * luma.y;
    if index < first {
        return Place(0u, index % luma.x, index / luma.x);
    }
    let rest = index - first;
    let second = chroma.x * chroma.y;
    let plane = select(1u, 2u, rest >= second);
    let inside = select(rest, rest - second, rest >= second);
    return Place(plane, inside % chroma.x, inside / chroma.x);
}

// Index of the first sample of a plane in a tight picture.
fn base(plane: u32, luma: vec2<u32>, chroma: vec2<u32>) -> u32 {
    return min(plane, 1u) * luma.x * luma.y + (max(plane, 1u) - 1u) * chroma.x * chroma.y;
}

// The place after `place` in storage order.
fn next(place: Place, luma: vec2<u32>, chroma: vec2<u32>) -> Place {
    var p = place;
    let extent = select(chroma, luma, p.plane == 0u);
    p.x += 1u;
    if p.x == extent.x {
        p.x = 0u;
        p.y += 1u;
    }
    if p.y == extent.y {
        p.y = 0u;
        p.plane += 1u;
    }
    return p;
}

// Rounded fixed point to a sample.
fn sample(value: i32, shift: u32) -> u32 {
    return u32(clamp(value >> shift, 0, 255));
}
