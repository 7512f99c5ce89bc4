//! Credentials that the client port of the same server accepts, and its WebSocket does not.

use crate::protocol::Credentials;
use crate::results::doctor::{Certainty, Finding};

use super::codes;
use super::refusal::Refusal;
use super::trials::ClientTrial;
use super::violation::{name_of_option, sentence};

impl Refusal<'_> {
    /// What differs between the client port, which accepted the same, and this one.
    pub(super) fn not_for_websocket(&self, trial: &ClientTrial) -> Finding {
        let (who, host, port) = (self.who(), self.host, trial.address);
        let finding = codes::NOT_FOR_WEBSOCKET.finding(String::new()).evidence(
            &format!("same credentials at {port}"),
            format!("accepted by the same server ({})", trial.info.server_id),
        );
        // Without authentication there, it accepts whatever it is given.
        if !trial.info.auth_required {
            let mut finding = finding
                .because("The client port asks for no login at all, and this port does: only an authorization inside of `websocket {}` does that.");
            finding.title = format!(
                "{host} has credentials of its own for WebSocket, and does not accept {who}."
            );
            return own_authorization(finding);
        }
        if let Credentials::Jwt { .. } = self.given {
            let mut finding = self.connection_types_of_jwt(finding);
            finding.title = sentence(&format!(
                "{who} is accepted on the client port {port}, but may not connect over WebSocket."
            ));
            return finding;
        }
        let types = (
            "`allowed_connection_types` of the user lacks WEBSOCKET",
            "the user in nats.conf has `allowed_connection_types`; the log of the server says `connection type`",
        );
        let own = (
            "`websocket {}` has an authorization of its own, which replaces the general one",
            "nats.conf has `authorization` (or `username`, `token`) inside of `websocket {}`",
        );
        // A token cannot be restricted to kinds of connections, an nkey cannot be given inside of `websocket {}`.
        let mut finding = match self.given {
            Credentials::Token(_) => {
                let mut finding = own_authorization(finding)
                    .because("A token cannot be restricted to kinds of connections: what differs is the token.");
                finding.title = format!("{host} accepts this token on the client port {port} only: `websocket {{}}` has an authorization of its own.");
                return finding;
            }
            Credentials::NKey { .. } => connection_types(finding)
                .because("The user is known and the signature is right: it may not be used over WebSocket.")
                .certainty(Certainty::Likely)
                .or(own.0, own.1),
            _ => own_authorization(connection_types(finding))
                .because("User and password are right. The server says the same for both reasons, so that only its configuration can tell which one it is.")
                .certainty(Certainty::Possible)
                .or(own.0, own.1)
                .or(types.0, types.1),
        };
        finding.title = sentence(&format!(
            "{who} is accepted on the client port {port}, but not over WebSocket: `websocket {{}}` has its own authorization, or the user's `allowed_connection_types` lack WEBSOCKET."
        ));
        finding
    }

    fn connection_types_of_jwt(&self, finding: Finding) -> Finding {
        let name = name_of_option(self.claims);
        let types = self.claims.map_or("", |claims| {
            claims.connection_types.first().map_or("", String::as_str)
        });
        let finding = if types.is_empty() {
            finding
                .because("The JWT itself names no kinds of connections that it is restricted to, so that the restriction comes from the signing key of the account that it was issued with.")
                .certainty(Certainty::Likely)
        } else {
            finding.because("The JWT names the kinds of connections that are allowed, and WEBSOCKET is not among them.")
        };
        finding.paste(
            "Allow it in the JWT (or in the template of the signing key), and issue the credentials again:",
            &[
                &format!("nsc edit user --name {name} --conn-type WEBSOCKET --conn-type STANDARD"),
                &format!("nsc generate creds --name {name} > new.creds"),
            ],
        )
    }
}

fn own_authorization(finding: Finding) -> Finding {
    finding.paste(
        "If nats.conf has an authorization inside of `websocket {}`, use those credentials, or remove it there:",
        &["websocket { authorization { username: NAME, password: \"...\" } }"],
    )
}

fn connection_types(finding: Finding) -> Finding {
    finding.paste(
        "If the user in nats.conf is restricted to kinds of connections, add WEBSOCKET, and reload:",
        &[
            "allowed_connection_types: [\"STANDARD\", \"WEBSOCKET\"]",
            "nats-server --signal reload",
        ],
    )
}
