//! dav1d
