//! The NATS client protocol, without sockets and without a clock.
//!
//! Bytes go in through [`Parser::feed`], operations come out of [`Parser::next_op`]; [`encode`] appends operations to
//! a buffer. Every length that a peer announces is checked against [`Limits`] before anything is added,
//! allocated or sliced.
//!
//! Sources: the NATS client protocol documentation, and nats-server for what it really sends.

mod connect;
pub mod credentials;
pub mod encode;
mod error_kind;
pub mod headers;
mod info;
pub mod jwt;
mod parser;

pub use connect::ConnectOptions;
pub use credentials::{Credentials, CredentialsError, Secret};
pub use encode::EncodeError;
pub use error_kind::ServerErrorKind;
pub use headers::{HeaderError, Headers};
pub use info::ServerInfo;
pub use jwt::{JwtError, UserClaims};
pub use parser::{Limits, Msg, Parser, ProtocolError, ServerOp};
