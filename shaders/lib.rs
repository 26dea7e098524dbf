//! WGSL compute stages and the thin host layer that runs them. Knows no media rules.
//!
//! [`STAGES`] is the table of shaders, [`Gpu`] an opened adapter, [`Kernel`] one compiled entry point, [`Ring`] the way
//! back to the CPU and [`Timer`] the GPU's own clock.

pub mod av1;
pub mod device;
pub mod kernel;
pub mod prepare;
pub mod staging;
pub mod timer;

pub use device::{AdapterReport, DeviceError, Gpu, adapters};
pub use kernel::Kernel;
pub use staging::{Part, Ring, Ticket};
pub use timer::Timer;
pub use wgpu;

/// One WGSL file with the shared functions in front of it.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    /// Name of the file without its ending.
    pub name: &'static str,
    /// The whole module.
    pub source: &'static str,
    /// Its entry points, in the order in which they run.
    pub entries: &'static [&'static str],
}

/// Any supported source layout to tight I420.
pub const CONVERT: Stage = Stage {
    name: "convert",
    source: concat!(include_str!("common.wgsl"), include_str!("convert.wgsl")),
    entries: &["convert"],
};

/// Tight I420 to another size.
pub const SCALE: Stage = Stage {
    name: "scale",
    source: concat!(include_str!("common.wgsl"), include_str!("scale.wgsl")),
    entries: &["vertical", "horizontal"],
};

/// Every stage there is, those of the encoder ([`av1::STAGES`]) and of preparation ([`prepare::STAGES`]) apart.
pub const STAGES: &[Stage] = &[CONVERT, SCALE];

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::naga;
    use wgpu::naga::valid::ValidationFlags;

    #[test]
    fn every_stage_parses_validates_and_has_its_entries() {
        for stage in STAGES.iter().chain(prepare::STAGES).chain(av1::STAGES) {
            let module = naga::front::wgsl::parse_str(stage.source)
                .unwrap_or_else(|e| panic!("{}", e.emit_to_string(stage.source)));
            let info = naga::valid::Validator::new(ValidationFlags::all(), naga::valid::Capabilities::empty())
                .validate(&module)
                .unwrap_or_else(|e| panic!("{}: {}", stage.name, e.emit_to_string(stage.source)));
            let entries: Vec<_> = module.entry_points.iter().map(|e| e.name.as_str()).collect();
            assert_eq!(entries, stage.entries, "{}", stage.name);
            for (i, entry) in module.entry_points.iter().enumerate() {
                assert_eq!(entry.workgroup_size, [kernel::GROUP, 1, 1], "{} {}", stage.name, entry.name);
                let needs = Needs::of(&module, info.get_entry_point(i));
                assert!(needs.are_met(&wgpu::Limits::default()), "{} {}: {needs:?}", stage.name, entry.name);
            }
        }
    }

    /// What an entry point takes of a device.
    #[derive(Debug, Default)]
    struct Needs {
        storage_buffers: u32,
        uniform_buffers: u32,
        bind_groups: u32,
        workgroup_bytes: u32,
    }

    impl Needs {
        /// Counts the variables that the entry point or a function that it calls uses.
        fn of(module: &naga::Module, entry: &naga::valid::FunctionInfo) -> Self {
            let mut layouter = naga::proc::Layouter::default();
            layouter.update(module.to_ctx()).expect("types that have a size");
            let mut needs = Self::default();
            for (_, variable) in module.global_variables.iter().filter(|(handle, _)| !entry[*handle].is_empty()) {
                match variable.space {
                    naga::AddressSpace::Storage { .. } => needs.storage_buffers += 1,
                    naga::AddressSpace::Uniform => needs.uniform_buffers += 1,
                    // WebGPU counts in steps of 16 bytes.
                    naga::AddressSpace::WorkGroup => {
                        needs.workgroup_bytes += layouter[variable.ty].size.next_multiple_of(16);
                    }
                    _ => {}
                }
                needs.bind_groups = needs.bind_groups.max(variable.binding.map_or(0, |at| at.group + 1));
            }
            needs
        }

        fn are_met(&self, limits: &wgpu::Limits) -> bool {
            self.storage_buffers <= limits.max_storage_buffers_per_shader_stage
                && self.uniform_buffers <= limits.max_uniform_buffers_per_shader_stage
                && self.bind_groups <= limits.max_bind_groups
                && self.workgroup_bytes <= limits.max_compute_workgroup_storage_size
                && kernel::GROUP <= limits.max_compute_invocations_per_workgroup
        }
    }

    #[test]
    fn the_default_limits_are_those_of_webgpu() {
        let limits = wgpu::Limits::default();
        assert_eq!(limits.max_storage_buffers_per_shader_stage, 8);
        assert_eq!(limits.max_compute_workgroup_storage_size, 16 << 10);
        assert_eq!(limits.max_compute_invocations_per_workgroup, 256);
    }

    #[test]
    fn an_entry_point_needs_what_it_uses_and_no_more() {
        let text = "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
            @group(0) @binding(1) var<storage, read_write> b: array<u32>;
            var<workgroup> small: array<u32, 3>;
            var<workgroup> large: array<vec4<u32>, 1025>;
            fn put(value: u32) { a[0] = value; }
            @compute @workgroup_size(64) fn one() { small[0] = 1u; put(small[1]); }
            @compute @workgroup_size(64) fn two() { large[0].x = 1u; b[0] = large[1].x; put(2u); }";
        let module = naga::front::wgsl::parse_str(text).expect("text");
        let info = naga::valid::Validator::new(ValidationFlags::all(), naga::valid::Capabilities::empty())
            .validate(&module)
            .expect("a module");
        let [one, two] = [0, 1].map(|i| Needs::of(&module, info.get_entry_point(i)));
        assert_eq!((one.storage_buffers, one.workgroup_bytes, one.bind_groups), (1, 16, 1));
        assert_eq!((two.storage_buffers, two.workgroup_bytes, two.bind_groups), (2, 16_400, 1));
        assert!(one.are_met(&wgpu::Limits::default()) && !two.are_met(&wgpu::Limits::default()));
    }
}
