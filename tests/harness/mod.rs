//! What the integration tests share: a runner for the built binary and real brokers.

mod broker;
mod natsbench;
mod wait;

pub(crate) use broker::{Broker, Version};
pub(crate) use natsbench::{Finished, Natsbench, Running};
pub(crate) use wait::{DEADLINE, eventually};
