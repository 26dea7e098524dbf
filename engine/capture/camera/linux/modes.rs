//! Which of a device's modes fits a wish.

use super::Wish;
use super::wire::Wire;
use crate::codecs::Size;
use crate::devices::VideoMode;

/// One way of a device to give pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mode {
    pub(super) wire: Wire,
    pub(super) size: Size,
    /// Pictures a second, as a fraction; 0/1 where they come when something changes.
    pub(super) fps: (u32, u32),
}

impl Mode {
    pub(super) fn video(self) -> VideoMode {
        VideoMode { layout: self.wire.layout(), size: self.size, fps: self.fps }
    }

    /// Microseconds from one picture to the next; where the rate is open, as wished.
    pub(super) fn interval_us(self, wish: Wish) -> u64 {
        let (num, den) = if self.fps.0 == 0 || self.fps.1 == 0 { (wish.fps.max(1), 1) } else { self.fps };
        (u64::from(den) * 1_000_000 / u64::from(num)).clamp(1_000, 10_000_000)
    }

    /// How well it meets `wish`, the least the best: as much as possible of the pixels and pictures wished for, then as
    /// little as possible beyond, then the cheapest layout.
    fn rank(self, wish: Wish) -> impl Ord {
        let share = |is: u64, wished: u64| (1000 * is / wished.max(1)).min(1000);
        let milli_fps = match self.fps {
            (0, _) | (_, 0) => 1000 * u64::from(wish.fps),
            (num, den) => 1000 * u64::from(num) / u64::from(den),
        };
        let met = share(self.size.width.into(), wish.size.width.into())
            * share(self.size.height.into(), wish.size.height.into())
            // 30000/1001 is as good as 30.
            * share(milli_fps + 40, 1000 * u64::from(wish.fps));
        (1_000_000_000_u64.saturating_sub(met), self.size.area(), self.wire.cost(), milli_fps)
    }
}

/// The mode that fits `wish` best.
pub(super) fn best(modes: &[Mode], wish: Wish) -> Option<Mode> {
    modes.iter().copied().min_by_key(|mode| mode.rank(wish))
}

/// What a device offers of one dimension.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Span<T> {
    /// These values.
    These(Vec<T>),
    /// Any value from the first to the second, and what the device would take.
    Between(T, T, T),
}

impl Span<Size> {
    /// The sizes that are worth looking at: all that are listed, or the one in the range that is nearest to `wish`.
    pub(super) fn near(&self, wish: Option<Wish>) -> Vec<Size> {
        match self {
            Span::These(sizes) => sizes.clone(),
            Span::Between(least, most, own) => {
                let wished = wish.map_or(*own, |wish| wish.size);
                let within = |value: u32, low: u32, high: u32| value.max(low).min(high.max(low));
                let width = within(wished.width, least.width, most.width);
                vec![Size::new(width, within(wished.height, least.height, most.height))]
            }
        }
    }
}

impl Span<(u32, u32)> {
    /// As for sizes.
    pub(super) fn near(&self, wish: Option<Wish>) -> Vec<(u32, u32)> {
        match self {
            Span::These(rates) => rates.clone(),
            Span::Between(least, most, own) => {
                let wished = wish.map_or(*own, |wish| (wish.fps, 1));
                let less =
                    |a: (u32, u32), b: (u32, u32)| u64::from(a.0) * u64::from(b.1) < u64::from(b.0) * u64::from(a.1);
                let low = if less(wished, *least) { *least } else { wished };
                vec![if less(*most, low) { *most } else { low }]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(wire: Wire, width: u32, height: u32, fps: u32) -> Mode {
        Mode { wire, size: Size::new(width, height), fps: (fps, 1) }
    }

    /// What a common USB camera offers.
    fn webcam() -> Vec<Mode> {
        vec![
            mode(Wire::Yuy2, 640, 480, 30),
            mode(Wire::Yuy2, 640, 480, 15),
            mode(Wire::Yuy2, 640, 360, 30),
            mode(Wire::Yuy2, 1280, 720, 10),
            mode(Wire::Yuy2, 1920, 1080, 5),
            mode(Wire::Mjpeg, 640, 480, 30),
            mode(Wire::Mjpeg, 1280, 720, 30),
            mode(Wire::Mjpeg, 1280, 720, 60),
            mode(Wire::Mjpeg, 1920, 1080, 30),
        ]
    }

    fn wished(width: u32, height: u32, fps: u32) -> Option<Mode> {
        best(&webcam(), Wish { size: Size::new(width, height), fps })
    }

    #[test]
    fn what_was_wished_is_met_with_the_least_beyond() {
        assert_eq!(wished(1280, 720, 30), Some(mode(Wire::Mjpeg, 1280, 720, 30)));
        assert_eq!(wished(1280, 720, 10), Some(mode(Wire::Yuy2, 1280, 720, 10)));
        assert_eq!(wished(640, 360, 30), Some(mode(Wire::Yuy2, 640, 360, 30)));
        assert_eq!(wished(800, 600, 30), Some(mode(Wire::Mjpeg, 1280, 720, 30)));
        assert_eq!(wished(3840, 2160, 30), Some(mode(Wire::Mjpeg, 1920, 1080, 30)));
        assert_eq!(wished(1280, 720, 60), Some(mode(Wire::Mjpeg, 1280, 720, 60)));
        assert_eq!(best(&[], Wish::default()), None);
    }

    #[test]
    fn nearly_thirty_is_thirty_and_an_open_rate_is_any() {
        let ntsc = Mode { fps: (30_000, 1001), ..mode(Wire::Nv12, 1280, 720, 0) };
        let wish = Wish { size: Size::new(1280, 720), fps: 30 };
        assert_eq!(best(&[mode(Wire::Nv12, 1280, 720, 60), ntsc], wish), Some(ntsc));
        let open = Mode { fps: (0, 1), ..ntsc };
        assert_eq!(best(&[mode(Wire::Nv12, 1280, 720, 15), open], wish), Some(open));
        assert_eq!((ntsc.interval_us(wish), open.interval_us(wish)), (33_366, 33_333));
        assert_eq!(Mode { fps: (1, 0), ..open }.interval_us(Wish { fps: 0, ..wish }), 1_000_000);
    }

    #[test]
    fn in_a_range_the_nearest_to_the_wish_is_taken() {
        let sizes = Span::Between(Size::new(160, 120), Size::new(1920, 1080), Size::new(320, 240));
        assert_eq!(sizes.near(None), [Size::new(320, 240)]);
        let near = |width, height| sizes.near(Some(Wish { size: Size::new(width, height), fps: 30 }));
        assert_eq!(near(1280, 720), [Size::new(1280, 720)]);
        assert_eq!(near(4000, 1), [Size::new(1920, 120)]);
        let rates = Span::Between((5, 1), (30_000, 1001), (25, 1));
        let near = |fps| rates.near(Some(Wish { size: Size::new(1, 1), fps }));
        assert_eq!((near(1), near(10), near(60)), (vec![(5, 1)], vec![(10, 1)], vec![(30_000, 1001)]));
    }
}
