// Quarter-sample motion (twin: subpel.rs): a half step, then a quarter step, around each whole-sample vector, with
// samples blended from four.
//
// One workgroup a block; eight lanes share a candidate, and one lane chooses in the twin's order. In and out: `vectors`.

@group(0) @binding(1) var<storage, read> frames: array<u32>;
@group(0) @binding(3) var<storage, read_write> vectors: array<u32>;

// Vectors (row, column) to try, and whether they may be.
var<workgroup> candidates: array<vec3<i32>, 8>;
var<workgroup> sums: array<atomic<u32>, 8>;

// A block at full scale begins at most so many samples before the plane, and 15 behind it.
fn inside(at: vec2<i32>) -> bool {
    return at.x >= -80 && at.y >= -80 && at.x <= i32(params.width) + 15 && at.y <= i32(params.height) + 15;
}

// The best of the candidates tried so far; only the first lane's counts.
struct Best {
    cost: u32,
    vector: vec2<i32>,
}

fn propose(i: u32, origin: vec2<i32>, vector: vec2<i32>) {
    let may = inside(origin + (vector.yx >> vec2<u32>(3u)));
    candidates[i] = vec3<i32>(vector, select(0, 1, may));
}

fn fraction(vector: vec2<i32>) -> vec2<i32> {
    return (vector.yx & vec2<i32>(7)) / 2;
}

// Sums the differences of `count` proposals and returns the best of them and of `best`.
fn compare(lane: u32, count: u32, origin: vec2<i32>, side: u32, best: Best) -> Best {
    if lane < 8u {
        atomicStore(&sums[lane], 0u);
    }
    workgroupBarrier();
    let candidate = lane / 8u;
    if candidate < count && candidates[candidate].z == 1 {
        let source = plane_of(SOURCE, 0u);
        let reference = plane_of(params.last, 0u);
        let vector = candidates[candidate].xy;
        let to = origin + (vector.yx >> vec2<u32>(3u));
        let f = fraction(vector);
        let weights = vec4<i32>((4 - f.x) * (4 - f.y), f.x * (4 - f.y), (4 - f.x) * f.y, f.x * f.y);
        var sum = 0u;
        // A run of rows, so that each row serves as the lower and then as the upper one.
        let rows = i32(side) / 8;
        let top = i32(lane % 8u) * rows;
        for (var x = 0; x < i32(side); x += 4) {
            var upper = unpack_four(four_clamped(reference, to.x + x, to.y + top));
            var upper_right = unpack_four(four_clamped(reference, to.x + x + 1, to.y + top));
            for (var y = top; y < top + rows; y += 1) {
                let lower = unpack_four(four_clamped(reference, to.x + x, to.y + y + 1));
                let lower_right = unpack_four(four_clamped(reference, to.x + x + 1, to.y + y + 1));
                let blend = upper * weights.x + upper_right * weights.y + lower * weights.z + lower_right * weights.w;
                let four = (blend + 8) >> vec4<u32>(4u);
                let d = abs(unpack_four(frames[word_at(source, u32(origin.x + x), u32(origin.y + y))]) - four);
                sum += u32(d.x + d.y + d.z + d.w);
                upper = lower;
                upper_right = lower_right;
            }
        }
        atomicAdd(&sums[candidate], sum);
    }
    workgroupBarrier();
    var now = best;
    if lane == 0u {
        for (var i = 0u; i < count; i += 1u) {
            if candidates[i].z == 1 {
                let f = fraction(candidates[i].xy);
                let bits = select(0u, 2u, f.x != 0) + select(0u, 2u, f.y != 0);
                let cost = atomicLoad(&sums[i]) + ((bits * params.vector_bit) >> 4u);
                if cost < now.cost {
                    now = Best(cost, candidates[i].xy);
                }
            }
        }
    }
    workgroupBarrier();
    return now;
}

// Neighbours at a distance (row, column): left, right, above, below.
fn side_at(i: u32) -> vec2<i32> {
    switch i {
        case 0u: { return vec2<i32>(0, -1); }
        case 1u: { return vec2<i32>(0, 1); }
        case 2u: { return vec2<i32>(-1, 0); }
        default: { return vec2<i32>(1, 0); }
    }
}

// Refines the vector at `from_index` of a block and stores it at `to_index`.
fn refine(lane: u32, origin: vec2<i32>, side: u32, from_index: u32, to_index: u32) {
    let whole = unpack_pair(vectors[from_index]);
    var best = Best(MAX_U32, whole.yx * 8);
    for (var distance = 4; distance > 1; distance /= 2) {
        let middle = best.vector;
        // The whole vector comes first, once.
        let first = select(0u, 1u, distance == 4);
        if lane == 0u {
            propose(0u, origin, middle);
            for (var i = 0u; i < 4u; i += 1u) {
                propose(first + i, origin, middle + side_at(i) * distance);
            }
        }
        best = compare(lane, first + 4u, origin, side, best);
        // Where a side helped, so may the diagonals next to it.
        if lane == 0u {
            let moved = sign(best.vector - middle);
            candidates[0].z = 0;
            candidates[1].z = 0;
            if moved.y != 0 {
                propose(0u, origin, middle + vec2<i32>(-1, moved.y) * distance);
                propose(1u, origin, middle + vec2<i32>(1, moved.y) * distance);
            } else if moved.x != 0 {
                propose(0u, origin, middle + vec2<i32>(moved.x, -1) * distance);
                propose(1u, origin, middle + vec2<i32>(moved.x, 1) * distance);
            }
        }
        best = compare(lane, 2u, origin, side, best);
    }
    if lane == 0u {
        vectors[to_index] = pack_pair(best.vector);
    }
}

@compute @workgroup_size(64)
fn refine8(
    @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let block = linear_group(id, groups);
    let size = grid(8u);
    if block >= size.x * size.y {
        return;
    }
    let at = vec2<u32>(block % size.x, block / size.x);
    let index = at.y * grid_stride(8u) + at.x;
    refine(lane, vec2<i32>(at * 8u), 8u, 25u * superblocks() + index, 89u * superblocks() + index);
}

@compute @workgroup_size(64)
fn refine16(
    @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let block = linear_group(id, groups);
    let size = grid(16u);
    if block >= size.x * size.y {
        return;
    }
    let at = vec2<u32>(block % size.x, block / size.x);
    let index = at.y * grid_stride(16u) + at.x;
    refine(lane, vec2<i32>(at * 16u), 16u, 5u * superblocks() + index, 153u * superblocks() + index);
}

@compute @workgroup_size(64)
fn refine32(
    @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let block = linear_group(id, groups);
    let size = grid(32u);
    if block >= size.x * size.y {
        return;
    }
    let at = vec2<u32>(block % size.x, block / size.x);
    let index = at.y * grid_stride(32u) + at.x;
    refine(lane, vec2<i32>(at * 32u), 32u, 21u * superblocks() + index, 169u * superblocks() + index);
}
