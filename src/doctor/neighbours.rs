//! What else of the broker can be reached from here: its client port, its monitoring port, and its WebSocket port where
//! the URL goes to another one.
//!
//! On this machine `/proc` tells which ports belong to the process behind the port of the URL. Elsewhere they are looked
//! for where they usually are, and right beside the port of the URL. What is found there need not belong to the broker
//! behind the URL: whoever uses it compares the server ids, where there are two.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::doctor::fingerprint::{NatsPort, Speaker, identify};
use crate::host::{Listeners, Process, is_container, is_own_address};
use crate::net::probe;
use crate::net::ws::upgrade::{HttpReply, parse_reply};
use crate::protocol::ServerInfo;

/// Where client port and monitoring port usually are.
pub(super) const USUAL_PORTS: [u16; 2] = [4222, 8222];
/// Most ports that are asked.
const MAX_PORTS: usize = 16;
/// How long a port may take to say INFO, beyond the connection.
const PATIENCE: Duration = Duration::from_millis(700);
/// A port that was silent until then has at least so long to answer.
const MIN_ANSWER: Duration = Duration::from_millis(300);
/// How long looking at the processes of this machine may take.
const PROC_PATIENCE: Duration = Duration::from_millis(800);

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
        let reply = http_get(self.address, path, limit).await?;
        serde_json::from_slice(&reply.body).ok()
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

/// What this machine shows of its own port.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    /// Who takes connections at the port of the URL, as far as it can be seen.
    pub(crate) owner: Option<Process>,
    /// The NATS servers that run here, and where each listens; perhaps none of them is meant.
    pub(crate) nats_servers: Vec<(Process, Vec<SocketAddr>)>,
    /// Where the owner of the port listens, too.
    pub(crate) owner_listens_at: Vec<SocketAddr>,
    /// Who listens at the same port, at whichever address.
    pub(crate) same_port: Vec<(SocketAddr, Process)>,
    /// We seem to be inside a container.
    pub(crate) is_container: bool,
}

impl Local {
    /// The owner, if it is a NATS server.
    pub(crate) fn nats_owner(&self) -> Option<&Process> {
        self.owner.as_ref().filter(|owner| owner.is_nats_server())
    }
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Neighbours {
    pub(crate) client: Option<ClientPort>,
    pub(crate) monitoring: Option<Monitoring>,
    /// Ports that answer HTTP as the WebSocket port of a nats-server does; whether over TLS.
    pub(crate) websocket: Vec<(SocketAddr, bool)>,
    /// Ports that take connections and say nothing, asked or not: as a frozen process does.
    pub(crate) mute: Vec<SocketAddr>,
    /// Ports that refused or took a connection: the host is there.
    pub(crate) n_alive: usize,
    /// What this machine shows; `None` if the URL goes to another one.
    pub(crate) local: Option<Local>,
}

enum Found {
    Client(Box<ClientPort>),
    Monitoring(Monitoring),
    WebSocket(SocketAddr, bool),
    Mute(SocketAddr),
    /// Something else, or nothing but the host.
    Alive,
    Nothing,
}

/// Looks at the ports of the host. Of several servers, the one with this id is taken.
pub(super) async fn look(
    address: SocketAddr,
    limit: Duration,
    server_id: Option<&str>,
) -> Neighbours {
    let local = look_at_processes(address).await;
    let mut tasks = JoinSet::new();
    for (idx, address) in candidates(address, local.as_ref()).into_iter().enumerate() {
        tasks.spawn(async move { (idx, ask(address, limit).await) });
    }
    let mut found = tasks.join_all().await;
    found.sort_by_key(|(idx, _)| *idx);
    let found: Vec<_> = found.into_iter().map(|(_, found)| found).collect();
    let mut neighbours = gather(found, server_id);
    neighbours.local = local;
    neighbours
}

/// Who listens where, if the address is one of this machine.
pub(crate) async fn look_at_processes(address: SocketAddr) -> Option<Local> {
    let looking = tokio::task::spawn_blocking(move || {
        if !is_own_address(address.ip()) {
            return None;
        }
        let listeners = Listeners::read();
        let owner = listeners.owner_of(address).cloned();
        let listens_at = |process: &Process| listeners.of_process(process.pid).collect();
        let servers = listeners.nats_servers().into_iter();
        Some(Local {
            owner_listens_at: owner.as_ref().map(listens_at).unwrap_or_default(),
            nats_servers: servers
                .map(|server| (server.clone(), listens_at(server)))
                .collect(),
            same_port: listeners.at_port(address.port()),
            owner,
            is_container: is_container(),
        })
    });
    tokio::time::timeout(PROC_PATIENCE, looking)
        .await
        .ok()?
        .ok()?
}

/// Which ports to ask, the most telling ones first.
fn candidates(address: SocketAddr, local: Option<&Local>) -> Vec<SocketAddr> {
    let mut candidates = Vec::new();
    let mut add = |ip: IpAddr, port: u16| {
        // Of a process that listens on every address, the one that is known to be of this machine.
        let ip = if ip.is_unspecified() {
            address.ip()
        } else {
            ip
        };
        let candidate = SocketAddr::new(ip, port);
        if port != 0 && port != address.port() && !candidates.contains(&candidate) {
            candidates.push(candidate);
        }
    };
    if let Some(local) = local {
        for at in &local.owner_listens_at {
            add(at.ip(), at.port());
        }
    }
    // The other ports of the very process are known then.
    if local.and_then(Local::nats_owner).is_none() {
        let own = address.port();
        let near = [
            own.checked_sub(2),
            own.checked_sub(1),
            own.checked_add(1),
            own.checked_add(2),
        ];
        for port in near.into_iter().flatten().chain(USUAL_PORTS) {
            add(address.ip(), port);
        }
        // With several servers nothing says which one is meant.
        if let Some([(_, listens_at)]) = local.map(|local| local.nats_servers.as_slice()) {
            for at in listens_at {
                add(at.ip(), at.port());
            }
        }
    }
    candidates.truncate(MAX_PORTS);
    candidates
}

/// Takes the first of each kind, or the one of this server.
fn gather(found: Vec<Found>, server_id: Option<&str>) -> Neighbours {
    let mut neighbours = Neighbours::default();
    let is_ours = |id: &str| Some(id) == server_id;
    for found in found {
        neighbours.n_alive += usize::from(!matches!(found, Found::Nothing));
        match found {
            Found::Client(port) => {
                if neighbours.client.is_none() || is_ours(&port.info.server_id) {
                    neighbours.client = Some(*port);
                }
            }
            Found::Monitoring(port) => {
                if neighbours.monitoring.is_none() || port.server_id().is_some_and(is_ours) {
                    neighbours.monitoring = Some(port);
                }
            }
            Found::WebSocket(address, is_tls) => neighbours.websocket.push((address, is_tls)),
            Found::Mute(address) => neighbours.mute.push(address),
            Found::Alive | Found::Nothing => {}
        }
    }
    neighbours
}

/// A client port speaks first; a monitoring port and a WebSocket port answer.
async fn ask(address: SocketAddr, limit: Duration) -> Found {
    let patience = limit.min(PATIENCE);
    let heard = match probe::ask(address, b"", patience, probe::has_line).await {
        Ok(heard) => heard,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return Found::Alive;
        }
        Err(_) => return Found::Nothing,
    };
    if !heard.bytes.is_empty() {
        return match identify(&heard.bytes) {
            Some(Speaker::Nats(NatsPort::Client, info)) => Found::Client(Box::new(ClientPort {
                address,
                info: *info,
            })),
            _ => Found::Alive,
        };
    }
    let request = format!("GET /varz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let left = limit.saturating_sub(patience).max(MIN_ANSWER);
    let Ok(heard) = probe::ask(address, request.as_bytes(), left, probe::has_whole_reply).await
    else {
        return Found::Alive;
    };
    match parse_reply(&heard.bytes) {
        Some((reply, _)) => of_reply(address, &reply),
        None if heard.bytes.is_empty() && matches!(heard.end, probe::ProbeEnd::Open) => {
            Found::Mute(address)
        }
        None => Found::Alive,
    }
}

/// Whether an address is a monitoring port.
pub(crate) async fn monitoring_at(address: SocketAddr, limit: Duration) -> Option<Monitoring> {
    let reply = http_get(address, "/varz", limit).await?;
    match of_reply(address, &reply) {
        Found::Monitoring(monitoring) => Some(monitoring),
        _ => None,
    }
}

/// Whose answer to `GET /varz` this is.
fn of_reply(address: SocketAddr, reply: &HttpReply) -> Found {
    if let Ok(varz) = serde_json::from_slice::<serde_json::Value>(&reply.body)
        && varz.get("server_id").is_some()
    {
        return Found::Monitoring(Monitoring { address, varz });
    }
    let body = String::from_utf8_lossy(&reply.body);
    if reply.status == 400 && reply.header("Sec-WebSocket-Version").is_some() {
        Found::WebSocket(address, false)
    } else if reply.status == 400 && body.contains("HTTP request to an HTTPS server") {
        Found::WebSocket(address, true)
    } else {
        Found::Alive
    }
}

async fn http_get(address: SocketAddr, path: &str, limit: Duration) -> Option<HttpReply> {
    probe::http_get(address, &address.to_string(), path, limit)
        .await
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(name: &str) -> Process {
        Process {
            pid: 7,
            name: name.to_owned(),
            is_frozen: false,
        }
    }

    fn local(name: Option<&str>, owned: &[&str], servers: &[&[&str]]) -> Local {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Local {
            owner: name.map(process),
            nats_servers: servers
                .iter()
                .map(|at| (process("nats-server"), addresses(at)))
                .collect(),
            owner_listens_at: addresses(owned),
            same_port: Vec::new(),
            is_container: false,
        }
    }

    fn ports(local: Option<&Local>) -> Vec<u16> {
        let address = "127.0.0.1:8443".parse().unwrap();
        let found = candidates(address, local);
        found.iter().map(SocketAddr::port).collect()
    }

    #[test]
    fn the_ports_of_the_very_process_are_asked_and_no_others() {
        let local = local(
            Some("nats-server"),
            &["[::]:8443", "[::]:31222", "127.0.0.1:31223"],
            &[&["[::]:31222"], &["[::]:4999"]],
        );
        assert_eq!(ports(Some(&local)), [31222, 31223]);
    }

    #[test]
    fn elsewhere_near_and_usual_ports_are_asked() {
        assert_eq!(ports(None), [8441, 8442, 8444, 8445, 4222, 8222]);
    }

    #[test]
    fn a_single_server_of_this_machine_is_asked_and_one_of_several_is_not() {
        let single = local(None, &[], &[&["127.0.0.1:31222"]]);
        assert!(ports(Some(&single)).contains(&31222));
        let several = local(None, &[], &[&["127.0.0.1:31222"], &["127.0.0.1:31333"]]);
        assert!(!ports(Some(&several)).contains(&31222));
    }

    #[test]
    fn of_several_client_ports_that_of_this_server_is_taken() {
        let client = |id: &str| {
            Found::Client(Box::new(ClientPort {
                address: "127.0.0.1:1".parse().unwrap(),
                info: ServerInfo {
                    server_id: id.to_owned(),
                    ..ServerInfo::default()
                },
            }))
        };
        let id = |server_id| {
            let found = vec![client("A"), client("B"), client("C")];
            let client = gather(found, server_id).client;
            client.expect("there are three").info.server_id
        };
        assert_eq!(id(None), "A");
        assert_eq!(id(Some("B")), "B");
    }
}
