//! The order in which the levels of a transform are written (specification §5.11.41).
