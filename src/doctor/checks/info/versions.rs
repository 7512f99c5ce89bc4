//! What is publicly known of releases of nats-server, as far as it concerns WebSocket.
//!
//! None of it keeps a client from working, so that it is told and not warned of.

use crate::doctor::code::Code;
use crate::net::target::Scheme;
use crate::protocol::ServerInfo;
use crate::results::doctor::{Finding, Severity};
use crate::units::format_bytes;

pub(super) const VULNERABLE: Code = Code {
    name: "info.known-vulnerability",
    severity: Severity::Info,
    meaning: "This release can be made to crash through its WebSocket port, without a login.",
    cause: "CVE-2026-27571, CVE-2026-27889 and CVE-2026-33219: a frame with a bad length, or one that inflates without end. Fixed in 2.11.15 and 2.12.6.",
    fix: "Update nats-server where the WebSocket port can be reached by strangers.",
};

pub(super) const COMPRESSED_BATCH: Code = Code {
    name: "info.compressed-batch",
    severity: Severity::Info,
    meaning: "With compression, this release counts all messages of a WebSocket message together against `max_payload`.",
    cause: "Releases since 2.11.12 and 2.12.3 end the connection when a compressed WebSocket message inflates to more than `max_payload`, even if each NATS message in it is smaller.",
    fix: "Publish smaller batches, raise `max_payload`, or switch compression off.",
};

/// `2.12.8`, also of `2.12.8-RC.1`.
pub(super) fn version_of(text: &str) -> Option<(u32, u32, u32)> {
    let core = text.trim_start_matches('v').split(['-', '+']).next()?;
    let mut parts = core.split('.').map(str::parse::<u32>);
    let version = (
        parts.next()?.ok()?,
        parts.next()?.ok()?,
        parts.next()?.ok()?,
    );
    parts.next().is_none().then_some(version)
}

/// Whether a release has what came with these patch releases of two lines, and with all later lines.
fn is_at_least(version: (u32, u32, u32), older: (u32, u32, u32), newer: (u32, u32, u32)) -> bool {
    version >= newer || (version >= older && (version.0, version.1) == (older.0, older.1))
}

/// What is worth knowing.
pub(super) fn judge(info: &ServerInfo, scheme: Scheme, is_compressed: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(version) = version_of(&info.version).filter(|_| scheme.is_websocket()) else {
        return findings;
    };
    // WebSocket came with 2.2.0.
    if version >= (2, 2, 0) && !is_at_least(version, (2, 11, 15), (2, 12, 6)) {
        findings.push(
            VULNERABLE
                .finding(format!(
                    "nats-server {}.{}.{} can be crashed through its WebSocket port by anybody who reaches it.",
                    version.0, version.1, version.2
                ))
                .because("CVE-2026-27571, CVE-2026-27889 and CVE-2026-33219 need no login. Clients work as usual.")
                .evidence("version", format!("{}.{}.{}", version.0, version.1, version.2))
                .remedy("Update to 2.11.15, 2.12.6 or newer where strangers can reach the port."),
        );
    }
    if is_compressed && is_at_least(version, (2, 11, 12), (2, 12, 3)) {
        findings.push(
            COMPRESSED_BATCH
                .finding(format!(
                    "With compression, messages that are sent together may not be longer than {} in all.",
                    format_bytes(info.max_payload)
                ))
                .because("This release counts everything in a compressed WebSocket message against `max_payload`, and ends the connection when it is more.")
                .remedy("Publish smaller batches, raise `max_payload`, or leave `--compression` out."),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(version: &str, is_compressed: bool) -> Vec<String> {
        let info = ServerInfo {
            version: version.to_owned(),
            ..ServerInfo::default()
        };
        let findings = judge(&info, Scheme::Ws, is_compressed);
        findings.into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn releases_are_told_apart_by_their_line() {
        for (version, is_vulnerable) in [
            ("2.1.9", false),
            ("2.10.26", true),
            ("2.11.14", true),
            ("2.11.15", false),
            ("2.12.5", true),
            ("2.12.8", false),
            ("2.15.1", false),
            ("3.0.0", false),
            ("", false),
            ("2.12", false),
            ("2.12.x", false),
        ] {
            let codes = codes(version, false);
            assert_eq!(!codes.is_empty(), is_vulnerable, "{version}");
        }
    }

    #[test]
    fn compression_matters_only_where_it_is_used() {
        assert_eq!(codes("2.15.1", true), [COMPRESSED_BATCH.name]);
        assert!(codes("2.15.1", false).is_empty());
    }
}
