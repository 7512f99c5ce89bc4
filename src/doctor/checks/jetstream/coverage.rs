//! Which streams store a subject, and what to do when none does.

use crate::doctor::checks::jetstream::api::StreamConfig;
use crate::doctor::checks::jetstream::codes::{
    NO_STREAM, NOT_COVERED, NOT_IN_DOMAIN, PARTLY_COVERED, STORAGE_SMALL,
};
use crate::doctor::checks::paste::{is_quotable, word};
use crate::doctor::nearness::nearness;
use crate::results::doctor::{Certainty, Finding};
use crate::subject::{Pattern, covers};
use crate::units::format_bytes;

/// With less than so much left, a stream of a usual size does not find room.
const SMALL_STORAGE_BYTES: u64 = 16 << 20;
/// Most streams and subjects listed.
const MAX_LISTED: usize = 6;

/// What is known of the streams.
pub(super) struct Scene<'a> {
    pub(super) domain: Option<&'a str>,
    /// Configurations of the streams, as far as they were looked at.
    pub(super) streams: &'a [StreamConfig],
    /// How many streams there are.
    pub(super) n_streams: u64,
    /// Storage that is left for streams, and whose limit that is.
    pub(super) storage_left: Option<(u64, StorageLimit)>,
    /// Requests to the API that failed until now.
    pub(super) n_api_errors: u64,
    /// Our account is not the only one.
    pub(super) has_other_accounts: bool,
}

/// Who limits the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StorageLimit {
    Server,
    Account,
}

/// How much of what a pattern matches is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coverage {
    All,
    Part,
}

/// How much a stream stores of a pattern that it is known to store some of.
pub(super) fn coverage(wanted: &Pattern, config: &StreamConfig) -> Coverage {
    let subjects = config.subjects.iter().flatten();
    let mut subjects = subjects.map(String::as_str);
    // Streams that copy others have no subjects of their own.
    let has_subjects = config.subjects.as_ref().is_some_and(|all| !all.is_empty());
    if !has_subjects || subjects.any(|subject| covers(subject, wanted.as_str())) {
        Coverage::All
    } else {
        Coverage::Part
    }
}

/// A pattern of which these streams store parts.
pub(super) fn partly_covered(wanted: &Pattern, streams: &[&StreamConfig]) -> Finding {
    let wanted = wanted.as_str();
    let title = match streams {
        [only] => format!(
            "Stream `{}` stores only a part of `{wanted}`: {}.",
            only.name,
            subjects_text(only)
        ),
        streams => {
            let shown = streams.iter().take(MAX_LISTED);
            let parts: Vec<String> = shown
                .map(|config| format!("{} in `{}`", subjects_text(config), config.name))
                .collect();
            format!("Only parts of `{wanted}` are stored: {}.", parts.join(", "))
        }
    };
    PARTLY_COVERED.finding(title).because(
        "Messages on other subjects that the pattern matches are delivered, but not stored.",
    )
}

/// No stream stores these subjects.
pub(super) fn not_covered(wanted: &[&Pattern], scene: &Scene<'_>) -> Finding {
    let names: Vec<String> = wanted
        .iter()
        .map(|it| format!("`{}`", it.as_str()))
        .collect();
    let subjects = names.join(" and ");
    if let Some((left, limit)) = scene.storage_left
        && left < SMALL_STORAGE_BYTES
    {
        return storage_small(&subjects, left, limit, wanted, scene);
    }
    if let Some(domain) = scene.domain {
        return not_in_domain(&subjects, domain, wanted, scene);
    }
    if scene.n_streams == 0 {
        return no_stream(&subjects, wanted, scene);
    }
    let shown: Vec<String> = scene
        .streams
        .iter()
        .take(MAX_LISTED)
        .map(stream_text)
        .collect();
    let title = match shown.as_slice() {
        [only] => format!("No stream stores {subjects}: {only}."),
        _ => format!("None of the {} streams stores {subjects}.", scene.n_streams),
    };
    let finding = NOT_COVERED
        .finding(title)
        .because("Messages there go to whoever subscribes at the moment, and are not kept.");
    let finding = with_streams(finding, scene);
    edit_or_add(finding, wanted, scene)
}

fn no_stream(subjects: &str, wanted: &[&Pattern], scene: &Scene<'_>) -> Finding {
    let finding = NO_STREAM
        .finding(format!(
            "There is no stream, so that nothing on {subjects} is stored."
        ))
        .because("JetStream works for this account, and it has no streams.");
    let mut finding = add_stream(finding, wanted);
    let refused = "Making the stream was refused, because the storage of the server is too small for its `max_bytes`.";
    let how = "Make it again: error 10047, `insufficient storage resources available`, says so. Then raise `max_file_store` in \
               the `jetstream` block of nats.conf, or lower `--max-bytes`.";
    if scene.n_api_errors > 0 {
        finding = finding
            .evidence(
                "requests to the JetStream API that failed",
                scene.n_api_errors,
            )
            .or(refused, how);
    }
    if scene.has_other_accounts {
        finding = finding.or(OTHER_ACCOUNT_CAUSE, OTHER_ACCOUNT_HOW);
    }
    if scene.n_api_errors == 0 {
        finding = finding.or(refused, how);
    }
    finding
}

const OTHER_ACCOUNT_CAUSE: &str = "The stream is in another account: each has its own.";
const OTHER_ACCOUNT_HOW: &str = "`nats stream ls` with the credentials of whoever made the stream.";

fn not_in_domain(subjects: &str, domain: &str, wanted: &[&Pattern], scene: &Scene<'_>) -> Finding {
    let streams = match scene.n_streams {
        0 => "it has no stream".to_owned(),
        1 => "its one stream is for other subjects".to_owned(),
        n => format!("its {n} streams are for other subjects"),
    };
    let finding = NOT_IN_DOMAIN
        .finding(format!(
            "JetStream here is the domain `{domain}`, and {streams}: nothing on {subjects} is stored in it."
        ))
        .because(format!(
            "Streams of another domain, such as the hub of a leaf node, are reached as `$JS.DOMAIN.API`, and those of this \
             one from there as `$JS.{domain}.API`."
        ))
        .certainty(Certainty::Likely)
        .paste(
            "Look where the stream is; from a hub, name this domain:",
            &[
                &format!("nats --js-domain {} stream ls", word(domain)),
                "nats --js-domain HUB stream ls",
            ],
        );
    let finding = with_streams(finding, scene);
    let finding = edit_or_add(finding, wanted, scene);
    finding.or(
        "the stream has not been made yet",
        "`nats stream ls` in each domain does not show it",
    )
}

fn storage_small(
    subjects: &str,
    left: u64,
    limit: StorageLimit,
    wanted: &[&Pattern],
    scene: &Scene<'_>,
) -> Finding {
    let left = format_bytes(left);
    let (whose, remedy, line) = match limit {
        StorageLimit::Server => (
            "the server",
            "Raise the limit in nats.conf:",
            "jetstream { max_file_store: 10GB }",
        ),
        StorageLimit::Account => (
            "the account",
            "Raise the limit of the account in nats.conf:",
            "jetstream: { max_store: 10GB }",
        ),
    };
    let finding = STORAGE_SMALL
        .finding(format!(
            "Only {left} of storage is left to {whose} for streams, and no stream stores {subjects}: making one that is larger \
             is refused."
        ))
        .because("A stream with `max_bytes` reserves that much. If it does not fit, the answer is error 10047, `insufficient storage resources available`.")
        .certainty(Certainty::Likely)
        .evidence("storage left", left)
        .evidence("streams", scene.n_streams)
        .paste(remedy, &[line]);
    add_stream(finding, wanted).or(
        "nobody has tried to make the stream yet",
        "make one with a small `--max-bytes`",
    )
}

fn add_stream(finding: Finding, wanted: &[&Pattern]) -> Finding {
    let subjects: Vec<&str> = wanted.iter().map(|it| it.as_str()).collect();
    let name = subjects
        .first()
        .map_or_else(|| "ROUNDS".to_owned(), |it| stream_name(it));
    finding.paste(
        "Make a stream for it:",
        &[&format!(
            "nats stream add {name} --subjects '{}' --storage file --defaults",
            subjects.join(",")
        )],
    )
}

/// `ROUNDS` for `rounds.>`.
fn stream_name(pattern: &str) -> String {
    let first = pattern.split('.').next().unwrap_or(pattern);
    let name: String = first
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .collect();
    if name.is_empty() {
        "ROUNDS".to_owned()
    } else {
        name.to_uppercase()
    }
}

fn edit_or_add(finding: Finding, wanted: &[&Pattern], scene: &Scene<'_>) -> Finding {
    let own = scene.streams.iter();
    let mut own = own.filter(|config| config.mirror.is_none() && config.sources.is_none());
    let nearest = nearest(wanted, scene.streams);
    let Some(stream) = nearest.or_else(|| own.next()) else {
        return add_stream(finding, wanted);
    };
    let theirs = stream.subjects.iter().flatten().map(String::as_str);
    let mut subjects: Vec<&str> = theirs.filter(|it| is_quotable(it)).collect();
    subjects.extend(wanted.iter().map(|it| it.as_str()));
    let finding = finding.paste(
        format!("Let stream `{}` store it, too:", stream.name),
        &[&format!(
            "nats stream edit {} --subjects '{}'",
            word(&stream.name),
            subjects.join(",")
        )],
    );
    add_stream(finding, wanted)
}

/// The stream whose subjects are most like what is wanted.
fn nearest<'a>(wanted: &[&Pattern], streams: &'a [StreamConfig]) -> Option<&'a StreamConfig> {
    let cost = |config: &StreamConfig| {
        let subjects = config.subjects.iter().flatten();
        let costs =
            subjects.flat_map(|subject| wanted.iter().filter_map(move |it| nearness(it, subject)));
        costs.map(|near| near.cost).min()
    };
    let costs = streams
        .iter()
        .filter_map(|config| Some((cost(config)?, config)));
    costs
        .min_by_key(|(cost, _)| *cost)
        .map(|(_, config)| config)
}

fn with_streams(mut finding: Finding, scene: &Scene<'_>) -> Finding {
    for config in scene.streams.iter().take(MAX_LISTED) {
        finding = finding.evidence(&format!("stream {}", config.name), subjects_text(config));
    }
    let n_shown = u64::try_from(scene.streams.len().min(MAX_LISTED)).unwrap_or(u64::MAX);
    if scene.n_streams > n_shown {
        finding = finding.evidence("further streams", scene.n_streams - n_shown);
    }
    finding
}

fn stream_text(config: &StreamConfig) -> String {
    format!("stream `{}` stores {}", config.name, subjects_text(config))
}

fn subjects_text(config: &StreamConfig) -> String {
    let all: Vec<String> = config
        .subjects
        .iter()
        .flatten()
        .map(|subject| format!("`{subject}`"))
        .collect();
    if all.len() > MAX_LISTED {
        return format!(
            "{} and {} more",
            all[..MAX_LISTED].join(", "),
            all.len() - MAX_LISTED
        );
    }
    match (all.as_slice(), &config.mirror, &config.sources) {
        ([], Some(_), _) => "what another stream stores".to_owned(),
        ([], _, Some(_)) => "what other streams store".to_owned(),
        ([], None, None) => "nothing".to_owned(),
        (all, ..) => all.join(", "),
    }
}

#[cfg(test)]
#[path = "coverage_tests.rs"]
mod tests;
