//! Output that appears whole or not at all: written beside its target, renamed at the end, removed on the way out.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::error::{ContainerError, Result};

/// The bytes of a file in the making.
pub(super) struct Staged(BufWriter<File>);

/// Owns the temporary name: [`Done::publish`] renames it, dropping it removes it.
pub(super) struct Done {
    temp: PathBuf,
    target: PathBuf,
    published: bool,
}

impl Staged {
    /// Opens a temporary file beside `path`.
    pub(super) fn create(path: &Path) -> Result<(Self, Done)> {
        // A link is followed, so that what it points to is replaced and not the link.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let Some(file) = target.file_name() else { return Err(refuse(path, "it names no file", HINT)) };
        if fs::metadata(&target).is_ok_and(|m| !m.is_file()) {
            return Err(refuse(path, "it is not a regular file", HINT));
        }
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let mut name = std::ffi::OsString::from(".");
        name.push(file);
        name.push(format!(".{}.{serial}.part", std::process::id()));
        let temp = target.with_file_name(name);
        let file = File::create_new(&temp).map_err(|e| refuse(path, &e.to_string(), HINT))?;
        Ok((Self(BufWriter::with_capacity(1 << 18, file)), Done { temp, target, published: false }))
    }
}

impl Done {
    /// Gives the file its name. Its bytes must have been flushed.
    pub(super) fn publish(mut self) -> Result<()> {
        fs::rename(&self.temp, &self.target).map_err(|e| refuse(&self.target, &e.to_string(), HINT))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_file(&self.temp);
        }
    }
}

impl Write for Staged {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for Staged {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

/// A refusal to write.
pub(super) fn refuse(path: &Path, what: &str, hint: &'static str) -> ContainerError {
    ContainerError::Write { path: path.display().to_string(), what: what.to_owned(), hint }
}

const HINT: &str = "name a file in a folder that exists and may be written";
