//! y4m: pictures have the size that was announced, and a file written from what was read reads the same.

#![no_main]

use std::io::Cursor;

use conclave::codecs::container::{VideoCodec, VideoInfo, VideoSource};
use conclave::codecs::{Matrix, Picture, Range, Size};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((way, data)) = data.split_first() else { return };
    // The header and what follows, or what follows a header that is in order.
    let head: &[u8] = if way & 1 == 0 { b"YUV4MPEG2 " } else { b"YUV4MPEG2 W3 H3 F25:1\nFRAME" };
    let file = [head, data].concat();
    let Some((info, frames)) = read(&file) else { return };
    assert_eq!(info.codec, VideoCodec::Raw);
    // Each frame brought a marker and its bytes.
    assert!(frames.len() * (info.size.i420_len() + 6) <= file.len());

    let VideoInfo { size, color, fps: (num, den), .. } = info;
    let range = if color.range == Range::Full { "FULL" } else { "LIMITED" };
    let matrix = match color.matrix {
        Matrix::Bt601 => "BT601",
        Matrix::Bt709 => "BT709",
        Matrix::Bt2020 => "BT2020",
    };
    let (Size { width, height }, mut again) = (size, Vec::new());
    let head = format!("YUV4MPEG2 W{width} H{height} F{num}:{den} C420 XCOLORRANGE={range} XCOLORMATRIX={matrix}\n");
    again.extend_from_slice(head.as_bytes());
    for frame in &frames {
        again.extend_from_slice(b"FRAME\n");
        again.extend_from_slice(frame);
    }
    let (written, same) = read(&again).expect("is in order");
    assert_eq!((written.size, written.color, written.fps), (size, color, (num, den)));
    assert_eq!((written.frames, same), (Some(frames.len() as u64), frames));
});

/// What is known of a file, and its frames up to the end or the damage.
fn read(file: &[u8]) -> Option<(VideoInfo, Vec<Vec<u8>>)> {
    let mut source = VideoSource::from_stream("fuzz", Box::new(Cursor::new(file.to_vec()))).ok()?;
    let (info, mut frames, mut last) = (*source.info(), Vec::new(), None);
    // A file without one whole frame allocates none.
    let mut picture = Picture::new(Size::new(1, 1), info.color);
    while let Ok(Some(time)) = source.next_raw(&mut picture) {
        assert!(picture.size() == info.size && picture.color == info.color && last.is_none_or(|last| last <= time));
        last = Some(time);
        frames.push(picture.data().to_vec());
    }
    Some((info, frames))
}
