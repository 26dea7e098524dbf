
var<workgroup> coefficients: array<i32, 1024>;

@group(0) @binding(1) var<storage, read_write> frames: array<u32>;

@compute @workgroup_size(64)
fn inter() {
}

@compute @workgroup_size(64)
fn intra() {
}
