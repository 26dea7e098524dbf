//! rav1e
