//! How pixels come from the server: through memory that is shared with it, or over the connection where there is none.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use x11rb::connection::Connection;
use x11rb::protocol::shm;
use x11rb::protocol::xproto::{self, ImageFormat};

use super::server::{Fault, Server};
use super::view::View;
use crate::capture::live::Rect;

/// Takes pixels from the server.
pub enum Reader {
    /// It writes them into shared memory, which is `Memory::len` bytes.
    Shared(shm::Seg, Memory),
    /// It sends them.
    Wire,
}

impl Reader {
    /// The best way that works for pictures of `len` bytes.
    pub fn open(server: &Server, len: usize) -> Result<Self, Fault> {
        let ways = match server.shm {
            None => &[][..],
            Some(version) if server.local && version >= (1, 2) => &[Way::Descriptor, Way::Number][..],
            Some(_) => &[Way::Number][..],
        };
        for way in ways {
            match attach(server, *way, len) {
                Ok(shared) => return Ok(shared),
                Err(Fault::Refused(_)) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(Reader::Wire)
    }

    /// Whether pictures of `len` bytes fit.
    pub fn holds(&self, len: usize) -> bool {
        match self {
            Reader::Shared(_, memory) => len <= memory.len,
            Reader::Wire => true,
        }
    }

    /// Reads the parts `rects` of `view` into `picture`, which is the whole of it, and nothing beside them. Together they
    /// are no larger than the picture.
    ///
    /// They are read one by one into the shared memory and copied to their place from there. A picture that lay in it
    /// would change under the eyes of its reader, and rows that are read whole bring changes that nobody told of.
    pub fn read(&self, server: &Server, view: &View, rects: &[Rect], picture: &mut [u8]) -> Result<(), Fault> {
        match self {
            Reader::Shared(segment, memory) => {
                let mut asked = Vec::with_capacity(rects.len());
                let mut offset = 0;
                for rect in rects {
                    let (x, y) = place(view, *rect);
                    let (width, height) = (rect.width as u16, rect.height as u16);
                    let at = offset as u32;
                    let (format, conn) = (ImageFormat::Z_PIXMAP.into(), &server.conn);
                    asked.push(shm::get_image(conn, view.drawable, x, y, width, height, !0, format, *segment, at)?);
                    offset += 4 * rect.width as usize * rect.height as usize;
                }
                let mut offset = 0;
                for (rect, asked) in rects.iter().zip(asked) {
                    asked.reply()?;
                    for y in rect.y..rect.y + rect.height {
                        let at = view.byte(rect.x, y);
                        let row = &mut picture[at..at + 4 * rect.width as usize];
                        memory.copy(offset, row);
                        offset += row.len();
                    }
                }
            }
            Reader::Wire => {
                let mut asked = Vec::with_capacity(rects.len());
                for rect in rects {
                    let (x, y) = place(view, *rect);
                    let (width, height) = (rect.width as u16, rect.height as u16);
                    let format = ImageFormat::Z_PIXMAP;
                    asked.push(xproto::get_image(&server.conn, format, view.drawable, x, y, width, height, !0)?);
                }
                for (rect, asked) in rects.iter().zip(asked) {
                    let rows = asked.reply()?.data;
                    for (row, y) in rows.chunks_exact(4 * rect.width as usize).zip(rect.y..rect.y + rect.height) {
                        let at = view.byte(rect.x, y);
                        picture[at..at + row.len()].copy_from_slice(row);
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives the memory back.
    pub fn close(self, server: &Server) -> Result<(), Fault> {
        if let Reader::Shared(segment, _) = self {
            shm::detach(&server.conn, segment)?;
        }
        Ok(())
    }
}

/// Where a part of a picture lies in what is read; coordinates of X have 16 bits.
fn place(view: &View, rect: Rect) -> (i16, i16) {
    let (x, y) = (view.origin.x + view.shift + rect.x as i32, view.origin.y + view.shift + rect.y as i32);
    (x as i16, y as i16)
}

/// How memory is named to the server.
#[derive(Clone, Copy)]
enum Way {
    /// By a descriptor that is passed along.
    Descriptor,
    /// By its System V number, which servers without descriptors know.
    Number,
}

fn attach(server: &Server, way: Way, len: usize) -> Result<Reader, Fault> {
    let refused = |error: io::Error| Fault::Refused(error.to_string());
    let segment = server.conn.generate_id()?;
    let memory = match way {
        Way::Descriptor => {
            let (file, memory) = Memory::of_file(len).map_err(refused)?;
            shm::attach_fd(&server.conn, segment, file, false)?.check()?;
            memory
        }
        Way::Number => {
            let number = Number::create(len).map_err(refused)?;
            let memory = number.map(len).map_err(refused)?;
            shm::attach(&server.conn, segment, number.0 as u32, false)?.check()?;
            memory
        }
    };
    Ok(Reader::Shared(segment, memory))
}

/// Memory that the server writes to.
pub struct Memory {
    at: *mut u8,
    len: usize,
    way: Way,
}

// SAFETY: the memory is this process's, whichever thread reads it, and its one owner alone does.
unsafe impl Send for Memory {}

impl Memory {
    /// Memory with a file for it, which can neither shrink nor grow: who reads it meets no end.
    fn of_file(len: usize) -> io::Result<(OwnedFd, Self)> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a C string.
        let fd = unsafe { libc::memfd_create(c"conclave-screen".as_ptr(), flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was just opened, and nobody else has it.
        let file = unsafe { OwnedFd::from_raw_fd(fd) };
        let size = libc::off_t::try_from(len).map_err(io::Error::other)?;
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        // SAFETY: plain calls on an open descriptor.
        let sized = unsafe {
            libc::ftruncate(file.as_raw_fd(), size) == 0 && libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) == 0
        };
        if !sized {
            return Err(io::Error::last_os_error());
        }
        let (rights, kind) = (libc::PROT_READ, libc::MAP_SHARED);
        // SAFETY: a new mapping, at a place that the system picks.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, rights, kind, file.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok((file, Self { at: at.cast(), len, way: Way::Descriptor }))
    }

    /// Copies what lies at `offset` to `to`; what is beyond the end is left as it is.
    fn copy(&self, offset: usize, to: &mut [u8]) {
        let len = to.len().min(self.len.saturating_sub(offset));
        if len > 0 {
            // SAFETY: the bytes from `offset` on lie inside the mapping, which lives as long as `self`; `to` is memory of
            // this process alone.
            unsafe { std::ptr::copy_nonoverlapping(self.at.add(offset), to.as_mut_ptr(), len) };
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped by this value, so long and so wide, and by nobody unmapped.
        unsafe {
            match self.way {
                Way::Descriptor => libc::munmap(self.at.cast(), self.len),
                Way::Number => libc::shmdt(self.at.cast()),
            }
        };
    }
}

/// A System V segment, which goes with the last one who has it mapped once this is dropped.
struct Number(libc::c_int);

impl Number {
    fn create(len: usize) -> io::Result<Self> {
        // SAFETY: a plain call.
        match unsafe { libc::shmget(libc::IPC_PRIVATE, len, libc::IPC_CREAT | 0o600) } {
            -1 => Err(io::Error::last_os_error()),
            number => Ok(Self(number)),
        }
    }

    fn map(&self, len: usize) -> io::Result<Memory> {
        // SAFETY: a new mapping, at a place that the system picks.
        let at = unsafe { libc::shmat(self.0, std::ptr::null(), libc::SHM_RDONLY) };
        if at as isize == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Memory { at: at.cast(), len, way: Way::Number })
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        // SAFETY: a plain call on a segment of this process.
        unsafe { libc::shmctl(self.0, libc::IPC_RMID, std::ptr::null_mut()) };
    }
}
