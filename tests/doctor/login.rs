//! `doctor`: why a login is refused, what a user may do, and whether a message comes back.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::{Diagnosis, diagnose, text_of};
use crate::harness::{Broker, Builder, Direction, FaultProxy, Operator, ScriptedPort, Version};
use nkeys::KeyPair;
use serde_json::{Value, json};

const ALL_VERSIONS: [Version; 3] = [Version::Default, Version::V2_12, Version::V2_10];
const GAME: [&str; 4] = ["--user", "game", "--password", "s3cret"];

fn broker(config: &str) -> Broker {
    Broker::builder().config(config).start()
}

/// The arguments of user `game`, and more.
fn game<'a>(more: &[&'a str]) -> Vec<&'a str> {
    GAME.into_iter().chain(more.iter().copied()).collect()
}

/// A broker of each version with this configuration.
fn on_all_versions(config: &str, look: impl Fn(&Broker)) {
    for version in ALL_VERSIONS {
        let broker = Broker::builder().version(version).config(config).start();
        look(&broker);
    }
}

/// Users with `permissions`, and `feed`, who may do everything.
fn permitted(permissions: &str) -> String {
    format!(
        "authorization {{ users: [ {{user: game, password: s3cret, permissions: {{ {permissions} }} }}, {{user: feed, password: feed}} ] }}"
    )
}

fn fact<'a>(diagnosis: &'a Diagnosis, name: &str) -> Option<&'a str> {
    let mut facts = diagnosis.json["facts"].as_array().expect("a list").iter();
    facts.find(|fact| fact["name"] == name)?["value"].as_str()
}

fn codes(diagnosis: &Diagnosis) -> Vec<&str> {
    let findings = diagnosis.json["findings"].as_array().expect("a list");
    let codes = findings
        .iter()
        .filter_map(|finding| finding["code"].as_str());
    codes.collect()
}

#[test]
fn a_login_without_credentials_is_told_what_the_server_wants() {
    let config = "authorization { user: game, password: s3cret }";
    on_all_versions(config, |broker| {
        let diagnosis = diagnose::<&str>(&broker.ws_url(), &[]);
        let finding = diagnosis.fails_with("connect.credentials-needed");
        assert_eq!(finding["certainty"], "certain");
        assert!(text_of(finding).contains("--password"), "{finding:#}");
    });
}

#[test]
fn a_nonce_means_that_an_nkey_or_a_credentials_file_is_wanted() {
    let nkey = KeyPair::new_user().public_key();
    let users = format!("authorization {{ users: [ {{ nkey: {nkey} }} ] }}");
    on_all_versions(&users, |broker| {
        diagnose::<&str>(&broker.ws_url(), &[]).fails_with("connect.nkey-or-creds-needed");
    });
    on_all_versions(&Operator::new().config(), |broker| {
        diagnose::<&str>(&broker.ws_url(), &[]).fails_with("connect.nkey-or-creds-needed");
    });
}

#[test]
fn a_wrong_password_is_named_without_telling_it() {
    let config = "authorization { user: game, password: s3cret }";
    on_all_versions(config, |broker| {
        let args = ["--user", "game", "--password", "hunter2hunter2"];
        let diagnosis = diagnose(&broker.ws_url(), &args);
        let finding = diagnosis.fails_with("connect.wrong-password");
        assert!(text_of(finding).contains("`game`"), "{finding:#}");
        assert!(!diagnosis.json.to_string().contains("hunter2"));
    });
}

#[test]
fn a_bcrypt_hash_in_place_of_a_password_is_noticed() {
    let broker = broker("authorization { user: game, password: s3cret }");
    let hash = "$2a$11$3kIDaCxw.Glsl1.u5nKa6eUnNDLV5HV9tIuUp7EHhMt6Nm9myW1aS";
    let diagnosis = diagnose(&broker.ws_url(), &["--user", "game", "--password", hash]);
    let finding = diagnosis.fails_with("connect.wrong-password");
    assert!(text_of(finding).contains("bcrypt"), "{finding:#}");
    assert!(!diagnosis.json.to_string().contains(hash));
}

#[test]
fn a_wrong_token_and_an_unknown_nkey_are_named() {
    let tokens = broker("authorization { token: right }");
    diagnose(&tokens.ws_url(), &["--token", "wrong"]).fails_with("connect.wrong-token");

    let known = KeyPair::new_user().public_key();
    let unknown = KeyPair::new_user();
    let seed = unknown.seed().expect("a new key has a seed");
    let nkeys = Broker::builder()
        .config(&format!(
            "authorization {{ users: [ {{ nkey: {known} }} ] }}"
        ))
        .file("user.nk", &seed)
        .start();
    let path = nkeys.dir().join("user.nk");
    let path = path.to_str().expect("a UTF-8 path");
    let diagnosis = diagnose(&nkeys.ws_url(), &["--nkey", path]);
    let finding = diagnosis.fails_with("connect.unknown-nkey");
    assert!(
        text_of(finding).contains(&unknown.public_key()),
        "{finding:#}"
    );
    assert!(!diagnosis.json.to_string().contains(&seed));

    // A server without nkeys sends nothing to sign.
    diagnose(&tokens.ws_url(), &["--nkey", path]).fails_with("connect.nkey-not-wanted");
}

#[test]
fn credentials_that_only_the_client_port_accepts_are_told_so() {
    let restricted = "authorization { users: [ {user: game, password: s3cret, allowed_connection_types: [\"STANDARD\"]} ] }";
    for version in ALL_VERSIONS {
        let (broker, _client_port) =
            beside_its_client_port(&Broker::builder().version(version).config(restricted));
        let diagnosis = diagnose(&broker.ws_url(), &GAME);
        let finding = diagnosis.fails_with("connect.not-for-websocket");
        assert_eq!(finding["certainty"], "possible");
        assert!(text_of(finding).contains("allowed_connection_types"));
    }
    let (broker, _client_port) = beside_its_client_port(
        &Broker::builder()
            .websocket("no_tls: true\nauthorization { token: other }")
            .config("authorization { token: general }"),
    );
    let diagnosis = diagnose(&broker.ws_url(), &["--token", "general"]);
    let finding = diagnosis.fails_with("connect.not-for-websocket");
    assert_eq!(finding["certainty"], "certain");
    diagnose(&broker.ws_url(), &["--token", "other"]).is_healthy();
}

#[test]
fn credentials_go_to_no_other_server_than_the_one_of_the_url() {
    let config = "authorization { user: game, password: s3cret }";
    let other = broker("authorization { user: other, password: other }");
    let port = other.client_port();
    let (broker, _other_port) = (0..20)
        .find_map(|_| {
            let broker = broker(config);
            let beside =
                ScriptedPort::start_beside(broker.ws_port(), move |client| relay(client, port))?;
            Some((broker, beside))
        })
        .expect("a free port beside another one");
    let args = ["--user", "game", "--password", "wrong"];
    diagnose(&broker.ws_url(), &args).fails_with("connect.wrong-password");
    assert!(
        !other.log().contains("authentication error"),
        "{}",
        other.log()
    );
}

/// A broker whose client port can be reached right beside that of its WebSocket.
fn beside_its_client_port(builder: &Builder) -> (Broker, ScriptedPort) {
    (0..20)
        .find_map(|_| {
            let broker = builder.clone().start();
            let port = broker.client_port();
            let beside =
                ScriptedPort::start_beside(broker.ws_port(), move |client| relay(client, port))?;
            Some((broker, beside))
        })
        .expect("a free port beside another one")
}

/// Carries everything both ways.
fn relay(client: TcpStream, port: u16) {
    let server = TcpStream::connect(("127.0.0.1", port)).expect("the broker");
    pass_on(client, server, usize::MAX);
}

#[test]
fn no_user_is_needed_where_there_is_one_for_everybody() {
    let config = "no_auth_user: game\nauthorization { users: [ {user: game, password: s3cret} ] }";
    on_all_versions(config, |broker| {
        diagnose::<&str>(&broker.ws_url(), &[]).is_healthy();
        let args = ["--user", "game", "--password", "wrong"];
        let diagnosis = diagnose(&broker.ws_url(), &args);
        let finding = diagnosis.fails_with("connect.wrong-password");
        assert!(text_of(finding).contains("no_auth_user"), "{finding:#}");
    });
}

#[test]
fn credentials_prove_nothing_where_nobody_looks_at_them() {
    let diagnosis = diagnose(&Broker::start().ws_url(), &GAME);
    diagnosis.is_healthy();
    let fact = |fact: &&Value| fact["name"] == "credentials";
    let mut facts = diagnosis.json["facts"].as_array().expect("a list").iter();
    let fact = facts.find(fact).expect("it is told");
    assert!(text_of(fact).contains("no authentication"), "{fact}");
}

#[test]
fn a_login_that_works_says_who_we_are() {
    let config = "accounts { APP { users: [ {user: game, password: s3cret} ] } }";
    on_all_versions(config, |broker| {
        let diagnosis = diagnose(&broker.ws_url(), &GAME);
        diagnosis.is_healthy();
        assert_eq!(fact(&diagnosis, "account"), Some("APP"));
        assert_eq!(fact(&diagnosis, "user"), Some("game"));
    });
}

#[test]
fn a_token_is_not_shown_as_the_name_of_its_user() {
    on_all_versions("authorization { token: hunter2hunter2 }", |broker| {
        let diagnosis = diagnose(&broker.ws_url(), &["--token", "hunter2hunter2"]);
        diagnosis.is_healthy();
        assert_eq!(fact(&diagnosis, "user"), None);
        assert!(!diagnosis.json.to_string().contains("hunter2"));
    });
}

#[test]
fn an_account_that_the_server_does_not_know_is_one_of_the_causes() {
    let (ours, other) = (Operator::new(), Operator::new());
    for version in ALL_VERSIONS {
        let broker = Broker::builder()
            .version(version)
            .config(&ours.config())
            .file("good.creds", &ours.creds(None))
            .file("other.creds", &other.creds(None))
            .start();
        let path = |name: &str| broker.dir().join(name).to_str().expect("UTF-8").to_owned();
        let diagnosis = diagnose(&broker.ws_url(), &["--creds", &path("other.creds")]);
        let finding = diagnosis.fails_with("connect.jwt-refused");
        assert_eq!(finding["certainty"], "possible");
        assert!(finding["alternatives"].as_array().expect("a list").len() > 3);
        assert!(!diagnosis.json.to_string().contains("eyJ"));
        diagnose(&broker.ws_url(), &["--creds", &path("good.creds")]).is_healthy();
    }
}

#[test]
fn a_server_or_an_account_that_is_full_says_so() {
    on_all_versions("max_connections: 1", |broker| {
        let _held = Held::open(broker, "{}");
        let diagnosis = diagnose::<&str>(&broker.ws_url(), &[]);
        diagnosis.fails_with("connect.server-full");
    });
    let config = "accounts { A { users: [ {user: game, password: s3cret} ], limits { max_connections: 1 } } }";
    on_all_versions(config, |broker| {
        let _held = Held::open(broker, r#"{"user":"game","pass":"s3cret"}"#);
        diagnose(&broker.ws_url(), &GAME).fails_with("connect.account-full");
    });
}

/// A connection to the client port that is logged in, and stays.
struct Held(#[expect(dead_code, reason = "it is closed when it is dropped")] TcpStream);

impl Held {
    fn open(broker: &Broker, connect: &str) -> Self {
        let mut stream =
            TcpStream::connect(("127.0.0.1", broker.client_port())).expect("a connection");
        let login = format!("CONNECT {connect}\r\nPING\r\n");
        stream.write_all(login.as_bytes()).expect("a login");
        let mut heard = Vec::new();
        let mut chunk = [0; 4096];
        while !heard.windows(4).any(|word| word == b"PONG") {
            let n = stream.read(&mut chunk).expect("an answer");
            assert!(n > 0, "refused: {}", String::from_utf8_lossy(&heard));
            heard.extend_from_slice(&chunk[..n]);
        }
        Self(stream)
    }
}

#[test]
fn a_slow_path_is_the_cause_of_a_login_that_comes_too_late() {
    let broker = broker("authorization { user: game, password: s3cret, timeout: 0.4 }");
    let proxy = FaultProxy::to(broker.ws_port());
    for direction in [Direction::Up, Direction::Down] {
        proxy.delay(direction, Duration::from_millis(350));
    }
    let diagnosis = diagnose(&proxy.ws_url(), &GAME);
    let finding = diagnosis.fails_with("connect.auth-timeout");
    assert!(text_of(finding).contains("so slow"), "{finding:#}");
}

#[test]
fn an_auth_callout_without_a_service_is_told_from_a_wrong_password() {
    let issuer = KeyPair::new_account().public_key();
    let config = format!(
        "accounts {{ AUTH {{ users: [ {{user: auth, password: auth}} ] }}, APP {{}} }}\n\
         authorization {{ timeout: 1, auth_callout {{ issuer: {issuer}, account: AUTH, auth_users: [auth] }} }}"
    );
    on_all_versions(&config, |broker| {
        diagnose(&broker.ws_url(), &GAME).fails_with("connect.auth-callout-silent");
    });
}

#[test]
fn a_connect_that_is_longer_than_the_server_reads_is_named() {
    on_all_versions("max_control_line: 200", |broker| {
        let password = "x".repeat(300);
        let args = ["--user", "game", "--password", password.as_str()];
        diagnose(&broker.ws_url(), &args).fails_with("connect.line-too-long");
    });
}

#[test]
fn a_denied_subject_is_named_with_what_is_allowed_in_its_place() {
    let config = permitted("subscribe: [\"rounds.type.>\", \"_INBOX.>\"]");
    on_all_versions(&config, |broker| {
        let diagnosis = diagnose(&broker.ws_url(), &game(&["rounds.game.*", "rounds.type.*"]));
        let finding = diagnosis.fails_with("permissions.subscribe-denied");
        assert!(text_of(finding).contains("`rounds.game.*`"), "{finding:#}");
        assert!(text_of(finding).contains("rounds.type.>"), "{finding:#}");
        let codes = codes(&diagnosis);
        let is_denied = |code: &&&str| **code == "permissions.subscribe-denied";
        assert_eq!(codes.iter().filter(is_denied).count(), 1, "{codes:?}");
    });
}

#[test]
fn denied_subjects_that_filter_in_silence_are_found() {
    // Once through what the server tells of the user, once by asking for subjects within the pattern.
    for inbox in ["\"_INBOX.>\", ", ""] {
        let config = permitted(&format!(
            "subscribe: {{ allow: [{inbox}\"rounds.>\"], deny: [\"rounds.game.>\"] }}"
        ));
        on_all_versions(&config, |broker| {
            let diagnosis = diagnose(&broker.ws_url(), &game(&["rounds.>"]));
            let finding = diagnosis.fails_with("permissions.deny-filters");
            assert_eq!(finding["certainty"], "certain");
            assert!(text_of(finding).contains("rounds.game."), "{finding:#}");
        });
    }
}

#[test]
fn what_is_denied_elsewhere_is_no_finding() {
    let config =
        permitted("subscribe: { allow: [\"rounds.>\", \"_INBOX.>\"], deny: [\"rounds.admin.>\"] }");
    let broker = broker(&config);
    diagnose(
        &broker.ws_url(),
        &game(&["rounds.game.*", "--skip", "flow"]),
    )
    .is_healthy();
    diagnose(&broker.ws_url(), &game(&["rounds.>"])).warns_of("permissions.deny-filters");
}

#[test]
fn a_permission_for_a_queue_group_only_is_told_with_its_name() {
    let config = permitted("subscribe: [\"rounds.> workers\"]");
    on_all_versions(&config, |broker| {
        let diagnosis = diagnose(&broker.ws_url(), &game(&["rounds.>"]));
        let finding = diagnosis.fails_with("permissions.queue-only");
        assert!(text_of(finding).contains("--queue workers"), "{finding:#}");
        let args = game(&["rounds.>", "--queue", "workers"]);
        let diagnosis = diagnose(&broker.ws_url(), &args);
        assert_eq!(diagnosis.status_of("permissions"), "passed");
    });
}

#[test]
fn an_unusual_queue_group_is_named_where_the_server_tells_it() {
    let config = permitted("subscribe: [\"rounds.> crunchers\", \"_INBOX.>\"]");
    for (version, name) in [
        (Version::Default, "--queue crunchers"),
        // This one lists the subject as allowed, and denies it.
        (Version::V2_10, "does not tell"),
    ] {
        let broker = Broker::builder().version(version).config(&config).start();
        let diagnosis = diagnose(&broker.ws_url(), &game(&["rounds.>"]));
        let finding = diagnosis.fails_with("permissions.queue-only");
        assert!(text_of(finding).contains(name), "{finding:#}");
    }
}

#[test]
fn limits_of_subscriptions_are_named() {
    on_all_versions("max_subscription_tokens: 2", |broker| {
        let diagnosis = diagnose(&broker.ws_url(), &["rounds.game.crash"]);
        diagnosis.fails_with("permissions.too-many-tokens");
        assert!(!codes(&diagnosis).contains(&"permissions.user-info-denied"));
        diagnose(&broker.ws_url(), &["--request"]).fails_with("permissions.too-many-tokens");
    });
}

#[test]
fn subjects_that_are_too_many_together_are_found() {
    on_all_versions("max_subscriptions: 2", |broker| {
        diagnose(&broker.ws_url(), &["a", "b", "--skip", "flow"]).is_healthy();
        let diagnosis = diagnose(&broker.ws_url(), &["a", "b", "c"]);
        diagnosis.fails_with("permissions.too-many-subscriptions");
    });
}

#[test]
fn permissions_that_cannot_be_seen_are_told_and_are_no_fault() {
    let config = permitted("subscribe: [\"rounds.>\", \"_INBOX.>\"], publish: [\"rounds.>\"]");
    on_all_versions(&config, |broker| {
        let diagnosis = diagnose(&broker.ws_url(), &GAME);
        diagnosis.is_healthy();
        let of_code = |finding: &&Value| finding["code"] == "permissions.user-info-denied";
        let mut findings = diagnosis.json["findings"]
            .as_array()
            .expect("a list")
            .iter();
        let finding = findings.find(of_code).expect("it is told");
        assert!(text_of(finding).contains("$SYS.REQ.USER.INFO"));
    });
}

#[test]
fn a_subject_that_may_not_be_published_to_is_found_whether_or_not_permissions_can_be_seen() {
    for publish in ["\"other.>\", \"$SYS.REQ.USER.INFO\"", "\"other.>\""] {
        let config = permitted(&format!("publish: [{publish}]"));
        on_all_versions(&config, |broker| {
            let diagnosis = diagnose(&broker.ws_url(), &game(&["--publish", "rounds.game.x"]));
            diagnosis.fails_with("permissions.publish-denied");
            let args = game(&["--publish", "other.x"]);
            assert_eq!(
                diagnose(&broker.ws_url(), &args).status_of("round-trip"),
                "passed"
            );
        });
    }
}

#[test]
fn requests_are_answered_unless_inboxes_are_denied() {
    on_all_versions("", |broker| {
        let diagnosis = diagnose(&broker.ws_url(), &["--request"]);
        diagnosis.is_healthy();
        assert!(fact(&diagnosis, "request and reply").is_some());
    });
    let config = permitted("subscribe: [\"rounds.>\"]");
    let denied = broker(&config);
    let diagnosis = diagnose(&denied.ws_url(), &game(&["--request"]));
    diagnosis.fails_with("permissions.inbox-denied");
    let own = broker(&permitted("subscribe: [\"_INBOX_game.>\"]"));
    let diagnosis = diagnose(&own.ws_url(), &game(&["--request"]));
    let finding = diagnosis.fails_with("permissions.inbox-denied");
    assert!(text_of(finding).contains("_INBOX_game"), "{finding:#}");
}

#[test]
fn a_marked_message_comes_back() {
    on_all_versions("max_payload: 4096", |broker| {
        let args = ["--publish", "rounds.game.x", "--payload-size", "4096"];
        let diagnosis = diagnose(&broker.ws_url(), &args);
        diagnosis.is_healthy();
        assert!(fact(&diagnosis, "message there and back").is_some());
        let args = ["--publish", "rounds.game.x", "--payload-size", "4097"];
        diagnose(&broker.ws_url(), &args).fails_with("round-trip.payload-too-large");
    });
}

#[test]
fn a_message_comes_back_where_only_one_connection_is_allowed() {
    let broker = broker("max_connections: 1");
    let diagnosis = diagnose(&broker.ws_url(), &["--publish", "rounds.game.x"]);
    diagnosis.is_healthy();
    assert!(fact(&diagnosis, "message there and back").is_some());
}

#[test]
fn nothing_is_published_unasked() {
    let diagnosis = diagnose(&Broker::start().ws_url(), &["rounds.>"]);
    assert_eq!(diagnosis.status_of("round-trip"), "skipped");
}

#[test]
fn a_message_that_a_mapping_moves_is_found_where_it_arrives() {
    on_all_versions(
        "mappings { \"rounds.game.x\": \"moved.game.x\" }",
        |broker| {
            let diagnosis = diagnose(&broker.ws_url(), &["--publish", "rounds.game.x"]);
            let finding = diagnosis.fails_with("round-trip.mapped");
            assert!(text_of(finding).contains("`moved.game.x`"), "{finding:#}");
        },
    );
    // Where the user may not see it, it is only known not to come back.
    let config = format!(
        "mappings {{ \"rounds.game.x\": \"moved.game.x\" }}\n{}",
        permitted("subscribe: [\"rounds.>\", \"_INBOX.>\"]")
    );
    let diagnosis = diagnose(
        &broker(&config).ws_url(),
        &game(&["--publish", "rounds.game.x"]),
    );
    diagnosis.fails_with("round-trip.lost");
}

/// Passes on what comes from the broker until so many bytes have come on a connection; then nothing, and never closes.
fn stopping_after(broker: &Broker, n_bytes: usize) -> ScriptedPort {
    let port = broker.ws_port();
    ScriptedPort::start(move |client| {
        let server = TcpStream::connect(("127.0.0.1", port)).expect("the broker");
        pass_on(client, server, n_bytes);
    })
}

/// Passes on what comes from the broker until so many bytes have come on a connection; then it ends the connection.
fn cutting_after(broker: &Broker, max_bytes: usize) -> ScriptedPort {
    let port = broker.ws_port();
    ScriptedPort::start(move |mut client| {
        let mut server = TcpStream::connect(("127.0.0.1", port)).expect("the broker");
        let (from, to) = (client.try_clone(), server.try_clone());
        let (from, to) = (from.expect("a handle"), to.expect("a handle"));
        let upward = std::thread::spawn(move || carry(from, to, usize::MAX));
        let mut chunk = vec![0; 64 << 10];
        let mut n_bytes = 0;
        while let Ok(n @ 1..) = server.read(&mut chunk) {
            n_bytes += n;
            if n_bytes > max_bytes || client.write_all(&chunk[..n]).is_err() {
                break;
            }
        }
        // Either side learns that the other one is gone.
        let _ = server.shutdown(Shutdown::Both);
        let _ = client.shutdown(Shutdown::Both);
        let _ = upward.join();
    })
}

/// Everything goes up; down go no more than so many bytes.
fn pass_on(client: TcpStream, server: TcpStream, max_down_bytes: usize) {
    let up = (
        client.try_clone().expect("a second handle"),
        server.try_clone().expect("a second handle"),
    );
    let upward = std::thread::spawn(move || carry(up.0, up.1, usize::MAX));
    carry(server, client, max_down_bytes);
    let _ = upward.join();
}

fn carry(mut from: TcpStream, mut to: TcpStream, max_bytes: usize) {
    let mut chunk = vec![0; 64 << 10];
    let mut n_bytes = 0;
    while let Ok(n @ 1..) = from.read(&mut chunk) {
        n_bytes += n;
        if n_bytes <= max_bytes && to.write_all(&chunk[..n]).is_err() {
            break;
        }
    }
    // Either side learns that the other one is gone.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn a_path_that_stops_after_some_bytes_is_told_from_a_frozen_server() {
    for version in ALL_VERSIONS {
        let broker = Broker::builder().version(version).start();
        for n_bytes in [900, 3_000] {
            let path = stopping_after(&broker, n_bytes);
            let diagnosis = diagnose(&path.ws_url(), &["--timeout", "1s"]);
            let finding = diagnosis.fails_with("connect.no-answer");
            assert!(text_of(finding).contains("stops forwarding"), "{finding:#}");
        }
    }
}

#[test]
fn a_path_that_cuts_connections_after_some_bytes_is_not_taken_for_the_server() {
    let broker = Broker::start();
    for n_bytes in [1_200, 3_000] {
        let path = cutting_after(&broker, n_bytes);
        let diagnosis = diagnose(&path.ws_url(), &["--timeout", "1s"]);
        let finding = diagnosis.fails_with("connect.cut-off");
        assert_eq!(finding["certainty"], "likely", "{finding:#}");
    }
}

#[test]
fn a_server_that_closes_without_a_word_is_not_blamed_alone() {
    let port = upgraded(|mut stream| {
        let mut heard = [0; 4096];
        // The login; then the connection ends.
        let _ = stream.read(&mut heard);
    });
    let diagnosis = diagnose::<&str>(&port.ws_url(), &[]);
    let finding = diagnosis.fails_with("connect.closed");
    assert_eq!(finding["certainty"], "possible");
    assert!(
        !finding["alternatives"]
            .as_array()
            .expect("a list")
            .is_empty()
    );
}

/// A port that answers the upgrade, sends INFO, and then does what it is told.
fn upgraded(then: impl Fn(TcpStream) + Send + Sync + 'static) -> ScriptedPort {
    ScriptedPort::start(move |stream| {
        let Ok(mut websocket) = tokio_tungstenite::tungstenite::accept(stream) else {
            return;
        };
        let info = "INFO {\"server_id\":\"N\",\"version\":\"2.15.1\",\"proto\":1,\"headers\":true,\"max_payload\":1048576,\"client_id\":1}\r\n";
        let message = tokio_tungstenite::tungstenite::Message::Binary(info.into());
        if websocket.send(message).is_ok() {
            let stream = websocket.get_ref().try_clone().expect("a handle");
            then(stream);
        }
    })
}

/// A broker of this operator, and the path of credentials with changed claims.
fn with_creds(operator: &Operator, change: impl FnOnce(&mut Value)) -> (Broker, String) {
    let broker = Broker::builder()
        .config(&operator.config())
        .file("user.creds", &operator.creds_with(change))
        .start();
    let path = broker.dir().join("user.creds");
    let path = path.to_str().expect("a UTF-8 path").to_owned();
    (broker, path)
}

#[test]
fn a_network_that_the_jwt_does_not_allow_is_the_cause_for_certain() {
    let operator = Operator::new();
    let (broker, path) = with_creds(&operator, |claims| {
        claims["nats"]["src"] = json!(["10.9.8.0/24"]);
    });
    let diagnosis = diagnose(&broker.ws_url(), &["--creds", &path]);
    let finding = diagnosis.fails_with("connect.source-network");
    assert_eq!(finding["certainty"], "certain");
    assert!(text_of(finding).contains("127.0.0.1"), "{finding:#}");
}

#[test]
fn what_was_found_in_the_credentials_comes_first_and_gets_the_words_of_the_server() {
    let operator = Operator::new();
    let (broker, path) = with_creds(&operator, |claims| {
        claims["nats"]["allowed_connection_types"] = json!(["STANDARD"]);
    });
    let diagnosis = diagnose(&broker.ws_url(), &["--creds", &path]);
    let finding = diagnosis.fails_with("credentials.connection-type");
    assert!(
        text_of(finding).contains("Authorization Violation"),
        "{finding:#}"
    );
    assert_eq!(codes(&diagnosis), ["credentials.connection-type"]);
    // A server that looks at no credentials lets them in.
    diagnose(&Broker::start().ws_url(), &["--creds", &path])
        .warns_of("credentials.connection-type");
}

#[test]
fn permissions_in_a_jwt_are_read_where_the_server_cannot_be_asked() {
    let operator = Operator::new();
    let (broker, path) = with_creds(&operator, |claims| {
        claims["nats"]["sub"] = json!({"allow": ["rounds.> crunchers"]});
    });
    let diagnosis = diagnose(&broker.ws_url(), &["--creds", &path, "rounds.>"]);
    let finding = diagnosis.fails_with("permissions.queue-only");
    assert!(text_of(finding).contains("crunchers"), "{finding:#}");
}

#[test]
fn a_server_that_hangs_after_info_is_told_from_one_that_refuses() {
    let port = upgraded(|mut stream| {
        let mut heard = [0; 4096];
        // Takes everything, and says nothing any more.
        while matches!(stream.read(&mut heard), Ok(1..)) {}
    });
    let diagnosis = diagnose(&port.ws_url(), &["--timeout", "1s"]);
    let finding = diagnosis.fails_with("connect.no-answer");
    assert_ne!(finding["certainty"], "certain");
    assert!(text_of(finding).contains("its own machine"), "{finding:#}");
}
