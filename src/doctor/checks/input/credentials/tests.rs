//! Claims against a fixed time.

use super::codes::{CONNECTION_TYPE, OUTSIDE_TIMES};
use super::*;
use crate::doctor::code::Code;
use crate::protocol::jwt::TimeRange;
use crate::results::doctor::Severity;

const NOW: i64 = 1_800_000_000;

fn claims() -> UserClaims {
    UserClaims {
        name: "shop".to_owned(),
        subject: "UABC".to_owned(),
        bearer: true,
        is_signature_valid: true,
        ..UserClaims::default()
    }
}

fn judged(claims: &UserClaims, seed: Option<&str>) -> Vec<Finding> {
    let around = Around {
        source: "--creds shop.creds",
        scheme: Scheme::Wss,
        now: NOW,
        offsets: &[0],
        n_connect_bytes: 100,
    };
    findings("", claims, seed, &around)
}

#[track_caller]
fn only(claims: &UserClaims, code: &Code) -> Finding {
    let mut found = judged(claims, None);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].code, code.name);
    found.remove(0)
}

#[test]
fn a_jwt_is_valid_in_the_second_of_its_end_and_of_its_beginning() {
    let border = UserClaims {
        expires: Some(NOW),
        not_before: Some(NOW),
        issued_at: Some(NOW + CLOCK_TOLERANCE),
        ..claims()
    };
    assert_eq!(judged(&border, None), []);
    let expired = UserClaims {
        expires: Some(NOW - 1),
        ..claims()
    };
    assert_eq!(only(&expired, &EXPIRED).certainty, Certainty::Likely);
    let expired = UserClaims {
        expires: Some(1),
        ..claims()
    };
    assert_eq!(only(&expired, &EXPIRED).certainty, Certainty::Certain);
    let early = UserClaims {
        not_before: Some(i64::MAX),
        ..claims()
    };
    assert_eq!(only(&early, &NOT_YET_VALID).certainty, Certainty::Certain);
}

#[test]
fn a_user_of_a_scoped_key_may_be_good_without_a_seed() {
    let unscoped = UserClaims {
        bearer: false,
        ..claims()
    };
    assert_eq!(only(&unscoped, &NO_SEED).certainty, Certainty::Certain);
    let scoped = UserClaims {
        issuer_account: Some("AABC".to_owned()),
        ..unscoped
    };
    assert_eq!(only(&scoped, &NO_SEED).certainty, Certainty::Likely);
}

#[test]
fn nobody_asks_for_the_seed_of_a_bearer() {
    let seed = KeyPair::new_user().seed().unwrap();
    assert_eq!(judged(&claims(), Some(&seed)), []);
}

#[test]
fn the_time_of_the_day_of_the_server_decides() {
    // 08:00 UTC.
    let times = |start: &str, end: &str| UserClaims {
        times: vec![TimeRange {
            start: start.to_owned(),
            end: end.to_owned(),
        }],
        ..claims()
    };
    assert_eq!(judged(&times("07:00:00", "09:00:00"), None), []);
    let finding = only(&times("09:00:00", "17:00:00"), &OUTSIDE_TIMES);
    assert_eq!(
        (finding.severity, finding.certainty),
        (Severity::Error, Certainty::Certain)
    );
}

#[test]
fn lines_to_paste_name_the_user_and_the_file() {
    let finding = only(
        &UserClaims {
            name: "it's me".to_owned(),
            connection_types: vec!["MQTT".to_owned()],
            ..claims()
        },
        &CONNECTION_TYPE,
    );
    assert_eq!(
        finding.remedy,
        ["Where the operator's keys are:\n    \
          nsc edit user --account ACCOUNT --name 'it'\\''s me' --conn-type WEBSOCKET\n    \
          nsc generate creds --account ACCOUNT --name 'it'\\''s me' --output-file shop.creds"]
    );
}
