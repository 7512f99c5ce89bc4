//! What a refused login means: judgement without sockets.

use std::time::Duration;

use crate::doctor::conversation::{err_line, excerpt};
use crate::protocol::{Credentials, ServerErrorKind, ServerInfo, UserClaims};
use crate::results::doctor::{Certainty, Finding};
use crate::units::format_duration;

use super::codes;
use super::other_login::OtherLogin;
use super::trials::ClientTrial;

/// A refusal that takes so much longer than the round trip is no check of a password: not even bcrypt takes so long.
const SLOW: Duration = Duration::from_millis(700);

/// Whether somebody was asked who did not answer.
pub(super) fn is_slow(took: Duration, round_trip: Duration) -> bool {
    took.saturating_sub(round_trip) >= SLOW
}

/// What is known of a refusal.
pub(super) struct Refusal<'a> {
    /// Host and port, as in the URL.
    pub(super) host: &'a str,
    /// URL, without secrets.
    pub(super) url: &'a str,
    pub(super) given: &'a Credentials,
    /// Where the credentials come from.
    pub(super) source: Option<&'a str>,
    /// Of our user JWT.
    pub(super) claims: Option<&'a UserClaims>,
    pub(super) info: &'a ServerInfo,
    /// Text of `-ERR`.
    pub(super) words: &'a str,
    /// How the connection ended.
    pub(super) end: &'a str,
    /// From CONNECT to the refusal.
    pub(super) took: Duration,
    /// One round trip of the whole path.
    pub(super) round_trip: Duration,
    pub(super) client: Option<&'a ClientTrial>,
    /// A login without credentials is accepted.
    pub(super) is_open_to_all: bool,
    /// What was given besides CONNECT.
    pub(super) other_login: Option<&'a OtherLogin>,
}

impl Refusal<'_> {
    /// The finding.
    pub(super) fn judge(&self) -> Finding {
        let kind = ServerErrorKind::classify(self.words);
        let finding = match kind {
            ServerErrorKind::AuthorizationViolation => self.violation(),
            ServerErrorKind::AuthenticationTimeout => self.timed_out(),
            ServerErrorKind::AuthenticationExpired => self.expired(),
            ServerErrorKind::AuthenticationRevoked => self.revoked(),
            ServerErrorKind::MaximumConnections => self.server_full(),
            ServerErrorKind::MaximumAccountConnections => self.account_full(),
            ServerErrorKind::ConnectionThrottling => codes::THROTTLED
                .finding(format!(
                    "{} takes no more connections for the moment.",
                    self.host
                ))
                .because("Connections came faster than the server is allowed to take them.")
                .remedy("Wait a moment, and connect more slowly."),
            ServerErrorKind::TlsRequired => self.tls_required(),
            ServerErrorKind::MaximumControlLine => self.line_too_long(),
            _ => codes::REFUSED
                .finding(format!(
                    "{} refused the login: {}.",
                    self.host,
                    excerpt(self.words)
                ))
                .because("The server has a reason of its own, which it gives in these words.")
                .remedy("Look into the log of the server for more."),
        };
        self.with_words(finding)
    }

    /// Adds what the server said.
    pub(super) fn with_words(&self, finding: Finding) -> Finding {
        let took = format_duration(self.took);
        let mut finding = finding.evidence(
            "server",
            format!(
                "{} {took} after CONNECT; {}",
                err_line(self.words),
                self.end
            ),
        );
        if let Some(source) = self.source {
            finding = finding.evidence("credentials", format!("from {source}"));
        }
        finding
    }

    fn expired(&self) -> Finding {
        let is_account = self.words.to_ascii_lowercase().contains("account");
        let (whose, paste) = if is_account {
            (
                "the account",
                "nsc edit account --name ACCOUNT --expiry 1y && nsc push --account ACCOUNT",
            )
        } else {
            (
                "the user",
                "nsc generate creds --account ACCOUNT --name USER > new.creds",
            )
        };
        codes::EXPIRED
            .finding(format!(
                "The credentials of {whose} have expired, says {}.",
                self.host
            ))
            .because("The server refuses them for this reason alone.")
            .paste("Renew them:", &[paste])
    }

    fn revoked(&self) -> Finding {
        codes::REVOKED
            .finding(format!("The credentials of {} were revoked, says {}.", self.who(), self.host))
            .because("The account no longer accepts JWTs of this user that were issued before the revocation.")
            .paste("Issue new ones:", &["nsc generate creds --account ACCOUNT --name USER > new.creds"])
    }

    fn server_full(&self) -> Finding {
        codes::SERVER_FULL
            .finding(format!("{} has as many connections as it takes (`max_connections`).", self.host))
            .because("It says so right behind INFO, whoever connects.")
            .paste("Raise the limit in nats.conf, and reload:", &["max_connections: 65536", "nats-server --signal reload"])
            .remedy("Or close connections that nobody needs: `nats server report connections` lists them.")
    }

    fn account_full(&self) -> Finding {
        let finding = codes::ACCOUNT_FULL
            .finding(format!(
                "The account of {} has as many connections as it may have.",
                self.who()
            ))
            .because("The login itself was accepted, the limit of the account was not.");
        let finding = if matches!(self.given, Credentials::Jwt { .. }) {
            let account = self.claims.map_or("ACCOUNT", UserClaims::account);
            finding.evidence("account", account).paste(
                "Raise the limit in the JWT of the account:",
                &[
                    "nsc edit account --name ACCOUNT --conns 1000",
                    "nsc push --account ACCOUNT",
                ],
            )
        } else {
            finding.paste(
                "Raise the limit in nats.conf, and reload:",
                &[
                    "accounts { NAME { limits { max_connections: 1000 } } }",
                    "nats-server --signal reload",
                ],
            )
        };
        finding.remedy("Or close connections of this account that nobody needs.")
    }

    fn tls_required(&self) -> Finding {
        codes::TLS_REQUIRED
            .finding(format!("{} takes no login without TLS.", self.host))
            .because("The URL speaks in clear.")
            .paste(
                "Use TLS:",
                &[&format!("natsbench doctor --server {}", with_tls(self.url))],
            )
    }

    fn line_too_long(&self) -> Finding {
        codes::CONNECT_TOO_LONG
            .finding(format!("CONNECT is longer than the lines that {} takes.", self.host))
            .because("CONNECT carries the credentials in one line; a JWT with many permissions makes it long.")
            .paste("Raise the limit in nats.conf:", &["max_control_line: 16KB"])
            .remedy("Or move the permissions from the user JWT to a scoped signing key of the account.")
    }

    fn timed_out(&self) -> Finding {
        let round_trip = format_duration(self.round_trip);
        // The server counts in steps that we cannot see; what is well below any sensible limit is not the path.
        if self.round_trip < Duration::from_millis(300) {
            return codes::AUTH_TIMEOUT
                .finding(format!("{} says that CONNECT came too late, although it was sent at once.", self.host))
                .because(format!("The path is fast: one round trip takes {round_trip}. The time that the server waits is very short, or it is too busy to read."))
                .evidence("round trip", &round_trip)
                .certainty(Certainty::Possible)
                .paste("Give logins more time in nats.conf:", &["authorization { timeout: 5 }"])
                .or("the server is overloaded", "look at its CPU, and at the times of its other connections");
        }
        let seconds = (self.round_trip * 2).as_secs() + 1;
        codes::AUTH_TIMEOUT
            .finding(format!(
                "The path to {} is so slow ({round_trip} for a round trip) that the login comes after the server's `authorization.timeout`.",
                self.host
            ))
            .because("The server waits for CONNECT from the moment it sends INFO. CONNECT was sent at once, and still came too late: the time that the server waits is shorter than the round trip.")
            .evidence("round trip of the upgrade", &round_trip)
            .paste(
                "Give logins more time in nats.conf, and reload:",
                &[&format!("authorization {{ timeout: {seconds} }}"), "nats-server --signal reload"],
            )
            .remedy("`websocket { authorization { timeout: ... } }` counts instead, where it is set.")
            .remedy("Find out what makes the path slow: a VPN, a proxy that inspects traffic, a congested link.")
    }
}

/// The same URL with TLS.
fn with_tls(url: &str) -> String {
    url.replacen("ws://", "wss://", 1)
        .replacen("nats://", "tls://", 1)
}

#[cfg(test)]
#[path = "refusal_tests.rs"]
mod tests;
