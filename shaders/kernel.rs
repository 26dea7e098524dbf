//! One compiled entry point of a stage, and how many workgroups it takes.

use crate::Stage;
use crate::device::{DeviceError, Gpu};

/// A compute pipeline with the layout that its shader declares.
pub struct Kernel {
    pipeline: wgpu::ComputePipeline,
    entry: &'static str,
}

/// Invocations of a workgroup; `GROUP` of common.wgsl.
pub const GROUP: u32 = 64;

/// Workgroups in one row of a dispatch; the second dimension takes the rest.
const ROW: u32 = 32_768;

impl Kernel {
    /// Compiles `entry` of `stage`. Fails with the compiler's words.
    pub fn new(gpu: &Gpu, stage: &Stage, entry: &'static str) -> Result<Self, DeviceError> {
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(stage.name),
            source: wgpu::ShaderSource::Wgsl(stage.source.into()),
        });
        let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: None,
            module: &module,
            entry_point: Some(entry),
            compilation_options: Default::default(),
            cache: None,
        });
        match pollster::block_on(scope.pop()) {
            Some(error) => Err(DeviceError::Shader { stage: stage.name, entry, what: error.to_string() }),
            None => Ok(Self { pipeline, entry }),
        }
    }

    /// Binds whole buffers by binding number, in group 0.
    pub fn bind(&self, gpu: &Gpu, buffers: &[(u32, &wgpu::Buffer)]) -> wgpu::BindGroup {
        let entries: Vec<_> = buffers
            .iter()
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding: *binding, resource: buffer.as_entire_binding() })
            .collect();
        self.group(gpu, 0, &entries)
    }

    /// Binds `size` bytes of a buffer from `offset` on as the one uniform of group 1: what differs between dispatches of
    /// one frame.
    pub fn bind_part(&self, gpu: &Gpu, buffer: &wgpu::Buffer, offset: u64, size: u64) -> wgpu::BindGroup {
        let part = wgpu::BufferBinding { buffer, offset, size: std::num::NonZeroU64::new(size) };
        self.group(gpu, 1, &[wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(part) }])
    }

    fn group(&self, gpu: &Gpu, index: u32, entries: &[wgpu::BindGroupEntry<'_>]) -> wgpu::BindGroup {
        gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(self.entry),
            layout: &self.pipeline.get_bind_group_layout(index),
            entries,
        })
    }

    /// Records at least `invocations` invocations in `pass`; the shader ignores those beyond its data.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>, bindings: &wgpu::BindGroup, invocations: u32) {
        let [x, y] = groups(invocations);
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, bindings, &[]);
        pass.dispatch_workgroups(x, y, 1);
    }

    /// Records workgroups, with the bindings of group 0 and, where the shader has one, of group 1.
    pub fn dispatch(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        bindings: &wgpu::BindGroup,
        part: Option<&wgpu::BindGroup>,
        [x, y, z]: [u32; 3],
    ) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, bindings, &[]);
        if let Some(part) = part {
            pass.set_bind_group(1, part, &[]);
        }
        pass.dispatch_workgroups(x, y, z);
    }

    /// The same, with as many workgroups as three words in `arguments` from byte `offset` on say.
    pub fn dispatch_indirect(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        bindings: &wgpu::BindGroup,
        part: Option<&wgpu::BindGroup>,
        arguments: &wgpu::Buffer,
        offset: u64,
    ) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, bindings, &[]);
        if let Some(part) = part {
            pass.set_bind_group(1, part, &[]);
        }
        pass.dispatch_workgroups_indirect(arguments, offset);
    }
}

/// Workgroups in each dimension for `invocations`.
fn groups(invocations: u32) -> [u32; 2] {
    spread(invocations.div_ceil(GROUP))
}

/// At least `groups` workgroups over two dimensions.
pub fn spread(groups: u32) -> [u32; 2] {
    let groups = groups.max(1);
    [groups.min(ROW), groups.div_ceil(ROW)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dispatches_cover_every_invocation_within_the_limits() {
        for n in [0, 1, 63, 64, 65, GROUP * ROW, GROUP * ROW + 1, 96 << 20, 200 << 20] {
            let [x, y] = groups(n);
            assert!(x as u64 * y as u64 * GROUP as u64 >= n as u64, "{n}");
            assert!((1..=65_535).contains(&x) && (1..=65_535).contains(&y), "{n}");
        }
    }
}
