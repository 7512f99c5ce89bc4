//! The connection is not answered, or there is no way to the address.

use std::net::SocketAddr;

use super::{Failure, codes};
use crate::doctor::examination::Examination;
use crate::doctor::neighbours::Neighbours;
use crate::host::Process;
use crate::net::target::Target;
use crate::report::harmless::harmless;
use crate::results::doctor::{Certainty, Finding};
use crate::units::format_duration;

/// Asks other ports of the host, to tell a closed way from an absent host.
pub(super) async fn timed_out(examination: &mut Examination<'_>, failures: &[Failure]) -> Finding {
    let waited = examination.plan.dial.timeout;
    let neighbours = examination.look_around().await;
    judge_timeout(failures, &neighbours)
        .evidence("waited", format!("at most {}", format_duration(waited)))
}

fn judge_timeout(failures: &[Failure], neighbours: &Neighbours) -> Finding {
    let address = failures[0].0;
    let port = address.port();
    let local = neighbours.local.as_ref();
    if let Some(owner) = local.and_then(|local| local.owner.as_ref()) {
        return queue_full(address, owner);
    }
    let finding = if neighbours.n_alive > 0 {
        codes::TIMED_OUT
            .finding(format!(
                "{} is there, but something drops every packet to port {port}: a firewall, most likely.",
                address.ip()
            ))
            .because("Other ports of the host answer or refuse at once, and this one does neither.")
            .certainty(Certainty::Likely)
            .remedy(format!(
                "Open TCP port {port} in the firewall of the host, in the security group, or in the network policy."
            ))
    } else {
        codes::TIMED_OUT
            .finding(format!(
                "{address} does not answer: the connection timed out, and so do other ports of that host."
            ))
            .because("Packets to it vanish: a firewall drops them, or the address belongs to no running machine.")
            .certainty(Certainty::Possible)
            .remedy(format!(
                "Check the address {} and whether the machine runs.",
                address.ip()
            ))
            .remedy(format!(
                "Allow TCP port {port} from this machine in the firewall or security group; connect the VPN if the address is a private one."
            ))
            .or(
                "a firewall or security group drops what comes from this machine",
                "from a machine in the same network the port answers",
            )
            .or(
                "the address is wrong or the machine is down",
                "it does not answer from anywhere",
            )
    };
    if let Some(client) = &neighbours.client {
        finding.evidence(
            &client.address.to_string(),
            format!("INFO of nats-server {}", client.info.version),
        )
    } else {
        finding
    }
}

/// No firewall: somebody here listens on the port.
fn queue_full(address: SocketAddr, owner: &Process) -> Finding {
    let name = harmless(&owner.name);
    let state = if owner.is_frozen {
        "is stopped"
    } else {
        "is stopped or overloaded"
    };
    let finding = codes::QUEUE_FULL
        .finding(format!(
            "The connection to {address} times out: {name} (pid {}), which listens there, takes no more connections; it {state}.",
            owner.pid
        ))
        .because("The system keeps new connections in a queue until the process takes them, and drops what does not fit into it.")
        .evidence("listens there", format!("{name} (pid {})", owner.pid))
        .certainty(if owner.is_frozen {
            Certainty::Certain
        } else {
            Certainty::Likely
        })
        .paste("If it is stopped, let it go on:", &[&format!("kill -CONT {}", owner.pid)])
        .remedy("Otherwise look at its load and memory, and restart it.");
    if owner.is_frozen {
        return finding;
    }
    finding.or(
        "a firewall of this machine drops packets to the port",
        "`nft list ruleset` or `iptables -S` names the port",
    )
}

pub(super) fn unreachable(target: &Target, failures: &[Failure]) -> Finding {
    let (address, error) = &failures[0];
    let finding = codes::UNREACHABLE
        .finding(format!("There is no way to {address}: {error}."))
        .certainty(Certainty::Likely);
    if is_without_family(failures) {
        return finding
            .because(format!(
                "This machine has no {} network, and {} has only addresses of that family.",
                family(*address),
                target.host
            ))
            .remedy(format!(
                "Give {} an address of the other family, or this machine a network of this one.",
                target.host
            ));
    }
    finding
        .because("The system knows no route to the address, or a router on the way says that there is none.")
        .remedy("Check the network of this machine (`ip route get ADDRESS`), the VPN, and the address.")
        .or(
            "a firewall rejects the connection with an ICMP message",
            "other ports of the host answer",
        )
}

/// Every address is of the same family, and the system has no network for it.
fn is_without_family(failures: &[Failure]) -> bool {
    use std::io::ErrorKind::{AddrNotAvailable, NetworkUnreachable};
    failures.iter().all(|(address, error)| {
        address.is_ipv6() && matches!(error.kind(), NetworkUnreachable | AddrNotAvailable)
    })
}

fn family(address: SocketAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    fn failures(address: &str, kind: ErrorKind) -> Vec<Failure> {
        vec![(address.parse().unwrap(), kind.into())]
    }

    #[test]
    fn a_host_whose_other_ports_answer_is_behind_a_firewall() {
        let failures = failures("192.0.2.1:8443", ErrorKind::TimedOut);
        let alive = Neighbours {
            n_alive: 1,
            ..Neighbours::default()
        };
        let finding = judge_timeout(&failures, &alive);
        assert_eq!(finding.certainty, Certainty::Likely);
        assert!(finding.title.contains("firewall"));
        let finding = judge_timeout(&failures, &Neighbours::default());
        assert_eq!(finding.certainty, Certainty::Possible);
        assert_eq!(finding.alternatives.len(), 2);
    }

    #[test]
    fn a_machine_without_ipv6_is_told_so() {
        let target: Target = "ws://game.example:8443".parse().unwrap();
        let none = failures("[2001:db8::1]:8443", ErrorKind::NetworkUnreachable);
        assert!(unreachable(&target, &none).explanation.contains("IPv6"));
        let route = failures("192.0.2.1:8443", ErrorKind::HostUnreachable);
        assert!(unreachable(&target, &route).explanation.contains("route"));
    }
}
