//! What is told of a verdict: the answer, the evidence and the remedy.

use std::time::Duration;

use crate::doctor::checks::health::Front;
use crate::doctor::checks::watch::again::Again;
use crate::doctor::checks::watch::codes;
use crate::doctor::checks::watch::line::Line;
use crate::doctor::checks::watch::verdict::{Said, Seen, Verdict};
use crate::doctor::checks::watch::{name_of, seconds};
use crate::results::doctor::{Certainty, Finding};
use crate::units::format_duration;

/// Most connections shown in the evidence; there are four.
const MAX_SHOWN: usize = 8;
/// The first release that surely has `ping_interval` in its `websocket` block; some of 2.12 have it, too.
const WEBSOCKET_PING_INTERVAL: (u32, u32) = (2, 14);

/// What was seen, and what it was seen of.
pub(super) struct Scene {
    /// Host and port of the URL.
    pub(super) place: String,
    pub(super) front: Option<Front>,
    pub(super) is_websocket: bool,
    /// Version of nats-server.
    pub(super) version: String,
    /// Where the credentials come from.
    pub(super) credentials: Option<String>,
    pub(super) has_jwt: bool,
    pub(super) seen: Seen,
    pub(super) n_not_opened: usize,
}

impl Scene {
    /// The finding for what ended the connections; `None` if nothing did.
    pub(super) fn finding(&self, verdict: &Verdict) -> Option<Finding> {
        let place = &self.place;
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
            Verdict::ServerRestarted => codes::SERVER_RESTARTED
                .finding(format!(
                    "nats-server behind {place} crashed or was killed, and runs again."
                ))
                .because(
                    "All connections ended at the same moment and without a close frame, and a new one meets a server with \
                     another id.",
                )
                .remedy("Look for the end of nats-server in its log, and for the OOM killer: journalctl -k | grep -i oom")
                .certainty(Certainty::Likely)
                .or(
                    "A load balancer dropped its connections and chose another server",
                    "the server has been running for longer: its /varz on the monitoring port shows `uptime`",
                ),
            Verdict::ProxyRestarted => self.proxy_restarted(),
            Verdict::Frozen => self.frozen(),
            Verdict::Unreachable => codes::UNREACHABLE
                .finding(format!("{place} has vanished from the network."))
                .because("PINGs stay unanswered, no connection was closed, and a new one does not come about.")
                .remedy("Look at the host and at the network between here and there.")
                .certainty(Certainty::Likely)
                .or(
                    "A firewall has begun to drop these packets",
                    "the host still answers to others",
                ),
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
                    "A proxy limits the traffic of a connection",
                    "the log of the server has no `Slow Consumer Detected` at that moment",
                ),
            Verdict::Cut => self.cut(),
        };
        Some(self.with_evidence(finding))
    }

    /// The finding for a server that stood still for a while.
    pub(super) fn stalled(&self, took: Duration) -> Finding {
        codes::STALLED
            .finding(format!(
                "{} did not answer for {}, and then went on.",
                self.place,
                seconds(took)
            ))
            .because("A PING is answered at once by a server that runs. Whatever is published meanwhile is as late.")
            .evidence("PING", format!("answered after {}", format_duration(took)))
            .remedy("Look at the load, the memory and the disks of the server's machine at that moment.")
            .certainty(Certainty::Likely)
            .or(
                "The network, or this machine, stood still",
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
        finding = finding.evidence("new connection", self.seen.again.text());
        match &self.front {
            Some(front) => finding.evidence("proxy", &front.evidence),
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

    fn said(&self, said: &Said) -> Finding {
        let place = &self.place;
        let comes_back = match &self.seen.again {
            Again::Works { .. } => {
                "A new connection works: it runs again, or another server has taken over."
            }
            _ => "A new connection does not come about.",
        };
        match said {
            Said::LameDuck => codes::LAME_DUCK
                .finding(format!(
                    "nats-server at {place} is shutting down gently (lame duck mode)."
                ))
                .because(format!(
                    "It announced it with `\"ldm\":true` in INFO. It takes no new connections at once, and closes the open ones \
                     one after the other after `lame_duck_grace_period`. {comes_back}"
                ))
                .remedy("Let clients reconnect to another server of the cluster, or wait until this one is back.")
                .remedy("If nobody meant it: lame duck mode comes from SIGUSR2 or `nats-server --signal ldm`."),
            Said::Shutdown => codes::SERVER_SHUTDOWN
                .finding(format!("nats-server at {place} was shut down."))
                .because(format!(
                    "It closed the connections with 1001 \"Server Shutdown\", as it does on SIGTERM, SIGINT and \
                     `systemctl stop`. {comes_back}"
                ))
                .remedy("Start it again; its log says `Initiating Shutdown...` at that moment, the log of the system who asked for it."),
            Said::UserExpired => self.expired(),
            Said::AccountExpired => codes::ACCOUNT_EXPIRED
                .finding("The JWT of the account expired while we were connected.")
                .because("All users of the account are out until it is signed anew.")
                .paste(
                    "Extend it and push it to the server:",
                    &["nsc edit account NAME --expiry 1y", "nsc push --account NAME"],
                ),
            Said::Revoked => codes::CREDENTIALS_REVOKED
                .finding("The credentials were revoked while we were connected.")
                .because("The account revokes this user; its other users are not affected.")
                .paste(
                    "Make new credentials, or take the revocation back:",
                    &[
                        "nsc revocations delete-user --account NAME --name USER",
                        "nsc push --account NAME",
                    ],
                ),
            Said::Kicked => codes::KICKED
                .finding(format!(
                    "An administrator closed our connection to nats-server at {place}."
                ))
                .because("Close frame 1011 \"Kicked\" follows a request to $SYS.REQ.SERVER.*.KICK, and nothing else.")
                .remedy("Ask those who have the system account of this server."),
            Said::ClientClosed => self.reloaded(),
            Said::Stale => codes::STALE
                .finding(format!(
                    "Our answers do not reach nats-server at {place}: it gave the connection up as stale."
                ))
                .because("The doctor answers every PING at once, and the server still got no PONG.")
                .remedy("Look for a middlebox that passes packets from the server to here, but not the other way."),
            Said::TooManyConnections(text) => codes::CONNECTION_LIMIT
                .finding(format!(
                    "nats-server at {place} closed the connection because there are too many: {}.",
                    text.trim_matches('\'')
                ))
                .because("The limit was lowered by a reload, or by a new JWT of the account, while we were connected.")
                .remedy("Raise `max_connections` of the server or of the account, or close other connections."),
            Said::Other(text) => codes::CLOSED
                .finding(format!("nats-server at {place} closed the connection: {text}."))
                .because("That is what the server says itself.")
                .remedy("Look for the same moment in the log of the server."),
        }
    }

    fn expired(&self) -> Finding {
        let source = self
            .credentials
            .as_ref()
            .map_or_else(String::new, |source| format!(" of {source}"));
        let age = self.seen.lines.iter().find(|line| line.end.is_some());
        let age = age.map_or_else(String::new, |line| {
            format!(" after {}", seconds(line.age(self.seen.now)))
        });
        let (what, remedy) = if self.has_jwt {
            (
                "user JWT",
                "Issue credentials that last for longer than a session:",
            )
        } else {
            (
                "login",
                "Where an auth callout issues the user's JWT, let it set a later `exp`; otherwise:",
            )
        };
        codes::CREDENTIALS_EXPIRED
            .finding(format!(
                "The {what}{source} expired while we were connected: the server closed the connection{age}."
            ))
            .because(
                "The server ends a session in the second that the JWT names as its `exp`. A client has to get new credentials \
                 before that, and reconnect with them; the old ones are refused from now on.",
            )
            .paste(
                remedy,
                &[
                    "nsc edit user --account ACCOUNT --name USER --expiry 30d",
                    "nsc generate creds --account ACCOUNT --name USER > user.creds",
                ],
            )
    }

    fn reloaded(&self) -> Finding {
        match &self.seen.again {
            Again::NoLogin(text) => self.removed(text, Certainty::Certain),
            _ => codes::CLOSED_BY_RELOAD
                .finding(format!(
                    "nats-server at {} closed the connection when its configuration was reloaded.",
                    self.place
                ))
                .because(
                    "It closed it with 1000 \"Client Closed\" as if we had asked for it. A reload does that to users whose \
                     account or authentication has changed.",
                )
                .remedy("Nothing is to be mended if the reload was meant: clients have to reconnect.")
                .certainty(Certainty::Likely),
        }
    }

    /// We were connected, and the same login is refused now.
    fn removed(&self, text: &str, certainty: Certainty) -> Finding {
        codes::CREDENTIALS_REMOVED
            .finding(format!(
                "nats-server at {} was reloaded without our user, or with another password for it.",
                self.place
            ))
            .because(format!(
                "The connection was closed, and the login that had worked is refused now: {}. A reload says no more than that.",
                text.trim_matches('\'')
            ))
            .paste(
                "Put the user back into nats.conf, and reload:",
                &["nats-server --signal reload"],
            )
            .remedy("Or use credentials that the new configuration knows.")
            .certainty(certainty)
    }

    fn idle_timeout(&self, after: Duration, n_agreeing: usize, is_dropped: bool) -> Finding {
        let who = self.front.as_ref().map_or_else(
            || format!("Something between here and nats-server at {}", self.place),
            |front| format!("{} at {}", front.name, self.place),
        );
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
        let who = self.front.as_ref().map_or_else(
            || format!("Something between here and nats-server at {}", self.place),
            |front| format!("{} at {}", front.name, self.place),
        );
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

    fn died(&self) -> Finding {
        let place = &self.place;
        let (title, why) = match &self.seen.again {
            Again::Http { status, .. } => {
                let name = self.front.as_ref().map_or("the proxy", |front| front.name);
                (
                    format!("nats-server behind {name} at {place} crashed or was killed."),
                    format!("{name} still answers, but with {status}: there is no server behind it."),
                )
            }
            Again::Cut(_) => (
                format!("nats-server behind {place} crashed or was killed."),
                "The port still takes connections and ends them at once, as a load balancer without a backend does.".to_owned(),
            ),
            _ => match &self.front {
                Some(front) => (
                    format!("{} at {place} was stopped or died, and the connections with it.", front.name),
                    "The port of the proxy refuses connections now.".to_owned(),
                ),
                None => (
                    format!("nats-server at {place} crashed or was killed."),
                    "Nothing listens on the port any more.".to_owned(),
                ),
            },
        };
        let finding = codes::SERVER_DIED
            .finding(title)
            .because(format!(
                "All connections ended at the same moment without a close frame; a server that is shut down in an orderly way \
                 sends 1001 \"Server Shutdown\". {why}"
            ))
            .paste(
                "Look for the end of the process, and start it again:",
                &[
                    "journalctl -u nats-server -n 50",
                    "journalctl -k | grep -iE 'oom|killed process'",
                ],
            );
        match self.seen.again {
            Again::Refused if self.front.is_none() && self.is_websocket => finding,
            Again::Refused if self.is_websocket => finding.certainty(Certainty::Likely),
            _ => finding.certainty(Certainty::Likely).or(
                "It was shut down in an orderly way, and what lies between swallowed its last words",
                "its log ends with `Server Exiting..`",
            ),
        }
    }

    fn proxy_restarted(&self) -> Finding {
        let who = self
            .front
            .as_ref()
            .map_or("what lies between", |front| front.name);
        codes::PROXY_RESTARTED
            .finding(format!(
                "All connections to {} were cut at the same moment while nats-server went on: {who} was restarted or lost them.",
                self.place
            ))
            .because("A new connection works and meets the same server process as before, so that it has neither crashed nor been restarted.")
            .remedy("Look at the log of the proxy or load balancer for this moment; prefer a reload to a restart.")
            .certainty(Certainty::Likely)
            .or(
                "A lifetime that the proxy checks only now and then",
                "it happens again after the same time",
            )
    }

    fn frozen(&self) -> Finding {
        let place = &self.place;
        let title = match &self.front {
            Some(front) => format!(
                "nats-server behind {} at {place} has stopped answering.",
                front.name
            ),
            None => format!("nats-server at {place} has stopped answering: its process is frozen."),
        };
        let finding = codes::FROZEN
            .finding(title)
            .because(
                "PINGs stay unanswered on every connection, no connection was closed, and a new one is taken by the kernel but gets \
                 no answer. The process is stopped (SIGSTOP, a paused container or machine), swapped out, or stuck.",
            )
            .paste(
                "Look at the state of the process (T is stopped, D waits for a disk), and resume or restart it:",
                &["ps -o pid,stat,wchan,cmd -C nats-server", "kill -CONT PID"],
            );
        if self.front.is_some() || !matches!(self.seen.again, Again::Silent(_)) {
            finding.certainty(Certainty::Likely).or(
                "The proxy is stuck, not the server",
                "the client port of the server answers",
            )
        } else {
            finding
        }
    }

    fn black_hole(&self) -> Finding {
        codes::BLACK_HOLE
            .finding(format!(
                "Packets of our open connection to {} vanish on the way, while a new connection works.",
                self.place
            ))
            .because(
                "PINGs stay unanswered and nobody closed the connection. A firewall, NAT or load balancer between here and the server \
                 has lost it and tells neither side.",
            )
            .remedy("Look at the connection tracking of what lies between: a restart, a failover, a full table.")
            .remedy("Let clients send their own PING every 20 s or so (`pingInterval`), so that they notice and reconnect.")
            .certainty(Certainty::Likely)
    }

    fn cut(&self) -> Finding {
        let seen = &self.seen;
        let ended = seen.lines.iter().find(|line| line.end.is_some());
        let (how, idle) = ended.map_or((String::new(), Duration::ZERO), |line| {
            let how = line
                .end
                .as_ref()
                .map_or_else(String::new, |(_, end)| end.text());
            (how, line.idle_for(seen.now))
        });
        codes::CUT
            .finding(format!(
                "A connection to {} was cut, and nothing shows by whom: {how}.",
                self.place
            ))
            .because("It ended without the server saying why. What else was seen fits more than one cause.")
            .remedy("Watch for longer, and look for the same moment in the logs of the server and of what lies between.")
            .certainty(Certainty::Possible)
            .or(
                &format!("An idle time-out of {} in a proxy", seconds(idle)),
                "it happens again after the same silence, and not to a connection with traffic",
            )
            .or(
                "A proxy that was restarted or limits connections",
                "its log shows it",
            )
            .or(
                "nats-server closed it after a fault in the protocol",
                "its log shows it",
            )
    }
}

/// How to keep idle connections open.
fn remedies(finding: Finding, front: Option<&Front>, version: &str, after: Duration) -> Finding {
    let interval = after.as_secs() / 3;
    let interval = format!("\"{}s\"", interval.clamp(1, 20));
    let is_nginx = front.is_none_or(|front| {
        front
            .idle_default
            .is_some_and(|(_, directive)| directive == "proxy_read_timeout")
    });
    let mut finding = finding;
    if is_nginx {
        finding = finding.paste(
            "In nginx, in the `location` of nats-server:",
            &["proxy_read_timeout 3600s;", "proxy_send_timeout 3600s;"],
        );
    }
    if front.is_none() || front.is_some_and(|front| front.name == "HAProxy") {
        finding = finding.paste(
            "In haproxy, in `defaults` or the backend:",
            &["timeout tunnel 1h"],
        );
    }
    if front.is_none_or(|front| front.name.starts_with("AWS")) {
        finding = finding.paste(
            "On an AWS application load balancer:",
            &["aws elbv2 modify-load-balancer-attributes --load-balancer-arn ARN --attributes Key=idle_timeout.timeout_seconds,Value=3600"],
        );
    }
    if let Some(front) = front
        && !is_nginx
        && let Some((_, directive)) = front.idle_default
    {
        finding = finding.remedy(format!(
            "Raise the idle time-out of {}: {directive}.",
            front.name
        ));
    }
    let (intro, line) = ping_interval(version, &interval);
    finding.paste(intro, &[&line])
}

/// The line of nats.conf that makes the server send PING more often.
pub(in crate::doctor::checks) fn ping_interval(version: &str, interval: &str) -> (String, String) {
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
