//! A TCP connection to every address of the host.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::clock::mono_now;
use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::code::Code;
use crate::doctor::examination::{Examination, Reached};
use crate::net::probe;
use crate::results::doctor::{Certainty, Finding, Severity};
use crate::units::format_duration;

const REFUSED: Code = Code {
    name: "tcp.refused",
    severity: Severity::Error,
    meaning: "Nothing listens on the port: the connection was refused.",
    cause: "nats-server is not running, refused to start, has no `websocket` block, or listens on another port or address.",
    fix: "Start nats-server, or use the port that its log names in `Listening for websocket clients on`.",
};

const TIMED_OUT: Code = Code {
    name: "tcp.timeout",
    severity: Severity::Error,
    meaning: "The connection is not answered at all.",
    cause: "A firewall or security group drops the packets, or the address belongs to no running machine.",
    fix: "Open the port in the firewall, or correct the address.",
};

const UNREACHABLE: Code = Code {
    name: "tcp.unreachable",
    severity: Severity::Error,
    meaning: "There is no way to the address.",
    cause: "The network or its route is down, or this machine has no network of that address family.",
    fix: "Check the network of this machine and the address.",
};

pub(super) const CHECK: Check = Check {
    id: CheckId::Tcp,
    requires: &[CheckId::Dns],
    codes: &[&REFUSED, &TIMED_OUT, &UNREACHABLE],
    run: |examination| Box::pin(run(examination)),
};

/// What became of each address, in the order of the resolver.
struct Attempt {
    address: SocketAddr,
    result: io::Result<(TcpStream, Duration)>,
}

async fn run(examination: &mut Examination<'_>) -> Looked {
    if examination.learned.addresses.is_empty() {
        return Looked::Unable("there is no address".to_owned());
    }
    let attempts = connect_to_all(&examination.learned.addresses, examination.step_limit()).await;
    let texts: Vec<_> = attempts.iter().map(text_of).collect();
    let mut failures = Vec::new();
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
        let finding = unreached(&failures);
        examination.find(finding);
    }
    Looked::At(texts.join(", "))
}

/// Every address at the same time.
async fn connect_to_all(addresses: &[SocketAddr], limit: Duration) -> Vec<Attempt> {
    let mut tasks = JoinSet::new();
    for (idx, address) in addresses.iter().copied().enumerate() {
        tasks.spawn(async move {
            let begun = mono_now();
            let result = probe::connect(address, limit).await;
            let took = Duration::from_nanos(mono_now().since(begun));
            let result = result.map(|tcp| (tcp, took));
            (idx, Attempt { address, result })
        });
    }
    let mut attempts = tasks.join_all().await;
    attempts.sort_by_key(|(idx, _)| *idx);
    attempts.into_iter().map(|(_, attempt)| attempt).collect()
}

fn text_of(attempt: &Attempt) -> String {
    match &attempt.result {
        Ok((_, took)) => format!("{} answered in {}", attempt.address, format_duration(*took)),
        Err(error) => format!("{}: {error}", attempt.address),
    }
}

fn unreached(failures: &[(SocketAddr, io::Error)]) -> Finding {
    let (address, error) = &failures[0];
    let mut finding = match error.kind() {
        io::ErrorKind::ConnectionRefused => REFUSED
            .finding(format!(
                "Nothing listens on {address}: the connection was refused."
            ))
            .certainty(Certainty::Certain),
        io::ErrorKind::TimedOut => TIMED_OUT.finding(format!(
            "{address} does not answer: the connection timed out."
        )),
        _ => UNREACHABLE.finding(format!("{address} cannot be reached: {error}.")),
    };
    for (address, error) in failures {
        finding = finding.evidence(&address.to_string(), error);
    }
    finding
}
