// Prediction plus residual (twin: reconstruct.rs, with quantize.rs): from records and a picture to levels and samples.
//
// In: `frames` (the source and two references), `blocks`. Out: the frame before its filters in `frames`, `levels` in
// scan order, `ends`. One workgroup codes one plane of a block. Planes do not wait for each other, as chroma is
// predicted from chroma, and its transform is the DCT.
//
// `inter` takes every cell; those at which no inter block begins have nothing to do. Then intra blocks, on the grid of
// 16×16 blocks, whose 8×8 blocks run in Z order: on key frames `intra`, one anti-diagonal after the other, where a block
// of n×n at (row, column) runs at step row + column + n − 1; on inter frames `island`, one depth after the other.

@group(0) @binding(1) var<storage, read_write> frames: array<u32>;
@group(0) @binding(4) var<storage, read> depths: array<u32>;
@group(0) @binding(5) var<storage, read> blocks: array<u32>;
@group(0) @binding(6) var<storage, read_write> ends: array<u32>;
@group(0) @binding(7) var<storage, read_write> levels: array<u32>;
@group(1) @binding(0) var<uniform> step: u32;

// Filter lines, 37 of 32 samples, then coefficients, then the residual.
var<workgroup> coefficients: array<i32, 1184>;
// Levels in scan order.
var<workgroup> scanned: array<i32, 1024>;
var<workgroup> predicted: array<u32, 256>;
var<workgroup> above: array<i32, 32>;
var<workgroup> left: array<i32, 32>;
var<workgroup> record: vec2<u32>;
var<workgroup> end: atomic<u32>;
var<workgroup> greatest: atomic<u32>;
var<workgroup> outside: atomic<u32>;
// What one lane read of the three above, for all.
var<workgroup> shown: u32;

// A plane of a block.
struct Site {
    plane: u32,
    // First sample in the plane, and samples along one side.
    x: u32,
    y: u32,
    side: u32,
    // log2 of the words of a row.
    log2: u32,
}

fn site_of(row: u32, col: u32, plane: u32, kind: u32) -> Site {
    let shift = min(plane, 1u);
    let side = side_of(kind) >> shift;
    return Site(plane, (col * 8u) >> shift, (row * 8u) >> shift, side, countTrailingZeros(side) - 2u);
}

fn predict_inter(lane: u32, site: Site, kind: u32, vector: u32) {
    let reference = plane_of(select(params.golden, params.last, reference_of(kind) == 1u), site.plane);
    let m = motion(site.x, site.y, unpack_pair(vector), site.plane > 0u);
    let before = select(0u, 2u, m.down != 0u);
    let rows = site.side + select(0u, 5u, m.down != 0u);
    for (var task = lane; task < rows << site.log2; task += GROUP) {
        let row = task >> site.log2;
        let column = (task - (row << site.log2)) * 4u;
        let four = filtered_across(reference, m, column, i32(row) - i32(before), site.side);
        for (var i = 0u; i < 4u; i += 1u) {
            coefficients[row * site.side + column + i] = four[i];
        }
    }
    workgroupBarrier();
    for (var task = lane; task < site.side << site.log2; task += GROUP) {
        let row = task >> site.log2;
        let at = row * site.side + (task - (row << site.log2)) * 4u;
        if m.down == 0u {
            let c = line(at);
            predicted[task] = pack_four(filtered_down(m, site.side, c, c, c, c, c, c));
        } else {
            let s = site.side;
            predicted[task] = pack_four(filtered_down(
                m, s, line(at), line(at + s), line(at + 2u * s), line(at + 3u * s), line(at + 4u * s), line(at + 5u * s),
            ));
        }
    }
}

fn line(at: u32) -> vec4<i32> {
    return vec4<i32>(coefficients[at], coefficients[at + 1u], coefficients[at + 2u], coefficients[at + 3u]);
}

fn predict_intra(lane: u32, site: Site, kind: u32) {
    let plane = plane_of(RECON, site.plane);
    let shift = min(site.plane, 1u);
    let row = (site.y << shift) / 8u;
    let col = (site.x << shift) / 8u;
    let has_above = row % params.tile_rows != 0u;
    let has_left = col % params.tile_cols != 0u;
    let inside = vec2<u32>(
        min(site.side, ((params.cols * 8u) >> shift) - site.x), min(site.side, ((params.rows * 8u) >> shift) - site.y),
    );
    var corner = 128;
    if has_above {
        corner = i32(sample_at(plane, site.x - select(0u, 1u, has_left), site.y - 1u));
    } else if has_left {
        corner = i32(sample_at(plane, site.x - 1u, site.y));
    }
    if lane < 32u {
        var value = 127;
        if has_above {
            value = i32(sample_at(plane, site.x + min(lane, inside.x - 1u), site.y - 1u));
        } else if has_left {
            value = corner;
        }
        above[lane] = value;
    } else {
        var value = 129;
        if has_left {
            value = i32(sample_at(plane, site.x - 1u, site.y + min(lane - 32u, inside.y - 1u)));
        } else if has_above {
            value = corner;
        }
        left[lane - 32u] = value;
    }
    workgroupBarrier();
    let mode = select(DC, mode_of(kind), site.plane == 0u);
    var mean = 0;
    if mode == DC {
        var sums = vec2<u32>(0u);
        for (var i = 0u; i < site.side; i += 1u) {
            sums += vec2<u32>(u32(above[i]), u32(left[i]));
        }
        mean = intra_mean(site.side, has_above, has_left, sums.x, sums.y);
    }
    let right = above[site.side - 1u];
    let bottom = left[site.side - 1u];
    for (var task = lane; task < site.side << site.log2; task += GROUP) {
        let y = task >> site.log2;
        let x = (task - (y << site.log2)) * 4u;
        var four: vec4<i32>;
        for (var i = 0u; i < 4u; i += 1u) {
            four[i] = intra_sample(mode, x + i, y, site.side, above[x + i], left[y], corner, right, bottom, mean);
        }
        predicted[task] = pack_four(four);
    }
}

// Words from one row of coefficients to the next: odd, so that both passes spread over the banks.
fn pitch_of(side: u32) -> u32 {
    return side + 1u;
}

// Where a coefficient of a position, counted row after row, stands.
fn place_of(position: u32, site: Site) -> u32 {
    return position + (position >> (site.log2 + 2u));
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

// Transforms and quantizes what the prediction leaves, and turns it back; returns the end of the levels. The residual
// then stands in `coefficients`.
fn code_residual(lane: u32, site: Site) -> u32 {
    let side = site.side;
    let area = side * side;
    let pitch = pitch_of(side);
    let source = plane_of(SOURCE, site.plane);
    for (var task = lane; task < side << site.log2; task += GROUP) {
        let y = task >> site.log2;
        let x = (task - (y << site.log2)) * 4u;
        let difference = unpack_four(frames[word_at(source, site.x + x, site.y + y)]) - unpack_four(predicted[task]);
        for (var i = 0u; i < 4u; i += 1u) {
            coefficients[y * pitch + x + i] = difference[i] << 2u;
        }
    }
    if lane == 0u {
        atomicStore(&end, 0u);
        atomicStore(&greatest, 0u);
    }
    workgroupBarrier();
    for (var second = false; ; second = true) {
        forward_pass(lane, side, select(pitch, 1u, second), select(1u, pitch, second), forward_shift(side, second));
        workgroupBarrier();
        if second {
            break;
        }
    }
    let scan = scan_at(side);
    for (var n = lane; n < area; n += GROUP) {
        let level = level_of(coefficients[place_of(u32(tables[scan + n]), site)], n == 0u, side);
        scanned[n] = level;
        if level != 0 {
            atomicMax(&end, n + 1u);
            atomicMax(&greatest, u32(abs(level)));
        }
    }
    workgroupBarrier();
    if lane == 0u {
        shown = atomicLoad(&end);
    }
    var length = workgroupUniformLoad(&shown);
    while length > 0u {
        for (var n = lane; n < area; n += GROUP) {
            let value = value_of(scanned[n], n == 0u, side);
            coefficients[place_of(u32(tables[scan + n]), site)] = select(0, value, n < length);
        }
        if lane == 0u {
            atomicStore(&outside, 0u);
            atomicStore(&end, 0u);
        }
        beyond = 0;
        for (var second = false; ; second = true) {
            workgroupBarrier();
            inverse_pass(
                lane, side, select(1u, pitch, second), select(pitch, 1u, second), select(row_shift(side), 4u, second),
            );
            if second {
                break;
            }
        }
        if beyond != 0 {
            atomicOr(&outside, 1u);
        }
        // Harsh contrasts at coarse steps can overshoot the range that decoders agree in: then the finer half goes, until
        // it fits; one level alone always does.
        for (var n = lane; n < length / 2u; n += GROUP) {
            if scanned[n] != 0 {
                atomicMax(&end, n + 1u);
            }
        }
        workgroupBarrier();
        if lane == 0u {
            shown = select(length, atomicLoad(&end), atomicLoad(&outside) != 0u);
        }
        let kept = workgroupUniformLoad(&shown);
        if kept == length {
            break;
        }
        length = kept;
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

fn code(lane: u32, row: u32, col: u32, plane: u32, kind: u32, vector: u32) {
    let site = site_of(row, col, plane, kind);
    if reference_of(kind) == 0u {
        predict_intra(lane, site, kind);
    } else {
        predict_inter(lane, site, kind, vector);
    }
    workgroupBarrier();
    var length = 0u;
    if (kind & SKIP) == 0u {
        length = code_residual(lane, site);
    }
    let target_plane = plane_of(RECON, plane);
    for (var task = lane; task < site.side << site.log2; task += GROUP) {
        let y = task >> site.log2;
        let x = (task - (y << site.log2)) * 4u;
        var word = predicted[task];
        if length > 0u {
            let sum = unpack_four(word) + line(y * pitch_of(site.side) + x);
            word = pack_four(clamp(sum, vec4<i32>(0), vec4<i32>(255)));
        }
        frames[word_at(target_plane, site.x + x, site.y + y)] = word;
    }
    let at = level_words(row, col, plane);
    for (var n = lane * 2u; n < length; n += 2u * GROUP) {
        levels[at + n / 2u] = pack_pair(vec2<i32>(scanned[n], scanned[n + 1u]));
    }
    if lane == 0u {
        var width = 0u;
        if length > 0u {
            let most = atomicLoad(&greatest);
            width = select(0u, 1u, most > 7u) + select(0u, 1u, most > 127u);
        }
        ends[(row * cell_stride() + col) * 3u + plane] = length | (width << 16u);
    }
}

// The record of a cell, the same for all lanes.
fn record_of(lane: u32, row: u32, col: u32) -> vec2<u32> {
    if lane == 0u {
        let at = (row * cell_stride() + col) * 2u;
        record = vec2<u32>(blocks[at], blocks[at + 1u]);
    }
    return workgroupUniformLoad(&record);
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
    let block = record_of(lane, row, col);
    let cells = side_of(block.x) / 8u;
    if reference_of(block.x) == 0u || row % cells != 0u || col % cells != 0u {
        return;
    }
    code(lane, row, col, id.z, block.x, block.y);
}

// Codes the intra blocks of one plane of the 16×16 at (row, column) of their grid; the upper right quarter of a 32×32
// speaks for all four.
fn code_intra(lane: u32, row: u32, col: u32, plane: u32) {
    let first = record_of(lane, 2u * row, 2u * col);
    let side = side_of(first.x);
    if side == 32u && (row % 2u != 0u || col % 2u != 1u) {
        return;
    }
    let origin = vec2<u32>(2u * row, 2u * col - select(0u, 2u, side == 32u));
    let count = select(1u, 4u, side == 8u);
    for (var i = 0u; i < count; i += 1u) {
        let at = origin + vec2<u32>(i / 2u, i % 2u);
        if at.x < params.rows && at.y < params.cols {
            let block = record_of(lane, at.x, at.y);
            if reference_of(block.x) == 0u {
                code(lane, at.x, at.y, plane, block.x, block.y);
            }
        }
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
    code_intra(lane, row, step - row, id.z);
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
        shown = depths[row * grid_stride(16u) + col];
    }
    if workgroupUniformLoad(&shown) != step {
        return;
    }
    code_intra(lane, row, col, id.z);
}
