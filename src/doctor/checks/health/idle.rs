//! A proxy in front that cuts idle connections before the server says something, foretold.
//!
//! The server's PING interval is not in INFO, and the one of its `websocket` block is on no monitoring page; the proxy's
//! time-out is told by nobody. What is known is what both do unless configured otherwise.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::doctor::checks::health::front::{Front, front_of};
use crate::doctor::code::Code;
use crate::doctor::examination::Examination;
use crate::net::probe;
use crate::net::target::Target;
use crate::results::doctor::{Certainty, Finding, Severity};
use crate::units::format_duration;

/// The monitoring port is asked only where it answers at once.
const PATIENCE: Duration = Duration::from_millis(120);
const MONITORING_PORT: u16 = 8222;

pub(super) const PROXY_CUTS_IDLE: Code = Code {
    name: "health.proxy-cuts-idle",
    severity: Severity::Warning,
    meaning: "The proxy in front cuts idle connections before the server sends its next PING, unless it was configured not to.",
    cause: "nats-server's PING interval, read from its monitoring port, is longer than the idle time-out that this proxy has by \
            default.",
    fix: "Raise the time-out of the proxy (nginx `proxy_read_timeout 3600s;`), or set `ping_interval: \"20s\"` in nats.conf. \
          `natsbench doctor --watch 90s` shows whether connections are really cut.",
};

pub(super) const PROXY_MAY_CUT_IDLE: Code = Code {
    name: "health.proxy-may-cut-idle",
    severity: Severity::Info,
    meaning: "A proxy is in front that cuts idle connections by default; whether this one does is not known.",
    cause: "The proxy names itself in the answer to the upgrade. Neither its time-out nor the PING interval of the server can be \
            seen from here.",
    fix: "`natsbench doctor --watch 90s` shows it. Raise the time-out of the proxy, or let the server send PING more often.",
};

pub(super) async fn look(examination: &mut Examination<'_>) {
    let Some(front) = front_of(examination) else {
        return;
    };
    examination.fact("proxy", &front.evidence);
    let Some((default, _)) = front.idle_default else {
        return;
    };
    // Watching for longer than that shows what there is.
    if examination.plan.watch.is_some_and(|watch| watch > default) {
        return;
    }
    let interval = ping_interval(examination).await;
    let version = examination.learned.info.as_ref();
    let version = version.map_or("", |info| info.version.as_str());
    if let Some(finding) = judge(&front, examination.target, interval, version) {
        examination.find(finding);
    }
}

/// The interval that the server's monitoring port shows, if that is reachable and belongs to the same server.
async fn ping_interval(examination: &Examination<'_>) -> Option<Duration> {
    let server_id = &examination.learned.info.as_ref()?.server_id;
    let known = examination.learned.neighbours.as_ref();
    if let Some(monitoring) = known.and_then(|known| known.monitoring.as_ref()) {
        return interval_in(&monitoring.varz, server_id);
    }
    let address = examination.address()?;
    let own = address.port();
    let near =
        [1, 2, 3].map(|distance: u16| [own.checked_add(distance), own.checked_sub(distance)]);
    let mut tasks = JoinSet::new();
    for port in near
        .into_iter()
        .flatten()
        .flatten()
        .chain([MONITORING_PORT])
    {
        let address = SocketAddr::new(address.ip(), port);
        tasks.spawn(async move {
            probe::http_get(address, &address.to_string(), "/varz", PATIENCE)
                .await
                .ok()
        });
    }
    let replies = tasks.join_all().await;
    replies.into_iter().flatten().find_map(|reply| {
        let varz = serde_json::from_slice(&reply.body).ok()?;
        interval_in(&varz, server_id)
    })
}

fn interval_in(varz: &serde_json::Value, server_id: &str) -> Option<Duration> {
    let is_same = varz.get("server_id")?.as_str()? == server_id;
    let nanos = varz.get("ping_interval")?.as_u64()?;
    is_same.then_some(Duration::from_nanos(nanos))
}

fn judge(
    front: &Front,
    target: &Target,
    interval: Option<Duration>,
    version: &str,
) -> Option<Finding> {
    let (default, directive) = front.idle_default?;
    let (name, place) = (front.name, target.host_and_port());
    let default_secs = default.as_secs();
    let watch = format!(
        "natsbench doctor --server {target} --watch {}s",
        default_secs * 3 / 2
    );
    match interval {
        Some(interval) if interval < default => None,
        // Newer servers may have another interval for WebSocket, which is shown nowhere.
        Some(interval) if !has_websocket_interval(version) => Some(
            PROXY_CUTS_IDLE
                .finding(format!(
                    "{name} at {place} cuts idle connections after {default_secs} s by default, and nats-server sends PING only every {}.",
                    format_duration(interval)
                ))
                .because("A connection on which nothing is published for that long is cut without a word, and has to reconnect.")
                .evidence("proxy", &front.evidence)
                .evidence("ping_interval", format_duration(interval))
                .paste("In nats.conf, at the top level:", &["ping_interval: \"20s\""])
                .remedy(format!("Or raise {directive} of {name}."))
                .paste("To see whether connections are really cut:", &[&watch])
                .certainty(Certainty::Possible)
                .or(
                    &format!("{directive} is set to more than {}, and all is well", format_duration(interval)),
                    &format!("`{watch}` finds nothing"),
                ),
        ),
        _ => Some(
            PROXY_MAY_CUT_IDLE
                .finding(format!(
                    "{name} is in front of nats-server at {place}: unless configured otherwise, it cuts connections that are idle \
                     for {default_secs} s."
                ))
                .because(format!(
                    "nats-server sends PING every two minutes by default. Neither that nor {directive} of {name} can be seen from here."
                ))
                .evidence("proxy", &front.evidence)
                .paste("To see whether idle connections are cut:", &[&watch])
                .certainty(Certainty::Possible)
                .or(
                    "Both are configured well",
                    &format!("`{watch}` finds nothing"),
                ),
        ),
    }
}

/// Whether a server of this version may have a PING interval of its own for WebSocket.
fn has_websocket_interval(version: &str) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) >= (2, 11),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nginx() -> Front {
        Front {
            name: "nginx",
            evidence: "Server: nginx".to_owned(),
            idle_default: Some((Duration::from_mins(1), "proxy_read_timeout")),
        }
    }

    fn code(interval: Option<u64>, version: &str) -> Option<(String, Severity)> {
        let interval = interval.map(Duration::from_secs);
        judge(&nginx(), &Target::local(), interval, version)
            .map(|finding| (finding.code, finding.severity))
    }

    #[test]
    fn a_warning_needs_an_interval_that_is_known_to_be_too_long() {
        let warning = ("health.proxy-cuts-idle".to_owned(), Severity::Warning);
        let info = ("health.proxy-may-cut-idle".to_owned(), Severity::Info);
        assert_eq!(code(Some(120), "2.10.26"), Some(warning));
        assert_eq!(code(Some(20), "2.10.26"), None);
        assert_eq!(code(Some(120), "2.15.1"), Some(info.clone()));
        assert_eq!(code(None, "2.10.26"), Some(info));
    }

    #[test]
    fn the_page_of_another_server_says_nothing() {
        let varz = serde_json::json!({"server_id": "NA", "ping_interval": 70_000_000_000_u64});
        assert_eq!(interval_in(&varz, "NA"), Some(Duration::from_secs(70)));
        assert_eq!(interval_in(&varz, "NB"), None);
    }
}
