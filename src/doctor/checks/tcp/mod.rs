//! A TCP connection to every address of the host.

mod codes;
mod other_address;
mod refused;
mod silent;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::mono_now;
use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::elsewhere::url_with_host;
use crate::doctor::examination::{Examination, Reached};
use crate::doctor::reprobe::{Unanswered, unanswered};
use crate::net::probe;
use crate::net::target::Target;
use crate::results::doctor::{Certainty, Finding, Severity};
use crate::units::format_duration;

/// How long the other addresses get once one has answered: a lost first packet is sent again after a second.
const STRAGGLERS: Duration = Duration::from_millis(1_300);

pub(super) const CHECK: Check = Check {
    id: CheckId::Tcp,
    requires: &[CheckId::Dns],
    codes: &[
        &codes::REFUSED,
        &codes::OTHER_FAMILY,
        &codes::OTHER_ADDRESS,
        &codes::WRONG_PORT,
        &codes::NOT_CONFIGURED,
        &codes::TIMED_OUT,
        &codes::UNREACHABLE,
        &codes::SOME_ADDRESSES,
    ],
    run: |examination| Box::pin(run(examination)),
};

/// What became of each address, in the order of the resolver.
struct Attempt {
    address: SocketAddr,
    result: io::Result<(TcpStream, Duration)>,
}

/// An address that took no connection, and what the system says.
type Failure = (SocketAddr, io::Error);

async fn run(examination: &mut Examination<'_>) -> Looked {
    if examination.learned.addresses.is_empty() {
        return Looked::Unable("there is no address".to_owned());
    }
    let attempts = connect_to_all(&examination.learned.addresses, examination.step_limit()).await;
    let texts: Vec<_> = attempts.iter().map(text_of).collect();
    let mut failures: Vec<Failure> = Vec::new();
    for attempt in attempts {
        match attempt.result {
            Ok((tcp, took)) => {
                let address = attempt.address;
                examination.learned.reached.push(Reached { address, took });
                examination.learned.tcp.get_or_insert(tcp);
            }
            Err(error) => failures.push((attempt.address, error)),
        }
    }
    if examination.learned.reached.is_empty() {
        let finding = unreached(examination, &failures).await;
        examination.find(finding);
    } else if !failures.is_empty() {
        let answers = examination.learned.reached[0].address;
        let finding = some_addresses(examination.target, answers, &failures);
        examination.find(finding);
    }
    Looked::At(texts.join(", "))
}

/// Every address at the same time. Once one has answered, the others do not hold it up for long.
async fn connect_to_all(addresses: &[SocketAddr], limit: Duration) -> Vec<Attempt> {
    let mut tasks = JoinSet::new();
    for address in addresses.iter().copied() {
        tasks.spawn(async move {
            let begun = mono_now();
            let result = probe::connect(address, limit).await;
            let took = Duration::from_nanos(mono_now().since(begun));
            let result = result.map(|tcp| (tcp, took));
            Attempt { address, result }
        });
    }
    let mut attempts: Vec<Attempt> = Vec::new();
    // A task that panics cannot be; those that are left are cancelled when the set is dropped.
    while !attempts.iter().any(|attempt| attempt.result.is_ok()) {
        match tasks.join_next().await {
            Some(Ok(attempt)) => attempts.push(attempt),
            _ => break,
        }
    }
    let stragglers = async {
        while let Some(Ok(attempt)) = tasks.join_next().await {
            attempts.push(attempt);
        }
    };
    // Who is not there by then has not answered.
    let _ = timeout(STRAGGLERS, stragglers).await;
    for address in addresses {
        if !attempts.iter().any(|attempt| attempt.address == *address) {
            attempts.push(Attempt {
                address: *address,
                result: Err(io::ErrorKind::TimedOut.into()),
            });
        }
    }
    let position = |attempt: &Attempt| addresses.iter().position(|at| *at == attempt.address);
    attempts.sort_by_key(position);
    attempts
}

fn text_of(attempt: &Attempt) -> String {
    match &attempt.result {
        Ok((_, took)) => format!("{} answered in {}", attempt.address, format_duration(*took)),
        Err(error) => format!("{}: {}", attempt.address, error_text(error)),
    }
}

fn error_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => "no answer".to_owned(),
        _ => error.to_string(),
    }
}

async fn unreached(examination: &mut Examination<'_>, failures: &[Failure]) -> Finding {
    let has = |kind| failures.iter().any(|(_, error)| error.kind() == kind);
    // A refusal comes from the machine that is meant; silence may come from a family that has no network.
    // Loopback of a family that this machine has not: the other one may answer.
    let is_no_loopback = |(address, error): &Failure| {
        address.ip().is_loopback() && error.kind() == io::ErrorKind::AddrNotAvailable
    };
    let finding = if has(io::ErrorKind::ConnectionRefused) || failures.iter().any(is_no_loopback) {
        refused::finding(examination, failures).await
    } else if has(io::ErrorKind::ConnectionReset) {
        // Who is refused gets another error: this connection was taken, and reset before we looked at it.
        let what = Unanswered::Broken {
            received: Vec::new(),
            error: "Connection reset by peer".to_owned(),
            after: Duration::ZERO,
        };
        unanswered(examination, what).await
    } else if has(io::ErrorKind::TimedOut) {
        silent::timed_out(examination, failures).await
    } else {
        silent::unreachable(examination.target, failures)
    };
    failures.iter().fold(finding, |finding, (address, error)| {
        finding.evidence(&address.to_string(), error_text(error))
    })
}

/// The first one that did not answer, and who did. Loopback refuses at once, and every client that knows several
/// addresses then takes the next one: good to know, but no trouble.
fn some_addresses(target: &Target, answers: SocketAddr, failures: &[Failure]) -> Finding {
    let is_harmless = |(address, error): &Failure| {
        address.ip().is_loopback() && error.kind() != io::ErrorKind::TimedOut
    };
    let is_harmless = failures.iter().all(is_harmless);
    let dead: Vec<_> = failures
        .iter()
        .map(|(address, _)| address.ip().to_string())
        .collect();
    let is_silent = failures
        .iter()
        .any(|(_, error)| error.kind() == io::ErrorKind::TimedOut);
    let consequence = if is_silent {
        "A client that tries that address first waits until its own time limit; browsers and most client libraries try the addresses in the order of the resolver."
    } else {
        "A client that tries only the first address of a name fails, and one that tries all of them takes longer."
    };
    let finding = codes::SOME_ADDRESSES
        .finding(format!(
            "Not every address of {} takes connections on port {}: {} does not, {} does.",
            target.host,
            target.port,
            dead.join(" and "),
            answers.ip()
        ))
        .because(consequence)
        .certainty(Certainty::Certain)
        .severity(if is_harmless {
            Severity::Info
        } else {
            Severity::Warning
        });
    let finding = failures.iter().fold(finding, |finding, (address, error)| {
        finding.evidence(&address.to_string(), error_text(error))
    });
    let is_other_family = failures
        .iter()
        .all(|(address, _)| address.is_ipv4() != answers.is_ipv4());
    let finding = if is_other_family {
        other_address::listen_on_both(finding, target)
    } else {
        finding.remedy(format!(
            "Start the server at {}, or take that address out of DNS.",
            dead.join(" and ")
        ))
    };
    finding.remedy(format!(
        "Until then, use the address that answers: `{}`.",
        url_with_host(target, &answers.ip().to_string())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(address: &str, kind: io::ErrorKind) -> Failure {
        (address.parse().unwrap(), kind.into())
    }

    fn judged(host: &str, answers: &str, failure: Failure) -> Finding {
        let target: Target = format!("ws://{host}:8443").parse().unwrap();
        some_addresses(&target, answers.parse().unwrap(), &[failure])
    }

    #[test]
    fn a_refusal_of_the_other_loopback_is_no_trouble() {
        let refused = failure("[::1]:8443", io::ErrorKind::ConnectionRefused);
        let finding = judged("localhost", "127.0.0.1:8443", refused);
        assert_eq!(finding.severity, Severity::Info);
        assert!(finding.title.contains("::1 does not"), "{}", finding.title);
    }

    #[test]
    fn an_address_that_swallows_packets_is_a_warning() {
        let silent = failure("[2001:db8::1]:8443", io::ErrorKind::TimedOut);
        let finding = judged("game.example", "192.0.2.1:8443", silent);
        assert_eq!(finding.severity, Severity::Warning);
        assert!(
            finding.remedy[0].contains("host: \"::\""),
            "{:?}",
            finding.remedy
        );
    }

    #[test]
    fn a_dead_one_of_two_machines_is_a_warning_that_names_it() {
        let refused = failure("192.0.2.2:8443", io::ErrorKind::ConnectionRefused);
        let finding = judged("game.example", "192.0.2.1:8443", refused);
        assert_eq!(finding.severity, Severity::Warning);
        assert!(
            finding.remedy[0].contains("Start the server at 192.0.2.2"),
            "{:?}",
            finding.remedy
        );
    }
}
