//! The addresses that a cluster tells its clients: after a reconnect they go there.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::doctor::code::Code;
use crate::doctor::examination::Examination;
use crate::doctor::http::again::{Asker, Outcome};
use crate::doctor::words::short;
use crate::net::probe;
use crate::net::target::Target;
use crate::protocol::ServerInfo;
use crate::results::doctor::{Certainty, Finding, Severity};

/// Most addresses that are tried.
const MAX_TRIED: usize = 16;
/// Longest wait for one: all are tried side by side.
const PATIENCE: Duration = Duration::from_millis(1_500);

pub(super) const UNREACHABLE: Code = Code {
    name: "info.unreachable-advertised",
    severity: Severity::Warning,
    meaning: "An address that the server tells its clients cannot be reached from here.",
    cause: "Servers of a cluster tell clients each other's addresses, and clients reconnect to those. Behind an ingress or in containers these are inner addresses that nobody outside can reach.",
    fix: "Set `websocket { advertise: \"public-name:port\" }` to what clients can reach, or `no_advertise: true` in the `cluster` block, so that clients keep to the URL that they know.",
};

/// The address as a target, with scheme and path of the URL.
fn target_of(own: &Target, address: &str) -> Option<Target> {
    let path = if own.scheme.is_websocket() {
        own.path_and_query.as_str()
    } else {
        "/"
    };
    let mut target: Target = format!("{}://{address}{path}", own.scheme.name())
        .parse()
        .ok()?;
    target.user_info = None;
    // Whoever leaves out the port means the usual one; nats-server never does.
    Some(target)
}

/// Addresses worth trying: none twice, not the one that we are connected to.
fn others(own: &Target, connected: Option<SocketAddr>, info: &ServerInfo) -> Vec<String> {
    let mut others: Vec<String> = Vec::new();
    for address in &info.connect_urls {
        let is_own = *address == own.host_and_port()
            || connected.is_some_and(|connected| *address == connected.to_string());
        if !is_own && !others.contains(address) && others.len() < MAX_TRIED {
            others.push(address.clone());
        }
    }
    others
}

/// Tries every address, and warns of those that fail.
pub(super) async fn look(examination: &mut Examination<'_>, info: &ServerInfo) -> Option<Finding> {
    let asker = Asker::of(examination)?;
    let addresses = others(examination.target, examination.address(), info);
    if addresses.is_empty() {
        return None;
    }
    let limit = examination.second_look_limit().min(PATIENCE);
    let mut tasks = JoinSet::new();
    for (idx, address) in addresses.iter().cloned().enumerate() {
        let mut asker = asker.clone();
        asker.limit = limit;
        tasks.spawn(async move {
            let trying = try_one(asker, &address);
            let outcome = timeout(limit, trying).await;
            let outcome = outcome.unwrap_or_else(|_| Err("no answer".to_owned()));
            (idx, address, outcome)
        });
    }
    let mut tried = tasks.join_all().await;
    tried.sort_by_key(|(idx, ..)| *idx);
    let tried: Vec<_> = tried
        .into_iter()
        .map(|(_, address, outcome)| (address, outcome))
        .collect();
    judge(&examination.target.host_and_port(), &tried)
}

/// What became of each address: nothing if it works, or why it does not.
type Tried = (String, Result<(), String>);

async fn try_one(own: Asker, address: &str) -> Result<(), String> {
    // Whoever is there need not be the server that named it.
    let mut asker = own.without_secrets();
    let target = target_of(&asker.target, address).ok_or("is no address")?;
    let addresses: Vec<_> = lookup_host((target.host.as_str(), target.port))
        .await
        .map_err(|error| error.to_string())?
        .collect();
    asker.target = target;
    let mut last = Err("has no address".to_owned());
    for address in addresses {
        asker.address = address;
        last = if asker.target.scheme.is_websocket() {
            match asker.ask(|_| ()).await {
                outcome if outcome.is_nats() => Ok(()),
                // It may be a matter of what was left out.
                Outcome::Refused(reply)
                    if own.has_secrets() && matches!(reply.status, 401 | 403 | 407) =>
                {
                    Ok(())
                }
                Outcome::Refused(reply) => Err(format!("HTTP status {}", reply.status)),
                outcome => Err(outcome.text()),
            }
        } else {
            greets(address, asker.limit).await
        };
        if last.is_ok() {
            break;
        }
    }
    last
}

/// A client port says INFO; one with TLS first only takes the connection.
async fn greets(address: SocketAddr, limit: Duration) -> Result<(), String> {
    let heard = probe::ask(address, b"", limit / 2, probe::has_line)
        .await
        .map_err(|error| error.to_string())?;
    if heard.bytes.is_empty() || heard.bytes.starts_with(b"INFO ") {
        Ok(())
    } else {
        Err("does not speak NATS".to_owned())
    }
}

/// The warning, if there is something to warn of.
fn judge(place: &str, tried: &[Tried]) -> Option<Finding> {
    let bad: Vec<_> = tried
        .iter()
        .filter_map(|(address, outcome)| Some((address, outcome.as_ref().err()?)))
        .collect();
    let (first, _) = bad.first()?;
    let first = short(first, 80);
    let title = if bad.len() == 1 {
        format!(
            "nats-server at {place} tells clients to reconnect to {first}, which does not work from here."
        )
    } else {
        format!(
            "nats-server at {place} tells clients {} addresses to reconnect to that do not work from here, {first} for one.",
            bad.len()
        )
    };
    let finding = UNREACHABLE
        .finding(title)
        .certainty(Certainty::Likely)
        .because("Servers of a cluster tell clients each other's addresses. After a reconnect clients go there: behind an ingress, to an address that only the inner network knows.");
    let finding = bad.iter().fold(finding, |finding, (address, why)| {
        finding.evidence(&short(address, 80), short(why, 120))
    });
    let finding = finding
        .paste(
            "Let each server tell the address at which clients can reach it; in nats.conf:",
            &["websocket { advertise: \"nats.example.com:443\" }"],
        )
        .paste(
            "Or let clients keep to the URL that they know:",
            &["cluster { no_advertise: true }"],
        );
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(urls: &[&str]) -> ServerInfo {
        ServerInfo {
            connect_urls: urls.iter().map(ToString::to_string).collect(),
            ..ServerInfo::default()
        }
    }

    #[test]
    fn the_connected_address_is_not_tried_and_none_twice() {
        let own: Target = "ws://localhost:8443/nats".parse().unwrap();
        let info = info(&[
            "localhost:8443",
            "127.0.0.1:8443",
            "10.0.0.2:8443",
            "10.0.0.2:8443",
        ]);
        let connected = "127.0.0.1:8443".parse().ok();
        assert_eq!(others(&own, connected, &info), ["10.0.0.2:8443"]);
        let many: Vec<String> = (0..100).map(|n| format!("h{n}:1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(others(&own, None, &self::info(&many)).len(), MAX_TRIED);
    }

    #[test]
    fn scheme_and_path_are_those_of_the_url() {
        let own: Target = "wss://u:p@nats.example.com/nats".parse().unwrap();
        let target = target_of(&own, "[::1]:8443").unwrap();
        assert_eq!(target.to_string(), "wss://[::1]:8443/nats");
        assert_eq!(target.user_info, None);
        assert_eq!(target_of(&own, "what ever"), None);
    }

    #[test]
    fn only_what_fails_is_warned_of() {
        let good = ("a:1".to_owned(), Ok(()));
        assert_eq!(judge("h:1", std::slice::from_ref(&good)), None);
        let bad = ("10.0.0.2:8443".to_owned(), Err("no answer".to_owned()));
        let finding = judge("h:1", &[good, bad]).unwrap();
        assert!(finding.title.contains("10.0.0.2:8443"));
        assert_eq!(finding.evidence.len(), 1);
        assert_eq!(finding.severity, Severity::Warning);
    }
}
