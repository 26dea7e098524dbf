//! The byte source below every reader: counts, bounds, and words for what is missing.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use super::error::{ContainerError, Result};

/// A source that can be read and sought: a file, or bytes in memory behind a cursor.
pub trait Stream: Read + Seek + Send {}

impl<T: Read + Seek + Send> Stream for T {}

/// A named source of bytes. Reads are incremental: no length found in a file is allocated before its bytes came.
pub(super) struct Input {
    name: String,
    format: &'static str,
    inner: Inner,
    /// Bytes in all, where the source can be sought.
    len: Option<u64>,
    pos: u64,
}

enum Inner {
    File(io::BufReader<Box<dyn Stream>>),
    Pipe(Box<dyn Read + Send>),
}

impl Input {
    /// Opens a path; `-` is standard input.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::pipe("standard input", Box::new(io::BufReader::new(io::stdin()))));
        }
        let name = path.display().to_string();
        let read = |source| ContainerError::Read { path: name.clone(), source };
        let file = std::fs::File::open(path).map_err(read)?;
        if file.metadata().map_err(read)?.is_file() {
            Self::stream(&name, Box::new(file))
        } else {
            Ok(Self::pipe(&name, Box::new(io::BufReader::new(file))))
        }
    }

    /// A source that can be sought.
    pub(super) fn stream(name: &str, mut stream: Box<dyn Stream>) -> Result<Self> {
        let read = |source| ContainerError::Read { path: name.to_owned(), source };
        let len = stream.seek(SeekFrom::End(0)).map_err(read)?;
        stream.seek(SeekFrom::Start(0)).map_err(read)?;
        let inner = Inner::File(io::BufReader::with_capacity(1 << 16, stream));
        Ok(Self { name: name.to_owned(), format: "file", inner, len: Some(len), pos: 0 })
    }

    /// A source that is read once, front to back.
    pub(super) fn pipe(name: &str, pipe: Box<dyn Read + Send>) -> Self {
        Self { name: name.to_owned(), format: "stream", inner: Inner::Pipe(pipe), len: None, pos: 0 }
    }

    /// Up to 64 bytes from the front, which stay to be read. Called before anything else is read.
    pub(super) fn head(&mut self) -> Result<Vec<u8>> {
        let mut head = Vec::with_capacity(64);
        self.take_into(64, &mut head)?;
        if self.len.is_some() {
            self.seek_to(0)?;
        } else if let Inner::Pipe(rest) = std::mem::replace(&mut self.inner, Inner::Pipe(Box::new(io::empty()))) {
            self.inner = Inner::Pipe(Box::new(Cursor::new(head.clone()).chain(rest)));
            self.pos = 0;
        }
        Ok(head)
    }

    /// The name that errors carry.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Names the format for the errors to come.
    pub(super) fn set_format(&mut self, format: &'static str) {
        self.format = format;
    }

    /// Bytes in all, where known.
    pub(super) fn len(&self) -> Option<u64> {
        self.len
    }

    /// Bytes read or skipped so far.
    pub(super) fn pos(&self) -> u64 {
        self.pos
    }

    /// Can be sought.
    pub(super) fn seekable(&self) -> bool {
        self.len.is_some()
    }

    /// Fills `buf`. `false` at a clean end of the source, before its first byte.
    pub(super) fn fill(&mut self, buf: &mut [u8], what: &str) -> Result<bool> {
        let mut got = 0;
        while got < buf.len() {
            match self.read(&mut buf[got..]) {
                Ok(0) if got == 0 => return Ok(false),
                Ok(0) => return Err(self.cut(what, got as u64, buf.len() as u64)),
                Ok(n) => got += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ContainerError::Read { path: self.name.clone(), source }),
            }
        }
        Ok(true)
    }

    /// Fills `buf`; the end of the source is damage.
    pub(super) fn exact(&mut self, buf: &mut [u8], what: &str) -> Result<()> {
        match self.fill(buf, what)? || buf.is_empty() {
            true => Ok(()),
            false => Err(self.cut(what, 0, buf.len() as u64)),
        }
    }

    /// Appends `len` bytes to `out`, growing it only as bytes come; `limit` bounds `len`.
    pub(super) fn append(&mut self, len: u64, limit: usize, out: &mut Vec<u8>, what: &str) -> Result<()> {
        if len > limit as u64 {
            return Err(self.damaged(format!("{what} claims {len} bytes, more than the limit of {limit}")));
        }
        let left = self.len.map_or(u64::MAX, |all| all.saturating_sub(self.pos));
        if len > left {
            return Err(self.cut(what, left, len));
        }
        let got = self.take_into(len, out)?;
        if got < len { Err(self.cut(what, got, len)) } else { Ok(()) }
    }

    /// Passes over `len` bytes; where the end is known, going past it is damage.
    pub(super) fn skip(&mut self, len: u64, what: &str) -> Result<()> {
        if let Some(all) = self.len {
            let left = all.saturating_sub(self.pos);
            if len > left {
                return Err(self.cut(what, left, len));
            }
            return self.seek_to(self.pos + len);
        }
        let got = io::copy(&mut self.by_ref().take(len), &mut io::sink())
            .map_err(|source| ContainerError::Read { path: self.name.clone(), source })?;
        if got < len { Err(self.cut(what, got, len)) } else { Ok(()) }
    }

    /// Goes to an absolute position.
    pub(super) fn seek_to(&mut self, pos: u64) -> Result<()> {
        self.seek(SeekFrom::Start(pos))
            .map(drop)
            .map_err(|source| ContainerError::Read { path: self.name.clone(), source })
    }

    /// An error about bytes that contradict the format.
    pub(super) fn damaged(&self, what: impl Into<String>) -> ContainerError {
        ContainerError::Damaged { path: self.name.clone(), format: self.format, what: what.into() }
    }

    /// An error about sound bytes of a kind that is not taken.
    pub(super) fn unsupported(&self, what: impl Into<String>, hint: &str) -> ContainerError {
        ContainerError::Unsupported { path: self.name.clone(), what: what.into(), hint: hint.to_owned() }
    }

    fn cut(&self, what: &str, got: u64, wanted: u64) -> ContainerError {
        self.damaged(format!("{what} ends after {got} of {wanted} bytes"))
    }

    fn take_into(&mut self, len: u64, out: &mut Vec<u8>) -> Result<u64> {
        let got = self
            .by_ref()
            .take(len)
            .read_to_end(out)
            .map_err(|source| ContainerError::Read { path: self.name.clone(), source })?;
        Ok(got as u64)
    }
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = match &mut self.inner {
            Inner::File(file) => file.read(buf)?,
            Inner::Pipe(pipe) => pipe.read(buf)?,
        };
        self.pos += got as u64;
        Ok(got)
    }
}

impl Seek for Input {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let Inner::File(file) = &mut self.inner else { return Err(io::ErrorKind::NotSeekable.into()) };
        match to {
            // Within the buffer a relative seek keeps it.
            SeekFrom::Start(target) if target >= self.pos && target - self.pos < 1 << 16 => {
                file.seek_relative((target - self.pos) as i64)?;
                self.pos = target;
            }
            _ => self.pos = file.seek(to)?,
        }
        Ok(self.pos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte a call, as a pipe may.
    struct Drip(Cursor<Vec<u8>>);

    impl Read for Drip {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let some = buf.len().min(1);
            self.0.read(&mut buf[..some])
        }
    }

    #[test]
    fn a_pipe_is_looked_at_and_then_read_from_its_first_byte() {
        for len in [0u8, 5, 64, 200] {
            let bytes: Vec<u8> = (0..len).collect();
            let mut input = Input::pipe("pipe", Box::new(Drip(Cursor::new(bytes.clone()))));
            assert_eq!(input.head().unwrap(), bytes[..bytes.len().min(64)]);
            assert_eq!((input.pos(), input.len()), (0, None));
            let half = bytes.len() / 2;
            input.skip(half as u64, "half").unwrap();
            let mut rest = Vec::new();
            input.append((bytes.len() - half) as u64, 1000, &mut rest, "the rest").unwrap();
            assert_eq!(rest, bytes[half..]);
            assert!(!input.fill(&mut [0], "the end").unwrap());
            assert!(input.append(1, 1000, &mut rest, "more").is_err() && input.skip(1, "more").is_err());
        }
    }

    #[test]
    fn a_claim_is_refused_before_it_is_allocated() {
        let mut input = Input::pipe("pipe", Box::new(Cursor::new(vec![1; 10])));
        let mut out = Vec::new();
        assert!(input.append(1 << 40, 1 << 20, &mut out, "a claim").is_err());
        assert!(input.append(1 << 20, 1 << 20, &mut out, "a claim").is_err());
        assert!(out.capacity() < 1 << 12);
    }
}
