//! The stamp: where a message comes from and when it was due, inside the JSON of a round.
//!
//! It rides at the end of the object in fields of **fixed width**, so that a receiver finds it at a constant offset
//! from the end without parsing JSON, while every JSON client still reads a valid round:
//!
//! ```text
//! ,"timestamp":1705314600000,"nb":"1m89abcdef000a0300000000002a17aa…17aa…"}
//! ```
//!
//! `timestamp` is the intended moment in milliseconds, for the clients of today. `nb` is, in lower-case
//! hexadecimal after its first two characters:
//!
//! | chars | what |
//! |---|---|
//! | 1 | version, `1` |
//! | 1 | phase: `w` warm-up, `m` measured |
//! | 8 | run |
//! | 4 | publisher |
//! | 2 | stream of this publisher |
//! | 12 | sequence number in this stream |
//! | 16 | intended |
//! | 16 | sent |
//!
//! Invariants: nothing panics on any bytes; what [`Stamp::write_tail`] wrote, [`read`] reads back, also after the JSON
//! was re-encoded (fields in another order, blanks added).
//!
//! Units: wall-clock nanoseconds since the Unix epoch.

use std::fmt;
use std::str::FromStr;

mod hex;
mod json;
mod tail;

pub use json::read;
pub use tail::TailWriter;

/// How many characters the stamp has, between its quotes.
pub const STAMP_CHARS: usize = 60;

/// How many bytes the tail has, from the comma before `timestamp` to the closing brace.
pub const TAIL_BYTES: usize = 95;

/// The largest sequence number that a stamp can carry: 48 bits, which last 325 days at ten million a second.
pub const MAX_SEQ: u64 = (1 << 48) - 1;

/// The tail before it is filled in: valid JSON, and exactly as long as every other tail.
pub const PLACEHOLDER_TAIL: &[u8; TAIL_BYTES] =
    b",\"timestamp\":1000000000000,\"nb\":\"1w0000000000000000000000000000000000000000000000000000000000\"}";

// Offsets into the tail.
const TIMESTAMP_AT: usize = 13;
const TIMESTAMP_DIGITS: usize = 13;
/// Where `,"nb":"1` stands: a field and its version, eight bytes that are compared as one word.
const MARK_AT: usize = TIMESTAMP_AT + TIMESTAMP_DIGITS;
const MARK: &[u8; 8] = b",\"nb\":\"1";
const STAMP_AT: usize = MARK_AT + MARK.len() - 1;

// Offsets into the stamp.
const PHASE_AT: usize = 1;
const RUN_AT: usize = 2;
const PUBLISHER_AT: usize = 10;
const SEQ_AT: usize = 16;
const INTENDED_AT: usize = 28;
const SENT_AT: usize = 44;

const NANOS_PER_MS: u64 = 1_000_000;
// Thirteen digits without a leading zero, which JSON forbids: from September 2001 to November 2286.
const MIN_TIMESTAMP_MS: u64 = 1_000_000_000_000;
const MAX_TIMESTAMP_MS: u64 = 9_999_999_999_999;

/// Identifies one run among all that publish on the same subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u32);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Text that is no run id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{input}` is not a run id: eight lower-case hexadecimal digits")]
pub struct RunIdError {
    /// What was given.
    pub input: String,
}

impl FromStr for RunId {
    type Err = RunIdError;

    fn from_str(input: &str) -> Result<Self, RunIdError> {
        let digits = <&[u8; 8]>::try_from(input.as_bytes()).ok();
        digits
            .and_then(|digits| hex::decode8(*digits))
            .map(Self)
            .ok_or_else(|| RunIdError {
                input: input.to_owned(),
            })
    }
}

/// Whether a message counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Sent to warm up: not in any histogram.
    WarmUp,
    /// Sent to be measured.
    Measured,
}

/// Where a message comes from and when it was due and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Warm-up or measured.
    pub phase: Phase,
    /// The run it belongs to.
    pub run: RunId,
    /// The publisher within the run.
    pub publisher: u16,
    /// The subject stream of this publisher; sequence numbers count for each stream.
    pub stream: u8,
    /// Counts from 0 in its stream; at most [`MAX_SEQ`].
    pub seq: u64,
    /// When the schedule said to send it.
    pub intended_ns: u64,
    /// When it was sent: read next to the write.
    pub sent_ns: u64,
}

/// What a message says about its own time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A stamp where it was written.
    Fixed(Stamp),
    /// A stamp found by parsing: the JSON was re-encoded on the way.
    Parsed(Stamp),
    /// No stamp, but a `timestamp`, with a resolution of one millisecond.
    TimestampOnly {
        /// Milliseconds since the Unix epoch.
        intended_ms: i64,
    },
    /// A JSON object that says nothing about its time.
    None,
    /// Not a JSON object.
    Undecodable,
}

impl Stamp {
    /// Writes the whole tail over the last [`TAIL_BYTES`] bytes of `payload`, which the caller keeps free for it: a
    /// [`TailWriter`] for one stamp.
    ///
    /// Returns `false`, with nothing written, if `payload` is shorter than that.
    #[inline]
    pub fn write_tail(&self, payload: &mut [u8]) -> bool {
        TailWriter::default().write(self, payload)
    }

    /// Reads a stamp that is where [`Stamp::write_tail`] put it, without parsing; `None` if there is none.
    #[inline]
    pub fn read_fixed(payload: &[u8]) -> Option<Self> {
        let tail = payload.last_chunk::<TAIL_BYTES>()?;
        let is_marked = tail[MARK_AT..MARK_AT + MARK.len()] == *MARK && tail.ends_with(b"\"}");
        if !is_marked {
            return None;
        }
        Self::decode(tail[STAMP_AT..].first_chunk::<STAMP_CHARS>()?)
    }

    /// Reads the characters of a stamp.
    #[inline]
    fn decode(chars: &[u8; STAMP_CHARS]) -> Option<Self> {
        let phase = match (chars[0], chars[PHASE_AT]) {
            (b'1', b'w') => Phase::WarmUp,
            (b'1', b'm') => Phase::Measured,
            _ => return None,
        };
        let head = hex::decode8(*chars[PUBLISHER_AT..].first_chunk()?)?.to_be_bytes();
        let seq_high = hex::decode8(*chars[SEQ_AT..].first_chunk()?)?;
        let seq_low = hex::decode8(*chars[INTENDED_AT - 8..].first_chunk()?)?;
        Some(Self {
            phase,
            run: RunId(hex::decode8(*chars[RUN_AT..].first_chunk()?)?),
            publisher: u16::from_be_bytes([head[0], head[1]]),
            stream: head[2],
            // Twelve digits as the first eight and the last eight, which overlap by four.
            seq: u64::from(seq_high >> 16) << 32 | u64::from(seq_low),
            intended_ns: hex::decode16(*chars[INTENDED_AT..].first_chunk()?)?,
            sent_ns: hex::decode16(*chars[SENT_AT..].first_chunk()?)?,
        })
    }
}

#[cfg(test)]
mod tests;
