//! The judgement of the certificates that a server presents: all that is wrong with them, the decisive fault first.

use rustls::Error;

use super::certificate::Certificate;
use super::codes::REFUSED;
use super::moment::{day, span};
use super::trust::{Trusted, Verdict};
use super::{dates, issuer, names, usage};
use crate::net::target::Target;
use crate::results::doctor::{Finding, Severity};

/// What is judged.
pub(super) struct Presented<'a> {
    /// The target of the examination.
    pub(super) target: &'a Target,
    /// The certificates in the order in which they came. There is at least one: the server's own.
    pub(super) chain: &'a [Certificate],
    pub(super) trusted: &'a Trusted,
    pub(super) verdict: &'a Verdict,
    /// Seconds since the epoch.
    pub(super) now: i64,
}

impl Presented<'_> {
    /// The server's own certificate.
    pub(super) fn leaf(&self) -> &Certificate {
        &self.chain[0]
    }

    /// The name that the certificate has to be for.
    pub(super) fn host(&self) -> &str {
        self.target.tls_name()
    }

    /// That name as a subject alternative name of OpenSSL.
    pub(super) fn alternative_name(&self) -> String {
        let host = self.host();
        let kind = if host.parse::<std::net::IpAddr>().is_ok() {
            "IP"
        } else {
            "DNS"
        };
        format!("{kind}:{host}")
    }

    /// The command that looks again at another host.
    pub(super) fn command_for(&self, host: &str) -> String {
        let target = Target {
            host: host.to_owned(),
            user_info: None,
            ..self.target.clone()
        };
        format!("natsbench doctor --server {target}")
    }

    /// How a certificate for this host is made: by itself if it was so before, else by a CA of one's own.
    pub(super) fn issue_lines(&self) -> Vec<String> {
        if self.leaf().is_self_issued() {
            return self.self_sign_lines();
        }
        let host = self.host();
        vec![
            format!(
                "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj \"/CN={host}\""
            ),
            format!(
                "printf 'subjectAltName={}\\nbasicConstraints=CA:FALSE\\nextendedKeyUsage=serverAuth\\n' > server.ext",
                self.alternative_name()
            ),
            "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 365 -extfile server.ext -out server.pem"
                .to_owned(),
        ]
    }

    /// How a self-signed certificate for this host is made that every client accepts once it trusts it.
    pub(super) fn self_sign_lines(&self) -> Vec<String> {
        vec![format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -keyout server.key -out server.pem \
             -subj \"/CN={}\" -addext \"subjectAltName={}\" -addext \"basicConstraints=critical,CA:FALSE\" \
             -addext \"extendedKeyUsage=serverAuth\"",
            self.host(),
            self.alternative_name()
        )]
    }
}

/// Everything that is wrong, the decisive fault first.
pub(super) fn judge(presented: &Presented<'_>) -> Vec<Finding> {
    let mut findings = dates::judge(presented);
    findings.extend(usage::wrong_certificate(presented));
    findings.extend(issuer::stand_in(presented));
    // A stand-in has no right name and no known issuer: that says nothing more.
    if findings.iter().all(|finding| !issuer::is_stand_in(finding)) {
        findings.extend(names::judge(presented));
        findings.extend(issuer::judge(presented));
    }
    findings.extend(usage::judge(presented));
    let is_error = |finding: &Finding| finding.severity == Severity::Error;
    match presented.verdict.objection() {
        Some(error) if !findings.iter().any(is_error) => {
            findings.insert(0, refused(presented, error));
        }
        _ => {}
    }
    // Stable: among those that are as bad, the order above.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
        .into_iter()
        .map(|found| shown(presented, found))
        .collect()
}

fn refused(presented: &Presented<'_>, error: &Error) -> Finding {
    REFUSED
        .finding(format!(
            "The certificate of {} does not pass verification: {error}.",
            presented.target.host_and_port()
        ))
        .because("rustls, which natsbench uses, refuses it. Other clients may have other rules.")
        .remedy("Issue the certificate again.")
        .remedy("To connect all the same, without any verification: `--insecure`.")
}

/// Adds what was presented.
fn shown(presented: &Presented<'_>, finding: Finding) -> Finding {
    let leaf = presented.leaf();
    let names = leaf.names();
    let names = if names.is_empty() {
        "none".to_owned()
    } else {
        list(&names)
    };
    finding
        .evidence(
            "certificate",
            format!("{}, issued by {}", leaf.subject, leaf.issuer),
        )
        .evidence("names", names)
        .evidence(
            "valid",
            format!("{} to {}", day(leaf.not_before), day(leaf.not_after)),
        )
}

/// The beginning of a list, to read.
pub(super) fn list(items: &[String]) -> String {
    const MAX_SHOWN: usize = 8;
    let shown: Vec<&str> = items.iter().take(MAX_SHOWN).map(String::as_str).collect();
    let shown = shown.join(", ");
    match items.len().checked_sub(MAX_SHOWN) {
        None | Some(0) => shown,
        Some(n_more) => format!("{shown} and {n_more} more"),
    }
}

/// The certificate in one line, for the table of a healthy broker.
pub(super) fn summary(leaf: &Certificate, now: i64) -> String {
    let left = if now > leaf.not_after {
        "expired".to_owned()
    } else {
        format!("{} left", span(now, leaf.not_after))
    };
    format!(
        "{}, issued by {}, valid until {} ({left})",
        leaf.title(),
        leaf.issuer,
        day(leaf.not_after)
    )
}
