//! User JWTs: what is read of them, and what is none.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn encoded(value: &Value) -> String {
    BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}

fn signed(claims: &Value) -> (String, String) {
    let account = KeyPair::new_account();
    let mut claims = claims.clone();
    claims["iss"] = json!(account.public_key());
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let text = format!("{}.{}", encoded(&header), encoded(&claims));
    let signature = account.sign(text.as_bytes()).unwrap();
    (
        format!("{text}.{}", BASE64URL_NOPAD.encode(&signature)),
        account.public_key(),
    )
}

#[test]
fn everything_that_a_user_jwt_can_say_is_read() {
    let (jwt, account) = signed(
        &json!({"name": "shop", "sub": "UABC", "iat": 1, "nbf": 2, "exp": 3, "nats": {
        "type": "user", "version": 2, "bearer_token": true, "allowed_connection_types": ["websocket"],
        "src": ["10.0.0.0/8"], "times": [{"start": "08:00:00", "end": "17:00:00"}], "times_location": "Europe/Berlin",
        "pub": {"allow": ["a.>"], "deny": ["a.b"]}, "sub": {"allow": ["c q"]}, "resp": {"max": 1, "ttl": 5}}}),
    );
    let claims = UserClaims::decode(&jwt).unwrap();
    assert_eq!(
        (claims.name.as_str(), claims.subject.as_str()),
        ("shop", "UABC")
    );
    assert_eq!(
        (claims.issued_at, claims.not_before, claims.expires),
        (Some(1), Some(2), Some(3))
    );
    assert_eq!(claims.account(), account);
    assert!(claims.is_signature_valid && claims.bearer && !claims.proxy_required);
    assert!(claims.allows_connection_type(CONNECTION_TYPE_WEBSOCKET));
    assert!(!claims.allows_connection_type(CONNECTION_TYPE_STANDARD));
    assert_eq!(claims.time_zone.as_deref(), Some("Europe/Berlin"));
    assert_eq!(claims.times[0].end, "17:00:00");
    assert_eq!(claims.publish.deny, ["a.b"]);
    assert_eq!(claims.subscribe.allow, ["c q"]);
    assert_eq!(claims.responses.unwrap().ttl_ns, 5);
}

#[test]
fn a_jwt_that_was_changed_is_not_signed() {
    let (jwt, _) = signed(&json!({"nats": {"type": "user"}}));
    let (head, signature) = jwt.rsplit_once('.').unwrap();
    let (header, _) = head.split_once('.').unwrap();
    let claims = encoded(&json!({"nats": {"type": "user"}, "exp": 9}));
    let changed = UserClaims::decode(&format!("{header}.{claims}.{signature}")).unwrap();
    assert!(!changed.is_signature_valid);
}

#[test]
fn the_first_version_of_the_claims_is_read_too() {
    let account = KeyPair::new_account();
    let header = encoded(&json!({"typ": "jwt", "alg": "ed25519"}));
    let claims = encoded(
        &json!({"iss": account.public_key(), "type": "user", "issuer_account": "AX",
        "nats": {"src": "10.0.0.0/8, 192.168.0.0/16"}}),
    );
    let signature = BASE64URL_NOPAD.encode(&account.sign(claims.as_bytes()).unwrap());
    let claims = UserClaims::decode(&format!("{header}.{claims}.{signature}")).unwrap();
    assert!(claims.is_signature_valid);
    assert_eq!(claims.account(), "AX");
    assert!(claims.allows_source("192.168.1.1".parse().unwrap()));
}

#[test]
fn what_is_no_user_jwt_is_told_apart() {
    let (account, _) = signed(&json!({"nats": {"type": "account"}}));
    let oauth = format!("{}.{}.x", encoded(&json!({"alg": "RS256"})), "e30");
    for (text, error) in [
        ("a.b", JwtError::Parts { n_parts: 2 }),
        ("!.b.c", JwtError::Encoding { part: "header" }),
        ("MQ.b.c", JwtError::Json { part: "header" }),
        (
            oauth.as_str(),
            JwtError::Algorithm {
                algorithm: "RS256".to_owned(),
            },
        ),
        (
            account.as_str(),
            JwtError::NotUser {
                kind: "account".to_owned(),
            },
        ),
    ] {
        assert_eq!(UserClaims::decode(text), Err(error), "{text}");
    }
}

#[test]
fn networks_are_matched_by_their_prefix() {
    for (network, address, is_in) in [
        ("10.9.8.0/24", "10.9.8.7", true),
        ("10.9.8.0/24", "10.9.9.7", false),
        ("0.0.0.0/0", "1.2.3.4", true),
        ("127.0.0.1/32", "127.0.0.1", true),
        ("::1/128", "::1", true),
        ("fd00::/8", "fd12::1", true),
        ("fd00::/8", "127.0.0.1", false),
        ("10.0.0.0/8", "::ffff:10.1.2.3", true),
        ("10.9.8.7", "10.9.8.7", false),
        ("10.9.8.0/33", "10.9.8.0", false),
    ] {
        let claims = UserClaims {
            networks: vec![network.to_owned()],
            ..UserClaims::default()
        };
        let address = address.parse().unwrap();
        assert_eq!(claims.allows_source(address), is_in, "{network} {address}");
    }
    assert!(UserClaims::default().allows_source("1.2.3.4".parse().unwrap()));
}

proptest! {
    #[test]
    fn arbitrary_texts_never_panic(text in "\\PC{0,40}|[a-zA-Z0-9_-]{0,12}(\\.[a-zA-Z0-9_-]{0,12}){0,3}") {
        let _ = UserClaims::decode(&text);
    }

    #[test]
    fn arbitrary_claims_never_panic(body in "\\PC{0,60}|\\{\"nats\":\\{\"type\":\"user\",\"(src|times|pub)\":[\\[\\]0-9{}\"]{0,8}\\}\\}") {
        let header = encoded(&json!({"alg": "ed25519-nkey"}));
        let _ = UserClaims::decode(&format!("{header}.{}.x", BASE64URL_NOPAD.encode(body.as_bytes())));
    }
}
