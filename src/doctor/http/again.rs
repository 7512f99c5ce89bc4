//! The same request again, with something changed: other headers, another path, another port.
//!
//! Every look opens a connection of its own to the address of the first one, with TLS where the URL has it. What goes to
//! another place than that of the URL (another path, port or scheme, another host) goes [`Asker::without_secrets`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::doctor::examination::Examination;
use crate::doctor::http::answer::{is_plain_to_tls, path_of};
use crate::doctor::words::chain_text;
use crate::net::dial::{DialOptions, await_info, start_tls, upgrade_request};
use crate::net::probe::{self, has_whole_reply};
use crate::net::session::Session;
use crate::net::stream::Stream;
use crate::net::target::{Scheme, Target};
use crate::net::wire::WebSocketMode;
use crate::net::ws::upgrade::{
    HttpReply, UpgradeError, UpgradeRequest, Upgraded, parse_reply, upgrade,
};
use crate::protocol::ServerInfo;

/// Within this, nats-server says INFO behind its `101`.
const INFO_PATIENCE: Duration = Duration::from_millis(700);
/// No HTTP at all: whoever speaks HTTP answers with an error page of its own.
const GARBAGE: &[u8] = b"NATSBENCH\r\n\r\n";
/// How long that may take.
const GARBAGE_PATIENCE: Duration = Duration::from_secs(1);
/// How much is looked at of an answer that does not end.
const MAX_HEAD_SO_FAR: usize = 4096;
/// So that a limit further in ends first.
const MARGIN: Duration = Duration::from_millis(100);
/// Ports where a WebSocket listener of nats-server often is.
const USUAL_PORTS: [u16; 3] = [8443, 9222, 8080];

/// Headers of the upgrade whose values are no secrets.
const OPEN_HEADERS: [&str; 3] = ["Host", "Origin", "User-Agent"];

/// Whether the value of a header is no secret. Of all others nobody knows.
pub(crate) fn is_open_header(name: &str) -> bool {
    let mut open = OPEN_HEADERS.iter();
    open.any(|open| open.eq_ignore_ascii_case(name))
}

/// What came of one look.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// `101`, and INFO behind it if that is NATS.
    Switched {
        reply: HttpReply,
        info: Option<Box<ServerInfo>>,
    },
    /// Another status.
    Refused(HttpReply),
    /// No answer in HTTP.
    Failed(String),
}

impl Outcome {
    /// A `101`, whatever comes behind it.
    pub(crate) fn is_switched(&self) -> bool {
        matches!(self, Self::Switched { .. })
    }

    /// A `101` with INFO behind it.
    pub(crate) fn is_nats(&self) -> bool {
        matches!(self, Self::Switched { info: Some(_), .. })
    }

    /// The status, or what was there instead.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Switched { info: Some(_), .. } => "101, then INFO".to_owned(),
            Self::Switched { info: None, .. } => "101, then no INFO".to_owned(),
            Self::Refused(reply) => reply.status.to_string(),
            Self::Failed(text) => text.clone(),
        }
    }
}

/// What came of the same upgrade with another key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Again {
    /// `Sec-WebSocket-Accept`.
    pub(crate) accept: String,
    /// Whether INFO came behind it.
    pub(crate) has_info: bool,
}

/// Where and how to ask; see the documentation of the module.
#[derive(Clone)]
pub(crate) struct Asker {
    pub(crate) target: Target,
    pub(crate) address: SocketAddr,
    pub(crate) options: DialOptions,
    pub(crate) limit: Duration,
}

impl Asker {
    /// Asks what the examination asks.
    pub(crate) fn of(examination: &Examination<'_>) -> Option<Self> {
        Some(Self {
            target: examination.target.clone(),
            address: examination.address()?,
            options: examination.plan.dial.clone(),
            limit: examination.second_look_limit(),
        })
    }

    /// For a place that is not the one of the URL, if only another path of the same host: it may be somebody else's. Nothing
    /// secret goes there: no query, no user info, and of the user's headers only those that never hold a secret.
    pub(crate) fn without_secrets(&self) -> Self {
        let mut other = self.clone();
        other.target.user_info = None;
        path_of(&self.target.path_and_query).clone_into(&mut other.target.path_and_query);
        let mut headers = std::mem::take(&mut other.options.headers);
        headers.retain(|(name, _)| is_open_header(name));
        other.options.headers = headers;
        other
    }

    /// Whether [`Self::without_secrets`] leaves something out of the request: a gateway may want it.
    pub(crate) fn has_secrets(&self) -> bool {
        let mut headers = self.options.headers.iter();
        self.target.path_and_query.contains('?') || headers.any(|(name, _)| !is_open_header(name))
    }

    /// The same at another port, as a WebSocket without a proxy would be asked: none of the user's headers go there.
    pub(crate) fn at_port(&self, scheme: Scheme, port: u16) -> Self {
        let mut other = self.without_secrets();
        other.target.scheme = scheme;
        other.target.port = port;
        "/".clone_into(&mut other.target.path_and_query);
        other.address.set_port(port);
        other.options.headers.clear();
        other.options.origin = None;
        other
    }

    /// With certificates accepted as they are.
    pub(crate) fn unverified(mut self, tls: Arc<ClientConfig>) -> Self {
        self.options.tls = tls;
        self
    }

    /// Asks once, and tells a `101` of nats-server from that of others.
    pub(crate) async fn ask(&self, change: impl FnOnce(&mut UpgradeRequest)) -> Outcome {
        let mut request = upgrade_request(&self.target, &self.options);
        change(&mut request);
        let asking = async {
            let (stream, upgraded) = match self.upgraded(&request).await {
                Ok(both) => both,
                Err(outcome) => return outcome,
            };
            let reply = upgraded.reply.clone();
            let info = info_behind(stream, upgraded).await;
            Outcome::Switched {
                reply,
                info: info.map(Box::new),
            }
        };
        timeout(self.limit + INFO_PATIENCE, asking)
            .await
            .unwrap_or_else(|_| Outcome::Failed("no answer".to_owned()))
    }

    /// Upgrades, and hands the connection on.
    pub(crate) async fn upgraded(
        &self,
        request: &UpgradeRequest,
    ) -> Result<(Stream, Upgraded), Outcome> {
        let upgrading = async {
            let mut stream = self.open().await.map_err(Outcome::Failed)?;
            match upgrade(&mut stream, request).await {
                Ok(upgraded) => Ok((stream, upgraded)),
                Err(UpgradeError::Refused(reply)) => Err(Outcome::Refused(*reply)),
                Err(error) => Err(Outcome::Failed(error.to_string())),
            }
        };
        timeout(self.limit, upgrading)
            .await
            .unwrap_or_else(|_| Err(Outcome::Failed("no answer".to_owned())))
    }

    /// `GET path`, without any wish to upgrade, and without any of the user's headers.
    pub(crate) async fn get(&self, path: &str) -> Option<HttpReply> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            self.target.host_header()
        );
        let getting = async {
            let mut stream = self.open().await.ok()?;
            let heard =
                probe::exchange(&mut stream, request.as_bytes(), self.limit, has_whole_reply).await;
            parse_reply(&heard.bytes).map(|(reply, _)| reply)
        };
        timeout(self.limit, getting).await.ok()?
    }

    /// Has whoever speaks HTTP here show an error page of its own, which names a proxy that passes on everything else.
    pub(crate) async fn provoke(&self) -> Option<HttpReply> {
        let provoking = async {
            let mut stream = self.open().await.ok()?;
            let heard =
                probe::exchange(&mut stream, GARBAGE, GARBAGE_PATIENCE, has_whole_reply).await;
            parse_reply(&heard.bytes).map(|(reply, _)| reply)
        };
        timeout(self.limit, provoking).await.ok()?
    }

    /// The `Sec-WebSocket-Accept` of a `101`, right or wrong, and whether INFO comes behind it.
    pub(crate) async fn accept_of(&self, request: &UpgradeRequest) -> Option<Again> {
        let asking = async {
            let mut stream = self.open().await.ok()?;
            let (reply, tail) = match upgrade(&mut stream, request).await {
                Ok(upgraded) => (upgraded.reply, upgraded.tail),
                Err(UpgradeError::Invalid { reply, tail, .. }) => (*reply, tail),
                Err(_) => return None,
            };
            let has_info = |bytes: &[u8]| bytes.windows(6).any(|word| word == b"INFO {");
            let has_info = has_info(&tail) || {
                let heard = probe::exchange(&mut stream, b"", INFO_PATIENCE, has_info).await;
                has_info(&heard.bytes)
            };
            Some((reply, has_info))
        };
        let (reply, has_info) = timeout(self.limit, asking).await.ok()??;
        let accept = reply.header("Sec-WebSocket-Accept")?.to_owned();
        Some(Again { accept, has_info })
    }

    /// What comes of an answer until the limit.
    pub(crate) async fn head_so_far(&self) -> Vec<u8> {
        // A key of the right form; nobody looks at the answer to it.
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            self.target.path_and_query,
            self.target.host_header()
        );
        let asking = async {
            let mut stream = self.open().await.ok()?;
            let limit = self.limit;
            let is_enough = |bytes: &[u8]| bytes.len() > MAX_HEAD_SO_FAR;
            Some(probe::exchange(&mut stream, request.as_bytes(), limit, is_enough).await)
        };
        let heard = timeout(self.limit + MARGIN, asking).await;
        heard
            .ok()
            .flatten()
            .map_or_else(Vec::new, |heard| heard.bytes)
    }

    async fn open(&self) -> Result<Stream, String> {
        let tcp = probe::connect(self.address, self.limit)
            .await
            .map_err(|error| error.to_string())?;
        if self.target.scheme != Scheme::Wss {
            return Ok(Stream::tcp(tcp));
        }
        start_tls(&self.target, &self.options, tcp)
            .await
            .map_err(|error| chain_text(&error))
    }
}

/// INFO behind a `101`.
pub(crate) async fn info_behind(stream: Stream, upgraded: Upgraded) -> Option<ServerInfo> {
    let mode = WebSocketMode {
        is_compressed: upgraded.compressed,
        is_masked: !upgraded.unmasked,
        read_buffer_bytes: 4096,
    };
    let mut session = Session::websocket(stream, upgraded.tail, mode);
    let info = timeout(INFO_PATIENCE, await_info(&mut session))
        .await
        .ok()?
        .ok()?;
    session.close().await;
    Some(info)
}

/// A WebSocket listener of nats-server that was found beside the one of the URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Direct {
    pub(crate) scheme: Scheme,
    pub(crate) port: u16,
    pub(crate) version: String,
}

/// Looks for nats-server itself on the same machine, around the proxy. What is found need not be the server behind it.
pub(crate) async fn find_direct(
    asker: &Asker,
    known: Option<u16>,
    unverified: Option<Arc<ClientConfig>>,
) -> Option<Direct> {
    let own = asker.address.port();
    let near = [
        own.checked_sub(1),
        own.checked_add(1),
        own.checked_sub(2),
        own.checked_add(2),
    ];
    let mut ports: Vec<u16> = Vec::new();
    for port in known
        .into_iter()
        .chain(near.into_iter().flatten())
        .chain(USUAL_PORTS)
    {
        if port != 0 && port != own && !ports.contains(&port) {
            ports.push(port);
        }
    }
    let mut tasks = JoinSet::new();
    for (idx, port) in ports.into_iter().enumerate() {
        let asker = asker.at_port(Scheme::Ws, port);
        let tls = unverified.clone();
        tasks.spawn(async move { (idx, direct_at(&asker, tls).await) });
    }
    let mut found = tasks.join_all().await;
    found.sort_by_key(|(idx, _)| *idx);
    found.into_iter().find_map(|(_, direct)| direct)
}

async fn direct_at(asker: &Asker, unverified: Option<Arc<ClientConfig>>) -> Option<Direct> {
    let port = asker.target.port;
    let (scheme, outcome) = match asker.ask(|_| ()).await {
        Outcome::Refused(reply) if is_plain_to_tls(&reply) => {
            let with_tls = asker.at_port(Scheme::Wss, port).unverified(unverified?);
            (Scheme::Wss, with_tls.ask(|_| ()).await)
        }
        outcome => (Scheme::Ws, outcome),
    };
    match outcome {
        // Another proxy before the same server is not the server.
        Outcome::Switched {
            reply,
            info: Some(info),
        } if reply.header("Server").is_none() && info.port == port => Some(Direct {
            scheme,
            port,
            version: info.version.clone(),
        }),
        _ => None,
    }
}

/// Host and port as a URL has them.
pub(crate) fn url_of(scheme: Scheme, host: &str, port: u16, path: &str) -> String {
    let host = if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let path = if path == "/" { "" } else { path };
    format!("{}://{host}:{port}{path}", scheme.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::http::testing::options;

    fn asker(url: &str, headers: &[(&str, &str)]) -> Asker {
        let mut options = options();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        options.headers = headers.iter().map(owned).collect();
        Asker {
            target: url.parse().unwrap(),
            address: "127.0.0.1:1".parse().unwrap(),
            options,
            limit: Duration::from_secs(1),
        }
    }

    #[test]
    fn what_goes_to_another_place_holds_no_secret() {
        let headers = [
            ("host", "nats.example"),
            ("Authorization", "Bearer hunter2"),
            ("Cookie", "session=hunter2"),
            ("X-Api-Key", "hunter2"),
        ];
        let asker = asker("ws://me:hunter2@h:1/nats?token=hunter2", &headers);
        assert!(asker.has_secrets());
        for other in [asker.without_secrets(), asker.at_port(Scheme::Wss, 2)] {
            let request = upgrade_request(&other.target, &other.options);
            let head = crate::net::ws::upgrade::request_head(&request, "key");
            assert!(!head.contains("hunter2"), "{head}");
            assert_eq!(other.target.user_info, None);
            assert!(!other.has_secrets());
        }
        let request = upgrade_request(&asker.without_secrets().target, &asker.options);
        assert_eq!(request.path_and_query, "/nats");
        assert_eq!(asker.without_secrets().options.headers.len(), 1);
    }
}
