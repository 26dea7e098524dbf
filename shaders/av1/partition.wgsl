
@compute @workgroup_size(64)
fn join16() {
}

@compute @workgroup_size(64)
fn join32() {
}

@compute @workgroup_size(64)
fn record() {
}
