//! Why nothing comes at all: nobody publishes, or somewhere else.

use crate::doctor::checks::flow::clients::{BusyAccount, Client, Others};
use crate::doctor::checks::flow::codes::{NO_PUBLISHER, OTHER_ACCOUNT, SYSTEM_ACCOUNT};
use crate::doctor::checks::flow::judge::{MAX_LISTED, Scene, is_internal};
use crate::doctor::checks::flow::tally::{Listened, Wide};
use crate::doctor::checks::paste::word;
use crate::doctor::identity::GLOBAL_ACCOUNT;
use crate::doctor::nearness::is_sibling;
use crate::results::doctor::{Certainty, Finding};
use crate::units::format_count;

/// Nothing came on these subjects, nor on any that is alike.
pub(super) fn silence(silent: &[&Listened], scene: &Scene<'_>) -> Finding {
    let subjects = listed(silent.iter().map(|listened| listened.pattern.as_str()));
    let (title, finding) = if scene.is_system {
        system_account(&subjects, scene)
    } else if let (Some(busy), false) = (scene.busy.first(), publishes_here(scene)) {
        other_account(&subjects, busy, silent, scene)
    } else {
        no_publisher(&subjects, silent, scene)
    };
    let mut finding = Finding { title, ..finding };
    let listening = scene.sound.took_text();
    let mut evidence = vec![(format!("messages in {listening}"), "0".to_owned())];
    evidence.extend(looked_at(scene));
    for (name, value) in evidence {
        finding = finding.evidence(&name, value);
    }
    finding
}

fn publishes_here(scene: &Scene<'_>) -> bool {
    busiest_here(scene).is_some() || n_elsewhere(scene) > 0
}

/// A client that publishes, though nothing at all can be heard: where other messages come, they are its.
fn unheard_publisher<'a>(scene: &Scene<'a>) -> Option<&'a Client> {
    let is_anything_heard =
        !scene.sound.elsewhere.is_empty() || scene.sound.subjects.iter().any(|it| !it.is_silent());
    busiest_here(scene).filter(|_| !is_anything_heard)
}

/// Whether it has done anything while we listened, as far as whole seconds tell.
fn is_active(client: &Client, scene: &Scene<'_>) -> bool {
    let seconds = client
        .idle
        .strip_suffix('s')
        .and_then(|text| text.parse::<u64>().ok());
    seconds.is_some_and(|seconds| seconds < scene.sound.took.as_secs().min(2))
}

/// The subject on which most comes, and how many others there are.
fn busiest_elsewhere(scene: &Scene<'_>) -> String {
    let all = scene.sound.elsewhere.iter();
    let mut names = all
        .map(|(subject, _)| subject.as_str())
        .filter(|it| !is_internal(it));
    let first = names.next().unwrap_or(">");
    match names.count() {
        0 => format!("`{first}`"),
        1 => format!("`{first}` and one other subject"),
        n => format!("`{first}` and {n} other subjects"),
    }
}

/// The client of our account that has published most.
fn busiest_here<'a>(scene: &Scene<'a>) -> Option<&'a Client> {
    let clients = scene.others.map(|others| &others.clients)?.iter();
    clients
        .filter(|client| client.n_published > 0)
        .max_by_key(|client| client.n_published)
}

fn n_elsewhere(scene: &Scene<'_>) -> usize {
    let all = scene.sound.elsewhere.iter();
    all.filter(|(subject, _)| !is_internal(subject)).count()
}

/// `a`, `b` and 3 more.
fn listed<'a>(items: impl ExactSizeIterator<Item = &'a str>) -> String {
    let n_items = items.len();
    let shown: Vec<String> = items
        .take(MAX_LISTED)
        .map(|item| format!("`{item}`"))
        .collect();
    if n_items > MAX_LISTED {
        return format!("{} and {} more", shown.join(", "), n_items - MAX_LISTED);
    }
    match shown.as_slice() {
        [but_last @ .., last] if !but_last.is_empty() => {
            format!("{} and {last}", but_last.join(", "))
        }
        _ => shown.join(", "),
    }
}

/// What else was seen.
fn looked_at(scene: &Scene<'_>) -> Vec<(String, String)> {
    let mut seen = Vec::new();
    if let Some(account) = scene.account {
        seen.push(("account".to_owned(), account.to_owned()));
    }
    let elsewhere = match &scene.sound.wide {
        Wide::NotNeeded => None,
        Wide::Everything => Some((">".to_owned(), None)),
        Wide::Some(patterns) => Some((patterns.join(", "), None)),
        Wide::Nowhere(reason) => Some((">".to_owned(), Some(format!("not heard: {reason}")))),
    };
    if let Some((place, reason)) = elsewhere {
        let others = scene.sound.elsewhere.iter();
        let others: Vec<&str> = others
            .map(|(subject, _)| subject.as_str())
            .filter(|subject| !is_internal(subject))
            .collect();
        let internal = scene.sound.elsewhere.first();
        let value = reason.unwrap_or_else(|| match (others.len(), internal) {
            (0, None) => "nothing".to_owned(),
            (0, Some((internal, _))) => {
                format!("only what servers and clients use themselves, such as `{internal}`")
            }
            _ => listed(others.iter().copied()),
        });
        seen.push((format!("heard on {place}"), value));
    }
    if let Some(others) = scene.others {
        seen.push((
            "other clients of the account".to_owned(),
            clients_text(others),
        ));
    }
    seen
}

fn clients_text(others: &Others) -> String {
    let mut text = match others.clients.as_slice() {
        [] => "none".to_owned(),
        clients => {
            let publishing: Vec<&Client> = clients
                .iter()
                .filter(|client| client.n_published > 0)
                .collect();
            let n = format_count(u64::try_from(clients.len()).unwrap_or(u64::MAX));
            match publishing.first() {
                None => {
                    let labels: Vec<&str> = clients
                        .iter()
                        .take(MAX_LISTED)
                        .map(|client| client.label.as_str())
                        .collect();
                    format!(
                        "{n}, none of which has published anything: {}",
                        labels.join(", ")
                    )
                }
                Some(most) => format!(
                    "{n}; {} has published {} messages, and was last active {} ago",
                    most.label,
                    format_count(most.n_published),
                    most.idle
                ),
            }
        }
    };
    if others.n_leafnodes > 0 {
        text = format!("{text}; and {} leaf nodes", others.n_leafnodes);
    }
    text
}

fn system_account(subjects: &str, scene: &Scene<'_>) -> (String, Finding) {
    let account = scene.account.unwrap_or("$SYS");
    (
        format!("This user belongs to the system account `{account}`, where {subjects} does not exist."),
        SYSTEM_ACCOUNT
            .finding("")
            .because("The system account carries events of the server. Messages of other accounts do not come there.")
            .certainty(Certainty::Likely)
            .remedy("Log in with a user of the account that the publisher uses."),
    )
}

fn other_account(
    subjects: &str,
    busy: &BusyAccount,
    silent: &[&Listened],
    scene: &Scene<'_>,
) -> (String, Finding) {
    let ours = scene.account.map_or_else(
        || "another account".to_owned(),
        |account| format!("account `{account}`"),
    );
    let title = format!(
        "Messages are published in account `{}`, and this user is in {ours}: nothing of it comes on {subjects}.",
        busy.name
    );
    let mut finding = OTHER_ACCOUNT
        .finding("")
        .because(
            "Accounts do not see each other's messages, and the server says nothing about it. Either both sides use one \
             account, or one account exports the subjects and the other imports them.",
        )
        .certainty(Certainty::Likely);
    for account in scene.busy.iter().take(MAX_LISTED) {
        finding = finding.evidence(
            &format!("account {}", account.name),
            format!(
                "{} messages published, most by {}, last active {} ago",
                format_count(account.n_published),
                account.busiest.label,
                account.busiest.idle
            ),
        );
    }
    let finding = shared_between(finding, &busy.name, silent, scene);
    (
        title,
        finding.or(
            "that account publishes other subjects, and the publisher of these does not run",
            "run `natsbench sub` with a user of that account",
        ),
    )
}

/// How subjects come from one account to another.
fn shared_between(
    finding: Finding,
    theirs: &str,
    silent: &[&Listened],
    scene: &Scene<'_>,
) -> Finding {
    let subject = silent.first().map_or(">", |it| it.pattern.as_str());
    let ours = scene.account.unwrap_or("OURS");
    let finding = finding.remedy(format!("Log in with a user of account `{theirs}`."));
    if is_account_key(ours) {
        let theirs = word(theirs);
        return finding.paste(
            "Or export the subject there, and import it here:",
            &[
                &format!("nsc add export --account {theirs} --name rounds --subject '{subject}'"),
                &format!(
                    "nsc add import --src-account {theirs} --remote-subject '{subject}'  # in the account {ours}"
                ),
                "nsc push --all",
            ],
        );
    }
    finding.paste(
        "Or export the subject there, and import it here, in nats.conf:",
        &[
            "accounts {",
            &format!("  {theirs}: {{ exports: [ {{ stream: \"{subject}\" }} ] }}"),
            &format!(
                "  {ours}: {{ imports: [ {{ stream: {{ account: {theirs}, subject: \"{subject}\" }} }} ] }}"
            ),
            "}",
        ],
    )
}

/// With operators, the server names an account by its public key.
fn is_account_key(account: &str) -> bool {
    account.len() == 56 && account.starts_with('A')
}

fn no_publisher(subjects: &str, silent: &[&Listened], scene: &Scene<'_>) -> (String, Finding) {
    let named = scene.account.filter(|account| *account != GLOBAL_ACCOUNT);
    let place = named.map_or_else(String::new, |account| format!(" in account `{account}`"));
    let is_alone = scene.others.is_some_and(|others| {
        others.is_complete && others.clients.is_empty() && others.n_leafnodes == 0
    });
    let sibling = silent.iter().find_map(|listened| {
        let mut elsewhere = scene.sound.elsewhere.iter();
        elsewhere.find(|(subject, _)| is_sibling(&listened.pattern, subject))
    });
    let listening = scene.sound.took_text();
    let title = if let Some((sibling, _)) = sibling {
        format!("Nobody publishes on {subjects}{place}, though messages come on `{sibling}`.")
    } else if n_elsewhere(scene) > 0 {
        format!(
            "Nobody publishes on {subjects}{place}, though messages come on {}.",
            busiest_elsewhere(scene)
        )
    } else if let (true, Some(account)) = (is_alone, named) {
        format!(
            "No other client is connected to account `{account}`: whoever publishes {subjects} is in another account, \
             or does not run."
        )
    } else if is_alone {
        format!("Nobody publishes on {subjects}: no other client is connected.")
    } else if let Some(client) = unheard_publisher(scene) {
        let sent = format!(
            "{} has sent {} messages",
            client.label,
            format_count(client.n_published)
        );
        if is_active(client, scene) {
            format!(
                "Nothing comes on {subjects}{place} nor elsewhere, though {sent} and is still active: the server may refuse them."
            )
        } else {
            format!(
                "Nothing came on {subjects}{place} within {listening}: {sent}, the last one {} ago or before.",
                client.idle
            )
        }
    } else if let Some(account) = named {
        format!(
            "Nobody publishes on {subjects} in account `{account}`: the publisher is in another account, or silent."
        )
    } else {
        format!("Nobody publishes on {subjects}: nothing came within {listening}.")
    };
    let certainty = if is_alone && named.is_none() {
        Certainty::Likely
    } else {
        Certainty::Possible
    };
    let mut finding = NO_PUBLISHER
        .finding("")
        .because(because(named, scene))
        .certainty(certainty);
    match unheard_publisher(scene) {
        Some(client) if is_active(client, scene) => {
            finding = finding.remedy(format!(
                "Look into the log of {} for `Permissions Violation for Publish`, and let its user publish there.",
                client.label
            ));
        }
        Some(_) => {}
        None => {
            finding = finding.remedy(format!("Start the publisher, connected to {}.", scene.url));
        }
    }
    if named.is_some() && n_elsewhere(scene) == 0 {
        finding = shared_between(finding, "PUBLISHER", silent, scene);
    }
    if scene.watch.is_none() {
        finding = finding.paste(
            "Listen for longer, if messages are rare:",
            &[&format!(
                "natsbench doctor --server {} --watch 60s{}",
                scene.url,
                silent
                    .iter()
                    .take(MAX_LISTED)
                    .fold(String::new(), |text, it| {
                        format!("{text} '{}'", it.pattern.as_str())
                    })
            )],
        );
    }
    (title, alternatives(finding, named, scene))
}

fn because(named: Option<&str>, scene: &Scene<'_>) -> String {
    let mut text = "The server took the subscription without a complaint.".to_owned();
    if named.is_some() && n_elsewhere(scene) == 0 {
        text.push_str(
            " What is published in other accounts does not come here, and there is no error for it.",
        );
    }
    if scene.sound.is_cut {
        text.push_str(" So much came on other subjects that not all of it was looked at.");
    }
    text
}

fn alternatives(mut finding: Finding, named: Option<&str>, scene: &Scene<'_>) -> Finding {
    let unheard = unheard_publisher(scene);
    let is_rare = unheard.is_some();
    if unheard.is_some_and(|client| is_active(client, scene)) {
        finding = finding.or(
            "The server refuses what the publisher sends: its user may not publish there.",
            "The log of the publisher says `Permissions Violation for Publish`.",
        );
    }
    if is_rare {
        finding = or_rare(finding, scene);
    } else if n_elsewhere(scene) > 0 {
        finding = finding.or(
            "The messages get another subject on the way, by an import with `to` or a subject mapping.",
            &format!("Look whether those on {} are the ones.", busiest_elsewhere(scene)),
        );
    }
    if let (Some(queue), Some(member)) = (scene.queue, scene.members.first()) {
        finding = finding.or(
            &format!(
                "another member of the queue group `{queue}` takes the messages: {}",
                member.label
            ),
            "subscribe without `--queue`, or in a group of your own",
        );
    }
    if named.is_some() && n_elsewhere(scene) == 0 {
        finding = finding.or(
            "the publisher is connected to another account",
            "run `natsbench doctor` with the publisher's credentials and compare the account; or look at \
             `nats server report accounts` with a user of the system account",
        );
        finding = finding.or(
            "the publisher does not run, or has nothing to publish",
            "look at its log",
        );
    }
    if let Wide::Nowhere(_) | Wide::Some(_) = scene.sound.wide {
        finding = finding.or(
            "the messages have another subject, which this user may not hear",
            "run the doctor with a user that may subscribe to `>`",
        );
    }
    if !is_rare {
        finding = or_rare(finding, scene);
    }
    finding.or(
        "the publisher is connected to another server, which is not in one cluster with this one",
        &format!(
            "this server is called `{}`: compare it with the one that the publisher is connected to",
            scene.server_name
        ),
    )
}

fn or_rare(finding: Finding, scene: &Scene<'_>) -> Finding {
    if scene.watch.is_some() {
        return finding;
    }
    let cause = format!("messages are rarer than one in {}", scene.sound.took_text());
    finding.or(&cause, "listen for longer with `--watch 60s`")
}
