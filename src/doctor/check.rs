//! What a check is: a name, what it needs, what it can find, and what it does.

use std::pin::Pin;

pub use crate::doctor::check_id::{CheckId, UnknownCheck};

use crate::doctor::code::Code;
use crate::doctor::examination::Examination;

/// How a check ended; what it found is in the examination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// It looked: what was tried and what came back, in one line.
    At(String),
    /// There is nothing to look at, and why.
    NotNeeded(String),
    /// It could not look, and why. This is no finding.
    Unable(String),
}

/// What a check does.
pub type CheckFuture<'a> = Pin<Box<dyn Future<Output = Looked> + Send + 'a>>;

/// A check.
pub struct Check {
    /// Its name.
    pub id: CheckId,
    /// If one of these fails or is skipped, this check is skipped.
    pub requires: &'static [CheckId],
    /// What it can find.
    pub codes: &'static [&'static Code],
    /// Does it.
    pub run: for<'a> fn(&'a mut Examination<'_>) -> CheckFuture<'a>,
}
