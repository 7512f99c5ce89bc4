//! The names of what can be found: stable, each with its meaning, cause and fix.

use crate::results::doctor::{Certainty, Finding, Severity};

/// A kind of finding. Its name is public: it is never changed and never used for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// `subject.kebab-case`; the subject is usually the check that finds it.
    pub name: &'static str,
    /// How bad it usually is.
    pub severity: Severity,
    /// What it means, in one sentence.
    pub meaning: &'static str,
    /// How it comes about, and what it is told by.
    pub cause: &'static str,
    /// What mends it.
    pub fix: &'static str,
}

impl Code {
    /// A kind of finding.
    pub(crate) const fn new(
        name: &'static str,
        severity: Severity,
        meaning: &'static str,
        cause: &'static str,
        fix: &'static str,
    ) -> Self {
        Self {
            name,
            severity,
            meaning,
            cause,
            fix,
        }
    }

    /// A kind of finding that is usually an error.
    pub(crate) const fn error(
        name: &'static str,
        meaning: &'static str,
        cause: &'static str,
        fix: &'static str,
    ) -> Self {
        Self::new(name, Severity::Error, meaning, cause, fix)
    }

    /// A finding of this kind, `certain` until something else is said.
    pub fn finding(&self, title: impl Into<String>) -> Finding {
        Finding {
            code: self.name.to_owned(),
            check: String::new(),
            severity: self.severity,
            certainty: Certainty::Certain,
            title: title.into(),
            explanation: String::new(),
            evidence: Vec::new(),
            remedy: Vec::new(),
            pointer: None,
            alternatives: Vec::new(),
            server: None,
        }
    }
}
