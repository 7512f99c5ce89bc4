//! What the integration tests share: a runner for the built binary, real brokers, and brokers that misbehave.

#![allow(
    dead_code,
    unused_imports,
    clippy::match_wild_err_arm,
    reason = "the tests that use the rest follow"
)]

mod broker;
mod fake_broker;
mod fault_proxy;
mod monitoring;
mod natsbench;
mod routing;
mod script;
mod wait;

pub(crate) use broker::{Broker, Version};
pub(crate) use fake_broker::FakeBroker;
pub(crate) use fault_proxy::{Cut, Direction, FaultProxy};
pub(crate) use natsbench::{Finished, Natsbench, Running};
pub(crate) use script::{Greeting, Published, Script};
pub(crate) use wait::{DEADLINE, eventually, pass_time};
