//! The JetStream API, as far as it only reads.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::doctor::conversation::{Conversation, RequestError};

/// `$JS.API.INFO`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct AccountInfo {
    pub(super) domain: Option<String>,
    pub(super) api: ApiCounts,
    /// Use and limits by number of replicas, such as `R1` and `R3`; then [`Self::all`] has no limits.
    pub(super) tiers: BTreeMap<String, Usage>,
    #[serde(flatten)]
    pub(super) all: Usage,
}

/// What is used, and what may be.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    pub(super) memory: u64,
    pub(super) storage: u64,
    #[serde(deserialize_with = "reserved")]
    pub(super) reserved_memory: u64,
    #[serde(deserialize_with = "reserved")]
    pub(super) reserved_storage: u64,
    pub(super) streams: u64,
    pub(super) consumers: u64,
    pub(super) limits: Limits,
}

/// nats-server 2.10 counts the `max_bytes: -1` of a stream without a limit as reserved, and sends what it then has as a
/// number without a sign.
fn reserved<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let sent = u64::deserialize(deserializer)?;
    Ok(not_negative(sent))
}

/// The same for a number that was read in another way.
pub(super) fn not_negative(sent: u64) -> u64 {
    if i64::try_from(sent).is_ok() { sent } else { 0 }
}

/// Limits; `-1` is none.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Limits {
    #[serde(rename = "max_memory")]
    pub(super) memory: i64,
    #[serde(rename = "max_storage")]
    pub(super) storage: i64,
    #[serde(rename = "max_streams")]
    pub(super) streams: i64,
    #[serde(rename = "max_consumers")]
    pub(super) consumers: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: -1,
            storage: -1,
            streams: -1,
            consumers: -1,
        }
    }
}

/// Requests to the API until now.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ApiCounts {
    pub(super) total: u64,
    pub(super) errors: u64,
}

/// `STREAM.NAMES`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamNames {
    pub(super) total: u64,
    pub(super) streams: Option<Vec<String>>,
}

/// `STREAM.INFO`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamInfo {
    pub(super) config: StreamConfig,
    pub(super) state: StreamState,
    pub(super) cluster: Option<Cluster>,
}

/// How a stream is configured.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamConfig {
    pub(super) name: String,
    pub(super) subjects: Option<Vec<String>>,
    pub(super) retention: String,
    pub(super) max_msgs: i64,
    pub(super) max_bytes: i64,
    pub(super) max_msgs_per_subject: i64,
    pub(super) max_msg_size: i64,
    pub(super) discard: String,
    pub(super) discard_new_per_subject: bool,
    pub(super) sealed: bool,
    pub(super) mirror: Option<Value>,
    pub(super) sources: Option<Value>,
}

/// What is in a stream.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamState {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) consumer_count: u64,
    /// Messages by subject, where it was asked for.
    pub(super) subjects: Option<BTreeMap<String, u64>>,
}

/// Where a stream is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Cluster {
    pub(super) leader: String,
    pub(super) replicas: Option<Vec<Replica>>,
}

/// A server that holds a stream besides its leader.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Replica {
    pub(super) name: String,
    pub(super) current: bool,
    pub(super) offline: bool,
    pub(super) lag: u64,
}

/// Why there is no answer to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ApiError {
    /// Status 503.
    NobodyThere,
    /// `-ERR`, verbatim.
    Refused(String),
    /// Nothing came.
    Silence,
    /// The connection is over.
    Ended(String),
    /// The API says no.
    Failed { code: u64, description: String },
    /// Something that is no answer of the API.
    Unreadable,
}

impl ApiError {
    /// For evidence.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::NobodyThere => "status 503, no responders".to_owned(),
            Self::Refused(text) => format!("-ERR '{text}'"),
            Self::Silence => "no answer".to_owned(),
            Self::Ended(text) => text.clone(),
            Self::Failed { code, description } => format!("error {code}: {description}"),
            Self::Unreadable => "an answer that is not of the JetStream API".to_owned(),
        }
    }
}

/// Asks the API.
pub(super) async fn ask<T: DeserializeOwned>(
    conversation: &mut Conversation,
    what: &str,
    question: &str,
    limit: Duration,
) -> Result<T, ApiError> {
    let subject = format!("$JS.API.{what}");
    let answer = conversation
        .request(&subject, question.as_bytes(), limit)
        .await
        .map_err(|error| match error {
            RequestError::NoResponders => ApiError::NobodyThere,
            RequestError::Refused(text) => ApiError::Refused(text),
            RequestError::Silence => ApiError::Silence,
            RequestError::Ended(error) => ApiError::Ended(error.to_string()),
        })?;
    read(&answer.payload)
}

fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, ApiError> {
    let answer: Value = serde_json::from_slice(payload).map_err(|_| ApiError::Unreadable)?;
    if !answer.is_object() {
        return Err(ApiError::Unreadable);
    }
    if let Some(error) = answer.get("error") {
        let description = error["description"].as_str().unwrap_or("no description");
        return Err(ApiError::Failed {
            code: error["err_code"].as_u64().unwrap_or(0),
            description: description.chars().take(200).collect(),
        });
    }
    serde_json::from_value(answer).map_err(|_| ApiError::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_api_are_read() {
        let info: AccountInfo = read(
            br#"{"storage":7,"streams":1,"limits":{"max_memory":-1,"max_storage":100,"max_streams":-1,"max_consumers":-1},"domain":"edge","api":{"total":3,"errors":1}}"#,
        )
        .unwrap();
        assert_eq!((info.all.storage, info.all.limits.storage), (7, 100));
        assert_eq!((info.domain.as_deref(), info.api.errors), (Some("edge"), 1));
        let names: StreamNames = read(br#"{"total":0,"streams":null}"#).unwrap();
        assert_eq!(names.streams, None);
    }

    #[test]
    fn what_older_servers_reserve_below_nothing_is_nothing() {
        let info: AccountInfo = read(
            br#"{"storage":7,"reserved_storage":18446744073709551615,"limits":{"max_storage":100}}"#,
        )
        .unwrap();
        assert_eq!((info.all.storage, info.all.reserved_storage), (7, 0));
    }

    #[test]
    fn errors_and_nonsense_are_told_apart() {
        let read = read::<AccountInfo>;
        let failed =
            read(br#"{"error":{"code":503,"err_code":10039,"description":"not enabled"}}"#);
        assert!(matches!(failed, Err(ApiError::Failed { code: 10039, .. })));
        for payload in [&b""[..], b"[]", b"{\"storage\":\"x\"}", b"\xff"] {
            assert!(matches!(read(payload), Err(ApiError::Unreadable)));
        }
    }
}
