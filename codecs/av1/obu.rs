//! OBUs and temporal units (specification §5.3).
