//! A map by ascending number that takes all its memory at the start: what is missing, what waits, what is held.
//!
//! Numbers of a stream arrive almost in order, so that entries are put in and taken out near an end, where a ring moves
//! little. The bound is the owner's: whoever inserts into a full map makes room first.

use std::collections::VecDeque;

/// See the module.
pub(crate) struct Sorted<T> {
    entries: VecDeque<(u64, T)>,
    capacity: usize,
}

impl<T> Sorted<T> {
    /// Room for `capacity` entries.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::with_capacity(capacity), capacity }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() == self.capacity
    }

    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        self.place(number).ok().map(|at| &self.entries[at].1)
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.place(number).is_ok()
    }

    /// Puts an entry in. Where there is no room or the number is taken, it comes back.
    pub(crate) fn insert(&mut self, number: u64, value: T) -> Option<T> {
        match self.place(number) {
            Err(at) if !self.is_full() => {
                self.entries.insert(at, (number, value));
                None
            }
            _ => Some(value),
        }
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<T> {
        let at = self.place(number).ok()?;
        self.entries.remove(at).map(|(_, value)| value)
    }

    pub(crate) fn first(&self) -> Option<(u64, &T)> {
        self.entries.front().map(|(number, value)| (*number, value))
    }

    pub(crate) fn last(&self) -> Option<u64> {
        self.entries.back().map(|(number, _)| *number)
    }

    pub(crate) fn pop_first(&mut self) -> Option<(u64, T)> {
        self.entries.pop_front()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// The entries in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.entries.iter().map(|(number, value)| (*number, value))
    }

    /// The first entry from `number` on for which `wanted` holds.
    pub(crate) fn find_from(&self, number: u64, wanted: impl Fn(&T) -> bool) -> Option<u64> {
        let at = self.place(number).unwrap_or_else(|at| at);
        self.entries.range(at..).find(|(_, value)| wanted(value)).map(|(number, _)| *number)
    }

    /// The entries next to `number`, below and above it.
    pub(crate) fn beside(&self, number: u64) -> [Option<&T>; 2] {
        let (below, above) = match self.place(number) {
            Ok(at) => (at, at + 1),
            Err(at) => (at, at),
        };
        let get = |at: Option<usize>| self.entries.get(at?).map(|(_, value)| value);
        [get(below.checked_sub(1)), get(Some(above))]
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let at = self.place(number).ok()?;
        self.entries.get_mut(at).map(|(_, value)| value)
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(u64, &mut T) -> bool) {
        self.entries.retain_mut(|(number, value)| keep(*number, value));
    }

    fn place(&self, number: u64) -> Result<usize, usize> {
        // The newest number is the usual one.
        match self.entries.back() {
            Some((last, _)) if *last < number => Err(self.entries.len()),
            _ => self.entries.binary_search_by_key(&number, |(number, _)| *number),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn agrees_with_a_tree_and_keeps_its_memory() {
        let (mut sorted, mut tree) = (Sorted::new(50), BTreeMap::new());
        let room = sorted.entries.capacity();
        let mut random = fastrand::Rng::with_seed(6);
        for i in 0..50_000u64 {
            let number = i / 20 + random.u64(..100);
            match random.u8(..4) {
                0 => assert_eq!(sorted.remove(number), tree.remove(&number)),
                1 => assert_eq!(sorted.pop_first(), tree.pop_first()),
                _ => {
                    let refused = tree.len() == 50 || tree.contains_key(&number);
                    assert_eq!(sorted.insert(number, i), refused.then_some(i));
                    if !refused {
                        tree.insert(number, i);
                    }
                }
            }
            assert!(sorted.iter().map(|(n, v)| (n, *v)).eq(tree.iter().map(|(n, v)| (*n, *v))));
            let below = tree.range(..number).next_back().map(|(_, v)| *v);
            let above = tree.range(number + 1..).next().map(|(_, v)| *v);
            assert_eq!(sorted.beside(number).map(Option::<&u64>::copied), [below, above]);
            assert_eq!(sorted.get_mut(number).copied(), tree.get(&number).copied());
            let even = tree.range(number..).find(|(_, v)| **v % 2 == 0).map(|(n, _)| *n);
            assert_eq!(sorted.find_from(number, |v| v % 2 == 0), even);
            assert_eq!(
                (sorted.first(), sorted.last()),
                (tree.iter().next().map(|(n, v)| (*n, v)), tree.keys().last().copied())
            );
            assert_eq!((sorted.get(number), sorted.contains(number)), (tree.get(&number), tree.contains_key(&number)));
        }
        assert_eq!(sorted.entries.capacity(), room);
    }
}
