//! What a user JWT says. The input is the JSON of its claims, or a whole JWT: to find base64 by chance takes too long.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use data_encoding::BASE64URL_NOPAD;
use libfuzzer_sys::fuzz_target;
use natsbench::protocol::{JwtError, UserClaims};
use serde_json::Value;

const HEADER: &[u8] = br#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        check(&UserClaims::decode(text));
    }
    let parts = [HEADER, input].map(|part| BASE64URL_NOPAD.encode(part));
    let jwt = format!("{}.{}.", parts[0], parts[1]);
    let decoded = UserClaims::decode(&jwt);
    check(&decoded);
    let claims = serde_json::from_slice::<Value>(input);
    match (&decoded, claims) {
        (Ok(read), Ok(claims)) => check_claims(read, &claims),
        (Err(JwtError::Json { part: "body" }), Ok(claims)) => assert!(!claims.is_object()),
        (Err(JwtError::Json { part: "body" }), Err(_)) => {}
        (Err(JwtError::NotUser { kind }), Ok(claims)) => {
            assert_ne!(kind, "user");
            assert!(claims.is_object());
        }
        (decoded, claims) => panic!("{decoded:?} of {claims:?}"),
    }
});

fn check(decoded: &Result<UserClaims, JwtError>) {
    match decoded {
        Ok(claims) => check_sources(claims),
        // The quoted kind and algorithm are cut.
        Err(error) => assert!(error.to_string().chars().count() < 120, "{error}"),
    }
}

/// Nothing was signed, and what is read stands where it should.
fn check_claims(read: &UserClaims, claims: &Value) {
    assert!(!read.is_signature_valid);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert_eq!(read.name, text(&claims["name"]));
    assert_eq!(read.subject, text(&claims["sub"]));
    assert_eq!(read.issuer, text(&claims["iss"]));
    assert_eq!(read.bearer, claims["nats"]["bearer_token"] == true);
    for (moment, field) in [
        (read.issued_at, "iat"),
        (read.not_before, "nbf"),
        (read.expires, "exp"),
    ] {
        assert_eq!(
            moment.unwrap_or(0),
            claims[field].as_i64().unwrap_or(0).max(0)
        );
    }
    let account = read.account();
    assert!(account == read.issuer || Some(account) == read.issuer_account.as_deref());
    for kind in &read.connection_types {
        assert!(read.allows_connection_type(kind));
    }
}

/// An IPv4 address is the same one where it is written as IPv6.
fn check_sources(claims: &UserClaims) {
    for address in [
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::BROADCAST,
        Ipv4Addr::new(192, 168, 1, 7),
    ] {
        let mapped = IpAddr::V6(address.to_ipv6_mapped());
        assert_eq!(
            claims.allows_source(IpAddr::V4(address)),
            claims.allows_source(mapped)
        );
    }
    let any = claims.allows_source(IpAddr::V6(Ipv6Addr::LOCALHOST));
    assert!(any || !claims.networks.is_empty());
}
