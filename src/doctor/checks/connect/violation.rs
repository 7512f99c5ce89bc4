//! What `Authorization Violation` means: one text for nearly everything that can be wrong with credentials.

use std::net::IpAddr;

use nkeys::KeyPair;

use crate::doctor::conversation::err_line;
use crate::doctor::silence;
use crate::protocol::{Credentials, UserClaims};
use crate::results::doctor::{Certainty, Finding};
use crate::units::format_duration;

use super::codes;
use super::refusal::{Refusal, is_slow};
use super::trials::Outcome;

impl Refusal<'_> {
    /// Judges it.
    pub(super) fn violation(&self) -> Finding {
        let wants_proxy = self.claims.is_some_and(|claims| claims.proxy_required);
        if wants_proxy
            || self.end.contains("Proxy Required")
            || self.end.contains("Proxy Not Trusted")
        {
            return codes::PROXY_REQUIRED
                .finding(format!("{} takes {} only through a trusted proxy.", self.host, self.who()))
                .because("The user has `proxy_required`, and no proxy that the server trusts signed this login.")
                .remedy("Connect through that proxy, or take `proxy_required` from the user.");
        }
        let has_key = matches!(
            self.given,
            Credentials::NKey { .. } | Credentials::Jwt { .. }
        );
        if has_key && self.info.nonce.is_none() {
            return self.nkey_not_wanted();
        }
        if let Some(finding) = self.source_network() {
            return finding;
        }
        if is_slow(self.took, self.round_trip) {
            return self.callout_silent();
        }
        if let Some(trial) = self.client
            && trial.outcome == Outcome::Accepted
            && *self.given != Credentials::None
        {
            return self.not_for_websocket(trial);
        }
        let finding = match self.given {
            Credentials::None => return self.other_login().unwrap_or_else(|| self.none_given()),
            Credentials::UserPassword { user, password } => {
                self.wrong_password(user, password.expose())
            }
            Credentials::Token(token) => self.wrong_token(token.expose()),
            Credentials::NKey { seed } => self.unknown_nkey(seed.expose()),
            Credentials::Jwt { .. } => self.jwt_refused(),
        };
        self.with_trials(finding)
    }

    /// Who tried to log in.
    pub(super) fn who(&self) -> String {
        match self.given {
            Credentials::None => "a client without credentials".to_owned(),
            Credentials::UserPassword { user, .. } => format!("user `{user}`"),
            Credentials::Token(_) => "this token".to_owned(),
            Credentials::NKey { seed } => public_key(seed.expose())
                .map_or_else(|| "this nkey".to_owned(), |key| format!("nkey {key}")),
            Credentials::Jwt { .. } => match self.claims {
                Some(claims) if !claims.name.is_empty() => format!("user `{}`", claims.name),
                _ => "the user of this JWT".to_owned(),
            },
        }
    }

    fn none_given(&self) -> Finding {
        let url = self.url;
        if self.info.nonce.is_some() {
            return codes::NKEY_OR_CREDS_NEEDED
                .finding(format!(
                    "{} wants an nkey or a credentials file, and none was given.",
                    self.host
                ))
                .because(
                    "Its INFO asks for a login and sends a nonce, which is there to be signed with an nkey. Whether a credentials \
                     file (JWT and nkey, operator mode) or a bare nkey is meant cannot be seen from outside. It may have users with passwords \
                     besides, and take the JWT from a cookie of a browser (`jwt_cookie`).",
                )
                .evidence("INFO", "auth_required: true, and a nonce")
                .paste(
                    "With the credentials file from `nsc generate creds`, or the seed of a user in nats.conf:",
                    &[
                        &format!("natsbench doctor --server {url} --creds FILE.creds"),
                        &format!("natsbench doctor --server {url} --nkey FILE.nk"),
                    ],
                );
        }
        codes::CREDENTIALS_NEEDED
            .finding(format!(
                "{} wants a user and password, or a token, and none were given.",
                self.host
            ))
            .because("Its INFO asks for a login, and a login without credentials is refused. It sends no nonce: nkeys and JWTs are not meant.")
            .evidence("INFO", "auth_required: true, no nonce")
            .paste(
                "Log in:",
                &[
                    &format!("natsbench doctor --server {url} --user NAME --password PASSWORD"),
                    &format!("natsbench doctor --server {url} --token TOKEN"),
                ],
            )
    }

    pub(super) fn nkey_not_wanted(&self) -> Finding {
        let what = match self.given {
            Credentials::NKey { .. } => "nkey",
            _ => "JWT",
        };
        codes::NKEY_NOT_WANTED
            .finding(format!(
                "An {what} was given, and {} takes neither nkeys nor JWTs.",
                self.host
            ).replace("An JWT", "A JWT"))
            .because("Its INFO sends no nonce to sign: it has no nkeys in its configuration and no operator.")
            .evidence("INFO", format!("auth_required: {}, no nonce", self.info.auth_required))
            .certainty(Certainty::Likely)
            .remedy("Give `--user` and `--password`, or `--token`, in place of it; or use the URL of the server that the credentials are for.")
    }

    fn wrong_password(&self, user: &str, password: &str) -> Finding {
        let mut finding = codes::WRONG_PASSWORD
            .finding(format!(
                "{} does not accept user `{user}` with this password.",
                self.host
            ))
            .because("Either there is no such user, or the password is another one: the server says the same in both cases.")
            .certainty(Certainty::Likely)
            .paste(
                "Compare user and password with those in nats.conf; the log of the server names the user of each failed login:",
                &[&format!("authorization {{ users: [ {{ user: {user}, password: \"...\" }} ] }}")],
            )
            .or(
                "the server has a token, and no users",
                "`authorization` in nats.conf has `token`: give `--token`",
            )
            .or(
                "an auth callout service refuses the login",
                "`authorization` in nats.conf has `auth_callout`: the log of that service says why",
            );
        if let Some(hint) = password_hint(password) {
            finding.explanation = format!("{hint} {}", finding.explanation);
        }
        if self.info.nonce.is_some() {
            finding = finding.certainty(Certainty::Possible).or(
                "the server takes only nkeys or credentials files",
                "its INFO sends a nonce, which is there to be signed; in operator mode no password is ever accepted: try `--creds FILE`",
            );
        }
        finding
    }

    fn wrong_token(&self, token: &str) -> Finding {
        let hint = password_hint(token).map(|hint| hint.replace("password", "token") + " ");
        codes::WRONG_TOKEN
            .finding(format!("{} does not accept this token.", self.host))
            .because(format!("{}Its token is another one. A name without a password in the URL (`ws://NAME@host`) counts as a token, too.", hint.unwrap_or_default()))
            .certainty(Certainty::Likely)
            .paste(
                "Compare it with the one in nats.conf:",
                &["authorization { token: \"...\" }"],
            )
            .or(
                "the server has users, and no token",
                "`authorization` in nats.conf has `users` or `user`: give `--user` and `--password`",
            )
    }

    fn unknown_nkey(&self, seed: &str) -> Finding {
        let key = public_key(seed).unwrap_or_else(|| "U...".to_owned());
        codes::UNKNOWN_NKEY
            .finding(format!("{} does not know the nkey {key}.", self.host))
            .because("The nonce was signed with its seed, and no user of the server has this public key.")
            .evidence("public key", &key)
            .certainty(Certainty::Likely)
            .paste(
                "Add it to nats.conf, and reload:",
                &[
                    &format!("authorization {{ users: [ {{ nkey: {key} }} ] }}"),
                    "nats-server --signal reload",
                ],
            )
            .or(
                "the server is in operator mode, where a bare nkey is not enough",
                "`operator` in nats.conf: give `--creds FILE`, with the JWT",
            )
    }

    fn callout_silent(&self) -> Finding {
        let took = format_duration(self.took);
        let mut finding = silence::codes::AUTH_CALLOUT_SILENT
            .finding(format!(
                "{} refused the login only after {took}: the auth callout service that it asks does not answer in time.",
                self.host
            ))
            .because(format!(
                "A wrong password is refused within one round trip, here {}. This refusal took longer by as much as a server waits for its auth callout service (`authorization.timeout`, 2 s unless configured). Nothing is said about the credentials.",
                format_duration(self.round_trip)
            ))
            .evidence("time of the refusal", &took)
            .certainty(Certainty::Likely)
            .paste(
                "Start the auth callout service. It has to be logged in as one of `auth_users`, and to listen on `$SYS.REQ.USER.AUTH` in the account that nats.conf names:",
                &[
                    "authorization { auth_callout { issuer: A..., account: AUTH, auth_users: [ auth ] } }",
                    "nats server report connections --account AUTH   # is it connected?",
                ],
            )
            .remedy("If it runs and is slow, give it more time: `authorization { timeout: 5 }`.");
        if matches!(self.given, Credentials::Jwt { .. }) {
            finding = finding.certainty(Certainty::Possible).or(
                "the server looked for the account in its resolver, and no server had it",
                "the log says `Account fetch failed`: push the account with `nsc push`",
            );
        }
        finding
    }

    fn source_network(&self) -> Option<Finding> {
        let claims = self.claims?;
        let address: IpAddr = self.info.client_ip.parse().ok()?;
        if claims.allows_source(address) {
            return None;
        }
        let networks = claims.networks.join(", ");
        let finding = codes::SOURCE_NETWORK
            .finding(format!(
                "The JWT of {} only allows connections from {networks}, and {} sees this one come from {address}.",
                self.who(),
                self.host
            ))
            .because("The server compares the address that it sees, which it tells in INFO, with the networks in the JWT.")
            .evidence("JWT, src", &networks)
            .evidence("INFO, client_ip", address)
            .paste(
                "Allow this network, and issue the credentials again:",
                &[
                    &format!("nsc edit user --name {} --source-network {address}/{}", name_of(claims), if address.is_ipv4() { 32 } else { 128 }),
                    &format!("nsc generate creds --name {} > new.creds", name_of(claims)),
                ],
            )
            .remedy("Or connect from an allowed network. Behind a proxy the server sees the proxy, unless that sends `X-Forwarded-For` with the one address of the client.");
        Some(finding)
    }

    fn jwt_refused(&self) -> Finding {
        let account = self.claims.map_or("unknown", UserClaims::account);
        let mut finding = codes::JWT_REFUSED
            .finding(format!(
                "{} refuses the JWT of {}, in which itself nothing is wrong: the user was revoked, or the server does not accept its account.",
                self.host,
                self.who()
            ))
            .because("JWT and seed fit together, are in date, and are not restricted to other connections. What is left is known to the server alone; it says the same in each case.")
            .evidence("account", account)
            .certainty(Certainty::Possible);
        if let Some(claims) = self.claims {
            finding = finding.evidence("user", &claims.subject);
            if claims.issuer_account.is_some() {
                finding = finding.evidence("signing key", &claims.issuer);
            }
        }
        let user = name_of_option(self.claims);
        if self.claims.is_some_and(|claims| claims.bearer) {
            finding = finding.or(
                "the account does not allow bearer tokens, and this JWT is one",
                "`nsc describe account` shows `Disallow Bearer Token: true`",
            );
        }
        finding
            .paste(
                "The log of the server names the reason. Look at what it knows, and mend what is missing:",
                &[
                    &format!("nsc describe account {account}        # revocations, expiry, signing keys"),
                    "nsc push --account ACCOUNT       # the account is not known to the server, or is out of date there",
                    &format!("nsc generate creds --account ACCOUNT --name {user} > new.creds   # the user was revoked"),
                ],
            )
            .or("the user was revoked", "`nsc describe account` lists the user, or `*`, under revocations; the server logs `User authentication revoked`")
            .or("the account is not known to this server: not pushed, or of another operator", "the server logs `Account fetch failed: account missing`; `nsc push --account ACCOUNT` mends it")
            .or("the JWT of the account has expired", "`nsc describe account` shows its expiry; the server logs `Account JWT has expired`")
            .or("the signing key that issued the JWT is no longer one of the account", "`nsc describe account` lists the signing keys; issue the credentials again with one of them")
            .or("the server belongs to another operator, or to none", "`operator` in nats.conf is not the one of `nsc describe operator`; without one, the server wants a bare nkey (`--nkey`) or a password")
    }

    /// Adds what the trials showed, where they showed no cause.
    fn with_trials(&self, mut finding: Finding) -> Finding {
        if let Some(trial) = self.client {
            let name = format!("same credentials at {}", trial.address);
            let value = match &trial.outcome {
                Outcome::Refused(text) => format!("refused, too: {}", err_line(text)),
                Outcome::Accepted => "accepted".to_owned(),
                Outcome::Untried(why) => format!("not tried: {why}"),
            };
            finding = finding.evidence(&name, value);
        }
        let is_refused_there = self
            .client
            .is_some_and(|trial| matches!(trial.outcome, Outcome::Refused(_)));
        if !is_refused_there {
            finding = finding.or(
                "they are right, but not for WebSocket: `allowed_connection_types` without WEBSOCKET, or another authorization inside of `websocket {}`",
                "the same credentials are accepted on the client port of the server",
            );
        }
        if self.is_open_to_all {
            finding = finding
                .evidence("without credentials", "accepted")
                .remedy("Without credentials the server lets you in (`no_auth_user`): leave them out if that is enough.");
        }
        finding
    }
}

/// A sentence begins with a capital.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

fn name_of(claims: &UserClaims) -> &str {
    match claims.name.as_str() {
        "" => "NAME",
        name => name,
    }
}

pub(super) fn name_of_option(claims: Option<&UserClaims>) -> &str {
    claims.map_or("NAME", name_of)
}

/// What can be seen of a password without telling it.
fn password_hint(password: &str) -> Option<&'static str> {
    if password.is_empty() {
        return Some("The password is empty.");
    }
    if password.starts_with("$2a$") || password.starts_with("$2b$") || password.starts_with("$2y$")
    {
        return Some(
            "The password given is a bcrypt hash, as nats.conf holds it: the server wants the plain password.",
        );
    }
    let ends = [password.chars().next(), password.chars().last()];
    if ends.iter().flatten().any(|c| c.is_whitespace()) {
        return Some("The password given begins or ends with a blank or a line break.");
    }
    let is_quoted =
        |mark: char| password.len() > 1 && password.starts_with(mark) && password.ends_with(mark);
    (is_quoted('"') || is_quoted('\''))
        .then_some("The password given stands in quotes, which count as a part of it.")
}

/// The public key of a seed.
fn public_key(seed: &str) -> Option<String> {
    KeyPair::from_seed(seed).ok().map(|pair| pair.public_key())
}
