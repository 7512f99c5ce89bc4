//! What is publicly known of releases of nats-server, as far as it concerns WebSocket.
//!
//! None of it keeps a client from working, so that it is told as a fact.

use crate::net::target::Scheme;
use crate::protocol::ServerInfo;
use crate::units::format_bytes;

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

/// What is worth knowing, as facts with their names. Clients work as usual, so that none of it is a finding.
pub(super) fn notes(
    info: &ServerInfo,
    scheme: Scheme,
    is_compressed: bool,
) -> Vec<(&'static str, String)> {
    let mut notes = Vec::new();
    let Some(version) = version_of(&info.version).filter(|_| scheme.is_websocket()) else {
        return notes;
    };
    // WebSocket came with 2.2.0. CVE-2026-27571, CVE-2026-27889 and CVE-2026-33219: a frame with a bad length, or one
    // that inflates without end.
    if version >= (2, 2, 0) && !is_at_least(version, (2, 11, 15), (2, 12, 6)) {
        let text = "who reaches the WebSocket port can crash it without a login (CVE-2026-27889 and others): update to \
                    2.11.15, 2.12.6 or newer where strangers reach it";
        notes.push(("known of this release", text.to_owned()));
    }
    // It ends the connection when a compressed WebSocket message inflates to more.
    if is_compressed && is_at_least(version, (2, 11, 12), (2, 12, 3)) {
        let text = format!(
            "messages that are sent together may have {} in all",
            format_bytes(info.max_payload)
        );
        notes.push(("with compression", text));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(version: &str, is_compressed: bool) -> Vec<&'static str> {
        let info = ServerInfo {
            version: version.to_owned(),
            ..ServerInfo::default()
        };
        let notes = notes(&info, Scheme::Ws, is_compressed).into_iter();
        notes.map(|(name, _)| name).collect()
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
            let names = names(version, false);
            assert_eq!(!names.is_empty(), is_vulnerable, "{version}");
        }
    }

    #[test]
    fn compression_matters_only_where_it_is_used() {
        assert_eq!(names("2.15.1", true), ["with compression"]);
        assert!(names("2.15.1", false).is_empty());
    }
}
