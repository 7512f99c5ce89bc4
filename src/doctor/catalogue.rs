//! Everything that can be found, for the documentation.

use std::fmt::Write as _;
use std::sync::LazyLock;

use crate::doctor::check::CheckId;
use crate::doctor::checks;
use crate::doctor::code::Code;
use crate::results::doctor::Severity;

/// What stands above the codes, for readers of reports.
const INTRODUCTION: &str = include_str!("catalogue/introduction.md");

/// Not knowing whether it works must not look as if it worked.
pub(super) const INCOMPLETE: Code = Code {
    name: "examination.incomplete",
    severity: Severity::Error,
    meaning: "A check that the connection depends on could not look, so that nobody knows whether it works.",
    cause: "The time ran out, or this machine refused something that the check needs, such as another open file. The finding names the check and the reason.",
    fix: "Mend what the reason names, or allow more time with `--timeout`, and look again.",
};

/// Codes that belong to no check.
const OF_NO_CHECK: [&Code; 1] = [&INCOMPLETE];

/// The same reference, for whoever asks whether a word occurs in it.
static MARKDOWN: LazyLock<String> = LazyLock::new(markdown);

/// Every code, in the order of the checks.
pub fn codes() -> impl Iterator<Item = &'static Code> {
    let of_checks = checks::ALL.iter().flat_map(|check| check.codes.iter());
    of_checks.chain(&OF_NO_CHECK).copied()
}

/// The reference of all checks and codes, in Markdown.
pub fn markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    for check in &checks::ALL {
        // Writing to a `String` cannot fail.
        _ = writeln!(text, "\n## {}\n\n{}\n", check.id, about(check.id));
        if check.codes.is_empty() {
            text.push_str("It finds nothing of its own.\n");
        }
        for code in check.codes {
            entry(&mut text, code);
        }
    }
    text.push_str("\n## The examination itself\n\n");
    for code in OF_NO_CHECK {
        entry(&mut text, code);
    }
    text
}

/// Whether a word is one of those that the doctor uses itself.
pub(super) fn uses(word: &str) -> bool {
    MARKDOWN.contains(word)
}

fn entry(text: &mut String, code: &Code) {
    let severity = match code.severity {
        Severity::Error => "Error",
        Severity::Warning => "Warning",
        Severity::Info => "Good to know",
    };
    _ = writeln!(
        text,
        "### `{}`\n\n{severity}. {}\n\n- **Cause:** {}\n- **Fix:** {}\n",
        code.name, code.meaning, code.cause, code.fix
    );
}

/// What a check looks at.
fn about(id: CheckId) -> &'static str {
    match id {
        CheckId::Input => {
            "What was typed: URL, subjects, credentials and contexts. The only check of `--offline`."
        }
        CheckId::Dns => "The addresses of the host name, of both families.",
        CheckId::Tcp => "A TCP connection to each of these addresses.",
        CheckId::Greeting => "Who speaks first on the port, and what.",
        CheckId::Tls => {
            "The TLS handshake, and the certificates as they are judged with verification on."
        }
        CheckId::Upgrade => "The HTTP upgrade to WebSocket: who answered, and with what.",
        CheckId::Info => {
            "What the server says of itself: version, limits, the addresses that it advertises."
        }
        CheckId::Connect => "The login.",
        CheckId::Permissions => {
            "Whether each SUBJECT may be subscribed to, and the one of `--publish` published to."
        }
        CheckId::RoundTrip => {
            "Whether a marked message comes back (`--publish`), and a request gets its reply (`--request`)."
        }
        CheckId::Flow => "Whether anything arrives on each SUBJECT, and what it is.",
        CheckId::Jetstream => "Streams and the JetStream API (`--jetstream`).",
        CheckId::Health => "Round-trip times, clocks, and the limits of this machine.",
        CheckId::Watch => "Staying connected (`--watch`), and what ends the connection.",
    }
}
