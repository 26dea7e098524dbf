//! Reference slots as the decoder has them, over fewer or more buffers than slots.
//!
//! A frame is made in a buffer that no slot names. Committing it is naming it; a frame that is thrown away after it was
//! encoded leaves no trace, for nothing has named its buffer yet. Samples are kept by whoever makes them, by the number of
//! the buffer.

use super::entropy::cdf::Cdfs;
use super::plan::{Plan, SLOTS};
use crate::Size;

/// What a decoder keeps of a frame beside its samples.
pub struct Slot {
    /// CDFs at its end.
    pub cdfs: Box<Cdfs>,
    /// Its size.
    pub size: Size,
    /// Its number.
    pub number: u64,
}

/// The slots of one stream.
pub struct Slots {
    buffers: Vec<Slot>,
    /// The buffer that each slot names; none before the first key frame.
    table: [Option<u8>; SLOTS],
}

impl Default for Slots {
    fn default() -> Self {
        Self { buffers: Vec::with_capacity(SLOTS + 1), table: [None; SLOTS] }
    }
}

impl Slots {
    /// The frame in a slot.
    pub fn get(&self, slot: u8) -> Option<&Slot> {
        self.table[slot as usize % SLOTS].map(|buffer| &self.buffers[buffer as usize])
    }

    /// The buffer that a slot names.
    pub fn buffer(&self, slot: u8) -> Option<u8> {
        self.table[slot as usize % SLOTS]
    }

    /// Every buffer that some slot names, with the number of its frame.
    pub fn live(&self) -> impl Iterator<Item = (u8, u64)> + '_ {
        let named = |buffer: &u8| self.table.contains(&Some(*buffer));
        (0..self.buffers.len() as u8).filter(named).map(|buffer| (buffer, self.buffers[buffer as usize].number))
    }

    /// Sizes of the frames in the slots; that of an empty slot is nothing.
    pub fn sizes(&self) -> [Size; SLOTS] {
        self.table.map(|buffer| buffer.map_or(Size::new(0, 0), |buffer| self.buffers[buffer as usize].size))
    }

    /// Takes a buffer that no slot names, to make a frame of `size` in. Give it to [`Slots::commit`].
    pub fn free(&mut self, size: Size) -> Fresh {
        let named = |buffer: usize| self.table.contains(&Some(buffer as u8));
        let buffer = (0..self.buffers.len()).find(|buffer| !named(*buffer)).unwrap_or_else(|| {
            self.buffers.push(Slot { cdfs: Box::new(Cdfs::default_for(1)), size, number: 0 });
            self.buffers.len() - 1
        });
        self.buffers[buffer].size = size;
        Fresh(buffer as u8)
    }

    /// A frame being made, and the frames it reads.
    pub fn split(&mut self, fresh: &Fresh, reads: [u8; 2]) -> (&mut Slot, [Option<&Slot>; 2]) {
        let table = self.table;
        let (before, rest) = self.buffers.split_at_mut(fresh.0 as usize);
        let (mine, after) = rest.split_first_mut().expect("a fresh buffer exists");
        let (before, after) = (&*before, &*after);
        let read = |slot: u8| {
            let buffer = table[slot as usize % SLOTS]?;
            if buffer < fresh.0 {
                before.get(buffer as usize)
            } else {
                after.get((buffer as usize).checked_sub(fresh.0 as usize + 1)?)
            }
        };
        (mine, reads.map(read))
    }

    /// The frame is part of the stream: the slots that `plan` refreshes name it from now on.
    pub fn commit(&mut self, fresh: Fresh, plan: &Plan) {
        self.buffers[fresh.0 as usize].number = plan.number;
        for (slot, named) in self.table.iter_mut().enumerate() {
            if plan.refresh >> slot & 1 == 1 {
                *named = Some(fresh.0);
            }
        }
    }
}

/// A buffer in which a frame is being made. Dropping it rolls the frame back.
pub struct Fresh(u8);

impl Fresh {
    /// The number of the buffer.
    pub fn buffer(&self) -> u8 {
        self.0
    }
}
