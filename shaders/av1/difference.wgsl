// What the searches for motion share: how far a block may go, and differences of packed samples (twin: distance.rs). The stage declares `frames` (binding 1), to be read.

// A block at full scale begins at most so many samples before the plane.
const REACH: i32 = 80;
// More than any cost.
const NONE: u32 = 0x40000000u;

// A block may begin so far before the plane, and a fifth of that behind it.
fn inside(size: vec2<i32>, at: vec2<i32>, before: i32) -> bool {
    let behind = before / 5 - 1;
    return all(at >= vec2<i32>(-before)) && all(at <= size + behind);
}

// Halves of a word that hold one sample each.
const HALVES: u32 = 0x00ff00ffu;

// Absolute differences of two samples at once, one in each half.
fn difference_of_halves(a: u32, b: u32) -> u32 {
    // 256 more in each half, so that nothing is borrowed; where that bit is gone, the difference is negative.
    let shifted = a + 0x01000100u - b;
    let negative = ((shifted >> 8u) & 0x00010001u) ^ 0x00010001u;
    return ((shifted ^ (negative * 255u)) & HALVES) + negative;
}

// Absolute differences of four samples, summed into two halves of at most 510.
fn difference(a: u32, b: u32) -> u32 {
    return difference_of_halves(a & HALVES, b & HALVES)
        + difference_of_halves((a >> 8u) & HALVES, (b >> 8u) & HALVES);
}

// Both halves together.
fn total(sums: u32) -> u32 {
    return (sums & 0xffffu) + (sums >> 16u);
}

// Samples `shift` bits (0, 8, 16, 24) into two neighbouring words.
fn between(low: u32, high: u32, shift: u32) -> u32 {
    return (low >> shift) | ((high << 1u) << (31u - shift));
}

// Moves four samples so that the ones `ahead` places on come first, −3…3; the outermost is repeated.
fn moved(four: u32, ahead: i32) -> u32 {
    let left = u32(max(-ahead, 0)) * 8u;
    let right = u32(max(ahead, 0)) * 8u;
    let from_left = (four << left) | (((four & 255u) * 0x010101u) & ((1u << left) - 1u));
    return (from_left >> right) | (((from_left >> 24u) * 0x01010101u) & ~(MAX_U32 >> right));
}

// The place of four samples from `x` on in a row of `width`: where to read, and how far ahead the wanted ones are.
fn place_in(x: i32, width: i32) -> vec2<i32> {
    let at = clamp(x, 0, width - 4);
    return vec2<i32>(at, clamp(x - at, -3, 3));
}
