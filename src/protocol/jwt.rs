//! What a user JWT says: who it is for, how long it holds, and what it allows.
//!
//! Only reading: whether a server trusts the issuer cannot be told from the JWT. Fields that are missing or of
//! another type than they should be count as absent, everything is bounded by the length of the text, and no text of
//! an error quotes the JWT. Times are seconds since the epoch.
//!
//! Sources: the `jwt` library of NATS (versions 1 and 2 of the claims), and nats-server for what it makes of them.

use std::net::IpAddr;

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::Value;

/// Longest JWT that the library of the server reads.
pub const MAX_JWT_BYTES: usize = 1 << 20;
/// What a connection over WebSocket is called in `allowed_connection_types`.
pub const CONNECTION_TYPE_WEBSOCKET: &str = "WEBSOCKET";
/// What a connection to the client port is called there.
pub const CONNECTION_TYPE_STANDARD: &str = "STANDARD";

/// Why a text is no user JWT.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Longer than any server reads.
    #[error("it is longer than {MAX_JWT_BYTES} bytes")]
    TooLong,
    /// A JWT is `HEADER.CLAIMS.SIGNATURE`.
    #[error("it has {n_parts} parts, and a JWT has three, separated by dots")]
    Parts {
        /// How many there are.
        n_parts: usize,
    },
    /// A part that is no base64.
    #[error("its {part} is not written in base64: a part of it is missing, or it was changed")]
    Encoding {
        /// Which.
        part: &'static str,
    },
    /// A part that is no JSON object.
    #[error("its {part} is no JSON object")]
    Json {
        /// Which.
        part: &'static str,
    },
    /// A JWT of another kind of system.
    #[error("it is signed with `{algorithm}`, and a JWT of NATS with `ed25519-nkey`")]
    Algorithm {
        /// The `alg` of its header.
        algorithm: String,
    },
    /// A JWT of NATS that is for something else.
    #[error("it is a JWT of type `{kind}`, not of a user")]
    NotUser {
        /// Its type, such as `account`.
        kind: String,
    },
}

/// Subjects that are allowed and denied; no allowed ones means all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubjectRules {
    /// Only these, if there are any.
    pub allow: Vec<String>,
    /// None of these.
    pub deny: Vec<String>,
}

/// Leave to answer, whatever the reply subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Responses {
    /// How many answers; negative for any number.
    pub max_messages: i64,
    /// For how long after the request, in nanoseconds; zero or less for ever.
    pub ttl_ns: i64,
}

/// A time of the day, from and until, as written: `15:04:05`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeRange {
    /// From.
    pub start: String,
    /// Until; before `start` where it is on the next day.
    pub end: String,
}

/// What a user JWT says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserClaims {
    /// Name of the user.
    pub name: String,
    /// Public nkey of the user, which begins with `U`.
    pub subject: String,
    /// Public nkey that signed it: that of the account, or one of its signing keys. Begins with `A`.
    pub issuer: String,
    /// The account, where a signing key of it signed.
    pub issuer_account: Option<String>,
    /// When it was issued.
    pub issued_at: Option<i64>,
    /// Valid from here on.
    pub not_before: Option<i64>,
    /// Valid until here.
    pub expires: Option<i64>,
    /// The JWT alone is enough: no signature with the seed is needed.
    pub bearer: bool,
    /// Only through a proxy that the server trusts.
    pub proxy_required: bool,
    /// Kinds of connections that are allowed, in upper case; any if empty.
    pub connection_types: Vec<String>,
    /// Networks that connections may come from (CIDR, as written); any if empty.
    pub networks: Vec<String>,
    /// When connections are allowed; always if empty.
    pub times: Vec<TimeRange>,
    /// Time zone of `times` (IANA); that of the server if absent.
    pub time_zone: Option<String>,
    /// Where it may publish.
    pub publish: SubjectRules,
    /// What it may subscribe to; an entry may be `SUBJECT QUEUE`.
    pub subscribe: SubjectRules,
    /// Leave to answer.
    pub responses: Option<Responses>,
    /// The signature is that of the issuer over this very text.
    pub is_signature_valid: bool,
}

impl UserClaims {
    /// Reads a JWT. The signature is looked at, too, but a wrong one is no error here.
    pub fn decode(jwt: &str) -> Result<Self, JwtError> {
        if jwt.len() > MAX_JWT_BYTES {
            return Err(JwtError::TooLong);
        }
        let parts: Vec<&str> = jwt.split('.').collect();
        let [header_text, claims_text, signature] = parts[..] else {
            return Err(JwtError::Parts {
                n_parts: parts.len(),
            });
        };
        let header = object_of(header_text, "header")?;
        let algorithm = text(&header, "alg");
        if !algorithm.to_ascii_lowercase().starts_with("ed25519") {
            return Err(JwtError::Algorithm {
                algorithm: short(&algorithm),
            });
        }
        let claims = object_of(claims_text, "body")?;
        let nats = &claims["nats"];
        // The first version had type and issuing account outside.
        let (kind, is_first_version) = match text(&claims, "type") {
            kind if kind.is_empty() => (text(nats, "type"), false),
            kind => (kind, true),
        };
        if kind != "user" {
            return Err(JwtError::NotUser { kind: short(&kind) });
        }
        let issuer = text(&claims, "iss");
        let signed = if is_first_version {
            claims_text
        } else {
            &jwt[..header_text.len() + 1 + claims_text.len()]
        };
        let issuer_account =
            [&claims, nats].map(|object| Some(text(object, "issuer_account")).filter(is_some_text));
        Ok(Self {
            name: text(&claims, "name"),
            subject: text(&claims, "sub"),
            is_signature_valid: is_signed(signed, signature, &issuer),
            issuer,
            issuer_account: issuer_account.into_iter().flatten().next(),
            issued_at: moment(&claims, "iat"),
            not_before: moment(&claims, "nbf"),
            expires: moment(&claims, "exp"),
            bearer: nats["bearer_token"] == true,
            proxy_required: nats["proxy_required"] == true,
            connection_types: texts(&nats["allowed_connection_types"])
                .into_iter()
                .map(|kind| kind.to_uppercase())
                .collect(),
            networks: networks_of(&nats["src"]),
            times: times_of(&nats["times"]),
            time_zone: Some(text(nats, "times_location")).filter(is_some_text),
            publish: rules_of(&nats["pub"]),
            subscribe: rules_of(&nats["sub"]),
            responses: nats["resp"].as_object().map(|resp| Responses {
                max_messages: resp.get("max").and_then(Value::as_i64).unwrap_or(0),
                ttl_ns: resp.get("ttl").and_then(Value::as_i64).unwrap_or(0),
            }),
        })
    }

    /// Public nkey of the account.
    pub fn account(&self) -> &str {
        self.issuer_account.as_deref().unwrap_or(&self.issuer)
    }

    /// Whether connections of that kind are allowed, such as [`CONNECTION_TYPE_WEBSOCKET`].
    pub fn allows_connection_type(&self, kind: &str) -> bool {
        self.connection_types.is_empty() || self.connection_types.iter().any(|one| one == kind)
    }

    /// Whether connections from there are allowed. A network that cannot be read allows nothing, nor do those behind it.
    pub fn allows_source(&self, address: IpAddr) -> bool {
        let mut networks = self
            .networks
            .iter()
            .map_while(|network| parse_network(network));
        self.networks.is_empty()
            || networks.any(|(base, n_bits)| network_contains(base, n_bits, address))
    }
}

/// An address and the length of its prefix, as Go's `net.ParseCIDR` takes them.
pub fn parse_network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, n_bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let is_number = !n_bits.is_empty() && n_bits.bytes().all(|byte| byte.is_ascii_digit());
    let n_bits: u32 = n_bits.parse().ok().filter(|_| is_number)?;
    let n_all = if address.is_ipv4() { 32 } else { 128 };
    (n_bits <= n_all).then_some((address, n_bits))
}

fn network_contains(base: IpAddr, n_bits: u32, address: IpAddr) -> bool {
    let difference = match (base.to_canonical(), address.to_canonical()) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            u128::from(base.to_bits() ^ address.to_bits()) << 96
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => base.to_bits() ^ address.to_bits(),
        _ => return false,
    };
    difference.leading_zeros() >= n_bits
}

fn object_of(part: &str, name: &'static str) -> Result<Value, JwtError> {
    let bytes = BASE64URL_NOPAD
        .decode(part.as_bytes())
        .map_err(|_| JwtError::Encoding { part: name })?;
    serde_json::from_slice(&bytes)
        .ok()
        .filter(Value::is_object)
        .ok_or(JwtError::Json { part: name })
}

fn is_signed(signed: &str, signature: &str, issuer: &str) -> bool {
    let Ok(signature) = BASE64URL_NOPAD.decode(signature.as_bytes()) else {
        return false;
    };
    KeyPair::from_public_key(issuer)
        .is_ok_and(|pair| pair.verify(signed.as_bytes(), &signature).is_ok())
}

fn text(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or("").to_owned()
}

#[expect(
    clippy::ptr_arg,
    reason = "`Option::filter` passes a reference to what is in it"
)]
fn is_some_text(text: &String) -> bool {
    !text.is_empty()
}

/// The beginning of a text that stands in an error.
fn short(text: &str) -> String {
    const MAX_CHARS: usize = 30;
    text.chars().take(MAX_CHARS).collect()
}

/// Zero means none.
fn moment(object: &Value, field: &str) -> Option<i64> {
    object[field].as_i64().filter(|seconds| *seconds > 0)
}

fn texts(value: &Value) -> Vec<String> {
    let values = value.as_array().into_iter().flatten();
    values
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// A list, or one text with commas.
fn networks_of(value: &Value) -> Vec<String> {
    match value.as_str() {
        Some(text) => text
            .split(',')
            .map(|network| network.trim().to_lowercase())
            .filter(is_some_text)
            .collect(),
        None => texts(value),
    }
}

fn times_of(value: &Value) -> Vec<TimeRange> {
    let ranges = value.as_array().into_iter().flatten();
    ranges
        .map(|range| TimeRange {
            start: text(range, "start"),
            end: text(range, "end"),
        })
        .collect()
}

fn rules_of(value: &Value) -> SubjectRules {
    SubjectRules {
        allow: texts(&value["allow"]),
        deny: texts(&value["deny"]),
    }
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
