//! An allocator that wipes whatever is given back to it, for the whole program: the general answer to what libraries leave
//! on the heap of keys and plaintext, their serialized state and the buffers that they outgrew among it.
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: conclave::e2ee::Wiping = conclave::e2ee::Wiping::system();
//! # fn main() {}
//! ```
//!
//! It is the program's to choose, since it costs every allocation: memory is written once more when it is freed, and a
//! buffer that grows is always copied. It does not reach what C libraries allocate, nor the stack.

use std::alloc::{GlobalAlloc, Layout, System};

/// See the module. `A` does the allocating.
pub struct Wiping<A = System>(A);

impl Wiping {
    /// Over the system's allocator.
    pub const fn system() -> Self {
        Self(System)
    }
}

impl<A> Wiping<A> {
    /// Over another allocator.
    pub const fn over(allocator: A) -> Self {
        Self(allocator)
    }
}

// SAFETY: allocations are those of `A`, with the caller's layout; `dealloc` writes only to memory that the caller gives up.
// The default `realloc` goes through both, so that what is outgrown is wiped too.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Wiping<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the block is `layout.size()` bytes long, valid until it is freed, and nobody else's.
        unsafe { wipe(at, layout.size()) };
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { self.0.dealloc(at, layout) }
    }
}

/// Overwrites memory that is about to be freed. A compiler may leave out plain writes to it, and volatile ones byte by byte
/// take eight times as long as these.
///
/// # Safety
/// `len` bytes at `at` can be written, and nothing refers to them.
unsafe fn wipe(at: *mut u8, len: usize) {
    const WORD: usize = size_of::<u64>();
    let head = at.align_offset(WORD).min(len);
    let words = (len - head) / WORD;
    for i in (0..head).chain(head + words * WORD..len) {
        // SAFETY: `i` is below `len`.
        unsafe { at.add(i).write_volatile(0) };
    }
    for i in 0..words {
        // SAFETY: the words start at an aligned address and end within `len` bytes.
        unsafe { at.add(head + i * WORD).cast::<u64>().write_volatile(0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_and_no_other_is_wiped() {
        for offset in 0..16 {
            for len in 0..64 {
                let mut bytes = [0xffu8; 96];
                // SAFETY: the range lies within the array.
                unsafe { wipe(bytes.as_mut_ptr().add(offset), len) };
                let wiped = |i: usize| (offset..offset + len).contains(&i);
                assert!(bytes.iter().enumerate().all(|(i, byte)| *byte == if wiped(i) { 0 } else { 0xff }));
            }
        }
    }
}
