//! Opening a session: DNS, TCP, TLS, the HTTP upgrade, INFO, CONNECT and the first PONG.
//!
//! Each step is timed, each has the same time limit, and each fails by its own name with what was received.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::clock::{MonoNanos, mono_now};
use crate::net::session::{Session, SessionError};
use crate::net::stream::Stream;
use crate::net::target::{Scheme, Target};
use crate::net::wire::WebSocketMode;
use crate::net::ws::upgrade::{self, UpgradeError, UpgradeRequest};
use crate::protocol::{
    ConnectOptions, Credentials, CredentialsError, ServerErrorKind, ServerInfo, ServerOp, encode,
};

/// How natsbench names itself in the upgrade.
pub const USER_AGENT: &str = concat!("natsbench/", env!("CARGO_PKG_VERSION"));

/// Room for what comes at once, where nothing else is said.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// How to connect; the same for every connection of a run.
#[derive(Clone)]
pub struct DialOptions {
    /// Time limit of each step.
    pub timeout: Duration,
    /// TLS configuration, used by `wss://`, `tls://` and where a server asks for TLS.
    pub tls: Arc<ClientConfig>,
    /// Whether certificates are verified; for reports.
    pub verifies_tls: bool,
    /// Who we are, unless the target's own user info says so.
    pub credentials: Credentials,
    /// On the client port, start TLS before INFO: for a server with `handshake_first`.
    pub tls_first: bool,
    /// Client name in CONNECT.
    pub name: String,
    /// Extra headers of the upgrade.
    pub headers: Vec<(String, String)>,
    /// `Origin` header of the upgrade.
    pub origin: Option<String>,
    /// `User-Agent` header of the upgrade.
    pub user_agent: String,
    /// Ask for permessage-deflate.
    pub compression: bool,
    /// Ask for unmasked frames.
    pub no_masking: bool,
    /// Receive own messages.
    pub echo: bool,
    /// Have the server check subjects.
    pub pedantic: bool,
    /// Size of the read buffer: small for many connections, large for throughput.
    pub read_buffer_bytes: usize,
}

impl DialOptions {
    /// Nobody in particular, who verifies certificates and asks for nothing special.
    pub fn new(tls: Arc<ClientConfig>, timeout: Duration) -> Self {
        Self {
            timeout,
            tls,
            verifies_tls: true,
            credentials: Credentials::None,
            tls_first: false,
            name: "natsbench".to_owned(),
            headers: Vec::new(),
            origin: None,
            user_agent: USER_AGENT.to_owned(),
            compression: false,
            no_masking: false,
            echo: true,
            pedantic: false,
            read_buffer_bytes: READ_BUFFER_BYTES,
        }
    }
}

/// The steps of connecting, by the names that errors and reports use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Resolving the host name.
    Dns,
    /// Opening the TCP connection.
    Tcp,
    /// The TLS handshake.
    Tls,
    /// The HTTP upgrade.
    Upgrade,
    /// Waiting for INFO.
    Info,
    /// CONNECT, PING and waiting for PONG.
    Connect,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dns => "the DNS lookup",
            Self::Tcp => "the TCP connection",
            Self::Tls => "the TLS handshake",
            Self::Upgrade => "the WebSocket upgrade",
            Self::Info => "waiting for INFO",
            Self::Connect => "waiting for the answer to CONNECT",
        })
    }
}

/// How long each step took, in nanoseconds; `None` where there was no such step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Resolving the host name.
    pub dns_ns: u64,
    /// Opening the TCP connection.
    pub tcp_ns: u64,
    /// The TLS handshake.
    pub tls_ns: Option<u64>,
    /// The HTTP upgrade.
    pub upgrade_ns: Option<u64>,
    /// From there to INFO.
    pub info_ns: u64,
    /// From sending CONNECT to PONG.
    pub connect_ns: u64,
}

/// What is known about an open connection.
#[derive(Debug, Clone)]
pub struct ConnectionFacts {
    /// Where to, without secrets; one of several servers perhaps.
    pub url: String,
    /// The same, with what it takes to connect again.
    pub target: Target,
    /// INFO, the first one.
    pub info: ServerInfo,
    /// How long each step took.
    pub timings: Timings,
    /// The address that answered.
    pub peer: SocketAddr,
    /// permessage-deflate is in use.
    pub is_compressed: bool,
    /// Our WebSocket frames are masked (also true without WebSocket, where the question does not arise).
    pub is_masked: bool,
    /// TLS is in use.
    pub is_tls: bool,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The host name does not resolve.
    #[error("the host name `{host}` does not resolve")]
    Dns {
        /// The name.
        host: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// No address of the host takes the connection.
    #[error("no TCP connection to {}", attempts_text(.attempts))]
    Tcp {
        /// Every address tried, and what it said.
        attempts: Vec<(SocketAddr, io::Error)>,
    },
    /// The TLS handshake failed.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// The host cannot be a TLS server name.
    #[error("`{host}` cannot be verified as a TLS server name")]
    TlsName {
        /// The host of the URL.
        host: String,
    },
    /// `tls://`, but the server does not speak TLS.
    #[error("the server does not offer TLS on this port")]
    TlsNotOffered,
    /// The server sent more than INFO in clear, although TLS was to follow.
    #[error("the server sent something in clear between INFO and the TLS handshake")]
    BytesBeforeTls,
    /// The HTTP upgrade failed.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// What came first was not INFO.
    #[error("the server did not begin with INFO")]
    NotNats(#[source] SessionError),
    /// The connection ended before INFO.
    #[error("the connection ended before INFO came")]
    ClosedBeforeInfo(#[source] SessionError),
    /// The credentials cannot be used.
    #[error("the credentials cannot be used")]
    Credentials(#[from] CredentialsError),
    /// The server refused CONNECT with `-ERR`.
    #[error("the server refused the connection: {text}")]
    Refused {
        /// The text of `-ERR`, verbatim.
        text: String,
        /// Its class.
        kind: ServerErrorKind,
    },
    /// The connection ended after CONNECT, without `-ERR`.
    #[error("the connection ended after CONNECT")]
    ClosedAfterConnect(#[source] SessionError),
    /// A step took too long.
    #[error("{step} took longer than {}", crate::units::format_duration(*.limit))]
    Timeout {
        /// Which step.
        step: Step,
        /// The limit.
        limit: Duration,
    },
}

impl DialError {
    /// What TLS found wrong, at whichever step it showed: a server that refuses our certificate says so only after
    /// its part of the handshake.
    pub fn tls_error(&self) -> Option<&rustls::Error> {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = next {
            let inner = error
                .downcast_ref::<io::Error>()
                .and_then(|error| error.get_ref());
            if let Some(tls) = inner.and_then(|inner| inner.downcast_ref()) {
                return Some(tls);
            }
            next = error.source();
        }
        None
    }
}

fn attempts_text(attempts: &[(SocketAddr, io::Error)]) -> String {
    let texts: Vec<_> = attempts
        .iter()
        .map(|(address, error)| format!("{address}: {error}"))
        .collect();
    texts.join("; ")
}

/// Runs one step under the time limit.
async fn limited<T>(
    step: Step,
    limit: Duration,
    work: impl Future<Output = Result<T, DialError>>,
) -> Result<T, DialError> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or(Err(DialError::Timeout { step, limit }))
}

/// Measures steps that follow each other.
struct StepTimer(MonoNanos);

impl StepTimer {
    fn lap_ns(&mut self) -> u64 {
        let now = mono_now();
        let lap_ns = now.since(self.0);
        self.0 = now;
        lap_ns
    }
}

/// Opens a session.
///
/// # Errors
/// The step that failed, with what was received.
pub async fn dial(
    target: &Target,
    options: &DialOptions,
) -> Result<(Session, ConnectionFacts), DialError> {
    let mut timer = StepTimer(mono_now());
    let mut timings = Timings::default();
    let limit = options.timeout;

    let addresses = limited(Step::Dns, limit, resolve(target)).await?;
    timings.dns_ns = timer.lap_ns();
    let tcp = connect_tcp(&addresses, limit).await?;
    let peer = tcp.peer_addr().map_err(|error| DialError::Tcp {
        attempts: vec![(addresses[0], error)],
    })?;
    timings.tcp_ns = timer.lap_ns();

    let mut opened = if target.scheme.is_websocket() {
        open_websocket(target, options, tcp, &mut timer, &mut timings).await?
    } else {
        open_plain(target, options, tcp, &mut timer, &mut timings).await?
    };
    timer.lap_ns();
    let credentials = credentials_for(target, options);
    let login = log_in(&mut opened, options, &credentials);
    limited(Step::Connect, limit, login).await?;
    timings.connect_ns = timer.lap_ns();
    let facts = ConnectionFacts {
        url: target.to_string(),
        target: target.clone(),
        info: opened.info,
        timings,
        peer,
        is_compressed: opened.is_compressed,
        is_masked: opened.is_masked,
        is_tls: opened.is_tls,
    };
    Ok((opened.session, facts))
}

/// A session that has seen INFO.
struct Opened {
    session: Session,
    info: ServerInfo,
    is_compressed: bool,
    is_masked: bool,
    is_tls: bool,
}

/// Every address of the host, in the order of the resolver.
///
/// # Errors
/// When there is none.
pub async fn resolve(target: &Target) -> Result<Vec<SocketAddr>, DialError> {
    let fail = |source| DialError::Dns {
        host: target.host.clone(),
        source,
    };
    let addresses: Vec<_> = tokio::net::lookup_host((target.host.as_str(), target.port))
        .await
        .map_err(fail)?
        .collect();
    if addresses.is_empty() {
        return Err(fail(io::Error::new(
            io::ErrorKind::NotFound,
            "the resolver knows no address",
        )));
    }
    Ok(addresses)
}

/// Connects to the first address that takes the connection, with `TCP_NODELAY` on. The limit is for all of them: each
/// has an equal share of what is left, so that one that swallows packets does not hide the next.
///
/// # Errors
/// What every address said.
pub async fn connect_tcp(
    addresses: &[SocketAddr],
    limit: Duration,
) -> Result<TcpStream, DialError> {
    let started = mono_now();
    let mut attempts = Vec::new();
    for (idx, address) in addresses.iter().enumerate() {
        let left = limit.saturating_sub(Duration::from_nanos(mono_now().since(started)));
        let n_left = u32::try_from(addresses.len() - idx).unwrap_or(u32::MAX);
        let connected = tokio::time::timeout(left / n_left, TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(tcp) => {
                // Without it, small messages wait for the acknowledgement of earlier ones: tens of milliseconds.
                tcp.set_nodelay(true).map_err(|error| DialError::Tcp {
                    attempts: vec![(*address, error)],
                })?;
                return Ok(tcp);
            }
            Err(error) => attempts.push((*address, error)),
        }
    }
    Err(DialError::Tcp { attempts })
}

pub(crate) async fn start_tls(
    target: &Target,
    options: &DialOptions,
    tcp: TcpStream,
) -> Result<Stream, DialError> {
    let name =
        ServerName::try_from(target.tls_name().to_owned()).map_err(|_| DialError::TlsName {
            host: target.host.clone(),
        })?;
    let connector = TlsConnector::from(Arc::clone(&options.tls));
    connector
        .connect(name, tcp)
        .await
        .map(Stream::tls)
        .map_err(DialError::Tls)
}

async fn open_websocket(
    target: &Target,
    options: &DialOptions,
    tcp: TcpStream,
    timer: &mut StepTimer,
    timings: &mut Timings,
) -> Result<Opened, DialError> {
    let is_tls = target.scheme == Scheme::Wss;
    let mut stream = if is_tls {
        let stream = limited(Step::Tls, options.timeout, start_tls(target, options, tcp)).await?;
        timings.tls_ns = Some(timer.lap_ns());
        stream
    } else {
        Stream::tcp(tcp)
    };
    let request = upgrade_request(target, options);
    let upgraded = limited(Step::Upgrade, options.timeout, async {
        Ok(upgrade::upgrade(&mut stream, &request).await?)
    })
    .await?;
    timings.upgrade_ns = Some(timer.lap_ns());
    let mode = WebSocketMode {
        is_compressed: upgraded.compressed,
        is_masked: !upgraded.unmasked,
        read_buffer_bytes: options.read_buffer_bytes,
    };
    let mut session = Session::websocket(stream, upgraded.tail, mode);
    let info = limited(Step::Info, options.timeout, await_info(&mut session)).await?;
    timings.info_ns = timer.lap_ns();
    Ok(Opened {
        session,
        info,
        is_compressed: mode.is_compressed,
        is_masked: mode.is_masked,
        is_tls,
    })
}

/// The upgrade request for a target.
pub fn upgrade_request(target: &Target, options: &DialOptions) -> UpgradeRequest {
    UpgradeRequest {
        host: target.host_header(),
        path_and_query: target.path_and_query.clone(),
        origin: options.origin.clone(),
        user_agent: options.user_agent.clone(),
        headers: options.headers.clone(),
        compression: options.compression,
        no_masking: options.no_masking,
    }
}

/// On the client port INFO comes first and in clear, and TLS starts behind it; with `tls_first` the other way round.
async fn open_plain(
    target: &Target,
    options: &DialOptions,
    tcp: TcpStream,
    timer: &mut StepTimer,
    timings: &mut Timings,
) -> Result<Opened, DialError> {
    let plain = |stream| Session::plain(stream, options.read_buffer_bytes);
    let mut session = if options.tls_first {
        let stream = limited(Step::Tls, options.timeout, start_tls(target, options, tcp)).await?;
        timings.tls_ns = Some(timer.lap_ns());
        plain(stream)
    } else {
        plain(Stream::tcp(tcp))
    };
    let info = limited(Step::Info, options.timeout, await_info(&mut session)).await?;
    timings.info_ns = timer.lap_ns();
    let is_tls = options.tls_first || info.tls_required || target.scheme == Scheme::Tls;
    if is_tls && !options.tls_first {
        if !info.tls_required && !info.tls_available {
            return Err(DialError::TlsNotOffered);
        }
        // Anything behind INFO came in clear and must not pass for a part of the encrypted session; a server that
        // is full says so there.
        match session.next_op().map_err(DialError::NotNats)? {
            None => {}
            Some(ServerOp::Err(text)) => return Err(refused(text)),
            Some(_) => return Err(DialError::BytesBeforeTls),
        }
        let tcp = session.into_tcp().ok_or(DialError::BytesBeforeTls)?;
        let stream = limited(Step::Tls, options.timeout, start_tls(target, options, tcp)).await?;
        timings.tls_ns = Some(timer.lap_ns());
        session = plain(stream);
    }
    Ok(Opened {
        session,
        info,
        is_compressed: false,
        is_masked: true,
        is_tls,
    })
}

/// Reads until INFO.
pub(crate) async fn await_info(session: &mut Session) -> Result<ServerInfo, DialError> {
    loop {
        match session.next_op().map_err(DialError::NotNats)? {
            Some(ServerOp::Info(json)) => {
                return ServerInfo::parse(json).map_err(|error| DialError::NotNats(error.into()));
            }
            // A server that is full says so instead of, or right behind, INFO.
            Some(ServerOp::Err(text)) => return Err(refused(text)),
            Some(_) => {}
            None => session.read().await.map_err(DialError::ClosedBeforeInfo)?,
        }
    }
}

fn refused(text: &str) -> DialError {
    DialError::Refused {
        text: text.to_owned(),
        kind: ServerErrorKind::classify(text),
    }
}

/// Who we are at this target: its own user info comes first, because it is meant for it alone.
pub(crate) fn credentials_for(target: &Target, options: &DialOptions) -> Credentials {
    match &target.user_info {
        None => options.credentials.clone(),
        Some(info) => match &info.password {
            Some(password) => Credentials::UserPassword {
                user: info.user.expose().to_owned(),
                password: password.clone(),
            },
            None => Credentials::Token(info.user.clone()),
        },
    }
}

/// What CONNECT says, credentials included.
pub(crate) fn connect_options(
    options: &DialOptions,
    credentials: &Credentials,
    info: &ServerInfo,
    is_tls: bool,
) -> Result<ConnectOptions, CredentialsError> {
    let mut connect = ConnectOptions {
        verbose: false,
        pedantic: options.pedantic,
        tls_required: is_tls,
        name: Some(options.name.clone()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        echo: options.echo,
        ..ConnectOptions::default()
    };
    credentials.apply(info.nonce.as_deref(), &mut connect)?;
    Ok(connect)
}

async fn log_in(
    opened: &mut Opened,
    options: &DialOptions,
    credentials: &Credentials,
) -> Result<(), DialError> {
    let connect = connect_options(options, credentials, &opened.info, opened.is_tls)?;
    let session = &mut opened.session;
    encode::connect(session.out(), &connect);
    encode::ping(session.out());
    // A refusal may arrive while we still write; what the server said matters more than our write error.
    let mut written = session.flush().await;
    loop {
        match session.next_op().map_err(DialError::ClosedAfterConnect)? {
            Some(ServerOp::Pong) => return Ok(()),
            Some(ServerOp::Err(text)) => return Err(refused(text)),
            // A server that asks an authentication service meanwhile may ping.
            Some(ServerOp::Ping) => encode::pong(session.out()),
            // The second INFO, say.
            Some(_) => {}
            None => {
                // All answers to pings at once: a peer may send thousands.
                written = written.and(session.flush().await);
                if let Err(error) = session.read().await {
                    return Err(DialError::ClosedAfterConnect(
                        written.err().unwrap_or(error),
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "dial_tests.rs"]
mod tests;
