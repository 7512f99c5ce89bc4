//! `doctor`: every cause is found in a set-up that has it, and nothing in one that has none.

mod action;
mod docs;
mod flow;
mod formats;
mod hostile;
mod input;
mod jetstream;
mod login;
mod ports;
mod proxies;
mod tls;
mod upgrade;
mod watch;

use std::ffi::OsStr;

use serde_json::Value;

use crate::harness::Natsbench;

/// What `doctor` found, from its JSON.
#[derive(Debug)]
pub(crate) struct Diagnosis {
    pub(crate) json: Value,
    pub(crate) code: Option<i32>,
}

/// Runs `doctor --format json` to its end.
pub(crate) fn diagnose<A: AsRef<OsStr>>(url: &str, args: &[A]) -> Diagnosis {
    let mut all: Vec<&OsStr> = ["doctor", "--format", "json", "--server", url]
        .map(OsStr::new)
        .to_vec();
    all.extend(args.iter().map(AsRef::as_ref));
    let finished = Natsbench::new(all).run();
    Diagnosis {
        json: serde_json::from_str(&finished.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {finished:?}")),
        code: finished.code,
    }
}

impl Diagnosis {
    /// The first finding is of this code, and an error.
    #[track_caller]
    pub(crate) fn fails_with(&self, code: &str) -> &Value {
        let first = &self.json["findings"][0];
        assert_eq!(first["code"], code, "{:#}", self.json);
        assert_eq!(first["severity"], "error", "{:#}", self.json);
        assert_eq!(self.code, Some(4), "{:#}", self.json);
        first
    }

    /// The first finding is of this code, and a warning.
    #[track_caller]
    pub(crate) fn warns_of(&self, code: &str) -> &Value {
        let first = &self.json["findings"][0];
        assert_eq!(first["code"], code, "{:#}", self.json);
        assert_eq!(first["severity"], "warning", "{:#}", self.json);
        assert_eq!(self.code, Some(0), "{:#}", self.json);
        first
    }

    /// There is neither an error nor a warning.
    #[track_caller]
    pub(crate) fn is_healthy(&self) {
        assert_eq!(self.json["status"], "ok", "{:#}", self.json);
        assert_eq!(self.code, Some(0), "{:#}", self.json);
    }

    /// What became of a check.
    pub(crate) fn status_of(&self, check: &str) -> &str {
        let mut checks = self.json["checks"].as_array().expect("a list").iter();
        checks
            .find(|result| result["id"] == check)
            .and_then(|result| result["status"].as_str())
            .expect("every check is in the result")
    }
}

/// All texts of a finding together.
pub(crate) fn text_of(finding: &Value) -> String {
    finding.to_string()
}
