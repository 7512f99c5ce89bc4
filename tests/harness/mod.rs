//! What the integration tests share: a runner for the built binary and real brokers.

#![allow(
    dead_code,
    unused_imports,
    clippy::match_wild_err_arm,
    reason = "the tests that use the rest follow"
)]

mod broker;
mod monitoring;
mod natsbench;
mod wait;

pub(crate) use broker::{Broker, Version};
pub(crate) use natsbench::{Finished, Natsbench, Running};
pub(crate) use wait::{DEADLINE, eventually};
