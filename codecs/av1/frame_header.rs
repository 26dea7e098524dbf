//! The frame header (specification §5.9).
