//! What else of the broker can be reached from here: its client port and its monitoring port.
//!
//! Looked for where they usually are, and right beside the port of the URL. What is found there need not belong to the
//! broker behind the URL: whoever uses it compares the server ids, where there are two.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::doctor::examination::Examination;
use crate::net::probe;
use crate::protocol::ServerInfo;

/// The usual client port.
const CLIENT_PORT: u16 = 4222;
/// The usual monitoring port.
const MONITORING_PORT: u16 = 8222;
/// How long a port may take to say INFO, beyond the connection.
const PATIENCE: Duration = Duration::from_millis(700);

/// A client port.
#[derive(Debug, Clone)]
pub(crate) struct ClientPort {
    pub(crate) address: SocketAddr,
    pub(crate) info: ServerInfo,
}

/// A monitoring port.
#[derive(Debug, Clone)]
pub(crate) struct Monitoring {
    pub(crate) address: SocketAddr,
    /// Its `/varz`.
    pub(crate) varz: serde_json::Value,
}

impl Monitoring {
    /// Another page of it.
    pub(crate) async fn get(&self, path: &str, limit: Duration) -> Option<serde_json::Value> {
        get_json(self.address, path, limit).await
    }

    /// The port of its WebSocket listener, if there is one.
    pub(crate) fn websocket_port(&self) -> Option<u16> {
        let port = self.varz.get("websocket")?.get("port")?.as_u64()?;
        u16::try_from(port).ok().filter(|port| *port != 0)
    }

    /// The id of the server.
    pub(crate) fn server_id(&self) -> Option<&str> {
        self.varz.get("server_id")?.as_str()
    }
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Neighbours {
    pub(crate) client: Option<ClientPort>,
    pub(crate) monitoring: Option<Monitoring>,
}

enum Found {
    Client(ClientPort),
    Monitoring(Monitoring),
}

/// Looks at the ports of the host, once an examination.
pub(crate) async fn look_around(examination: &mut Examination<'_>) -> Neighbours {
    if let Some(known) = &examination.learned.neighbours {
        return known.clone();
    }
    let neighbours = look(examination).await;
    examination.learned.neighbours = Some(neighbours.clone());
    neighbours
}

async fn look(examination: &Examination<'_>) -> Neighbours {
    let Some(address) = examination.address() else {
        return Neighbours::default();
    };
    let limit = examination.second_look_limit();
    let own = address.port();
    let near = [
        own.checked_sub(2),
        own.checked_sub(1),
        own.checked_add(1),
        own.checked_add(2),
    ];
    let mut ports = vec![CLIENT_PORT, MONITORING_PORT];
    for port in near.into_iter().flatten() {
        if port != 0 && !ports.contains(&port) {
            ports.push(port);
        }
    }
    ports.retain(|port| *port != own);
    let mut tasks = JoinSet::new();
    for (idx, port) in ports.into_iter().enumerate() {
        let address = SocketAddr::new(address.ip(), port);
        tasks.spawn(async move { (idx, identify(address, limit).await) });
    }
    let mut found = tasks.join_all().await;
    found.sort_by_key(|(idx, _)| *idx);
    let mut neighbours = Neighbours::default();
    for (_, found) in found {
        match found {
            Some(Found::Client(port)) => _ = neighbours.client.get_or_insert(port),
            Some(Found::Monitoring(port)) => _ = neighbours.monitoring.get_or_insert(port),
            None => {}
        }
    }
    neighbours
}

/// A client port speaks first; a monitoring port answers.
async fn identify(address: SocketAddr, limit: Duration) -> Option<Found> {
    let patience = limit.min(PATIENCE);
    let heard = probe::ask(address, b"", patience, |bytes| bytes.contains(&b'\n'))
        .await
        .ok()?;
    if !heard.bytes.is_empty() {
        let line = heard.bytes.strip_prefix(b"INFO ")?;
        let info = ServerInfo::parse(line.split(|byte| *byte == b'\r').next()?).ok()?;
        // Ports for servers begin with INFO, too, but count no clients.
        return (info.client_id != 0).then_some(Found::Client(ClientPort { address, info }));
    }
    let varz = get_json(address, "/varz", limit).await?;
    varz.get("server_id")?;
    Some(Found::Monitoring(Monitoring { address, varz }))
}

async fn get_json(address: SocketAddr, path: &str, limit: Duration) -> Option<serde_json::Value> {
    let reply = probe::http_get(address, &address.to_string(), path, limit)
        .await
        .ok()?;
    serde_json::from_slice(&reply.body).ok()
}
