//! The connection was refused, and another address of this machine takes it on the same port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::task::JoinSet;

use super::codes;
use crate::doctor::elsewhere::{Asker, url_with_host};
use crate::doctor::examination::Examination;
use crate::host::is_own_address;
use crate::net::target::Target;
use crate::protocol::ServerInfo;
use crate::results::doctor::{Certainty, Finding};

/// The same port at the other addresses of this machine.
pub(super) async fn other_address(
    examination: &Examination<'_>,
    refused: SocketAddr,
    listening: &[SocketAddr],
) -> Option<(SocketAddr, Option<ServerInfo>)> {
    if !is_own_address(refused.ip()) {
        return None;
    }
    let loopbacks = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    let mut candidates: Vec<IpAddr> = loopbacks.to_vec();
    candidates.extend(listening.iter().map(SocketAddr::ip));
    candidates.retain(|ip| {
        let tried = &examination.learned.addresses;
        !ip.is_unspecified() && !tried.iter().any(|address| address.ip() == *ip)
    });
    let asker = Asker::of(examination);
    let mut tasks = JoinSet::new();
    for (idx, ip) in candidates.into_iter().enumerate() {
        let address = SocketAddr::new(ip, refused.port());
        let (asker, scheme) = (asker.clone(), examination.target.scheme);
        tasks.spawn(async move {
            asker.open(address, false).await.ok()?;
            Some((idx, address, asker.nats(scheme, address).await))
        });
    }
    let mut found: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    // One that speaks NATS goes before one that does not.
    found.sort_by_key(|(idx, _, info)| (info.is_none(), *idx));
    let (_, address, info) = found.into_iter().next()?;
    Some((address, info))
}

/// The server is there, and listens elsewhere.
pub(super) fn at_other_address(
    target: &Target,
    refused: SocketAddr,
    answers: SocketAddr,
    info: Option<&ServerInfo>,
) -> Finding {
    let family = |address: SocketAddr| if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let is_family = refused.is_ipv4() != answers.is_ipv4()
        && refused.ip().is_loopback()
        && answers.ip().is_loopback();
    let finding = if is_family {
        codes::OTHER_FAMILY
            .finding(format!(
                "The server listens on {} only ({answers}), and the URL goes to {} ({refused}), where nothing listens.",
                family(answers),
                family(refused),
            ))
    } else {
        codes::OTHER_ADDRESS.finding(format!(
            "The server listens on {answers}, and the URL goes to {refused}, where nothing listens."
        ))
    };
    let answer = match info {
        Some(info) => format!("nats-server {}", info.version),
        None => "takes connections".to_owned(),
    };
    let finding = finding
        .because("Both are addresses of this machine, but a listener that is bound to one of them does not take connections to the other.")
        .evidence(&answers.to_string(), answer)
        .certainty(if info.is_some() {
            Certainty::Certain
        } else {
            Certainty::Likely
        })
        .remedy(format!(
            "Use the address that answers: `{}`.",
            url_with_host(target, &answers.ip().to_string())
        ));
    let finding = listen_on_both(finding, target);
    if info.is_some() {
        finding
    } else {
        finding.or(
            "something else listens there, and the NATS server is down",
            "what listens is named by `ss -ltnp`",
        )
    }
}

/// How nats-server listens on every address.
pub(super) fn listen_on_both(finding: Finding, target: &Target) -> Finding {
    let step = "Or let nats-server listen on all addresses of both families, and restart it:";
    let port = format!("  port: {}", target.port);
    if target.scheme.is_websocket() {
        let lines = [
            "websocket {",
            "  host: \"::\"",
            &port,
            "  # and the lines that are there already",
            "}",
        ];
        finding.paste(step, &lines)
    } else {
        finding.paste(step, &["host: \"::\"", port.trim()])
    }
}
