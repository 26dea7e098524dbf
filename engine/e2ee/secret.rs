//! Secret bytes, and the memory they lie in: pages that are locked, so that they are never swapped out, and that stay out
//! of core dumps, where the system allows both (Linux; elsewhere they are plain memory).
//!
//! A page is cut into slots of [`SLOT`] bytes, since a meeting has thousands of chains and the system few pages to lock:
//! 64 secrets share one. Pages are kept for the life of the process and never move; a slot that is given back is wiped
//! first and used again. The free slots wait in a queue without a lock.
//!
//! What the ciphers expand from a key lies in memory of their own. [`super::wiping`] has a way to wipe what any library
//! gives back.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hkdf;
use crossbeam::queue::SegQueue;
use zeroize::Zeroize;

use super::keys::KeyError;
use crate::faults::{self, Call};

/// Bytes of the longest secret.
pub const SLOT: usize = 64;

/// How much of the memory for secrets the system locked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Locked {
    /// Pages that are locked and stay out of core dumps.
    pub pages: u64,
    /// Pages that hold secrets all the same, though the system refused one of the two: the limit on locked memory
    /// (`RLIMIT_MEMLOCK`) is reached, or it has no such call.
    pub refused: u64,
}

/// What the system has locked so far. Pages are never given back, so neither number falls.
pub fn locked() -> Locked {
    ARENA.locked()
}

static ARENA: Arena = Arena::new();

/// The free slots of all pages, each of zeros. Without a lock, as a sealer takes one where its key moves on.
struct Arena {
    free: SegQueue<&'static mut [u8]>,
    pages: AtomicU64,
    refused: AtomicU64,
}

impl Arena {
    const fn new() -> Self {
        Self { free: SegQueue::new(), pages: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }

    fn locked(&self) -> Locked {
        Locked { pages: self.pages.load(Ordering::Relaxed), refused: self.refused.load(Ordering::Relaxed) }
    }

    /// A slot of zeros.
    fn take(&self) -> &'static mut [u8] {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        let (page, locked) = page();
        let count = if locked { &self.pages } else { &self.refused };
        count.fetch_add(1, Ordering::Relaxed);
        let (slot, rest) = page.split_at_mut(SLOT);
        rest.chunks_exact_mut(SLOT).for_each(|slot| self.free.push(slot));
        slot
    }

    /// Takes back a slot of zeros.
    fn give(&self, slot: &'static mut [u8]) {
        self.free.push(slot);
    }
}

/// Another page of zeros, and whether it is locked and out of dumps.
#[cfg(target_os = "linux")]
fn page() -> (&'static mut [u8], bool) {
    // SAFETY: asks for a number; touches no memory.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let Some(len) = usize::try_from(size).ok().filter(|len| *len > 0 && len % SLOT == 0) else {
        return (plain(4096), false);
    };
    let (rights, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address of the system's choice takes nobody's memory.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), len, rights, kind, -1, 0) };
    if at == libc::MAP_FAILED {
        return (plain(len), false);
    }
    // SAFETY: the range is the mapping just made; neither call changes its content.
    let locked = unsafe { libc::madvise(at, len, libc::MADV_DONTDUMP) == 0 && libc::mlock(at, len) == 0 };
    // SAFETY: the mapping is `len` zeroed bytes, readable and writable, never unmapped, and nothing else refers to it.
    (unsafe { std::slice::from_raw_parts_mut(at.cast(), len) }, locked)
}

/// Another page of zeros, which the system does not lock.
#[cfg(not(target_os = "linux"))]
fn page() -> (&'static mut [u8], bool) {
    (plain(4096), false)
}

fn plain(len: usize) -> &'static mut [u8] {
    Box::leak(vec![0; len].into_boxed_slice())
}

/// Secret bytes in a slot of their own, wiped when dropped.
pub(crate) struct Secret {
    slot: &'static mut [u8],
    len: usize,
}

impl Secret {
    /// Zeros to be filled in. Longer than [`SLOT`] is a mistake in this program: lengths from outside are checked before.
    fn zeroed(len: usize) -> Self {
        assert!(len <= SLOT, "a secret has at most 64 bytes");
        Self { slot: ARENA.take(), len }
    }

    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        let secret = Self::zeroed(bytes.len());
        secret.slot[..bytes.len()].copy_from_slice(bytes);
        secret
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.slot[..self.len]
    }

    /// What the key schedule derives from this secret for `info`, with SHA-512.
    pub(crate) fn derive_next(&self, info: &[&[u8]], len: usize) -> Result<Self, KeyError> {
        Self::derive(hkdf::HKDF_SHA512, self.as_slice(), info, len)
    }

    /// HKDF-Expand(HKDF-Extract("", `ikm`), `info`, `len`) (RFC 5869), the two steps that all derivations here take.
    pub(crate) fn derive(hash: hkdf::Algorithm, ikm: &[u8], info: &[&[u8]], len: usize) -> Result<Self, KeyError> {
        if faults::fails(Call::Derive) {
            return Err(KeyError::Derive);
        }
        let out = Self::zeroed(len);
        let prk = hkdf::Salt::none(hash).extract(ikm);
        let filled = prk.expand(info, Len(len)).and_then(|okm| okm.fill(&mut out.slot[..len]));
        filled.map_err(|_| KeyError::Derive)?;
        Ok(out)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.slot.zeroize();
        ARENA.give(std::mem::take(&mut self.slot));
    }
}

/// An output length for HKDF.
struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Address and content of every slot that is free.
    fn free() -> Vec<(usize, Vec<u8>)> {
        let slots: Vec<_> = std::iter::from_fn(|| ARENA.free.pop()).collect();
        let seen = slots.iter().map(|slot| (slot.as_ptr() as usize, slot.to_vec())).collect();
        slots.into_iter().for_each(|slot| ARENA.give(slot));
        seen
    }

    /// The content of the slot at this address, where it is free.
    fn free_at(address: usize) -> Option<Vec<u8>> {
        free().into_iter().find(|(at, _)| *at == address).map(|(_, content)| content)
    }

    fn is_send<T: Send + Sync>() {}

    #[test]
    fn thousands_of_secrets_of_several_threads_keep_their_content_and_leave_none() {
        is_send::<Secret>();
        let threads: Vec<_> = (0..4u64)
            .map(|thread| {
                std::thread::spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(thread);
                    let mut kept: Vec<(Vec<u8>, Secret)> = Vec::new();
                    for _ in 0..20_000 {
                        if kept.len() > 1000 || !kept.is_empty() && rng.bool() {
                            let (bytes, secret) = kept.swap_remove(rng.usize(..kept.len()));
                            assert!(secret.as_slice() == bytes);
                        } else {
                            let bytes: Vec<u8> = (0..rng.usize(12..=SLOT)).map(|_| rng.u8(1..)).collect();
                            let secret = Secret::copy_of(&bytes);
                            assert!(secret.slot[bytes.len()..].iter().all(|byte| *byte == 0), "not a slot of zeros");
                            kept.push((bytes, secret));
                        }
                    }
                    assert!(kept.iter().all(|(bytes, secret)| secret.as_slice() == bytes));
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(free().iter().all(|(_, slot)| slot.len() == SLOT && slot.iter().all(|byte| *byte == 0)));
    }

    #[test]
    fn slots_are_used_again_and_no_two_are_one() {
        // All slots of whole pages, so that the same come back in whatever order.
        const COUNT: usize = 16 * 4096 / SLOT;
        let arena = Arena::new();
        let mut taken: Vec<_> = (0..COUNT).map(|_| arena.take()).collect();
        let mut addresses: Vec<_> = taken.iter().map(|slot| slot.as_ptr() as usize).collect();
        addresses.sort_unstable();
        assert!(addresses.windows(2).all(|pair| pair[1] - pair[0] >= SLOT));
        let before = arena.locked();
        assert!(before.pages + before.refused <= COUNT.div_ceil(4096 / SLOT) as u64, "a page for each");
        for _ in 0..10 {
            taken.drain(..).for_each(|slot| arena.give(slot));
            taken.extend((0..COUNT).map(|_| arena.take()));
            let mut again: Vec<_> = taken.iter().map(|slot| slot.as_ptr() as usize).collect();
            again.sort_unstable();
            assert!(addresses.iter().all(|address| again.binary_search(address).is_ok()), "others than before");
        }
        assert_eq!(arena.locked(), before);
    }

    #[test]
    fn what_is_given_back_is_wiped() {
        // Tests beside this one may take the slot before it is looked at.
        let seen = (0..1000).find_map(|_| {
            let secret = Secret::copy_of(&[0xa7; SLOT]);
            let address = secret.slot.as_ptr() as usize;
            assert_eq!(free_at(address), None);
            drop(secret);
            free_at(address)
        });
        assert_eq!(seen, Some(vec![0; SLOT]));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn pages_of_secrets_are_locked_and_stay_out_of_dumps() {
        let secret = Secret::copy_of(&[1; 32]);
        let address = secret.slot.as_ptr() as usize;
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        let flags = smaps.lines().find_map(|line| {
            let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
            let number = |hex| usize::from_str_radix(hex, 16).ok();
            if let Some((from, to)) = range.and_then(|(from, to)| Some((number(from)?, number(to)?))) {
                inside = (from..to).contains(&address);
            }
            line.strip_prefix("VmFlags:").filter(|_| inside)
        });
        let Some(flags) = flags else { return println!("skipped: the system does not tell of its pages") };
        let flag = |flag| flags.split_whitespace().any(|one| one == flag);
        assert!(flag("dd"), "in dumps: {flags}");
        if !flag("lo") {
            assert!(locked().refused > 0, "neither locked nor counted: {flags}");
            println!("skipped: the limit on locked memory does not allow it: {:?}", locked());
        }
    }
}
