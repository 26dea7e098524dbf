//! The adapter: which one is taken, what it must be able to do, why one is not usable, and whether it was lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// An opened adapter.
pub struct Gpu {
    /// Makes buffers and pipelines.
    pub device: wgpu::Device,
    /// Takes work.
    pub queue: wgpu::Queue,
    name: String,
    fault: Arc<Fault>,
}

/// Which adapters [`Gpu::open`] considers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefer {
    /// Hardware alone.
    Hardware,
    /// Hardware, else an adapter that computes on the CPU (lavapipe).
    Any,
}

/// What one adapter is, and whether the engine can use it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AdapterReport {
    /// As the driver calls it.
    pub name: String,
    /// The interface it is reached by, for example `vulkan`.
    pub backend: String,
    /// `discrete`, `integrated`, `virtual`, `software`, `other`, or `none` where there is no adapter at all.
    pub kind: &'static str,
    /// Driver and version; empty where it does not say.
    pub driver: String,
    /// Every stage runs on it.
    pub usable: bool,
    /// What it lacks and what to do about it.
    pub why_not: Option<String>,
    /// What is good to know of a usable adapter.
    pub note: Option<String>,
}

/// Why the GPU cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// There is nothing to open.
    #[error("no usable GPU: {why}")]
    NoAdapter {
        /// What was found and what to do.
        why: String,
    },
    /// The driver refused the device.
    #[error("the adapter {name} did not open ({what}); update its driver or use the CPU")]
    Open {
        /// The adapter.
        name: String,
        /// What the driver said.
        what: String,
    },
    /// A shader did not compile.
    #[error("the shader {stage} ({entry}) does not compile on this adapter ({what}); use the CPU and report it")]
    Shader {
        /// The stage.
        stage: &'static str,
        /// Its entry point.
        entry: &'static str,
        /// What the compiler said.
        what: String,
    },
    /// A buffer exceeds what the adapter takes.
    #[error(
        "{what} needs {bytes} bytes, and this adapter takes {limit} in one buffer; use a smaller picture or the CPU"
    )]
    TooLarge {
        /// What the buffer is for.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The adapter's limit.
        limit: u64,
    },
    /// The adapter's memory is spent.
    #[error("{what} needs {bytes} bytes, and the GPU has no memory left; close other programs or use the CPU")]
    OutOfMemory {
        /// What the buffer is for.
        what: &'static str,
        /// Its size.
        bytes: u64,
    },
    /// Every readback buffer is on its way.
    #[error("every readback buffer is on its way; read a result before the next submission")]
    RingFull,
    /// A result does not fit a readback buffer.
    #[error("a result of {wanted} bytes does not fit a readback buffer of {room}")]
    ResultTooLarge {
        /// Bytes asked for.
        wanted: u64,
        /// Bytes there are.
        room: u64,
    },
    /// The GPU gave no result.
    #[error("the GPU gave no result within {seconds} s; open it anew or use the CPU")]
    NoResult {
        /// How long was waited.
        seconds: u64,
    },
    /// The device was lost, or refused a command.
    #[error("the GPU was lost or failed ({what}); open it anew or use the CPU")]
    Lost {
        /// What the driver said.
        what: String,
    },
}

/// Set by the driver's callbacks, read before each submission and after each wait.
#[derive(Default)]
struct Fault {
    lost: AtomicBool,
    what: Mutex<String>,
}

impl Fault {
    /// Keeps the first cause; those that follow are its consequences.
    fn note(&self, what: String) {
        tracing::error!("GPU: {what}");
        if let Ok(mut first) = self.what.lock()
            && first.is_empty()
        {
            *first = what;
        }
        self.lost.store(true, Ordering::Release);
    }
}

impl Gpu {
    /// Opens the best adapter that `prefer` admits: discrete, integrated, virtual, any other, software.
    pub fn open(prefer: Prefer) -> Result<Self, DeviceError> {
        let mut found = enumerate();
        found.sort_by_key(|adapter| rank(adapter.get_info().device_type));
        let admitted = |a: &wgpu::Adapter| {
            let software = a.get_info().device_type == wgpu::DeviceType::Cpu;
            (prefer == Prefer::Any || !software) && missing(a).is_none()
        };
        let Some(adapter) = found.iter().find(|a| admitted(a)) else {
            return Err(DeviceError::NoAdapter { why: why_none(&found) });
        };
        Self::from_adapter(adapter)
    }

    /// The adapter's name and backend, for example `llvmpipe (…) [vulkan]`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The device was lost or has failed: nothing it returns counts any more.
    pub fn is_lost(&self) -> bool {
        self.fault.lost.load(Ordering::Acquire)
    }

    /// An error where the device was lost or has failed.
    pub fn check(&self) -> Result<(), DeviceError> {
        if !self.is_lost() {
            return Ok(());
        }
        let what = self.fault.what.lock().map(|what| what.clone()).unwrap_or_default();
        Err(DeviceError::Lost { what })
    }

    /// A zeroed buffer of `bytes` bytes, rounded up to 16. Refuses more than the adapter binds at once.
    pub fn buffer(
        &self,
        what: &'static str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, DeviceError> {
        let limits = self.device.limits();
        let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let size = bytes.next_multiple_of(16).max(16);
        if size > limit {
            return Err(DeviceError::TooLarge { what, bytes, limit });
        }
        let usage = usage | wgpu::BufferUsages::COPY_DST;
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(what),
            size,
            usage,
            mapped_at_creation: false,
        });
        match pollster::block_on(scope.pop()) {
            Some(_) => Err(DeviceError::OutOfMemory { what, bytes }),
            None => Ok(buffer),
        }
    }

    /// Writes `data` to the front of `buffer` before the next submission; a last partial word is filled with zeros.
    pub fn upload(&self, buffer: &wgpu::Buffer, data: &[u8]) -> Result<(), DeviceError> {
        let padded = data.len().next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT as usize) as u64;
        let size = std::num::NonZeroU64::new(padded);
        let Some(mut view) = size.and_then(|size| self.queue.write_buffer_with(buffer, 0, size)) else {
            return Err(DeviceError::TooLarge { what: "an upload", bytes: padded, limit: buffer.size() });
        };
        view.slice(..data.len()).copy_from_slice(data);
        view.slice(data.len()..).fill(0);
        Ok(())
    }

    fn from_adapter(adapter: &wgpu::Adapter) -> Result<Self, DeviceError> {
        let info = adapter.get_info();
        let available = adapter.limits();
        let limits = wgpu::Limits {
            max_storage_buffer_binding_size: available.max_storage_buffer_binding_size,
            max_buffer_size: available.max_buffer_size,
            ..wgpu::Limits::default().or_worse_values_from(&available)
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("conclave"),
            required_features: adapter.features() & wgpu::Features::TIMESTAMP_QUERY,
            required_limits: limits,
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|e| DeviceError::Open { name: info.name.clone(), what: e.to_string() })?;
        let fault = Arc::new(Fault::default());
        let noted = fault.clone();
        device.set_device_lost_callback(move |reason, what| match reason {
            wgpu::DeviceLostReason::Destroyed => noted.lost.store(true, Ordering::Release),
            wgpu::DeviceLostReason::Unknown => noted.note(format!("device lost: {what}")),
        });
        let noted = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| noted.note(error.to_string())));
        Ok(Self { device, queue, name: format!("{} [{}]", info.name, info.backend), fault })
    }
}

/// Every adapter of this machine, the one that would be taken first. Where there is none, a single entry of kind
/// `none` says what to do.
pub fn adapters() -> Vec<AdapterReport> {
    let mut found = enumerate();
    found.sort_by_key(|adapter| rank(adapter.get_info().device_type));
    if found.is_empty() {
        return vec![AdapterReport {
            name: "no Vulkan adapter".into(),
            backend: "vulkan".into(),
            kind: "none",
            driver: String::new(),
            usable: false,
            why_not: Some(NO_VULKAN.into()),
            note: None,
        }];
    }
    found.iter().map(report).collect()
}

fn report(adapter: &wgpu::Adapter) -> AdapterReport {
    let info = adapter.get_info();
    let why_not = missing(adapter);
    let software = info.device_type == wgpu::DeviceType::Cpu;
    AdapterReport {
        name: info.name,
        backend: info.backend.to_string(),
        kind: kind(info.device_type),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        usable: why_not.is_none(),
        note: (software && why_not.is_none()).then(|| SOFTWARE.into()),
        why_not,
    }
}

fn enumerate() -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY;
    descriptor.flags = wgpu::InstanceFlags::empty();
    pollster::block_on(wgpu::Instance::new(descriptor).enumerate_adapters(wgpu::Backends::PRIMARY))
}

/// What an adapter lacks of what the stages need; `None` where it suffices.
fn missing(adapter: &wgpu::Adapter) -> Option<String> {
    let limits = adapter.limits();
    if !adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS) {
        return Some("it has no compute shaders; use the CPU or another adapter".into());
    }
    let needs: [(&str, u64, u64); 5] = [
        ("storage buffers a stage", limits.max_storage_buffers_per_shader_stage.into(), 8),
        ("bytes of workgroup memory", limits.max_compute_workgroup_storage_size.into(), 16 << 10),
        ("invocations a workgroup", limits.max_compute_invocations_per_workgroup.into(), crate::kernel::GROUP.into()),
        ("workgroups a dimension", limits.max_compute_workgroups_per_dimension.into(), 32_768),
        ("bytes a storage buffer", limits.max_storage_buffer_binding_size, 32 << 20),
    ];
    let (what, has, needed) = needs.into_iter().find(|(_, has, needed)| has < needed)?;
    Some(format!("it offers {has} {what} and {needed} are needed; update its driver or use the CPU"))
}

/// Why none of the adapters found was taken.
fn why_none(found: &[wgpu::Adapter]) -> String {
    if found.is_empty() {
        return NO_VULKAN.into();
    }
    let each = |a: &wgpu::Adapter| {
        format!("{}: {}", a.get_info().name, missing(a).unwrap_or_else(|| "computes on the CPU".into()))
    };
    found.iter().map(each).collect::<Vec<_>>().join("; ")
}

const fn rank(kind: wgpu::DeviceType) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

const fn kind(kind: wgpu::DeviceType) -> &'static str {
    match kind {
        wgpu::DeviceType::DiscreteGpu => "discrete",
        wgpu::DeviceType::IntegratedGpu => "integrated",
        wgpu::DeviceType::VirtualGpu => "virtual",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "other",
    }
}

const NO_VULKAN: &str = "there is no Vulkan loader, or no driver behind it. Install the driver of the graphics card; on \
     Debian or Ubuntu `apt install libvulkan1 mesa-vulkan-drivers` brings the open drivers and the software adapter \
     lavapipe. Without any of them everything runs on the CPU, with the same results";

const SOFTWARE: &str = "computes on the CPU: right for tests, slower than the engine's own CPU code, so taken only where \
     a GPU is asked for by name; install the driver of the graphics card if there is one";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_has_a_sentence_for_whatever_is_not_usable() {
        let all = adapters();
        assert!(!all.is_empty());
        for adapter in &all {
            assert_eq!(adapter.usable, adapter.why_not.is_none(), "{adapter:?}");
            assert!(!adapter.name.is_empty() && !adapter.backend.is_empty(), "{adapter:?}");
        }
        let usable = all.iter().any(|a| a.usable);
        match Gpu::open(Prefer::Any) {
            Ok(gpu) => assert!(usable && !gpu.name().is_empty()),
            Err(error) => assert!(!usable, "{error}"),
        }
    }

    #[test]
    fn a_lost_device_says_so_instead_of_giving_results() {
        let Ok(gpu) = Gpu::open(Prefer::Any) else { return println!("skipped: no Vulkan adapter") };
        assert!(gpu.check().is_ok());
        gpu.device.destroy();
        let _ = gpu.device.poll(wgpu::PollType::Poll);
        assert!(gpu.is_lost());
        assert!(matches!(gpu.check(), Err(DeviceError::Lost { .. })));
    }

    #[test]
    fn a_buffer_beyond_the_limits_is_an_error_and_an_upload_is_checked() {
        let Ok(gpu) = Gpu::open(Prefer::Any) else { return println!("skipped: no Vulkan adapter") };
        let usage = wgpu::BufferUsages::STORAGE;
        assert!(matches!(gpu.buffer("test", u64::MAX / 2, usage), Err(DeviceError::TooLarge { .. })));
        let small = gpu.buffer("test", 3, usage).expect("16 bytes");
        assert!(gpu.upload(&small, &[1, 2, 3]).is_ok());
    }
}
