//! Reference slots as the decoder has them, over fewer or more buffers than slots.
//!
//! A frame is made in a buffer that no slot names. Committing it is naming it; a frame that is thrown away after it was
//! encoded leaves no trace, for nothing has named its buffer yet.

use super::entropy::cdf::Cdfs;
use super::frame::Frame;
use super::kernel::pyramid::Pyramid;
use super::layout::Layout;
use super::plan::{Plan, SLOTS};
use crate::Size;

/// What a decoder keeps of a frame, and what the search wants of it.
pub struct Slot {
    /// The reconstruction, filtered.
    pub frame: Frame,
    /// Its luma on three scales.
    pub pyramid: Pyramid,
    /// CDFs at its end.
    pub cdfs: Box<Cdfs>,
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

    /// Sizes of the frames in the slots; that of an empty slot is nothing.
    pub fn sizes(&self) -> [Size; SLOTS] {
        self.table.map(|buffer| buffer.map_or(Size::new(0, 0), |buffer| self.buffers[buffer as usize].frame.size))
    }

    /// Takes a buffer that no slot names, in the size of `layout`, to make a frame in. Give it to [`Slots::commit`].
    pub fn free(&mut self, layout: &Layout) -> Fresh {
        let named = |buffer: usize| self.table.contains(&Some(buffer as u8));
        let buffer = (0..self.buffers.len()).find(|buffer| !named(*buffer)).unwrap_or_else(|| {
            self.buffers.push(Slot {
                frame: Frame::new(layout),
                pyramid: Pyramid::default(),
                cdfs: Box::new(Cdfs::default_for(1)),
                number: 0,
            });
            self.buffers.len() - 1
        });
        if self.buffers[buffer].frame.size != layout.size {
            self.buffers[buffer].frame = Frame::new(layout);
        }
        Fresh(buffer as u8)
    }

    /// The buffer of a frame being made.
    pub fn fresh(&mut self, fresh: &Fresh) -> &mut Slot {
        &mut self.buffers[fresh.0 as usize]
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
