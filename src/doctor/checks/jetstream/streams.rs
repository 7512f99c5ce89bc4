//! The streams: which of them store the subjects, and how those are doing.

use std::time::Duration;

use serde_json::json;

use crate::clock::mono_now;
use crate::doctor::check::CheckId;
use crate::doctor::checks::jetstream::api::{
    self, AccountInfo, ApiError, StreamConfig, StreamInfo, StreamNames,
};
use crate::doctor::checks::jetstream::coverage::{self, Coverage, StorageLimit};
use crate::doctor::checks::jetstream::{codes, counted, health};
use crate::doctor::checks::paste::word;
use crate::doctor::conversation::Conversation;
use crate::doctor::examination::Examination;
use crate::doctor::identity::GLOBAL_ACCOUNT;
use crate::results::doctor::Severity;
use crate::subject::Pattern;
use crate::units::format_bytes;

/// Most streams looked at, and how long that may take all together.
const MAX_STREAMS: usize = 20;
const STREAMS_LIMIT: Duration = Duration::from_secs(2);
/// Most subjects looked at.
const MAX_SUBJECTS: usize = 16;

/// The subjects that are to be stored.
fn wanted(examination: &Examination<'_>) -> Vec<Pattern> {
    let plan = examination.plan;
    let mut all: Vec<Pattern> = Vec::new();
    for subject in plan.subjects.iter().chain(&plan.publish) {
        if let Ok(pattern) = subject.parse::<Pattern>()
            && !all.contains(&pattern)
            && all.len() < MAX_SUBJECTS
        {
            all.push(pattern);
        }
    }
    all
}

pub(super) async fn look_at_all(
    examination: &mut Examination<'_>,
    conversation: &mut Conversation,
    info: Option<&AccountInfo>,
) -> Result<String, String> {
    let mut asking = Asking {
        conversation,
        limit: examination.second_look_limit(),
        known: Vec::new(),
    };
    let wanted = wanted(examination);
    let mut uncovered: Vec<&Pattern> = Vec::new();
    for pattern in &wanted {
        let filter = json!({ "subject": pattern.as_str() }).to_string();
        let names = match asking.names(&filter).await {
            Ok(names) => names.streams.unwrap_or_default(),
            Err(ApiError::Ended(error)) => return Err(error),
            Err(error) => {
                // Why the account cannot be asked about was reported.
                if info.is_some() {
                    super::report_streams_denied(examination, &error);
                }
                return Ok(format!("STREAM.NAMES: {}", error.in_words()));
            }
        };
        if names.is_empty() {
            uncovered.push(pattern);
            continue;
        }
        asking.look_at(&names).await?;
        let covering = asking
            .known
            .iter()
            .filter(|it| names.contains(&it.config.name));
        let covering: Vec<&StreamConfig> = covering.map(|it| &it.config).collect();
        let is_whole =
            |config: &&&StreamConfig| coverage::coverage(pattern, config) == Coverage::All;
        if !covering.iter().any(|config| is_whole(&config)) && !covering.is_empty() {
            examination.find(coverage::partly_covered(pattern, &covering));
        }
    }
    let mut n_streams = info.map_or(0, |info| info.all.streams);
    if wanted.is_empty() || !uncovered.is_empty() {
        let healthy = asking.known.len();
        match asking.names("").await {
            Ok(names) => {
                n_streams = names.total.max(n_streams);
                asking.look_at(&names.streams.unwrap_or_default()).await?;
            }
            Err(ApiError::Ended(error)) => return Err(error),
            Err(error) if info.is_some() => super::report_streams_denied(examination, &error),
            Err(_) => {}
        }
        if !uncovered.is_empty() {
            let all: Vec<StreamConfig> = asking.known.iter().map(|it| it.config.clone()).collect();
            // Streams for other subjects are nobody's question.
            asking.known.truncate(healthy);
            report_uncovered(examination, &uncovered, &all, n_streams, info).await;
        }
    }
    let looked: Vec<String> = asking.known.iter().map(stream_text).collect();
    let known = std::mem::take(&mut asking.known);
    for stream in &known {
        for finding in health::stream(stream, examination.plan.payload_bytes) {
            examination.find(finding);
        }
    }
    report_domain(examination, info);
    Ok(if looked.is_empty() {
        format!("{}, none for the subjects", counted(n_streams, "stream"))
    } else {
        looked.join("; ")
    })
}

fn stream_text(info: &StreamInfo) -> String {
    format!(
        "stream {} with {}, {}",
        info.config.name,
        counted(info.state.messages, "message"),
        format_bytes(info.state.bytes)
    )
}

async fn report_uncovered(
    examination: &mut Examination<'_>,
    uncovered: &[&Pattern],
    streams: &[StreamConfig],
    n_streams: u64,
    info: Option<&AccountInfo>,
) {
    let storage_left = storage_left(examination, info).await;
    let domain = info.and_then(|info| info.domain.as_deref());
    let account = examination.learned.identity.account.clone();
    let finding = coverage::not_covered(
        uncovered,
        &coverage::Scene {
            domain,
            streams,
            n_streams,
            storage_left,
            n_api_errors: info.map_or(0, |info| info.api.errors),
            has_other_accounts: account.is_some_and(|account| account != GLOBAL_ACCOUNT),
        },
    );
    examination.find(finding);
}

/// What is left of the storage of the account, which everybody is told, or of the server, which only its monitoring
/// port tells.
async fn storage_left(
    examination: &mut Examination<'_>,
    info: Option<&AccountInfo>,
) -> Option<(u64, StorageLimit)> {
    let account = info.and_then(|info| {
        let max = u64::try_from(info.all.limits.storage).ok()?;
        let used = info.all.storage.max(info.all.reserved_storage);
        // Zero is an account whose limits are by tier.
        (max > 0).then(|| (max.saturating_sub(used), StorageLimit::Account))
    });
    let id = examination.learned.info.as_ref()?.server_id.clone();
    let monitoring = examination.look_around().await.monitoring;
    let server = monitoring
        .filter(|it| it.server_id() == Some(&id))
        .and_then(|it| {
            let jetstream = &it.varz["jetstream"];
            let number = |group: &str, name: &str| jetstream[group][name].as_u64();
            let max = number("config", "max_storage")?;
            let used = number("stats", "storage").unwrap_or(0);
            let used = used.max(number("stats", "reserved_storage").map_or(0, api::not_negative));
            Some((max.saturating_sub(used), StorageLimit::Server))
        });
    [account, server]
        .into_iter()
        .flatten()
        .min_by_key(|(left, _)| *left)
}

/// Not worth a word where something worse has been found.
fn report_domain(examination: &mut Examination<'_>, info: Option<&AccountInfo>) {
    let Some(domain) = info.and_then(|info| info.domain.clone()) else {
        return;
    };
    let is_worse = examination
        .findings_of(CheckId::Jetstream)
        .any(|finding| finding.severity >= Severity::Warning);
    if is_worse {
        return;
    }
    let finding = codes::DOMAIN
        .finding(format!(
            "JetStream here is the domain `{domain}`: from a hub or another leaf node, it has to be named."
        ))
        .because(format!(
            "On this connection the usual prefix `$JS.API` works; elsewhere it is `$JS.{domain}.API`."
        ))
        .paste("From elsewhere:", &[&format!("nats --js-domain {} stream ls", word(&domain))]);
    examination.find(finding);
}

/// Asks about streams, and remembers what it was told.
struct Asking<'a> {
    conversation: &'a mut Conversation,
    limit: Duration,
    known: Vec<StreamInfo>,
}

impl Asking<'_> {
    async fn names(&mut self, filter: &str) -> Result<StreamNames, ApiError> {
        api::ask(self.conversation, "STREAM.NAMES", filter, self.limit).await
    }

    /// Looks at those streams that it does not know yet, as far as time and room go.
    async fn look_at(&mut self, names: &[String]) -> Result<(), String> {
        let begun = mono_now();
        for name in names {
            let is_known = self.known.iter().any(|it| it.config.name == *name);
            let passed = Duration::from_nanos(mono_now().since(begun));
            if is_known {
                continue;
            }
            if self.known.len() >= MAX_STREAMS || passed > STREAMS_LIMIT || !is_stream_name(name) {
                return Ok(());
            }
            match self.info(name).await {
                Ok(info) => self.known.push(info),
                Err(ApiError::Ended(error)) => return Err(error),
                // It may be gone by now, or be none of our business.
                Err(_) => {}
            }
        }
        Ok(())
    }

    async fn info(&mut self, name: &str) -> Result<StreamInfo, ApiError> {
        let what = format!("STREAM.INFO.{name}");
        let info: StreamInfo = api::ask(self.conversation, &what, "", self.limit).await?;
        if !info.config.discard_new_per_subject {
            return Ok(info);
        }
        let filter = json!({ "subjects_filter": ">" }).to_string();
        let counted = api::ask(self.conversation, &what, &filter, self.limit).await;
        Ok(counted.unwrap_or(info))
    }
}

/// A name becomes a token of a subject.
fn is_stream_name(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(['.', '*', '>'])
        && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}
