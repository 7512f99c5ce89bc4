//! Writing stamps.

use super::{
    INTENDED_AT, MARK_AT, MAX_SEQ, MAX_TIMESTAMP_MS, MIN_TIMESTAMP_MS, NANOS_PER_MS, PHASE_AT,
    PLACEHOLDER_TAIL, PUBLISHER_AT, Phase, RUN_AT, RunId, SENT_AT, STAMP_AT, STAMP_CHARS, Stamp,
    TAIL_BYTES, TIMESTAMP_AT, hex,
};

/// Writes stamps one after the other. What they have in common is spelled once and kept: for the messages of a batch all but
/// their stream and number.
#[derive(Debug, Clone)]
pub struct TailWriter {
    /// With stream and number 0.
    tail: [u8; TAIL_BYTES],
    /// What the tail says.
    common: Stamp,
}

impl Default for TailWriter {
    fn default() -> Self {
        Self {
            tail: *PLACEHOLDER_TAIL,
            common: Stamp {
                phase: Phase::WarmUp,
                run: RunId(0),
                publisher: 0,
                stream: 0,
                seq: 0,
                intended_ns: 0,
                sent_ns: 0,
            },
        }
    }
}

impl TailWriter {
    /// Writes the whole tail over the last [`TAIL_BYTES`] bytes of `payload`, which the caller keeps free for it.
    ///
    /// Returns `false`, with nothing written, if `payload` is shorter than that. A sequence number above
    /// [`MAX_SEQ`] is written as [`MAX_SEQ`].
    #[inline]
    pub fn write(&mut self, stamp: &Stamp, payload: &mut [u8]) -> bool {
        let Some(tail) = payload.last_chunk_mut::<TAIL_BYTES>() else {
            return false;
        };
        let common = Stamp {
            stream: 0,
            seq: 0,
            ..*stamp
        };
        if common != self.common {
            self.spell(common);
        }
        *tail = self.tail;
        let chars = &mut tail[STAMP_AT..STAMP_AT + STAMP_CHARS];
        let seq = stamp.seq.min(MAX_SEQ);
        let head = u64::from(stamp.publisher) << 48 | u64::from(stamp.stream) << 40 | seq >> 8;
        hex::encode16(head, &mut chars[PUBLISHER_AT..]);
        // The last eight digits of the sequence number overlap the six that were just written.
        hex::encode8(low_half(seq), &mut chars[INTENDED_AT - 8..]);
        true
    }

    // A call of its own: otherwise the compiler moves all of this out of the loop over the streams of a round, in front of
    // the question whether it is needed.
    #[inline(never)]
    fn spell(&mut self, common: Stamp) {
        self.common = common;
        write_timestamp(
            &mut self.tail[TIMESTAMP_AT..MARK_AT],
            common.intended_ns / NANOS_PER_MS,
        );
        let chars = &mut self.tail[STAMP_AT..STAMP_AT + STAMP_CHARS];
        chars[PHASE_AT] = match common.phase {
            Phase::WarmUp => b'w',
            Phase::Measured => b'm',
        };
        hex::encode8(common.run.0, &mut chars[RUN_AT..]);
        hex::encode16(common.intended_ns, &mut chars[INTENDED_AT..]);
        hex::encode16(common.sent_ns, &mut chars[SENT_AT..]);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is asked for"
)]
fn low_half(value: u64) -> u32 {
    value as u32
}

/// Writes thirteen digits.
#[inline]
fn write_timestamp(digits: &mut [u8], timestamp_ms: u64) {
    let mut rest = timestamp_ms.clamp(MIN_TIMESTAMP_MS, MAX_TIMESTAMP_MS);
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
}
