//! rehearse
fn main() {}
