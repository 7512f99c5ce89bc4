//! An HdrHistogram interval log, version 1.3, readable by the HdrHistogram tools.
//!
//! Each interval has a line tagged `response` and one tagged `service`. Values are nanoseconds; `MaxValue` is in
//! milliseconds, as the format has it by default.

use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::serialization::Serializer as _;
use hdrhistogram::serialization::V2DeflateSerializer;

use crate::measure::histogram::LatencyHistogram;
use crate::measure::recorder::Recorder;

/// Writes the log line by line, so that an interrupted run leaves a readable file.
pub struct HdrLog<W> {
    out: W,
    serializer: V2DeflateSerializer,
    previous_end: Duration,
}

impl<W: Write> HdrLog<W> {
    /// Writes the head of the log. `started_s` is the start of the run in seconds since the epoch.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn begin(mut out: W, started_s: f64) -> io::Result<Self> {
        writeln!(out, "#[Histogram log format version 1.3]")?;
        writeln!(out, "#[StartTime: {started_s:.3} (seconds since epoch)]")?;
        writeln!(
            out,
            "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\""
        )?;
        out.flush()?;
        Ok(Self {
            out,
            serializer: V2DeflateSerializer::new(),
            previous_end: Duration::ZERO,
        })
    }

    /// Writes the lines of one interval, which ends `end` after the start of the run.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn interval(&mut self, recorder: &Recorder, end: Duration) -> io::Result<()> {
        let begin = self.previous_end;
        self.previous_end = end;
        self.line("response", &recorder.response, begin, end)?;
        self.line("service", &recorder.service, begin, end)?;
        self.out.flush()
    }

    fn line(
        &mut self,
        tag: &str,
        histogram: &LatencyHistogram,
        begin: Duration,
        end: Duration,
    ) -> io::Result<()> {
        let mut encoded = Vec::new();
        self.serializer
            .serialize(histogram.positive(), &mut encoded)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        let max_ms = histogram.positive().max() as f64 / 1e6;
        let length_s = end.saturating_sub(begin).as_secs_f64();
        writeln!(
            self.out,
            "Tag={tag},{:.3},{length_s:.3},{max_ms:.3},{}",
            begin.as_secs_f64(),
            base64(&encoded)
        )
    }
}

/// Standard base64 with padding (RFC 4648 section 4), as the log format has it.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |idx: usize| u32::from(chunk.get(idx).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for idx in 0..4 {
            let is_padding = idx > chunk.len();
            let sextet = (bits >> (18 - 6 * idx)) as usize & 0x3F;
            out.push(if is_padding {
                '='
            } else {
                char::from(ALPHABET[sextet])
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn base64_agrees_with_the_examples_of_rfc_4648() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn the_log_is_read_by_the_hdrhistogram_library() {
        let mut recorder = Recorder::new();
        recorder.response.record(1_000_000);
        let mut bytes = Vec::new();
        let mut log = HdrLog::begin(&mut bytes, 1_700_000_000.0).unwrap();
        log.interval(&recorder, Duration::from_secs(1)).unwrap();
        log.interval(&recorder, Duration::from_secs(2)).unwrap();
        let tags: Vec<_> = IntervalLogIterator::new(&bytes)
            .filter_map(|entry| match entry.unwrap() {
                LogEntry::Interval(interval) => Some(interval.tag().unwrap().to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(tags, ["response", "service", "response", "service"]);
    }
}
