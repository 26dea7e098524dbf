//! cli
mod report;
mod table;

fn main() {}
