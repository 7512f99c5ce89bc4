//! Every socket and child process: where to connect, connecting, sessions, and a local nats-server.

pub mod async_client;
pub mod dial;
pub mod direct;
pub mod managed_server;
pub mod probe;
pub mod session;
mod session_error;
pub(crate) mod stream;
pub mod target;
pub mod tls;
pub(crate) mod wire;
pub mod ws;
