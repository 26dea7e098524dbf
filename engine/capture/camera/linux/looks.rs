//! How the pictures of a stream look, and when that changes.

use super::modes::Mode;
use crate::codecs::{Color, Size};
use crate::devices::Device;
use crate::gpu::Format;

/// The looks of the pictures handed out so far.
#[derive(Debug, Default)]
pub(super) struct Looks(Option<(Size, Format, Color)>);

/// How a picture looks beside the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// As it did.
    Same,
    /// It is the first, or the first after a turn was told.
    Fresh,
    /// Otherwise: that has to be told before the picture is handed out.
    Turned,
}

impl Looks {
    /// The next picture looks like this.
    pub(super) fn next(&mut self, now: (Size, Format, Color)) -> Next {
        match self.0 {
            Some(before) if before == now => Next::Same,
            Some(_) => {
                self.0 = None;
                Next::Turned
            }
            None => {
                self.0 = Some(now);
                Next::Fresh
            }
        }
    }
}

/// Puts the mode that pictures come in before the others.
pub(super) fn prefer(device: &mut Device, mode: Mode) {
    let now = mode.video();
    device.video.retain(|mode| *mode != now);
    device.video.insert(0, now);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_size_is_told_once_and_then_begins_afresh() {
        let look = |width| (Size::new(width, 8), Format::I420, Color::default());
        let mut looks = Looks::default();
        let told = [8, 8, 16, 16, 16, 8, 8].map(|width| looks.next(look(width)));
        use Next::{Fresh, Same, Turned};
        assert_eq!(told, [Fresh, Same, Turned, Fresh, Same, Turned, Fresh]);
    }
}
