//! Every stage against its twin, to the bit.

mod decide;
mod transform;
