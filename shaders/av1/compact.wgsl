
@compute @workgroup_size(64)
fn count() {
}

@compute @workgroup_size(64)
fn total() {
}

@compute @workgroup_size(64)
fn pack() {
}
