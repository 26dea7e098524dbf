// Planes of the frames in the pool. The stage declares `frames` (binding 1), to be read or to be written as well.

// One plane of one frame.
struct Plane {
    // Index of its first word.
    at: u32,
    // Words from one row to the next.
    stride: u32,
    // True size in samples.
    width: i32,
    height: i32,
}

// Words of one frame, by superblock: 1024 of luma, 256 of each chroma plane.
const FRAME_WORDS: u32 = 1536u;

fn plane_of(frame: u32, plane: u32) -> Plane {
    let blocks = superblocks();
    let at = frame * FRAME_WORDS * blocks;
    if plane == 0u {
        return Plane(at, params.sb_cols * 16u, i32(params.width), i32(params.height));
    }
    let size = vec2<i32>(i32(params.width + 1u) / 2, i32(params.height + 1u) / 2);
    return Plane(at + (768u + 256u * plane) * blocks, params.sb_cols * 8u, size.x, size.y);
}

// The word that holds the sample (x, y); both inside the plane.
fn word_at(plane: Plane, x: u32, y: u32) -> u32 {
    return plane.at + y * plane.stride + (x >> 2u);
}

// One sample of the plane as it lies, beyond its true size too.
fn sample_at(plane: Plane, x: u32, y: u32) -> u32 {
    return (frames[word_at(plane, x, y)] >> ((x & 3u) * 8u)) & 255u;
}

// One sample; beyond the true size the last one goes on for ever.
fn clamped_at(plane: Plane, x: i32, y: i32) -> u32 {
    return sample_at(plane, u32(clamp(x, 0, plane.width - 1)), u32(clamp(y, 0, plane.height - 1)));
}

// Four samples from (x, y) on, in one word; beyond the true size the last ones go on for ever.
fn four_clamped(plane: Plane, x: i32, y: i32) -> u32 {
    let row = clamp(y, 0, plane.height - 1);
    if x >= 0 && x + 4 <= plane.width {
        let at = word_at(plane, u32(x), u32(row));
        let shift = (u32(x) & 3u) * 8u;
        if shift == 0u {
            return frames[at];
        }
        return (frames[at] >> shift) | (frames[at + 1u] << (32u - shift));
    }
    var word = 0u;
    for (var i = 0; i < 4; i += 1) {
        word |= clamped_at(plane, x + i, row) << (u32(i) * 8u);
    }
    return word;
}

// Sample `i` of a word.
fn byte_of(word: u32, i: u32) -> i32 {
    return i32((word >> (i * 8u)) & 255u);
}

// Four samples of 0…255 in a word.
fn pack_four(samples: vec4<i32>) -> u32 {
    let s = vec4<u32>(samples);
    return s.x | (s.y << 8u) | (s.z << 16u) | (s.w << 24u);
}

fn unpack_four(word: u32) -> vec4<i32> {
    return vec4<i32>(vec4<u32>(word & 255u, (word >> 8u) & 255u, (word >> 16u) & 255u, word >> 24u));
}
