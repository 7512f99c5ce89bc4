//! How well it works: round trip, clocks, the limits of this machine, and a proxy that may cut idle connections.

mod clocks;
mod idle;

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::code::Code;
use crate::doctor::examination::Examination;
use crate::results::doctor::{Certainty, Finding, Severity};
use crate::units::format_duration;

/// PINGs that are timed.
const N_PINGS: usize = 9;
/// All of them together take no longer, on a way that is slow.
const PATIENCE: Duration = Duration::from_millis(300);
/// What is promised between machines of one network.
const PROMISE: Duration = Duration::from_millis(2);
/// An answer that takes so long, from a port that takes connections at once, is worth a warning.
const SLOW: Duration = Duration::from_millis(50);
/// So many times the round trip of the network is not the network.
const FAR_ABOVE: u32 = 20;
/// Fewer open files than this do not last for a load test, or a browser's worth of connections.
const MIN_OPEN_FILES: u64 = 1_024;

const SLOW_ANSWERS: Code = Code {
    name: "health.slow-answers",
    severity: Severity::Warning,
    meaning: "The server takes long to answer a PING, and it is not the way to its port.",
    cause: "The TCP connection came about quickly, but even the fastest PONG took 50 ms or more: the server, or a proxy in \
            front of it, is overloaded, or the way behind the proxy or tunnel is long.",
    fix: "Look at the load of the server and of the proxy, and compare with the round trip from the proxy's machine.",
};

const OPEN_FILES: Code = Code {
    name: "health.open-files",
    severity: Severity::Warning,
    meaning: "This machine allows this user very few open files.",
    cause: "Each connection needs one. The hard limit (`ulimit -Hn`) is below 1024.",
    fix: "Raise `nofile` in /etc/security/limits.conf, or `LimitNOFILE=` of the systemd unit.",
};

pub(super) const CHECK: Check = Check {
    id: CheckId::Health,
    requires: &[CheckId::Connect],
    codes: &[
        &SLOW_ANSWERS,
        &clocks::CLOCK_OFFSET,
        &idle::PROXY_CUTS_IDLE,
        &OPEN_FILES,
    ],
    run: |examination| Box::pin(run(examination)),
};

async fn run(examination: &mut Examination<'_>) -> Looked {
    if examination.learned.conversation.is_none() {
        return Looked::Unable("there is no login".to_owned());
    }
    let Some(times) = round_trips(examination).await else {
        return Looked::Unable("the connection does not answer PING any more".to_owned());
    };
    let text = format!(
        "{} median, {} at best ({} PINGs)",
        format_duration(times[times.len() / 2]),
        format_duration(times[0]),
        times.len()
    );
    if times[0] > PROMISE {
        let promise = format_duration(PROMISE);
        examination.fact(
            "round trip",
            format!("{text}; {promise} is promised within one network"),
        );
    } else {
        examination.fact("round trip", &text);
    }
    let tcp = examination.learned.reached.first();
    if let Some(finding) = slow(times[0], tcp.map(|reached| reached.took)) {
        examination.find(finding.evidence("round trip", &text));
    }
    clocks::look(examination).await;
    idle::look(examination).await;
    let n_files = getrlimit(Resource::Nofile).maximum;
    if let Some(finding) = few_files(n_files) {
        examination.find(finding);
    }
    Looked::At(format!("PING and PONG: {text}"))
}

/// Sorted; `None` if not even one PING was answered.
async fn round_trips(examination: &mut Examination<'_>) -> Option<Vec<Duration>> {
    let limit = examination.step_limit();
    let conversation = examination.learned.conversation.as_mut()?;
    let mut times = Vec::new();
    while times.len() < N_PINGS && times.iter().sum::<Duration>() < PATIENCE {
        let answer = conversation.settle(limit).await;
        if !answer.is_clean() {
            break;
        }
        times.push(answer.took);
    }
    times.sort_unstable();
    (!times.is_empty()).then_some(times)
}

/// What the network takes is no finding: the server may be on another continent.
fn slow(best: Duration, tcp: Option<Duration>) -> Option<Finding> {
    let tcp = tcp?;
    if best < SLOW || best < tcp * FAR_ABOVE {
        return None;
    }
    let finding = SLOW_ANSWERS
        .finding(format!(
            "Even the fastest PONG took {}, while the TCP connection took {}.",
            format_duration(best),
            format_duration(tcp)
        ))
        .because(format!(
            "The way to the port is short, so that it is the server, or what lies behind the port, that is slow. The promise of {} \
             for a message cannot be kept like that.",
            format_duration(PROMISE)
        ))
        .evidence("TCP connection", format_duration(tcp))
        .remedy("Look at the load of the server and of a proxy in front of it.")
        .certainty(Certainty::Possible)
        .or(
            "a long way behind the port: a tunnel, a port forwarding or a proxy far from nats-server",
            "the round trip is as long as that of a ping to the machine of nats-server",
        );
    Some(finding)
}

fn few_files(n_files: Option<u64>) -> Option<Finding> {
    let n_files = n_files.filter(|n_files| *n_files < MIN_OPEN_FILES)?;
    Some(
        OPEN_FILES
            .finding(format!("This user may open only {n_files} files and connections."))
            .because("Each connection needs one, so that a load test, or an application with many clients, runs into it.")
            .evidence("ulimit -Hn", n_files)
            .paste("Raise it for a shell in /etc/security/limits.conf:", &["* hard nofile 65536"])
            .paste("Or for a systemd unit:", &["LimitNOFILE=65536"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_long_way_is_no_finding_and_a_slow_answer_behind_a_short_one_is() {
        assert_eq!(slow(MS, Some(MS)), None);
        // A busy machine.
        assert_eq!(slow(MS * 30, Some(MS / 10)), None);
        // By satellite.
        assert_eq!(slow(MS * 650, Some(MS * 640)), None);
        let finding = slow(MS * 800, Some(MS / 10)).expect("that is slow");
        assert_eq!(finding.severity, Severity::Warning);
    }

    #[test]
    fn only_a_low_hard_limit_of_open_files_is_reported() {
        assert_eq!(few_files(None), None);
        assert_eq!(few_files(Some(1_024)), None);
        let finding = few_files(Some(256)).expect("that is few");
        assert!(finding.title.contains("256"), "{}", finding.title);
    }
}
