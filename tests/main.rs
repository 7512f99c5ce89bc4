//! The integration tests: one binary, a module for each subject.
//!
//! They run the built `natsbench` against real nats-server processes on free ports; `harness/` has what they share.
//! Set `NATS_SERVER_BIN` and the `NATSBENCH_TEST_SERVER_*` variables as `scripts/test` does.

mod harness;

mod bad_input;
mod exit_codes;
mod help;
mod layers;
