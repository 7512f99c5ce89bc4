//! The connection was refused: who else is there.

use std::net::SocketAddr;

use super::other_address::{at_other_address, other_address};
use super::{Failure, codes};
use crate::doctor::elsewhere::{Served, find_websocket, is_usual};
use crate::doctor::examination::Examination;
use crate::doctor::neighbours::{ClientPort, Local, Neighbours};
use crate::doctor::words::short;
use crate::net::target::{Scheme, Target};
use crate::protocol::ServerInfo;
use crate::results::doctor::{Certainty, Finding};

/// Ports so close to each other belong together.
const MAX_DISTANCE: u16 = 2;

/// What the second look showed.
#[derive(Default)]
struct Scene {
    /// Another address of this machine that takes connections on the same port; and what NATS says there.
    other_address: Option<(SocketAddr, Option<ServerInfo>)>,
    neighbours: Neighbours,
    /// NATS over WebSocket on another port.
    served: Option<Served>,
}

/// Looks around, and says why it is refused.
pub(super) async fn finding(examination: &mut Examination<'_>, failures: &[Failure]) -> Finding {
    let is_refused = |(_, error): &&Failure| error.kind() == std::io::ErrorKind::ConnectionRefused;
    let (first, _) = failures.iter().find(is_refused).unwrap_or(&failures[0]);
    let first = *first;
    let neighbours = examination.look_around().await;
    let same_port = neighbours
        .local
        .as_ref()
        .map_or(&[][..], |local| &local.same_port);
    let others: Vec<_> = same_port.iter().map(|(address, _)| *address).collect();
    let (other_address, served) = tokio::join!(
        other_address(examination, first, &others),
        find_websocket(examination, &neighbours, &[]),
    );
    let scene = Scene {
        other_address,
        neighbours,
        served,
    };
    judge(examination.target, first, &scene)
}

fn judge(target: &Target, refused: SocketAddr, scene: &Scene) -> Finding {
    let finding = if let Some((address, info)) = &scene.other_address {
        at_other_address(target, refused, *address, info.as_ref())
    } else if !target.scheme.is_websocket() {
        nothing_listens(target, refused, scene)
    } else if let Some(served) = meant(refused, scene) {
        at_other_port(target, refused, served, &scene.neighbours)
    } else if let Some(client) = client_without(refused, scene) {
        without_websocket(target, refused, client, &scene.neighbours)
    } else {
        nothing_listens(target, refused, scene)
    };
    with_processes(finding, scene.neighbours.local.as_ref())
}

fn at_other_port(
    target: &Target,
    refused: SocketAddr,
    served: &Served,
    neighbours: &Neighbours,
) -> Finding {
    let told = neighbours.monitoring.as_ref();
    let is_told =
        told.is_some_and(|monitoring| monitoring.websocket_port() == Some(served.address.port()));
    let url = served.url(target);
    let finding = codes::WRONG_PORT
        .finding(format!(
            "Nothing listens on {refused}; NATS over WebSocket is served on port {} of that host.",
            served.address.port()
        ))
        .because(format!(
            "The server there is {}.",
            name_of(&served.info)
        ))
        .evidence(&url, format!("101, then INFO of nats-server {}", served.info.version))
        .certainty(if is_crowded(neighbours) {
            Certainty::Possible
        } else {
            Certainty::Likely
        })
        .or(
            "another server is meant, and it is not running",
            "the log of the one that is meant says `Listening for websocket clients on`, or why it ended",
        )
        .remedy(format!("Use `{url}`."));
    if is_told {
        let monitoring = told.map_or(refused, |monitoring| monitoring.address);
        finding.evidence(
            &format!("http://{monitoring}/varz"),
            format!("websocket.port: {}", served.address.port()),
        )
    } else {
        finding
    }
}

fn without_websocket(
    target: &Target,
    refused: SocketAddr,
    client: &ClientPort,
    neighbours: &Neighbours,
) -> Finding {
    let told = neighbours
        .monitoring
        .as_ref()
        .filter(|monitoring| monitoring.server_id() == Some(client.info.server_id.as_str()));
    let has_none = told.filter(|monitoring| monitoring.websocket_port().is_none());
    let finding = codes::NOT_CONFIGURED
        .finding(format!(
            "nats-server runs at {}, but has no WebSocket listener: nothing listens on port {}.",
            client.address,
            refused.port()
        ))
        .because("Without a `websocket` block there is no WebSocket port, and a reload does not add one: it takes a restart.")
        .evidence(
            &client.address.to_string(),
            format!("INFO of {}", name_of(&client.info)),
        )
        .certainty(if is_crowded(neighbours) {
            Certainty::Possible
        } else {
            Certainty::Likely
        });
    let finding = match has_none {
        Some(monitoring) => finding.evidence(
            &format!("http://{}/varz", monitoring.address),
            "no websocket.port",
        ),
        None => finding.or(
            "the WebSocket port is another one",
            "the log of nats-server says `Listening for websocket clients on`, and http://HOST:8222/varz names `websocket.port`",
        ),
    };
    websocket_block(
        finding.or(
            "another server is meant, and it is not running",
            "the log of the one that is meant says why it ended",
        ),
        "Add the block to the configuration of nats-server, and restart it (a reload does not enable it):",
        target,
        refused.port(),
    )
}

/// The block of configuration that opens the port of the URL.
fn websocket_block(finding: Finding, step: &str, target: &Target, port: u16) -> Finding {
    let port = format!("  port: {port}");
    if target.scheme == Scheme::Wss {
        let lines = [
            "websocket {",
            &port,
            "  tls {",
            "    cert_file: \"/path/to/server.pem\"",
            "    key_file: \"/path/to/server.key\"",
            "  }",
            "}",
        ];
        finding.paste(step, &lines)
    } else {
        finding.paste(step, &["websocket {", &port, "  no_tls: true", "}"])
    }
}

fn nothing_listens(target: &Target, refused: SocketAddr, scene: &Scene) -> Finding {
    let is_own = scene.neighbours.local.is_some();
    let mut title = format!("Nothing listens on {refused}: the connection was refused.");
    let mut first_step = None;
    // A server that was found far from the URL's port is only worth a look.
    if let Some(served) = scene
        .served
        .as_ref()
        .filter(|_| target.scheme.is_websocket())
    {
        let url = served.url(target);
        title = format!(
            "Nothing listens on {refused}; a nats-server of this host serves WebSocket on port {}.",
            served.address.port()
        );
        first_step = Some(format!("If that server is meant, use `{url}`."));
    } else if let Some(client) = &scene.neighbours.client {
        title = format!(
            "Nothing listens on {refused}; a nats-server of this host has its client port at {}.",
            client.address
        );
        first_step = Some(

            "If that server is meant: it has no WebSocket port that could be found here. Add a `websocket` block to its configuration and restart it.".to_owned(),
);
    }
    let finding = codes::REFUSED
        .finding(title)
        .because("The host is there and says that the port is closed, so that no NATS server can answer on it.")
        .certainty(Certainty::Likely);
    let finding = match first_step {
        Some(step) => finding.remedy(step),
        None => finding,
    };
    let finding = finding.remedy(format!(
        "Start nats-server, and see in its log that it listens on port {}.",
        refused.port()
    ));
    if !target.scheme.is_websocket() {
        return match &scene.served {
            Some(served) => finding
                .evidence(&served.url(target), "NATS over WebSocket")
                .remedy(format!(
                    "Or use the WebSocket port: `{}`.",
                    served.url(target)
                )),
            None => finding,
        };
    }
    let finding = websocket_block(
        finding,
        "If it refuses to start, give its `websocket` block `tls` or `no_tls: true`:",
        target,
        refused.port(),
    )
    .or(
        "nats-server refused to start, because its `websocket` block has neither `tls` nor `no_tls: true`",
        "the last line of its log is `websocket requires TLS configuration`",
    )
    .or(
        "the WebSocket listener has another port",
        "the log of nats-server says `Listening for websocket clients on`",
    )
    .or(
        "the port of the container or service is not published",
        "`docker ps` shows no `->` for the port; `kubectl get svc` does not list it",
    );
    if !is_own {
        return finding.or(
            "a firewall in between rejects the connection",
            "on the host itself the port answers",
        );
    }
    let local = scene.neighbours.local.as_ref();
    if local.is_some_and(|local| local.is_container) {
        return finding.or(
            "this runs inside a container, where `localhost` is the container itself",
            "use the name of the other container or service, or `host.docker.internal`",
        );
    }
    finding
}

/// NATS over WebSocket that belongs to the server that is meant, most likely.
fn meant(refused: SocketAddr, scene: &Scene) -> Option<&Served> {
    let served = scene.served.as_ref()?;
    let is_told = scene.neighbours.monitoring.as_ref().is_some_and(|told| {
        is_near(refused, told.address) && told.websocket_port() == Some(served.address.port())
    });
    let is_same = scene.neighbours.client.as_ref().is_some_and(|client| {
        is_near(refused, client.address) && client.info.server_id == served.info.server_id
    });
    (is_told || is_same || is_near(refused, served.address)).then_some(served)
}

/// The client port of the server that is meant, most likely, where no WebSocket port of it was found.
fn client_without(refused: SocketAddr, scene: &Scene) -> Option<&ClientPort> {
    let client = scene.neighbours.client.as_ref()?;
    let served = scene.served.as_ref();
    let has_one = served.is_some_and(|served| served.info.server_id == client.info.server_id);
    (!has_one && is_near(refused, client.address)).then_some(client)
}

/// Found where the ports of the server that is meant usually are. A server of this machine with ports of its own may be
/// another one.
fn is_near(refused: SocketAddr, found: SocketAddr) -> bool {
    refused.port().abs_diff(found.port()) <= MAX_DISTANCE || is_usual(found.port())
}

/// Several servers run here, so that the one that was found need not be the one that is meant.
fn is_crowded(neighbours: &Neighbours) -> bool {
    let local = neighbours.local.as_ref();
    local.is_some_and(|local| local.nats_servers.len() > 1)
}

fn name_of(info: &ServerInfo) -> String {
    const MAX_NAME_CHARS: usize = 60;
    let name = short(&info.server_name, MAX_NAME_CHARS);
    let version = short(&info.version, MAX_NAME_CHARS);
    // A server without a name of its own has its id for one.
    if name.is_empty() || info.server_name == info.server_id {
        format!("nats-server {version}")
    } else {
        format!("nats-server {version} `{name}`")
    }
}

/// Adds what this machine shows of its processes.
fn with_processes(finding: Finding, local: Option<&Local>) -> Finding {
    let Some(local) = local else {
        return finding;
    };
    let finding = local
        .same_port
        .iter()
        .fold(finding, |finding, (address, process)| {
            finding.evidence(
                "listens",
                format!("{address}: {} (pid {})", process.name, process.pid),
            )
        });
    match local.nats_servers.as_slice() {
        [] => finding.evidence("nats-server on this machine", "none that can be seen"),
        [(server, listens_at)] => {
            let at: Vec<_> = listens_at.iter().map(SocketAddr::to_string).collect();
            let at = at.join(", ");
            finding.evidence(
                "nats-server on this machine",
                format!("pid {}, listens on {at}", server.pid),
            )
        }
        several => finding.evidence(
            "nats-server on this machine",
            format!("{} processes, none on this port", several.len()),
        ),
    }
}

#[cfg(test)]
#[path = "refused_tests.rs"]
mod tests;
