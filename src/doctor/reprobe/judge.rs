//! What the answers of a port say of it.

use super::hung_up::{forwarder, hangs_up, is_request_read, no_backend};
use super::probes::{Answers, Http, Tls};
use super::{Unanswered, codes};
use crate::doctor::elsewhere::{Served, url_at};
use crate::doctor::fingerprint::excerpt;
use crate::doctor::neighbours::{Local, Neighbours};
use crate::net::target::{Scheme, Target};
use crate::report::harmless::harmless;
use crate::results::doctor::{Certainty, Finding};
use crate::units::format_duration;

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
    let is_other = owner.is_some_and(|process| {
        !process.name.starts_with("nats-server") && forwarder(scene).is_none()
    });
    if mute.is_empty() || scene.neighbours.client.is_some() || is_other {
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
    let finding = match &scene.answers.get {
        Http::Other(speaker) => codes::SILENT
            .finding(format!(
                "{} does not get to the end of an answer within the time limit.",
                target.host_and_port()
            ))
            .because("The upgrade got no whole answer, and a request without an upgrade only the beginning of something.")
            .evidence("a GET without upgrade", speaker.excerpt()),
        _ => codes::SILENT
            .finding(format!(
                "{} takes the connection and never answers.",
                target.host_and_port()
            ))
            .because("It says nothing by itself, and answers neither HTTP nor TLS nor MQTT within the time limit."),
    };
    let finding = finding
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
