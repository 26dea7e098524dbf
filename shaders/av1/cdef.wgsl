// The constrained directional enhancement filter (twin: cdef.rs; specification §7.15).
//
// Samples outside the grid of cells are unavailable; inside it, those beyond the true size count like any other.

@group(0) @binding(1) var<storage, read_write> frames: array<u32>;
@group(0) @binding(4) var<storage, read_write> choices: array<u32>;
@group(0) @binding(5) var<storage, read> blocks: array<u32>;

fn is_skipped(cell: u32) -> bool {
    return (blocks[2u * cell] & SKIP) != 0u;
}

// Sums of the samples of up to sixteen lines.
struct Lines {
    a: vec4<i32>,
    b: vec4<i32>,
    c: vec4<i32>,
    d: vec4<i32>,
}

// Lines moved by one, and eight samples added to the first of them: so a row ends as many lines on as rows come after
// it. Without branches or indices, of which a compiler that unrolls the loops would make very much.
fn pushed(lines: Lines, first: vec4<i32>, second: vec4<i32>) -> Lines {
    return Lines(
        vec4<i32>(0, lines.a.xyz) + first,
        vec4<i32>(lines.a.w, lines.b.xyz) + second,
        vec4<i32>(lines.b.w, lines.c.xyz),
        vec4<i32>(lines.c.w, lines.d.xyz),
    );
}

fn energy(lines: vec4<i32>, weights: vec4<i32>) -> i32 {
    return dot(lines * lines, weights);
}

// 840 divided by the samples of each line.
fn diagonal(lines: Lines) -> i32 {
    return energy(lines.a, vec4<i32>(840, 420, 280, 210)) + energy(lines.b, vec4<i32>(168, 140, 120, 105))
        + energy(lines.c, vec4<i32>(120, 140, 168, 210)) + energy(lines.d, vec4<i32>(280, 420, 840, 0));
}

// The same for lines of two samples a step.
fn steep(lines: Lines) -> i32 {
    return energy(lines.a, vec4<i32>(420, 210, 140, 105)) + energy(lines.b, vec4<i32>(105))
        + energy(lines.c, vec4<i32>(140, 210, 420, 0));
}

// The direction that is found best so far.
struct Best {
    cost: i32,
    // That of the direction at a right angle.
    opposite: i32,
    direction: u32,
}

fn better(best: Best, cost: i32, opposite: i32, direction: u32) -> Best {
    if cost > best.cost {
        return Best(cost, opposite, direction);
    }
    return best;
}

// Direction and variance of each 8×8 block (§7.15.2), the variance from bit 3 on; one invocation a cell. Only where the
// filter asks for them.
@compute @workgroup_size(64)
fn direction(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let cell = linear(id, groups);
    let row = cell / cell_stride();
    let col = cell % cell_stride();
    if (params.cdef_luma_primary | params.cdef_chroma_primary) == 0u {
        return;
    }
    if row >= params.rows || col >= params.cols || is_skipped(cell) {
        return;
    }
    let plane = plane_of(RECON, 0u);
    var from_left_up: Lines;
    var from_left_down: Lines;
    var pairs_up: Lines;
    var pairs_down: Lines;
    var rows_up: Lines;
    var rows_down: Lines;
    var first_columns = vec4<i32>(0);
    var last_columns = vec4<i32>(0);
    var across = 0;
    // Two rows at a time, from the bottom upwards.
    var at = word_at(plane, col * 8u, row * 8u + 7u);
    for (var i = 0u; i < 4u; i += 1u) {
        var first_of_two = vec4<i32>(0);
        var last_of_two = vec4<i32>(0);
        for (var j = 0u; j < 2u; j += 1u) {
            let a = unpack_four(frames[at]) - 128;
            let b = unpack_four(frames[at + 1u]) - 128;
            at -= plane.stride;
            let pairs = vec4<i32>(a.xz, b.xz) + vec4<i32>(a.yw, b.yw);
            let sum = pairs.x + pairs.y + pairs.z + pairs.w;
            across += sum * sum;
            first_of_two += a;
            last_of_two += b;
            from_left_up = pushed(from_left_up, a, b);
            from_left_down = pushed(from_left_down, b.wzyx, a.wzyx);
            pairs_up = pushed(pairs_up, pairs, vec4<i32>(0));
            pairs_down = pushed(pairs_down, pairs.wzyx, vec4<i32>(0));
        }
        first_columns += first_of_two;
        last_columns += last_of_two;
        rows_up = pushed(rows_up, first_of_two, last_of_two);
        // In a mirror, which leaves the energy as it is.
        rows_down = pushed(rows_down, last_of_two.wzyx, first_of_two.wzyx);
    }
    let cost0 = diagonal(from_left_up);
    let cost1 = steep(pairs_up);
    let cost2 = across * 105;
    let cost3 = steep(pairs_down);
    let cost4 = diagonal(from_left_down);
    let cost5 = steep(rows_down);
    let cost6 = energy(first_columns, vec4<i32>(105)) + energy(last_columns, vec4<i32>(105));
    let cost7 = steep(rows_up);
    var best = Best(cost0, cost4, 0u);
    best = better(best, cost1, cost5, 1u);
    best = better(best, cost2, cost6, 2u);
    best = better(best, cost3, cost7, 3u);
    best = better(best, cost4, cost0, 4u);
    best = better(best, cost5, cost1, 5u);
    best = better(best, cost6, cost2, 6u);
    best = better(best, cost7, cost3, 7u);
    choices[cell] = best.direction | (u32((best.cost - best.opposite) >> 10u) << 3u);
}

// The primary strength of luma grows with the variance along the direction (§7.15.1).
fn adjusted(primary: u32, variance: u32) -> u32 {
    if variance == 0u {
        return 0u;
    }
    let log2 = firstLeadingBit(max(variance >> 6u, 1u));
    return (primary * (4u + min(log2, 12u)) + 8u) >> 4u;
}

// Four neighbouring samples while they are filtered: what their taps have added so far, and the range of these.
struct Four {
    plane: Plane,
    // Place of the first one.
    at: vec2<i32>,
    // The grid of cells ends here.
    end: vec2<i32>,
    center: vec4<i32>,
    share: vec4<i32>,
    low: vec4<i32>,
    high: vec4<i32>,
}

// The samples `step` (down, right; at most 2) away. A sample itself where there is none: it adds nothing.
fn neighbours(four: ptr<function, Four>, step: vec2<i32>) -> vec4<i32> {
    let y = (*four).at.y + step.x;
    let x = (*four).at.x + step.y;
    let end = (*four).end;
    if y < 0 || y >= end.y {
        return (*four).center;
    }
    let start = (*four).plane.at + u32(y) * (*four).plane.stride;
    let last = end.x / 4 - 1;
    let word = x >> 2u;
    let shift = (u32(x) & 3u) * 8u;
    let first = frames[start + u32(clamp(word, 0, last))];
    let second = frames[start + u32(clamp(word + 1, 0, last))];
    // In two steps, for no shift may be 32.
    let samples = unpack_four((first >> shift) | ((second << 1u) << (31u - shift)));
    let places = x + vec4<i32>(0, 1, 2, 3);
    return select((*four).center, samples, (places >= vec4<i32>(0)) & (places < vec4<i32>(end.x)));
}

// A tap on either side.
fn add_taps(four: ptr<function, Four>, step: vec2<i32>, weight: i32, strength: u32, shift: u32) {
    add_tap(four, neighbours(four, step), weight, strength, shift);
    add_tap(four, neighbours(four, -step), weight, strength, shift);
}

fn add_tap(four: ptr<function, Four>, samples: vec4<i32>, weight: i32, strength: u32, shift: u32) {
    let difference = samples - (*four).center;
    let size = abs(difference);
    let reach = max(vec4<i32>(i32(strength)) - (size >> vec4<u32>(shift)), vec4<i32>(0));
    (*four).share += weight * sign(difference) * min(size, reach);
    (*four).low = min((*four).low, samples);
    (*four).high = max((*four).high, samples);
}

// Near and far taps along a direction, where there is a strength: the others need not be looked at, see the twin.
fn add_direction(four: ptr<function, Four>, direction: u32, weights: vec2<i32>, strength: u32, damping: u32) {
    if strength == 0u {
        return;
    }
    let log2 = firstLeadingBit(strength);
    let shift = damping - min(damping, log2);
    // `Cdef_Directions`: rows down and columns to the right.
    let d = i32(direction & 7u);
    let far = clamp(vec2<i32>(d - 2, 6 - d), vec2<i32>(-2), vec2<i32>(2));
    add_taps(four, far / 2, weights.x, strength, shift);
    add_taps(four, far, weights.y, strength, shift);
}

// One word of the new reference (§7.15.3). Words are numbered superblock by superblock, 64 rows of 16 of luma, then 32
// rows of 8 of U and of V: so a workgroup is a rectangle of one plane, small enough for its taps to stay in the cache.
@compute @workgroup_size(64)
fn apply(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear(id, groups);
    let superblock = i / FRAME_WORDS;
    if superblock >= superblocks() {
        return;
    }
    let in_superblock = i % FRAME_WORDS;
    var plane_number = 0u;
    // Words in one row of the superblock, samples along one side of a cell.
    var across = 16u;
    var cell_side = 8u;
    var in_plane = in_superblock;
    if in_superblock >= 1024u {
        plane_number = in_superblock / 256u - 3u;
        across = 8u;
        cell_side = 4u;
        in_plane = in_superblock % 256u;
    }
    let x = (superblock % params.sb_cols * across + in_plane % across) * 4u;
    let y = superblock / params.sb_cols * across * 4u + in_plane / across;
    let source = plane_of(RECON, plane_number);
    let word = frames[word_at(source, x, y)];
    let to = word_at(plane_of(params.fresh, plane_number), x, y);
    frames[to] = word;

    let row = y / cell_side;
    let col = x / cell_side;
    let cell = row * cell_stride() + col;
    if row >= params.rows || col >= params.cols || is_skipped(cell) {
        return;
    }
    let luma = plane_number == 0u;
    var primary = select(params.cdef_chroma_primary, params.cdef_luma_primary, luma);
    var secondary = select(params.cdef_chroma_secondary, params.cdef_luma_secondary, luma);
    // Coded 3 means 4.
    secondary = select(secondary, 4u, secondary == 3u);
    let damping = params.cdef_damping - select(1u, 0u, luma);
    // Without a primary strength the direction counts as 0.
    var along = 0u;
    if primary != 0u {
        let found = choices[cell];
        along = found & 7u;
        if luma {
            primary = adjusted(primary, found >> 3u);
        }
    }
    if (primary | secondary) == 0u {
        return;
    }
    let end = vec2<i32>(vec2<u32>(params.cols, params.rows) * cell_side);
    let center = unpack_four(word);
    var four = Four(source, vec2<i32>(vec2<u32>(x, y)), end, center, vec4<i32>(0), center, center);
    add_direction(&four, along, select(vec2<i32>(4, 2), vec2<i32>(3, 3), (primary & 1u) == 1u), primary, damping);
    add_direction(&four, along + 2u, vec2<i32>(2, 1), secondary, damping);
    add_direction(&four, along + 6u, vec2<i32>(2, 1), secondary, damping);
    let negative = select(vec4<i32>(0), vec4<i32>(1), four.share < vec4<i32>(0));
    let value = center + ((8 + four.share - negative) >> vec4<u32>(4u));
    frames[to] = pack_four(min(max(value, four.low), four.high));
}
