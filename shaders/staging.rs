//! The way back to the CPU: a ring of readback buffers, so that a result can be copied out while the next is computed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use crate::device::{DeviceError, Gpu};

/// Readback buffers of one size, used in turn.
pub struct Ring {
    slots: Vec<Slot>,
    next: usize,
}

/// A result on its way; redeemed once, with [`Ring::read`].
#[must_use = "a ticket that is not redeemed keeps its buffer busy"]
pub struct Ticket {
    slot: usize,
    submission: wgpu::SubmissionIndex,
    bytes: u64,
}

struct Slot {
    buffer: wgpu::Buffer,
    busy: bool,
    mapped: Arc<AtomicU8>,
}

/// Bytes of a buffer that are wanted on the CPU; begin and length are multiples of 4.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The buffer.
    pub buffer: &'a wgpu::Buffer,
    /// The first byte.
    pub begin: u64,
    /// Number of bytes.
    pub bytes: u64,
}

impl<'a> Part<'a> {
    /// The front of a buffer.
    pub fn front(buffer: &'a wgpu::Buffer, bytes: u64) -> Self {
        Self { buffer, begin: 0, bytes }
    }
}

/// A submission that takes longer has hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// States of [`Slot::mapped`].
const WAITING: u8 = 0;
const MAPPED: u8 = 1;
const FAILED: u8 = 2;

impl Ring {
    /// `slots` buffers of `bytes` bytes each, rounded up to whole words. Three are enough for one being written, one on
    /// its way and one being read.
    pub fn new(gpu: &Gpu, slots: usize, bytes: u64) -> Result<Self, DeviceError> {
        let slot = |_| {
            let usage = wgpu::BufferUsages::MAP_READ;
            let buffer = gpu.buffer("readback", bytes, usage)?;
            Ok(Slot { buffer, busy: false, mapped: Arc::new(AtomicU8::new(WAITING)) })
        };
        Ok(Self { slots: (0..slots).map(slot).collect::<Result<_, _>>()?, next: 0 })
    }

    /// Appends to `encoder` the copies of the given parts, one behind the other, submits it and asks for the result.
    /// Refuses where every buffer is on its way, and where the copies exceed a buffer.
    pub fn submit(
        &mut self,
        gpu: &Gpu,
        mut encoder: wgpu::CommandEncoder,
        parts: &[Part<'_>],
    ) -> Result<Ticket, DeviceError> {
        gpu.check()?;
        let count = self.slots.len();
        let free = (0..count).map(|i| (self.next + i) % count).find(|index| !self.slots[*index].busy);
        let index = free.ok_or(DeviceError::RingFull)?;
        let slot = &mut self.slots[index];
        let wanted = parts.iter().map(|part| part.bytes).sum::<u64>();
        if wanted > slot.buffer.size() {
            return Err(DeviceError::ResultTooLarge { wanted, room: slot.buffer.size() });
        }
        let mut at = 0;
        for part in parts {
            encoder.copy_buffer_to_buffer(part.buffer, part.begin, &slot.buffer, at, part.bytes);
            at += part.bytes;
        }
        let submission = gpu.queue.submit([encoder.finish()]);
        slot.busy = true;
        slot.mapped.store(WAITING, Ordering::Relaxed);
        let mapped = slot.mapped.clone();
        slot.buffer.slice(..at).map_async(wgpu::MapMode::Read, move |result| {
            mapped.store(if result.is_ok() { MAPPED } else { FAILED }, Ordering::Release);
        });
        self.next = (index + 1) % self.slots.len();
        Ok(Ticket { slot: index, submission, bytes: at })
    }

    /// The result is there, so that [`Ring::read`] will not wait.
    pub fn is_ready(&self, gpu: &Gpu, ticket: &Ticket) -> bool {
        let _ = gpu.device.poll(wgpu::PollType::Poll);
        self.slots[ticket.slot].mapped.load(Ordering::Acquire) != WAITING
    }

    /// Waits for a result, shows its bytes to `take`, and frees the buffer.
    pub fn read<R>(&mut self, gpu: &Gpu, ticket: Ticket, take: impl FnOnce(&[u8]) -> R) -> Result<R, DeviceError> {
        let waited = gpu
            .device
            .poll(wgpu::PollType::Wait { submission_index: Some(ticket.submission), timeout: Some(PATIENCE) });
        let slot = &mut self.slots[ticket.slot];
        let mut state = slot.mapped.load(Ordering::Acquire);
        // Another thread that polls the device may have taken the callback along, and not called it yet.
        let start = Instant::now();
        while waited.is_ok() && state == WAITING && start.elapsed() < PATIENCE {
            let _ = gpu.device.poll(wgpu::PollType::Poll);
            std::thread::yield_now();
            state = slot.mapped.load(Ordering::Acquire);
        }
        slot.busy = false;
        if waited.is_err() || state != MAPPED {
            slot.buffer.unmap();
            gpu.check()?;
            return Err(DeviceError::NoResult { seconds: PATIENCE.as_secs() });
        }
        let taken = match slot.buffer.slice(..ticket.bytes).get_mapped_range() {
            Ok(view) => Ok(take(&view)),
            Err(_) => Err(DeviceError::NoResult { seconds: PATIENCE.as_secs() }),
        };
        slot.buffer.unmap();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Prefer;

    fn buffer(gpu: &Gpu, word: u32) -> wgpu::Buffer {
        let buffer = gpu.buffer("words", 8, wgpu::BufferUsages::COPY_SRC).expect("8 bytes");
        gpu.queue.write_buffer(&buffer, 0, &[word.to_le_bytes(), (word + 1).to_le_bytes()].concat());
        buffer
    }

    #[test]
    fn three_results_are_on_their_way_at_once_and_a_fourth_is_refused() {
        let Ok(gpu) = Gpu::open(Prefer::Any) else { return println!("skipped: no Vulkan adapter") };
        let mut ring = Ring::new(&gpu, 3, 16).expect("48 bytes");
        let encoder = || gpu.device.create_command_encoder(&Default::default());
        for round in 0..3u32 {
            let words = [round, round + 10, round + 20];
            let buffers = words.map(|word| buffer(&gpu, word));
            let tickets = buffers.each_ref().map(|b| {
                let parts = [Part::front(b, 4), Part { buffer: b, begin: 4, bytes: 4 }];
                ring.submit(&gpu, encoder(), &parts).expect("room")
            });
            assert!(matches!(ring.submit(&gpu, encoder(), &[Part::front(&buffers[0], 4)]), Err(DeviceError::RingFull)));
            for (ticket, word) in tickets.into_iter().zip(words) {
                let bytes = ring.read(&gpu, ticket, <[u8]>::to_vec).expect("a result");
                assert_eq!(bytes, [word.to_le_bytes(), (word + 1).to_le_bytes()].concat());
            }
        }
        let large = gpu.buffer("large", 20, wgpu::BufferUsages::COPY_SRC).expect("20 bytes");
        let refused = ring.submit(&gpu, encoder(), &[Part::front(&large, 20)]);
        assert!(matches!(refused, Err(DeviceError::ResultTooLarge { wanted: 20, room: 16 })));
    }
}
