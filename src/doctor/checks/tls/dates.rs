//! Certificates outside their time, or soon to be.

use rustls::{CertificateError, Error};

use super::certificate::Certificate;
use super::chain::Presented;
use super::codes::{
    CA_EXPIRED, CLOCK_WRONG, EXPIRED, EXPIRES_SOON, INTERMEDIATE_EXPIRED, NOT_YET_VALID,
};
use super::moment::{day, moment, span};
use crate::results::doctor::{Certainty, Finding, Severity};

const DAY: i64 = 86_400;
/// A certificate that has less than this left is due.
const SOON: i64 = 14 * DAY;
/// 2026-01-01: older than natsbench itself, so that a clock that is before it is wrong.
const OLDEST_PLAUSIBLE: i64 = 1_767_225_600;
/// By so much a clock may be wrong and nobody notices: a wrong time zone, say.
const A_LITTLE: i64 = DAY;

pub(super) fn judge(presented: &Presented<'_>) -> Vec<Finding> {
    let leaf = presented.leaf();
    let now = presented.now;
    let mut findings = Vec::new();
    if now < leaf.not_before && now < OLDEST_PLAUSIBLE {
        findings.push(clock_wrong(presented));
    } else if now < leaf.not_before {
        findings.push(not_yet_valid(presented));
    } else if now > leaf.not_after {
        findings.push(expired(presented));
    } else {
        findings.extend(other_in_chain(presented));
        findings.extend(soon(presented));
    }
    findings.extend(ca_expired(presented));
    findings
}

fn clock_wrong(presented: &Presented<'_>) -> Finding {
    CLOCK_WRONG
        .finding(format!(
            "The clock of this machine says {}, which is wrong: no certificate can be verified.",
            moment(presented.now)
        ))
        .because("To a clock that is so far back, every certificate is not valid yet.")
        .evidence("clock of this machine", moment(presented.now))
        .evidence(
            "certificate is valid from",
            moment(presented.leaf().not_before),
        )
        .paste(
            "Set the clock, such as:",
            &["sudo timedatectl set-ntp true"],
        )
}

fn not_yet_valid(presented: &Presented<'_>) -> Finding {
    let leaf = presented.leaf();
    let ahead = span(presented.now, leaf.not_before);
    let finding = NOT_YET_VALID
        .finding(format!(
            "The certificate of {} is not valid before {}: {ahead} from now.",
            presented.target.host_and_port(),
            day(leaf.not_before)
        ))
        .because("Every client that verifies certificates refuses it until then, browsers too.")
        .evidence("valid from", moment(leaf.not_before))
        .evidence("clock of this machine", moment(presented.now))
        .certainty(Certainty::Likely);
    if leaf.not_before - presented.now < A_LITTLE {
        return finding
            .paste(
                "If this machine's clock is behind, set it:",
                &["sudo timedatectl set-ntp true"],
            )
            .remedy("Else wait, or issue the certificate again on a machine whose clock is right.")
            .or(
                "the clock of this machine is behind",
                "compare `date -u` here and on the machine that made the certificate",
            );
    }
    let lines = presented.issue_lines();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    finding
        .paste("Issue a certificate that is valid now, such as:", &lines)
        .paste(
            "Have nats-server read it:",
            &["nats-server --signal reload"],
        )
        .or(
            "the clock of this machine is behind",
            "compare `date -u` here and on another machine",
        )
}

fn expired(presented: &Presented<'_>) -> Finding {
    let leaf = presented.leaf();
    let finding = EXPIRED
        .finding(format!(
            "The certificate of {} expired on {}, {} ago.",
            presented.target.host_and_port(),
            day(leaf.not_after),
            span(leaf.not_after, presented.now)
        ))
        .because("Every client that verifies certificates refuses it, browsers too.")
        .evidence("valid until", moment(leaf.not_after))
        .evidence("clock of this machine", moment(presented.now))
        .paste(
            "Renew the certificate in the place that `cert_file` of nats-server (or the proxy that ends TLS) names, and have it read again:",
            &["nats-server --signal reload"],
        )
        .remedy("If the file was renewed already, only the reload is missing.");
    if presented.now - leaf.not_after > A_LITTLE {
        return finding;
    }
    finding.certainty(Certainty::Likely).or(
        "the clock of this machine is ahead",
        "compare `date -u` here and on another machine",
    )
}

/// Another certificate of the chain that rustls stumbled over.
fn other_in_chain(presented: &Presented<'_>) -> Option<Finding> {
    let Err(Error::InvalidCertificate(
        CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYetContext { .. }
        | CertificateError::Expired
        | CertificateError::NotValidYet,
    )) = &presented.verdict.now
    else {
        return None;
    };
    let now = presented.now;
    let is_outside = |other: &&Certificate| now < other.not_before || now > other.not_after;
    let other = presented.chain.iter().skip(1).find(is_outside)?;
    let when = if now > other.not_after {
        format!(
            "expired on {}, {} ago",
            day(other.not_after),
            span(other.not_after, now)
        )
    } else {
        format!("is not valid before {}", day(other.not_before))
    };
    Some(
        INTERMEDIATE_EXPIRED
            .finding(format!(
                "The CA certificate \"{}\" that {} sends along {when}.",
                other.title(),
                presented.target.host_and_port()
            ))
            .because(
                "The server's own certificate is within its time, but the way from it to the CA is not. Clients that have a newer copy of the CA certificate do not notice.",
            )
            .evidence("CA certificate", &other.subject)
            .evidence("valid", format!("{} to {}", moment(other.not_before), moment(other.not_after)))
            .paste(
                "Put the present intermediate certificate behind the server's own, and reload:",
                &["cat server.pem intermediate.pem > fullchain.pem", "nats-server --signal reload"],
            ),
    )
}

/// rustls does not look at the dates of what is trusted; others do.
fn ca_expired(presented: &Presented<'_>) -> Option<Finding> {
    let now = presented.now;
    let leads_here = |given: &&Certificate| {
        let mut chain = presented.chain.iter();
        chain.any(|other| other.issuer_der == given.subject_der)
    };
    let mut given = presented.trusted.given.iter().filter(leads_here);
    let expired = given.find(|given| now > given.not_after)?;
    let mut given = presented.trusted.given.iter().filter(leads_here);
    if given.any(|given| given.subject_der == expired.subject_der && now <= given.not_after) {
        // The renewed one is in the file, too.
        return None;
    }
    Some(
        CA_EXPIRED
            .finding(format!(
                "The CA certificate \"{}\" in {} expired on {}.",
                expired.title(),
                presented.trusted.file.as_deref().unwrap_or("the CA file"),
                day(expired.not_after)
            ))
            .because("natsbench (rustls) still accepts it; OpenSSL, Go and browsers refuse the server because of it.")
            .evidence("valid until", moment(expired.not_after))
            .remedy("Renew the CA certificate (the same key will do), and hand it out to every client."),
    )
}

fn soon(presented: &Presented<'_>) -> Option<Finding> {
    let leaf = presented.leaf();
    let left = leaf.not_after.saturating_sub(presented.now);
    if left >= SOON {
        return None;
    }
    let lifetime = leaf.not_after.saturating_sub(leaf.not_before);
    // Certificates for a few days are renewed by machines, when a third of their time is left.
    let is_usual = lifetime <= SOON && left > lifetime / 3;
    Some(
        EXPIRES_SOON
            .finding(format!(
                "The certificate of {} expires in {}, on {}.",
                presented.target.host_and_port(),
                span(presented.now, leaf.not_after),
                day(leaf.not_after)
            ))
            .because("From then on every client that verifies certificates refuses the server.")
            .evidence("valid until", moment(leaf.not_after))
            .severity(if is_usual {
                Severity::Info
            } else {
                Severity::Warning
            })
            .paste(
                "Renew it, and have nats-server read it:",
                &["nats-server --signal reload"],
            ),
    )
}

#[cfg(test)]
#[path = "dates_tests.rs"]
mod tests;
