//! What is told when the server, the proxy or the way there has gone.

use crate::doctor::checks::watch::again::{Again, Backend};
use crate::doctor::checks::watch::codes;
use crate::doctor::checks::watch::findings::Scene;
use crate::doctor::front::Proxy;
use crate::results::doctor::{Certainty, Finding};

impl Scene {
    pub(super) fn died(&self) -> Finding {
        let place = &self.place;
        let ended = if self.is_websocket {
            "crashed or was killed"
        } else {
            "was stopped or crashed"
        };
        let (who, why) = match &self.seen.again {
            Again::Http { status, .. } => {
                let name = self.front.as_ref().map_or_else(|| "the proxy".to_owned(), Proxy::name);
                (
                    format!("nats-server behind {name} at {place}"),
                    format!("{name} still answers, but with {status}: there is no server behind it."),
                )
            }
            Again::Cut(_) => (
                format!("nats-server behind {place}"),
                "The port still takes connections and ends them at once, as a load balancer without a backend does.".to_owned(),
            ),
            Again::Silent(_) => (
                format!("nats-server behind {place}"),
                "The port still takes connections, and does not answer: a proxy or load balancer that looks for a server.".to_owned(),
            ),
            _ if matches!(self.backend, Backend::Lives(_)) || self.front.is_some() => return self.proxy_gone(),
            _ => (
                format!("nats-server at {place}"),
                "Nothing listens on the port any more.".to_owned(),
            ),
        };
        let finding = codes::SERVER_DIED
            .finding(format!("{who} {ended}."))
            .because(format!(
                "All connections ended at the same moment without a close frame; over WebSocket, a server that is shut down in an \
                 orderly way sends 1001 \"Server Shutdown\". {why}"
            ))
            .paste(
                "Look for the end of the process, and start it again:",
                &[
                    "journalctl -u nats-server -n 50",
                    "journalctl -k | grep -iE 'oom|killed process'",
                ],
            );
        let is_direct = self.seen.again == Again::Refused && self.backend == Backend::IsThePort;
        match self.backend {
            _ if is_direct && self.is_websocket => finding,
            Backend::Elsewhere(port) => finding.certainty(Certainty::Likely).or(
                &format!("a proxy or port mapping in front of nats-server ended: the server itself listens on port {port}"),
                "nats-server still runs, and its log shows nothing of a start",
            ),
            _ => finding.certainty(Certainty::Likely).or(
                "it was shut down in an orderly way, and its last words did not come through",
                "its log ends with `Server Exiting..`",
            ),
        }
    }

    fn proxy_gone(&self) -> Finding {
        let name = self
            .front
            .as_ref()
            .map_or_else(|| "The proxy".to_owned(), Proxy::name);
        let finding = codes::PROXY_GONE
            .finding(format!(
                "{name} at {} was stopped or died, and all connections with it.",
                self.place
            ))
            .because(
                "All connections ended at the same moment without a close frame, and its port refuses new ones. nats-server says \
                 1001 \"Server Shutdown\" when it is stopped, and a proxy whose server dies still answers.",
            )
            .remedy("Start the proxy again, and look into its log for this moment.");
        match self.backend {
            Backend::Lives(port) => finding.evidence(
                "nats-server",
                format!("still takes connections on port {port}"),
            ),
            _ => finding.certainty(Certainty::Likely).or(
                "the whole machine, or the container with both, ended",
                "nats-server is gone, too",
            ),
        }
    }

    pub(super) fn proxy_restarted(&self) -> Finding {
        let who = self
            .front
            .as_ref()
            .map_or_else(|| "what lies between".to_owned(), Proxy::name);
        codes::PROXY_RESTARTED
            .finding(format!(
                "All connections to {} were cut at the same moment while nats-server went on: {who} was restarted or lost them.",
                self.place
            ))
            .because("A new connection works and meets the same server process as before, so that it has neither crashed nor been restarted.")
            .remedy("Look at the log of the proxy or load balancer for this moment; prefer a reload to a restart.")
            .certainty(Certainty::Likely)
            .or(
                "a lifetime that the proxy checks only now and then",
                "it happens again after the same time",
            )
    }

    pub(super) fn frozen(&self) -> Finding {
        let server = self.server();
        let title = if self.is_direct {
            format!("{server} has stopped answering: its process is frozen.")
        } else {
            format!("{server} has stopped answering.")
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
        if self.is_direct && matches!(self.seen.again, Again::Silent(_)) {
            return finding;
        }
        finding.certainty(Certainty::Likely).or(
            "what is in front of nats-server is stuck, or has lost the way to it",
            "the client port of the server answers",
        )
    }

    pub(super) fn black_hole(&self) -> Finding {
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

    pub(super) fn restarted(&self) -> Finding {
        codes::SERVER_RESTARTED
                .finding(format!("{} crashed or was killed, and runs again.", self.server()))
                .because(
                    "All connections ended at the same moment and without a close frame, and a new one meets a server with \
                     another id.",
                )
                .remedy("Look for the end of nats-server in its log, and for the OOM killer: journalctl -k | grep -i oom")
                .certainty(Certainty::Likely)
                .or(
                    "a load balancer dropped its connections and chose another server",
                    "the server has been running for longer: its /varz on the monitoring port shows `uptime`",
                )
    }

    pub(super) fn unreachable(&self) -> Finding {
        let place = &self.place;
        codes::UNREACHABLE
                .finding(format!("{place} has vanished from the network."))
                .because("PINGs stay unanswered, no connection was closed, and a new one does not come about.")
                .remedy("Look at the host and at the network between here and there.")
                .certainty(Certainty::Likely)
                .or(
                    "a firewall has begun to drop these packets",
                    "the host still answers to others",
                )
    }
}
