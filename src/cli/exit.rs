//! Exit codes: a contract with scripts.

/// The run did what it should, and every objective passed.
pub const PASSED: u8 = 0;
/// A fault of natsbench itself.
pub const INTERNAL: u8 = 1;
/// The command line asks for something that cannot be: nothing was connected.
pub const USAGE: u8 = 2;
/// The broker cannot be reached, refuses the login, or was lost in mid-run.
pub const UNREACHABLE: u8 = 3;
/// An objective or a check failed.
pub const FAILED: u8 = 4;
/// The run cannot say whether an objective holds.
pub const INCONCLUSIVE: u8 = 5;
/// Interrupted; the partial result was printed.
pub const INTERRUPTED: u8 = 130;
