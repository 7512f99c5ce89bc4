//! Outages in words. What a reader asks of each incident: how long, at what cost, and why.

use std::collections::{BTreeMap, BTreeSet};

use super::connections::{by_frequency, counts, moment_text, range_text, said};
use super::events::length_range;
use super::facts::nanos_text;
use super::incidents::{Incident, incidents};
use crate::results::outages::{Outage, Role};
use crate::results::{ConnectionResult, RunResult};
use crate::units::format_count;

/// Incidents that are shown; the others are counted.
const MAX_SHOWN: usize = 6;

/// What is said about one incident.
#[derive(Debug)]
pub(super) struct Told {
    /// `20.41 s`.
    pub(super) at: String,
    /// Whether all connections came back.
    pub(super) is_over: bool,
    /// `for 1.40 s`, or that it did not end.
    pub(super) length: String,
    /// Why.
    pub(super) cause: String,
    /// Which connections, and for how long each where that differs.
    pub(super) who: String,
    /// How they came back, or did not.
    pub(super) back: Vec<String>,
    /// What it cost; empty where nobody knows.
    pub(super) cost: String,
}

impl Told {
    /// When and how long, and what it cost: what a reader looks for first.
    fn head(&self) -> String {
        let comma = if self.is_over { "" } else { "," };
        format!("at {}{comma} {}", self.at, self.length)
    }

    /// The paragraphs of a full account: how long and at what cost; why; whom it hit and how they came back.
    pub(super) fn paragraphs(&self) -> Vec<String> {
        let details = [self.who.clone()].into_iter().chain(self.back.clone());
        let details: Vec<String> = details.collect();
        self.opening(&self.head())
            .into_iter()
            .chain([details.join("; ")])
            .collect()
    }

    /// The same where there are many: how they came back is left out where they did.
    pub(super) fn brief_paragraphs(&self) -> Vec<String> {
        let mut paragraphs = self.opening(&format!("{}, {}", self.head(), self.who));
        if !self.is_over {
            paragraphs.push(self.back.join("; "));
        }
        paragraphs
    }

    /// How long, at what cost and why, in one sentence.
    pub(super) fn sentence(&self) -> Vec<String> {
        vec![self.opening(&self.head()).join("; ")]
    }

    /// What it cost comes before why; the cause joins the first line where nobody knows the cost.
    fn opening(&self, head: &str) -> Vec<String> {
        if self.cost.is_empty() {
            vec![format!("{head}: {}", self.cause)]
        } else {
            vec![format!("{head}: {}", self.cost), self.cause.clone()]
        }
    }
}

/// What is said about the outages of a run.
#[derive(Debug, Default)]
pub(super) struct Outages {
    /// The first incidents.
    pub(super) shown: Vec<Told>,
    /// About those that are not shown, and about all.
    pub(super) rest: Option<String>,
}

/// The outages of a run, in words.
pub(super) fn told(result: &RunResult) -> Outages {
    let incidents = incidents(&result.outages);
    let servers = Servers::of(result);
    let shown = incidents.iter().take(MAX_SHOWN);
    Outages {
        shown: shown
            .map(|incident| tell(incident, &servers, result))
            .collect(),
        rest: rest(&incidents, result),
    }
}

fn rest(incidents: &[Incident<'_>], result: &RunResult) -> Option<String> {
    let n_more = incidents.len().saturating_sub(MAX_SHOWN);
    let n_kept = result.outages.len() as u64;
    let dropped = result.n_outages.saturating_sub(n_kept);
    let mut parts = Vec::new();
    if n_more > 0 {
        let length_ns = |incident: &Incident<'_>| {
            let ended_ns = incident.ended_ns.unwrap_or(result.duration_ns);
            ended_ns.saturating_sub(incident.started_ns)
        };
        let total_ns = incidents.iter().map(length_ns).sum();
        let longest = incidents
            .iter()
            .max_by_key(|incident| length_ns(incident))?;
        parts.push(format!(
            "and {} more, see -o json: {} in all for {}, the longest {} at {}",
            format_count(n_more as u64),
            format_count(incidents.len() as u64),
            nanos_text(total_ns),
            nanos_text(length_ns(longest)),
            moment_text(longest.started_ns),
        ));
    }
    if dropped > 0 {
        parts.push(format!(
            "{} outages of connections were too many to keep",
            format_count(dropped)
        ));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Whether everything that was lost was lost in an outage, so that nobody has to look for it elsewhere.
pub(super) fn explain_all_losses(result: &RunResult) -> bool {
    let lost = result.outages.iter().filter_map(|outage| outage.lost);
    result.load.lost.is_some_and(|all| all == lost.sum::<u64>())
}

/// Where the connections of each role have been.
struct Servers(BTreeMap<Role, BTreeSet<String>>);

impl Servers {
    fn of(result: &RunResult) -> Self {
        let mut servers: BTreeMap<Role, BTreeSet<String>> = BTreeMap::new();
        let mut add = |role: Role, server: &str| {
            let known = servers.entry(role).or_default();
            known.insert(without_slash(server).to_owned());
        };
        let subscribing = match result.command.as_str() {
            "pub" => Role::Publisher,
            _ => Role::Subscriber,
        };
        let first: [(Role, &Option<ConnectionResult>); 2] = [
            (subscribing, &result.connection),
            (Role::Publisher, &result.publisher_connection),
        ];
        for (role, connection) in first {
            if let Some(connection) = connection {
                add(role, &connection.url);
            }
        }
        for outage in &result.outages {
            if let Some(server) = &outage.server {
                add(outage.role, server);
            }
        }
        Self(servers)
    }

    /// Whether it has to be said where a connection is.
    fn are_several(&self, role: Role) -> bool {
        self.0.get(&role).is_some_and(|servers| servers.len() > 1)
    }
}

fn without_slash(url: &str) -> &str {
    url.trim_end_matches('/')
}

fn tell(incident: &Incident<'_>, servers: &Servers, result: &RunResult) -> Told {
    let outages = &incident.outages;
    let open: Vec<&Outage> = outages.iter().copied().filter(|o| is_open(o)).collect();
    Told {
        at: moment_text(incident.started_ns),
        is_over: open.is_empty(),
        length: length(incident, &open),
        cause: causes(outages),
        who: who(outages),
        back: back(outages, servers),
        cost: cost(outages, result),
    }
}

fn length(incident: &Incident<'_>, open: &[&Outage]) -> String {
    if let Some(ended_ns) = incident.ended_ns {
        return format!("for {}", nanos_text(ended_ns - incident.started_ns));
    }
    let word = if open.iter().all(|outage| outage.gave_up.is_some()) {
        "given up"
    } else {
        "not back when the run ended"
    };
    match incident.outages.len() {
        n_outages if n_outages == open.len() => word.to_owned(),
        n_outages => format!("{} of {n_outages} {word}", open.len()),
    }
}

fn is_open(outage: &Outage) -> bool {
    outage.duration_ns.is_none()
}

fn causes(outages: &[&Outage]) -> String {
    const MAX_CAUSES: usize = 3;
    let counted = by_frequency(outages.iter().map(|outage| outage.cause.text.as_str()));
    if let [(text, _)] = counted[..] {
        return said(text);
    }
    let shown = counted.iter().take(MAX_CAUSES);
    let mut parts: Vec<String> = shown
        .map(|(text, count)| format!("{count} of {}: {}", outages.len(), said(text)))
        .collect();
    let n_more = counted.len().saturating_sub(MAX_CAUSES);
    if n_more > 0 {
        parts.push(format!("{n_more} other causes"));
    }
    parts.join("; ")
}

fn who(outages: &[&Outage]) -> String {
    let connections: BTreeSet<_> = outages.iter().map(|o| (o.role, o.idx)).collect();
    let mut text = counts(&connections);
    if connections.len() < outages.len() {
        text = format!("{text}, lost {} times", format_count(outages.len() as u64));
    }
    let lengths = outages.iter().filter_map(|outage| outage.duration_ns);
    match range_ns(lengths) {
        Some((shortest_ns, longest_ns)) if shortest_ns < longest_ns => {
            format!("{text}, each for {}", length_range(shortest_ns, longest_ns))
        }
        _ => text,
    }
}

/// The smallest and the largest; both the largest where a reader would see no difference: less than a tenth.
fn range_ns(lengths_ns: impl Iterator<Item = u64> + Clone) -> Option<(u64, u64)> {
    let (smallest, largest) = (lengths_ns.clone().min()?, lengths_ns.max()?);
    if largest - smallest < largest / 10 {
        Some((largest, largest))
    } else {
        Some((smallest, largest))
    }
}

fn back(outages: &[&Outage], servers: &Servers) -> Vec<String> {
    let of = |wanted: &dyn Fn(&Outage) -> bool| -> Vec<&Outage> {
        let of = outages.iter().filter(|outage| wanted(outage));
        of.copied().collect()
    };
    let came_back = of(&|outage| !is_open(outage));
    let given_up = of(&|outage| is_open(outage) && outage.gave_up.is_some());
    let still_down = of(&|outage| is_open(outage) && outage.gave_up.is_none());
    let mut parts = Vec::new();
    // Where all of them fared alike, nobody asks how many they were.
    let number = |group: &[&Outage]| {
        let is_all = group.len() == outages.len();
        (!is_all).then(|| format!("{} ", format_count(group.len() as u64)))
    };
    if !came_back.is_empty() {
        let number = number(&came_back).unwrap_or_default();
        let attempts = attempts(&came_back);
        let place = place(&came_back, servers);
        parts.push(format!("{number}back {attempts}{place}"));
        parts.extend(first_message(&came_back));
    }
    if !given_up.is_empty() {
        let number = number(&given_up).unwrap_or_default();
        let reasons = given_up
            .iter()
            .filter_map(|outage| outage.gave_up.as_deref());
        let reason = by_frequency(reasons).first().map(|(text, _)| said(text));
        let attempts = attempts(&given_up);
        let reason = reason.unwrap_or_default();
        parts.push(format!("{number}given up {attempts}: {reason}"));
    }
    if !still_down.is_empty() {
        let number = number(&still_down).unwrap_or_default();
        parts.push(format!("{number}not back {}", attempts(&still_down)));
    }
    parts
}

/// `after 2 attempts (connection refused)`.
fn attempts(outages: &[&Outage]) -> String {
    const MAX_ERRORS: usize = 2;
    let numbers = || outages.iter().map(|outage| outage.attempts);
    let (smallest, largest) = (numbers().min().unwrap_or(0), numbers().max().unwrap_or(0));
    let plural = if largest == 1 { "" } else { "s" };
    let failed = outages.iter().flat_map(|outage| &outage.failed);
    let errors = by_frequency(failed.map(|failed| failed.error.as_str()));
    let mut shown: Vec<String> = errors
        .iter()
        .take(MAX_ERRORS)
        .map(|(error, _)| said(error))
        .collect();
    if errors.len() > MAX_ERRORS {
        shown.push("others".to_owned());
    }
    let errors = if shown.is_empty() {
        String::new()
    } else {
        format!(" ({})", shown.join("; "))
    };
    format!(
        "after {} attempt{plural}{errors}",
        range_text(smallest, largest)
    )
}

/// On which server process, and where.
fn place(outages: &[&Outage], servers: &Servers) -> String {
    let known: Vec<bool> = outages.iter().filter_map(|o| o.is_other_server).collect();
    let n_others = known.iter().filter(|is_other| **is_other).count();
    let mut text = match (n_others, known.len()) {
        (_, 0) => String::new(),
        (0, _) => ", on the same server process".to_owned(),
        (n_others, n_known) if n_others == n_known => ", on another server process".to_owned(),
        (n_others, n_known) => format!(", {n_others} of {n_known} on another server process"),
    };
    let is_told = |outage: &&&Outage| servers.are_several(outage.role);
    let told = outages.iter().filter(is_told);
    let mut urls = by_frequency(told.filter_map(|outage| outage.server.as_deref()));
    urls.truncate(3);
    if !urls.is_empty() {
        let urls: Vec<String> = urls.iter().map(|(url, _)| said(url)).collect();
        text = format!("{text}, at {}", urls.join(" and "));
    }
    text
}

fn first_message(outages: &[&Outage]) -> Option<String> {
    let moments = outages.iter().filter_map(|outage| outage.first_message_ns);
    let (first_ns, last_ns) = range_ns(moments)?;
    Some(format!(
        "first message after {}",
        length_range(first_ns, last_ns)
    ))
}

fn cost(outages: &[&Outage], result: &RunResult) -> String {
    let lost = sum(outages, |outage| outage.lost);
    let (in_doubt, up_to) = in_doubt(outages, result);
    let skipped = sum(outages, |outage| outage.skipped);
    let all = [
        (lost, "", "lost"),
        (in_doubt, up_to, "in doubt"),
        (skipped, "", "skipped"),
    ];
    let parts: Vec<String> = all
        .into_iter()
        .filter_map(|(count, up_to, word)| {
            let count = count.filter(|count| *count > 0)?;
            Some(format!("{up_to}{} {word}", format_count(count)))
        })
        .collect();
    match (lost, in_doubt) {
        (Some(0), _) if !parts.is_empty() => format!("none lost, {}", parts.join(", ")),
        _ if !parts.is_empty() => parts.join(", "),
        (Some(_), _) => "nothing lost".to_owned(),
        (None, Some(_)) => "nothing in doubt".to_owned(),
        (None, None) => String::new(),
    }
}

/// What is in doubt, and whether that is no more than a limit. What did not arrive is known better by those who did
/// not get it than by who sent it: most of what a publisher had handed to its connection may have come through.
fn in_doubt(outages: &[&Outage], result: &RunResult) -> (Option<u64>, &'static str) {
    let of = |role: Role| {
        sum(outages, |outage| {
            outage.in_doubt.filter(|_| outage.role == role)
        })
    };
    let (missed, handed_over) = (of(Role::Subscriber), of(Role::Publisher));
    if missed.is_some() || result.command == "pub" {
        return (missed.or(handed_over), "");
    }
    let n_subscribers = result.load.subscribers.len().max(1) as u64;
    let at_most = handed_over.map(|count| count.saturating_mul(n_subscribers));
    let of_run = result.load.in_doubt.unwrap_or(u64::MAX);
    (at_most.map(|count| count.min(of_run)), "up to ")
}

/// The sum of what is known; `None` where nothing is.
fn sum(outages: &[&Outage], count: impl Fn(&Outage) -> Option<u64>) -> Option<u64> {
    let known: Vec<u64> = outages.iter().filter_map(|outage| count(outage)).collect();
    (!known.is_empty()).then(|| known.iter().sum())
}

#[cfg(test)]
mod tests;
