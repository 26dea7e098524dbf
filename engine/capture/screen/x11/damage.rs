//! What changed: the server keeps account of it and says so once, then it is asked for.

use x11rb::NONE;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{Drawable, Rectangle};
use x11rb::protocol::{damage, xfixes};

use super::server::{Fault, Server};
use crate::capture::live::Rect;

/// The account of one window with all inside it, in the window's coordinates.
///
/// Of the four ways to be told, the one that costs the least: one event when the account is no longer empty, whatever is
/// drawn, and the exact parts when they are asked for.
pub struct Account {
    damage: damage::Damage,
    parts: xfixes::Region,
}

impl Account {
    /// Opens an account for `window`.
    pub fn open(server: &Server, window: Drawable) -> Result<Self, Fault> {
        let (damage, parts) = (server.conn.generate_id()?, server.conn.generate_id()?);
        damage::create(&server.conn, damage, window, damage::ReportLevel::NON_EMPTY)?.check()?;
        xfixes::create_region(&server.conn, parts, &[])?.check()?;
        Ok(Self { damage, parts })
    }

    /// What changed since the last time. What changes from now on goes to a new account, and is told of again.
    pub fn settle(&self, server: &Server) -> Result<Vec<Rectangle>, Fault> {
        damage::subtract(&server.conn, self.damage, NONE, self.parts)?;
        Ok(xfixes::fetch_region(&server.conn, self.parts)?.reply()?.rectangles)
    }
}

/// Puts `rect` to `rects`, of which there are `most` at most afterwards: those that lie so close that one rectangle is as
/// cheap to read as two become one.
pub fn gather(rects: &mut Vec<Rect>, rect: Rect, most: usize) {
    let mut rect = rect;
    loop {
        let nearest = (0..rects.len()).min_by_key(|i| waste(rects[*i], rect));
        match nearest {
            Some(i) if rects.len() >= most || waste(rects[i], rect) <= CHEAP => {
                rect = rects.swap_remove(i).union(rect);
            }
            _ => return rects.push(rect),
        }
    }
}

/// One rectangle instead of many that lie over each other: never more to read than the picture has.
pub fn bound(rects: &mut Vec<Rect>) {
    let Some(all) = rects.iter().copied().reduce(Rect::union) else { return };
    if rects.iter().map(|rect| area(*rect)).sum::<u64>() > area(all) {
        *rects = vec![all];
    }
}

/// Pixels that are read in vain where two become one.
fn waste(a: Rect, b: Rect) -> u64 {
    area(a.union(b)).saturating_sub(area(a) + area(b))
}

fn area(rect: Rect) -> u64 {
    u64::from(rect.width) * u64::from(rect.height)
}

/// So many pixels cost less than one more request.
const CHEAP: u64 = 64 * 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_gathered_stays_covered_in_few_rectangles() {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..200 {
            let parts: Vec<Rect> = (0..rng.usize(0..200))
                .map(|_| Rect {
                    x: rng.u32(0..1900),
                    y: rng.u32(0..1000),
                    width: rng.u32(1..300),
                    height: rng.u32(1..90),
                })
                .collect();
            let mut rects = Vec::new();
            parts.iter().for_each(|part| gather(&mut rects, *part, 14));
            bound(&mut rects);
            assert!(rects.len() <= 14);
            assert!(rects.iter().map(|rect| area(*rect)).sum::<u64>() <= 2200 * 1090);
            for part in parts {
                for (x, y) in [(part.x, part.y), (part.x + part.width - 1, part.y + part.height - 1)] {
                    let holds = |r: &Rect| (r.x..r.x + r.width).contains(&x) && (r.y..r.y + r.height).contains(&y);
                    assert!(rects.iter().any(holds), "{x},{y} is in none of {rects:?}");
                }
            }
        }
    }

    #[test]
    fn far_apart_stays_apart_and_close_by_becomes_one() {
        let mut rects = Vec::new();
        for x in [0, 10, 20, 1000] {
            gather(&mut rects, Rect { x, y: 5, width: 10, height: 10 }, 14);
        }
        rects.sort_by_key(|rect| rect.x);
        assert_eq!(rects.iter().map(|rect| (rect.x, rect.width)).collect::<Vec<_>>(), [(0, 30), (1000, 10)]);
    }
}
