//! WebSocket, the parts that are ours and need no socket.
//!
//! The upgrade, frames and permessage-deflate (RFC 6455, RFC 7692). `tungstenite` would hand over
//! whole messages only, however long, has no permessage-deflate, and hides the bytes of a refused upgrade.

pub mod deflate;
pub mod deframe;
pub mod frame;
pub mod upgrade;
