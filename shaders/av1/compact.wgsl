// What the host needs of a frame, as few words as possible. Sums over all that come before say where each block's words
// go, so that the order is that of coding: superblock after superblock, cells in Z order.
//
// In: `blocks`, `ends`, `levels`. Out: `packed`: the number of words that follow, then for each block
//   1 word: bits 0–1 size, 2–3 reference, 4 skip, and bits 5–17 and 18–30 row and column of the vector in quarter
//     samples; for intra blocks bits 5–8 the mode;
//   unless skipped 1 word: the ends of Y (11 bits), U and V (9 each), and in bits 29–30 the width of a level: 4, 8, 16
//     bits; then the levels of Y, U, V, each plane on whole words.
// `totals`: words of each superblock, then words before it.

@group(0) @binding(5) var<storage, read> blocks: array<u32>;
@group(0) @binding(6) var<storage, read> ends: array<u32>;
@group(0) @binding(7) var<storage, read> levels: array<u32>;
@group(0) @binding(9) var<storage, read_write> packed: array<u32>;
@group(0) @binding(10) var<storage, read_write> totals: array<u32>;

var<workgroup> sums: array<u32, 64>;

// What a block takes.
struct Share {
    words: u32,
    // Ends of Y, U, V and log2 of the bits of a level, if it has any.
    ends: vec3<u32>,
    log2: u32,
}

// The share of the block that begins in a cell; nothing elsewhere.
fn share_of(row: u32, col: u32) -> Share {
    if row >= params.rows || col >= params.cols {
        return Share(0u, vec3<u32>(0u), 0u);
    }
    let cell = row * cell_stride() + col;
    let kind = blocks[cell * 2u];
    let cells = side_of(kind) / 8u;
    if row % cells != 0u || col % cells != 0u {
        return Share(0u, vec3<u32>(0u), 0u);
    }
    if (kind & SKIP) != 0u {
        return Share(1u, vec3<u32>(0u), 0u);
    }
    let all = vec3<u32>(ends[cell * 3u], ends[cell * 3u + 1u], ends[cell * 3u + 2u]);
    let width = max(max(all.x >> 16u, all.y >> 16u), all.z >> 16u);
    let log2 = 2u + width;
    let last = all & vec3<u32>(0xffffu);
    let words = words_of(last, log2);
    return Share(2u + words.x + words.y + words.z, last, log2);
}

// Words of so many levels of 2^log2 bits.
fn words_of(count: vec3<u32>, log2: u32) -> vec3<u32> {
    return ((count << vec3<u32>(log2)) + 31u) >> vec3<u32>(5u);
}

fn cell_of(superblock: u32, z: u32) -> vec2<u32> {
    let inside = from_z_order(z);
    return vec2<u32>((superblock / params.sb_cols) * 8u + inside.x, (superblock % params.sb_cols) * 8u + inside.y);
}

// Turns `sums` into running sums, each with its own share in it.
fn run_up(lane: u32) {
    for (var distance = 1u; distance < 64u; distance <<= 1u) {
        workgroupBarrier();
        var before = 0u;
        if lane >= distance {
            before = sums[lane - distance];
        }
        workgroupBarrier();
        sums[lane] += before;
    }
    workgroupBarrier();
}

@compute @workgroup_size(64)
fn count(
    @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let superblock = linear_group(id, groups);
    if superblock >= superblocks() {
        return;
    }
    let cell = cell_of(superblock, lane);
    sums[lane] = share_of(cell.x, cell.y).words;
    run_up(lane);
    if lane == 63u {
        totals[superblock] = sums[63];
    }
}

// One workgroup: each lane sums a run of superblocks, then all lanes are summed up.
@compute @workgroup_size(64)
fn total(@builtin(local_invocation_index) lane: u32) {
    let run = (superblocks() + 63u) / 64u;
    let first = min(lane * run, superblocks());
    let behind = min(first + run, superblocks());
    var sum = 0u;
    for (var i = first; i < behind; i += 1u) {
        sum += totals[i];
    }
    sums[lane] = sum;
    run_up(lane);
    var before = sums[lane] - sum;
    for (var i = first; i < behind; i += 1u) {
        let own = totals[i];
        totals[i] = before;
        before += own;
    }
    if lane == 63u {
        packed[0] = sums[63];
    }
}

// Level `n` of a run that begins at word `at`.
fn level_at(at: u32, n: u32) -> u32 {
    return levels[at + n / 2u] >> ((n & 1u) * 16u);
}

@compute @workgroup_size(64)
fn pack(
    @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let superblock = linear_group(id, groups);
    if superblock >= superblocks() {
        return;
    }
    let cell = cell_of(superblock, lane);
    let share = share_of(cell.x, cell.y);
    sums[lane] = share.words;
    run_up(lane);
    if share.words == 0u {
        return;
    }
    var at = 1u + totals[superblock] + sums[lane] - share.words;
    let kind = blocks[(cell.x * cell_stride() + cell.y) * 2u];
    var word = (kind & 31u) | (mode_of(kind) << 5u);
    if reference_of(kind) != 0u {
        let quarters = vec2<u32>(unpack_pair(blocks[(cell.x * cell_stride() + cell.y) * 2u + 1u]) >> vec2<u32>(1u))
            & vec2<u32>(0x1fffu);
        word = (kind & 31u) | (quarters.x << 5u) | (quarters.y << 18u);
    }
    packed[at] = word;
    if share.words == 1u {
        return;
    }
    packed[at + 1u] = share.ends.x | (share.ends.y << 11u) | (share.ends.z << 20u) | ((share.log2 - 2u) << 29u);
    at += 2u;
    let each = 32u >> share.log2;
    let bits = 1u << share.log2;
    let mask = MAX_U32 >> (32u - bits);
    let z = superblock * 64u + lane;
    let words = words_of(share.ends, share.log2);
    for (var plane = 0u; plane < 3u; plane += 1u) {
        var start = z * 32u;
        if plane > 0u {
            start = superblocks() * (1536u + 512u * plane) + z * 8u;
        }
        for (var i = 0u; i < words[plane]; i += 1u) {
            var joined = 0u;
            for (var j = 0u; j < each; j += 1u) {
                let n = i * each + j;
                if n < share.ends[plane] {
                    joined |= (level_at(start, n) & mask) << (j * bits);
                }
            }
            packed[at] = joined;
            at += 1u;
        }
    }
}
