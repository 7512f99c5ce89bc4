//! The integration tests: one binary, a module for each subject.
//!
//! They run the built `natsbench` against real nats-server processes on free ports; `harness/` has what they share.
//! Set `NATS_SERVER_BIN` and the `NATSBENCH_TEST_SERVER_*` variables as `scripts/test` does.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics; clippy excepts test functions, but not what they share"
)]

mod harness;

mod bad_input;
mod broker_command;
mod completions;
mod exit_codes;
mod help;
mod hostile_brokers;
mod latency_command;
mod layers;
mod loss;
mod memory;
mod omission;
mod output;
mod pub_command;
mod secrets;
mod signals;
mod sub_command;
