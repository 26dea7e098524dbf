//! What a shared screen shows: text, which must be sharp and may be late, or motion, which must flow and may be soft.

use crate::time::Time;

/// What a screen's encoder is to do best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// Text and slides: the full size always, at few pictures a second, so that each gets the bits of three.
    Sharp,
    /// A film or a scene that moves: the full rate, and a smaller size where the machine does not hold it.
    Motion,
}

impl Content {
    /// Pictures a second at most, as a fraction.
    pub const fn fps(self) -> (u32, u32) {
        match self {
            Content::Sharp => (10, 1),
            Content::Motion => (30, 1),
        }
    }
}

/// Tells from what changes on a screen which of the two it shows.
///
/// A picture of which a tenth changed is a busy one. Eight of them a second are what typing and paging make; what goes
/// beyond fills a reserve, and a full reserve is motion until it is empty again. At 30 pictures a second motion is found
/// after 1.1 s, so that a scroll is none, and left 3 s after the last busy picture.
#[derive(Clone, Copy, Debug)]
pub struct Switch {
    content: Content,
    /// Busy pictures beyond those that were to be expected, in thousandths.
    reserve: u64,
    last: Time,
}

impl Default for Switch {
    fn default() -> Self {
        Self { content: Content::Sharp, reserve: 0, last: Time(0) }
    }
}

impl Switch {
    /// What it said last.
    pub fn content(&self) -> Content {
        self.content
    }

    /// A picture was captured at `captured`, of which so many thousandths changed. Nothing new on a screen is told with 0.
    pub fn picture(&mut self, captured: Time, changed: u32) -> Content {
        let drained = captured.since(self.last) * EXPECTED / 1000;
        self.last = captured;
        self.reserve = self.reserve.saturating_sub(drained);
        if self.reserve == 0 {
            self.content = Content::Sharp;
        }
        if changed >= BUSY {
            self.reserve = (self.reserve + 1000).min(FULL);
        }
        if self.reserve == FULL {
            self.content = Content::Motion;
        }
        self.content
    }
}

/// Changed thousandths that make a picture a busy one.
const BUSY: u32 = 100;

/// Busy pictures a second that are no motion yet.
const EXPECTED: u64 = 8;

/// The reserve of a screen that shows motion, in thousandths of a picture.
const FULL: u64 = 24_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays pictures at `fps` for `seconds`, each changed by `changed`; what the switch said at the end.
    fn play(switch: &mut Switch, from: &mut u64, fps: u64, seconds: u64, changed: u32) -> Content {
        let mut said = Content::Sharp;
        for _ in 0..fps * seconds {
            *from += 1_000_000 / fps;
            said = switch.picture(Time(*from), changed);
        }
        said
    }

    #[test]
    fn a_film_is_motion_until_some_seconds_after_its_end() {
        let (mut switch, mut at) = (Switch::default(), 0);
        assert_eq!(play(&mut switch, &mut at, 30, 1, 700), Content::Sharp, "a scroll of a second");
        assert_eq!(play(&mut switch, &mut at, 30, 1, 700), Content::Motion);
        assert_eq!(play(&mut switch, &mut at, 30, 60, 700), Content::Motion);
        assert_eq!(play(&mut switch, &mut at, 30, 2, 3), Content::Motion, "a pause");
        assert_eq!(play(&mut switch, &mut at, 30, 2, 3), Content::Sharp);
    }

    #[test]
    fn typing_and_paging_are_no_motion_however_long() {
        let (mut switch, mut at) = (Switch::default(), 0);
        assert_eq!(play(&mut switch, &mut at, 30, 600, 5), Content::Sharp);
        assert_eq!(play(&mut switch, &mut at, 4, 600, 1000), Content::Sharp);
    }

    #[test]
    fn a_screen_that_stood_still_for_a_day_begins_anew() {
        let mut switch = Switch::default();
        let mut at = 0;
        play(&mut switch, &mut at, 30, 5, 1000);
        assert_eq!(switch.content(), Content::Motion);
        assert_eq!(switch.picture(Time(at + 86_400_000_000), 1000), Content::Sharp, "a page is turned");
    }
}
