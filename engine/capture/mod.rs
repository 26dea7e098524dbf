//! Where frames come from: one file per source.

pub mod file;
pub mod resample;

pub use file::{FileAudio, FileError, FileVideo};
