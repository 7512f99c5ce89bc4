//! Everything that can be found, for the documentation.

use std::fmt::Write as _;

use crate::doctor::checks;
use crate::doctor::code::Code;
use crate::results::doctor::Severity;

/// Every code, in the order of the checks.
pub fn codes() -> impl Iterator<Item = &'static Code> {
    checks::ALL
        .iter()
        .flat_map(|check| check.codes.iter().copied())
}

/// The reference of all codes, in Markdown.
pub fn markdown() -> String {
    let mut text = String::new();
    for check in &checks::ALL {
        // Writing to a `String` cannot fail.
        _ = writeln!(text, "\n## {}\n", check.id);
        for code in check.codes {
            let severity = match code.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Info => "info",
            };
            _ = writeln!(
                text,
                "### `{}`\n\n{severity}. {}\n\n- **Cause:** {}\n- **Fix:** {}\n",
                code.name, code.meaning, code.cause, code.fix
            );
        }
    }
    text
}
