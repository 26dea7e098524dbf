//! Every stage's buffers equal those of its twin.

mod reconstruct;
