//! `doctor --jetstream`: whether there are streams, and whether they store what they should.

use super::{Diagnosis, diagnose, text_of};
use crate::harness::{Broker, RawClient, Version};

const ALL_VERSIONS: [Version; 3] = [Version::Default, Version::V2_12, Version::V2_10];
const JETSTREAM: &str = "jetstream { store_dir: \"@DIR@/js\" }";
const ASK: [&str; 2] = ["--jetstream", "rounds.>"];
const GAME: [&str; 4] = ["--user", "game", "--password", "s3cret"];
/// Listening for messages is the business of other tests.
const QUICK: [&str; 2] = ["--skip", "flow"];

fn broker(version: Version, config: &str) -> Broker {
    Broker::builder().version(version).config(config).start()
}

/// A broker of each version with this configuration.
fn on_all_versions(config: &str, look: impl Fn(&Broker)) {
    for version in ALL_VERSIONS {
        look(&broker(version, config));
    }
}

fn asked(broker: &Broker, args: &[&str]) -> Diagnosis {
    let args: Vec<&str> = args.iter().chain(&QUICK).copied().collect();
    diagnose(&broker.ws_url(), &args)
}

/// Makes a stream ROUNDS of two small messages.
fn add_rounds(broker: &Broker, config: &str) {
    let mut client = RawClient::login(broker, "");
    client.add_stream("ROUNDS", &format!("\"subjects\":[\"rounds.>\"],{config}"));
    client.store("rounds.game.crash", "1");
    client.store("rounds.game.slot", "2");
}

fn fact<'a>(diagnosis: &'a Diagnosis, name: &str) -> Option<&'a str> {
    let mut facts = diagnosis.json["facts"].as_array().expect("a list").iter();
    facts.find(|fact| fact["name"] == name)?["value"].as_str()
}

/// What was found out about streams.
fn codes(diagnosis: &Diagnosis) -> Vec<&str> {
    let findings = diagnosis.json["findings"].as_array().expect("a list");
    let codes = findings.iter().filter_map(|it| it["code"].as_str());
    codes
        .filter(|code| code.starts_with("jetstream."))
        .collect()
}

#[test]
fn a_stream_that_stores_the_subject_is_healthy() {
    on_all_versions(JETSTREAM, |broker| {
        add_rounds(broker, "\"storage\":\"file\"");
        let diagnosis = asked(broker, &ASK);
        diagnosis.is_healthy();
        assert_eq!(diagnosis.status_of("jetstream"), "passed");
        let jetstream = fact(&diagnosis, "jetstream").unwrap_or_default();
        assert!(
            jetstream.starts_with("1 stream, 0 consumers"),
            "{jetstream}"
        );
        assert!(codes(&diagnosis).is_empty(), "{:#}", diagnosis.json);
    });
}

#[test]
fn it_is_not_looked_at_unasked() {
    let broker = Broker::start();
    let diagnosis = asked(&broker, &[]);
    diagnosis.is_healthy();
    assert_eq!(diagnosis.status_of("jetstream"), "skipped");
}

#[test]
fn a_server_without_jetstream_is_named() {
    on_all_versions("", |broker| {
        let diagnosis = asked(broker, &ASK);
        let finding = diagnosis.fails_with("jetstream.not-enabled");
        assert_eq!(finding["certainty"], "certain");
        assert!(text_of(finding).contains("store_dir"), "{finding:#}");
    });
}

#[test]
fn an_account_without_jetstream_is_named() {
    let config = format!(
        "{JETSTREAM}\naccounts {{ A {{ users: [ {{user: game, password: s3cret}} ] }}, \
         B {{ jetstream: enabled, users: [ {{user: feed, password: feed}} ] }} }}"
    );
    on_all_versions(&config, |broker| {
        let args: Vec<&str> = GAME.into_iter().chain(ASK).collect();
        let diagnosis = asked(broker, &args);
        let finding = diagnosis.fails_with("jetstream.not-for-account");
        assert!(text_of(finding).contains("account `A`"), "{finding:#}");
        assert!(
            text_of(finding).contains("A: { jetstream: enabled }"),
            "{finding:#}"
        );
    });
}

#[test]
fn a_refused_api_comes_with_the_grants() {
    let config = format!(
        "{JETSTREAM}\nauthorization {{ users: [ {{user: game, password: s3cret, \
         permissions: {{publish: [\"rounds.>\", \"$SYS.REQ.USER.INFO\"], subscribe: [\">\"]}} }} ] }}"
    );
    on_all_versions(&config, |broker| {
        let args: Vec<&str> = GAME.into_iter().chain(["--jetstream"]).collect();
        let diagnosis = asked(broker, &args);
        let finding = diagnosis.fails_with("jetstream.api-denied");
        let remedy = finding["remedy"].to_string();
        for grant in ["rounds.>", "$JS.API.>", "_INBOX.>"] {
            assert!(remedy.contains(grant), "{remedy}");
        }
        assert!(
            finding["title"]
                .as_str()
                .is_some_and(|it| it.contains("`game`")),
            "{finding:#}"
        );
    });
}

#[test]
fn rights_for_single_streams_are_enough_but_for_a_warning() {
    let config = format!(
        "{JETSTREAM}\nauthorization {{ users: [ \
         {{user: game, password: s3cret, permissions: {{publish: {{deny: [\"$JS.API.INFO\"]}} }} }}, \
         {{user: feed, password: feed}} ] }}"
    );
    let broker = broker(Version::Default, &config);
    let mut client = RawClient::login(&broker, r#""user":"feed","pass":"feed""#);
    client.add_stream("ROUNDS", "\"subjects\":[\"rounds.>\"]");
    let args: Vec<&str> = GAME.into_iter().chain(ASK).collect();
    asked(&broker, &args).warns_of("jetstream.api-denied");
}

#[test]
fn no_stream_at_all_is_an_error_for_whoever_names_a_subject() {
    on_all_versions(JETSTREAM, |broker| {
        let diagnosis = asked(broker, &ASK);
        let finding = diagnosis.fails_with("jetstream.no-stream");
        assert!(
            text_of(finding).contains("nats stream add ROUNDS --subjects 'rounds.>'"),
            "{finding:#}"
        );
        asked(broker, &["--jetstream"]).is_healthy();
    });
}

#[test]
fn streams_for_other_subjects_are_named_the_nearest_one_to_be_edited() {
    on_all_versions(JETSTREAM, |broker| {
        let mut client = RawClient::login(broker, "");
        client.add_stream("LOGS", "\"subjects\":[\"logs.>\"]");
        client.add_stream("GAMES", "\"subjects\":[\"round.>\"]");
        let diagnosis = asked(broker, &ASK);
        let finding = diagnosis.fails_with("jetstream.subject-not-covered");
        let edit = "nats stream edit GAMES --subjects 'round.>,rounds.>'";
        assert!(text_of(finding).contains(edit), "{finding:#}");
        assert!(text_of(finding).contains("logs.>"), "{finding:#}");
    });
}

#[test]
fn a_part_that_is_not_stored_is_mentioned() {
    let broker = broker(Version::Default, JETSTREAM);
    RawClient::login(&broker, "").add_stream("ROUNDS", "\"subjects\":[\"rounds.game.*\"]");
    let diagnosis = asked(&broker, &ASK);
    diagnosis.is_healthy();
    assert_eq!(codes(&diagnosis), ["jetstream.partly-covered"]);
    let diagnosis = asked(&broker, &["--jetstream", "rounds.game.crash"]);
    assert!(codes(&diagnosis).is_empty(), "{:#}", diagnosis.json);
}

#[test]
fn a_full_stream_is_an_error_unless_it_discards_old_messages() {
    for limit in ["\"max_msgs\":2", "\"max_bytes\":100"] {
        on_all_versions(JETSTREAM, |broker| {
            add_rounds(broker, &format!("{limit},\"discard\":\"new\""));
            let diagnosis = asked(broker, &ASK);
            let finding = diagnosis.fails_with("jetstream.stream-full");
            assert!(text_of(finding).contains("ROUNDS"), "{finding:#}");
            assert!(text_of(finding).contains("--discard old"), "{finding:#}");
        });
        let broker = broker(Version::Default, JETSTREAM);
        add_rounds(&broker, &format!("{limit},\"discard\":\"old\""));
        asked(&broker, &ASK).is_healthy();
    }
}

#[test]
fn a_full_subject_of_a_stream_is_an_error() {
    let broker = broker(Version::Default, JETSTREAM);
    let config = "\"max_msgs_per_subject\":1,\"discard\":\"new\",\"discard_new_per_subject\":true";
    add_rounds(&broker, config);
    let diagnosis = asked(&broker, &ASK);
    let finding = diagnosis.fails_with("jetstream.stream-full");
    assert!(
        text_of(finding).contains("max_msgs_per_subject"),
        "{finding:#}"
    );
}

#[test]
fn a_sealed_stream_is_an_error() {
    let broker = broker(Version::Default, JETSTREAM);
    add_rounds(&broker, "\"storage\":\"file\"");
    let sealed =
        "{\"name\":\"ROUNDS\",\"subjects\":[\"rounds.>\"],\"storage\":\"file\",\"sealed\":true}";
    let answer = RawClient::login(&broker, "").request("$JS.API.STREAM.UPDATE.ROUNDS", sealed);
    assert!(answer.contains("\"sealed\":true"), "{answer}");
    asked(&broker, &ASK).fails_with("jetstream.stream-sealed");
}

#[test]
fn a_message_that_a_stream_does_not_take_is_named_before_it_is_sent() {
    let broker = broker(Version::Default, JETSTREAM);
    add_rounds(&broker, "\"max_msg_size\":100");
    let args = [
        "--jetstream",
        "--publish",
        "rounds.game.crash",
        "--payload-size",
        "200",
        "--skip",
        "round-trip",
    ];
    asked(&broker, &args).fails_with("jetstream.message-too-large");
}

#[test]
fn a_domain_is_the_answer_where_no_stream_stores_the_subject() {
    let config = JETSTREAM.replace('}', ", domain: edge }");
    on_all_versions(&config, |broker| {
        let diagnosis = asked(broker, &ASK);
        let finding = diagnosis.fails_with("jetstream.not-in-domain");
        assert!(text_of(finding).contains("domain `edge`"), "{finding:#}");
        assert!(text_of(finding).contains("--js-domain edge"), "{finding:#}");
        add_rounds(broker, "\"storage\":\"file\"");
        let diagnosis = asked(broker, &ASK);
        diagnosis.is_healthy();
        assert_eq!(codes(&diagnosis), ["jetstream.domain"]);
        assert_eq!(fact(&diagnosis, "jetstream domain"), Some("edge"));
    });
}

#[test]
fn an_account_that_has_used_up_its_storage_is_an_error() {
    let config = format!(
        "{JETSTREAM}\naccounts {{ A {{ jetstream: {{max_streams: 1, max_store: 1MB}}, users: [ {{user: game, password: s3cret}} ] }} }}"
    );
    let broker = broker(Version::Default, &config);
    let mut client = RawClient::login(&broker, r#""user":"game","pass":"s3cret""#);
    client.add_stream("ROUNDS", "\"subjects\":[\"rounds.>\"]");
    let args: Vec<&str> = GAME.into_iter().chain(ASK).collect();
    let diagnosis = asked(&broker, &args);
    let finding = diagnosis.warns_of("jetstream.account-limit");
    assert!(text_of(finding).contains("streams"), "{finding:#}");
}

#[test]
fn too_little_storage_of_the_account_is_why_there_is_no_stream() {
    let config = format!(
        "{JETSTREAM}\naccounts {{ A {{ jetstream: {{max_store: 1MB}}, users: [ {{user: game, password: s3cret}} ] }} }}"
    );
    let broker = broker(Version::Default, &config);
    let args: Vec<&str> = GAME.into_iter().chain(ASK).collect();
    let diagnosis = asked(&broker, &args);
    let finding = diagnosis.fails_with("jetstream.storage-insufficient");
    assert!(text_of(finding).contains("the account"), "{finding:#}");
}

#[test]
#[cfg(target_os = "linux")]
fn too_little_storage_of_the_server_is_told_by_its_monitoring_port() {
    let config = JETSTREAM.replace('}', ", max_file_store: 1MB }");
    for version in ALL_VERSIONS {
        let broker = Broker::builder()
            .version(version)
            .monitored()
            .config(&config)
            .start();
        let diagnosis = asked(&broker, &ASK);
        let finding = diagnosis.fails_with("jetstream.storage-insufficient");
        assert!(text_of(finding).contains("max_file_store"), "{finding:#}");
    }
}

#[test]
fn nothing_is_made_or_published() {
    let broker = broker(Version::Default, &format!("{JETSTREAM}\ntrace: true"));
    add_rounds(&broker, "\"storage\":\"file\"");
    let n_before = broker.log().len();
    asked(&broker, &["--jetstream", "rounds.>", "orders.>"]);
    let log = broker.log().split_off(n_before);
    let published: Vec<&str> = log.lines().filter(|line| line.contains("[PUB ")).collect();
    assert!(!published.is_empty(), "{log}");
    for line in published {
        let reads = [
            "$JS.API.INFO",
            "$JS.API.STREAM.NAMES",
            "$JS.API.STREAM.INFO.",
            "$SYS.REQ.",
            "_INBOX.",
            "_NATSBENCH",
        ];
        assert!(reads.iter().any(|subject| line.contains(subject)), "{line}");
    }
}
