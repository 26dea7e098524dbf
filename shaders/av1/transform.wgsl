// Transforms (twin: transform.rs; specification §7.13). The stage declares `coefficients`, workgroup memory that
// holds all lines.
//
// A one-dimensional transform works on `t` in place, frequencies in bit-reversed order, so that a DCT of N is one of
// N/2 on the first half, steps of its own on the second, and sums across. Sines and cosines are in units of 1/4096
// (`Cos128_Lookup`), written out so that every index and factor is a constant once functions are inlined.

// What was beyond bit 15 of any value that a rotation of the inverse stored.
var<private> beyond: i32;

fn round_shift(value: i32, bits: u32) -> i32 {
    return (value + ((1 << bits) >> 1u)) >> bits;
}

fn clamp16(value: i32) -> i32 {
    return clamp(value, -32768, 32767);
}

// Turns the pair (a, b) and stores it at (c, d); watches the range.
fn turn(t: ptr<function, array<i32, 32>>, a: u32, b: u32, c: u32, d: u32, cosine: i32, sine: i32) {
    let x = round_shift((*t)[a] * cosine - (*t)[b] * sine, 12u);
    let y = round_shift((*t)[a] * sine + (*t)[b] * cosine, 12u);
    (*t)[c] = x;
    (*t)[d] = y;
    beyond |= ((x + 32768) >> 16u) | ((y + 32768) >> 16u);
}

// The same on the way forward.
fn back(t: ptr<function, array<i32, 32>>, a: u32, b: u32, c: u32, d: u32, cosine: i32, sine: i32) {
    let x = round_shift((*t)[a] * cosine - (*t)[b] * sine, 12u);
    let y = round_shift((*t)[a] * sine + (*t)[b] * cosine, 12u);
    (*t)[c] = x;
    (*t)[d] = y;
}

fn cross16(t: ptr<function, array<i32, 32>>, a: u32, b: u32) {
    let x = (*t)[a];
    let y = (*t)[b];
    (*t)[a] = clamp16(x + y);
    (*t)[b] = clamp16(x - y);
}

fn cross(t: ptr<function, array<i32, 32>>, a: u32, b: u32) {
    let x = (*t)[a];
    let y = (*t)[b];
    (*t)[a] = x + y;
    (*t)[b] = x - y;
}

// One pass of the forward DCT over `side` lines of `coefficients`; this invocation has line number `line`, none beyond
// them. Its elements stand at `first` and `step` apart. Between two passes stands a barrier. A shader calls it at one
// place only, in a loop over both passes: drivers copy all of it wherever it is called.
fn forward_pass(line: u32, side: u32, first: u32, step: u32, shift: u32) {
    if line >= side {
        return;
    }
    var t: array<i32, 32>;
    switch side {
        case 4u: { take4(&t, 0u, first, step); }
        case 8u: { take8(&t, 0u, first, step); }
        case 16u: { take16(&t, 0u, first, step); }
        default: {
            take16(&t, 0u, first, step);
            take16(&t, 16u, first + 16u * step, step);
        }
    }
    forward(&t, side);
    switch side {
        case 4u: { give_reversed4(&t, 0u, first, step, shift); }
        case 8u: { give_reversed8(&t, 0u, first, step, shift); }
        case 16u: { give_reversed16(&t, 0u, first, step, shift); }
        default: {
            give_reversed16(&t, 0u, first, 2u * step, shift);
            give_reversed16(&t, 16u, first + step, 2u * step, shift);
        }
    }
}

// The same of the inverse DCT.
fn inverse_pass(line: u32, side: u32, first: u32, step: u32, shift: u32) {
    if line >= side {
        return;
    }
    var t: array<i32, 32>;
    switch side {
        case 4u: { take_reversed4(&t, 0u, first, step); }
        case 8u: { take_reversed8(&t, 0u, first, step); }
        case 16u: { take_reversed16(&t, 0u, first, step); }
        default: {
            take_reversed16(&t, 0u, first, 2u * step);
            take_reversed16(&t, 16u, first + step, 2u * step);
        }
    }
    inverse(&t, side);
    switch side {
        case 4u: { give4(&t, 0u, first, step, shift); }
        case 8u: { give8(&t, 0u, first, step, shift); }
        case 16u: { give16(&t, 0u, first, step, shift); }
        default: {
            give16(&t, 0u, first, step, shift);
            give16(&t, 16u, first + 16u * step, step, shift);
        }
    }
}

fn take4(t: ptr<function, array<i32, 32>>, to: u32, first: u32, step: u32) {
    (*t)[to] = coefficients[first];
    (*t)[to + 1u] = coefficients[first + step];
    (*t)[to + 2u] = coefficients[first + 2u * step];
    (*t)[to + 3u] = coefficients[first + 3u * step];
}

fn take8(t: ptr<function, array<i32, 32>>, to: u32, first: u32, step: u32) {
    take4(t, to, first, step);
    take4(t, to + 4u, first + 4u * step, step);
}

fn take16(t: ptr<function, array<i32, 32>>, to: u32, first: u32, step: u32) {
    take8(t, to, first, step);
    take8(t, to + 8u, first + 8u * step, step);
}

fn take_reversed4(t: ptr<function, array<i32, 32>>, to: u32, first: u32, step: u32) {
    (*t)[to] = coefficients[first];
    (*t)[to + 1u] = coefficients[first + 2u * step];
    (*t)[to + 2u] = coefficients[first + step];
    (*t)[to + 3u] = coefficients[first + 3u * step];
}

fn take_reversed8(t: ptr<function, array<i32, 32>>, to: u32, first: u32, step: u32) {
    take_reversed4(t, to, first, 2u * step);
    take_reversed4(t, to + 4u, first + step, 2u * step);
}

fn take_reversed16(t: ptr<function, array<i32, 32>>, to: u32, first: u32, step: u32) {
    take_reversed8(t, to, first, 2u * step);
    take_reversed8(t, to + 8u, first + step, 2u * step);
}

fn give4(t: ptr<function, array<i32, 32>>, to: u32, first: u32, step: u32, shift: u32) {
    coefficients[first] = clamp16(round_shift((*t)[to], shift));
    coefficients[first + step] = clamp16(round_shift((*t)[to + 1u], shift));
    coefficients[first + 2u * step] = clamp16(round_shift((*t)[to + 2u], shift));
    coefficients[first + 3u * step] = clamp16(round_shift((*t)[to + 3u], shift));
}

fn give8(t: ptr<function, array<i32, 32>>, to: u32, first: u32, step: u32, shift: u32) {
    give4(t, to, first, step, shift);
    give4(t, to + 4u, first + 4u * step, step, shift);
}

fn give16(t: ptr<function, array<i32, 32>>, to: u32, first: u32, step: u32, shift: u32) {
    give8(t, to, first, step, shift);
    give8(t, to + 8u, first + 8u * step, step, shift);
}

fn give_reversed4(t: ptr<function, array<i32, 32>>, to: u32, first: u32, step: u32, shift: u32) {
    coefficients[first] = clamp16(round_shift((*t)[to], shift));
    coefficients[first + 2u * step] = clamp16(round_shift((*t)[to + 1u], shift));
    coefficients[first + step] = clamp16(round_shift((*t)[to + 2u], shift));
    coefficients[first + 3u * step] = clamp16(round_shift((*t)[to + 3u], shift));
}

fn give_reversed8(t: ptr<function, array<i32, 32>>, to: u32, first: u32, step: u32, shift: u32) {
    give_reversed4(t, to, first, 2u * step, shift);
    give_reversed4(t, to + 4u, first + step, 2u * step, shift);
}

fn give_reversed16(t: ptr<function, array<i32, 32>>, to: u32, first: u32, step: u32, shift: u32) {
    give_reversed8(t, to, first, 2u * step, shift);
    give_reversed8(t, to + 8u, first + step, 2u * step, shift);
}

// Bits that the two forward passes drop, by side (gain √(N/2) a pass; 32×32 drops some between the passes too, so that
// 32 bits hold the second one).
fn forward_shift(side: u32, second: bool) -> u32 {
    if side == 32u {
        return 2u;
    }
    return select(0u, countTrailingZeros(side) - 2u, second);
}

// `Transform_Row_Shift` of the square sizes.
fn row_shift(side: u32) -> u32 {
    return min(countTrailingZeros(side) - 2u, 2u);
}

// Frequencies in bit-reversed order to samples (§7.13.2.3), `side` of them.
fn inverse(t: ptr<function, array<i32, 32>>, side: u32) {
    turn(t, 0u, 1u, 1u, 0u, 2896, 2896);
    turn(t, 2u, 3u, 2u, 3u, 1567, 3784);
    cross16(t, 0u, 3u); cross16(t, 1u, 2u);
    if side < 8u {
        return;
    }
    inverse_odd4(t);
    cross16(t, 0u, 7u); cross16(t, 1u, 6u); cross16(t, 2u, 5u); cross16(t, 3u, 4u);
    if side < 16u {
        return;
    }
    inverse_odd8(t);
    cross16(t, 0u, 15u); cross16(t, 1u, 14u); cross16(t, 2u, 13u); cross16(t, 3u, 12u);
    cross16(t, 4u, 11u); cross16(t, 5u, 10u); cross16(t, 6u, 9u); cross16(t, 7u, 8u);
    if side < 32u {
        return;
    }
    inverse_odd16(t);
    cross16(t, 0u, 31u); cross16(t, 1u, 30u); cross16(t, 2u, 29u); cross16(t, 3u, 28u);
    cross16(t, 4u, 27u); cross16(t, 5u, 26u); cross16(t, 6u, 25u); cross16(t, 7u, 24u);
    cross16(t, 8u, 23u); cross16(t, 9u, 22u); cross16(t, 10u, 21u); cross16(t, 11u, 20u);
    cross16(t, 12u, 19u); cross16(t, 13u, 18u); cross16(t, 14u, 17u); cross16(t, 15u, 16u);
}

fn inverse_odd4(t: ptr<function, array<i32, 32>>) {
    turn(t, 4u, 7u, 4u, 7u, 799, 4017); turn(t, 5u, 6u, 5u, 6u, 3406, 2276);
    cross16(t, 4u, 5u); cross16(t, 7u, 6u);
    turn(t, 6u, 5u, 5u, 6u, 2896, 2896);
}

fn inverse_odd8(t: ptr<function, array<i32, 32>>) {
    turn(t, 8u, 15u, 8u, 15u, 401, 4076); turn(t, 9u, 14u, 9u, 14u, 3166, 2598);
    turn(t, 10u, 13u, 10u, 13u, 1931, 3612); turn(t, 11u, 12u, 11u, 12u, 3920, 1189);
    cross16(t, 8u, 9u); cross16(t, 11u, 10u);
    cross16(t, 12u, 13u); cross16(t, 15u, 14u);
    turn(t, 14u, 9u, 9u, 14u, 1567, 3784); turn(t, 13u, 10u, 10u, 13u, -3784, 1567);
    cross16(t, 8u, 11u); cross16(t, 9u, 10u);
    cross16(t, 15u, 12u); cross16(t, 14u, 13u);
    turn(t, 13u, 10u, 10u, 13u, 2896, 2896); turn(t, 12u, 11u, 11u, 12u, 2896, 2896);
}

fn inverse_odd16(t: ptr<function, array<i32, 32>>) {
    turn(t, 16u, 31u, 16u, 31u, 201, 4091); turn(t, 17u, 30u, 17u, 30u, 3035, 2751);
    turn(t, 18u, 29u, 18u, 29u, 1751, 3703); turn(t, 19u, 28u, 19u, 28u, 3857, 1380);
    turn(t, 20u, 27u, 20u, 27u, 995, 3973); turn(t, 21u, 26u, 21u, 26u, 3513, 2106);
    turn(t, 22u, 25u, 22u, 25u, 2440, 3290); turn(t, 23u, 24u, 23u, 24u, 4052, 601);
    cross16(t, 16u, 17u); cross16(t, 19u, 18u);
    cross16(t, 20u, 21u); cross16(t, 23u, 22u);
    cross16(t, 24u, 25u); cross16(t, 27u, 26u);
    cross16(t, 28u, 29u); cross16(t, 31u, 30u);
    turn(t, 30u, 17u, 17u, 30u, 799, 4017); turn(t, 29u, 18u, 18u, 29u, -4017, 799);
    turn(t, 26u, 21u, 21u, 26u, 3406, 2276); turn(t, 25u, 22u, 22u, 25u, -2276, 3406);
    cross16(t, 16u, 19u); cross16(t, 17u, 18u);
    cross16(t, 23u, 20u); cross16(t, 22u, 21u);
    cross16(t, 24u, 27u); cross16(t, 25u, 26u);
    cross16(t, 31u, 28u); cross16(t, 30u, 29u);
    turn(t, 29u, 18u, 18u, 29u, 1567, 3784); turn(t, 28u, 19u, 19u, 28u, 1567, 3784);
    turn(t, 27u, 20u, 20u, 27u, -3784, 1567); turn(t, 26u, 21u, 21u, 26u, -3784, 1567);
    cross16(t, 16u, 23u); cross16(t, 17u, 22u);
    cross16(t, 18u, 21u); cross16(t, 19u, 20u);
    cross16(t, 31u, 24u); cross16(t, 30u, 25u);
    cross16(t, 29u, 26u); cross16(t, 28u, 27u);
    turn(t, 27u, 20u, 20u, 27u, 2896, 2896); turn(t, 26u, 21u, 21u, 26u, 2896, 2896);
    turn(t, 25u, 22u, 22u, 25u, 2896, 2896); turn(t, 24u, 23u, 23u, 24u, 2896, 2896);
}

// Samples to frequencies in bit-reversed order, `side` of them: the transposed inverse, without its limits.
fn forward(t: ptr<function, array<i32, 32>>, side: u32) {
    if side >= 32u {
        cross(t, 0u, 31u); cross(t, 1u, 30u); cross(t, 2u, 29u); cross(t, 3u, 28u);
        cross(t, 4u, 27u); cross(t, 5u, 26u); cross(t, 6u, 25u); cross(t, 7u, 24u);
        cross(t, 8u, 23u); cross(t, 9u, 22u); cross(t, 10u, 21u); cross(t, 11u, 20u);
        cross(t, 12u, 19u); cross(t, 13u, 18u); cross(t, 14u, 17u); cross(t, 15u, 16u);
        forward_odd16(t);
    }
    if side >= 16u {
        cross(t, 0u, 15u); cross(t, 1u, 14u); cross(t, 2u, 13u); cross(t, 3u, 12u);
        cross(t, 4u, 11u); cross(t, 5u, 10u); cross(t, 6u, 9u); cross(t, 7u, 8u);
        forward_odd8(t);
    }
    if side >= 8u {
        cross(t, 0u, 7u); cross(t, 1u, 6u); cross(t, 2u, 5u); cross(t, 3u, 4u);
        forward_odd4(t);
    }
    cross(t, 0u, 3u); cross(t, 1u, 2u);
    back(t, 2u, 3u, 2u, 3u, 1567, -3784);
    back(t, 1u, 0u, 0u, 1u, 2896, -2896);
}

fn forward_odd4(t: ptr<function, array<i32, 32>>) {
    back(t, 5u, 6u, 6u, 5u, 2896, -2896);
    cross(t, 4u, 5u); cross(t, 7u, 6u);
    back(t, 4u, 7u, 4u, 7u, 799, -4017); back(t, 5u, 6u, 5u, 6u, 3406, -2276);
}

fn forward_odd8(t: ptr<function, array<i32, 32>>) {
    back(t, 10u, 13u, 13u, 10u, 2896, -2896); back(t, 11u, 12u, 12u, 11u, 2896, -2896);
    cross(t, 8u, 11u); cross(t, 9u, 10u);
    cross(t, 15u, 12u); cross(t, 14u, 13u);
    back(t, 9u, 14u, 14u, 9u, 1567, -3784); back(t, 10u, 13u, 13u, 10u, -3784, -1567);
    cross(t, 8u, 9u); cross(t, 11u, 10u);
    cross(t, 12u, 13u); cross(t, 15u, 14u);
    back(t, 8u, 15u, 8u, 15u, 401, -4076); back(t, 9u, 14u, 9u, 14u, 3166, -2598);
    back(t, 10u, 13u, 10u, 13u, 1931, -3612); back(t, 11u, 12u, 11u, 12u, 3920, -1189);
}

fn forward_odd16(t: ptr<function, array<i32, 32>>) {
    back(t, 20u, 27u, 27u, 20u, 2896, -2896); back(t, 21u, 26u, 26u, 21u, 2896, -2896);
    back(t, 22u, 25u, 25u, 22u, 2896, -2896); back(t, 23u, 24u, 24u, 23u, 2896, -2896);
    cross(t, 16u, 23u); cross(t, 17u, 22u);
    cross(t, 18u, 21u); cross(t, 19u, 20u);
    cross(t, 31u, 24u); cross(t, 30u, 25u);
    cross(t, 29u, 26u); cross(t, 28u, 27u);
    back(t, 18u, 29u, 29u, 18u, 1567, -3784); back(t, 19u, 28u, 28u, 19u, 1567, -3784);
    back(t, 20u, 27u, 27u, 20u, -3784, -1567); back(t, 21u, 26u, 26u, 21u, -3784, -1567);
    cross(t, 16u, 19u); cross(t, 17u, 18u);
    cross(t, 23u, 20u); cross(t, 22u, 21u);
    cross(t, 24u, 27u); cross(t, 25u, 26u);
    cross(t, 31u, 28u); cross(t, 30u, 29u);
    back(t, 17u, 30u, 30u, 17u, 799, -4017); back(t, 18u, 29u, 29u, 18u, -4017, -799);
    back(t, 21u, 26u, 26u, 21u, 3406, -2276); back(t, 22u, 25u, 25u, 22u, -2276, -3406);
    cross(t, 16u, 17u); cross(t, 19u, 18u);
    cross(t, 20u, 21u); cross(t, 23u, 22u);
    cross(t, 24u, 25u); cross(t, 27u, 26u);
    cross(t, 28u, 29u); cross(t, 31u, 30u);
    back(t, 16u, 31u, 16u, 31u, 201, -4091); back(t, 17u, 30u, 17u, 30u, 3035, -2751);
    back(t, 18u, 29u, 18u, 29u, 1751, -3703); back(t, 19u, 28u, 19u, 28u, 3857, -1380);
    back(t, 20u, 27u, 20u, 27u, 995, -3973); back(t, 21u, 26u, 21u, 26u, 3513, -2106);
    back(t, 22u, 25u, 22u, 25u, 2440, -3290); back(t, 23u, 24u, 23u, 24u, 4052, -601);
}
