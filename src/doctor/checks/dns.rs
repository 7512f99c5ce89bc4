//! The addresses of the host, of both families.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::timeout;

use crate::clock::mono_now;
use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::code::Code;
use crate::doctor::examination::Examination;
use crate::net::dial::{DialError, resolve};
use crate::net::target::Target;
use crate::report::harmless::harmless;
use crate::results::doctor::{Certainty, Finding, Severity};
use crate::units::format_duration;

const NO_SUCH_NAME: Code = Code {
    name: "dns.no-address",
    severity: Severity::Error,
    meaning: "The host name of the URL has no address.",
    cause: "The name is misspelt, is not in DNS or the hosts file, or is known only inside another network (a container or cluster name, say).",
    fix: "Correct the name in the URL, add it to DNS or to /etc/hosts, or use the address itself.",
};

const NO_ANSWER: Code = Code {
    name: "dns.timeout",
    severity: Severity::Error,
    meaning: "The name servers do not answer.",
    cause: "The configured name server is down or cannot be reached from this machine, or the time limit is too short for it.",
    fix: "Check the name server in /etc/resolv.conf, or use the address of the broker in the URL.",
};

/// Most addresses that are tried: each of them is a connection at the same time.
const MAX_ADDRESSES: usize = 64;
/// Names that are never in public DNS (RFC 6761): whatever the resolver says, the name itself is wrong.
const RESERVED: [&str; 3] = ["invalid", "test", "example"];
/// Endings of names that only one network knows.
const INNER: [&str; 6] = [
    ".svc",
    ".svc.cluster.local",
    ".cluster.local",
    ".internal",
    ".local",
    ".lan",
];

pub(super) const CHECK: Check = Check {
    id: CheckId::Dns,
    requires: &[],
    codes: &[&NO_SUCH_NAME, &NO_ANSWER],
    run: |examination| Box::pin(run(examination)),
};

async fn run(examination: &mut Examination<'_>) -> Looked {
    let host = &examination.target.host;
    let limit = examination.step_limit();
    let begun = mono_now();
    let looked_up = timeout(limit, resolve(examination.target)).await;
    let took = Duration::from_nanos(mono_now().since(begun));
    match looked_up {
        Ok(Ok(mut addresses)) => {
            let mut seen = std::collections::HashSet::new();
            addresses.retain(|address| seen.insert(*address));
            addresses.truncate(MAX_ADDRESSES);
            let shown: Vec<_> = addresses
                .iter()
                .map(|address| address.ip().to_string())
                .collect();
            let text = format!(
                "{host} is {}, in {}",
                shown.join(", "),
                format_duration(took)
            );
            examination.learned.addresses = addresses;
            if host.parse::<IpAddr>().is_ok() {
                return Looked::NotNeeded(format!("{host} is an address"));
            }
            Looked::At(text)
        }
        Ok(Err(error)) => {
            let (said, is_temporary) = match &error {
                DialError::Dns { source, .. } => (source.to_string(), is_temporary(source)),
                other => (other.to_string(), false),
            };
            let text = format!("looked up {host}: {said}");
            let finding = if is_temporary && !is_reserved(host) {
                no_answer(examination.target)
            } else {
                no_such_name(examination.target)
            };
            examination.find(finding.evidence("lookup", harmless(&said)));
            Looked::At(text)
        }
        Err(_) => {
            let finding = no_answer(examination.target).evidence("waited", format_duration(limit));
            examination.find(finding);
            Looked::At(format!("looked up {}: no answer", examination.target.host))
        }
    }
}

/// The resolver could not ask anybody, which says nothing about the name.
fn is_temporary(error: &io::Error) -> bool {
    error.to_string().contains("Temporary failure")
}

fn is_reserved(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next();
    last.is_some_and(|last| RESERVED.iter().any(|name| last.eq_ignore_ascii_case(name)))
}

/// The finding with a caret under the host.
fn pointing(finding: Finding, target: &Target) -> Finding {
    let url = target.to_string();
    // Behind the scheme, which may hold the same letters.
    let start = url.find("://").map_or(0, |at| at + 3);
    match url[start..].find(target.host.as_str()) {
        Some(offset) => {
            finding.pointing_at(&url, start + offset..start + offset + target.host.len())
        }
        None => finding,
    }
}

fn no_such_name(target: &Target) -> Finding {
    let host = &target.host;
    let finding = pointing(
        NO_SUCH_NAME.finding(format!(
            "The host name `{host}` does not resolve: it has no address."
        )),
        target,
    );
    let finding = match hint(host) {
        Some((because, remedy)) => finding.because(because).remedy(remedy),
        None => finding.because("Nothing can be connected to before the name has an address."),
    };
    finding
        .remedy(format!(
            "Correct the host name in the URL, or add `{host}` to DNS or to /etc/hosts."
        ))
        .remedy("If the address is known, use it in the URL in place of the name.")
}

/// What is wrong with the name itself, and what to do.
fn hint(host: &str) -> Option<(String, String)> {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    if is_dotted_number(&name) {
        return Some((
            format!(
                "`{host}` looks like an IPv4 address, but is none: that has four numbers from 0 to 255."
            ),
            "Correct the address in the URL.".to_owned(),
        ));
    }
    if strsim::damerau_levenshtein(&name, "localhost") <= 2 {
        return Some((
            format!("`{host}` looks like `localhost`, misspelt."),
            "Write `localhost` in the URL.".to_owned(),
        ));
    }
    if INNER.iter().any(|ending| name.ends_with(ending)) {
        return Some((
            "Names with this ending are known only inside one network or cluster.".to_owned(),
            "Run this inside that network, forward the port (`kubectl port-forward svc/NAME 8443`), or use a name that is known here.".to_owned(),
        ));
    }
    if !name.contains('.') && !host.ends_with('.') {
        return Some((
            "A name without a dot is that of a container or service, usually, and known only inside its network (docker compose, Kubernetes).".to_owned(),
            "From outside, use `localhost` or the name of the machine, and the port that is published.".to_owned(),
        ));
    }
    None
}

fn is_dotted_number(name: &str) -> bool {
    name.contains('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn no_answer(target: &Target) -> Finding {
    pointing(
        NO_ANSWER.finding(format!("No name server answers for `{}`.", target.host)),
        target,
    )
    .because("Whether the name exists is not known: nobody could be asked.")
    .certainty(Certainty::Likely)
    .remedy("Check the name server in /etc/resolv.conf, and whether it can be reached from here.")
    .remedy("If the address is known, use it in the URL in place of the name.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(host: &str) -> String {
        let target = format!("ws://{host}:8443").parse().unwrap();
        no_such_name(&target).explanation
    }

    #[test]
    fn the_name_itself_is_looked_at() {
        assert!(explained("192.168.1.300").contains("IPv4"));
        assert!(explained("loclahost").contains("misspelt"));
        assert!(explained("nats.prod.svc.cluster.local").contains("cluster"));
        assert!(explained("nats").contains("container"));
        assert!(explained("nats.example.com").contains("Nothing can be connected"));
    }

    #[test]
    fn the_caret_is_under_the_host() {
        let target = "ws://ws.example:8443/ws".parse().unwrap();
        let pointer = no_such_name(&target).pointer.unwrap();
        assert_eq!(&pointer.text[pointer.start..pointer.end], "ws.example");
        assert_eq!(pointer.start, 5);
    }

    #[test]
    fn a_resolver_that_asks_nobody_says_nothing_about_a_name() {
        let error = io::Error::other(
            "failed to lookup address information: Temporary failure in name resolution",
        );
        assert!(is_temporary(&error));
        assert!(!is_temporary(&io::Error::other(
            "Name or service not known"
        )));
        assert!(is_reserved("nats.does-not-exist.invalid."));
        assert!(!is_reserved("nats.example.com"));
    }
}
