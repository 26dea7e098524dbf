//! The stacks that the MLS library worked on. Its calls leave private keys of the tree in frames that are dead and in those
//! of the threads that it shares its work with, and these live as long as the process; no allocator reaches them.

use zeroize::Zeroize;

/// Bytes wiped below the caller's frame: deeper than the library goes. A thread that calls a group needs twice that, which
/// is what Rust's threads have.
const DEPTH: usize = 1 << 20;

/// Wipes what calls of the library have left on this thread's stack and on those of the threads it works with. Called
/// where the library was called, once it has returned.
pub(super) fn wipe() {
    wipe_here();
    // The library computes paths in the global pool.
    rayon::broadcast(|_| wipe_here());
}

#[inline(never)]
fn wipe_here() {
    let mut dead = [0u8; DEPTH];
    dead.zeroize();
    std::hint::black_box(&mut dead);
}
