// Exposure: how often each luma code occurs, and how rough the picture is from one column to the next.
//
// In:  `source`, tight I420; `params`.
// Out: `counts`, cleared before: 256 of luma codes, then 64 of roughness, |left + right - 2 · middle| up to 63, where all
//      three are brighter than `params.floor`. Sums of counts do not depend on the order in which they are added.
// Workgroup: 64 × 1 × 1, of WORDS words an invocation.

struct Params {
    width: u32,
    height: u32,
    floor: u32,
    pad: u32,
}

@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> counts: array<atomic<u32>>;
@group(0) @binding(2) var<uniform> params: Params;

const WORDS: u32 = 16u;
const CODES: u32 = 256u;
const ROUGH: u32 = 64u;

var<workgroup> seen: array<atomic<u32>, 320>;

fn code(at: u32) -> u32 {
    return (source[at >> 2u] >> ((at & 3u) * 8u)) & 255u;
}

@compute @workgroup_size(64)
fn exposure(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let area = params.width * params.height;
    let begin = (group.y * groups.x + group.x) * WORDS * GROUP + lane;
    for (var n = 0u; n < WORDS; n += 1u) {
        let first = (begin + n * GROUP) * 4u;
        for (var at = first; at < min(first + 4u, area); at += 1u) {
            let middle = code(at);
            atomicAdd(&seen[middle], 1u);
            let x = at % params.width;
            if x == 0u || x + 1u == params.width {
                continue;
            }
            let left = code(at - 1u);
            let right = code(at + 1u);
            if min(middle, min(left, right)) > params.floor {
                let rough = abs(i32(left + right) - 2 * i32(middle));
                atomicAdd(&seen[CODES + min(u32(rough), ROUGH - 1u)], 1u);
            }
        }
    }
    workgroupBarrier();
    for (var i = lane; i < CODES + ROUGH; i += GROUP) {
        let count = atomicLoad(&seen[i]);
        if count > 0u {
            atomicAdd(&counts[i], count);
        }
    }
}
