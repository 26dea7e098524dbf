//! One camera that two back ends have is one device.

use std::path::{Path, PathBuf};

use super::{Wish, pipewire, v4l};
use crate::capture::live::LiveVideo;
use crate::devices::{Backend, Device, DeviceError, Id, Kind, Listing, Unseen};
use crate::time::Clock;

/// A camera as a back end knows it, with the file of the kernel's device behind it.
struct Known {
    device: Device,
    path: Option<PathBuf>,
    /// The session manager takes the one of the highest.
    priority: i64,
}

/// Adds the cameras of the kernel and of PipeWire.
pub(super) fn list(listing: &mut Listing) {
    let (kernel, unseen) = v4l::list();
    listing.unseen.extend(unseen);
    let graph = pipewire::list().unwrap_or_else(|error| {
        listing.unseen.extend(unasked(error));
        Vec::new()
    });
    let kernel = kernel.into_iter().map(|found| Known { device: found.device, path: Some(found.path), priority: 0 });
    let graph =
        graph.into_iter().map(|found| Known { device: found.device, path: found.path, priority: found.priority });
    listing.devices.extend(merge(kernel.collect(), graph.collect()));
}

/// Opens `id`; a camera of the kernel that another program has is asked for from PipeWire.
pub fn open(id: &Id, wish: Wish, clock: Clock) -> Result<Box<dyn LiveVideo>, DeviceError> {
    match id.backend() {
        Backend::PipeWire => Ok(Box::new(pipewire::open(id, wish, clock)?)),
        Backend::Portal => super::portal::open(id, wish, clock),
        Backend::V4l => match v4l::open(id, wish, clock) {
            Ok(camera) => Ok(Box::new(camera)),
            Err(busy @ DeviceError::Busy { .. }) => match twin(id) {
                Some(twin) => Ok(Box::new(pipewire::open(&twin, wish, clock).map_err(|_| busy)?)),
                None => Err(busy),
            },
            Err(error) => Err(error),
        },
        backend => Err(DeviceError::NotBuilt { kind: Kind::Camera, backend }),
    }
}

/// What PipeWire calls the kernel's camera `id`.
fn twin(id: &Id) -> Option<Id> {
    let path = v4l::file(id)?;
    let found = pipewire::list().ok()?;
    found
        .into_iter()
        .find(|camera| camera.path.as_deref().is_some_and(|of| same(of, &path)))
        .map(|camera| camera.device.id)
}

/// Each camera once, by the kernel's name where it has one. The first choice of the session manager is the default; without
/// one, the kernel's first.
fn merge(kernel: Vec<Known>, graph: Vec<Known>) -> Vec<Device> {
    let mut cameras = kernel;
    for camera in graph {
        let twin = cameras.iter_mut().find(|known| match (&known.path, &camera.path) {
            (Some(a), Some(b)) => same(a, b),
            _ => false,
        });
        match twin {
            // The graph says more of its name, and may have it as its first choice.
            Some(twin) => (twin.device.name, twin.priority) = (camera.device.name, camera.priority),
            None => cameras.push(camera),
        }
    }
    let most = cameras.iter().map(|camera| camera.priority).max();
    let first = cameras.iter().position(|camera| Some(camera.priority) == most);
    let each = cameras.into_iter().enumerate();
    each.map(|(i, camera)| Device { default: Some(i) == first, ..camera.device }).collect()
}

fn same(a: &Path, b: &Path) -> bool {
    a == b || a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}

/// What may be missing from the list, since `error`.
fn unasked(error: DeviceError) -> Option<Unseen> {
    let DeviceError::Unreachable { backend, why, hint } = error else { return None };
    Some(Unseen { kind: Kind::Camera, backend, why, hint })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(backend: Backend, name: &str, path: Option<&str>, priority: i64) -> Known {
        let device = Device::new(Kind::Camera, Id::new(backend, name), name);
        Known { device, path: path.map(PathBuf::from), priority }
    }

    fn told(kernel: Vec<Known>, graph: Vec<Known>) -> Vec<(String, String, bool)> {
        let told = merge(kernel, graph).into_iter();
        told.map(|device| (device.id.to_string(), device.name, device.default)).collect()
    }

    #[test]
    fn a_camera_that_both_have_is_listed_once() {
        let kernel =
            || vec![known(Backend::V4l, "a", Some("/dev/video0"), 0), known(Backend::V4l, "b", Some("/dev/video2"), 0)];
        let graph = vec![
            known(Backend::PipeWire, "Bee", Some("/dev/video2"), 1000),
            known(Backend::PipeWire, "made", None, 500),
        ];
        let line = |id: &str, name: &str, default| (id.to_owned(), name.to_owned(), default);
        let both = [line("v4l:a", "a", false), line("v4l:b", "Bee", true), line("pipewire:made", "made", false)];
        assert_eq!(told(kernel(), graph), both);
        assert_eq!(told(kernel(), Vec::new()), [line("v4l:a", "a", true), line("v4l:b", "b", false)]);
        // In a sandbox the kernel's are not to be seen.
        let alone = vec![known(Backend::PipeWire, "Bee", Some("/dev/video2"), 0)];
        assert_eq!(told(Vec::new(), alone), [line("pipewire:Bee", "Bee", true)]);
    }
}
