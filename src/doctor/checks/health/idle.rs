//! A proxy in front that cuts idle connections before the server says something, foretold.
//!
//! The server's PING interval is not in INFO, and the one of its `websocket` block is on no monitoring page; the proxy's
//! time-out is told by nobody. What is known is what both do unless configured otherwise.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::doctor::code::Code;
use crate::doctor::examination::Examination;
use crate::doctor::front::{Proxy, ProxyKind};
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

pub(super) async fn look(examination: &mut Examination<'_>) {
    let front = examination.learned.front.clone();
    let Some(front) = front.filter(|front| front.kind != ProxyKind::Mapping) else {
        return;
    };
    // Watching shows what it does; nobody needs to guess then.
    let default = front.idle_default();
    let (Some((default, _)), None) = (default, examination.plan.watch) else {
        examination.fact("proxy", &front);
        return;
    };
    let default_secs = default.as_secs();
    examination.fact(
        "proxy",
        format!(
            "{front}, which cuts connections idle for {default_secs} s unless configured otherwise; --watch {}s shows it",
            default_secs * 3 / 2
        ),
    );
    // Newer servers may have another interval for WebSocket, which is shown nowhere: there is nothing to ask for.
    let version = examination.learned.info.as_ref();
    if has_websocket_interval(version.map_or("", |info| info.version.as_str())) {
        return;
    }
    let Some(interval) = ping_interval(examination).await else {
        return;
    };
    if let Some(finding) = judge(&front, examination.target, interval) {
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

fn judge(front: &Proxy, target: &Target, interval: Duration) -> Option<Finding> {
    let (default, directive) = front.idle_default()?;
    if interval < default {
        return None;
    }
    let (name, place) = (front.name(), target.host_and_port());
    let default_secs = default.as_secs();
    let watch = format!(
        "natsbench doctor --server {target} --watch {}s",
        default_secs * 3 / 2
    );
    let interval = format_duration(interval);
    Some(
        PROXY_CUTS_IDLE
            .finding(format!(
                "{name} at {place} cuts idle connections after {default_secs} s by default, and nats-server sends PING only every {interval}."
            ))
            .because("A connection on which nothing is published for that long is cut without a word, and has to reconnect.")
            .evidence("proxy", front)
            .evidence("ping_interval", &interval)
            .paste("In nats.conf, at the top level:", &["ping_interval: \"20s\""])
            .remedy(format!("Or raise {directive} of {name}."))
            .paste("To see whether connections are really cut:", &[&watch])
            .certainty(Certainty::Possible)
            .or(
                &format!("{directive} is set to more than {interval}, and all is well"),
                &format!("`{watch}` finds nothing"),
            ),
    )
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

    fn is_warned(interval_secs: u64, version: &str) -> bool {
        let nginx = Proxy {
            kind: ProxyKind::Nginx,
            text: "nginx/1.22.1".to_owned(),
        };
        let interval = Duration::from_secs(interval_secs);
        !has_websocket_interval(version) && judge(&nginx, &Target::local(), interval).is_some()
    }

    #[test]
    fn a_warning_needs_an_interval_that_is_known_to_be_too_long() {
        assert!(is_warned(120, "2.10.26"));
        assert!(!is_warned(20, "2.10.26"));
        assert!(!is_warned(120, "2.15.1"));
    }

    #[test]
    fn the_page_of_another_server_says_nothing() {
        let varz = serde_json::json!({"server_id": "NA", "ping_interval": 70_000_000_000_u64});
        assert_eq!(interval_in(&varz, "NA"), Some(Duration::from_secs(70)));
        assert_eq!(interval_in(&varz, "NB"), None);
    }
}
