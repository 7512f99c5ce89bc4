//! What is made of a refusal.

use super::super::trials::Outcome;
use super::*;
use crate::protocol::Secret;

const VIOLATION: &str = "Authorization Violation";

fn info(json: &str) -> ServerInfo {
    ServerInfo::parse(json.as_bytes()).unwrap()
}

fn password() -> Credentials {
    Credentials::UserPassword {
        user: "game".to_owned(),
        password: Secret::new("s3cret".to_owned()),
    }
}

fn trial(auth_required: bool, outcome: Outcome) -> ClientTrial {
    ClientTrial {
        address: "127.0.0.1:4222".parse().unwrap(),
        info: info(&format!(
            r#"{{"server_id":"N","auth_required":{auth_required}}}"#
        )),
        outcome,
    }
}

/// INFO of a server that wants a password.
fn wants_password() -> ServerInfo {
    info(r#"{"auth_required":true,"client_ip":"192.0.2.7"}"#)
}

/// A fast refusal on a fast path; the tests replace what they are about.
fn usual<'a>(given: &'a Credentials, info: &'a ServerInfo) -> Refusal<'a> {
    Refusal {
        host: "h:1",
        url: "ws://h:1",
        given,
        source: None,
        claims: None,
        info,
        words: VIOLATION,
        end: "the server closed the connection",
        took: Duration::from_millis(1),
        round_trip: Duration::from_millis(1),
        client: None,
        is_open_to_all: false,
        other_login: None,
    }
}

#[test]
fn the_words_of_the_server_decide_where_they_can() {
    let (given, info) = (password(), wants_password());
    for (words, code) in [
        (VIOLATION, "connect.wrong-password"),
        ("maximum connections exceeded", "connect.server-full"),
        (
            "maximum account active connections exceeded",
            "connect.account-full",
        ),
        ("User Authentication Revoked", "connect.revoked"),
        ("Account Authentication Expired", "connect.expired"),
        ("Connection throttling is active", "connect.throttled"),
        ("Secure Connection - TLS Required", "connect.tls-required"),
        ("maximum control line exceeded", "connect.line-too-long"),
        ("something new", "connect.refused"),
    ] {
        let refusal = Refusal {
            words,
            ..usual(&given, &info)
        };
        assert_eq!(refusal.judge().code, code);
    }
}

#[test]
fn a_slow_refusal_on_a_fast_path_is_a_silent_callout() {
    let (given, info) = (password(), wants_password());
    let took = Duration::from_secs(2);
    let fast_path = Refusal {
        took,
        ..usual(&given, &info)
    };
    assert_eq!(fast_path.judge().code, "connect.auth-callout-silent");
    let slow_path = Refusal {
        took,
        round_trip: took,
        ..usual(&given, &info)
    };
    assert_eq!(slow_path.judge().code, "connect.wrong-password");
}

#[test]
fn what_the_client_port_accepts_is_not_for_websocket() {
    let (given, info) = (password(), wants_password());
    let with = |trial: &ClientTrial| {
        Refusal {
            client: Some(trial),
            ..usual(&given, &info)
        }
        .judge()
    };
    let finding = with(&trial(true, Outcome::Accepted));
    assert_eq!(finding.code, "connect.not-for-websocket");
    assert_eq!(finding.alternatives.len(), 2);
    // Without authentication there, it is certain where the difference is.
    let finding = with(&trial(false, Outcome::Accepted));
    assert_eq!(finding.code, "connect.not-for-websocket");
    assert_eq!(finding.certainty, Certainty::Certain);
    let finding = with(&trial(true, Outcome::Refused(VIOLATION.to_owned())));
    assert_eq!(finding.code, "connect.wrong-password");
    let causes = format!("{:?}", finding.alternatives);
    assert!(!causes.contains("allowed_connection_types"), "{causes}");
}

#[test]
fn a_network_that_the_jwt_does_not_allow_is_certain() {
    let jwt = Credentials::Jwt {
        jwt: Secret::new(String::new()),
        seed: None,
    };
    let info = info(r#"{"auth_required":true,"nonce":"x","client_ip":"192.0.2.7"}"#);
    let with = |networks: &[&str]| {
        let claims = UserClaims {
            networks: networks.iter().map(ToString::to_string).collect(),
            ..UserClaims::default()
        };
        Refusal {
            claims: Some(&claims),
            ..usual(&jwt, &info)
        }
        .judge()
    };
    let finding = with(&["10.0.0.0/8"]);
    assert_eq!(finding.code, "connect.source-network");
    assert_eq!(finding.certainty, Certainty::Certain);
    assert_eq!(with(&["192.0.2.0/24"]).code, "connect.jwt-refused");
    assert_eq!(with(&[]).code, "connect.jwt-refused");
}

#[test]
fn a_fast_path_is_not_blamed_for_a_login_that_came_too_late() {
    let (given, info) = (password(), wants_password());
    let late = |round_trip| {
        Refusal {
            words: "Authentication Timeout",
            round_trip,
            ..usual(&given, &info)
        }
        .judge()
    };
    assert!(late(Duration::from_secs(2)).title.contains("slow"));
    let fast = late(Duration::from_millis(2));
    assert_eq!(fast.certainty, Certainty::Possible);
}

#[test]
fn a_password_is_described_and_never_told() {
    let info = wants_password();
    for (password, hint) in [
        ("$2a$11$abc", "bcrypt"),
        ("secret\n", "blank"),
        ("'secret'", "quotes"),
        ("", "empty"),
    ] {
        let given = Credentials::UserPassword {
            user: "game".to_owned(),
            password: Secret::new(password.to_owned()),
        };
        let finding = usual(&given, &info).judge();
        assert!(finding.explanation.contains(hint), "{finding:?}");
        assert!(password.is_empty() || !format!("{finding:?}").contains(password));
    }
}

#[test]
fn what_was_given_besides_connect_is_no_login_that_is_missing() {
    let (given, info) = (Credentials::None, wants_password());
    let with = |login: OtherLogin| {
        Refusal {
            other_login: Some(&login),
            ..usual(&given, &info)
        }
        .judge()
    };
    let cookie = |claims: UserClaims, is_expired| OtherLogin::Cookie {
        name: "nats_jwt".to_owned(),
        claims: Box::new(claims),
        is_expired,
    };
    let bearer = UserClaims {
        bearer: true,
        ..UserClaims::default()
    };
    for (claims, is_expired, words) in [
        (UserClaims::default(), false, "no bearer token"),
        (bearer.clone(), true, "has expired"),
        (bearer, false, "does not take"),
    ] {
        let finding = with(cookie(claims, is_expired));
        assert_eq!(finding.code, "connect.cookie-refused");
        assert!(finding.title.contains(words), "{finding:?}");
    }
    let names = vec!["game@example.com".to_owned(), "CN=game".to_owned()];
    let finding = with(OtherLogin::Certificate { names });
    assert_eq!(finding.code, "connect.unknown-certificate");
    assert_eq!(finding.alternatives.len(), 2);
    assert_eq!(
        usual(&given, &info).judge().code,
        "connect.credentials-needed"
    );
}
