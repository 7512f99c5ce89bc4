//! The addresses of the host, of both families.

use std::net::IpAddr;

use tokio::time::timeout;

use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::code::Code;
use crate::doctor::examination::Examination;
use crate::net::dial::{DialError, resolve};
use crate::report::message::harmless;
use crate::results::doctor::Severity;

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

pub(super) const CHECK: Check = Check {
    id: CheckId::Dns,
    requires: &[],
    codes: &[&NO_SUCH_NAME, &NO_ANSWER],
    run: |examination| Box::pin(run(examination)),
};

async fn run(examination: &mut Examination<'_>) -> Looked {
    let host = &examination.target.host;
    let limit = examination.step_limit();
    let looked_up = timeout(limit, resolve(examination.target)).await;
    match looked_up {
        Ok(Ok(mut addresses)) => {
            let mut seen = std::collections::HashSet::new();
            addresses.retain(|address| seen.insert(*address));
            let shown: Vec<_> = addresses
                .iter()
                .map(|address| address.ip().to_string())
                .collect();
            let text = format!("{host} is {}", shown.join(", "));
            examination.learned.addresses = addresses;
            if host.parse::<IpAddr>().is_ok() {
                return Looked::NotNeeded(format!("{host} is an address"));
            }
            Looked::At(text)
        }
        Ok(Err(error)) => {
            let said = match &error {
                DialError::Dns { source, .. } => source.to_string(),
                other => other.to_string(),
            };
            let finding = NO_SUCH_NAME
                .finding(format!(
                    "The host name `{host}` does not resolve: it has no address."
                ))
                .because("Nothing can be connected to before the name has an address.")
                .evidence("lookup", harmless(&said))
                .remedy(format!(
                    "Correct the host name in the URL, or add `{host}` to DNS or to /etc/hosts."
                ))
                .remedy("If the address is known, use it in the URL in place of the name.");
            let text = format!("looked up {host}: {said}");
            examination.find(finding);
            Looked::At(text)
        }
        Err(_) => {
            let finding = NO_ANSWER
                .finding(format!("No name server answers for `{host}`."))
                .evidence("waited", crate::units::format_duration(limit))
                .remedy("Check the name server in /etc/resolv.conf, and whether it can be reached from here.")
                .remedy("If the address is known, use it in the URL in place of the name.");
            examination.find(finding);
            Looked::At(format!("looked up {}", examination.target.host))
        }
    }
}
