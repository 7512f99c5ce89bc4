//! WebSocket, the parts that are ours: the upgrade, frames for the direct writer, and permessage-deflate.
//!
//! Ordinary sessions read and write through `tokio-tungstenite`. It has no permessage-deflate and hides the
//! bytes of a refused upgrade, so the upgrade and the compressed mode are done here (RFC 6455, RFC 7692).

pub mod deflate;
pub mod frame;
pub mod upgrade;
