//! Takes an examination through its checks: what cannot work after a failure is skipped, and everything ends in time.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, mono_now};
use crate::doctor::catalogue::INCOMPLETE;
use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::checks;
use crate::doctor::examination::Examination;
use crate::doctor::plan::Plan;
use crate::doctor::redact::Secrets;
use crate::net::target::Target;
use crate::results::doctor::{
    CheckResult, CheckStatus, DOCTOR_SCHEMA, DoctorResult, Evidence, Fact, Finding, INTERRUPTED,
    Severity,
};

/// How long a check may go on after its time; its own limits end it before.
const GRACE: Duration = Duration::from_millis(300);
/// How long a check may go on after the user has had enough; one that waits for `stop` itself ends at once.
const INTERRUPT_GRACE: Duration = Duration::from_millis(700);

/// The checks that have to look before it can be said that the server works.
const CONNECTING: [CheckId; 7] = [
    CheckId::Dns,
    CheckId::Tcp,
    CheckId::Greeting,
    CheckId::Tls,
    CheckId::Upgrade,
    CheckId::Info,
    CheckId::Connect,
];

/// Examines one server.
///
/// Cancelling `stop` ends it soon; what was found until then is in the result.
pub async fn examine(
    plan: &Plan,
    target: &Target,
    stop: &CancellationToken,
    on_check: &mut (dyn FnMut(CheckId) + Send),
) -> DoctorResult {
    examine_by(&checks::ALL, plan, target, stop, on_check).await
}

/// Examines one server by these checks.
async fn examine_by(
    checks: &[Check],
    plan: &Plan,
    target: &Target,
    stop: &CancellationToken,
    on_check: &mut (dyn FnMut(CheckId) + Send),
) -> DoctorResult {
    let clock = Clock::start();
    let started = mono_now();
    let mut examination = Examination::new(plan, target, stop.clone());
    let checked = go_through(checks, plan, stop, on_check, &mut examination).await;
    // Every report has to say so, also one that did not come as far as TLS.
    let mut facts = examination.facts.iter();
    if !plan.dial.verifies_tls && !facts.any(|fact| fact.value.contains("--insecure")) {
        examination.fact("verification", "off (--insecure)");
    }
    // Whoever leaves out a check of the connection knows that those behind it cannot look.
    let is_whole = !plan.skip.iter().any(|id| CONNECTING.contains(id));
    if is_whole
        && !examination.has_error()
        && !stop.is_cancelled()
        && let Some((id, reason)) = checked
            .unable
            .iter()
            .find(|(id, _)| CONNECTING.contains(id))
    {
        examination.current = *id;
        examination.find(incomplete(target, *id, reason));
    }
    let mut findings: Vec<Finding> = examination
        .findings
        .into_iter()
        .map(|(_, finding)| finding)
        .collect();
    // Stable: of two that are as bad, the check that comes first has the cause.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let facts = examination.facts.into_iter();
    let mut result = DoctorResult {
        schema: DOCTOR_SCHEMA.to_owned(),
        natsbench_version: env!("CARGO_PKG_VERSION").to_owned(),
        target: plan
            .typed_target
            .clone()
            .unwrap_or_else(|| target.to_string()),
        status: DoctorResult::status_of(&findings),
        findings,
        checks: checked.results,
        facts: facts.map(fact_of).collect(),
        started_at: clock.wall_at(started).rfc3339(),
        duration_ns: mono_now().since(started),
        interrupted: stop.is_cancelled(),
    };
    Secrets::of(plan, target).hide_in(&mut result);
    result
}

/// What came of the checks.
struct Checked {
    results: Vec<CheckResult>,
    /// Those that could not look, and why.
    unable: Vec<(CheckId, String)>,
}

async fn go_through(
    checks: &[Check],
    plan: &Plan,
    stop: &CancellationToken,
    on_check: &mut (dyn FnMut(CheckId) + Send),
    examination: &mut Examination<'_>,
) -> Checked {
    let mut results: Vec<CheckResult> = Vec::new();
    let mut stops: Vec<(CheckId, String)> = Vec::new();
    let mut unable: Vec<(CheckId, String)> = Vec::new();
    let wanted = wanted(checks, plan);
    for check in checks {
        let begun = mono_now();
        let hindrance = check
            .requires
            .iter()
            .find_map(|id| stops.iter().find(|(stopped, _)| stopped == id));
        let looked = if let Some(reason) = unwanted(check.id, &wanted, plan, stop) {
            Looked::NotNeeded(reason)
        } else if let Some((_, reason)) = hindrance {
            // What stops this check stops those that need it, too.
            let reason = reason.clone();
            stops.push((check.id, reason.clone()));
            Looked::NotNeeded(reason)
        } else {
            on_check(check.id);
            run(check, stop, examination).await
        };
        let duration_ns = mono_now().since(begun);
        let result = result_of(check.id, looked.clone(), duration_ns, examination);
        if result.status == CheckStatus::Failed {
            stops.push((check.id, format!("{} failed", check.id)));
        } else if let Looked::Unable(reason) = looked {
            stops.push((check.id, format!("{} could not look", check.id)));
            unable.push((check.id, reason));
        }
        results.push(result);
    }
    Checked { results, unable }
}

/// Runs a check. Those that take as long as the user wants have no other limit than that.
async fn run(check: &Check, stop: &CancellationToken, examination: &mut Examination<'_>) -> Looked {
    examination.current = check.id;
    let begun = mono_now();
    let is_patient = matches!(check.id, CheckId::Flow | CheckId::Watch);
    let limit = examination.left() + GRACE;
    let looked = {
        // All are cancel-safe: the check is only borrowed.
        let mut looking = (check.run)(examination);
        tokio::select! {
            looked = &mut looking => looked,
            () = tokio::time::sleep(limit), if !is_patient => {
                Looked::Unable("the time ran out".to_owned())
            }
            () = stop.cancelled() => tokio::time::timeout(INTERRUPT_GRACE, looking)
                .await
                .unwrap_or_else(|_| Looked::Unable(INTERRUPTED.to_owned())),
        }
    };
    if is_patient {
        examination.give_back(Duration::from_nanos(mono_now().since(begun)));
    }
    looked
}

fn incomplete(target: &Target, id: CheckId, reason: &str) -> Finding {
    INCOMPLETE
        .finding(format!(
            "Nobody knows whether {target} works: the check `{id}` could not look."
        ))
        .because("Nothing wrong was found until then, but everything after it depends on it.")
        .evidence("reason", reason)
        .remedy("Mend what the reason names, or allow more time, and look again:\n    natsbench doctor --timeout 15s")
}

fn fact_of(fact: Evidence) -> Fact {
    Fact {
        name: fact.name,
        value: fact.value,
        server: None,
    }
}

/// The checks that were asked for, and those that they need.
fn wanted(checks: &[Check], plan: &Plan) -> Vec<CheckId> {
    if plan.only.is_empty() {
        return CheckId::ALL.to_vec();
    }
    let mut wanted = plan.only.clone();
    // Backwards: what a check needs comes before it.
    for check in checks.iter().rev() {
        if wanted.contains(&check.id) {
            wanted.extend(check.requires);
        }
    }
    wanted
}

/// Why a check is not to be done at all. That is no hindrance for others: they see themselves whether they have what
/// they need.
fn unwanted(
    id: CheckId,
    wanted: &[CheckId],
    plan: &Plan,
    stop: &CancellationToken,
) -> Option<String> {
    if plan.skip.contains(&id) {
        return Some("left out by --skip".to_owned());
    }
    if !wanted.contains(&id) {
        return Some("not asked for by --only".to_owned());
    }
    if id != CheckId::Input && plan.offline {
        return Some("`--offline` connects to nothing".to_owned());
    }
    if id != CheckId::Input && !plan.faults.is_empty() {
        return Some("the input cannot be used".to_owned());
    }
    stop.is_cancelled().then(|| INTERRUPTED.to_owned())
}

fn result_of(
    id: CheckId,
    looked: Looked,
    duration_ns: u64,
    examination: &Examination<'_>,
) -> CheckResult {
    let found = examination.findings.iter().filter(|(by, _)| *by == id);
    let worst = found.map(|(_, finding)| finding.severity).max();
    let was_unable = matches!(looked, Looked::Unable(_));
    let (status, reason, detail) = match (worst, looked) {
        (Some(Severity::Error), looked) => (CheckStatus::Failed, None, Some(text_of(looked))),
        (Some(Severity::Warning), looked) => (CheckStatus::Warned, None, Some(text_of(looked))),
        (_, Looked::At(detail)) => (CheckStatus::Passed, None, Some(detail)),
        (_, Looked::NotNeeded(reason) | Looked::Unable(reason)) => {
            (CheckStatus::Skipped, Some(reason), None)
        }
    };
    CheckResult {
        id: id.name().to_owned(),
        status,
        could_not_look: was_unable && status == CheckStatus::Skipped,
        reason,
        detail,
        duration_ns,
        server: None,
    }
}

fn text_of(looked: Looked) -> String {
    match looked {
        Looked::At(text) | Looked::NotNeeded(text) | Looked::Unable(text) => text,
    }
}

#[cfg(test)]
mod tests;
