//! What a process still has in its memory of keys that it is done with. A child derives, seals, opens, rotates and tears
//! down, then reads all of its own writable memory and looks for every key it ever had, raw, in hexadecimal, as JSON and
//! as CBOR, and for what was said under them.
//!
//! What is looked for is known masked alone, and the child masks what it reads before it looks, so that nobody finds the
//! search itself.
#![cfg(target_os = "linux")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

use conclave::e2ee::Wiping;

#[path = "../support/epochs.rs"]
mod epochs;
mod meeting;
mod schedule;
mod search;
#[path = "../support/group.rs"]
#[allow(dead_code)]
mod table;

/// The system's allocator, which wipes what is freed from when a child says so.
struct Chosen;

static WIPES: AtomicBool = AtomicBool::new(false);
static WIPING: Wiping = Wiping::system();

// SAFETY: every call goes to one of two allocators that share the blocks of the system's.
unsafe impl GlobalAlloc for Chosen {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { if WIPES.load(Ordering::Relaxed) { WIPING.dealloc(at, layout) } else { System.dealloc(at, layout) } }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe {
            if WIPES.load(Ordering::Relaxed) {
                WIPING.realloc(at, layout, len)
            } else {
                System.realloc(at, layout, len)
            }
        }
    }
}

#[global_allocator]
static CHOSEN: Chosen = Chosen;
