//! The NATS client protocol, without sockets.
