//! The slow path: a stamp or a timestamp in JSON that somebody else wrote.
//!
//! Only the two fields at the top of the object are built; all others are skipped over. The last of several fields
//! with one name wins, as it does in browsers.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Origin, STAMP_CHARS, Stamp};

/// Reads what `payload` says about its own time: by its fixed place, else by parsing.
#[inline]
pub fn read(payload: &[u8]) -> Origin {
    match Stamp::read_fixed(payload) {
        Some(stamp) => Origin::Fixed(stamp),
        None => parse(payload),
    }
}

fn parse(payload: &[u8]) -> Origin {
    let Ok(times) = serde_json::from_slice::<Times>(payload) else {
        return Origin::Undecodable;
    };
    if let Some(stamp) = times.stamp.as_ref().and_then(stamp_of) {
        return Origin::Parsed(stamp);
    }
    match times.timestamp.as_ref().and_then(millis_of) {
        Some(intended_ms) => Origin::TimestampOnly { intended_ms },
        None => Origin::None,
    }
}

fn stamp_of(value: &Value) -> Option<Stamp> {
    let chars: &[u8; STAMP_CHARS] = value.as_str()?.as_bytes().try_into().ok()?;
    Stamp::decode(chars)
}

/// Milliseconds as a number, whole or not, or as a string that holds one: what JSON writers make of a `bigint`.
fn millis_of(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_f64().and_then(whole_millis)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole_millis(millis: f64) -> Option<i64> {
    // Beyond 2^53 a fraction is no exact millisecond any more, and no date either.
    (millis.abs() < 9_007_199_254_740_992.0).then(|| millis.floor() as i64)
}

struct Times {
    stamp: Option<Value>,
    timestamp: Option<Value>,
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum Field {
    #[serde(rename = "nb")]
    Stamp,
    #[serde(rename = "timestamp")]
    Timestamp,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TimesVisitor)
    }
}

/// The value of a field; `None` for one that JSON allows and that cannot be held, such as `1e999`: the message is an object
/// all the same.
fn value_of(raw: &RawValue) -> Option<Value> {
    serde_json::from_str(raw.get()).ok()
}

struct TimesVisitor;

impl<'de> Visitor<'de> for TimesVisitor {
    type Value = Times;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Times, A::Error> {
        let mut times = Times {
            stamp: None,
            timestamp: None,
        };
        while let Some(field) = map.next_key()? {
            match field {
                Field::Stamp => times.stamp = value_of(map.next_value()?),
                Field::Timestamp => times.timestamp = value_of(map.next_value()?),
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(times)
    }
}
