//! Symbols to bytes: the range coder and its adaptive probabilities.

pub mod cdf;
#[cfg(test)]
pub(crate) mod decoder;
pub mod default_cdfs;
pub mod range_coder;
