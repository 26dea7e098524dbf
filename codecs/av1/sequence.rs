//! The sequence header OBU (specification §5.5).
