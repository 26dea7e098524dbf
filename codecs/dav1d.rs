//! AV1 decoding by dav1d, one frame in and one frame out, and the only file that speaks to its C interface.
//!
//! Frame threading is off (`max_frame_delay` 1): a picture comes out of the submission that completes it. Damaged
//! units give errors and never end the session; the next key frame decodes.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr::{NonNull, addr_of};

use libdav1d_sys as sys;

use crate::candidates::MAX_AREA;
use crate::{CodecError, Color, Matrix, Picture, Plane, Range, Size, VideoDecoder};

/// How a decoder is to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Config {
    /// Worker threads, 1…64; they share the tiles and rows of one frame.
    pub threads: u32,
    /// Largest picture in luma samples: it bounds the memory.
    pub max_area: u32,
    /// The matrix of a stream whose sequence header leaves it unspecified or reserved.
    pub unspecified: Matrix,
}

impl Default for Config {
    fn default() -> Self {
        Self { threads: 1, max_area: MAX_AREA as u32, unspecified: Matrix::Bt709 }
    }
}

/// A dav1d context behind the trait.
pub struct Decoder {
    context: NonNull<sys::Dav1dContext>,
    unspecified: Matrix,
    /// Pictures dropped because the caller submitted before it had polled them all.
    pub discarded: u64,
}

// SAFETY: dav1d ties a context to no thread; the owner has it alone, and every call takes `&mut self`.
unsafe impl Send for Decoder {}

impl Decoder {
    /// Opens a decoder. Errors name what is wrong with the configuration.
    pub fn open(config: Config) -> Result<Self, CodecError> {
        if !(1..=64).contains(&config.threads) || config.max_area == 0 {
            let what = format!("{} threads for pictures of {} samples", config.threads, config.max_area);
            return Err(CodecError::Config { codec: NAME, what, hint: "take 1 to 64 threads and at least 1 sample" });
        }
        let mut settings = MaybeUninit::uninit();
        // SAFETY: the call fills the whole struct.
        let mut settings: sys::Dav1dSettings = unsafe {
            sys::dav1d_default_settings(settings.as_mut_ptr());
            settings.assume_init()
        };
        settings.n_threads = config.threads as i32;
        settings.max_frame_delay = 1;
        settings.apply_grain = 1;
        settings.all_layers = 0;
        settings.frame_size_limit = config.max_area;
        settings.logger.callback = None;
        let mut context = std::ptr::null_mut();
        // SAFETY: both pointers are valid for the call.
        let code = unsafe { sys::dav1d_open(&mut context, &settings) };
        match NonNull::new(context) {
            Some(context) if code == 0 => Ok(Self { context, unspecified: config.unspecified, discarded: 0 }),
            _ => Err(error(code)),
        }
    }

    /// The next picture, or `None` when dav1d needs input.
    fn next(&mut self) -> Result<Option<Shown>, CodecError> {
        // SAFETY: an all-zero picture is dav1d's empty one, and every enum in it has a variant 0.
        let mut shown = Shown(unsafe { MaybeUninit::zeroed().assume_init() });
        // SAFETY: context and picture are valid; `Shown` gives the reference back.
        match unsafe { sys::dav1d_get_picture(self.context.as_ptr(), &mut shown.0) } {
            0 => Ok(Some(shown)),
            sys::DAV1D_ERR_AGAIN => Ok(None),
            code => Err(error(code)),
        }
    }
}

impl VideoDecoder for Decoder {
    fn name(&self) -> &'static str {
        NAME
    }

    fn submit(&mut self, data: &[u8], frame: u64) -> Result<(), CodecError> {
        if data.is_empty() || data.len() > MAX_UNIT {
            return Err(CodecError::Data { codec: NAME, what: format!("a temporal unit of {} bytes", data.len()) });
        }
        let mut unit = Unit::copy(data)?;
        unit.0.m.timestamp = frame as i64;
        // A refusal means that pictures of an earlier unit wait; each round takes one away.
        for _ in 0..MAX_WAITING {
            // SAFETY: context and data are valid; dav1d empties `unit` when it takes it, `Unit` frees it otherwise.
            match unsafe { sys::dav1d_send_data(self.context.as_ptr(), &mut unit.0) } {
                0 => return Ok(()),
                sys::DAV1D_ERR_AGAIN => self.discarded += u64::from(matches!(self.next(), Ok(Some(_)))),
                code => return Err(error(code)),
            }
        }
        self.reset();
        Err(CodecError::Data { codec: NAME, what: format!("more than {MAX_WAITING} pictures in one temporal unit") })
    }

    fn poll(&mut self, out: &mut Picture) -> Result<Option<u64>, CodecError> {
        match self.next()? {
            Some(shown) => shown.copy_to(out, self.unspecified).map(Some),
            None => Ok(None),
        }
    }

    fn reset(&mut self) {
        // SAFETY: the context is valid.
        unsafe { sys::dav1d_flush(self.context.as_ptr()) }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let mut context = self.context.as_ptr();
        // SAFETY: the context is valid and not used again.
        unsafe { sys::dav1d_close(&mut context) }
    }
}

/// Version of the library linked in.
pub fn version() -> &'static str {
    // SAFETY: dav1d returns a static string that ends in a zero.
    unsafe { CStr::from_ptr(sys::dav1d_version()) }.to_str().unwrap_or("unknown")
}

/// A temporal unit in dav1d's own memory.
struct Unit(sys::Dav1dData);

impl Unit {
    fn copy(data: &[u8]) -> Result<Self, CodecError> {
        // SAFETY: all-zero is dav1d's empty data.
        let mut unit = Self(unsafe { MaybeUninit::zeroed().assume_init() });
        // SAFETY: the data is valid and empty; on success dav1d returns room for `data.len()` bytes.
        unsafe {
            let to = sys::dav1d_data_create(&mut unit.0, data.len());
            if to.is_null() {
                return Err(error(sys::DAV1D_ERR_NOMEM));
            }
            std::ptr::copy_nonoverlapping(data.as_ptr(), to, data.len());
        }
        Ok(unit)
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // SAFETY: valid data, or what dav1d left empty: both may be given back.
        unsafe { sys::dav1d_data_unref(&mut self.0) }
    }
}

/// A picture that dav1d lent.
struct Shown(sys::Dav1dPicture);

impl Shown {
    fn copy_to(&self, out: &mut Picture, unspecified: Matrix) -> Result<u64, CodecError> {
        let picture = &self.0;
        // SAFETY: the pointer is valid while the picture is held. The enums are read as the numbers they are in C:
        // a stream may put any 8-bit value there, which a Rust enum must not hold.
        let (layout, matrix, full) = unsafe {
            let header = picture.seq_hdr;
            let matrix = addr_of!((*header).mtrx).cast::<u32>().read();
            (addr_of!(picture.p.layout).cast::<u32>().read(), matrix, (*header).color_range != 0)
        };
        let refuse = |what, hint| Err(CodecError::Config { codec: NAME, what, hint });
        if picture.p.bpc != 8 || layout != sys::Dav1dPixelLayout::DAV1D_PIXEL_LAYOUT_I420 as u32 {
            let layout = ["4:0:0", "4:2:0", "4:2:2", "4:4:4"].get(layout as usize).unwrap_or(&"unknown layout");
            return refuse(format!("the stream is {}-bit {layout}", picture.p.bpc), "convert it to 8-bit 4:2:0 first");
        }
        let Some(matrix) = matrix_of(matrix, unspecified) else {
            return refuse(format!("the stream has matrix coefficients {matrix}"), "convert it to BT.709 first");
        };
        let range = if full { Range::Full } else { Range::Limited };
        out.reset(Size::new(picture.p.w as u32, picture.p.h as u32), Color { matrix, range });
        for (i, plane) in Plane::ALL.into_iter().enumerate() {
            let (width, stride) = (out.plane_size(plane).width as usize, picture.stride[i.min(1)]);
            let from = picture.data[i].cast::<u8>().cast_const();
            for (y, row) in out.plane_mut(plane).chunks_exact_mut(width).enumerate() {
                // SAFETY: dav1d's plane holds `height` rows of at least `width` bytes, `stride` apart.
                unsafe { row.copy_from_slice(std::slice::from_raw_parts(from.offset(y as isize * stride), width)) }
            }
        }
        Ok(picture.m.timestamp as u64)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        // SAFETY: a valid or empty picture: both may be given back.
        unsafe { sys::dav1d_picture_unref(&mut self.0) }
    }
}

/// Matrix coefficients of the sequence header (AV1 specification, section 6.4.2).
fn matrix_of(coefficients: u32, unspecified: Matrix) -> Option<Matrix> {
    match coefficients {
        1 => Some(Matrix::Bt709),
        // Reserved values mean as little as unspecified ones; the conformance streams use them.
        2 | 3 | 15.. => Some(unspecified),
        5 | 6 => Some(Matrix::Bt601),
        9 => Some(Matrix::Bt2020),
        _ => None,
    }
}

fn error(code: i32) -> CodecError {
    let internal = |what: &str| CodecError::Internal { codec: NAME, what: what.to_owned() };
    match code {
        sys::DAV1D_ERR_NOMEM => internal("out of memory"),
        // What dav1d says of damage, of a missing reference, and of a picture above the size limit.
        _ => CodecError::Data { codec: NAME, what: format!("dav1d says {code}") },
    }
}

const NAME: &str = "dav1d";
/// Largest temporal unit in bytes.
const MAX_UNIT: usize = 64 << 20;
/// Pictures of one temporal unit that may wait before the unit counts as damaged.
const MAX_WAITING: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FrameInput, VideoEncoder, rav1e};

    fn stream(size: Size) -> Vec<Vec<u8>> {
        let config = rav1e::Config { size, target: rav1e::Target::Quantizer(100), ..rav1e::Config::default() };
        let mut encoder = rav1e::Encoder::open(config).expect("opens");
        let mut picture = Picture::new(size, Color::default());
        let mut random = fastrand::Rng::with_seed(5);
        for frame in 0..6 {
            picture.data_mut().iter_mut().for_each(|sample| *sample = (*sample ^ random.u8(..32)).max(20));
            encoder.submit(&picture, FrameInput { frame, keyframe: false }).expect("takes it");
        }
        encoder.flush().expect("flushes");
        let mut units = Vec::new();
        loop {
            let mut unit = Vec::new();
            match encoder.poll(&mut unit).expect("encodes") {
                Some(_) => units.push(unit),
                None => return units,
            }
        }
    }

    fn shown(decoder: &mut Decoder, units: &[Vec<u8>]) -> Vec<(u64, Picture)> {
        let mut list = Vec::new();
        let mut picture = Picture::new(Size::new(1, 1), Color::default());
        for (frame, unit) in units.iter().enumerate() {
            decoder.submit(unit, frame as u64 + (1 << 40)).expect("decodes");
            while let Some(frame) = decoder.poll(&mut picture).expect("decodes") {
                list.push((frame, picture.clone()));
            }
        }
        list
    }

    #[test]
    fn each_unit_gives_its_picture_at_once_whatever_the_threads() {
        let units = stream(Size::new(130, 98));
        let mut one = Decoder::open(Config::default()).expect("opens");
        let mut four = Decoder::open(Config { threads: 4, ..Config::default() }).expect("opens");
        let list = shown(&mut one, &units);
        assert_eq!(list.iter().map(|(frame, _)| frame - (1 << 40)).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert!(list == shown(&mut four, &units));
        one.reset();
        assert!(one.submit(&units[1], 1).is_err() || one.poll(&mut list[0].1.clone()).is_err(), "reset forgets");
        assert!(list == shown(&mut one, &units));
    }

    #[test]
    fn mutated_units_give_errors_or_pictures_and_never_end_the_session() {
        let units = stream(Size::new(66, 50));
        let mut decoder = Decoder::open(Config { max_area: 1 << 20, ..Config::default() }).expect("opens");
        let mut picture = Picture::new(Size::new(1, 1), Color::default());
        let mut random = fastrand::Rng::with_seed(9);
        let (mut refused, mut unit) = (0, Vec::new());
        for round in 0..6_000 {
            unit.clear();
            unit.extend_from_slice(&units[round % units.len()]);
            match random.u8(..4) {
                0 => unit.truncate(random.usize(..unit.len())),
                1 => (0..random.usize(1..200)).for_each(|_| unit.push(random.u8(..))),
                2 => unit.iter_mut().for_each(|byte| *byte = random.u8(..)),
                _ => {}
            }
            for _ in 0..random.usize(..6) {
                if let Some(at) = unit.len().checked_sub(1) {
                    unit[random.usize(..=at.min(60))] ^= 1 << random.u8(..8);
                }
            }
            refused += u32::from(decoder.submit(&unit, round as u64).is_err());
            for _ in 0..random.usize(..4) {
                refused += u32::from(decoder.poll(&mut picture).is_err());
                assert!(picture.size().area() <= 1 << 20, "the size limit holds");
            }
        }
        assert!(refused > 1_000, "{refused}");
        decoder.reset();
        assert_eq!(shown(&mut decoder, &units).len(), units.len());
    }

    #[test]
    fn a_picture_above_the_limit_is_refused() {
        let units = stream(Size::new(66, 50));
        let mut decoder = Decoder::open(Config { max_area: 66 * 50 - 1, ..Config::default() }).expect("opens");
        let mut picture = Picture::new(Size::new(1, 1), Color::default());
        assert!(decoder.submit(&units[0], 0).is_err());
        assert_eq!(decoder.poll(&mut picture).expect("still open"), None);
        assert!(Decoder::open(Config { threads: 0, ..Config::default() }).is_err());
        assert!(decoder.submit(&[], 0).is_err());
    }

    #[test]
    fn conformance_vectors_decode_to_their_md5() {
        let shared = std::env::var_os("CONCLAVE_SHARED").map(std::path::PathBuf::from);
        let shared = shared.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared").into());
        let Ok(list) = std::fs::read_to_string(shared.join("media/MANIFEST.tsv")) else {
            println!("skipped: no shared media");
            return;
        };
        let mut count = 0;
        for line in list.lines().filter(|line| line.contains("av1-conformance")) {
            let name = line.split('\t').next().expect("a name");
            let (Some((_, md5)), true) = (line.split_once("decoded-output md5 "), name.ends_with(".ivf")) else {
                continue;
            };
            let (md5, file) = (&md5[..32], std::fs::read(shared.join("media").join(name)).expect("reads"));
            let mut decoder = Decoder::open(Config { threads: 2, ..Config::default() }).expect("opens");
            let mut picture = Picture::new(Size::new(1, 1), Color::default());
            let (mut out, mut at) = (Vec::new(), 32);
            let mut refused = None;
            while at < file.len() {
                let len = u32::from_le_bytes(*file[at..].first_chunk().expect("a length")) as usize;
                decoder.submit(&file[at + 12..at + 12 + len], 0).expect(name);
                at += 12 + len;
                loop {
                    match decoder.poll(&mut picture) {
                        Ok(Some(_)) => out.extend_from_slice(picture.data()),
                        Ok(None) => break,
                        Err(error) => refused = Some(error.to_string()),
                    }
                }
            }
            if name.contains("b10_") {
                assert!(refused.expect(name).contains("the stream is 10-bit 4:2:0"));
                continue;
            }
            assert_eq!(refused, None, "{name}");
            let Some(sum) = md5sum(&out) else {
                println!("skipped: md5sum is not installed");
                return;
            };
            assert_eq!(sum, md5, "{name}");
            count += 1;
        }
        assert!(count > 30, "{count}");
    }

    fn md5sum(data: &[u8]) -> Option<String> {
        use std::process::{Command, Stdio};
        let mut child = Command::new("md5sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        std::io::Write::write_all(&mut child.stdin.take()?, data).ok()?;
        let output = child.wait_with_output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).split_whitespace().next()?.to_owned())
    }

    #[test]
    fn a_matrix_is_read_or_refused() {
        assert_eq!(matrix_of(2, Matrix::Bt601), Some(Matrix::Bt601));
        assert_eq!(matrix_of(9, Matrix::Bt601), Some(Matrix::Bt2020));
        assert!([0, 4, 7, 8, 10, 14].into_iter().all(|coefficients| matrix_of(coefficients, Matrix::Bt601).is_none()));
    }
}
