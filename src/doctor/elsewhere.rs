//! Whether NATS over WebSocket is served at another address or port than that of the URL.
//!
//! Whoever is asked here need not be whom the user means, so nothing secret is sent: no query, no headers of the user.
//! For the same reason certificates are not verified.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;

use crate::doctor::examination::Examination;
use crate::doctor::fingerprint::{NatsPort, Speaker, identify};
use crate::doctor::http::again::info_behind;
use crate::doctor::neighbours::{self, Local, Neighbours};
use crate::net::dial::USER_AGENT;
use crate::net::probe;
use crate::net::stream::Stream;
use crate::net::target::{Scheme, Target};
use crate::net::ws::upgrade::{UpgradeError, UpgradeRequest, Upgraded, request_head, upgrade};
use crate::protocol::ServerInfo;

/// Ports that WebSocket listeners of NATS often have.
const USUAL_PORTS: [u16; 5] = [8443, 443, 80, 8080, 9222];
/// How long INFO may take on a client port.
const INFO_PATIENCE: Duration = Duration::from_millis(700);

/// NATS over WebSocket, found at another place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) is_tls: bool,
    pub(crate) info: ServerInfo,
}

impl Served {
    /// The URL to use, with the host and path of the one that was given.
    pub(crate) fn url(&self, target: &Target) -> String {
        let scheme = if self.is_tls { Scheme::Wss } else { Scheme::Ws };
        url_at(target, scheme, self.address.port())
    }
}

/// The URL with another scheme and port, and without user info and query. The path is that of the WebSocket.
pub(crate) fn url_at(target: &Target, scheme: Scheme, port: u16) -> String {
    let mut url = without_secrets(target);
    url.scheme = scheme;
    url.port = port;
    url.to_string()
}

/// The URL with another host.
pub(crate) fn url_with_host(target: &Target, host: &str) -> String {
    let mut url = without_secrets(target);
    host.clone_into(&mut url.host);
    url.to_string()
}

fn without_secrets(target: &Target) -> Target {
    let mut url = target.clone();
    url.user_info = None;
    if let Some((path, _)) = target.path_and_query.split_once('?') {
        path.clone_into(&mut url.path_and_query);
    }
    url
}

/// Whether NATS usually has this port for something.
pub(crate) fn is_usual(port: u16) -> bool {
    USUAL_PORTS.contains(&port) || neighbours::USUAL_PORTS.contains(&port)
}

/// Asks ports for NATS.
#[derive(Clone)]
pub(crate) struct Asker {
    request: UpgradeRequest,
    name: String,
    tls: Option<Arc<ClientConfig>>,
    limit: Duration,
}

impl Asker {
    pub(crate) fn of(examination: &Examination<'_>) -> Self {
        let target = without_secrets(examination.target);
        Self {
            request: UpgradeRequest {
                host: target.host_header(),
                path_and_query: target.path_and_query.clone(),
                user_agent: USER_AGENT.to_owned(),
                ..UpgradeRequest::default()
            },
            name: target.tls_name().to_owned(),
            tls: examination.plan.tls.without_verification(),
            limit: examination.second_look_limit(),
        }
    }

    /// Opens a connection, with TLS on it if wanted.
    pub(crate) async fn open(&self, address: SocketAddr, is_tls: bool) -> std::io::Result<Stream> {
        let tcp = probe::connect(address, self.limit).await?;
        if !is_tls {
            return Ok(Stream::tcp(tcp));
        }
        let unusable = || std::io::Error::from(std::io::ErrorKind::Unsupported);
        let name = ServerName::try_from(self.name.clone()).map_err(|_| unusable())?;
        let connector = TlsConnector::from(Arc::clone(self.tls.as_ref().ok_or_else(unusable)?));
        let handshake = timeout(self.limit, connector.connect(name, tcp)).await;
        Ok(Stream::tls(handshake??))
    }

    /// Whether an address serves NATS over WebSocket.
    pub(crate) async fn websocket(&self, address: SocketAddr, is_tls: bool) -> Option<Served> {
        let asking = async {
            let mut stream = self.open(address, is_tls).await.ok()?;
            let upgraded = upgrade(&mut stream, &self.request).await.ok()?;
            let info = info_behind(stream, upgraded).await?;
            Some(Served {
                address,
                is_tls,
                info,
            })
        };
        timeout(self.limit, asking).await.ok()?
    }

    /// The same, where it is not known whether there is TLS.
    async fn websocket_of_either_kind(&self, address: SocketAddr) -> Option<Served> {
        let (plain, tls) = tokio::join!(
            self.websocket(address, false),
            self.websocket(address, true)
        );
        plain.or(tls)
    }

    /// What an address that is no client port for the URL's scheme would be: whether the server that is meant is there.
    pub(crate) async fn nats(&self, scheme: Scheme, address: SocketAddr) -> Option<ServerInfo> {
        if scheme.is_websocket() {
            let served = self.websocket(address, scheme == Scheme::Wss).await?;
            return Some(served.info);
        }
        let heard = probe::ask(address, b"", self.limit.min(INFO_PATIENCE), probe::has_line).await;
        match identify(&heard.ok()?.bytes) {
            Some(Speaker::Nats(NatsPort::Client, info)) => Some(*info),
            _ => None,
        }
    }

    /// Time limit of each question.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// A request without an upgrade.
    pub(crate) fn plain_get(&self) -> String {
        let request = &self.request;
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {}\r\nConnection: close\r\n\r\n",
            request.path_and_query, request.host, request.user_agent
        )
    }

    /// The request for an upgrade, as bytes.
    pub(crate) fn upgrade_bytes(&self) -> String {
        request_head(&self.request, &generate_key())
    }

    /// What the upgrade gets there.
    pub(crate) async fn upgrade(&self, stream: &mut Stream) -> Result<Upgraded, UpgradeError> {
        upgrade(stream, &self.request).await
    }
}

/// Looks for the WebSocket port on the host of the URL. `hints` are ports that something named.
pub(crate) async fn find_websocket(
    examination: &Examination<'_>,
    neighbours: &Neighbours,
    hints: &[u16],
) -> Option<Served> {
    let address = examination.address()?;
    let asker = Asker::of(examination);
    let mut tasks = JoinSet::new();
    for (idx, candidate) in candidates(address, neighbours, hints)
        .into_iter()
        .enumerate()
    {
        let asker = asker.clone();
        tasks.spawn(async move { (idx, asker.websocket_of_either_kind(candidate).await) });
    }
    let mut found = tasks.join_all().await;
    found.sort_by_key(|(idx, _)| *idx);
    found.into_iter().find_map(|(_, served)| served)
}

/// The most telling ones first.
fn candidates(address: SocketAddr, neighbours: &Neighbours, hints: &[u16]) -> Vec<SocketAddr> {
    let mut candidates: Vec<SocketAddr> = Vec::new();
    let mut add = |candidate: SocketAddr| {
        if candidate != address && candidate.port() != 0 && !candidates.contains(&candidate) {
            candidates.push(candidate);
        }
    };
    let told = neighbours.monitoring.as_ref();
    for port in told
        .and_then(neighbours::Monitoring::websocket_port)
        .iter()
        .chain(hints)
    {
        add(SocketAddr::new(address.ip(), *port));
    }
    for (found, _) in &neighbours.websocket {
        add(*found);
    }
    // The other ports of the very process have been asked then.
    if neighbours
        .local
        .as_ref()
        .and_then(Local::nats_owner)
        .is_none()
    {
        for port in USUAL_PORTS {
            add(SocketAddr::new(address.ip(), port));
        }
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_for_advice_has_no_secrets() {
        let target: Target = "nats://me:secret@game.example:4222/path?token=secret"
            .parse()
            .unwrap();
        assert_eq!(
            url_at(&target, Scheme::Ws, 8443),
            "ws://game.example:8443/path"
        );
        assert_eq!(url_with_host(&target, "::1"), "nats://[::1]:4222/path");
    }

    #[test]
    fn ports_that_something_named_are_asked_first() {
        let neighbours = Neighbours {
            websocket: vec![("127.0.0.1:31224".parse().unwrap(), false)],
            ..Neighbours::default()
        };
        let address = "127.0.0.1:8443".parse().unwrap();
        let found = candidates(address, &neighbours, &[9443, 8443]);
        let ports: Vec<_> = found.iter().map(SocketAddr::port).collect();
        assert_eq!(ports, [9443, 31224, 443, 80, 8080, 9222]);
    }
}
