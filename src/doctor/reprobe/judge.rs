//! What the answers of a port say of it.

use std::time::Duration;

use super::probes::{Answers, Http, Tls};
use super::{Unanswered, codes};
use crate::doctor::elsewhere::{Served, url_at};
use crate::doctor::fingerprint::excerpt;
use crate::doctor::neighbours::{Local, Monitoring, Neighbours};
use crate::host::Process;
use crate::net::probe::ProbeEnd;
use crate::net::target::{Scheme, Target};
use crate::report::message::harmless;
use crate::results::doctor::{Certainty, Finding};
use crate::units::format_duration;

/// An end that comes so soon was not waited for.
const AT_ONCE: Duration = Duration::from_millis(500);
/// Processes that pass connections on to others.
const FORWARDERS: [(&str, &str); 14] = [
    ("haproxy", "haproxy"),
    ("nginx", "nginx"),
    ("envoy", "envoy"),
    ("traefik", "traefik"),
    ("caddy", "caddy"),
    ("docker-proxy", "docker-proxy (a published container port)"),
    ("com.docker", "Docker (a published container port)"),
    ("rootlessport", "podman (a published container port)"),
    ("pasta", "podman (a published container port)"),
    ("kubectl", "kubectl (a port-forward)"),
    ("ssh", "ssh (a tunnel)"),
    ("socat", "socat"),
    ("stunnel", "stunnel"),
    ("wslrelay", "WSL (a forwarded port)"),
];

/// Everything that was seen.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) what: Unanswered,
    pub(super) answers: Answers,
    pub(super) neighbours: Neighbours,
}

pub(super) fn judge(target: &Target, scene: &Scene) -> Finding {
    let answers = &scene.answers;
    let finding = if answers.again.is_answered() {
        flapping(target, answers)
    } else if let Some(version) = answers.proxy {
        proxy_protocol(target, version)
    } else if let Some(finding) = tls(target, &scene.what, &answers.tls) {
        finding
    } else if answers.is_mqtt {
        mqtt(target)
    } else if !scene.what.received().is_empty() {
        cut_answer(target, scene.what.received())
    } else if answers.get.is_answered() {
        blocks_upgrade(target, &answers.get)
    } else if let Some(frozen) = frozen(target, scene) {
        frozen
    } else if let Unanswered::Silence { .. } = scene.what {
        silent(target, scene)
    } else if is_request_read(scene) {
        hangs_up(target, scene)
    } else {
        no_backend(target, scene)
    };
    let finding = finding.evidence("what came", got(&scene.what));
    with_owner(finding, scene.neighbours.local.as_ref())
}

/// Where there is no address to probe.
pub(super) fn without_probes(target: &Target, what: &Unanswered) -> Finding {
    codes::SILENT
        .finding(format!("{} gives no answer.", target.host_and_port()))
        .evidence("what came", got(what))
        .certainty(Certainty::Possible)
}

/// A `nats://` URL to a port that waits for the client; `None` if it is no WebSocket port either.
pub(super) fn client_port(
    target: &Target,
    plain: &Http,
    tls: &Tls,
    client: Option<u16>,
) -> Option<Finding> {
    let (scheme, evidence) = match (plain, tls) {
        (Http::Nats(info), _) => (Scheme::Ws, format!("101, then INFO of {}", info.version)),
        (_, Tls::Yes(Http::Nats(info))) => (
            Scheme::Wss,
            format!("TLS, 101, then INFO of {}", info.version),
        ),
        (Http::Status(status), _) => return Some(web_server(target, *status, false, client)),
        (_, Tls::Yes(Http::Status(status))) => {
            return Some(web_server(target, *status, true, client));
        }
        _ => return None,
    };
    let url = url_at(target, scheme, target.port);
    Some(
        codes::NATS_SCHEME
            .finding(format!(
                "{} is a WebSocket port, and the URL says {}://.",
                target.host_and_port(),
                target.scheme.name()
            ))
            .because(
                "A client port begins with INFO; this port waits, and answers a WebSocket upgrade.",
            )
            .evidence("an upgrade there", evidence)
            .remedy(format!("Use `{url}`."))
            .remedy(use_client_port(target, client)),
    )
}

/// A `nats://` URL to the monitoring port, which names the others.
pub(super) fn monitoring_port(target: &Target, monitoring: &Monitoring) -> Finding {
    let client = monitoring.varz.get("port").and_then(|port| port.as_u64());
    let client = client.and_then(|port| u16::try_from(port).ok());
    let finding = codes::MONITORING
        .finding(format!(
            "{} is the monitoring port of nats-server, which speaks HTTP, and the URL says {}://.",
            target.host_and_port(),
            target.scheme.name()
        ))
        .because(
            "It answers `GET /varz` with the state of the server; no client can connect to it.",
        )
        .evidence("GET /varz", "the state of a nats-server")
        .remedy(format!(
            "Use the client port: `{}`.",
            url_at(target, target.scheme, client.unwrap_or(4222))
        ));
    match monitoring.websocket_port() {
        Some(port) => finding.remedy(format!(
            "Or the WebSocket port: `{}`.",
            url_at(target, Scheme::Ws, port)
        )),
        None => finding,
    }
}

/// Adds where NATS over WebSocket is.
pub(super) fn with_right_port(
    finding: Finding,
    target: &Target,
    served: Option<&Served>,
) -> Finding {
    let Some(served) = served else {
        return finding;
    };
    let url = served.url(target);
    finding
        .evidence(
            &url,
            format!("NATS over WebSocket, nats-server {}", served.info.version),
        )
        .remedy(format!("NATS over WebSocket is served there: `{url}`."))
}

fn web_server(target: &Target, status: u16, is_tls: bool, client: Option<u16>) -> Finding {
    let scheme = if is_tls { Scheme::Wss } else { Scheme::Ws };
    codes::OTHER_PROTOCOL
        .finding(format!(
            "{} speaks HTTP, and the URL says {}://.",
            target.host_and_port(),
            target.scheme.name()
        ))
        .because("A client port begins with INFO; this port waits for a request in HTTP.")
        .evidence("answer to a GET", format!("HTTP status {status}"))
        .remedy(format!(
            "If NATS over WebSocket is served there: `{}`, with the path that the proxy expects.",
            url_at(target, scheme, target.port)
        ))
        .remedy(use_client_port(target, client))
}

fn use_client_port(target: &Target, client: Option<u16>) -> String {
    match client {
        Some(port) => format!("Or use the client port: `{}`.", url_at(target, target.scheme, port)),
        None => "Or use the client port, usually 4222; the log of nats-server names it in `Listening for client connections on`.".to_owned(),
    }
}

fn flapping(target: &Target, answers: &Answers) -> Finding {
    let answer = match &answers.again {
        Http::Nats(info) => format!("101, then INFO of nats-server {}", info.version),
        Http::Status(status) => format!("HTTP status {status}"),
        Http::Other(_) | Http::Nothing => "nothing".to_owned(),
    };
    codes::FLAPPING
        .finding(format!(
            "{} answers only some of the attempts: one of the servers behind it is dead, most likely.",
            target.host_and_port()
        ))
        .because("The same request got no answer first and an answer shortly afterwards. A load balancer that takes its servers in turn gives such a picture.")
        .evidence("the same request again", answer)
        .certainty(Certainty::Likely)
        .remedy("Take the dead server out of the load balancer, or let it check the health of its servers (haproxy: `check` in the `server` line).")
        .or(
            "the server was starting at that moment",
            "it does not happen again",
        )
}

fn proxy_protocol(target: &Target, version: u8) -> Finding {
    codes::PROXY_PROTOCOL
        .finding(format!(
            "{} expects a PROXY protocol header and hangs up on whoever sends none.",
            target.host_and_port()
        ))
        .because("The plain request got no answer, and the same request behind a PROXY header was answered in HTTP. The listener is meant for a load balancer that sends this header.")
        .evidence(
            &format!("PROXY header (version {version}) and the upgrade"),
            "an answer in HTTP",
        )
        .remedy("Connect to the load balancer in front of it instead.")
        .paste(
            "Or take the header out of the listener; in nginx:",
            &[&format!("listen {};    # without proxy_protocol", target.port)],
        )
        .paste(
            "In haproxy:",
            &[&format!("bind :{}    # without accept-proxy", target.port)],
        )
        .paste(
            "Or let the load balancer send it; in haproxy:",
            &["server nats 10.0.0.5:8443 send-proxy"],
        )
}

/// The port speaks TLS, and the URL says `ws://`.
fn tls(target: &Target, what: &Unanswered, tls: &Tls) -> Option<Finding> {
    if target.scheme == Scheme::Wss {
        return None;
    }
    let url = url_at(target, Scheme::Wss, target.port);
    let finding = codes::TLS
        .finding(format!(
            "{} speaks TLS, and the URL says {}://.",
            target.host_and_port(),
            target.scheme.name()
        ))
        .because("It gives no answer to plain HTTP, and takes a TLS handshake.");
    let is_alert = |byte: Option<&u8>| byte == Some(&0x15);
    Some(match tls {
        Tls::Yes(Http::Nats(info)) => finding
            .evidence(
                "an upgrade inside TLS",
                format!("101, then INFO of nats-server {}", info.version),
            )
            .remedy(format!("Use `{url}`.")),
        Tls::Yes(Http::Status(status)) => finding
            .evidence("an upgrade inside TLS", format!("HTTP status {status}"))
            .remedy(format!("Use `{url}`.")),
        Tls::Yes(Http::Other(speaker)) => finding
            .evidence("inside TLS", speaker.excerpt())
            .certainty(Certainty::Likely)
            .remedy("Correct the port of the URL."),
        Tls::Yes(Http::Nothing) => finding
            .evidence(
                "TLS handshake",
                "succeeds; inside there is no answer to HTTP",
            )
            .certainty(Certainty::Likely)
            .remedy(format!(
                "If this is the WebSocket port, use `{url}`; otherwise correct the port."
            )),
        Tls::Alert(alert) => finding
            .evidence("TLS handshake", format!("alert {alert}"))
            .certainty(Certainty::Likely)
            .remedy(format!(
                "Use `{url}`; what TLS wants there (a client certificate, say) shows then."
            )),
        // An alert is the answer to our plain request.
        Tls::No if is_alert(what.received().first()) => finding
            .evidence("answer to the upgrade", excerpt(what.received()))
            .certainty(Certainty::Likely)
            .remedy(format!("Use `{url}`.")),
        Tls::No => return None,
    })
}

fn mqtt(target: &Target) -> Finding {
    codes::MQTT
        .finding(format!(
            "{} is an MQTT port, not the WebSocket port.",
            target.host_and_port()
        ))
        .because("It hangs up on HTTP and answers an MQTT CONNECT.")
        .evidence("an MQTT CONNECT there", "CONNACK")
        .remedy("Use the port of the `websocket` block of nats-server; `mqtt` has a port of its own (1883, usually).")
}

fn cut_answer(target: &Target, received: &[u8]) -> Finding {
    codes::CUT_ANSWER
        .finding(format!(
            "The connection to {} ends in the middle of the answer to the upgrade.",
            target.host_and_port()
        ))
        .because("The head of an HTTP answer ends with an empty line, and it did not come.")
        .evidence("answer", excerpt(received))
        .certainty(Certainty::Likely)
        .remedy("Look into the log of the proxy or server for why it breaks off.")
}

fn blocks_upgrade(target: &Target, get: &Http) -> Finding {
    let status = match get {
        Http::Status(status) => format!("HTTP status {status}"),
        _ => "an answer in HTTP".to_owned(),
    };
    codes::BLOCKS_UPGRADE
        .finding(format!(
            "{} answers plain HTTP, but gives no answer to a WebSocket upgrade.",
            target.host_and_port()
        ))
        .because("Something in between, or the server itself, swallows the upgrade: a firewall or proxy that knows no WebSocket, a virus scanner, or a proxy whose WebSocket server does not answer.")
        .evidence("a GET without upgrade", status)
        .certainty(Certainty::Possible)
        .remedy("Let the proxy or firewall pass WebSocket, or use `wss://`, which it cannot look into.")
        .or(
            "a proxy passes only upgrades on, to a server that does not answer",
            "its log names the upstream and a time-out",
        )
        .or(
            "a firewall, company proxy or virus scanner drops upgrades",
            "from another network it works",
        )
}

/// The process that should answer does not run on.
fn frozen(target: &Target, scene: &Scene) -> Option<Finding> {
    if !matches!(scene.what, Unanswered::Silence { .. }) {
        return None;
    }
    let local = scene.neighbours.local.as_ref();
    let owner = local.and_then(|local| local.owner.as_ref());
    if let Some(process) = owner.filter(|process| process.is_frozen) {
        return Some(
            codes::FROZEN
                .finding(format!(
                    "{} (pid {}), which listens on {}, is stopped and does not answer.",
                    harmless(&process.name),
                    process.pid,
                    target.host_and_port()
                ))
                .because("The system takes connections for a stopped process. A signal (SIGSTOP, Ctrl-Z), a debugger, or a paused container holds it.")
                .evidence("state of the process", "stopped")
                .paste("Let it go on:", &[&format!("kill -CONT {}", process.pid)])
                .remedy("If it runs in a paused container: `docker unpause NAME`."),
        );
    }
    let mute = &scene.neighbours.mute;
    if mute.is_empty() || scene.neighbours.client.is_some() {
        return None;
    }
    let ports: Vec<_> = mute
        .iter()
        .map(|address| address.port().to_string())
        .collect();
    Some(
        codes::FROZEN
            .finding(format!(
                "nats-server at {} does not run on: it takes connections and says nothing, on its other ports neither.",
                target.host_and_port()
            ))
            .because("The system takes connections for a stopped process. A client port says INFO at once and a WebSocket port answers HTTP; here neither does.")
            .evidence("silent, too", format!("port {}", ports.join(", ")))
            .certainty(Certainty::Likely)
            .remedy("Look at the process: `ps -o pid,stat,comm -C nats-server`. `T` is stopped (`kill -CONT PID`), `D` waits for a disk.")
            .remedy("If it runs in a container: `docker ps` shows `(Paused)`, and `docker unpause NAME` lets it go on. Look at the memory of the machine, too: one that swaps looks the same.")
            .or(
                "a firewall or proxy in front takes connections for every port, without a server behind them",
                "on the host itself the ports answer",
            ),
    )
}

fn silent(target: &Target, scene: &Scene) -> Finding {
    let finding = codes::SILENT
        .finding(format!(
            "{} takes the connection and never answers.",
            target.host_and_port()
        ))
        .because("It says nothing by itself, and answers neither HTTP nor TLS nor MQTT within the time limit.")
        .certainty(Certainty::Possible)
        .remedy("On the host, see who listens: `ss -ltnp`; is it a proxy, see whether the server behind it is up.");
    let finding = match forwarder(scene) {
        Some((process, name)) => finding.or(
            &format!(
                "{name} (pid {}) waits for a server that does not answer",
                process.pid
            ),
            "its log names the server and a time-out",
        ),
        None => finding.or(
            "a load balancer or proxy waits for a server that does not answer",
            "its log names the server and a time-out; directly at the server it works",
        ),
    };
    finding
        .or(
            "the server hangs, is stopped, or the machine swaps",
            "its other ports are silent, too; `ps -o stat` shows `T` or `D`",
        )
        .or(
            "a server of another protocol waits for something else",
            "`ss -ltnp` on the host names the process",
        )
}

/// It kept a connection on which nothing was said, and closed the one that spoke.
fn is_request_read(scene: &Scene) -> bool {
    let after = match &scene.what {
        Unanswered::Closed { after, .. } | Unanswered::Broken { after, .. } => *after,
        Unanswered::Silence { .. } | Unanswered::NotHttp { .. } => return false,
    };
    let banner = scene.answers.banner.as_ref();
    after < AT_ONCE
        && banner.is_some_and(|heard| {
            matches!(heard.end, ProbeEnd::Open) && heard.ended_after > after + AT_ONCE
        })
}

fn hangs_up(target: &Target, scene: &Scene) -> Finding {
    let at = target.host_and_port();
    let title = match forwarder(scene) {
        Some((process, name)) => format!(
            "{name}, pid {}, reads the request at {at} and hangs up without an answer.",
            process.pid
        ),
        None => format!(
            "{at} reads the request and hangs up without an answer: it does not speak HTTP, most likely."
        ),
    };
    let finding = codes::HANGS_UP
        .finding(title)
        .because("A connection on which nothing is said stays open, and one that speaks HTTP is closed at once. TLS, MQTT and the PROXY protocol were tried, too.")
        .evidence("nothing said", "stays open")
        .certainty(Certainty::Possible)
        .remedy("On the host, see who listens: `ss -ltnp`. Correct the port of the URL if it is not the WebSocket port.");
    finding
        .or(
            "a server of another protocol listens there",
            "`ss -ltnp` on the host names the process",
        )
        .or(
            "a proxy connects to its server only once a request comes, and there is none",
            "its log names the server and a refused connection",
        )
        .or(
            "a filter refuses the request (`return 444` in nginx, `silent-drop` in haproxy, a web application firewall)",
            "its log shows the request",
        )
}

fn no_backend(target: &Target, scene: &Scene) -> Finding {
    let (how, after) = match &scene.what {
        Unanswered::Broken { after, .. } => ("resets", *after),
        Unanswered::Closed { after, .. } | Unanswered::NotHttp { after, .. } => ("closes", *after),
        Unanswered::Silence { waited } => ("keeps", *waited),
    };
    let when = if after < AT_ONCE {
        "at once".to_owned()
    } else {
        format!("after {}", format_duration(after))
    };
    let at = target.host_and_port();
    let finding = match forwarder(scene) {
        Some((process, name)) => codes::NO_BACKEND
            .finding(format!(
                "{name}, pid {}, takes the connection at {at} and {how} it {when} without a word: there is no live server behind it.",
                process.pid
            ))
            .certainty(Certainty::Likely),
        None => codes::NO_BACKEND
            .finding(format!(
                "Something takes the connection at {at} and {how} it {when} without a word: a load balancer or port forwarding with no live server behind it, most likely."
            ))
            .certainty(Certainty::Possible),
    };
    let finding = finding
        .because(explanation(how, after))
        .remedy("Start nats-server behind it, and check the address and port that it passes connections on to (haproxy: the `server` line; docker: `-p HOST:CONTAINER`; Kubernetes: `targetPort`, and `kubectl get endpoints`).");
    let finding = finding.or(
        "a load balancer, tunnel or published container port has no live server behind it",
        "its log or statistics page shows the server as down; `docker ps` shows to which port of the container it leads",
    );
    if after < AT_ONCE {
        finding.or(
            "a list of allowed or refused addresses ends connections from this machine",
            "from another address it works",
        )
    } else {
        finding.or(
            "a time limit of the listener ran out before it could answer",
            "the time until the end is always the same",
        )
    }
}

fn explanation(how: &str, after: Duration) -> &'static str {
    if after >= AT_ONCE {
        "The time is that of its attempts to connect to the server behind it: time limit of a connection times number of attempts."
    } else if how == "resets" {
        "Who resets a connection has not read what was sent. nats-server itself answers every request in HTTP."
    } else {
        "nats-server itself answers every request in HTTP, even a bad one."
    }
}

/// Who passes connections on, if this machine shows it.
fn forwarder(scene: &Scene) -> Option<(&Process, &'static str)> {
    let process = scene.neighbours.local.as_ref()?.owner.as_ref()?;
    let mut forwarders = FORWARDERS.iter();
    let (_, name) = forwarders.find(|(prefix, _)| process.name.starts_with(prefix))?;
    // The server of ssh is no tunnel.
    (process.name != "sshd").then_some((process, name))
}

fn with_owner(finding: Finding, local: Option<&Local>) -> Finding {
    match local.and_then(|local| local.owner.as_ref()) {
        Some(owner) => finding.evidence(
            "listens there",
            format!("{} (pid {})", harmless(&owner.name), owner.pid),
        ),
        None => finding,
    }
}

fn got(what: &Unanswered) -> String {
    match what {
        Unanswered::Closed { received, after } => format!(
            "{} bytes, then the connection was closed, after {}",
            received.len(),
            format_duration(*after)
        ),
        Unanswered::Broken {
            received,
            error,
            after,
        } => format!(
            "{} bytes, then {}, after {}",
            received.len(),
            harmless(error),
            format_duration(*after)
        ),
        Unanswered::Silence { waited } => format!("nothing within {}", format_duration(*waited)),
        Unanswered::NotHttp { received, .. } => excerpt(received),
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
