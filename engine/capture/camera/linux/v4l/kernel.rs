//! The kernel's calls for video devices, made safe: <https://docs.kernel.org/userspace-api/media/v4l/v4l2.html>.
//!
//! The structures and the numbers of the calls are the `v4l` crate's. Its calls are not used: they take what a driver says
//! for right and panic where it is not.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::NonNull;
use std::time::Duration;

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc as calls;

use super::super::modes::{Mode, Span};
use super::super::wire::Wire;
use crate::codecs::{Color, Matrix, Range, Size};

const CAPTURE: u32 = sys::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE;
const MAPPED: u32 = sys::v4l2_memory_V4L2_MEMORY_MMAP;

/// More formats, sizes or rates than this no driver has.
const MOST: u32 = 256;

/// A structure of the kernel's interface.
///
/// # Safety
/// All bits 0 are a value of it, and it is what a call of the given number reads and writes.
unsafe trait Plain: Sized {
    fn zeroed() -> Self {
        // SAFETY: as the trait demands.
        unsafe { std::mem::zeroed() }
    }
}

macro_rules! plain {
    ($($name:ident),*) => {
        $(
            // SAFETY: a C structure of integers and unions of them.
            unsafe impl Plain for sys::$name {}
        )*
    };
}

plain!(v4l2_capability, v4l2_fmtdesc, v4l2_frmsizeenum, v4l2_frmivalenum, v4l2_format, v4l2_streamparm);
plain!(v4l2_requestbuffers, v4l2_buffer);

/// An open device.
pub(super) struct File(OwnedFd);

/// What a device says of itself.
pub(super) struct Card {
    pub(super) name: String,
    pub(super) bus: String,
    /// It gives pictures, through mapped buffers.
    pub(super) captures: bool,
}

/// What a device agreed to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agreed {
    pub(super) mode: Mode,
    /// Bytes from one row of the first plane to the next.
    pub(super) stride: usize,
    pub(super) color: Color,
}

impl File {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)?;
        Ok(Self(file.into()))
    }

    fn call<T: Plain>(&self, number: calls::_IOC_TYPE, value: &mut T) -> io::Result<()> {
        loop {
            // SAFETY: `value` is the structure that call `number` reads and writes, as every caller in this file sees to.
            if unsafe { libc::ioctl(self.0.as_raw_fd(), number, std::ptr::from_mut(value)) } != -1 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }

    pub(super) fn card(&self) -> io::Result<Card> {
        let mut told = sys::v4l2_capability::zeroed();
        self.call(calls::VIDIOC_QUERYCAP, &mut told)?;
        // One device of a camera may be for pictures and another for what belongs to them; the former word is of all.
        let able =
            if told.capabilities & sys::V4L2_CAP_DEVICE_CAPS != 0 { told.device_caps } else { told.capabilities };
        let wanted = sys::V4L2_CAP_VIDEO_CAPTURE | sys::V4L2_CAP_STREAMING;
        Ok(Card { name: text(&told.card), bus: text(&told.bus_info), captures: able & wanted == wanted })
    }

    /// The layouts that are understood, of those it has, each with the name that it has for it.
    pub(super) fn wires(&self) -> Vec<(Wire, u32)> {
        let mut wires = Vec::new();
        for index in 0..MOST {
            let mut told = sys::v4l2_fmtdesc { index, type_: CAPTURE, ..Plain::zeroed() };
            if self.call(calls::VIDIOC_ENUM_FMT, &mut told).is_err() {
                break;
            }
            wires.extend(wire(told.pixelformat).map(|wire| (wire, told.pixelformat)));
        }
        wires
    }

    /// The sizes of the layout that it calls `code`; that of now where it does not tell.
    pub(super) fn sizes(&self, code: u32) -> Span<Size> {
        let mut sizes = Vec::new();
        for index in 0..MOST {
            let mut told = sys::v4l2_frmsizeenum { index, pixel_format: code, ..Plain::zeroed() };
            if self.call(calls::VIDIOC_ENUM_FRAMESIZES, &mut told).is_err() {
                break;
            }
            if told.type_ != sys::v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE {
                // SAFETY: all other types are of this kind, and every bit pattern is one.
                let range = unsafe { told.__bindgen_anon_1.stepwise };
                let most = Size::new(range.max_width, range.max_height);
                return Span::Between(Size::new(range.min_width, range.min_height), most, most);
            }
            // SAFETY: it is of this type, as just asked, and every bit pattern is one.
            let one = unsafe { told.__bindgen_anon_1.discrete };
            sizes.push(Size::new(one.width, one.height));
        }
        let mut now = sys::v4l2_format { type_: CAPTURE, ..Plain::zeroed() };
        if sizes.is_empty() && self.call(calls::VIDIOC_G_FMT, &mut now).is_ok() {
            // SAFETY: the type says so, and every bit pattern is one.
            let now = unsafe { now.fmt.pix };
            sizes.push(Size::new(now.width, now.height));
        }
        Span::These(sizes)
    }

    /// Pictures a second, which are told as seconds a picture.
    pub(super) fn rates(&self, code: u32, size: Size) -> Span<(u32, u32)> {
        let rate = |interval: sys::v4l2_fract| (interval.denominator, interval.numerator.max(1));
        let mut rates = Vec::new();
        for index in 0..MOST {
            let mut told = sys::v4l2_frmivalenum {
                index,
                pixel_format: code,
                width: size.width,
                height: size.height,
                ..Plain::zeroed()
            };
            if self.call(calls::VIDIOC_ENUM_FRAMEINTERVALS, &mut told).is_err() {
                break;
            }
            if told.type_ != sys::v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE {
                // SAFETY: all other types are of this kind, and every bit pattern is one.
                let range = unsafe { told.__bindgen_anon_1.stepwise };
                return Span::Between(rate(range.max), rate(range.min), rate(range.min));
            }
            // SAFETY: it is of this type, as just asked, and every bit pattern is one.
            rates.push(rate(unsafe { told.__bindgen_anon_1.discrete }));
        }
        // A driver that does not tell has some rate.
        if rates.is_empty() { Span::These(vec![(0, 1)]) } else { Span::These(rates) }
    }

    /// Asks for `mode`; `None` where the device answers with a layout that is not understood.
    pub(super) fn set(&self, mode: Mode) -> io::Result<Option<Agreed>> {
        let mut asked = sys::v4l2_format { type_: CAPTURE, ..Plain::zeroed() };
        asked.fmt.pix.width = mode.size.width;
        asked.fmt.pix.height = mode.size.height;
        let code = self.wires().into_iter().find(|(wire, _)| *wire == mode.wire);
        asked.fmt.pix.pixelformat = code.map_or(0, |(_, code)| code);
        asked.fmt.pix.field = sys::v4l2_field_V4L2_FIELD_NONE;
        self.call(calls::VIDIOC_S_FMT, &mut asked)?;
        // SAFETY: the type says so, and every bit pattern is one.
        let given = unsafe { asked.fmt.pix };
        let Some(wire) = wire(given.pixelformat) else { return Ok(None) };
        let mut agreed = Agreed {
            mode: Mode { wire, size: Size::new(given.width, given.height), fps: mode.fps },
            stride: given.bytesperline as usize,
            color: color(wire, &given),
        };
        if mode.fps.0 > 0 {
            let mut asked = sys::v4l2_streamparm { type_: CAPTURE, ..Plain::zeroed() };
            asked.parm.capture.timeperframe = sys::v4l2_fract { numerator: mode.fps.1, denominator: mode.fps.0 };
            // Not every driver lets its rate be set: then it is as it is.
            if self.call(calls::VIDIOC_S_PARM, &mut asked).is_ok() {
                // SAFETY: the type says so, and every bit pattern is one.
                let interval = unsafe { asked.parm.capture.timeperframe };
                if interval.numerator > 0 && interval.denominator > 0 {
                    agreed.mode.fps = (interval.denominator, interval.numerator);
                }
            }
        }
        Ok(Some(agreed))
    }

    /// Waits until a buffer is filled or the device is gone; `false` where neither happened in time.
    pub(super) fn wait(&self, patience: Duration) -> io::Result<bool> {
        let mut polled = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let ms = patience.as_millis().try_into().unwrap_or(i32::MAX);
        // SAFETY: one structure is given, and lives.
        match unsafe { libc::poll(&mut polled, 1, ms) } {
            -1 => match io::Error::last_os_error() {
                // A signal: the caller waits again.
                error if error.kind() == io::ErrorKind::Interrupted => Ok(false),
                error => Err(error),
            },
            ready => Ok(ready > 0),
        }
    }
}

/// Buffers that the driver fills while the stream is on.
pub(super) struct Buffers {
    // In the order in which they go.
    maps: Vec<Map>,
    pub(super) file: File,
}

/// A filled buffer, which is ours until it is given back.
pub(super) struct Filled {
    index: u32,
    pub(super) used: usize,
    /// The driver says that the picture is damaged.
    pub(super) broken: bool,
    /// When it was taken, in nanoseconds of the driver's clock.
    pub(super) ns: i64,
    pub(super) sequence: u32,
}

impl Buffers {
    /// Maps up to `count` buffers and starts the stream.
    pub(super) fn start(file: File, count: u32) -> io::Result<Self> {
        let mut asked = sys::v4l2_requestbuffers { count, type_: CAPTURE, memory: MAPPED, ..Plain::zeroed() };
        file.call(calls::VIDIOC_REQBUFS, &mut asked)?;
        let mut buffers = Self { maps: Vec::new(), file };
        for index in 0..asked.count.min(32) {
            let mut told = sys::v4l2_buffer { index, type_: CAPTURE, memory: MAPPED, ..Plain::zeroed() };
            buffers.file.call(calls::VIDIOC_QUERYBUF, &mut told)?;
            // SAFETY: with mapped memory the offset is told, and every bit pattern is one.
            let offset = unsafe { told.m.offset };
            buffers.maps.push(Map::new(&buffers.file, offset, told.length as usize)?);
        }
        for index in 0..buffers.maps.len() as u32 {
            buffers.queue(index)?;
        }
        buffers.stream(calls::VIDIOC_STREAMON)?;
        Ok(buffers)
    }

    fn stream(&self, number: calls::_IOC_TYPE) -> io::Result<()> {
        let kind = CAPTURE as libc::c_int;
        // SAFETY: both calls read an integer.
        match unsafe { libc::ioctl(self.file.0.as_raw_fd(), number, &raw const kind) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    /// Gives a buffer back to the driver.
    pub(super) fn give(&self, filled: Filled) -> io::Result<()> {
        self.queue(filled.index)
    }

    fn queue(&self, index: u32) -> io::Result<()> {
        let mut told = sys::v4l2_buffer { index, type_: CAPTURE, memory: MAPPED, ..Plain::zeroed() };
        self.file.call(calls::VIDIOC_QBUF, &mut told)
    }

    /// Takes a filled buffer; `None` where there is none now.
    pub(super) fn take(&self) -> io::Result<Option<Filled>> {
        let mut told = sys::v4l2_buffer { type_: CAPTURE, memory: MAPPED, ..Plain::zeroed() };
        match self.file.call(calls::VIDIOC_DQBUF, &mut told) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
            Ok(()) => Ok(Some(Filled {
                index: told.index,
                used: told.bytesused as usize,
                broken: told.flags & sys::V4L2_BUF_FLAG_ERROR != 0,
                ns: nanoseconds(told.timestamp),
                sequence: told.sequence,
            })),
        }
    }

    /// What was filled in: less than said where the buffer is not so large.
    pub(super) fn bytes(&self, filled: &Filled) -> &[u8] {
        self.maps.get(filled.index as usize).map_or(&[], |map| {
            // SAFETY: the memory is mapped while the map lives, and is the driver's to write only while it is queued,
            // which `Filled` is not.
            unsafe { std::slice::from_raw_parts(map.at.as_ptr(), map.len.min(filled.used)) }
        })
    }
}

fn nanoseconds(stamp: sys::timeval) -> i64 {
    stamp.tv_sec.saturating_mul(1_000_000_000).saturating_add(stamp.tv_usec.saturating_mul(1_000))
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // Of a device that is gone there is nothing to stop.
        drop(self.stream(calls::VIDIOC_STREAMOFF));
    }
}

struct Map {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: it owns the memory that it points to.
unsafe impl Send for Map {}

impl Map {
    fn new(file: &File, offset: u32, len: usize) -> io::Result<Self> {
        let (access, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.0.as_raw_fd());
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, access, libc::MAP_SHARED, fd, offset.into()) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(at.cast()).map(|at| Self { at, len }).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: it was mapped by `new`, and no slice of it outlives the map.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.len) };
    }
}

/// The kernel's names of the layouts that are understood.
const CODES: [(&[u8; 4], Wire); 12] = [
    (b"NV12", Wire::Nv12),
    (b"YU12", Wire::I420),
    (b"YUYV", Wire::Yuy2),
    (b"UYVY", Wire::Uyvy),
    (b"XR24", Wire::Bgra),
    (b"AR24", Wire::Bgra),
    (b"XB24", Wire::Rgba),
    (b"AB24", Wire::Rgba),
    (b"BGR3", Wire::Bgr),
    (b"RGB3", Wire::Rgb),
    (b"MJPG", Wire::Mjpeg),
    (b"JPEG", Wire::Mjpeg),
];

fn wire(code: u32) -> Option<Wire> {
    CODES.iter().find(|(name, _)| u32::from_le_bytes(**name) == code).map(|(_, wire)| *wire)
}

/// What the samples mean, as far as the driver says.
fn color(wire: Wire, given: &sys::v4l2_pix_format) -> Color {
    let usual = wire.color();
    // SAFETY: both are the encoding of luma and chroma, and every bit pattern is one.
    let encoding = unsafe { given.__bindgen_anon_1.ycbcr_enc };
    let matrix = match (encoding, given.colorspace) {
        (sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_601, _) => Matrix::Bt601,
        (sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_709, _) => Matrix::Bt709,
        (sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_BT2020, _) => Matrix::Bt2020,
        (_, sys::v4l2_colorspace_V4L2_COLORSPACE_REC709) => Matrix::Bt709,
        (_, sys::v4l2_colorspace_V4L2_COLORSPACE_BT2020) => Matrix::Bt2020,
        _ => usual.matrix,
    };
    let range = match given.quantization {
        sys::v4l2_quantization_V4L2_QUANTIZATION_FULL_RANGE => Range::Full,
        sys::v4l2_quantization_V4L2_QUANTIZATION_LIM_RANGE => Range::Limited,
        _ if given.colorspace == sys::v4l2_colorspace_V4L2_COLORSPACE_JPEG => Range::Full,
        _ => usual.range,
    };
    // JPEG pictures are what JFIF says, whatever the driver does.
    if wire == Wire::Mjpeg { usual } else { Color { matrix, range } }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}
