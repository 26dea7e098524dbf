//! e2ee
