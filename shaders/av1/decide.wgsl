// Modes (twin: `choose` of decide.rs, with cost.rs and distance.rs): the cheapest way to code every block of one size.
//
// A workgroup takes a block. Candidates of a kind go through each step together as far as the room allows: all of them
// for 8×8 and 16×16, one after the other for 32×32. Every invocation follows the choice; only the first writes it.

@group(0) @binding(1) var<storage, read> frames: array<u32>;
@group(0) @binding(3) var<storage, read> vectors: array<u32>;
@group(0) @binding(4) var<storage, read_write> choices: array<u32>;

// The block's samples, four a word, row after row.
var<workgroup> source_words: array<u32, 256>;
// Inter predictions likewise: of five candidates, or for 32×32 of the best so far and of the one that is tried.
var<workgroup> predicted: array<u32, 512>;
// In turn: rows filtered across, half of a Hadamard transform, residual and coefficients.
var<workgroup> coefficients: array<i32, 1792>;
// Samples above, four a word; samples to the left, the corner behind them; smooth weights, four a word.
var<workgroup> above: array<u32, 8>;
var<workgroup> left: array<i32, 33>;
var<workgroup> weights: array<u32, 8>;
// Of the samples above and to the left.
var<workgroup> edge_sums: array<atomic<u32>, 2>;
// Vectors of the inter candidates, each value once: the block's own, zero, those of two neighbours; then zero into the
// long-term reference.
var<workgroup> tried: array<u32, 5>;
// Vectors of the 16×16 to the left and above.
var<workgroup> near: array<u32, 2>;
// Absolute transformed differences of each 8×8 of each candidate.
var<workgroup> sums: array<atomic<u32>, 28>;
// The same, divided and added up: five inter candidates, seven intra modes.
var<workgroup> differences: array<atomic<u32>, 12>;
// Energy, error and bits of the three candidates that are transformed.
var<workgroup> prices: array<atomic<u32>, 9>;
// What all invocations have to agree on.
var<workgroup> agreed: u32;

// Inter candidates at most.
const INTERS: u32 = 5u;
const INTRAS: u32 = 7u;

// Times a sample: four of them.
const FOUR: u32 = 0x01010101u;

// Quarter bits, as in decide.rs.
const INTER_SKIP_BITS: u32 = 3u;
const INTER_BITS: u32 = 8u;
const INTRA_BITS: u32 = 16u;
const GOLDEN_BITS: u32 = 14u;

// One block.
struct Site {
    lane: u32,
    side: u32,
    x: u32,
    y: u32,
    has_above: bool,
    has_left: bool,
}

// What was chosen so far, as it is written.
struct Choice {
    cost: u32,
    kind: u32,
    vector: u32,
}

@compute @workgroup_size(64)
fn choose8(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    choose(8u, linear_group(id, groups), lane);
}

@compute @workgroup_size(64)
fn choose16(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    choose(16u, linear_group(id, groups), lane);
}

@compute @workgroup_size(64)
fn choose32(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    choose(32u, linear_group(id, groups), lane);
}

fn choose(side: u32, block: u32, lane: u32) {
    let blocks = grid(side);
    if block >= blocks.x * blocks.y {
        return;
    }
    let col = block % blocks.x;
    let row = block / blocks.x;
    let x = col * side;
    let y = row * side;
    let site = Site(lane, side, x, y, (y / 8u) % params.tile_rows != 0u, (x / 8u) % params.tile_cols != 0u);
    let key = (params.flags & HAS_LAST) == 0u;
    let size = countTrailingZeros(side) - 3u;
    var best = Choice(MAX_U32, size, 0u);
    var least = MAX_U32;
    let at = choices_at(side) + (row * grid_stride(side) + col) * 4u;
    // What rests is as it was, for nothing, so that no smaller size is cheaper.
    if rests(side, col, row) {
        if lane == 0u {
            write_choice(at, Choice(0u, kind_of(size, 1u, true, DC), 0u));
        }
        return;
    }

    clear(lane);
    collect_source(site);
    if !key && lane == 0u {
        agreed = collect_vectors(site);
    }
    workgroupBarrier();
    collect_edges(site);

    var settled = false;
    if !key {
        let count = workgroupUniformLoad(&agreed);
        let has_golden = (params.flags & HAS_GOLDEN) != 0u;
        let inters = select(count, count + 1u, has_golden);
        // Candidates at a time, and which of them is nearest, vector included.
        let batch = select(inters, 1u, side == 32u);
        var first = MAX_U32;
        var nearest = 0u;
        var slot = 0u;
        for (var start = 0u; start < inters; start += batch) {
            // A single candidate leaves the nearest one's prediction alone.
            measure_inter(site, start, batch, count, select(0u, 1u - slot, side == 32u));
            for (var i = start; i < min(start + batch, count); i += 1u) {
                let cost = atomicLoad(&differences[i]) + ((vector_bits(tried[i]) * params.vector_bit) >> 6u);
                if cost < first {
                    first = cost;
                    nearest = i;
                    slot = select(i, 1u - slot, side == 32u);
                }
            }
        }
        least = atomicLoad(&differences[nearest]);
        let vector = tried[nearest];
        let bits = vector_bits(vector);
        residual_of(site, slot, 0u);
        let last = price(site, 0u, bits + INTER_SKIP_BITS, bits + INTER_BITS);
        if last.cost < best.cost {
            best = Choice(last.cost, kind_of(size, 1u, last.skip, DC), vector);
        }
        if has_golden {
            let difference = atomicLoad(&differences[count]);
            if lane == 0u {
                agreed = select(0u, 1u, difference < least);
            }
            if workgroupUniformLoad(&agreed) != 0u {
                least = difference;
                residual_of(site, select(count, 1u - slot, side == 32u), 1u);
                let golden = price(site, 1u, GOLDEN_BITS + INTER_SKIP_BITS, GOLDEN_BITS + INTER_BITS);
                if golden.cost < best.cost {
                    best = Choice(golden.cost, kind_of(size, 2u, golden.skip, DC), 0u);
                }
            }
        }
        // An inter prediction that needs no levels spares the rest.
        if lane == 0u {
            agreed = select(0u, 1u, reference_of(best.kind) != 0u && (best.kind & SKIP) != 0u);
        }
        settled = workgroupUniformLoad(&agreed) != 0u;
    } else {
        workgroupBarrier();
    }
    if !settled {
        let around = around_of(site);
        let batch = select(INTRAS, 1u, side == 32u);
        for (var start = 0u; start < INTRAS; start += batch) {
            measure_intra(site, start, batch, around);
        }
        var closest = MAX_U32;
        var mode = DC;
        for (var i = 0u; i < INTRAS; i += 1u) {
            let difference = atomicLoad(&differences[INTERS + i])
                + ((select(3u, 0u, i == 0u) * params.vector_bit) >> 4u);
            if difference < closest {
                closest = difference;
                mode = mode_at(i);
            }
        }
        if lane == 0u {
            agreed = select(1u, 0u, least < closest);
        }
        if workgroupUniformLoad(&agreed) != 0u {
            intra_residual(site, mode, around, 2u);
            let bits = select(INTRA_BITS, 0u, key) + select(12u, 4u, mode == DC);
            let intra = price(site, 2u, bits + 8u, bits + 2u);
            if intra.cost < best.cost {
                best = Choice(intra.cost, kind_of(size, 0u, intra.skip, mode), 0u);
            }
        }
    }
    if lane == 0u {
        write_choice(at, best);
    }
}

fn write_choice(at: u32, choice: Choice) {
    choices[at] = choice.cost;
    choices[at + 1u] = choice.kind;
    choices[at + 2u] = choice.vector;
    choices[at + 3u] = 0u;
}

// First word of the choices of blocks of `side`.
fn choices_at(side: u32) -> u32 {
    return select(select(320u, 256u, side == 16u), 0u, side == 8u) * superblocks();
}

fn clear(lane: u32) {
    if lane < 28u {
        atomicStore(&sums[lane], 0u);
    }
    if lane < 12u {
        atomicStore(&differences[lane], 0u);
    }
    if lane < 9u {
        atomicStore(&prices[lane], 0u);
    }
    if lane < 2u {
        atomicStore(&edge_sums[lane], 0u);
    }
}

fn collect_source(site: Site) {
    let plane = plane_of(SOURCE, 0u);
    let quads = site.side / 4u;
    for (var i = site.lane; i < site.side * quads; i += GROUP) {
        source_words[i] = frames[word_at(plane, site.x + i % quads * 4u, site.y + i / quads)];
    }
}

// The vectors of the inter candidates; returns how many there are into the frame before.
fn collect_vectors(site: Site) -> u32 {
    let mine = vectors[fine_at(site.side) + site.y / site.side * grid_stride(site.side) + site.x / site.side];
    let col = site.x / 16u;
    let row = site.y / 16u;
    let by16 = fine_at(16u);
    let stride = grid_stride(16u);
    let to_left = vectors[by16 + row * stride + max(col, 1u) - 1u];
    let upwards = vectors[by16 + (max(row, 1u) - 1u) * stride + col];
    near[0] = to_left;
    near[1] = upwards;
    tried[0] = mine;
    tried[1] = 0u;
    var count = select(1u, 2u, mine != 0u);
    if to_left != mine && to_left != 0u {
        tried[count] = to_left;
        count += 1u;
    }
    if upwards != mine && upwards != 0u && upwards != to_left {
        tried[count] = upwards;
        count += 1u;
    }
    tried[count] = 0u;
    return count;
}

// What lies around the block in the source, as `Edges::new` has it, and the smooth weights of its side.
fn collect_edges(site: Site) {
    let plane = plane_of(SOURCE, 0u);
    let i = site.lane & 7u;
    if site.lane < 32u {
        if site.lane < site.side {
            var value = 129u;
            if site.has_left {
                value = sample_at(plane, site.x - 1u, min(site.y + site.lane, params.rows * 8u - 1u));
            } else if site.has_above {
                value = sample_at(plane, site.x, site.y - 1u);
            }
            left[site.lane] = i32(value);
            atomicAdd(&edge_sums[1], value);
        }
    } else if i * 4u < site.side {
        if site.lane < 40u {
            var word = 127u * FOUR;
            if site.has_above {
                // Words do not straddle the end of the cells.
                let x = min(site.x + 4u * i, params.cols * 8u - 4u);
                word = frames[word_at(plane, x, site.y - 1u)];
                word = select((word >> 24u) * FOUR, word, x == site.x + 4u * i);
            } else if site.has_left {
                word = sample_at(plane, site.x - 1u, site.y) * FOUR;
            }
            above[i] = word;
            let four = unpack_four(word);
            atomicAdd(&edge_sums[0], u32(four.x + four.y + four.z + four.w));
        } else if site.lane < 48u {
            let at = SMOOTH + site.side - 4u + 4u * i;
            weights[i] = pack_four(vec4<i32>(tables[at], tables[at + 1u], tables[at + 2u], tables[at + 3u]));
        } else if site.lane == 48u {
            var corner = 128u;
            if site.has_above || site.has_left {
                corner = sample_at(plane, site.x - u32(site.has_left), site.y - u32(site.has_above));
            }
            left[32] = i32(corner);
        }
    }
}

// What all samples of an intra prediction depend on.
struct Around {
    mean: i32,
    corner: i32,
    right: i32,
    bottom: i32,
}

fn around_of(site: Site) -> Around {
    let sums = vec2<u32>(atomicLoad(&edge_sums[0]), atomicLoad(&edge_sums[1]));
    let mean = intra_mean(site.side, site.has_above, site.has_left, sums.x, sums.y);
    return Around(mean, left[32], byte_of(above[site.side / 4u - 1u], 3u), left[site.side - 1u]);
}

// About the quarter bits of a vector, mode included.
fn vector_bits(vector: u32) -> u32 {
    if vector == near[0] || vector == near[1] {
        return 6u;
    }
    if vector == 0u {
        return 8u;
    }
    return min(distance_bits(vector, near[0]), distance_bits(vector, near[1]));
}

fn distance_bits(vector: u32, other: u32) -> u32 {
    let magnitude = vec2<u32>(abs(unpack_pair(vector) - unpack_pair(other))) / 2u;
    let bits = 2u * (32u - countLeadingZeros(magnitude)) + 1u;
    return 14u + 4u * (bits.x + bits.y);
}

// Predicts `count` inter candidates from number `start` on into `predicted` from place `slot` on, and finds their
// differences. Candidate number `golden` looks into the long-term reference.
fn measure_inter(site: Site, start: u32, count: u32, golden: u32, slot: u32) {
    let side = site.side;
    let quads = side / 4u;
    let lines = (side + 5u) * quads;
    for (var i = site.lane; i < count * lines; i += GROUP) {
        let candidate = start + i / lines;
        let plane = plane_of(select(params.last, params.golden, candidate == golden), 0u);
        let m = motion(site.x, site.y, unpack_pair(tried[candidate]), false);
        let line = i % lines;
        let four = filtered_across(plane, m, line % quads * 4u, i32(line / quads) - 2, side);
        coefficients[i * 2u] = pair_of(four.x, four.y);
        coefficients[i * 2u + 1u] = pair_of(four.z, four.w);
    }
    workgroupBarrier();
    let words = side * quads;
    let stacks = words / 4u;
    for (var i = site.lane; i < count * stacks; i += GROUP) {
        let m = motion(site.x, site.y, unpack_pair(tried[start + i / stacks]), false);
        // Four rows below each other need nine.
        let quad = i % stacks / quads * 4u * quads + i % quads;
        let at = i / stacks * lines + quad;
        let a = line_at(at);
        let b = line_at(at + quads);
        let c = line_at(at + 2u * quads);
        let d = line_at(at + 3u * quads);
        let e = line_at(at + 4u * quads);
        let f = line_at(at + 5u * quads);
        let g = line_at(at + 6u * quads);
        let h = line_at(at + 7u * quads);
        let k = line_at(at + 8u * quads);
        let to = (slot + i / stacks) * words + quad;
        predicted[to] = pack_four(filtered_down(m, side, a, b, c, d, e, f));
        predicted[to + quads] = pack_four(filtered_down(m, side, b, c, d, e, f, g));
        predicted[to + 2u * quads] = pack_four(filtered_down(m, side, c, d, e, f, g, h));
        predicted[to + 3u * quads] = pack_four(filtered_down(m, side, d, e, f, g, h, k));
    }
    workgroupBarrier();
    let rows = side * side / 8u;
    for (var i = site.lane; i < count * rows; i += GROUP) {
        let word = row_of(i % rows, side) / 4u;
        let other = (slot + i / rows) * words + word;
        store_row(
            i, count * rows,
            unpack_four(source_words[word]) - unpack_four(predicted[other]),
            unpack_four(source_words[word + 1u]) - unpack_four(predicted[other + 1u]),
        );
    }
    workgroupBarrier();
    add_columns(site, count);
    workgroupBarrier();
    add_squares(site, count, start);
    workgroupBarrier();
}

// The same for intra modes, whose predictions are not kept.
fn measure_intra(site: Site, start: u32, count: u32, around: Around) {
    let side = site.side;
    let rows = side * side / 8u;
    for (var i = site.lane; i < count * rows; i += GROUP) {
        let mode = mode_at(start + i / rows);
        let at = row_of(i % rows, side);
        let word = at / 4u;
        store_row(
            i, count * rows,
            unpack_four(source_words[word]) - intra_at(mode, at % side, at / side, around),
            unpack_four(source_words[word + 1u]) - intra_at(mode, at % side + 4u, at / side, around),
        );
    }
    workgroupBarrier();
    add_columns(site, count);
    workgroupBarrier();
    add_squares(site, count, INTERS + start);
    workgroupBarrier();
}

fn mode_at(i: u32) -> u32 {
    return select(i, i + 6u, i > 2u);
}

// Four samples from column x, a multiple of 4, and row y of the block on.
fn intra_at(mode: u32, x: u32, y: u32, around: Around) -> vec4<i32> {
    let word = x / 4u;
    return intra_four(
        mode, unpack_four(weights[word]), byte_of(weights[y / 4u], y & 3u),
        unpack_four(above[word]), left[y], around.corner, around.right, around.bottom, around.mean,
    );
}

// Four samples of a row that was filtered across, kept in halves of two words.
fn line_at(quad: u32) -> vec4<i32> {
    let low = coefficients[quad * 2u];
    let high = coefficients[quad * 2u + 1u];
    return vec4<i32>(low << 16u, low, high << 16u, high) >> vec4<u32>(16u);
}

// Position in the block of the first sample of a row of an 8×8. The first rows of all the 8×8s come first, so that
// neighbouring invocations touch neighbouring words in both passes of the Hadamard transform.
fn row_of(i: u32, side: u32) -> u32 {
    let across = side / 8u;
    let squares = across * across;
    let square = i % squares;
    return (square / across * 8u + i / squares) * side + square % across * 8u;
}

struct Eight {
    a: vec4<i32>,
    b: vec4<i32>,
}

fn hadamard(a: vec4<i32>, b: vec4<i32>) -> Eight {
    return Eight(hadamard_four(a + b), hadamard_four(a - b));
}

fn hadamard_four(v: vec4<i32>) -> vec4<i32> {
    let w = vec4<i32>(v.xy + v.zw, v.xy - v.zw);
    return vec4<i32>(w.x + w.y, w.x - w.y, w.z + w.w, w.z - w.w);
}

// Words from one pair of columns to the next, for `rows` rows of eight; the pairs lie in different banks.
fn pair_step(rows: u32) -> u32 {
    return rows + 8u;
}

// The Hadamard transform of row number `i` of `rows`, in pairs.
fn store_row(i: u32, rows: u32, a: vec4<i32>, b: vec4<i32>) {
    let row = hadamard(a, b);
    let step = pair_step(rows);
    coefficients[i] = pair_of(row.a.x, row.a.y);
    coefficients[i + step] = pair_of(row.a.z, row.a.w);
    coefficients[i + 2u * step] = pair_of(row.b.x, row.b.y);
    coefficients[i + 3u * step] = pair_of(row.b.z, row.b.w);
}

// Two numbers of 16 bits in a word.
fn pair_of(low: i32, high: i32) -> i32 {
    return (low & 0xffff) | (high << 16u);
}

fn low_half(words: vec4<i32>) -> vec4<i32> {
    return (words << vec4<u32>(16u)) >> vec4<u32>(16u);
}

fn high_half(words: vec4<i32>) -> vec4<i32> {
    return words >> vec4<u32>(16u);
}

// Transforms pairs of columns of `count` candidates and adds up their absolute values by 8×8.
fn add_columns(site: Site, count: u32) {
    let squares = site.side * site.side / 64u;
    let step = pair_step(count * 8u * squares);
    for (var i = site.lane; i < count * 4u * squares; i += GROUP) {
        let candidate = i / (4u * squares);
        let square = i % squares;
        let at = i / squares % 4u * step + candidate * 8u * squares + square;
        let upper = vec4<i32>(
            coefficients[at], coefficients[at + squares],
            coefficients[at + 2u * squares], coefficients[at + 3u * squares],
        );
        let lower = vec4<i32>(
            coefficients[at + 4u * squares], coefficients[at + 5u * squares],
            coefficients[at + 6u * squares], coefficients[at + 7u * squares],
        );
        let first = hadamard(low_half(upper), low_half(lower));
        let second = hadamard(high_half(upper), high_half(lower));
        let sum = abs(first.a) + abs(first.b) + abs(second.a) + abs(second.b);
        atomicAdd(&sums[candidate * squares + square], u32(sum.x + sum.y + sum.z + sum.w));
    }
}

// Rounds each 8×8's sum and adds it to its candidate's difference, the first of which is number `first`.
fn add_squares(site: Site, count: u32, first: u32) {
    let squares = site.side * site.side / 64u;
    if site.lane < count * squares {
        let sum = atomicLoad(&sums[site.lane]);
        atomicStore(&sums[site.lane], 0u);
        atomicAdd(&differences[first + site.lane / squares], (sum + 2u) >> 2u);
    }
}

// Words from one row to the next of residuals and coefficients: odd, so that both passes spread over the banks.
fn pitch(side: u32) -> u32 {
    return side + 1u;
}

// What the inter prediction at `slot` leaves, scaled for the transform, and its energy into price `number`.
fn residual_of(site: Site, slot: u32, number: u32) {
    let words = site.side * site.side / 4u;
    var energy = 0u;
    for (var i = site.lane; i < words; i += GROUP) {
        let difference = unpack_four(source_words[i]) - unpack_four(predicted[slot * words + i]);
        energy += store_residual(site.side, i, difference);
    }
    atomicAdd(&prices[3u * number], energy);
}

fn intra_residual(site: Site, mode: u32, around: Around, number: u32) {
    let quads = site.side / 4u;
    var energy = 0u;
    for (var i = site.lane; i < site.side * quads; i += GROUP) {
        let four = intra_at(mode, i % quads * 4u, i / quads, around);
        energy += store_residual(site.side, i, unpack_four(source_words[i]) - four);
    }
    atomicAdd(&prices[3u * number], energy);
}

fn store_residual(side: u32, i: u32, four: vec4<i32>) -> u32 {
    let quads = side / 4u;
    let at = i / quads * pitch(side) + i % quads * 4u;
    coefficients[at] = four.x << 2u;
    coefficients[at + 1u] = four.y << 2u;
    coefficients[at + 2u] = four.z << 2u;
    coefficients[at + 3u] = four.w << 2u;
    let squared = four * four;
    return u32(squared.x + squared.y + squared.z + squared.w);
}

struct Price {
    cost: u32,
    skip: bool,
}

// The least cost of the residual in `coefficients` (twin: `Costs::residual`).
fn price(site: Site, number: u32, skip_bits: u32, coded_bits: u32) -> Price {
    let side = site.side;
    let stride = pitch(side);
    workgroupBarrier();
    for (var second = false; ; second = true) {
        let first = site.lane * select(1u, stride, second);
        forward_pass(site.lane, side, first, select(stride, 1u, second), forward_shift(side, second));
        workgroupBarrier();
        if second {
            break;
        }
    }
    let coarse = side == 32u;
    let step = select(params.step, params.step32, coarse);
    let reciprocal = select(params.step_reciprocal, params.step32_reciprocal, coarse);
    let rounding = select(params.step_rounding, params.step32_rounding, coarse);
    var error = 0u;
    var bits = 0u;
    for (var i = site.lane; i < side * side; i += GROUP) {
        let row = i / side;
        let col = i % side;
        let magnitude = u32(abs(coefficients[row * stride + col]));
        let level = ((magnitude + rounding) * reciprocal) >> 16u;
        let near = level * step;
        let left = max(magnitude, near) - min(magnitude, near);
        error += left * left;
        // The further from the first, the more zeros a level brings along.
        let weight = 18u + (row + col) * 8u / side * 2u;
        bits += min(level, 1u) * weight + min(max(level, 1u) - 1u, 14u) * 5u;
    }
    atomicAdd(&prices[3u * number + 1u], error);
    atomicAdd(&prices[3u * number + 2u], bits);
    workgroupBarrier();
    let energy = atomicLoad(&prices[3u * number]);
    // Transforms of 32 are scaled by 4, smaller ones by 8.
    let all_error = atomicLoad(&prices[3u * number + 1u]) >> select(2u, 0u, coarse);
    let all_bits = atomicLoad(&prices[3u * number + 2u]);
    let skipped = cost_of(energy << 4u, skip_bits);
    let coded = cost_of(all_error, all_bits + coded_bits);
    if all_bits > 0u && coded < skipped {
        return Price(coded, false);
    }
    return Price(skipped, true);
}

// Error and bits together, at most the greatest word. 60000 times the greatest `quarter_bit` is below 2³¹.
fn cost_of(error: u32, quarter_bits: u32) -> u32 {
    let rate = min(quarter_bits, 60000u) * params.quarter_bit;
    return error + min(rate, MAX_U32 - error);
}
