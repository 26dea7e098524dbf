//! Random material for the kernels' tests.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::av1::decisions::{Block, BlockSize, Decisions, Reference};
use crate::av1::frame::Frame;
use crate::av1::layout::{CELL, Layout, SUPERBLOCK};
use crate::{Color, Picture, Plane, Size};

/// Sizes with every kind of edge.
pub const SIZES: [Size; 7] = [
    Size::new(16, 16),
    Size::new(66, 50),
    Size::new(130, 98),
    Size::new(64, 64),
    Size::new(61, 67),
    Size::new(23, 41),
    Size::new(200, 20),
];

/// A random partition with random kinds of blocks; 64×64 only inter and skipped, and only blocks that lie inside.
pub fn blocks(layout: &Layout, random: &mut fastrand::Rng) -> Decisions {
    let mut decisions = Decisions::new(layout);
    for row in (0..layout.rows).step_by(SUPERBLOCK) {
        for col in (0..layout.cols).step_by(SUPERBLOCK) {
            split(&mut decisions, row, col, BlockSize::B64, random);
        }
    }
    decisions
}

fn split(decisions: &mut Decisions, row: usize, col: usize, size: BlockSize, random: &mut fastrand::Rng) {
    let layout = *decisions.layout();
    if row >= layout.rows || col >= layout.cols {
        return;
    }
    let sticks_out = row + size.cells() > layout.rows || col + size.cells() > layout.cols;
    match size.quarter() {
        Some(quarter) if sticks_out || random.u8(..5) < 3 => {
            let half = quarter.cells();
            for (down, right) in [(0, 0), (0, half), (half, 0), (half, half)] {
                split(decisions, row + down, col + right, quarter, random);
            }
        }
        _ => {
            let inter = size == BlockSize::B64 || random.bool();
            let reference = if inter { Reference::Last } else { Reference::Intra };
            let skip = size == BlockSize::B64 || random.bool();
            decisions.set_block(row, col, Block { size, reference, skip, ..Block::default() });
        }
    }
}

/// Samples from flat to noise: each cell has a base near its neighbour's, a slope and noise of its own;
/// calm frames have steps only. Every third frame is cut from a real picture, where there is one.
pub fn frame(layout: &Layout, random: &mut fastrand::Rng) -> Frame {
    let mut frame = Frame::new(layout);
    if let Some(picture) = real()
        && random.u8(..3) == 0
    {
        let (left, top) = (random.usize(..REAL.width as usize), random.usize(..REAL.height as usize));
        for (plane, name) in frame.planes.iter_mut().zip(Plane::ALL) {
            let (size, shift) = (picture.plane_size(name), u32::from(name != Plane::Y));
            let (width, height) = (size.width as usize, size.height as usize);
            for (i, sample) in plane.data.iter_mut().enumerate() {
                let (x, y) = (i % plane.stride + (left >> shift), i / plane.stride + (top >> shift));
                *sample = picture.plane(name)[y % height * width + x % width];
            }
        }
        return frame;
    }
    let contrast = [1, 3, 8, 30, 128][random.usize(..5)];
    let calm = random.bool();
    for plane in &mut frame.planes {
        for top in (0..plane.data.len() / plane.stride).step_by(CELL / 2) {
            for left in (0..plane.stride).step_by(CELL / 2) {
                let base = 128 + random.i32(-contrast..=contrast);
                let noise = [0, 0, 0, 1, 2, 20, 127][random.usize(..if calm { 3 } else { 7 })];
                let slope = if calm { (0, 0) } else { (random.i32(-2..=2), random.i32(-2..=2)) };
                for y in 0..CELL / 2 {
                    for x in 0..CELL / 2 {
                        let value = base + (slope.0 * x as i32 + slope.1 * y as i32) + random.i32(-noise..=noise);
                        plane.at_mut(left + x, top + y)[0] = value.clamp(0, 255) as u8;
                    }
                }
            }
        }
    }
    frame
}

const REAL: Size = Size::new(1280, 720);

/// The first picture of a clip of the test media; `None`, said aloud, where the media or ffmpeg are absent.
fn real() -> Option<&'static Picture> {
    static PICTURE: OnceLock<Option<Picture>> = OnceLock::new();
    let read = || {
        let clip = PathBuf::from(std::env::var_os("CONCLAVE_SHARED")?).join("media/video/woman_thumb_720p.mp4");
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-i"]).arg(clip).args(["-frames:v", "1", "-pix_fmt", "yuv420p"]);
        let output = command.args(["-f", "rawvideo", "-"]).output().ok()?;
        let mut picture = Picture::new(REAL, Color::default());
        (output.stdout.len() == picture.data().len()).then(|| picture.data_mut().copy_from_slice(&output.stdout))?;
        Some(picture)
    };
    let picture = PICTURE.get_or_init(read).as_ref();
    if picture.is_none() {
        println!("without a real picture: CONCLAVE_SHARED does not name the folder of the test media");
    }
    picture
}
