//! Tiles stay inside the window, apart from each other and in shape, whatever the window and however many they are.

use conclave::codecs::Size;
use conclave::meeting::shield::Shield;
use conclave_viewer::layout::{ASPECT, Rect, fit, layout};
use conclave_viewer::overlay::{Ledger, Person, View, compose};

/// Windows that there are, and some that only a window manager's mistake makes.
const WINDOWS: [(u32, u32); 14] = [
    (0, 0),
    (1, 1),
    (0, 500),
    (1, 10_000),
    (10_000, 1),
    (63, 41),
    (100, 100),
    (320, 180),
    (640, 480),
    (960, 540),
    (1080, 1920),
    (3840, 2160),
    (16_384, 200),
    (65_535, 65_535),
];

#[test]
fn tiles_lie_inside_the_window_below_the_header_and_keep_their_aspect() {
    everywhere(|window, people| {
        let layout = layout(window, people);
        assert_eq!(layout.tiles.len(), people);
        for tile in &layout.tiles {
            assert!(tile.x >= 0.0 && tile.y >= layout.header.bottom() - SLACK * window.height as f32, "{tile:?}");
            assert!(tile.right() <= window.width as f32 * (1.0 + SLACK) + 0.01 || tile.w == 0.0, "{tile:?}");
            assert!(tile.bottom() <= window.height as f32 * (1.0 + SLACK) + 0.01 || tile.h == 0.0, "{tile:?}");
            assert!((tile.w * ASPECT.1 - tile.h * ASPECT.0).abs() <= 0.001 * (1.0 + tile.w * ASPECT.1), "{tile:?}");
        }
    });
}

#[test]
fn no_two_tiles_overlap_and_all_have_one_size() {
    everywhere(|window, people| {
        let tiles = layout(window, people).tiles;
        for (at, a) in tiles.iter().enumerate() {
            assert_eq!((a.w, a.h), (tiles[0].w, tiles[0].h));
            for b in tiles[..at].iter().filter(|b| !b.is_empty()) {
                let slack = 0.01 + SLACK * window.width.max(window.height) as f32;
                let apart = a.x + slack >= b.right()
                    || b.x + slack >= a.right()
                    || a.y + slack >= b.bottom()
                    || b.y + slack >= a.bottom();
                assert!(apart, "{window:?}, {people}: {a:?} and {b:?}");
            }
        }
    });
}

#[test]
fn tiles_use_the_room_there_is() {
    // In a window of usual shape the tiles cover at least 40 % of it, however many they are.
    for people in 1..=49 {
        let tiles = layout(Size::new(1280, 720), people).tiles;
        let covered: f32 = tiles.iter().map(|tile| tile.w * tile.h).sum();
        assert!(covered > 0.4 * 1280.0 * 720.0, "{people} cover {covered}");
    }
    assert_eq!(layout(Size::new(1280, 720), 0).tiles, []);
}

#[test]
fn a_picture_keeps_its_aspect_and_its_tile() {
    let tile = Rect::new(10.0, 20.0, 320.0, 180.0);
    for (width, height) in [(16, 16), (1920, 1080), (720, 1280), (1, 8192), (8192, 1)] {
        let rect = fit(tile, Size::new(width, height));
        assert!(rect.x >= tile.x - 0.01 && rect.right() <= tile.right() + 0.01, "{rect:?}");
        assert!(rect.y >= tile.y - 0.01 && rect.bottom() <= tile.bottom() + 0.01, "{rect:?}");
        assert!((rect.w * height as f32 - rect.h * width as f32).abs() < 1.0 + 0.001 * rect.w * height as f32);
    }
    assert!(fit(tile, Size::new(0, 9)).is_empty());
}

#[test]
fn the_overlay_composes_in_any_window_with_every_shield() {
    everywhere(|window, people| {
        let person = |at| Person {
            name: "A name that is longer than any tile has room for, é and 漢字".to_owned(),
            picture: (at % 2 == 0).then_some(Size::new(320, 180)),
            level: at as f32,
            speaking: at == 1,
        };
        let ledger = Ledger { rows: vec![("encode", 1, u64::MAX)], notes: vec!["a note".to_owned()] };
        let mut view = View {
            people: (0..people).map(person).collect(),
            shield: Shield::EndToEnd,
            caption: "a caption".to_owned(),
            mirror: true,
            ledger: Some(ledger),
        };
        for shield in Shield::ALL {
            view.shield = shield;
            let scene = compose(&view, window);
            assert!(scene.tiles.iter().all(|tile| !tile.rect.is_empty() && tile.mirror == (tile.slot == 0)));
        }
    });
}

/// What 24 bits of a float leave open.
const SLACK: f32 = 1e-5;

fn everywhere(check: impl Fn(Size, usize)) {
    for (width, height) in WINDOWS {
        for people in 1..=49 {
            check(Size::new(width, height), people);
        }
    }
}
