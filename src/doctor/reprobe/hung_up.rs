//! The connection was ended without an answer: who does that.

use std::time::Duration;

use super::judge::Scene;
use super::{Unanswered, codes};
use crate::host::Process;
use crate::net::probe::ProbeEnd;
use crate::net::target::Target;
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

/// It kept a connection on which nothing was said, and closed the one that spoke.
pub(super) fn is_request_read(scene: &Scene) -> bool {
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

pub(super) fn hangs_up(target: &Target, scene: &Scene) -> Finding {
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

pub(super) fn no_backend(target: &Target, scene: &Scene) -> Finding {
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
    // Who has a rule against us resets the connection; who finds no server closes it, usually.
    let is_reset = how == "resets" && after < AT_ONCE;
    let finding = match forwarder(scene) {
        Some((process, name)) => codes::NO_BACKEND
            .finding(format!(
                "{name}, pid {}, takes the connection at {at} and {how} it {when} without a word: {}.",
                process.pid,
                if is_reset {
                    "there is no live server behind it, or it refuses this machine"
                } else {
                    "there is no live server behind it"
                }
            ))
            .certainty(if is_reset {
                Certainty::Possible
            } else {
                Certainty::Likely
            }),
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
pub(super) fn forwarder(scene: &Scene) -> Option<(&Process, &'static str)> {
    let process = scene.neighbours.local.as_ref()?.owner.as_ref()?;
    let mut forwarders = FORWARDERS.iter();
    let (_, name) = forwarders.find(|(prefix, _)| process.name.starts_with(prefix))?;
    // The server of ssh is no tunnel.
    (process.name != "sshd").then_some((process, name))
}
