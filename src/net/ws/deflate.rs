//! permessage-deflate without context takeover (RFC 7692), which is what nats-server negotiates.
//!
//! Each message is compressed on its own, so both sides are stateless between messages. The inflated size is
//! bounded, because a few kilobytes can inflate to gigabytes.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// The offer that we make in `Sec-WebSocket-Extensions`.
pub const OFFER: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The four bytes that end a sync flush and are left out on the wire (RFC 7692 section 7.2.1).
const SYNC_TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// Messages shorter than this go uncompressed; nats-server uses the same threshold.
pub const MIN_COMPRESSED_BYTES: usize = 64;

/// An output buffer that has grown beyond this is given back when small messages follow.
const MAX_KEPT_BYTES: usize = 256 << 10;

thread_local! {
    // Reset before each message, so that one of each serves all connections of a thread. A thousand subscribers with
    // 45 KiB and 310 KiB of their own would not fit where they should.
    static INFLATE: RefCell<Decompress> = RefCell::new(Decompress::new(false));
    // Speed over size, like the server: the tool measures latency.
    static DEFLATE: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
}

/// What went wrong with a compressed message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeflateError {
    /// Not a deflate stream.
    #[error("a compressed WebSocket message cannot be inflated")]
    Corrupt,
    /// Inflates to more than we accept.
    #[error("a compressed WebSocket message inflates to more than {limit_bytes} bytes")]
    TooLong {
        /// Our limit.
        limit_bytes: usize,
    },
}

/// Inflates messages.
#[derive(Debug)]
pub struct Inflater {
    out: Vec<u8>,
    limit_bytes: usize,
}

impl Inflater {
    /// An inflater that refuses to make more than `limit_bytes` of a message.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            out: Vec::new(),
            limit_bytes,
        }
    }

    /// Inflates one whole message.
    ///
    /// # Errors
    /// A corrupt message, or one over the limit.
    pub fn inflate(&mut self, message: &[u8]) -> Result<&[u8], DeflateError> {
        self.out.clear();
        if self.out.capacity() > MAX_KEPT_BYTES && message.len() <= MAX_KEPT_BYTES / 8 {
            self.out.shrink_to(MAX_KEPT_BYTES);
        }
        INFLATE.with_borrow_mut(|state| {
            state.reset(false);
            self.push(state, message)?;
            self.push(state, &SYNC_TAIL)
        })?;
        self.check_limit()?;
        Ok(&self.out)
    }

    fn check_limit(&self) -> Result<(), DeflateError> {
        let limit_bytes = self.limit_bytes;
        if self.out.len() > limit_bytes {
            return Err(DeflateError::TooLong { limit_bytes });
        }
        Ok(())
    }

    fn push(&mut self, state: &mut Decompress, mut input: &[u8]) -> Result<(), DeflateError> {
        loop {
            self.check_limit()?;
            // One byte more than the limit shows that it is exceeded.
            let room = (input.len() * 4)
                .clamp(1 << 10, 1 << 16)
                .min(self.limit_bytes - self.out.len() + 1);
            self.out.reserve(room);
            let consumed_before = state.total_in();
            let produced_before = self.out.len();
            let status = state
                .decompress_vec(input, &mut self.out, FlushDecompress::Sync)
                .map_err(|_| DeflateError::Corrupt)?;
            let consumed =
                usize::try_from(state.total_in() - consumed_before).unwrap_or(input.len());
            input = &input[consumed.min(input.len())..];
            let is_stuck = consumed == 0 && self.out.len() == produced_before;
            if status == Status::StreamEnd {
                return Ok(());
            }
            // Room that is left does not mean that all has come: at the end of its window of 32 KiB the decoder stops, too.
            if is_stuck {
                return if input.is_empty() {
                    Ok(())
                } else {
                    Err(DeflateError::Corrupt)
                };
            }
        }
    }
}

/// Deflates messages; what it needs for that belongs to the thread.
#[derive(Debug, Default)]
pub struct Deflater {
    _private: (),
}

impl Deflater {
    /// Appends the compressed form of one message to `out`.
    pub fn deflate(&mut self, message: &[u8], out: &mut Vec<u8>) {
        DEFLATE.with_borrow_mut(|state| {
            state.reset();
            let mut input = message;
            loop {
                out.reserve(input.len() / 2 + 64);
                let consumed_before = state.total_in();
                // Deflating into a vector with room cannot fail (`BufError` only says that there was no room).
                let _ = state.compress_vec(input, out, FlushCompress::Sync);
                let consumed = usize::try_from(state.total_in() - consumed_before).unwrap_or(0);
                input = &input[consumed.min(input.len())..];
                if input.is_empty() && out.len() < out.capacity() {
                    break;
                }
            }
        });
        if out.ends_with(&SYNC_TAIL) {
            out.truncate(out.len() - SYNC_TAIL.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bomb_is_refused() {
        let mut small = Vec::new();
        Deflater::default().deflate(&vec![0; 10_000_000], &mut small);
        assert!(small.len() < 100_000);
        let refused = Inflater::new(1 << 20).inflate(&small).map(<[u8]>::len);
        assert_eq!(
            refused,
            Err(DeflateError::TooLong {
                limit_bytes: 1 << 20
            })
        );
    }

    #[test]
    fn a_message_as_long_as_the_limit_is_accepted_and_one_that_is_longer_is_not() {
        for length in [0, 1, 1023, 1024, 1025, 5000, 100_000] {
            let (plain, mut wire) = (vec![7; length], Vec::new());
            Deflater::default().deflate(&plain, &mut wire);
            assert_eq!(Inflater::new(length).inflate(&wire), Ok(&plain[..]));
            if let Some(limit_bytes) = length.checked_sub(1) {
                let refused = Inflater::new(limit_bytes).inflate(&wire).map(<[u8]>::len);
                assert_eq!(refused, Err(DeflateError::TooLong { limit_bytes }));
            }
        }
    }

    #[test]
    fn room_that_was_left_by_another_message_makes_no_difference() {
        // All of it is taken in when the window is full for the fourth time, with a rest that has still to come out.
        let mut message = [0; 146];
        for (at, byte) in [
            (0, 0xec),
            (1, 0xc1),
            (2, 0x01),
            (3, 0x01),
            (7, 0x82),
            (8, 0x20),
            (9, 0xff),
            (10, 0xaf),
            (11, 0x6e),
            (12, 0x48),
            (13, 0x40),
            (14, 0x01),
            (42, 0xaf),
            (45, 0x8c),
            (95, 0xaf),
            (97, 0x01),
            (120, 0x7a),
            (142, 0xff),
            (143, 0xff),
            (144, 0xff),
            (145, 0xff),
        ] {
            message[at] = byte;
        }
        let mut large = Vec::new();
        Deflater::default().deflate(&vec![0; 300_000], &mut large);
        let (mut fresh, mut used) = (Inflater::new(1 << 20), Inflater::new(1 << 20));
        used.inflate(&large).unwrap();
        assert_eq!(fresh.inflate(&message).unwrap().len(), 131_235);
        assert_eq!(used.inflate(&message), fresh.inflate(&message));
    }

    #[test]
    fn the_example_of_rfc_7692_inflates() {
        // Section 7.2.3.1: "Hello" in one compressed block.
        let mut inflater = Inflater::new(100);
        assert_eq!(
            inflater
                .inflate(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00])
                .unwrap(),
            b"Hello"
        );
    }

    #[test]
    fn a_corrupt_message_of_one_connection_does_not_disturb_another() {
        let (mut one, mut other) = (Inflater::new(100), Inflater::new(100));
        let mut wire = Vec::new();
        Deflater::default().deflate(b"Hello, hello, hello", &mut wire);
        assert!(one.inflate(&[0xFF; 20]).is_err());
        assert_eq!(other.inflate(&wire).unwrap(), b"Hello, hello, hello");
        assert_eq!(one.inflate(&wire).unwrap(), b"Hello, hello, hello");
    }

    proptest! {
        #[test]
        fn deflate_then_inflate_gives_the_message_back(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5000), 1..5)) {
            let (mut deflater, mut inflater) = (Deflater::default(), Inflater::new(1 << 20));
            for message in messages {
                let mut wire = Vec::new();
                deflater.deflate(&message, &mut wire);
                prop_assert_eq!(inflater.inflate(&wire).unwrap(), &message[..]);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Inflater::new(1000).inflate(&bytes);
        }
    }
}
