//! Cameras of a Linux system: the kernel's ([`v4l`]), PipeWire's ([`pipewire`]) and what a desktop's dialogue gives
//! ([`portal`]). [`twins`] makes one list of them. What their pictures are is told alike: the layout of the bytes ([`wire`],
//! [`mjpeg`]), what there is to choose from ([`modes`]), when they were taken ([`stamp`]), what to do with bad ones
//! ([`faults`]) and with others than before ([`looks`]).

mod faults;
mod looks;
mod mjpeg;
mod modes;
mod pipewire;
mod portal;
mod stamp;
mod twins;
mod v4l;
mod wire;

use super::Wish;
use crate::devices::Listing;
pub(super) use twins::open;

/// Adds what is found to `listing`.
pub(super) fn list(listing: &mut Listing) {
    twins::list(listing);
    portal::list(listing);
}

/// `name`, with a number where others have it: some devices have several files or nodes, and one name.
fn free(name: String, taken: impl Fn(&str) -> bool) -> String {
    let mut free = name.clone();
    for number in 2.. {
        if !taken(&free) {
            break;
        }
        free = format!("{name}#{number}");
    }
    free
}

#[cfg(test)]
mod tests {
    #[test]
    fn those_of_one_name_are_numbered() {
        let mut names = Vec::<String>::new();
        for name in ["depth", "depth", "depth#3", "depth"] {
            names.push(super::free(name.to_owned(), |name| names.iter().any(|other| other == name)));
        }
        assert_eq!(names, ["depth", "depth#2", "depth#3", "depth#4"]);
    }
}
