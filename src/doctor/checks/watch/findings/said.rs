//! What is told when the server said itself why it closed a connection.

use crate::doctor::checks::watch::again::Again;
use crate::doctor::checks::watch::codes;
use crate::doctor::checks::watch::findings::Scene;
use crate::doctor::checks::watch::seconds;
use crate::doctor::checks::watch::verdict::Said;
use crate::results::doctor::{Certainty, Finding};

impl Scene {
    pub(super) fn said(&self, said: &Said) -> Finding {
        let server = self.server();
        let comes_back = match &self.seen.again {
            Again::Works { .. } => {
                "A new connection works: it runs again, or another server has taken over."
            }
            _ => "A new connection does not come about.",
        };
        match said {
            Said::LameDuck => codes::LAME_DUCK
                .finding(format!(
                    "{server} is shutting down gently (lame duck mode)."
                ))
                .because(format!(
                    "It announced it with `\"ldm\":true` in INFO. It takes no new connections at once, and closes the open ones \
                     one after the other after `lame_duck_grace_period`. {comes_back}"
                ))
                .remedy("Let clients reconnect to another server of the cluster, or wait until this one is back.")
                .remedy("If nobody meant it: lame duck mode comes from SIGUSR2 or `nats-server --signal ldm`."),
            Said::Shutdown => codes::SERVER_SHUTDOWN
                .finding(format!("{server} was shut down."))
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
                    "An administrator closed our connection to {server}."
                ))
                .because("Close frame 1011 \"Kicked\" follows a request to $SYS.REQ.SERVER.*.KICK, and nothing else.")
                .remedy("Ask those who have the system account of this server."),
            Said::ClientClosed => self.reloaded(),
            Said::Stale => codes::STALE
                .finding(format!(
                    "Our answers do not reach {server}: it gave the connection up as stale."
                ))
                .because("The doctor answers every PING at once, and the server still got no PONG.")
                .remedy("Look for a middlebox that passes packets from the server to here, but not the other way."),
            Said::TooManyConnections(text) => codes::CONNECTION_LIMIT
                .finding(format!(
                    "{server} closed the connection because there are too many: {}.",
                    text.trim_matches('\'')
                ))
                .because("The limit was lowered by a reload, or by a new JWT of the account, while we were connected.")
                .remedy("Raise `max_connections` of the server or of the account, or close other connections."),
            Said::Unauthorized(text) => match &self.seen.again {
                Again::NoLogin(text) => self.removed(text, Certainty::Certain),
                _ => self.closed(&format!("-ERR '{}'", text.trim_matches('\''))),
            },
            Said::Other(text) => self.closed(text),
        }
    }

    /// With a reason that has no code of its own.
    fn closed(&self, text: &str) -> Finding {
        codes::CLOSED
            .finding(format!("{} closed the connection: {text}.", self.server()))
            .because("That is what the server says itself.")
            .remedy("Look for the same moment in the log of the server.")
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
        let finding = codes::CREDENTIALS_EXPIRED.finding(format!(
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
            );
        match &self.expires {
            Some(expires) => finding.evidence("exp of the JWT", expires),
            None => finding,
        }
    }

    fn reloaded(&self) -> Finding {
        match &self.seen.again {
            Again::NoLogin(text) => self.removed(text, Certainty::Certain),
            _ => codes::CLOSED_BY_RELOAD
                .finding(format!(
                    "{} closed the connection when its configuration was reloaded.",
                    self.server()
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
    pub(super) fn removed(&self, text: &str, certainty: Certainty) -> Finding {
        codes::CREDENTIALS_REMOVED
            .finding(format!(
                "{} was reloaded without our user, or with another password for it.",
                self.server()
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
}
