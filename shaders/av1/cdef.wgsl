
@group(0) @binding(1) var<storage, read_write> frames: array<u32>;

@compute @workgroup_size(64)
fn direction() {
}

@compute @workgroup_size(64)
fn apply() {
}
