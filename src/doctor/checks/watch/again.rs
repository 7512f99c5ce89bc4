//! What a new connection meets, after one of those that were watched has come to its end.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::doctor::examination::Examination;
use crate::net::dial::{DialError, DialOptions, Step, dial};
use crate::net::probe;
use crate::net::target::Target;
use crate::net::ws::upgrade::UpgradeError;
use crate::units::format_duration;

/// A port that is about to close may still take a connection and cut it, and one that refuses may be about to open again:
/// tried so often.
const N_TRIES: u32 = 3;
/// For the port behind a proxy, which is near to it if it can be reached at all.
const BACKEND_PATIENCE: Duration = Duration::from_millis(500);
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// What a new connection met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Again {
    /// There was no need to try.
    NotTried,
    /// It logged in.
    Works { server_id: String },
    /// The port refuses.
    Refused,
    /// There is no way to the host any more.
    Unreachable(String),
    /// The port takes the connection and ends it before anything else.
    Cut(String),
    /// The port takes the connection, and then nothing comes.
    Silent(Step),
    /// An HTTP answer other than 101.
    Http {
        status: u16,
        reason: String,
        server: Option<String>,
    },
    /// The login is refused.
    NoLogin(String),
    /// Anything else.
    Other(String),
}

impl Again {
    /// What an error of opening one means.
    pub(super) fn of(error: &DialError) -> Self {
        match error {
            DialError::Tcp { attempts } => {
                let mut kinds = attempts.iter().map(|(_, error)| error.kind());
                if kinds
                    .clone()
                    .all(|kind| kind == ErrorKind::ConnectionRefused)
                {
                    Self::Refused
                } else if kinds.any(|kind| kind == ErrorKind::ConnectionReset) {
                    // A listener that ended while the connection waited for it.
                    Self::Cut("reset at once".to_owned())
                } else {
                    Self::Unreachable(error.to_string())
                }
            }
            DialError::Timeout {
                step: Step::Dns | Step::Tcp,
                ..
            } => Self::Unreachable(error.to_string()),
            DialError::Timeout { step, .. } => Self::Silent(*step),
            DialError::Tls(source)
                if matches!(
                    source.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ) =>
            {
                Self::Cut("cut during the TLS handshake".to_owned())
            }
            DialError::Upgrade(UpgradeError::Io { .. } | UpgradeError::Closed { .. }) => {
                Self::Cut("cut before the answer to the upgrade".to_owned())
            }
            DialError::Upgrade(UpgradeError::Refused(reply)) => Self::Http {
                status: reply.status,
                reason: reply.reason.clone(),
                server: reply.header("Server").map(str::to_owned),
            },
            DialError::ClosedBeforeInfo(_) => Self::Cut("cut before INFO".to_owned()),
            DialError::ClosedAfterConnect(_) => Self::Cut("cut behind CONNECT".to_owned()),
            DialError::Refused { text, .. } => Self::NoLogin(text.clone()),
            error => Self::Other(error.to_string()),
        }
    }

    /// Whether nats-server can still be reached.
    pub(super) fn works(&self) -> bool {
        matches!(self, Self::Works { .. })
    }

    /// In words, for the evidence.
    pub(super) fn text(&self) -> String {
        match self {
            Self::NotTried => "not tried".to_owned(),
            Self::Works { .. } => "logs in".to_owned(),
            Self::Refused => "connection refused".to_owned(),
            Self::Unreachable(text) | Self::Cut(text) | Self::Other(text) => text.clone(),
            Self::Silent(step) => format!("TCP connects, then silence: {step} does not end"),
            Self::Http { status, reason, .. } => format!("HTTP {status} {reason}"),
            Self::NoLogin(text) => format!("-ERR '{}'", text.trim_matches('\'')),
        }
    }
}

/// What is known of the server behind a port that refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    /// The port was the server's own, as far as can be seen.
    IsThePort,
    /// The server's own port is another one, and still takes connections: what was in front of it is gone.
    Lives(u16),
    /// The server's own port is another one, and takes no connections from here.
    Elsewhere(u16),
    /// Not looked at.
    Unknown,
}

/// Looks at the port that the server itself named in INFO, if that is not the port of the URL.
pub(super) async fn backend(examination: &Examination<'_>) -> Backend {
    let info = examination.learned.info.as_ref();
    let (Some(info), Some(mut address)) = (info, examination.address()) else {
        return Backend::Unknown;
    };
    if info.port == 0 || info.port == examination.target.port {
        return Backend::IsThePort;
    }
    address.set_port(info.port);
    match probe::connect(address, BACKEND_PATIENCE).await {
        Ok(_) => Backend::Lives(info.port),
        Err(_) => Backend::Elsewhere(info.port),
    }
}

/// Opens a new connection, each step within the limit.
pub(super) async fn look_again(target: &Target, options: &DialOptions) -> Again {
    // Each step has its own limit; a peer that answers each of them late has one for all.
    let limit = options.timeout * 2;
    timeout(limit, try_again(target, options))
        .await
        .unwrap_or_else(|_| {
            Again::Other(format!("not logged in within {}", format_duration(limit)))
        })
}

async fn try_again(target: &Target, options: &DialOptions) -> Again {
    let mut met = Again::Refused;
    for n_try in 0..N_TRIES {
        if n_try > 0 {
            sleep(PAUSE).await;
        }
        met = match dial(target, options).await {
            Ok((session, facts)) => {
                session.close().await;
                Again::Works {
                    server_id: facts.info.server_id,
                }
            }
            Err(error) => Again::of(&error),
        };
        if !matches!(met, Again::Cut(_) | Again::Refused) {
            break;
        }
    }
    met
}
