//! Operator mode: the three keys, and the JWTs that they sign, as `nsc` makes them.

use nkeys::KeyPair;
use serde_json::{Value, json};

/// An operator with one account.
pub(crate) struct Operator {
    operator: KeyPair,
    account: KeyPair,
}

impl Operator {
    pub(crate) fn new() -> Self {
        Self {
            operator: KeyPair::new_operator(),
            account: KeyPair::new_account(),
        }
    }

    /// The configuration of a server that trusts this operator.
    pub(crate) fn config(&self) -> String {
        let unlimited = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
            "wildcards": true, "conn": -1, "leaf": -1});
        let operator = json!({"type": "operator", "version": 2});
        let operator = signed(
            &self.operator,
            &claims_of(&self.operator, &self.operator, &operator),
        );
        let account = json!({"type": "account", "version": 2, "limits": unlimited});
        let account = signed(
            &self.operator,
            &claims_of(&self.operator, &self.account, &account),
        );
        let id = self.account.public_key();
        format!(
            "operator: \"{operator}\"\nresolver: MEMORY\nresolver_preload: {{ {id}: \"{account}\" }}\n"
        )
    }

    /// The `.creds` file of a new user; `expires` is in seconds since the epoch.
    pub(crate) fn creds(&self, expires: Option<u64>) -> String {
        self.creds_with(|claims| {
            if let Some(expires) = expires {
                claims["exp"] = json!(expires);
            }
        })
    }

    /// The `.creds` file of a new user whose claims are changed before they are signed: `claims["nats"]["src"] = ...`.
    pub(crate) fn creds_with(&self, change: impl FnOnce(&mut Value)) -> String {
        let user = KeyPair::new_user();
        let nats = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}});
        let mut claims = claims_of(&self.account, &user, &nats);
        change(&mut claims);
        let jwt = signed(&self.account, &claims);
        let seed = user.seed().expect("a new key has a seed");
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

fn claims_of(issuer: &KeyPair, subject: &KeyPair, nats: &Value) -> Value {
    json!({"jti": "test", "iat": 1_700_000_000, "iss": issuer.public_key(), "name": "test",
        "sub": subject.public_key(), "nats": nats})
}

fn signed(issuer: &KeyPair, claims: &Value) -> String {
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let body = format!(
        "{}.{}",
        base64_url(header.to_string().as_bytes()),
        base64_url(claims.to_string().as_bytes())
    );
    let signature = issuer.sign(body.as_bytes()).expect("a key that can sign");
    format!("{body}.{}", base64_url(&signature))
}

/// RFC 4648 section 5, without padding.
fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bit = |at: usize| {
        bytes
            .get(at / 8)
            .is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1)
    };
    (0..bytes.len() * 8)
        .step_by(6)
        .map(|start| {
            let index = (start..start + 6).fold(0, |value, at| value << 1 | usize::from(bit(at)));
            char::from(ALPHABET[index])
        })
        .collect()
}
