//! Every socket and child process.
pub mod managed_server;
