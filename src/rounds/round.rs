//! The lenient reader: everything that a pipeline in between may make of a round.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// A round, as far as it can be read. Only the object itself is required.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Round {
    /// Row number; may be missing.
    pub id: Option<i64>,
    /// Game.
    pub game_slug: String,
    /// Type.
    pub game_type: String,
    /// Number of the round.
    pub round_id: Option<i64>,
    /// Start, as written: with or without fraction, `Z` or an offset.
    pub started_at: Option<String>,
    /// End, as written.
    pub finished_at: Option<String>,
    /// Outcome; an object even where it was written as a string that holds JSON.
    pub extras: Value,
    /// Milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
}

/// Why a payload is no round.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoundError {
    /// Not JSON.
    #[error("the payload is not JSON: {reason}")]
    NotJson {
        /// What the reader says.
        reason: String,
    },
    /// JSON, but without a game.
    #[error("the payload is JSON without `game_slug` and `game_type`")]
    NotARound,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Wire {
    id: Value,
    game_slug: Value,
    game_type: Value,
    round_id: Value,
    started_at: Value,
    finished_at: Value,
    extras: Value,
    timestamp: Value,
}

impl Round {
    /// Reads a round. Unknown fields are ignored; fields of an unexpected type count as missing.
    ///
    /// # Errors
    /// What is no JSON object, or names no game.
    pub fn from_json(payload: &[u8]) -> Result<Self, RoundError> {
        let not_json = |error: serde_json::Error| RoundError::NotJson {
            reason: error.to_string(),
        };
        // A struct would also be read from an array, field by field.
        if payload.trim_ascii_start().first() != Some(&b'{') {
            serde_json::from_slice::<IgnoredAny>(payload).map_err(not_json)?;
            return Err(RoundError::NotARound);
        }
        let wire: Wire = serde_json::from_slice(payload).map_err(not_json)?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (game_slug, game_type) = (text(&wire.game_slug), text(&wire.game_type));
        if game_slug.is_none() && game_type.is_none() {
            return Err(RoundError::NotARound);
        }
        Ok(Self {
            id: integer(&wire.id),
            game_slug: game_slug.unwrap_or_default(),
            game_type: game_type.unwrap_or_default(),
            round_id: integer(&wire.round_id),
            started_at: text(&wire.started_at),
            finished_at: text(&wire.finished_at),
            extras: decoded(wire.extras),
            timestamp_ms: integer(&wire.timestamp),
        })
    }

    /// The outcome in a few words: `2.47x`, `red 7`, `up 1.85x`, `7 7 BAR 3.50x`.
    pub fn outcome(&self) -> String {
        let member = |key: &str| match &self.extras[key] {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let reels = self.extras["reels"].as_array().map(|reels| {
            reels
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(" ")
        });
        let multiplier = member("multiplier")
            .or_else(|| member("point"))
            .map(|value| format!("{value}x"));
        let parts = [
            member("color"),
            member("number"),
            member("trending"),
            reels,
            multiplier,
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() && !self.extras.is_null() {
            self.extras.to_string()
        } else {
            parts.join(" ")
        }
    }
}

/// A number, or a string that holds one: some encoders write 64-bit numbers as strings.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// The object in a string that holds JSON; anything else as it is.
fn decoded(extras: Value) -> Value {
    match &extras {
        Value::String(text) => match serde_json::from_str(text) {
            Ok(inner @ Value::Object(_)) => inner,
            _ => extras,
        },
        _ => extras,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn everything_that_the_pipeline_produces_is_read() {
        for payload in [
            r#"{"id":12345,"game_slug":"crash","game_type":"multiplier","round_id":67890,"started_at":"2024-01-15T10:30:00Z","finished_at":"2024-01-15T10:30:15Z","extras":{"point":"2.47"}}"#,
            r#"{"game_id":3,"game_slug":"crash","game_type":"multiplier","round_id":67890,"started_at":"2024-01-15T10:30:00.123456+02:00","extras":"{\"point\":\"2.47\"}","timestamp":1705314600000}"#,
        ] {
            let round = Round::from_json(payload.as_bytes()).unwrap();
            assert_eq!(
                (round.round_id, round.outcome().as_str()),
                (Some(67890), "2.47x")
            );
        }
    }

    #[test]
    fn outcomes_are_a_few_words() {
        for (extras, outcome) in [
            (r#"{"color":"red","number":7}"#, "red 7"),
            (r#"{"trending":"up","multiplier":"1.85"}"#, "up 1.85x"),
            (
                r#"{"reels":["7","7","BAR"],"multiplier":"3.50"}"#,
                "7 7 BAR 3.50x",
            ),
            (r#""not json""#, "\"not json\""),
            ("null", ""),
        ] {
            let payload = format!(r#"{{"game_slug":"x","extras":{extras}}}"#);
            assert_eq!(
                Round::from_json(payload.as_bytes()).unwrap().outcome(),
                outcome
            );
        }
    }

    #[test]
    fn what_is_no_round_is_named() {
        assert!(matches!(
            Round::from_json(b"\xff"),
            Err(RoundError::NotJson { .. })
        ));
        for payload in [&b"{}"[..], b"[1,\"crash\",\"multiplier\"]", b"null", b"7"] {
            assert_eq!(Round::from_json(payload), Err(RoundError::NotARound));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Round::from_json(&bytes);
        }
    }
}
