//! WGSL compute stages and the thin host layer that runs them. Knows no media rules.
//!
//! [`STAGES`] is the table of shaders, [`Gpu`] an opened adapter, [`Kernel`] one compiled entry point, [`Ring`] the way
//! back to the CPU and [`Timer`] the GPU's own clock.

pub mod av1;
pub mod device;
pub mod kernel;
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

/// Every stage there is, those of the encoder apart ([`av1::STAGES`]).
pub const STAGES: &[Stage] = &[CONVERT, SCALE];

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::naga;

    #[test]
    fn every_stage_parses_validates_and_has_its_entries() {
        for stage in STAGES.iter().chain(av1::STAGES) {
            let module = naga::front::wgsl::parse_str(stage.source)
                .unwrap_or_else(|e| panic!("{}", e.emit_to_string(stage.source)));
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty())
                .validate(&module)
                .unwrap_or_else(|e| panic!("{}: {}", stage.name, e.emit_to_string(stage.source)));
            let entries: Vec<_> = module.entry_points.iter().map(|e| e.name.as_str()).collect();
            assert_eq!(entries, stage.entries, "{}", stage.name);
            for entry in &module.entry_points {
                assert_eq!(entry.workgroup_size, [kernel::GROUP, 1, 1], "{} {}", stage.name, entry.name);
            }
        }
    }
}
