//! The connection was refused: who else is there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::task::JoinSet;

use super::{Failure, codes};
use crate::doctor::elsewhere::{Asker, Served, find_websocket, url_with_host};
use crate::doctor::examination::Examination;
use crate::doctor::neighbours::{Local, Neighbours, look_around};
use crate::host::is_own_address;
use crate::net::target::{Scheme, Target};
use crate::protocol::ServerInfo;
use crate::results::doctor::{Certainty, Finding};

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
    let refused: Vec<_> = failures
        .iter()
        .filter(|(_, error)| error.kind() == std::io::ErrorKind::ConnectionRefused)
        .map(|(address, _)| *address)
        .collect();
    let first = refused[0];
    let neighbours = look_around(examination).await;
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

/// The same port at the other addresses of this machine.
async fn other_address(
    examination: &Examination<'_>,
    refused: SocketAddr,
    listening: &[SocketAddr],
) -> Option<(SocketAddr, Option<ServerInfo>)> {
    if !is_own_address(refused.ip()) {
        return None;
    }
    let loopbacks = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    let mut candidates: Vec<IpAddr> = loopbacks.to_vec();
    candidates.extend(listening.iter().map(SocketAddr::ip));
    candidates.retain(|ip| {
        let tried = &examination.learned.addresses;
        !ip.is_unspecified() && !tried.iter().any(|address| address.ip() == *ip)
    });
    let asker = Asker::of(examination);
    let mut tasks = JoinSet::new();
    for (idx, ip) in candidates.into_iter().enumerate() {
        let address = SocketAddr::new(ip, refused.port());
        let (asker, scheme) = (asker.clone(), examination.target.scheme);
        tasks.spawn(async move {
            asker.open(address, false).await.ok()?;
            Some((idx, address, asker.nats(scheme, address).await))
        });
    }
    let mut found: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    // One that speaks NATS goes before one that does not.
    found.sort_by_key(|(idx, _, info)| (info.is_none(), *idx));
    let (_, address, info) = found.into_iter().next()?;
    Some((address, info))
}

fn judge(target: &Target, refused: SocketAddr, scene: &Scene) -> Finding {
    let finding = if let Some((address, info)) = &scene.other_address {
        at_other_address(target, refused, *address, info.as_ref())
    } else if !target.scheme.is_websocket() {
        nothing_listens(target, refused, scene)
    } else if let Some(served) = &scene.served {
        at_other_port(target, refused, served, &scene.neighbours)
    } else if scene.neighbours.client.is_some() {
        without_websocket(target, refused, &scene.neighbours)
    } else {
        nothing_listens(target, refused, scene)
    };
    with_processes(finding, scene.neighbours.local.as_ref())
}

fn at_other_address(
    target: &Target,
    refused: SocketAddr,
    answers: SocketAddr,
    info: Option<&ServerInfo>,
) -> Finding {
    let family = |address: SocketAddr| if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let is_family = refused.ip().is_loopback() && answers.ip().is_loopback();
    let finding = if is_family {
        codes::OTHER_FAMILY
            .finding(format!(
                "The server listens on {} only ({answers}), and the URL goes to {} ({refused}), where nothing listens.",
                family(answers),
                family(refused),
            ))
    } else {
        codes::OTHER_ADDRESS.finding(format!(
            "The server listens on {answers}, and the URL goes to {refused}, where nothing listens."
        ))
    };
    let answer = match info {
        Some(info) => format!("nats-server {}", info.version),
        None => "takes connections".to_owned(),
    };
    let finding = finding
        .because("Both are addresses of this machine, but a listener that is bound to one of them does not take connections to the other.")
        .evidence(&answers.to_string(), answer)
        .certainty(if info.is_some() {
            Certainty::Certain
        } else {
            Certainty::Likely
        })
        .remedy(format!(
            "Use the address that answers: `{}`.",
            url_with_host(target, &answers.ip().to_string())
        ));
    let finding = listen_on_both(finding, target);
    if info.is_some() {
        finding
    } else {
        finding.or(
            "something else listens there, and the NATS server is down",
            "what listens is named by `ss -ltnp`",
        )
    }
}

/// How nats-server listens on every address.
pub(super) fn listen_on_both(finding: Finding, target: &Target) -> Finding {
    let step = "Or let nats-server listen on all addresses of both families, and restart it:";
    let port = format!("  port: {}", target.port);
    if target.scheme.is_websocket() {
        let lines = [
            "websocket {",
            "  host: \"::\"",
            &port,
            "  # and the lines that are there already",
            "}",
        ];
        finding.paste(step, &lines)
    } else {
        finding.paste(step, &["host: \"::\"", port.trim()])
    }
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

fn without_websocket(target: &Target, refused: SocketAddr, neighbours: &Neighbours) -> Finding {
    let Some(client) = &neighbours.client else {
        return codes::NOT_CONFIGURED.finding("nats-server has no WebSocket listener.");
    };
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
    let finding = codes::REFUSED
        .finding(format!(
            "Nothing listens on {refused}: the connection was refused."
        ))
        .because("The host is there and says that the port is closed, so that no NATS server can answer on it.")
        .certainty(Certainty::Likely)
        .remedy(format!(
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
        "If its log says `websocket requires TLS configuration`, it refused to start: the `websocket` block needs `tls` or `no_tls: true`:",
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

/// Several servers run here, so that the one that was found need not be the one that is meant.
fn is_crowded(neighbours: &Neighbours) -> bool {
    let local = neighbours.local.as_ref();
    local.is_some_and(|local| local.nats_servers.len() > 1)
}

fn name_of(info: &ServerInfo) -> String {
    let name = crate::report::message::harmless(&info.server_name);
    let version = crate::report::message::harmless(&info.version);
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
