//! The report for people: the answer first.

use std::io::{self, Write};

use crate::report::Style;
use crate::report::message::harmless;
use crate::results::doctor::DoctorResult;

pub(super) fn write(out: &mut dyn Write, result: &DoctorResult, _style: Style) -> io::Result<()> {
    for finding in &result.findings {
        writeln!(
            out,
            "{} ({:?} {:?}, {})",
            harmless(&finding.title),
            finding.severity,
            finding.certainty,
            finding.code
        )?;
        writeln!(out, "  {}", harmless(&finding.explanation))?;
        for evidence in &finding.evidence {
            writeln!(out, "  {}: {}", evidence.name, harmless(&evidence.value))?;
        }
        for remedy in &finding.remedy {
            writeln!(out, "  Fix: {remedy}")?;
        }
    }
    for fact in &result.facts {
        writeln!(out, "{}: {}", fact.name, harmless(&fact.value))?;
    }
    for check in &result.checks {
        writeln!(
            out,
            "{:?} {} {} {}",
            check.status,
            check.id,
            check.detail.as_deref().map(harmless).unwrap_or_default(),
            check.reason.as_deref().map(harmless).unwrap_or_default()
        )?;
    }
    Ok(())
}
