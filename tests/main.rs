//! The integration tests: one binary, a module for each subject.
//!
//! They run the built `natsbench` against real nats-server processes on free ports; `harness/` has what they share.
//! Set `NATS_SERVER_BIN` and the `NATSBENCH_TEST_SERVER_*` variables as `scripts/test` does.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics; clippy excepts test functions, but not what they share"
)]

mod harness;

mod async_client;
mod bad_input;
mod broker_command;
mod checkpoints;
mod clock_steps;
mod completions;
mod contexts;
mod credentials;
mod deploy;
mod doctor;
mod escapes;
mod exit_codes;
mod faults;
mod help;
mod hostile_brokers;
mod js_clients;
mod latency_command;
mod layers;
mod loss;
mod malformed;
mod memory;
mod model;
mod omission;
mod output;
mod output_files;
mod permissions;
mod pub_command;
mod secrets;
mod signals;
mod staying_alive;
mod sub_command;
mod tls;
mod transports;
mod versions;
