// Prediction plus residual (twin: reconstruct.rs, with quantize.rs): from records and a picture to levels and samples.
//
// In: `frames` (the source and two references), `blocks`. Out: the frame before its filters in `frames`, `levels` in
// scan order, `ends`. One workgroup codes all three planes of a block in lockstep, as chroma needs nothing of luma:
// work by sample, word or level runs over the tasks of luma, then those of U and V, a quarter as many each.
//
// `inter` takes every cell; those at which no inter block begins have nothing to do. Then intra blocks, on the grid of
// 16×16 blocks, whose 8×8 blocks run in Z order: on key frames `intra`, one anti-diagonal after the other, where a
// block of n×n at (row, column) runs at step row + column + n − 1; on inter frames `island`, one depth after the other.

@group(0) @binding(1) var<storage, read_write> frames: array<u32>;
@group(0) @binding(4) var<storage, read> depths: array<u32>;
@group(0) @binding(5) var<storage, read> blocks: array<u32>;
@group(0) @binding(6) var<storage, read_write> ends: array<u32>;
@group(0) @binding(7) var<storage, read_write> levels: array<u32>;
@group(1) @binding(0) var<uniform> step: u32;

// How far chroma of a skipped block may be off (quantize.rs).
const FAR_MEAN: u32 = 6u;
const FAR_DETAIL: u32 = 8u;

// Residual, coefficients, residual again: 33 words a row of luma, from 1056 on 17 a row of U, then of V.
var<workgroup> coefficients: array<i32, 1600>;
// Rows filtered across, four samples in two words; then levels in scan order.
var<workgroup> scanned: array<i32, 1536>;
var<workgroup> predicted: array<u32, 384>;
// Edges: 32 samples of luma, 16 of U, 16 of V; the corner of luma behind those to the left.
var<workgroup> above: array<i32, 64>;
var<workgroup> left: array<i32, 65>;
// Smooth weights of luma, four a word.
var<workgroup> weights: array<u32, 8>;
// Of the samples above and to the left, by plane, of up to four blocks.
var<workgroup> edge_sums: array<atomic<u32>, 24>;
// Of the levels of each plane: where they end, the greatest magnitude, whether samples would overshoot.
var<workgroup> end: array<atomic<u32>, 3>;
var<workgroup> greatest: array<atomic<u32>, 3>;
var<workgroup> outside: array<atomic<u32>, 3>;
// Of a skipped block's U and V: the sum of the differences, and that of their squares.
var<workgroup> sums: array<atomic<i32>, 2>;
var<workgroup> squares: array<atomic<u32>, 2>;
// A lane's share of those.
var<private> own_sums: array<i32, 2>;
var<private> own_squares: array<u32, 2>;
// What one lane read, for all.
var<workgroup> record: vec2<u32>;
var<workgroup> kinds: vec4<u32>;
var<workgroup> agreed: vec3<u32>;

// A block.
struct Site {
    row: u32,
    col: u32,
    // Luma samples along one side, and log2 of them.
    side: u32,
    log2: u32,
    // Nothing but the prediction is wanted, unless chroma is far off.
    skipped: bool,
}

fn site_of(row: u32, col: u32, kind: u32) -> Site {
    let side = side_of(kind);
    return Site(row, col, side, countTrailingZeros(side), (kind & SKIP) != 0u);
}

// One of some tasks: its plane, and its number there.
struct Task {
    plane: u32,
    index: u32,
}

// Task number `i` where luma has `luma` of them, U and V `chroma` each.
fn task_of(i: u32, luma: u32, chroma: u32) -> Task {
    if i < luma {
        return Task(0u, i);
    }
    let far = i - luma >= chroma;
    return Task(select(1u, 2u, far), i - luma - select(0u, chroma, far));
}

// First sample of a block in a plane.
fn origin_of(site: Site, plane: u32) -> vec2<u32> {
    return vec2<u32>(site.col, site.row) * select(4u, 8u, plane == 0u);
}

// First coefficient of a plane.
fn base_of(plane: u32) -> u32 {
    return select(784u + 272u * plane, 0u, plane == 0u);
}

// Words from one row of coefficients to the next: odd, so that both passes spread over the banks.
fn pitch_of(side: u32) -> u32 {
    return side + 1u;
}

// Takes four predicted samples, word number `i` of all, and their residual; of a skipped block that of chroma, and how far
// that is off. The same lane meets the word again in the end.
fn settle(site: Site, i: u32, task: Task, word: u32) {
    predicted[i] = word;
    if site.skipped && task.plane == 0u {
        return;
    }
    let log2 = site.log2 - min(task.plane, 1u);
    let y = task.index >> (log2 - 2u);
    let x = (task.index << 2u) & ((1u << log2) - 1u);
    let at = origin_of(site, task.plane) + vec2<u32>(x, y);
    let source = frames[word_at(plane_of(SOURCE, task.plane), at.x, at.y)];
    let off = unpack_four(source) - unpack_four(word);
    if site.skipped {
        own_sums[task.plane - 1u] += off.x + off.y + off.z + off.w;
        own_squares[task.plane - 1u] += u32(dot(off, off));
    }
    let difference = off << vec4<u32>(2u);
    let to = base_of(task.plane) + y * pitch_of(1u << log2) + x;
    coefficients[to] = difference.x;
    coefficients[to + 1u] = difference.y;
    coefficients[to + 2u] = difference.z;
    coefficients[to + 3u] = difference.w;
}

// Which planes of a predicted block are to be coded: all, or of a skipped one those of chroma that are far off.
fn wanted_of(lane: u32, site: Site) -> vec3<bool> {
    if !site.skipped {
        return vec3<bool>(true);
    }
    if lane < 2u {
        atomicStore(&sums[lane], 0);
        atomicStore(&squares[lane], 0u);
    }
    workgroupBarrier();
    for (var i = 0u; i < 2u; i += 1u) {
        atomicAdd(&sums[i], own_sums[i]);
        atomicAdd(&squares[i], own_squares[i]);
        own_sums[i] = 0;
        own_squares[i] = 0u;
    }
    workgroupBarrier();
    if lane == 0u {
        agreed = vec3<u32>(0u, u32(is_far(site, 0u)), u32(is_far(site, 1u)));
    }
    return workgroupUniformLoad(&agreed) != vec3<u32>(0u);
}

// Chroma of a skipped block is to be mended (quantize.rs).
fn is_far(site: Site, i: u32) -> bool {
    let mean = 32u * u32(abs(atomicLoad(&sums[i]))) >= FAR_MEAN * params.dc_zero_bin * (site.side / 2u);
    let detail = atomicLoad(&squares[i]) >= (FAR_DETAIL * FAR_DETAIL * params.ac_zero_bin * params.ac_zero_bin) >> 6u;
    return mean || detail;
}

// `vector` is the same for all lanes.
fn predict_inter(lane: u32, site: Site, reference: u32, vector: u32) {
    let moved = unpack_pair(vector);
    let luma = motion(site.col * 8u, site.row * 8u, moved, false);
    let chroma = motion(site.col * 4u, site.row * 4u, moved, true);
    let words = site.side * site.side / 4u;
    // Words of the rows that are filtered across: five more rows for a filter down.
    let of_luma = words + select(0u, site.side / 4u * 5u, luma.down != 0u);
    let of_chroma = words / 4u + select(0u, site.side / 8u * 5u, chroma.down != 0u);
    for (var i = lane; i < of_luma + 2u * of_chroma; i += GROUP) {
        let task = task_of(i, of_luma, of_chroma);
        let log2 = site.log2 - min(task.plane, 1u);
        var m = luma;
        if task.plane > 0u {
            m = chroma;
        }
        let row = i32(task.index >> (log2 - 2u)) - select(0, 2, m.down != 0u);
        let column = (task.index << 2u) & ((1u << log2) - 1u);
        let four = filtered_across(plane_of(reference, task.plane), m, column, row, 1u << log2);
        if m.down == 0u {
            let word = pack_four(filtered_down(m, 1u << log2, four, four, four, four, four, four));
            // Here `i` counts words of the block too: luma has no filter down, and this is luma, or chroma has none.
            settle(site, i, task, word);
        } else {
            scanned[2u * i] = pack_pair_of(four.xy);
            scanned[2u * i + 1u] = pack_pair_of(four.zw);
        }
    }
    // Where luma has a filter down, chroma has one too.
    if chroma.down == 0u {
        return;
    }
    workgroupBarrier();
    for (var i = lane + select(0u, words, luma.down == 0u); i < words + words / 2u; i += GROUP) {
        let task = task_of(i, words, words / 4u);
        let log2 = site.log2 - min(task.plane, 1u);
        var m = luma;
        var at = task.index;
        if task.plane > 0u {
            m = chroma;
            at += of_luma + select(0u, of_chroma, task.plane == 2u);
        }
        let step = 1u << (log2 - 2u);
        settle(site, i, task, pack_four(filtered_down(
            m, 1u << log2, line_at(at), line_at(at + step), line_at(at + 2u * step),
            line_at(at + 3u * step), line_at(at + 4u * step), line_at(at + 5u * step),
        )));
    }
}

fn pack_pair_of(pair: vec2<i32>) -> i32 {
    return (pair.x & 0xffff) | (pair.y << 16u);
}

// Four samples of a row that was filtered across.
fn line_at(i: u32) -> vec4<i32> {
    let low = scanned[2u * i];
    let high = scanned[2u * i + 1u];
    return vec4<i32>(low << 16u, low, high << 16u, high) >> vec4<u32>(16u);
}

// First of a plane's samples in `above` and `left`.
fn edge_of(plane: u32) -> u32 {
    return select(16u + 16u * plane, 0u, plane == 0u);
}

// Plane of a lane, where luma has 32, U and V 16 each.
fn plane_of_lane(lane: u32) -> u32 {
    return select(lane / 16u - 1u, 0u, lane < 32u);
}

// The block is number `turn` of those that the workgroup codes; `mode` that of luma.
fn predict_intra(lane: u32, site: Site, mode: u32, turn: u32) {
    let has_above = site.row % params.tile_rows != 0u;
    let has_left = site.col % params.tile_cols != 0u;
    let own = plane_of_lane(lane);
    let number = lane - edge_of(own);
    if number < (site.side >> min(own, 1u)) {
        let plane = plane_of(RECON, own);
        let origin = origin_of(site, own);
        let bounds = vec2<u32>(params.cols, params.rows) * select(4u, 8u, own == 0u) - 1u;
        let last = min(origin + number, bounds);
        // Where one edge is missing, the other one's first sample stands for it.
        var value = vec2<u32>(127u, 129u);
        if has_above {
            value.x = sample_at(plane, last.x, origin.y - 1u);
            value.y = sample_at(plane, origin.x, origin.y - 1u);
        }
        if has_left {
            value.y = sample_at(plane, origin.x - 1u, last.y);
            if !has_above {
                value.x = sample_at(plane, origin.x - 1u, origin.y);
            }
        }
        above[lane] = i32(value.x);
        left[lane] = i32(value.y);
        atomicAdd(&edge_sums[6u * turn + 2u * own], value.x);
        atomicAdd(&edge_sums[6u * turn + 2u * own + 1u], value.y);
    }
    if lane == 0u {
        var corner = 128u;
        if has_above || has_left {
            corner = sample_at(
                plane_of(RECON, 0u), site.col * 8u - u32(has_left), site.row * 8u - u32(has_above),
            );
        }
        left[64] = i32(corner);
    }
    if lane < site.side / 4u {
        let at = SMOOTH + site.side - 4u + 4u * lane;
        weights[lane] = pack_four(vec4<i32>(tables[at], tables[at + 1u], tables[at + 2u], tables[at + 3u]));
    }
    workgroupBarrier();
    let words = site.side * site.side / 4u;
    for (var i = lane; i < words + words / 2u; i += GROUP) {
        let task = task_of(i, words, words / 4u);
        let log2 = site.log2 - min(task.plane, 1u);
        let edge = edge_of(task.plane);
        let y = task.index >> (log2 - 2u);
        let x = (task.index << 2u) & ((1u << log2) - 1u);
        let last = edge + (1u << log2) - 1u;
        let at = edge + x;
        let sum = 6u * turn + 2u * task.plane;
        let mean = intra_mean(
            1u << log2, has_above, has_left, atomicLoad(&edge_sums[sum]), atomicLoad(&edge_sums[sum + 1u]),
        );
        let four = intra_four(
            select(DC, mode, task.plane == 0u), unpack_four(weights[x / 4u]), byte_of(weights[y / 4u], y & 3u),
            vec4<i32>(above[at], above[at + 1u], above[at + 2u], above[at + 3u]), left[edge + y],
            left[64], above[last], left[last], mean,
        );
        settle(site, i, task, pack_four(four));
    }
}

// The level of a coefficient (quantize.rs).
fn level_of(coefficient: i32, first: bool, side: u32) -> i32 {
    let magnitude = min(u32(abs(coefficient)) * select(1u, 2u, side == 32u), 98304u);
    var zero_bin = params.ac_zero_bin;
    var level = ((magnitude + params.ac_rounding) * params.ac_reciprocal) >> params.ac_shift;
    if first {
        zero_bin = params.dc_zero_bin;
        level = ((magnitude + params.dc_rounding) * params.dc_reciprocal) >> params.dc_shift;
    }
    let signed = select(i32(level), -i32(level), coefficient < 0);
    return select(signed, 0, magnitude < zero_bin);
}

// What a decoder makes of a level (§7.12.3).
fn value_of(level: i32, first: bool, side: u32) -> i32 {
    let step = select(params.ac_step, params.dc_step, first);
    let magnitude = i32(((u32(abs(level)) * step) & 0xffffffu) >> select(0u, 1u, side == 32u));
    return clamp16(select(magnitude, -magnitude, level < 0));
}

// Level number `i` of all: its plane, its number there, and where its coefficient stands.
struct Level {
    plane: u32,
    number: u32,
    side: u32,
    at: u32,
}

fn level_at(site: Site, i: u32) -> Level {
    let area = site.side * site.side;
    let task = task_of(i, area, area / 4u);
    let log2 = site.log2 - min(task.plane, 1u);
    let position = u32(tables[scan_at(1u << log2) + task.index]);
    return Level(task.plane, task.index, 1u << log2, base_of(task.plane) + position + (position >> log2));
}

// What one lane made of the ends, for all.
fn agree_on_ends(lane: u32) -> vec3<u32> {
    workgroupBarrier();
    if lane == 0u {
        agreed = vec3<u32>(atomicLoad(&end[0]), atomicLoad(&end[1]), atomicLoad(&end[2]));
    }
    return workgroupUniformLoad(&agreed);
}

// Transforms and quantizes the residual, and turns it back; returns the ends of the levels. `coefficients` then hold
// what the levels make of it, unless there are none. Planes that are not `wanted` have none.
fn code_residual(lane: u32, site: Site, wanted: vec3<bool>) -> vec3<u32> {
    let own = plane_of_lane(lane);
    let line = lane - edge_of(own);
    let base = base_of(own);
    let side = site.side >> min(own, 1u);
    let pitch = pitch_of(side);
    let area = site.side * site.side;
    let count = area + area / 2u;
    if lane < 3u {
        atomicStore(&end[lane], 0u);
        atomicStore(&greatest[lane], 0u);
        atomicStore(&outside[lane], 0u);
    }
    workgroupBarrier();
    for (var second = false; ; second = true) {
        let first = base + line * select(1u, pitch, second);
        forward_pass(line, side, first, select(pitch, 1u, second), forward_shift(side, second));
        workgroupBarrier();
        if second {
            break;
        }
    }
    for (var i = lane; i < count; i += GROUP) {
        let l = level_at(site, i);
        let level = select(0, level_of(coefficients[l.at], l.number == 0u, l.side), wanted[l.plane]);
        scanned[i] = level;
        var value = 0;
        if level != 0 {
            value = value_of(level, l.number == 0u, l.side);
            atomicMax(&end[l.plane], l.number + 1u);
            atomicMax(&greatest[l.plane], u32(abs(level)));
        }
        coefficients[l.at] = value;
    }
    var length = agree_on_ends(lane);
    while any(length > vec3<u32>(0u)) {
        beyond = 0;
        for (var second = false; ; second = true) {
            let first = base + line * select(pitch, 1u, second);
            // A plane without levels is all zeros, and stays so.
            inverse_pass(
                select(GROUP, line, length[own] > 0u), side, first, select(1u, pitch, second),
                select(row_shift(side), 4u, second),
            );
            if second {
                break;
            }
            workgroupBarrier();
        }
        if beyond != 0 {
            atomicOr(&outside[own], 1u);
        }
        workgroupBarrier();
        if lane == 0u {
            agreed = vec3<u32>(atomicLoad(&outside[0]), atomicLoad(&outside[1]), atomicLoad(&outside[2]));
        }
        let over = workgroupUniformLoad(&agreed) != vec3<u32>(0u);
        if !any(over) {
            break;
        }
        // Harsh contrasts at coarse steps can overshoot the range that decoders agree in: then the finer half goes,
        // until it fits; one level alone always does.
        if lane < 3u {
            atomicStore(&outside[lane], 0u);
            atomicStore(&end[lane], select(length[lane], 0u, over[lane]));
        }
        workgroupBarrier();
        for (var i = lane; i < count; i += GROUP) {
            let task = task_of(i, area, area / 4u);
            if over[task.plane] && task.index < length[task.plane] / 2u && scanned[i] != 0 {
                atomicMax(&end[task.plane], task.index + 1u);
            }
        }
        length = agree_on_ends(lane);
        for (var i = lane; i < count; i += GROUP) {
            let l = level_at(site, i);
            let value = value_of(scanned[i], l.number == 0u, l.side);
            coefficients[l.at] = select(0, value, l.number < length[l.plane]);
        }
        workgroupBarrier();
    }
    return length;
}

// Words of `levels` before those of a transform that starts in a cell (decisions.rs, `level_start`).
fn level_words(row: u32, col: u32, plane: u32) -> u32 {
    let superblock = (row / 8u) * params.sb_cols + col / 8u;
    let cell = superblock * 64u + z_order(row & 7u, col & 7u);
    if plane == 0u {
        return cell * 32u;
    }
    return superblocks() * (1536u + 512u * plane) + cell * 8u;
}

// Turns the residual of a predicted block into levels and samples.
fn finish(lane: u32, site: Site) {
    let wanted = wanted_of(lane, site);
    var length = vec3<u32>(0u);
    if any(wanted) {
        length = code_residual(lane, site, wanted);
    }
    let words = site.side * site.side / 4u;
    for (var i = lane; i < words + words / 2u; i += GROUP) {
        let task = task_of(i, words, words / 4u);
        let log2 = site.log2 - min(task.plane, 1u);
        let y = task.index >> (log2 - 2u);
        let x = (task.index << 2u) & ((1u << log2) - 1u);
        var word = predicted[i];
        if length[task.plane] > 0u {
            let begin = base_of(task.plane) + y * pitch_of(1u << log2) + x;
            let residual = vec4<i32>(
                coefficients[begin], coefficients[begin + 1u], coefficients[begin + 2u], coefficients[begin + 3u],
            );
            word = pack_four(clamp(unpack_four(word) + residual, vec4<i32>(0), vec4<i32>(255)));
            // Its share of the levels, in pairs.
            let at = level_words(site.row, site.col, task.plane) + 2u * task.index;
            let number = 4u * task.index;
            if number < length[task.plane] {
                levels[at] = pack_pair(vec2<i32>(scanned[4u * i], scanned[4u * i + 1u]));
            }
            if number + 2u < length[task.plane] {
                levels[at + 1u] = pack_pair(vec2<i32>(scanned[4u * i + 2u], scanned[4u * i + 3u]));
            }
        }
        let at = origin_of(site, task.plane) + vec2<u32>(x, y);
        frames[word_at(plane_of(RECON, task.plane), at.x, at.y)] = word;
    }
    if lane < 3u {
        var width = 0u;
        if length[lane] > 0u {
            let most = atomicLoad(&greatest[lane]);
            width = select(0u, 1u, most > 7u) + select(0u, 1u, most > 127u);
        }
        ends[(site.row * cell_stride() + site.col) * 3u + lane] = length[lane] | (width << 16u);
    }
}

@compute @workgroup_size(64)
fn inter(
    @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let cell = linear_group(id, groups);
    let row = cell / cell_stride();
    let col = cell % cell_stride();
    if row >= params.rows || col >= params.cols {
        return;
    }
    if lane == 0u {
        record = vec2<u32>(blocks[2u * cell], blocks[2u * cell + 1u]);
    }
    let block = workgroupUniformLoad(&record);
    let cells = side_of(block.x) / 8u;
    if reference_of(block.x) == 0u || row % cells != 0u || col % cells != 0u {
        return;
    }
    let site = site_of(row, col, block.x);
    predict_inter(lane, site, select(params.golden, params.last, reference_of(block.x) == 1u), block.y);
    finish(lane, site);
}

// Codes the intra blocks of the 16×16 at (row, column) of their grid; the upper right quarter of a 32×32 speaks for all
// four.
fn code_intra(lane: u32, row: u32, col: u32) {
    if lane < 24u {
        atomicStore(&edge_sums[lane], 0u);
    }
    if lane == 0u {
        let at = 4u * (row * cell_stride() + col);
        let below = at + 2u * cell_stride();
        kinds = vec4<u32>(blocks[at], blocks[at + 2u], blocks[below], blocks[below + 2u]);
    }
    let all = workgroupUniformLoad(&kinds);
    let side = side_of(all.x);
    if side == 32u && (row % 2u != 0u || col % 2u != 1u) {
        return;
    }
    let origin = vec2<u32>(2u * row, 2u * col - select(0u, 2u, side == 32u));
    let count = select(1u, 4u, side == 8u);
    for (var i = 0u; i < count; i += 1u) {
        let kind = all[i];
        let at = origin + vec2<u32>(i / 2u, i % 2u);
        if at.x >= params.rows || at.y >= params.cols || reference_of(kind) != 0u {
            continue;
        }
        let site = site_of(at.x, at.y, kind);
        predict_intra(lane, site, mode_of(kind), i);
        finish(lane, site);
        // The next one is predicted from it.
        storageBarrier();
        workgroupBarrier();
    }
}

// One anti-diagonal of a key frame.
@compute @workgroup_size(64)
fn intra(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>) {
    let size = grid(16u);
    let row = id.x + max(step, size.x - 1u) - (size.x - 1u);
    if row > step || row >= size.y {
        return;
    }
    code_intra(lane, row, step - row);
}

// One depth of the islands of an inter frame.
@compute @workgroup_size(64)
fn island(
    @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let size = grid(16u);
    let block = linear_group(id, groups);
    if block >= size.x * size.y {
        return;
    }
    let row = block / size.x;
    let col = block % size.x;
    if lane == 0u {
        agreed.x = depths[row * grid_stride(16u) + col];
    }
    if workgroupUniformLoad(&agreed).x != step {
        return;
    }
    code_intra(lane, row, col);
}
