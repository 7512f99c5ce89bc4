//! Upgrades once more, and keeps what comes behind the `101` as it is: frames, or bytes that are none.

use std::time::Duration;

use tokio::time::timeout;

use crate::doctor::http::again::{Asker, Outcome};
use crate::net::dial::upgrade_request;
use crate::net::probe;
use crate::net::ws::frame::{FrameDecoder, FrameOptions, HEADROOM_BYTES, opcode, seal};
use crate::net::ws::upgrade::masking_key;

/// Frames that are kept.
const MAX_FRAMES: usize = 8;
/// Bytes that are enough to know whose they are.
const ENOUGH_BYTES: usize = 4096;
/// So that a limit further in ends first.
const MARGIN: Duration = Duration::from_millis(100);

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) opcode: u8,
    pub(super) payload: Vec<u8>,
}

/// What came behind the `101`.
#[derive(Debug, Default)]
pub(super) struct Opening {
    pub(super) frames: Vec<Said>,
    /// As received.
    pub(super) raw: Vec<u8>,
}

impl Opening {
    /// What was said in data frames, or a close frame.
    pub(super) fn first(&self) -> Option<&Said> {
        let mut frames = self.frames.iter();
        frames.find(|said| said.opcode <= opcode::CLOSE)
    }

    /// Whether a ping was answered.
    pub(super) fn has_pong(&self) -> bool {
        self.frames.iter().any(|said| said.opcode == opcode::PONG)
    }
}

/// One client frame.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADROOM_BYTES];
    bytes.extend_from_slice(payload);
    let options = FrameOptions {
        opcode,
        is_compressed: false,
        mask: Some(masking_key()),
    };
    let start = seal(&mut bytes, HEADROOM_BYTES, options);
    bytes.split_off(start)
}

/// Upgrades, says something in one frame if there is something to say, and listens.
pub(super) async fn again(
    asker: &Asker,
    say: Option<(u8, &[u8])>,
    patience: Duration,
) -> Result<Opening, Outcome> {
    let mut request = upgrade_request(&asker.target, &asker.options);
    // What is compressed could not be shown.
    request.compression = false;
    let (mut stream, upgraded) = asker.upgraded(&request).await?;
    let words = say.map_or_else(Vec::new, |(opcode, payload)| frame(opcode, payload));
    let tail = upgraded.tail;
    let is_enough = |bytes: &[u8]| {
        tail.len() + bytes.len() >= ENOUGH_BYTES
            || decode(&tail, bytes)
                .iter()
                .any(|said| say.is_none() || said.opcode != opcode::TEXT)
    };
    let heard = timeout(
        patience + MARGIN,
        probe::exchange(&mut stream, &words, patience, is_enough),
    )
    .await;
    let Ok(heard) = heard else {
        return Ok(Opening::default());
    };
    let frames = decode(&tail, &heard.bytes);
    let mut raw = tail;
    raw.extend_from_slice(&heard.bytes);
    raw.truncate(ENOUGH_BYTES);
    Ok(Opening { frames, raw })
}

/// Whole frames, and the beginning of one that is not whole.
fn decode(tail: &[u8], bytes: &[u8]) -> Vec<Said> {
    let mut decoder = FrameDecoder::new(1 << 20, tail);
    decoder.feed(bytes);
    let mut frames = Vec::new();
    while frames.len() < MAX_FRAMES
        && let Ok(Some(frame)) = decoder.next_frame()
    {
        frames.push(Said {
            opcode: frame.opcode,
            payload: frame.payload[..frame.payload.len().min(ENOUGH_BYTES)].to_vec(),
        });
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_across_the_tail_and_what_follows() {
        let bytes = b"\x81\x02hi\x89\x00\x88\x05\x03\xe8bye";
        for cut in 0..bytes.len() {
            let frames = decode(&bytes[..cut], &bytes[cut..]);
            let opcodes: Vec<_> = frames.iter().map(|said| said.opcode).collect();
            assert_eq!(opcodes, [1, 9, 8], "cut at {cut}");
        }
        assert_eq!(decode(b"INFO {}", b"\r\n"), []);
    }
}
