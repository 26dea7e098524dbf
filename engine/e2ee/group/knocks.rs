//! Key packages that have led into the group. Each does once: a relay that delivers an old knock again must not get a
//! host to put a member out for its former self. Whoever comes is told of those before it ([`super::arrivals`]).

use std::collections::{BTreeSet, VecDeque};

use openmls::prelude::KeyPackage;

use super::wire::sha256;

/// So many are remembered: more than a long meeting of a thousand lets in.
const MAX: usize = 4096;

/// The key packages used, the latest of them.
#[derive(Default)]
pub(crate) struct Used {
    known: BTreeSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl Used {
    /// Those with these names, the oldest first.
    pub(crate) fn of(names: &[[u8; 32]]) -> Self {
        let mut used = Self::default();
        names.iter().for_each(|name| used.put(*name));
        used
    }

    /// Their names, the oldest first.
    pub(crate) fn names(&self) -> impl ExactSizeIterator<Item = [u8; 32]> {
        self.order.iter().copied()
    }

    /// Whether it has led in before.
    pub(crate) fn contains(&self, package: &KeyPackage) -> bool {
        self.known.contains(&name(package))
    }

    /// It led in.
    pub(crate) fn add(&mut self, package: &KeyPackage) {
        self.put(name(package));
    }

    fn put(&mut self, name: [u8; 32]) {
        if self.known.insert(name) {
            self.order.push_back(name);
        }
        if self.order.len() > MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// A key package has an init key of its own.
pub(crate) fn name(package: &KeyPackage) -> [u8; 32] {
    sha256(package.hpke_init_key().as_slice())
}
