//! What the doctor found: plain data, versioned, the same for every renderer.
//!
//! The JSON form is a contract (schema `natsbench.doctor/1`): fields are added, never renamed. Durations are integer
//! nanoseconds; an absent field does not apply.

use std::ops::Range;

use serde::{Deserialize, Serialize};

#[cfg(test)]
pub(crate) mod fixtures;
mod several;
#[cfg(test)]
mod tests;

/// Name and version of the schema; the file `schemas/natsbench.doctor-1.schema.json` describes it.
pub const DOCTOR_SCHEMA: &str = "natsbench.doctor/1";

/// Why a check did not look, or not to the end, when somebody ended the examination.
pub const INTERRUPTED: &str = "interrupted";

/// What an examination came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DoctorStatus {
    /// Nothing is wrong.
    Ok,
    /// It works, but something will surprise.
    Warning,
    /// Something does not work.
    Failed,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// It works, but something will surprise.
    Warning,
    /// It does not work.
    Error,
}

/// How sure the doctor is of the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// Nothing else gives the same evidence.
    Certain,
    /// Other causes are possible, but rare.
    Likely,
    /// One of several causes; [`Finding::alternatives`] lists the others.
    Possible,
}

/// One thing that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What it is.
    pub name: String,
    /// What it was, as received.
    pub value: String,
}

/// Something that is known of a broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is, such as `version`.
    pub name: String,
    /// What is known, with its unit.
    pub value: String,
    /// Which server, where several were examined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

/// Another cause of the same evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alternative {
    /// The cause.
    pub cause: String,
    /// How to tell whether it is this one.
    pub how_to_tell: String,
}

/// A place in what the user typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// What was typed.
    pub text: String,
    /// First byte of the fault.
    pub start: usize,
    /// Byte behind the fault.
    pub end: usize,
}

/// A cause of trouble.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable name, `subject.kebab-case`.
    pub code: String,
    /// The check that found it.
    pub check: String,
    /// How bad it is.
    pub severity: Severity,
    /// How sure it is.
    pub certainty: Certainty,
    /// The answer, in one sentence.
    pub title: String,
    /// Why that is so and what follows from it.
    pub explanation: String,
    /// What was seen.
    pub evidence: Vec<Evidence>,
    /// What to do. Each begins with a sentence for people; lines behind it that begin with four blanks are to be
    /// pasted without those blanks.
    pub remedy: Vec<String>,
    /// Where in the input the fault is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<Pointer>,
    /// What else gives the same evidence, most likely first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Alternative>,
    /// Which server, where several were examined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

impl Finding {
    /// Says why it is so.
    #[must_use]
    pub fn because(mut self, explanation: impl Into<String>) -> Self {
        self.explanation = explanation.into();
        self
    }

    /// Adds something that was seen.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers and texts made on the spot read best without a `&`"
    )]
    pub fn evidence(mut self, name: &str, value: impl ToString) -> Self {
        self.evidence.push(Evidence {
            name: name.to_owned(),
            value: value.to_string(),
        });
        self
    }

    /// Adds something to do.
    #[must_use]
    pub fn remedy(mut self, step: impl Into<String>) -> Self {
        self.remedy.push(step.into());
        self
    }

    /// Adds something to do, with lines to paste.
    #[must_use]
    pub fn paste(mut self, step: impl Into<String>, lines: &[&str]) -> Self {
        let mut text = step.into();
        for line in lines {
            text.push_str("\n    ");
            text.push_str(line);
        }
        self.remedy.push(text);
        self
    }

    /// Says how sure it is.
    #[must_use]
    pub fn certainty(mut self, certainty: Certainty) -> Self {
        self.certainty = certainty;
        self
    }

    /// Says how bad it is, where that differs from what its code says.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Adds another cause of the same evidence. Both texts begin small and have no full stop: they stand in a list.
    #[must_use]
    pub fn or(mut self, cause: &str, how_to_tell: &str) -> Self {
        self.alternatives.push(Alternative {
            cause: cause.to_owned(),
            how_to_tell: how_to_tell.to_owned(),
        });
        self
    }

    /// Points at a place in what was typed.
    #[must_use]
    pub fn pointing_at(mut self, text: &str, span: Range<usize>) -> Self {
        self.pointer = Some(Pointer {
            text: text.to_owned(),
            start: span.start,
            end: span.end,
        });
        self
    }
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// It looked, and all is well.
    Passed,
    /// It found an error.
    Failed,
    /// It found something that will surprise.
    Warned,
    /// It did not look; the reason says why.
    Skipped,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Stable name, as `--only` and `--skip` take it.
    pub id: String,
    /// What came of it.
    pub status: CheckStatus,
    /// It was wanted, but could not look; the reason says why.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub could_not_look: bool,
    /// Why it was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was tried and what came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How long it took.
    pub duration_ns: u64,
    /// Which server, where several were examined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

/// The result of an examination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorResult {
    /// [`DOCTOR_SCHEMA`].
    pub schema: String,
    /// Version of the natsbench that looked.
    pub natsbench_version: String,
    /// What was examined, without secrets; several servers with `, ` between them.
    pub target: String,
    /// What it came to.
    pub status: DoctorStatus,
    /// Causes of trouble, the first one first.
    pub findings: Vec<Finding>,
    /// Every check, in order.
    pub checks: Vec<CheckResult>,
    /// What is known of the broker, in the order of learning.
    pub facts: Vec<Fact>,
    /// Start, RFC 3339.
    pub started_at: String,
    /// How long it took.
    pub duration_ns: u64,
    /// A signal ended it early.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
}

impl DoctorResult {
    /// What the findings come to. A warning is none that fails: see [`DoctorResult::strictly`].
    pub fn status_of(findings: &[Finding]) -> DoctorStatus {
        match findings.iter().map(|finding| finding.severity).max() {
            Some(Severity::Error) => DoctorStatus::Failed,
            Some(Severity::Warning) => DoctorStatus::Warning,
            Some(Severity::Info) | None => DoctorStatus::Ok,
        }
    }
}
