
@group(0) @binding(1) var<storage, read_write> frames: array<u32>;

@compute @workgroup_size(64)
fn load() {
}

@compute @workgroup_size(64)
fn quarter_source() {
}

@compute @workgroup_size(64)
fn eighth_source() {
}

@compute @workgroup_size(64)
fn quarter_fresh() {
}

@compute @workgroup_size(64)
fn eighth_fresh() {
}
