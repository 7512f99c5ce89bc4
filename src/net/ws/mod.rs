//! WebSocket, the parts that are ours: the upgrade, frames for the direct writer, and permessage-deflate.
//!
//! The upgrade, frames and permessage-deflate (RFC 6455, RFC 7692), all without a socket. `tungstenite` would hand over
//! whole messages only, however long, has no permessage-deflate, and hides the bytes of a refused upgrade.

pub mod deflate;
pub mod deframe;
pub mod frame;
pub mod upgrade;
