//! Logins that are not in CONNECT: a client certificate that a user is mapped to, and a JWT in a cookie of the upgrade.

use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::pem::Pem;
use x509_parser::x509::X509Name;

use crate::clock::Clock;
use crate::doctor::conversation::excerpt;
use crate::doctor::examination::Examination;
use crate::protocol::UserClaims;
use crate::results::doctor::{Certainty, Finding};
use crate::units::NANOS_PER_SEC;

use super::codes;
use super::refusal::Refusal;

/// Most names of a certificate that are told.
const MAX_NAMES: usize = 6;

/// A login besides CONNECT.
#[derive(Debug, Clone)]
pub(super) enum OtherLogin {
    /// A user JWT in a cookie.
    Cookie {
        name: String,
        claims: Box<UserClaims>,
        /// It has expired.
        is_expired: bool,
    },
    /// A client certificate was sent. What a server would compare with its users, in its order: addresses, host names, and
    /// at last the subject.
    Certificate { names: Vec<String> },
}

impl OtherLogin {
    /// What was given besides CONNECT, if anything.
    pub(super) fn of(examination: &Examination<'_>) -> Option<Self> {
        let headers = examination.plan.dial.headers.iter();
        let cookies = headers.filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
        let now_s = Clock::start().wall_now().0 / NANOS_PER_SEC;
        let cookie = cookies.into_iter().find_map(|(_, value)| jwt_in(value));
        if let Some((name, claims)) = cookie {
            let expires = claims.expires.and_then(|at| u64::try_from(at).ok());
            return Some(Self::Cookie {
                name,
                is_expired: expires.is_some_and(|at| at < now_s),
                claims: Box::new(claims),
            });
        }
        if !examination.learned.is_tls {
            return None;
        }
        let file = examination.plan.tls.cert.as_ref()?;
        let names = std::fs::read(file).ok().map(|pem| names_in(&pem));
        Some(Self::Certificate {
            names: names.unwrap_or_default(),
        })
    }
}

/// The first cookie that holds a user JWT.
fn jwt_in(cookies: &str) -> Option<(String, UserClaims)> {
    cookies.split(';').find_map(|cookie| {
        let (name, value) = cookie.split_once('=')?;
        let claims = UserClaims::decode(value.trim().trim_matches('"')).ok()?;
        Some((excerpt(name.trim()), claims))
    })
}

/// What a server takes for the name of a user in a certificate.
fn names_in(pem: &[u8]) -> Vec<String> {
    let Some(Ok(pem)) = Pem::iter_from_buffer(pem).next() else {
        return Vec::new();
    };
    let Ok(certificate) = pem.parse_x509() else {
        return Vec::new();
    };
    let (mut addresses, mut hosts) = (Vec::new(), Vec::new());
    for extension in certificate.extensions() {
        if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
            for name in &names.general_names {
                match name {
                    GeneralName::RFC822Name(name) => addresses.push(excerpt(name)),
                    GeneralName::DNSName(name) => hosts.push(excerpt(name)),
                    _ => {}
                }
            }
        }
    }
    addresses.append(&mut hosts);
    addresses.truncate(MAX_NAMES - 1);
    addresses.push(excerpt(&distinguished(certificate.subject())));
    addresses.retain(|name| !name.is_empty());
    addresses
}

/// The subject as servers write it: the most special part first.
fn distinguished(name: &X509Name<'_>) -> String {
    let attributes = name.iter_attributes().map(|attribute| {
        let kind = oid2abbrev(attribute.attr_type(), oid_registry())
            .map_or_else(|_| attribute.attr_type().to_string(), str::to_owned);
        format!("{kind}={}", attribute.as_str().unwrap_or("..."))
    });
    let mut attributes: Vec<String> = attributes.collect();
    attributes.reverse();
    attributes.join(",")
}

impl Refusal<'_> {
    /// Nothing was given in CONNECT, and what was given besides was not taken for a login.
    pub(super) fn other_login(&self) -> Option<Finding> {
        match self.other_login? {
            OtherLogin::Cookie {
                name,
                claims,
                is_expired,
            } => Some(self.cookie_refused(name, claims, *is_expired)),
            OtherLogin::Certificate { names } => Some(self.certificate_unknown(names)),
        }
    }

    fn cookie_refused(&self, cookie: &str, claims: &UserClaims, is_expired: bool) -> Finding {
        let user = match claims.name.as_str() {
            "" => "NAME",
            name => name,
        };
        let host = self.host;
        let is_for_others = !claims.connection_types.is_empty()
            && !claims
                .connection_types
                .iter()
                .any(|kind| kind == "WEBSOCKET");
        let fault = if is_expired {
            Some(("has expired", "--expiry 30d"))
        } else if !claims.bearer {
            Some(("is no bearer token", "--bearer"))
        } else if is_for_others {
            Some(("is not good for WebSocket", "--conn-type WEBSOCKET"))
        } else {
            None
        };
        let Some((what, edit)) = fault else {
            return codes::COOKIE_REFUSED
                .finding(format!("{host} does not take the JWT in the cookie `{cookie}` for a login."))
                .because("The JWT itself is a bearer token and in date. A server looks into one cookie only, the one that `jwt_cookie` names, and says the same for whatever is wrong.")
                .evidence("user of the JWT", format!("{user}, of account {}", claims.account()))
                .certainty(Certainty::Possible)
                .paste("Name this cookie in nats.conf:", &[&format!("websocket {{ jwt_cookie: \"{cookie}\" }}")])
                .or("`jwt_cookie` names another cookie, or is not set", "look for `jwt_cookie` inside of `websocket {}` in nats.conf")
                .or("the user was revoked, or the server does not know its account, or the account does not allow bearer tokens", "the log of the server names the reason");
        };
        codes::COOKIE_REFUSED
            .finding(format!(
                "The JWT in the cookie `{cookie}` {what}: {host} does not take it for a login."
            ))
            .because("With a JWT in a cookie nobody signs the nonce, so that only a bearer token will do, and the server checks everything else as for any login.")
            .evidence("user of the JWT", format!("{user}, of account {}", claims.account()))
            .certainty(Certainty::Likely)
            .paste(
                "Issue another JWT:",
                &[
                    &format!("nsc edit user --account ACCOUNT --name {user} {edit}"),
                    &format!("nsc describe user --account ACCOUNT --name {user} --raw"),
                ],
            )
    }

    fn certificate_unknown(&self, names: &[String]) -> Finding {
        let subject = names.last().map_or("CN=NAME", String::as_str);
        let mut finding = codes::UNKNOWN_CERTIFICATE
            .finding(format!(
                "{} does not take the client certificate for a login, and nothing else was given.",
                self.host
            ))
            .because("The certificate was accepted in the TLS handshake. With `verify_and_map` a server then looks for a user whose name is in it; without it, a certificate is no login.")
            .certainty(Certainty::Possible);
        if !names.is_empty() {
            finding = finding.evidence("names in the certificate", names.join("; "));
        }
        finding
            .paste(
                "Name the user like the certificate in nats.conf, and reload:",
                &[
                    &format!("authorization {{ users: [ {{ user: \"{subject}\" }} ] }}"),
                    "nats-server --signal reload",
                ],
            )
            .or(
                "`verify_and_map` is set, and no user has one of these names",
                "the log of the server says `User in cert ... not found`",
            )
            .or(
                "the server wants user and password, a token or credentials besides the certificate (`verify: true`)",
                "`verify_and_map` is not in the `tls` block of `websocket {}`: give `--user` and `--password`, or `--creds`",
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_without_a_jwt_are_no_login() {
        assert!(jwt_in("a=b; session=eyJ.x.y").is_none());
        assert!(jwt_in("").is_none());
    }

    #[test]
    fn what_is_no_certificate_has_no_names() {
        assert!(
            names_in(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_empty()
        );
        assert!(names_in(b"").is_empty());
    }
}
