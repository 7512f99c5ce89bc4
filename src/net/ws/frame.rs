//! WebSocket frames without a socket (RFC 6455 section 5).
//!
//! The encoder writes a header into room left in front of the payload, so that a batch of operations is
//! framed and masked in place and never copied. The decoder is used by the compressed mode only.

/// Room to leave in front of a payload for the longest client frame header.
pub const HEADROOM_BYTES: usize = 14;

/// Frame opcodes that matter here (RFC 6455 section 5.2).
pub mod opcode {
    /// Continues a fragmented message.
    pub const CONTINUATION: u8 = 0x0;
    /// A text message.
    pub const TEXT: u8 = 0x1;
    /// A binary message.
    pub const BINARY: u8 = 0x2;
    /// The peer closes.
    pub const CLOSE: u8 = 0x8;
    /// The peer asks for a pong.
    pub const PING: u8 = 0x9;
    /// The answer to a ping.
    pub const PONG: u8 = 0xA;
}

/// A buffer that has grown beyond this is given back when it is empty: one burst must not cost a thousand
/// connections their memory for ever.
const MAX_KEPT_BYTES: usize = 128 << 10;

pub(super) const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
pub(super) const MASKED: u8 = 0x80;

/// How a frame is to be written.
#[derive(Debug, Clone, Copy)]
pub struct FrameOptions {
    /// One of [`opcode`].
    pub opcode: u8,
    /// Set for a compressed message (RFC 7692 section 6).
    pub is_compressed: bool,
    /// The masking key; `None` only where the server agreed to unmasked frames.
    pub mask: Option<[u8; 4]>,
}

/// Writes a frame header in front of the payload `buffer[payload_start..]`, masks the payload in place and
/// returns where the frame starts.
///
/// # Panics
/// If `payload_start` is less than [`HEADROOM_BYTES`]: a fault of the caller.
pub fn seal(buffer: &mut [u8], payload_start: usize, options: FrameOptions) -> usize {
    assert!(
        payload_start >= HEADROOM_BYTES,
        "the caller leaves room for the header"
    );
    let payload_bytes = buffer.len() - payload_start;
    let mut header = [0_u8; HEADROOM_BYTES];
    header[0] = FIN | options.opcode | if options.is_compressed { RSV1 } else { 0 };
    let mask_bit = if options.mask.is_some() { MASKED } else { 0 };
    let mut used = match payload_bytes {
        0..=125 => {
            header[1] = mask_bit | u8::try_from(payload_bytes).unwrap_or(0);
            2
        }
        126..=0xFFFF => {
            header[1] = mask_bit | 0x7E;
            header[2..4].copy_from_slice(
                &u16::try_from(payload_bytes)
                    .unwrap_or(u16::MAX)
                    .to_be_bytes(),
            );
            4
        }
        _ => {
            header[1] = mask_bit | 0x7F;
            header[2..10].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
            10
        }
    };
    if let Some(key) = options.mask {
        header[used..used + 4].copy_from_slice(&key);
        used += 4;
        apply_mask(&mut buffer[payload_start..], key);
    }
    let start = payload_start - used;
    buffer[start..payload_start].copy_from_slice(&header[..used]);
    start
}

/// XORs `payload` with the repeated key, eight bytes at a time.
pub fn apply_mask(payload: &mut [u8], key: [u8; 4]) {
    let wide = u64::from_ne_bytes([
        key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3],
    ]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (idx, byte) in rest.iter_mut().enumerate() {
        *byte ^= key[idx % 4];
    }
}

/// A frame as it was received.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Last frame of its message.
    pub is_final: bool,
    /// RSV1: the message is compressed.
    pub is_compressed: bool,
    /// One of [`opcode`], or an unknown one.
    pub opcode: u8,
    /// The payload, unmasked.
    pub payload: &'a [u8],
}

/// What a peer's frame may not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame longer than we accept.
    #[error("a WebSocket frame announces {announced_bytes} bytes, the limit is {limit_bytes}")]
    TooLong {
        /// What the header says.
        announced_bytes: u64,
        /// Our limit.
        limit_bytes: u64,
    },
    /// RSV2 or RSV3 set, which no extension that we negotiate uses; or RSV1 on anything but the first frame of a
    /// message, which alone says whether the message is compressed (RFC 7692 section 6).
    #[error("a WebSocket frame has reserved bits set (first byte {first_byte:#04x})")]
    ReservedBits {
        /// The first byte of the frame.
        first_byte: u8,
    },
    /// Servers must not mask (RFC 6455 section 5.1).
    #[error("the server masked a WebSocket frame")]
    Masked,
    /// A control frame that is fragmented or longer than 125 bytes (RFC 6455 section 5.5).
    #[error("a WebSocket control frame is fragmented or longer than 125 bytes")]
    BadControl,
    /// A continuation of no message.
    #[error("a WebSocket continuation frame continues nothing")]
    NothingToContinue,
    /// A new message before the last one was finished.
    #[error("a WebSocket message begins before the one before it has ended")]
    Unfinished,
    /// An opcode that RFC 6455 does not know.
    #[error("a WebSocket frame has the unknown opcode {opcode:#x}")]
    UnknownOpcode {
        /// The opcode.
        opcode: u8,
    },
}

/// Cuts a byte stream into frames.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    start: usize,
    max_frame_bytes: u64,
}

impl FrameDecoder {
    /// A decoder that refuses frames longer than `max_frame_bytes`; `head` are bytes already received.
    pub fn new(max_frame_bytes: u64, head: &[u8]) -> Self {
        Self {
            buffer: head.to_vec(),
            start: 0,
            max_frame_bytes,
        }
    }

    /// Adds received bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        if self.buffer.is_empty() && self.buffer.capacity() > MAX_KEPT_BYTES {
            self.buffer.shrink_to(MAX_KEPT_BYTES);
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    ///
    /// # Errors
    /// A frame that a server may not send, or one over the limit, as soon as its header is seen.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let unread = &self.buffer[self.start..];
        let Some((&[first, second], rest)) = unread.split_first_chunk::<2>() else {
            return Ok(None);
        };
        let opcode = first & 0x0F;
        let may_be_compressed = matches!(opcode, opcode::TEXT | opcode::BINARY);
        if first & 0x30 != 0 || (first & RSV1 != 0 && !may_be_compressed) {
            return Err(FrameError::ReservedBits { first_byte: first });
        }
        if second & MASKED != 0 {
            return Err(FrameError::Masked);
        }
        let (payload_bytes, header_bytes) = match second & 0x7F {
            126 => match rest.first_chunk::<2>() {
                Some(length) => (u64::from(u16::from_be_bytes(*length)), 4),
                None => return Ok(None),
            },
            127 => match rest.first_chunk::<8>() {
                Some(length) => (u64::from_be_bytes(*length), 10),
                None => return Ok(None),
            },
            short => (u64::from(short), 2),
        };
        let is_final = first & FIN != 0;
        if opcode >= opcode::CLOSE && (!is_final || payload_bytes > 125) {
            return Err(FrameError::BadControl);
        }
        if payload_bytes > self.max_frame_bytes {
            return Err(FrameError::TooLong {
                announced_bytes: payload_bytes,
                limit_bytes: self.max_frame_bytes,
            });
        }
        let payload_bytes = usize::try_from(payload_bytes).unwrap_or(usize::MAX);
        if unread.len() - header_bytes < payload_bytes {
            return Ok(None);
        }
        let payload_start = self.start + header_bytes;
        self.start = payload_start + payload_bytes;
        Ok(Some(Frame {
            is_final,
            is_compressed: first & RSV1 != 0,
            opcode,
            payload: &self.buffer[payload_start..self.start],
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealed(payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
        let mut buffer = vec![0; HEADROOM_BYTES];
        buffer.extend_from_slice(payload);
        let start = seal(
            &mut buffer,
            HEADROOM_BYTES,
            FrameOptions {
                opcode: opcode::BINARY,
                is_compressed: false,
                mask,
            },
        );
        buffer.split_off(start)
    }

    #[test]
    fn the_example_of_rfc_6455_is_reproduced() {
        // Section 5.7: a masked text message "Hello".
        let mut buffer = vec![0; HEADROOM_BYTES];
        buffer.extend_from_slice(b"Hello");
        let mask = Some([0x37, 0xfa, 0x21, 0x3d]);
        let options = FrameOptions {
            opcode: opcode::TEXT,
            is_compressed: false,
            mask,
        };
        let start = seal(&mut buffer, HEADROOM_BYTES, options);
        assert_eq!(
            &buffer[start..],
            [
                0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58
            ]
        );
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_by_its_header() {
        let mut decoder = FrameDecoder::new(
            1000,
            &[0x82, 127, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        );
        assert!(matches!(
            decoder.next_frame(),
            Err(FrameError::TooLong { .. })
        ));
    }

    #[test]
    fn only_the_first_frame_of_a_message_says_that_it_is_compressed() {
        // RSV1 on a continuation, a ping and a close frame.
        for first_byte in [0xC0, 0xC9, 0xC8] {
            let mut decoder = FrameDecoder::new(1000, &[first_byte, 0]);
            assert_eq!(
                decoder.next_frame(),
                Err(FrameError::ReservedBits { first_byte })
            );
        }
    }

    proptest! {
        #[test]
        fn frames_survive_any_cut(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70_000), 1..4), cut in any::<prop::sample::Index>()) {
            let stream: Vec<u8> = payloads.iter().flat_map(|payload| sealed(payload, None)).collect();
            let (head, tail) = stream.split_at(cut.index(stream.len() + 1));
            let mut decoder = FrameDecoder::new(1 << 20, head);
            let mut seen = Vec::new();
            while let Some(frame) = decoder.next_frame().unwrap() {
                seen.push(frame.payload.to_vec());
            }
            decoder.feed(tail);
            while let Some(frame) = decoder.next_frame().unwrap() {
                seen.push(frame.payload.to_vec());
            }
            prop_assert_eq!(seen, payloads);
        }

        #[test]
        fn masking_twice_gives_the_payload_back(payload in prop::collection::vec(any::<u8>(), 0..100), key in any::<[u8; 4]>()) {
            let mut twice = payload.clone();
            apply_mask(&mut twice, key);
            apply_mask(&mut twice, key);
            prop_assert_eq!(twice, payload);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut decoder = FrameDecoder::new(100, &bytes);
            while let Ok(Some(_)) = decoder.next_frame() {}
        }
    }
}
