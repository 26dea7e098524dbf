//! YUV4MPEG2: one text header, then raw frames. Matrix and range travel in `X` comments that other readers ignore.

use std::io::Write;

use super::error::Result;
use super::input::Input;
use super::{MAX_AREA, VideoCodec, VideoInfo, WriterConfig, clock};
use crate::color::{Color, Matrix, Range};
use crate::picture::{Picture, Size};

/// Reads 8-bit 4:2:0 pictures.
pub(super) struct Reader {
    input: Input,
    info: VideoInfo,
    frame: u64,
}

impl Reader {
    /// Reads the header.
    pub(super) fn open(mut input: Input) -> Result<Self> {
        input.set_format("y4m");
        let header = line(&mut input, 1024, "the header")?.ok_or_else(|| input.damaged("it is empty"))?;
        let text = std::str::from_utf8(&header).map_err(|_| input.damaged("the header is not text"))?;
        let mut words = text.split(' ').filter(|w| !w.is_empty());
        if words.next() != Some("YUV4MPEG2") {
            return Err(input.damaged("the header does not begin with YUV4MPEG2"));
        }
        let (mut width, mut height, mut fps, mut range, mut stated) = (0u32, 0u32, None, Range::Limited, None);
        for word in words {
            let (key, value) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
            let number = || value.parse().map_err(|_| input.damaged(format!("{word:?} is no number")));
            match key {
                "W" => width = number()?,
                "H" => height = number()?,
                "F" => fps = Some(rate(value).ok_or_else(|| input.damaged(format!("frame rate {value:?}")))?),
                "I" if matches!(value, "t" | "b" | "m") => {
                    return Err(input.unsupported("interlaced y4m", "deinterlace it with `ffmpeg -vf yadif`"));
                }
                "C" if !matches!(value, "420" | "420jpeg" | "420mpeg2" | "420paldv") => {
                    let what = format!("y4m with chroma format {value:?}");
                    return Err(input.unsupported(what, "convert it with `ffmpeg -pix_fmt yuv420p`"));
                }
                "X" if value == "COLORRANGE=FULL" => range = Range::Full,
                "X" if value == "COLORMATRIX=BT601" => stated = Some(Matrix::Bt601),
                "X" if value == "COLORMATRIX=BT709" => stated = Some(Matrix::Bt709),
                "X" if value == "COLORMATRIX=BT2020" => stated = Some(Matrix::Bt2020),
                _ => {}
            }
        }
        let size = Size::new(width, height);
        super::check_size(&input, size)?;
        let fps = fps.ok_or_else(|| input.damaged("no frame rate (F) in the header"))?;
        let matrix = stated.unwrap_or_else(|| super::usual_matrix(size));
        let body = input.len().map(|all| all.saturating_sub(input.pos()));
        let frames = body.map(|body| body / (size.i420_len() as u64 + 6));
        let info =
            VideoInfo { size, color: Color { matrix, range }, fps, frames, codec: VideoCodec::Raw, bit_depth: 8 };
        Ok(Self { input, info, frame: 0 })
    }

    pub(super) fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// The next picture and its time in microseconds.
    pub(super) fn next(&mut self, out: &mut Picture) -> Result<Option<u64>> {
        let Some(head) = line(&mut self.input, 256, "a frame header")? else { return Ok(None) };
        if head != b"FRAME" && !head.starts_with(b"FRAME ") {
            return Err(self.input.damaged(format!("frame {} does not begin with FRAME", self.frame)));
        }
        let len = self.info.size.i420_len() as u64;
        if self.input.len().is_some_and(|all| all - self.input.pos().min(all) < len) {
            return Err(self.input.damaged(format!("frame {} is cut off", self.frame)));
        }
        if out.size() != self.info.size {
            out.reset(self.info.size, self.info.color);
        }
        out.color = self.info.color;
        self.input.exact(out.data_mut(), "a frame")?;
        let time = clock(self.frame, self.info.fps);
        self.frame += 1;
        Ok(Some(time))
    }
}

/// Writes the header.
pub(super) fn begin(out: &mut impl Write, config: &WriterConfig) -> std::io::Result<()> {
    let range = if config.color.range == Range::Full { "FULL" } else { "LIMITED" };
    let matrix = match config.color.matrix {
        Matrix::Bt601 => "BT601",
        Matrix::Bt709 => "BT709",
        Matrix::Bt2020 => "BT2020",
    };
    let (Size { width, height }, (num, den)) = (config.size, config.fps);
    // FFmpeg before 6 reads at most 96 bytes here.
    writeln!(
        out,
        "YUV4MPEG2 W{width} H{height} F{num}:{den} Ip A1:1 C420jpeg XCOLORRANGE={range} XCOLORMATRIX={matrix}"
    )
}

/// Writes one picture.
pub(super) fn frame(out: &mut impl Write, picture: &Picture) -> std::io::Result<()> {
    out.write_all(b"FRAME\n")?;
    out.write_all(picture.data())
}

/// A line without its end, at most `limit` bytes; `None` at the end of the source.
fn line(input: &mut Input, limit: usize, what: &str) -> Result<Option<Vec<u8>>> {
    let mut text = Vec::with_capacity(64);
    let mut byte = [0];
    loop {
        if !input.fill(&mut byte, what)? {
            return if text.is_empty() { Ok(None) } else { Err(input.damaged(format!("{what} is cut off"))) };
        }
        if byte[0] == b'\n' {
            return Ok(Some(text));
        }
        if text.len() == limit {
            return Err(input.damaged(format!("{what} is longer than {limit} bytes")));
        }
        text.push(byte[0]);
    }
}

fn rate(value: &str) -> Option<(u32, u32)> {
    let (num, den) = value.split_once(':')?;
    let fps = (num.parse().ok()?, den.parse().ok()?);
    super::sane_fps(fps).then_some(fps)
}

const _: () = assert!(MAX_AREA <= u32::MAX as usize);
