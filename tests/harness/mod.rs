//! What the integration tests share: a runner for the built binary, real brokers, and brokers that misbehave.

mod broker;
mod certificates;
mod cluster;
mod dialing;
mod echo;
mod fake_broker;
mod fault_proxy;
mod held_port;
mod in_process;
mod jwt;
mod ledger;
mod monitoring;
mod natsbench;
mod node;
mod outage;
mod proxy;
mod raw_client;
mod routing;
mod script;
mod scripted_port;
mod small;
mod tally;
mod turns;
mod wait;
mod witness;

pub(crate) use broker::{Broker, Builder, Version};
pub(crate) use certificates::{Authority, Issued, valid_around_now};
pub(crate) use cluster::Cluster;
pub(crate) use dialing::{dial_options, noise};
pub(crate) use echo::brokers_saying;
pub(crate) use fake_broker::FakeBroker;
pub(crate) use fault_proxy::{Cut, Direction, FaultProxy, Place};
pub(crate) use held_port::HeldPort;
pub(crate) use in_process::{Bystander, latency_plan, length_of, run_latency};
pub(crate) use jwt::Operator;
pub(crate) use ledger::Ledger;
pub(crate) use natsbench::{COMMANDS, Finished, Natsbench, Running, VARIABLES};
pub(crate) use node::Node;
pub(crate) use outage::{QUICK_LAME_DUCK, SYSTEM_ACCOUNT};
pub(crate) use proxy::{Proxy, free_port};
pub(crate) use raw_client::{Feed, RawClient};
pub(crate) use script::{Fault, Greeting, Published, Script, Whom};
pub(crate) use scripted_port::ScriptedPort;
pub(crate) use small::{
    completed, latency, publish, refused, subscribe, subscribed, write_context,
};
pub(crate) use tally::{MessageKey, Tally};
pub(crate) use turns::alone;
pub(crate) use wait::{DEADLINE, eventually, pass_time};
pub(crate) use witness::Witness;
