//! What is told of a verdict: the answer, the evidence and the remedy.

mod gone;
mod said;

use std::time::Duration;

use crate::doctor::checks::watch::again::{Again, Backend};
use crate::doctor::checks::watch::codes;
use crate::doctor::checks::watch::line::{Kind, Line};
use crate::doctor::checks::watch::verdict::{Seen, Verdict};
use crate::doctor::checks::watch::{name_of, seconds};
use crate::doctor::front::{Proxy, ProxyKind};
use crate::results::doctor::{Certainty, Finding};
use crate::units::format_duration;

/// Most connections shown in the evidence; there are four.
const MAX_SHOWN: usize = 8;
/// A server cannot send PING so often.
const PINGS_FAIL_BELOW: Duration = Duration::from_secs(2);
/// The first release that surely has `ping_interval` in its `websocket` block; some of 2.12 have it, too.
const WEBSOCKET_PING_INTERVAL: (u32, u32) = (2, 14);

/// What was seen, and what it was seen of.
pub(super) struct Scene {
    /// Host and port of the URL.
    pub(super) place: String,
    pub(super) front: Option<Proxy>,
    pub(super) is_websocket: bool,
    /// Nothing seems to be between here and the server.
    pub(super) is_direct: bool,
    /// Version of nats-server.
    pub(super) version: String,
    /// Where the credentials come from.
    pub(super) credentials: Option<String>,
    pub(super) has_jwt: bool,
    /// What our JWT says of its end.
    pub(super) expires: Option<String>,
    pub(super) seen: Seen,
    /// What is known of the server behind a port that refuses.
    pub(super) backend: Backend,
    /// Why connections could not be opened.
    pub(super) failures: Vec<String>,
}

impl Scene {
    /// The finding for what ended the connections; `None` if nothing did.
    pub(super) fn finding(&self, verdict: &Verdict) -> Option<Finding> {
        let finding = match verdict {
            Verdict::Nothing => return None,
            Verdict::Said(said) => self.said(said),
            Verdict::IdleTimeout {
                after,
                n_agreeing,
                is_dropped,
            } => self.idle_timeout(*after, *n_agreeing, *is_dropped),
            Verdict::Lifetime { after } => self.lifetime(*after),
            Verdict::ServerDied => self.died(),
            Verdict::ServerRestarted => self.restarted(),
            Verdict::ProxyRestarted => self.proxy_restarted(),
            Verdict::Frozen => self.frozen(),
            Verdict::Unreachable => self.unreachable(),
            Verdict::BlackHole => self.black_hole(),
            Verdict::LoginRefused(text) => self.removed(text, Certainty::Likely),
            Verdict::SlowConsumer { bytes_per_s } => codes::SLOW_CONSUMER
                .finding(format!(
                    "nats-server cut off the subscribed connection as a slow consumer: it got {} kB a second.",
                    bytes_per_s / 1_000
                ))
                .because(
                    "It ended in the middle of much traffic, without `-ERR` and without a close frame, while the other \
                     connections stayed and a new one works.",
                )
                .paste(
                    "Subscribe to less, or let the server hold more for each client, in nats.conf:",
                    &["max_pending: 256MB", "write_deadline: \"30s\""],
                )
                .certainty(Certainty::Likely)
                .or(
                    "a proxy limits the traffic of a connection",
                    "the log of the server has no `Slow Consumer Detected` at that moment",
                ),
            Verdict::SubscriptionLost(text) => codes::SUBSCRIPTION_LOST
                .finding(format!(
                    "{} took our subscription away while we were connected: {}.",
                    self.server(),
                    text.trim_matches('\'')
                ))
                .because(
                    "It had accepted it, and was then reloaded with other permissions for our user. The connection stays, and no more \
                     messages come.",
                )
                .remedy("Give the user the permission again, and subscribe again."),
            Verdict::Cut => self.cut(),
        };
        Some(self.with_evidence(finding))
    }

    /// The finding for a server that stood still for a while.
    pub(super) fn stalled(&self, longest: Duration, n_stalls: usize) -> Finding {
        let times = if n_stalls > 1 {
            format!(" {n_stalls} PINGs were answered as late.")
        } else {
            String::new()
        };
        codes::STALLED
            .finding(format!(
                "{} did not answer for {}, and then went on.",
                self.place,
                seconds(longest)
            ))
            .because(format!(
                "A server that runs answers a PING at once. Whatever is published meanwhile is as late.{times}"
            ))
            .evidence("PING", format!("answered after {}", format_duration(longest)))
            .remedy("Look at the load, the memory and the disks of the server's machine at that moment.")
            .certainty(Certainty::Likely)
            .or(
                "the network, or this machine, stood still",
                "other connections of this machine were late at the same moment",
            )
    }

    /// What every finding shows.
    fn with_evidence(&self, mut finding: Finding) -> Finding {
        for line in self.seen.lines.iter().take(MAX_SHOWN) {
            finding = finding.evidence(name_of(line.kind), self.fate(line));
        }
        let mut errors: Vec<&String> = self.seen.lines.iter().flat_map(|l| &l.errors).collect();
        errors.dedup();
        for text in errors.into_iter().take(3) {
            finding = finding.evidence("-ERR", text);
        }
        if self.seen.again != Again::NotTried {
            finding = finding.evidence("new connection", self.seen.again.text());
        }
        match &self.front {
            Some(front) => finding.evidence("proxy", front),
            None => finding,
        }
    }

    /// What became of a connection.
    pub(super) fn fate(&self, line: &Line) -> String {
        let now = self.seen.now;
        let age = seconds(line.age(now));
        let idle = seconds(line.idle_for(now));
        match &line.end {
            Some((_, end)) if line.was_dropped() => {
                format!("{} when it sent PING after {idle} of silence", end.text())
            }
            Some((_, end)) => format!(
                "{} at the age of {age}, {idle} after the last byte",
                end.text()
            ),
            None if line.is_silent && line.was_dropped() => {
                format!("no answer to the PING that it sent after {idle} of silence")
            }
            None if line.is_silent => {
                let asked = line.asked.unwrap_or(now);
                let waited = Duration::from_nanos(now.since(asked));
                format!("PING unanswered for {}, still open", seconds(waited))
            }
            None if line.is_lame_duck => {
                format!("INFO with \"ldm\":true; still up at the age of {age}")
            }
            None => format!("still up at the age of {age}"),
        }
    }

    /// The server, by its place.
    pub(super) fn server(&self) -> String {
        match &self.front {
            Some(front) => format!("nats-server behind {} at {}", front.name(), self.place),
            None => format!("nats-server at {}", self.place),
        }
    }

    /// Whoever is between here and the server.
    pub(super) fn middle(&self) -> String {
        self.front.as_ref().map_or_else(
            || format!("Something between here and nats-server at {}", self.place),
            |front| format!("{} at {}", front.name(), self.place),
        )
    }

    fn idle_timeout(&self, after: Duration, n_agreeing: usize, is_dropped: bool) -> Finding {
        let who = self.middle();
        let title = if is_dropped {
            format!(
                "{who} forgets connections that are idle, at the latest after {}.",
                seconds(after)
            )
        } else {
            format!(
                "{who} cuts connections that are idle for {}.",
                seconds(after)
            )
        };
        let certainty = if n_agreeing > 1 {
            Certainty::Certain
        } else {
            Certainty::Likely
        };
        let finding = codes::IDLE_TIMEOUT
            .finding(title)
            .because(
                "nats-server sends its first PING two seconds after the login, and then one every two minutes unless configured \
                 otherwise: not often enough to keep a quiet connection open there. The connection that sent its own PINGs stayed.",
            )
            .certainty(certainty);
        remedies(finding, self.front.as_ref(), &self.version, after)
    }

    fn lifetime(&self, after: Duration) -> Finding {
        let who = self.middle();
        codes::LIFETIME
            .finding(format!(
                "{who} ends every connection after {}, whether it is idle or not.",
                seconds(after)
            ))
            .because(
                "Connections that were opened one after the other, with and without traffic, all ended at the same age. \
                 nats-server itself has no such limit.",
            )
            .remedy(
                "Raise or remove the maximum lifetime of connections: Envoy `max_connection_duration`, Istio `maxConnectionDuration`, \
                 a session limit of the gateway or VPN.",
            )
            .remedy("If it has to stay, make sure that clients reconnect, and that they do not all do so at once.")
    }

    fn cut(&self) -> Finding {
        let seen = &self.seen;
        let ended = seen.lines.iter().find(|line| line.end.is_some());
        let (how, idle) = ended.map_or((String::new(), Duration::ZERO), |line| {
            let how = line.end.as_ref().map(|(_, end)| end.text());
            (how.unwrap_or_default(), line.idle_for(seen.now))
        });
        let is_busy_over = seen
            .lines
            .iter()
            .any(|line| line.kind == Kind::KeptAlive && line.end.is_some());
        let finding = codes::CUT
            .finding(format!(
                "A connection to {} was cut, and nothing shows by whom: {how}.",
                self.place
            ))
            .because("It ended without the server saying why. What else was seen fits more than one cause.")
            .remedy("Watch for longer, and look for the same moment in the logs of the server and of what lies between.")
            .certainty(Certainty::Possible);
        let finding = if is_busy_over {
            finding.or(
                "a limit of bytes or messages for each connection in a proxy",
                "it happens the sooner the more is sent",
            )
        } else {
            finding.or(
                &format!("an idle time-out of {} in a proxy", seconds(idle)),
                "it happens again after the same silence, and not to a connection with traffic",
            )
        };
        finding
            .or(
                "a proxy that was restarted or limits connections",
                "its log shows it",
            )
            .or(
                "nats-server closed it after a fault in the protocol",
                "its log shows it",
            )
    }
}

/// How to keep idle connections open.
fn remedies(finding: Finding, front: Option<&Proxy>, version: &str, after: Duration) -> Finding {
    let interval = after.as_secs() / 3;
    let interval = format!("\"{}s\"", interval.clamp(1, 20));
    let is_nginx = front.is_none_or(|front| {
        front
            .idle_default()
            .is_some_and(|(_, directive)| directive == "proxy_read_timeout")
    });
    let mut finding = finding;
    if is_nginx {
        finding = finding.paste(
            "In nginx, in the `location` of nats-server:",
            &["proxy_read_timeout 3600s;", "proxy_send_timeout 3600s;"],
        );
    }
    if front.is_none_or(|front| front.kind == ProxyKind::Haproxy) {
        finding = finding.paste(
            "In haproxy, in `defaults` or the backend:",
            &["timeout tunnel 1h"],
        );
    }
    if front.is_none_or(|front| front.kind == ProxyKind::AwsLoadBalancer) {
        finding = finding.paste(
            "On an AWS application load balancer:",
            &["aws elbv2 modify-load-balancer-attributes --load-balancer-arn ARN --attributes Key=idle_timeout.timeout_seconds,Value=3600"],
        );
    }
    if let Some(front) = front
        && !is_nginx
        && let Some((_, directive)) = front.idle_default()
    {
        finding = finding.remedy(format!(
            "Raise the idle time-out of {}: {directive}.",
            front.name()
        ));
    }
    if after < PINGS_FAIL_BELOW {
        return finding;
    }
    let (intro, line) = ping_interval(version, &interval);
    finding.paste(intro, &[&line])
}

/// The line of nats.conf that makes the server send PING more often.
fn ping_interval(version: &str, interval: &str) -> (String, String) {
    let mut numbers = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (place, line) = if version >= WEBSOCKET_PING_INTERVAL {
        (
            "in nats.conf",
            format!("websocket {{ ping_interval: {interval} }}"),
        )
    } else {
        // Older servers refuse to start with it in the block.
        (
            "at the top level of nats.conf",
            format!("ping_interval: {interval}"),
        )
    };
    (
        format!("Or let nats-server send PING more often, {place}:"),
        line,
    )
}

/// The finding when there is no connection to watch.
pub(super) fn no_second(place: &str, text: &str) -> Finding {
    codes::NO_SECOND.finding(format!(
        "The connection to {place} worked, but a further one cannot be opened: {text}."
    ))
    .because("Clients that reconnect will fail in the same way.")
    .evidence("new connection", text)
    .remedy("See whether the server still runs, and whether a limit of connections or of their rate is reached.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::watch::codes::IDLE_TIMEOUT;

    fn advice(front: Option<ProxyKind>, version: &str, after: u64) -> String {
        let front = front.map(|kind| Proxy {
            kind,
            text: String::new(),
        });
        let finding = IDLE_TIMEOUT.finding("cut");
        remedies(finding, front.as_ref(), version, Duration::from_secs(after))
            .remedy
            .join("\n")
    }

    #[test]
    fn the_advice_fits_the_proxy_and_the_version_of_the_server() {
        let nginx = advice(Some(ProxyKind::Nginx), "2.15.1", 60);
        assert!(nginx.contains("    proxy_read_timeout 3600s;"), "{nginx}");
        assert!(!nginx.contains("haproxy"), "{nginx}");
        assert!(
            nginx.contains("    websocket { ping_interval: \"20s\" }"),
            "{nginx}"
        );
        let old = advice(Some(ProxyKind::Haproxy), "2.10.26", 9);
        assert!(old.contains("    timeout tunnel 1h"), "{old}");
        assert!(old.contains("    ping_interval: \"3s\""), "{old}");
        assert!(!old.contains("websocket {"), "{old}");
        let unknown = advice(None, "2.15.1", 1);
        assert!(
            unknown.contains("nginx") && unknown.contains("haproxy"),
            "{unknown}"
        );
        assert!(!unknown.contains("ping_interval"), "{unknown}");
    }
}
