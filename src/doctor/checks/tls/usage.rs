//! Certificates that are not made for their use: version, purpose, keys, signatures.

use super::certificate::{Certificate, Fitness};
use super::chain::Presented;
use super::codes::{
    CA_AS_SERVER, NOT_FOR_SERVERS, UNSUPPORTED_KEY, VERSION_1, WEAK_KEY, WEAK_SIGNATURE,
};
use crate::results::doctor::Finding;

const RELOAD: (&str, &[&str]) = (
    "Have nats-server read it:",
    &["nats-server --signal reload"],
);

/// A certificate that is none for servers at all, so that its names say nothing.
pub(super) fn wrong_certificate(presented: &Presented<'_>) -> Option<Finding> {
    let leaf = presented.leaf();
    if leaf.is_version_1() {
        Some(version_1(presented))
    } else if leaf.is_ca && !leaf.is_self_issued() && presented.verdict.objection().is_some() {
        Some(ca_as_server(presented))
    } else {
        None
    }
}

fn version_1(presented: &Presented<'_>) -> Finding {
    let leaf = presented.leaf();
    let finding = VERSION_1
        .finding(format!(
            "The certificate of {} is X.509 version {}: it can name no host.",
            presented.target.host_and_port(),
            leaf.version
        ))
        .because(
            "Browsers and rustls (natsbench) refuse it; OpenSSL clients (Python, Node) still accept it. `openssl x509 -req` without `-extfile` makes such certificates.",
        )
        .evidence("version", leaf.version);
    reissued(
        presented,
        finding,
        "Issue it again as version 3, with a subject alternative name, such as:",
    )
}

/// Everything else.
pub(super) fn judge(presented: &Presented<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let leaf = presented.leaf();
    if presented.verdict.objection().is_none() {
        return findings;
    }
    if leaf.is_ca && leaf.is_self_issued() {
        findings.push(ca_as_server(presented));
    }
    if leaf.purposes.is_some_and(|purposes| !purposes.server) {
        findings.push(not_for_servers(presented));
    }
    let own_or_sent = || presented.chain.iter();
    let is_weak = |other: &&Certificate| other.key.fitness == Fitness::Weak;
    if let Some(weak) = own_or_sent().find(is_weak) {
        findings.push(weak_key(presented, weak));
    } else if leaf.key.fitness == Fitness::Unknown {
        findings.push(unsupported_key(presented));
    }
    // What a root says of itself is not verified.
    let is_weakly_signed =
        |other: &&Certificate| other.signature.is_weak && !other.is_self_issued();
    let weak = own_or_sent().find(is_weakly_signed);
    let own = Some(leaf).filter(|leaf| leaf.signature.is_weak);
    if let Some(weak) = weak.or(own) {
        findings.push(weak_signature(presented, weak));
    }
    findings
}

fn ca_as_server(presented: &Presented<'_>) -> Finding {
    let leaf = presented.leaf();
    let finding = CA_AS_SERVER
        .finding(format!(
            "The certificate of {} is a CA certificate (CA:TRUE), which rustls refuses for a server.",
            presented.target.host_and_port()
        ))
        .because(
            "`openssl req -x509` makes such certificates by default. OpenSSL and Go clients accept one that they trust; rustls (natsbench) does not, even when it is given with `--tlsca`.",
        )
        .evidence("basic constraints", "CA:TRUE");
    if leaf.is_self_issued() {
        let lines = presented.self_sign_lines();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        return finding
            .paste(
                "Make it as no CA, and give it to clients with `--tlsca server.pem`:",
                &lines,
            )
            .paste(RELOAD.0, RELOAD.1);
    }
    // nats-server takes the first of the file for its own; a proxy may not.
    let other = presented.chain.iter().skip(1).find(|other| !other.is_ca);
    if let Some(other) = other {
        return finding
            .evidence("another certificate that was sent", &other.subject)
            .paste(
                "Put the server's own certificate first in `cert_file`:",
                &["cat server.pem intermediate.pem > fullchain.pem"],
            );
    }
    reissued(
        presented,
        finding,
        "Issue a certificate for the server, such as:",
    )
}

fn not_for_servers(presented: &Presented<'_>) -> Finding {
    let leaf = presented.leaf();
    let for_clients = leaf.purposes.is_some_and(|purposes| purposes.client);
    let what = if for_clients {
        "is a client certificate: its extended key usage has clientAuth, but not serverAuth"
    } else {
        "may not be used by a server: its extended key usage leaves out serverAuth"
    };
    let finding = NOT_FOR_SERVERS
        .finding(format!(
            "The certificate of {} {what}.",
            presented.target.host_and_port()
        ))
        .because("Every client that verifies certificates refuses it, browsers too.");
    reissued(
        presented,
        finding,
        "Give the server its own certificate, or issue one, such as:",
    )
}

fn weak_key(presented: &Presented<'_>, weak: &Certificate) -> Finding {
    let finding = WEAK_KEY
        .finding(format!(
            "The certificate {} has a key that is too weak: {}.",
            whose(presented, weak),
            weak.key.text
        ))
        .because(
            "rustls (natsbench), OpenSSL at its default level and browsers want RSA keys of 2048 bits or more. Some clients, such as Node, still accept it.",
        )
        .evidence("key", &weak.key.text);
    reissued(
        presented,
        finding,
        "Issue it again with a new key, such as:",
    )
}

fn unsupported_key(presented: &Presented<'_>) -> Finding {
    let key = &presented.leaf().key.text;
    let finding = UNSUPPORTED_KEY
        .finding(format!(
            "The certificate of {} has a kind of key that natsbench does not know: {key}.",
            presented.target.host_and_port()
        ))
        .because(
            "natsbench verifies RSA from 2048 bits, ECDSA P-256 and P-384, and Ed25519. Most browsers know no other kinds either; OpenSSL clients may.",
        )
        .evidence("key", key);
    reissued(
        presented,
        finding,
        "Issue it again with a common kind of key, such as:",
    )
}

fn weak_signature(presented: &Presented<'_>, weak: &Certificate) -> Finding {
    let finding = WEAK_SIGNATURE
        .finding(format!(
            "The certificate {} is signed with {}, which is refused as too weak.",
            whose(presented, weak),
            weak.signature.text
        ))
        .because("rustls (natsbench), browsers, Go and OpenSSL at its default level refuse it.")
        .evidence("signature", &weak.signature.text);
    reissued(presented, finding, "Issue it again with SHA-256, such as:")
}

fn whose(presented: &Presented<'_>, certificate: &Certificate) -> String {
    if certificate == presented.leaf() {
        format!("of {}", presented.target.host_and_port())
    } else {
        format!(
            "\"{}\" that {} sends along",
            certificate.title(),
            presented.target.host_and_port()
        )
    }
}

fn reissued(presented: &Presented<'_>, finding: Finding, step: &str) -> Finding {
    let lines = presented.issue_lines();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    finding.paste(step, &lines).paste(RELOAD.0, RELOAD.1)
}
