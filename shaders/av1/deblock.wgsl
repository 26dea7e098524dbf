// Deblocking, in place (twin: deblock.rs; specification §7.14).
//
// An invocation smooths four samples along one edge, a lane of the vectors each; luma is filtered in such runs, as far
// as they begin inside the true size. Edges of one direction read nothing that others of it write. Vertical edges of luma
// share no words either: beyond 8 taps are used only between blocks of at least 16. Those of chroma may be four samples
// apart and share a word, so every other one waits for `vertical_odd`.

@group(0) @binding(1) var<storage, read_write> frames: array<u32>;
@group(0) @binding(5) var<storage, read> blocks: array<u32>;

// What a level allows (§7.14.4), sharpness 0.
struct Limits {
    inner: i32,
    edge: i32,
    thresh: i32,
}

fn limits_of(level: u32) -> Limits {
    let l = i32(level);
    return Limits(l, 3 * l + 4, l >> 4u);
}

// Without a level for luma nothing is filtered, chroma included.
fn is_off() -> bool {
    return (params.deblock_vertical | params.deblock_horizontal) == 0u;
}

fn chroma_level(plane: u32) -> u32 {
    return select(params.deblock_v, params.deblock_u, plane == 1u);
}

fn side_at(row: u32, col: u32) -> u32 {
    return side_of(blocks[2u * (row * cell_stride() + col)]);
}

// The smaller side of the blocks before and after the vertical edge on the left of a cell; 0 where there is no edge:
// blocks lie on multiples of their side.
fn vertical_side(row: u32, col: u32) -> u32 {
    let side = side_at(row, col);
    if col == 0u || (col * 8u) % side != 0u {
        return 0u;
    }
    return min(side, side_at(row, col - 1u));
}

// The same for the horizontal edge above a cell.
fn horizontal_side(row: u32, col: u32) -> u32 {
    let side = side_at(row, col);
    if row == 0u || (row * 8u) % side != 0u {
        return 0u;
    }
    return min(side, side_at(row - 1u, col));
}

// Taps across an edge, of four samples along it: p7 … p0, q0 … q7.

fn away(a: vec4<i32>, b: vec4<i32>) -> vec4<i32> {
    return abs(a - b);
}

// The filter mask (§7.14.6.2) from the greatest steps between neighbours on both sides.
fn passing(
    limits: Limits, step: vec4<i32>, p1: vec4<i32>, p0: vec4<i32>, q0: vec4<i32>, q1: vec4<i32>,
) -> vec4<bool> {
    let edge = 2 * away(p0, q0) + (away(p1, q1) >> vec4<u32>(1u));
    return (step <= vec4<i32>(limits.inner)) & (edge <= vec4<i32>(limits.edge));
}

fn signed_byte(value: vec4<i32>) -> vec4<i32> {
    return clamp(value, vec4<i32>(-128), vec4<i32>(127));
}

fn sample(value: vec4<i32>) -> vec4<i32> {
    return clamp(value, vec4<i32>(0), vec4<i32>(255));
}

// The narrow filter (§7.14.6.3) on the four inner taps, where `passes` allows it.
fn sharpen(t: ptr<function, array<vec4<i32>, 16>>, high: vec4<bool>, passes: vec4<bool>) {
    let p1 = (*t)[6];
    let p0 = (*t)[7];
    let q0 = (*t)[8];
    let q1 = (*t)[9];
    let none = vec4<i32>(0);
    let outer = select(none, signed_byte(p1 - q1), high);
    let step = select(none, signed_byte(outer + 3 * (q0 - p0)), passes);
    // Zero without a step, as is what follows from it.
    let down = signed_byte(step + 4) >> vec4<u32>(3u);
    let up = signed_byte(step + 3) >> vec4<u32>(3u);
    let sides = select((down + 1) >> vec4<u32>(1u), none, high);
    (*t)[6] = sample(p1 + sides);
    (*t)[7] = sample(p0 + up);
    (*t)[8] = sample(q0 - down);
    (*t)[9] = sample(q1 - sides);
}

fn eighth(sum: vec4<i32>) -> vec4<i32> {
    return sum >> vec4<u32>(3u);
}

fn sixteenth(sum: vec4<i32>) -> vec4<i32> {
    return sum >> vec4<u32>(4u);
}

// Edges of luma blocks: up to 8 taps where one of them is 8 wide, otherwise up to 13. False where no lane was to be
// filtered.
fn filter_luma(t: ptr<function, array<vec4<i32>, 16>>, long: bool, limits: Limits) -> bool {
    let p3 = (*t)[4];
    let p2 = (*t)[5];
    let p1 = (*t)[6];
    let p0 = (*t)[7];
    let q0 = (*t)[8];
    let q1 = (*t)[9];
    let q2 = (*t)[10];
    let q3 = (*t)[11];
    let near = max(away(p1, p0), away(q1, q0));
    let far = max(max(away(p2, p1), away(q2, q1)), max(away(p3, p2), away(q3, q2)));
    let passes = passing(limits, max(near, far), p1, p0, q0, q1);
    if !any(passes) {
        return false;
    }
    let spread = max(max(away(p2, p0), away(q2, q0)), max(away(p3, p0), away(q3, q0)));
    let flat = passes & (max(near, spread) <= vec4<i32>(1));
    sharpen(t, near > vec4<i32>(limits.thresh), passes);
    if !any(flat) {
        return true;
    }
    // A window that slides over taps repeated at both ends; the middle one counts twice.
    var sum = 3 * p3 + p2 + p1 + p0 + q0 + 4;
    (*t)[5] = select(p2, eighth(sum + p2), flat);
    sum += q1 - p3;
    (*t)[6] = select((*t)[6], eighth(sum + p1), flat);
    sum += q2 - p3;
    (*t)[7] = select((*t)[7], eighth(sum + p0), flat);
    sum += q3 - p3;
    (*t)[8] = select((*t)[8], eighth(sum + q0), flat);
    sum += q3 - p2;
    (*t)[9] = select((*t)[9], eighth(sum + q1), flat);
    sum += q3 - p1;
    (*t)[10] = select(q2, eighth(sum + q2), flat);
    if !long {
        return true;
    }
    let p6 = (*t)[1];
    let p5 = (*t)[2];
    let p4 = (*t)[3];
    let q4 = (*t)[12];
    let q5 = (*t)[13];
    let q6 = (*t)[14];
    let outer = max(max(max(away(p4, p0), away(q4, q0)), max(away(p5, p0), away(q5, q0))),
        max(away(p6, p0), away(q6, q0)));
    let wide = flat & (outer <= vec4<i32>(1));
    if !any(wide) {
        return true;
    }
    // Likewise; the middle three count twice.
    sum = 6 * p6 + p5 + p4 + p3 + p2 + p1 + p0 + q0 + 8;
    (*t)[2] = select(p5, sixteenth(sum + p6 + p5 + p4), wide);
    sum += q1 - p6;
    (*t)[3] = select(p4, sixteenth(sum + p5 + p4 + p3), wide);
    sum += q2 - p6;
    (*t)[4] = select(p3, sixteenth(sum + p4 + p3 + p2), wide);
    sum += q3 - p6;
    (*t)[5] = select((*t)[5], sixteenth(sum + p3 + p2 + p1), wide);
    sum += q4 - p6;
    (*t)[6] = select((*t)[6], sixteenth(sum + p2 + p1 + p0), wide);
    sum += q5 - p6;
    (*t)[7] = select((*t)[7], sixteenth(sum + p1 + p0 + q0), wide);
    sum += q6 - p6;
    (*t)[8] = select((*t)[8], sixteenth(sum + p0 + q0 + q1), wide);
    sum += q6 - p5;
    (*t)[9] = select((*t)[9], sixteenth(sum + q0 + q1 + q2), wide);
    sum += q6 - p4;
    (*t)[10] = select((*t)[10], sixteenth(sum + q1 + q2 + q3), wide);
    sum += q6 - p3;
    (*t)[11] = select(q3, sixteenth(sum + q2 + q3 + q4), wide);
    sum += q6 - p2;
    (*t)[12] = select(q4, sixteenth(sum + q3 + q4 + q5), wide);
    sum += q6 - p1;
    (*t)[13] = select(q5, sixteenth(sum + q4 + q5 + q6), wide);
    return true;
}

// Edges of chroma blocks: up to 6 taps, beside blocks of 4 only the narrow filter. False where no lane was to be
// filtered.
fn filter_chroma(t: ptr<function, array<vec4<i32>, 16>>, six: bool, limits: Limits) -> bool {
    let p2 = (*t)[5];
    let p1 = (*t)[6];
    let p0 = (*t)[7];
    let q0 = (*t)[8];
    let q1 = (*t)[9];
    let q2 = (*t)[10];
    let near = max(away(p1, p0), away(q1, q0));
    var step = near;
    if six {
        step = max(near, max(away(p2, p1), away(q2, q1)));
    }
    let passes = passing(limits, step, p1, p0, q0, q1);
    if !any(passes) {
        return false;
    }
    sharpen(t, near > vec4<i32>(limits.thresh), passes);
    let spread = max(near, max(away(p2, p0), away(q2, q0)));
    let flat = passes & (spread <= vec4<i32>(1));
    if !six || !any(flat) {
        return true;
    }
    // As for luma; the middle three count twice.
    var sum = 2 * p2 + p1 + p0 + q0 + 4;
    (*t)[6] = select((*t)[6], eighth(sum + p2 + p1 + p0), flat);
    sum += q1 - p2;
    (*t)[7] = select((*t)[7], eighth(sum + p1 + p0 + q0), flat);
    sum += q2 - p2;
    (*t)[8] = select((*t)[8], eighth(sum + p0 + q0 + q1), flat);
    sum += q2 - p1;
    (*t)[9] = select((*t)[9], eighth(sum + q0 + q1 + q2), flat);
    return true;
}

// Words below each other, four rows of a column of words: four taps of four samples along a vertical edge.
fn four_rows(at: u32, stride: u32) -> vec4<u32> {
    return vec4<u32>(frames[at], frames[at + stride], frames[at + 2u * stride], frames[at + 3u * stride]);
}

fn put_rows(at: u32, stride: u32, a: vec4<i32>, b: vec4<i32>, c: vec4<i32>, d: vec4<i32>) {
    let rows = vec4<u32>(a) | (vec4<u32>(b) << vec4<u32>(8u)) | (vec4<u32>(c) << vec4<u32>(16u))
        | (vec4<u32>(d) << vec4<u32>(24u));
    frames[at] = rows.x;
    frames[at + stride] = rows.y;
    frames[at + 2u * stride] = rows.z;
    frames[at + 3u * stride] = rows.w;
}

// The tap that is byte `i` of every row.
fn tap(rows: vec4<u32>, i: u32) -> vec4<i32> {
    return vec4<i32>((rows >> vec4<u32>(8u * i)) & vec4<u32>(255u));
}

// The four taps on both sides of a vertical edge.
fn load_eight(t: ptr<function, array<vec4<i32>, 16>>, at: u32, stride: u32) {
    let before = four_rows(at - 1u, stride);
    let after = four_rows(at, stride);
    (*t)[4] = tap(before, 0u);
    (*t)[5] = tap(before, 1u);
    (*t)[6] = tap(before, 2u);
    (*t)[7] = tap(before, 3u);
    (*t)[8] = tap(after, 0u);
    (*t)[9] = tap(after, 1u);
    (*t)[10] = tap(after, 2u);
    (*t)[11] = tap(after, 3u);
}

fn store_eight(t: ptr<function, array<vec4<i32>, 16>>, at: u32, stride: u32) {
    put_rows(at - 1u, stride, (*t)[4], (*t)[5], (*t)[6], (*t)[7]);
    put_rows(at, stride, (*t)[8], (*t)[9], (*t)[10], (*t)[11]);
}

// Four rows from y on of the luma edge on the left of column `col` of cells.
fn vertical_luma(col: u32, y: u32) {
    if params.deblock_vertical == 0u || y >= params.height {
        return;
    }
    let side = vertical_side(y / 8u, col);
    if side == 0u {
        return;
    }
    let plane = plane_of(RECON, 0u);
    let at = word_at(plane, col * 8u, y);
    let long = side > 8u;
    var t: array<vec4<i32>, 16>;
    load_eight(&t, at, plane.stride);
    if long {
        let before = four_rows(at - 2u, plane.stride);
        let after = four_rows(at + 1u, plane.stride);
        t[0] = tap(before, 0u);
        t[1] = tap(before, 1u);
        t[2] = tap(before, 2u);
        t[3] = tap(before, 3u);
        t[12] = tap(after, 0u);
        t[13] = tap(after, 1u);
        t[14] = tap(after, 2u);
        t[15] = tap(after, 3u);
    }
    if !filter_luma(&t, long, limits_of(params.deblock_vertical)) {
        return;
    }
    store_eight(&t, at, plane.stride);
    if long {
        put_rows(at - 2u, plane.stride, t[0], t[1], t[2], t[3]);
        put_rows(at + 1u, plane.stride, t[12], t[13], t[14], t[15]);
    }
}

// The chroma edge on the left of a cell, in plane 1 or 2.
fn vertical_chroma(plane_number: u32, row: u32, col: u32) {
    let level = chroma_level(plane_number);
    if level == 0u {
        return;
    }
    let side = vertical_side(row, col);
    if side == 0u {
        return;
    }
    let plane = plane_of(RECON, plane_number);
    let at = word_at(plane, col * 4u, row * 4u);
    var t: array<vec4<i32>, 16>;
    load_eight(&t, at, plane.stride);
    if filter_chroma(&t, side > 8u, limits_of(level)) {
        store_eight(&t, at, plane.stride);
    }
}

// The chroma edges of every other column of cells, from column `first` on; both planes.
fn vertical_chroma_number(i: u32, first: u32) {
    let cols = (params.cols + 1u - first) / 2u;
    let count = cols * params.rows;
    if i < 2u * count {
        let in_plane = i % count;
        vertical_chroma(1u + i / count, in_plane / cols, 2u * (in_plane % cols) + first);
    }
}

// Luma; chroma of the even columns.
@compute @workgroup_size(64)
fn vertical(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    if is_off() {
        return;
    }
    let i = linear(id, groups);
    let luma = params.cols * params.rows * 2u;
    if i < luma {
        vertical_luma(i % params.cols, i / params.cols * 4u);
    } else {
        vertical_chroma_number(i - luma, 0u);
    }
}

// Chroma of the odd columns.
@compute @workgroup_size(64)
fn vertical_odd(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    if !is_off() {
        vertical_chroma_number(linear(id, groups), 1u);
    }
}

// The taps of four columns, one row each.
fn row_at(at: u32) -> vec4<i32> {
    return unpack_four(frames[at]);
}

// Four columns from x on of the luma edge above a row of cells.
fn horizontal_luma(x: u32, row: u32) {
    if params.deblock_horizontal == 0u || x >= params.width {
        return;
    }
    let side = horizontal_side(row, x / 8u);
    if side == 0u {
        return;
    }
    let plane = plane_of(RECON, 0u);
    let s = plane.stride;
    let at = word_at(plane, x, row * 8u);
    let long = side > 8u;
    var t: array<vec4<i32>, 16>;
    if long {
        t[1] = row_at(at - 7u * s);
        t[2] = row_at(at - 6u * s);
        t[3] = row_at(at - 5u * s);
    }
    t[4] = row_at(at - 4u * s);
    t[5] = row_at(at - 3u * s);
    t[6] = row_at(at - 2u * s);
    t[7] = row_at(at - s);
    t[8] = row_at(at);
    t[9] = row_at(at + s);
    t[10] = row_at(at + 2u * s);
    t[11] = row_at(at + 3u * s);
    if long {
        t[12] = row_at(at + 4u * s);
        t[13] = row_at(at + 5u * s);
        t[14] = row_at(at + 6u * s);
    }
    if !filter_luma(&t, long, limits_of(params.deblock_horizontal)) {
        return;
    }
    if long {
        frames[at - 6u * s] = pack_four(t[2]);
        frames[at - 5u * s] = pack_four(t[3]);
        frames[at - 4u * s] = pack_four(t[4]);
    }
    frames[at - 3u * s] = pack_four(t[5]);
    frames[at - 2u * s] = pack_four(t[6]);
    frames[at - s] = pack_four(t[7]);
    frames[at] = pack_four(t[8]);
    frames[at + s] = pack_four(t[9]);
    frames[at + 2u * s] = pack_four(t[10]);
    if long {
        frames[at + 3u * s] = pack_four(t[11]);
        frames[at + 4u * s] = pack_four(t[12]);
        frames[at + 5u * s] = pack_four(t[13]);
    }
}

// The chroma edge above a cell, in plane 1 or 2.
fn horizontal_chroma(plane_number: u32, row: u32, col: u32) {
    let level = chroma_level(plane_number);
    if level == 0u {
        return;
    }
    let side = horizontal_side(row, col);
    if side == 0u {
        return;
    }
    let plane = plane_of(RECON, plane_number);
    let s = plane.stride;
    let at = word_at(plane, col * 4u, row * 4u);
    var t: array<vec4<i32>, 16>;
    t[5] = row_at(at - 3u * s);
    t[6] = row_at(at - 2u * s);
    t[7] = row_at(at - s);
    t[8] = row_at(at);
    t[9] = row_at(at + s);
    t[10] = row_at(at + 2u * s);
    if filter_chroma(&t, side > 8u, limits_of(level)) {
        frames[at - 2u * s] = pack_four(t[6]);
        frames[at - s] = pack_four(t[7]);
        frames[at] = pack_four(t[8]);
        frames[at + s] = pack_four(t[9]);
    }
}

@compute @workgroup_size(64)
fn horizontal(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    if is_off() {
        return;
    }
    let i = linear(id, groups);
    let cells = params.cols * params.rows;
    if i < 2u * cells {
        let across = 2u * params.cols;
        horizontal_luma(i % across * 4u, i / across);
    } else if i < 4u * cells {
        let in_plane = (i - 2u * cells) % cells;
        horizontal_chroma(i / cells - 1u, in_plane / params.cols, in_plane % params.cols);
    }
}
