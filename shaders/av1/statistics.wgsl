// How rough the source is (twin: `roughness` of rate.rs): differences of every sample from its upper and its right
// neighbour, the first row left out. One workgroup a superblock, its sum in `totals`.

@group(0) @binding(1) var<storage, read> frames: array<u32>;
@group(0) @binding(10) var<storage, read_write> totals: array<u32>;

var<workgroup> sum: atomic<u32>;

@compute @workgroup_size(64)
fn roughness(
    @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let superblock = linear_group(id, groups);
    if superblock >= superblocks() {
        return;
    }
    let luma = plane_of(SOURCE, 0u);
    let x = (superblock % params.sb_cols) * 64u;
    let y = (superblock / params.sb_cols) * 64u + lane;
    var own = 0u;
    if y > 0u && y < params.height {
        for (var column = x; column < min(x + 64u, params.width); column += 1u) {
            let sample = i32(sample_at(luma, column, y));
            own += u32(abs(sample - i32(sample_at(luma, column, y - 1u))));
            if column + 1u < params.width {
                own += u32(abs(sample - i32(sample_at(luma, column + 1u, y))));
            }
        }
    }
    atomicAdd(&sum, own);
    workgroupBarrier();
    if lane == 0u {
        totals[superblock] = atomicLoad(&sum);
    }
}
