//! The GPU's own clock: how long the passes of one submission took, where the adapter has timestamp queries.

use crate::device::Gpu;

/// Two timestamps, the begin of the first pass and the end of the last.
pub struct Timer {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    /// Nanoseconds a tick.
    period: f32,
}

/// Bytes of the two timestamps.
pub const TIMER_BYTES: u64 = 16;

impl Timer {
    /// A timer; `None` where the adapter has no timestamp queries.
    pub fn new(gpu: &Gpu) -> Option<Self> {
        if !gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return None;
        }
        Some(Self {
            queries: gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timer"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timer"),
                size: TIMER_BYTES,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            }),
            period: gpu.queue.get_timestamp_period(),
        })
    }

    /// What a single pass that is both first and last carries in its descriptor.
    pub fn around(&self) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        }
    }

    /// Writes the timestamps of the passes recorded so far to a buffer of [`TIMER_BYTES`], and returns it.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder) -> &wgpu::Buffer {
        encoder.resolve_query_set(&self.queries, 0..2, &self.resolved, 0);
        &self.resolved
    }

    /// Microseconds between the two timestamps as they were read back; `None` where they are not [`TIMER_BYTES`] long
    /// or run backwards.
    pub fn microseconds(&self, bytes: &[u8]) -> Option<u64> {
        let [begin, end]: &[[u8; 8]; 2] = bytes.as_chunks().0.try_into().ok()?;
        let ticks = u64::from_le_bytes(*end).checked_sub(u64::from_le_bytes(*begin))?;
        Some((ticks as f64 * f64::from(self.period) / 1000.0).round() as u64)
    }
}
