//! The way back to the CPU: a ring of readback buffers, so that a result can be copied out while the next is computed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

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
}

struct Slot {
    buffer: wgpu::Buffer,
    busy: bool,
    mapped: Arc<AtomicU8>,
}

/// Fewest buffers of a ring: one being written, one on its way, one being read.
pub const MIN_SLOTS: usize = 3;

/// A submission that takes longer has hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// States of [`Slot::mapped`].
const WAITING: u8 = 0;
const MAPPED: u8 = 1;
const FAILED: u8 = 2;

impl Ring {
    /// `slots` buffers (at least [`MIN_SLOTS`]) of `bytes` bytes each, rounded up to whole words.
    pub fn new(gpu: &Gpu, slots: usize, bytes: u64) -> Self {
        let slot = |_| Slot {
            buffer: gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("readback"),
                size: bytes.next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT).max(wgpu::COPY_BUFFER_ALIGNMENT),
                usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
                mapped_at_creation: false,
            }),
            busy: false,
            mapped: Arc::new(AtomicU8::new(WAITING)),
        };
        Self { slots: (0..slots.max(MIN_SLOTS)).map(slot).collect(), next: 0 }
    }

    /// Appends to `encoder` the copies of the given buffers' fronts (buffer, bytes), one behind the other, submits it
    /// and asks for the result. Every length is a multiple of 4. Refuses where every buffer is on its way, and where
    /// the copies exceed a buffer.
    pub fn submit(
        &mut self,
        gpu: &Gpu,
        mut encoder: wgpu::CommandEncoder,
        results: &[(&wgpu::Buffer, u64)],
    ) -> Result<Ticket, DeviceError> {
        gpu.check()?;
        let index = self.next;
        let slot = &mut self.slots[index];
        if slot.busy {
            return Err(DeviceError::RingFull);
        }
        let wanted = results.iter().map(|(_, len)| len).sum::<u64>();
        if wanted > slot.buffer.size() {
            return Err(DeviceError::ResultTooLarge { wanted, room: slot.buffer.size() });
        }
        let mut at = 0;
        for (buffer, len) in results {
            encoder.copy_buffer_to_buffer(buffer, 0, &slot.buffer, at, *len);
            at += len;
        }
        let submission = gpu.queue.submit([encoder.finish()]);
        slot.busy = true;
        slot.mapped.store(WAITING, Ordering::Relaxed);
        let mapped = slot.mapped.clone();
        slot.buffer.slice(..).map_async(wgpu::MapMode::Read, move |result| {
            mapped.store(if result.is_ok() { MAPPED } else { FAILED }, Ordering::Release);
        });
        self.next = (index + 1) % self.slots.len();
        Ok(Ticket { slot: index, submission })
    }

    /// Waits for a result, shows its bytes to `take`, and frees the buffer.
    pub fn read<R>(&mut self, gpu: &Gpu, ticket: Ticket, take: impl FnOnce(&[u8]) -> R) -> Result<R, DeviceError> {
        let waited = gpu
            .device
            .poll(wgpu::PollType::Wait { submission_index: Some(ticket.submission), timeout: Some(PATIENCE) });
        let slot = &mut self.slots[ticket.slot];
        let state = slot.mapped.load(Ordering::Acquire);
        slot.busy = false;
        if waited.is_err() || state != MAPPED {
            slot.buffer.unmap();
            gpu.check()?;
            return Err(DeviceError::NoResult { seconds: PATIENCE.as_secs() });
        }
        let taken = match slot.buffer.slice(..).get_mapped_range() {
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
        let buffer = gpu.buffer("word", 4, wgpu::BufferUsages::COPY_SRC).expect("4 bytes");
        gpu.queue.write_buffer(&buffer, 0, &word.to_le_bytes());
        buffer
    }

    #[test]
    fn three_results_are_on_their_way_at_once_and_a_fourth_is_refused() {
        let Ok(gpu) = Gpu::open(Prefer::Any) else { return println!("skipped: no Vulkan adapter") };
        let mut ring = Ring::new(&gpu, 3, 8);
        let encoder = || gpu.device.create_command_encoder(&Default::default());
        for round in 0..3u32 {
            let words = [round, round + 10, round + 20];
            let buffers = words.map(|word| buffer(&gpu, word));
            let tickets = buffers.each_ref().map(|b| ring.submit(&gpu, encoder(), &[(b, 4), (b, 4)]).expect("room"));
            assert!(matches!(ring.submit(&gpu, encoder(), &[(&buffers[0], 4)]), Err(DeviceError::RingFull)));
            for (ticket, word) in tickets.into_iter().zip(words) {
                let bytes = ring.read(&gpu, ticket, <[u8]>::to_vec).expect("a result");
                assert_eq!(bytes, [word.to_le_bytes(), word.to_le_bytes()].concat());
            }
        }
        let large = gpu.buffer("large", 12, wgpu::BufferUsages::COPY_SRC).expect("12 bytes");
        let refused = ring.submit(&gpu, encoder(), &[(&large, 12)]);
        assert!(matches!(refused, Err(DeviceError::ResultTooLarge { wanted: 12, room: 8 })));
    }
}
