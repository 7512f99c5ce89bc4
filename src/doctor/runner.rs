//! Takes an examination through its checks: what cannot work after a failure is skipped, and everything ends in time.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, mono_now};
use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::checks;
use crate::doctor::examination::Examination;
use crate::doctor::plan::Plan;
use crate::doctor::redact::Secrets;
use crate::net::target::Target;
use crate::results::doctor::{
    CheckResult, CheckStatus, DOCTOR_SCHEMA, DoctorResult, Finding, Severity,
};

/// How long a check may go on after its time; its own limits end it before.
const GRACE: Duration = Duration::from_millis(300);

/// Examines one server.
///
/// Cancelling `stop` ends it at the next check; what was found until then is in the result.
pub async fn examine(
    plan: &Plan,
    target: &Target,
    stop: &CancellationToken,
    on_check: &mut (dyn FnMut(CheckId) + Send),
) -> DoctorResult {
    let clock = Clock::start();
    let started = mono_now();
    let mut examination = Examination::new(plan, target, stop.clone());
    let mut results: Vec<CheckResult> = Vec::new();
    let mut stops: Vec<(CheckId, String)> = Vec::new();
    let wanted = wanted(plan);
    for check in &checks::ALL {
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
            run(check, &mut examination).await
        };
        let duration_ns = mono_now().since(begun);
        let result = result_of(check.id, looked.clone(), duration_ns, &examination);
        if result.status == CheckStatus::Failed {
            stops.push((check.id, format!("{} failed", check.id)));
        } else if let Looked::Unable(_) = looked {
            stops.push((check.id, format!("{} could not look", check.id)));
        }
        results.push(result);
    }
    let mut findings: Vec<Finding> = examination
        .findings
        .into_iter()
        .map(|(_, finding)| finding)
        .collect();
    // Stable: of two that are as bad, the check that comes first has the cause.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let mut result = DoctorResult {
        schema: DOCTOR_SCHEMA.to_owned(),
        target: plan
            .typed_target
            .clone()
            .unwrap_or_else(|| target.to_string()),
        status: DoctorResult::status_of(&findings),
        findings,
        checks: results,
        facts: examination.facts,
        started_at: clock.wall_at(started).rfc3339(),
        duration_ns: mono_now().since(started),
        interrupted: stop.is_cancelled(),
    };
    Secrets::of(plan, target).hide_in(&mut result);
    result
}

/// Runs a check. Those that take as long as the user wants have no other limit than that.
async fn run(check: &Check, examination: &mut Examination<'_>) -> Looked {
    examination.current = check.id;
    let begun = mono_now();
    if matches!(check.id, CheckId::Flow | CheckId::Watch) {
        let looked = (check.run)(examination).await;
        examination.give_back(Duration::from_nanos(mono_now().since(begun)));
        return looked;
    }
    let limit = examination.left() + GRACE;
    tokio::time::timeout(limit, (check.run)(examination))
        .await
        .unwrap_or_else(|_| Looked::Unable("the time ran out".to_owned()))
}

/// The checks that were asked for, and those that they need.
fn wanted(plan: &Plan) -> Vec<CheckId> {
    if plan.only.is_empty() {
        return CheckId::ALL.to_vec();
    }
    let mut wanted = plan.only.clone();
    // Backwards: what a check needs comes before it.
    for check in checks::ALL.iter().rev() {
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
        return Some("needs a connection".to_owned());
    }
    if id != CheckId::Input && !plan.faults.is_empty() {
        return Some("the input cannot be used".to_owned());
    }
    stop.is_cancelled().then(|| "interrupted".to_owned())
}

fn result_of(
    id: CheckId,
    looked: Looked,
    duration_ns: u64,
    examination: &Examination<'_>,
) -> CheckResult {
    let found = examination.findings.iter().filter(|(by, _)| *by == id);
    let worst = found.map(|(_, finding)| finding.severity).max();
    let (status, reason, detail) = match (worst, looked) {
        (Some(Severity::Error), looked) => (CheckStatus::Failed, None, text_of(looked)),
        (Some(Severity::Warning), looked) => (CheckStatus::Warned, None, text_of(looked)),
        (_, Looked::At(detail)) => (CheckStatus::Passed, None, Some(detail)),
        (_, Looked::NotNeeded(reason) | Looked::Unable(reason)) => {
            (CheckStatus::Skipped, Some(reason), None)
        }
    };
    CheckResult {
        id: id.name().to_owned(),
        status,
        reason,
        detail,
        duration_ns,
        server: None,
    }
}

fn text_of(looked: Looked) -> Option<String> {
    match looked {
        Looked::At(text) | Looked::NotNeeded(text) | Looked::Unable(text) => Some(text),
    }
}
