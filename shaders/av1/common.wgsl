// What the stages of the AV1 encoder share. This text stands in front of each stage's own.
//
// Everything lies in storage buffers of u32. A plane holds whole superblocks, four samples a word, the first in the low
// byte. A cell is 8×8 luma samples; arrays of cells hold whole superblocks too, row after row. All arithmetic is that of
// the twins in codecs/av1/kernel: integers, ties to the lower index, no order among the blocks of a dispatch.

// One frame, written by the host; field for field codecs/av1/gpu/params.rs.
struct Params {
    // True size in luma samples.
    width: u32,
    height: u32,
    // Cells that the frame covers, across and down.
    cols: u32,
    rows: u32,
    // Superblocks of 64×64.
    sb_cols: u32,
    sb_rows: u32,
    // Cells of one tile, across and down.
    tile_cols: u32,
    tile_rows: u32,
    // Numbers of frames in the pool: the frame before, the long-term reference, the one that is made.
    last: u32,
    golden: u32,
    fresh: u32,
    // 1: there is a frame before; 2: the long-term reference is another one.
    flags: u32,
    // Weights of cost.rs.
    quarter_bit: u32,
    vector_bit: u32,
    // Steps of cost.rs for transforms to 16×16, and for 32×32.
    step: u32,
    step_reciprocal: u32,
    step_rounding: u32,
    step32: u32,
    step32_reciprocal: u32,
    step32_rounding: u32,
    // The quantizer (quantize.rs), first coefficient and all others.
    dc_step: u32,
    dc_zero_bin: u32,
    dc_rounding: u32,
    dc_reciprocal: u32,
    dc_shift: u32,
    ac_step: u32,
    ac_zero_bin: u32,
    ac_rounding: u32,
    ac_reciprocal: u32,
    ac_shift: u32,
    // Deblocking levels: luma across vertical and across horizontal edges, U, V.
    deblock_vertical: u32,
    deblock_horizontal: u32,
    deblock_u: u32,
    deblock_v: u32,
    // CDEF: damping and strengths as coded (a secondary 3 means 4).
    cdef_damping: u32,
    cdef_luma_primary: u32,
    cdef_luma_secondary: u32,
    cdef_chroma_primary: u32,
    cdef_chroma_secondary: u32,
    pad: u32,
    // Superblocks that rest, a bit each: zero motion, skipped.
    still: array<vec4<u32>, 17>,
}

@group(0) @binding(0) var<uniform> params: Params;

// Frames of the pool that are not references.
const SOURCE: u32 = 0u;
const RECON: u32 = 1u;

const HAS_LAST: u32 = 1u;
const HAS_GOLDEN: u32 = 2u;

// Invocations of a workgroup, in every stage.
const GROUP: u32 = 64u;
const MAX_U32: u32 = 0xffffffffu;

fn superblocks() -> u32 {
    return params.sb_cols * params.sb_rows;
}

// Whether the block of `side` at (`col`, `row`), in blocks, lies in a superblock that rests.
fn rests(side: u32, col: u32, row: u32) -> bool {
    let blocks = 64u / side;
    let number = row / blocks * params.sb_cols + col / blocks;
    return ((params.still[number / 128u][number / 32u % 4u] >> (number % 32u)) & 1u) != 0u;
}

// Number of this invocation, where the host spread the groups over two dimensions.
fn linear(id: vec3<u32>, groups: vec3<u32>) -> u32 {
    return id.y * groups.x * GROUP + id.x;
}

// Number of this workgroup, likewise.
fn linear_group(id: vec3<u32>, groups: vec3<u32>) -> u32 {
    return id.y * groups.x + id.x;
}

// Cells in one row of the arrays of cells.
fn cell_stride() -> u32 {
    return params.sb_cols * 8u;
}

// Blocks of `side` (8, 16, 32, 64) that the frame's cells touch, across and down.
fn grid(side: u32) -> vec2<u32> {
    let cells = side / 8u;
    return vec2<u32>((params.cols + cells - 1u) / cells, (params.rows + cells - 1u) / cells);
}

// Blocks of `side` in one row of an array of them.
fn grid_stride(side: u32) -> u32 {
    return params.sb_cols * (64u / side);
}

// Where the sections of `vectors` begin, by superblock: whole-sample steps on the eighth and the quarter scale and at full
// scale, then quarter-sample vectors.
const EIGHTH_AT: u32 = 0u;
const QUARTER_AT: u32 = 1u;
const BY16_AT: u32 = 5u;
const BY32_AT: u32 = 21u;
const BY8_AT: u32 = 25u;
const FINE8_AT: u32 = 89u;
const FINE16_AT: u32 = 153u;
const FINE32_AT: u32 = 169u;

// First word of the quarter-sample vectors of blocks of `side`.
fn fine_at(side: u32) -> u32 {
    return select(select(FINE32_AT, FINE16_AT, side == 16u), FINE8_AT, side == 8u) * superblocks();
}

// A block record in two words. `kind`: bits 0–1 size (0: 8×8 … 3: 64×64), bits 2–3 reference (0 intra, 1 last, 2 golden),
// bit 4 skip, bits 8–11 intra mode as in the specification. `vector`: row in the low half, column in the high half, in
// eighths; 0 for intra blocks.
const SKIP: u32 = 16u;

fn kind_of(size: u32, reference: u32, skip: bool, mode: u32) -> u32 {
    return size | (reference << 2u) | select(0u, SKIP, skip) | (mode << 8u);
}

fn side_of(kind: u32) -> u32 {
    return 8u << (kind & 3u);
}

fn reference_of(kind: u32) -> u32 {
    return (kind >> 2u) & 3u;
}

fn mode_of(kind: u32) -> u32 {
    return (kind >> 8u) & 15u;
}

// Two signed halves in a word: a vector (row, column) or a whole-sample step (x, y).
fn pack_pair(pair: vec2<i32>) -> u32 {
    return (u32(pair.x) & 0xffffu) | (u32(pair.y) << 16u);
}

fn unpack_pair(word: u32) -> vec2<i32> {
    return vec2<i32>((i32(word) << 16u) >> 16u, i32(word) >> 16u);
}

// Position of a cell in the Z order of its superblock: the bits of row and column interleaved.
fn z_order(row: u32, col: u32) -> u32 {
    let both = vec2<u32>(row, col);
    let spread = (both & vec2<u32>(1u)) | ((both & vec2<u32>(2u)) << vec2<u32>(1u)) | ((both & vec2<u32>(4u)) << vec2<u32>(2u));
    return (spread.x << 1u) | spread.y;
}

fn from_z_order(z: u32) -> vec2<u32> {
    let both = vec2<u32>(z >> 1u, z);
    return (both & vec2<u32>(1u)) | ((both >> vec2<u32>(1u)) & vec2<u32>(2u)) | ((both >> vec2<u32>(2u)) & vec2<u32>(4u));
}
