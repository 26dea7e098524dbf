// Skipped blocks that move alike (twin: merge.rs), after the flag that says which blocks are skipped.
//
// One workgroup a superblock, one lane a cell. Every lane decides for its own cell; the lanes of a quad see the same
// and decide alike.

@group(0) @binding(5) var<storage, read_write> blocks: array<u32>;
@group(0) @binding(6) var<storage, read_write> ends: array<u32>;

// Kinds of the cells before the merges, after the first, after the second.
var<workgroup> kinds: array<u32, 192>;
var<workgroup> vectors: array<u32, 64>;

// Stands where there is no cell: 64×64, of no size that is merged.
const NOTHING: u32 = MAX_U32;

// The first cell of the square of 2^log2 cells a side that a lane's cell lies in.
fn first_cell(lane: u32, log2: u32) -> u32 {
    return lane & ~(((1u << log2) - 1u) * 9u);
}

// Levels come in the low half of the words.
fn has_levels(cell: u32) -> bool {
    return ((ends[3u * cell] | ends[3u * cell + 1u] | ends[3u * cell + 2u]) & 0xffffu) != 0u;
}

// The four blocks of 2^log2 cells a side around this cell become one. `room`: cells of the frame from the superblock's
// first on, down and across.
fn is_merged(lane: u32, log2: u32, room: vec2<u32>) -> bool {
    let first = first_cell(lane, log2 + 1u);
    let half = 1u << log2;
    if first / 8u + 2u * half > room.x || first % 8u + 2u * half > room.y {
        return false;
    }
    let at = 64u * log2;
    let kind = kinds[at + first];
    let vector = vectors[first];
    if (kind & 3u) != log2 || (kind & SKIP) == 0u || reference_of(kind) == 0u {
        return false;
    }
    // Chroma of 8×8 blocks has other filters than that of greater ones.
    if log2 == 0u && ((vector | (vector >> 16u)) & 15u) != 0u {
        return false;
    }
    let right = first + half;
    let below = first + 8u * half;
    return kinds[at + right] == kind && vectors[right] == vector
        && kinds[at + below] == kind && vectors[below] == vector
        && kinds[at + below + half] == kind && vectors[below + half] == vector;
}

@compute @workgroup_size(64)
fn merge(
    @builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let superblock = linear_group(id, groups);
    if superblock >= superblocks() {
        return;
    }
    let top = superblock / params.sb_cols * 8u;
    let left = superblock % params.sb_cols * 8u;
    let room = vec2<u32>(params.rows - top, params.cols - left);
    let origin = top * cell_stride() + left;
    let cell = origin + lane / 8u * cell_stride() + lane % 8u;
    let exists = lane / 8u < room.x && lane % 8u < room.y;

    var kind = NOTHING;
    if exists {
        kind = blocks[2u * cell] & ~SKIP;
        let first = first_cell(lane, kind & 3u);
        if !has_levels(origin + first / 8u * cell_stride() + first % 8u) {
            kind |= SKIP;
        }
        vectors[lane] = blocks[2u * cell + 1u];
    }
    kinds[lane] = kind;
    workgroupBarrier();
    // The block that begins here was merged from others.
    var is_new = false;
    for (var log2 = 0u; log2 < 3u; log2 += 1u) {
        if is_merged(lane, log2, room) {
            // The size is counted in the low bits.
            kind += 1u;
            is_new = is_new || first_cell(lane, log2 + 1u) == lane;
        }
        if log2 < 2u {
            kinds[64u * (log2 + 1u) + lane] = kind;
            workgroupBarrier();
        }
    }
    if exists {
        blocks[2u * cell] = kind;
        if is_new {
            ends[3u * cell] = 0u;
            ends[3u * cell + 1u] = 0u;
            ends[3u * cell + 2u] = 0u;
        }
    }
}
