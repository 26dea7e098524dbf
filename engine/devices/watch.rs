//! What came, went and changed between two looks.

use super::{Device, Event, Listing};

/// How often looking again is worth while, in milliseconds: soon enough for a person who plugs something in.
pub const LOOK_MS: u64 = 500;

/// The devices of the last look. Looking costs some milliseconds, and belongs on a thread without media.
#[derive(Default)]
pub struct Watch {
    known: Vec<Device>,
}

impl Watch {
    /// A watch that knows of nothing: the first look finds everything added.
    pub fn new() -> Self {
        Self::default()
    }

    /// What became of the devices since the last look, which found `listing` now. Where a back end could not be asked,
    /// its devices count as gone, as they cannot be opened either.
    pub fn look(&mut self, listing: Listing) -> Vec<Event> {
        let mut events = Vec::new();
        for old in &self.known {
            if !listing.devices.iter().any(|new| same(old, new)) {
                events.push(Event::Removed(old.clone()));
            }
        }
        for new in &listing.devices {
            match self.known.iter().find(|old| same(old, new)) {
                None => events.push(Event::Added(new.clone())),
                Some(old) if old != new => events.push(Event::Changed(new.clone())),
                Some(_) => {}
            }
        }
        self.known = listing.devices;
        events
    }

    /// The devices of the last look.
    pub fn devices(&self) -> &[Device] {
        &self.known
    }
}

fn same(a: &Device, b: &Device) -> bool {
    (a.kind, &a.id) == (b.kind, &b.id)
}

#[cfg(test)]
mod tests {
    use super::super::{Backend, Id, Kind};
    use super::*;

    fn device(kind: Kind, name: &str) -> Device {
        Device::new(kind, Id::new(Backend::V4l, name), name)
    }

    fn seen(devices: &[Device]) -> Listing {
        Listing { devices: devices.to_vec(), unseen: Vec::new() }
    }

    #[test]
    fn each_look_tells_what_came_went_and_changed_and_nothing_twice() {
        let (a, b) = (device(Kind::Camera, "a"), device(Kind::Camera, "b"));
        let mut watch = Watch::new();
        assert_eq!(watch.look(seen(&[a.clone()])), [Event::Added(a.clone())]);
        assert_eq!(watch.look(seen(&[a.clone()])), []);
        assert_eq!(watch.look(seen(&[b.clone()])), [Event::Removed(a), Event::Added(b.clone())]);
        let better = Device { default: true, ..b.clone() };
        assert_eq!(watch.look(seen(&[better.clone()])), [Event::Changed(better.clone())]);
        // A speaker and a microphone may have one name.
        let ear = device(Kind::Microphone, "b");
        assert_eq!(watch.look(seen(&[better, ear.clone()])), [Event::Added(ear)]);
    }
}
