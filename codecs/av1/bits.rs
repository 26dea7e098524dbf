//! Header bits: f(n), leb128, su(n), ns(n) of the specification (§4.10).
