//! The chronavault command.
fn main() {}
