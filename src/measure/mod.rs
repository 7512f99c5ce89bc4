//! Measuring: schedule, stamp, histograms, deliveries, objectives.
//!
//! Everything here is arithmetic on times and numbers that the caller passes in: no socket, no clock, no text
//! output. A message has three moments, `intended`, `sent` and `received`; **response** is received - intended,
//! **service** is received - sent, **lateness** is sent - intended, and all three are always recorded.
//!
//! - [`schedule`]: when message k is due, exactly, for any k.
//! - [`stamp`]: how those moments ride inside a JSON message.
//! - [`histogram`]: latencies in constant memory.
//! - [`deliveries`]: what was lost, duplicated or reordered, exactly.
//! - [`end_of_run`]: how a subscriber in another process learns how much was sent.
//! - [`recorder`]: the three histograms of one receiver.
//! - [`slo`]: objectives and their three-valued verdict.
//! - [`statistics`]: how many samples a percentile needs.

pub mod deliveries;
pub mod end_of_run;
pub mod histogram;
pub mod in_doubt;
pub mod recorder;
pub mod schedule;
pub mod slo;
pub mod stamp;
pub mod statistics;

pub use deliveries::{Arrival, Deliveries, DeliveryCounts, Start, StreamCounts};
pub use histogram::{Bar, LatencyHistogram};
pub use recorder::Recorder;
pub use schedule::Schedule;
pub use slo::{Doubt, Judgement, Objective, Observations, Observed, SloError, Verdict};
pub use stamp::{Origin, Phase, RunId, Stamp};
