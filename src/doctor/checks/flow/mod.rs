//! Is anything flowing: messages on the subjects, on others that are alike, or for somebody else.

mod clients;
mod codes;
pub(super) mod judge;
mod listen;
mod payloads;
mod silence;
mod tally;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::Value;

use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::conversation::Conversation;
use crate::doctor::examination::Examination;
use crate::doctor::plan::Plan;
use crate::results::doctor::{Finding, Severity};
use crate::subject::Pattern;
use crate::units::format_duration;

use clients::{BusyAccount, Client, Others};
use codes::{
    CONNECTION_LOST, NEAR_SUBJECT, NO_PUBLISHER, OTHER_ACCOUNT, QUEUE_SHARED, SYSTEM_ACCOUNT,
    UNREADABLE_ROUND,
};
use judge::Scene;
use tally::{Listened, Wide};

pub(super) use tally::Sound;

/// How long to listen, unless the user says how long.
const LISTENING: Duration = Duration::from_secs(2);
/// Most subjects listened to.
const MAX_SUBJECTS: usize = 64;

pub(super) const CHECK: Check = Check {
    id: CheckId::Flow,
    requires: &[CheckId::Connect],
    codes: &[
        &NEAR_SUBJECT,
        &QUEUE_SHARED,
        &OTHER_ACCOUNT,
        &SYSTEM_ACCOUNT,
        &NO_PUBLISHER,
        &UNREADABLE_ROUND,
        &CONNECTION_LOST,
    ],
    run: |examination| Box::pin(run(examination)),
};

async fn run(examination: &mut Examination<'_>) -> Looked {
    let mut patterns: Vec<Pattern> = Vec::new();
    for subject in &examination.plan.subjects {
        if let Ok(pattern) = subject.parse::<Pattern>()
            && !patterns.contains(&pattern)
            && patterns.len() < MAX_SUBJECTS
        {
            patterns.push(pattern);
        }
    }
    if patterns.is_empty() && !examination.plan.subjects.is_empty() {
        return Looked::NotNeeded("no valid subject was given".to_owned());
    }
    if patterns.is_empty() {
        return Looked::NotNeeded("not asked for: a subject".to_owned());
    }
    let Some(mut conversation) = examination.learned.conversation.take() else {
        return Looked::Unable("there is no connection".to_owned());
    };
    let is_watched = is_watched(examination.plan);
    let limit = match examination.plan.watch {
        Some(duration) if !is_watched => duration,
        _ => LISTENING,
    };
    let sound = listen::listen(examination, &mut conversation, patterns, limit).await;
    if let Some(lost) = &sound.lost {
        return after_loss(examination, &sound, lost).await;
    }
    if is_watched && !is_explained(examination) {
        let silent = sound.subjects.iter().filter(|it| is_unheard(it));
        examination.learned.unheard = silent.map(|it| it.pattern.clone()).collect();
    }
    let looked = judge(examination, &mut conversation, &sound).await;
    examination.learned.conversation = Some(conversation);
    looked
}

/// Whether the user's subjects are listened to while connections are watched: what is rare comes then.
fn is_watched(plan: &Plan) -> bool {
    let is_wanted = plan.only.is_empty() || plan.only.contains(&CheckId::Watch);
    plan.watch.is_some() && is_wanted && !plan.skip.contains(&CheckId::Watch)
}

/// Listens to those that were silent until now, as long as connections are watched.
pub(super) async fn listen_on(
    examination: &Examination<'_>,
    conversation: &mut Conversation,
    limit: Duration,
) -> Sound {
    let patterns = examination.learned.unheard.clone();
    listen::listen(examination, conversation, patterns, limit).await
}

/// Judges what came of listening on.
pub(super) async fn judge_late(
    examination: &mut Examination<'_>,
    conversation: &mut Conversation,
    sound: &Sound,
) {
    examination.learned.unheard.clear();
    if sound.lost.is_none() {
        judge(examination, conversation, sound).await;
    }
}

/// The connection is over: the checks behind this one get another.
async fn after_loss(examination: &mut Examination<'_>, sound: &Sound, lost: &str) -> Looked {
    if let Ok((conversation, _)) = examination.connect_again(|_| {}).await {
        examination.learned.conversation = Some(conversation);
    }
    let after = format_duration(sound.took);
    // With `--watch`, another check finds out what ends connections.
    if examination.plan.watch.is_none() {
        let finding = CONNECTION_LOST
            .finding(format!("The connection ended {after} after subscribing."))
            .because("It was closed while the doctor only listened.")
            .evidence("what came", lost)
            .paste(
                "Find out what ends it:",
                &[&format!(
                    "natsbench doctor --server {} --watch 2m",
                    examination.target
                )],
            );
        examination.find(finding);
    }
    Looked::At(format!("the connection ended after {after}: {lost}"))
}

async fn judge(
    examination: &mut Examination<'_>,
    conversation: &mut Conversation,
    sound: &Sound,
) -> Looked {
    let heard: Vec<&Listened> = sound.subjects.iter().filter(|it| !it.is_silent()).collect();
    for listened in &heard {
        let words = payloads::in_words(listened, sound.took);
        if !words.is_empty() {
            examination.fact(&format!("traffic on {}", listened.pattern.as_str()), words);
        }
        if let Some(finding) = payloads::unreadable_round(listened) {
            examination.find(finding);
        }
    }
    let silent: Vec<&Listened> = sound.subjects.iter().filter(|it| is_unheard(it)).collect();
    let is_shared = examination.plan.queue.is_some()
        && heard.iter().any(|it| it.n_plain.unwrap_or(0) > it.n_own);
    // Those that are listened to on are judged later.
    let asked: &[&Listened] = if examination.learned.unheard.is_empty() {
        &silent
    } else {
        &[]
    };
    let has_question = !asked.is_empty() || is_shared;
    if has_question && !examination.stop.is_cancelled() && !is_explained(examination) {
        let surroundings = look_around(examination, conversation, sound, asked, is_shared).await;
        report(examination, sound, &heard, asked, &surroundings);
    }
    let n_refused = sound
        .subjects
        .iter()
        .filter(|it| it.refusal.is_some())
        .count();
    Looked::At(summary(sound, heard.len(), silent.len(), n_refused))
}

/// A subject that is refused is the business of the check of permissions.
fn is_unheard(listened: &Listened) -> bool {
    listened.is_silent() && listened.refusal.is_none()
}

fn summary(sound: &Sound, n_heard: usize, n_silent: usize, n_refused: usize) -> String {
    let mut text = format!(
        "listened for {}: messages on {n_heard} of {} subjects",
        format_duration(sound.took),
        sound.subjects.len()
    );
    if n_refused > 0 {
        text = format!("{text}, {n_refused} refused");
    }
    if n_silent == 0 {
        return text;
    }
    let beside = match &sound.wide {
        Wide::NotNeeded => return text,
        Wide::Everything => "to `>` beside them".to_owned(),
        Wide::Some(patterns) => format!(
            "to {} beside them, because `>` is refused",
            patterns.join(", ")
        ),
        Wide::Nowhere(reason) => {
            return format!("{text}; could not listen to others: {reason}");
        }
    };
    let n_others = sound.elsewhere.len();
    format!("{text}; {beside}: {n_others} other subjects")
}

/// Whether an earlier check has already found why nothing comes.
fn is_explained(examination: &mut Examination<'_>) -> bool {
    let mut is_found = |check, least| {
        let mut findings = examination.findings_of(check);
        findings.any(|finding| finding.severity >= least)
    };
    is_found(CheckId::Permissions, Severity::Warning)
        || is_found(CheckId::RoundTrip, Severity::Error)
}

/// Who and what is around.
#[derive(Default)]
struct Surroundings {
    account: Option<String>,
    is_system: bool,
    others: Option<Others>,
    busy: Vec<BusyAccount>,
    members: Vec<Client>,
}

async fn look_around(
    examination: &mut Examination<'_>,
    conversation: &mut Conversation,
    sound: &Sound,
    silent: &[&Listened],
    is_shared: bool,
) -> Surroundings {
    let limit = examination.second_look_limit();
    let info = examination.learned.info.clone().unwrap_or_default();
    let ours: Vec<u64> = [Some(info.client_id), sound.wide_cid]
        .into_iter()
        .flatten()
        .collect();
    let is_unexplained = silent
        .iter()
        .any(|listened| judge::nearest(listened, sound).is_none());
    let known = examination.learned.identity.account.clone();
    let queue = examination.plan.queue.clone();
    let mut around = Surroundings {
        account: known,
        ..Surroundings::default()
    };
    if is_unexplained {
        if around.account.is_none() {
            around.account = account(conversation, limit).await;
        }
        around.others = clients::others(conversation, &info.server_id, &ours, limit).await;
        if let Some(others) = &mut around.others {
            // Connections that were closed a moment ago may still be in the list.
            let ours = format!("{} (", examination.plan.dial.name);
            let is_ours = |it: &Client| it.n_published == 0 && it.label.starts_with(&ours);
            others.clients.retain(|client| !is_ours(client));
        }
    }
    let wanted = sound
        .subjects
        .iter()
        .find(|it| it.is_silent() || (is_shared && it.n_plain.unwrap_or(0) > it.n_own));
    if let (Some(queue), Some(wanted)) = (queue, wanted) {
        let about = (wanted.pattern.as_str(), queue.as_str());
        around.members = clients::members(conversation, &info.server_id, &ours, about, limit).await;
    }
    if !is_unexplained {
        return around;
    }
    // Only now: what looks for ports is a client of the server for a moment.
    let neighbours = examination.look_around().await;
    let monitoring = neighbours
        .monitoring
        .filter(|monitoring| monitoring.server_id() == Some(info.server_id.as_str()));
    let mut system = Some("$SYS".to_owned());
    if let Some(monitoring) = monitoring {
        let named = monitoring.varz["system_account"].as_str();
        system = named.map(str::to_owned).or(system);
        if let Some(account) = &around.account {
            around.busy = clients::busy_accounts(&monitoring, account, limit).await;
            around
                .busy
                .retain(|busy| Some(&busy.name) != system.as_ref());
        }
    }
    let hears_events = sound
        .elsewhere
        .iter()
        .any(|(subject, _)| subject.starts_with("$SYS."));
    around.is_system = hears_events || (around.account.is_some() && around.account == system);
    around
}

/// Asks the server for the account of this connection.
async fn account(conversation: &mut Conversation, limit: Duration) -> Option<String> {
    let answer = conversation.request("$SYS.REQ.USER.INFO", b"", limit).await;
    let answer: Value = serde_json::from_slice(&answer.ok()?.payload).ok()?;
    answer["data"]["account"].as_str().map(str::to_owned)
}

fn report(
    examination: &mut Examination<'_>,
    sound: &Sound,
    heard: &[&Listened],
    silent: &[&Listened],
    around: &Surroundings,
) {
    let url = examination.target.to_string();
    let server_name = examination.learned.info.as_ref();
    let server_name = server_name.map_or_else(String::new, |info| info.server_name.clone());
    let scene = Scene {
        url: &url,
        server_name: &server_name,
        queue: examination.plan.queue.as_deref(),
        watch: examination.plan.watch,
        sound,
        account: around.account.as_deref(),
        is_system: around.is_system,
        others: around.others.as_ref(),
        busy: &around.busy,
        members: &around.members,
    };
    let shared = heard
        .iter()
        .filter_map(|it| judge::queue_shared(it, &scene));
    let mut findings: Vec<Finding> = shared.collect();
    let mut unexplained: Vec<&Listened> = Vec::new();
    for listened in silent {
        if let Some(found) = judge::nearest(listened, sound) {
            findings.push(judge::near_subject(listened, &found, &scene));
        } else if !is_doubted(examination, listened.pattern.as_str()) {
            unexplained.push(listened);
        }
    }
    if !unexplained.is_empty() {
        findings.push(silence::silence(&unexplained, &scene));
    }
    for finding in findings {
        examination.find(finding);
    }
}

/// Whether the check of the input has already warned of this subject.
fn is_doubted(examination: &mut Examination<'_>, subject: &str) -> bool {
    let quoted = format!("`{subject}`");
    examination.findings_of(CheckId::Input).any(|finding| {
        let is_about = finding
            .pointer
            .as_ref()
            .is_some_and(|at| at.text == subject)
            || finding.title.contains(&quoted);
        is_about && finding.severity >= Severity::Warning
    })
}
