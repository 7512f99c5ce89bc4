//! The load engine: publishes on an open schedule, receives, and accounts for every message.
//!
//! One pacing thread writes, on the sockets of all publishers. Receiving threads (one for a few subscribers, more
//! for many) each own their histograms. An orchestrating task ([`latency`], [`publish`], [`subscribe`]) takes
//! the run through its phases and builds the result. Nothing in here prints, exits or reads the environment.

pub mod accounting;
mod cause;
pub mod connecting;
pub mod interrupt;
pub mod latency;
pub mod lateness;
mod ledger;
pub mod link;
pub mod links;
mod liveness;
pub mod observer;
pub mod outcome;
pub mod pacer;
pub mod plan;
pub mod publish;
pub mod publisher;
pub mod receiver;
mod receiving;
mod reconnecting;
pub mod run;
mod skipping;
pub mod status;
pub mod streams;
pub mod subscribe;
mod subscriber;
