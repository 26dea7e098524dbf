
@group(0) @binding(1) var<storage, read_write> frames: array<u32>;

@compute @workgroup_size(64)
fn wide() {
}

@compute @workgroup_size(64)
fn narrow() {
}

@compute @workgroup_size(64)
fn by16() {
}

@compute @workgroup_size(64)
fn by32() {
}

@compute @workgroup_size(64)
fn by8() {
}
