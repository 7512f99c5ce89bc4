//! Whether a certificate is for the host of the URL.

use std::net::IpAddr;

use super::certificate::Certificate;
use super::chain::{Presented, list};
use super::codes::{NAME_MISMATCH, NO_ALTERNATIVE_NAME};
use crate::results::doctor::Finding;

pub(super) fn judge(presented: &Presented<'_>) -> Option<Finding> {
    let leaf = presented.leaf();
    // A certificate of version 1 has no names at all, which is said already.
    if presented.verdict.name.is_ok() || leaf.is_version_1() {
        return None;
    }
    if !leaf.has_alternative_names {
        return Some(no_alternative_name(presented));
    }
    Some(mismatch(presented))
}

fn no_alternative_name(presented: &Presented<'_>) -> Finding {
    let leaf = presented.leaf();
    let common_name = leaf.common_name.as_deref().unwrap_or("none");
    let lines = presented.issue_lines();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    NO_ALTERNATIVE_NAME
        .finding(format!(
            "The certificate of {} has no subject alternative name, only the common name {common_name}.",
            presented.target.host_and_port()
        ))
        .because(
            "The common name counts no more: browsers, Go and rustls (natsbench) refuse such a certificate, while OpenSSL clients (Python, Node) still accept it.",
        )
        .evidence("common name", common_name)
        .paste(
            format!(
                "Issue it again with `subjectAltName={}`, such as:",
                presented.alternative_name()
            ),
            &lines,
        )
        .paste("Have nats-server read it:", &["nats-server --signal reload"])
}

fn mismatch(presented: &Presented<'_>) -> Finding {
    let leaf = presented.leaf();
    let host = presented.host();
    let names = leaf.names();
    let title = if names.is_empty() {
        format!(
            "The certificate of {} names no host.",
            presented.target.host_and_port()
        )
    } else {
        format!(
            "The certificate of {} is not for {host}, but for {}.",
            presented.target.host_and_port(),
            list(&names)
        )
    };
    let mut finding = NAME_MISMATCH
        .finding(title)
        .because(format!(
            "{} Every client that verifies certificates refuses it, browsers too.",
            reason(host, leaf)
        ))
        .evidence("host of the URL", host);
    if let Some(name) = usable_name(host, leaf) {
        finding = finding.paste(
            "Use a name of the certificate in the URL, if it leads to this server:",
            &[&presented.command_for(name)],
        );
    }
    let lines = presented.issue_lines();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    finding.paste(
        format!(
            "Or issue the certificate with `{}` among its subject alternative names, such as:",
            presented.alternative_name()
        ),
        &lines,
    )
}

fn reason(host: &str, leaf: &Certificate) -> String {
    let is_address = host.parse::<IpAddr>().is_ok();
    if is_address && leaf.dns_names.iter().any(|name| name == host) {
        return format!(
            "The certificate has the address as a DNS name (`DNS:{host}`), which counts for nothing: it has to be `IP:{host}`."
        );
    }
    if is_address && leaf.addresses.is_empty() {
        return "The URL has an IP address, and the certificate has DNS names only.".to_owned();
    }
    if is_address {
        return "The certificate has other addresses.".to_owned();
    }
    if leaf.dns_names.is_empty() && !leaf.addresses.is_empty() {
        return "The URL has a DNS name, and the certificate has IP addresses only.".to_owned();
    }
    if leaf
        .common_name
        .as_deref()
        .is_some_and(|name| name.eq_ignore_ascii_case(host))
    {
        return "The host is the common name of the certificate, but where there are alternative names only these count."
            .to_owned();
    }
    for name in &leaf.dns_names {
        let Some(suffix) = name.strip_prefix("*.") else {
            continue;
        };
        if host.eq_ignore_ascii_case(suffix) {
            return format!("{name} covers names below {suffix}, not {suffix} itself.");
        }
        if ends_with_domain(host, suffix) {
            return format!("{name} covers one label in front of {suffix}, and {host} has more.");
        }
    }
    "Another server may have answered than the one that was meant.".to_owned()
}

fn ends_with_domain(host: &str, suffix: &str) -> bool {
    let head = host.len().checked_sub(suffix.len());
    let parts = head.and_then(|at| Some((host.get(..at)?, host.get(at..)?)));
    parts.is_some_and(|(head, tail)| head.ends_with('.') && tail.eq_ignore_ascii_case(suffix))
}

/// A name of the certificate that can stand in a URL; for the own machine one that means it.
fn usable_name<'a>(host: &str, leaf: &'a Certificate) -> Option<&'a str> {
    let is_local = host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    let mut names = leaf.dns_names.iter().map(String::as_str);
    if is_local && names.clone().any(|name| name == "localhost") {
        return Some("localhost");
    }
    let is_name = |name: &&str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        !name.is_empty() && name.chars().all(is_plain) && name.parse::<IpAddr>().is_err()
    };
    names.find(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_ends_at_a_dot() {
        assert!(ends_with_domain("a.b.example.com", "Example.com"));
        assert!(!ends_with_domain("badexample.com", "example.com"));
        assert!(!ends_with_domain("com", "example.com"));
        assert!(!ends_with_domain("ä", "x"));
    }
}
