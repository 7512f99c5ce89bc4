//! natsbench measures NATS brokers that clients reach over WebSocket.
//!
//! The library does everything and `main.rs` does nothing. Two flows run through it.
//!
//! **Load.** plan -> schedule (intended times) -> round generator and stamp -> publisher -> broker -> session -> protocol
//! parser -> stamp read back -> recorder -> result -> verdict -> report.
//!
//! **Doctor.** target -> checks (each: what was tried, what came back) -> findings -> report -> exit code.
//!
//! Where to begin reading: [`load::latency`] takes a run through its phases; [`load::pacer`] sends, [`load::receiver`]
//! receives; [`measure`] is the arithmetic between them; [`results`] is what a run leaves behind. [`doctor::runner`] takes
//! an examination through its checks.
//!
//! Modules are layers; a module imports from a strictly lower layer or from its own folder
//! (`tests/layers.rs` checks it):
//!
//! | layer | modules |
//! |---|---|
//! | 6 | [`cli`] |
//! | 5 | [`doctor`] |
//! | 4 | [`load`] |
//! | 3 | [`net`], [`report`], [`host`] |
//! | 2 | [`results`] |
//! | 1 | [`protocol`], [`rounds`], [`measure`] |
//! | 0 | [`units`], [`clock`], [`subject`] |

pub mod cli;
pub mod clock;
pub mod doctor;
pub mod host;
pub mod load;
pub mod measure;
pub mod net;
pub mod protocol;
pub mod report;
pub mod results;
pub mod rounds;
pub mod subject;
pub mod units;
