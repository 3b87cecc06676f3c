//! leakcheck
fn main() {}
