//! Cuts a stream of WebSocket frames into what they carry, without waiting for whole frames.
//!
//! nats-server puts everything that is pending for a client into one frame: to a client that has fallen behind it
//! sends frames of many megabytes. To wait for the end of such a frame would make its first message as late as its
//! last one, and cost as much memory as the frame is long. Here a payload is passed on as it arrives, and is
//! not copied.
//!
//! Invariants
//! - Where the stream is cut into pieces makes no difference to what is carried.
//! - Memory is constant: a header and one control frame.

use super::frame::{FIN, FrameError, MASKED, opcode};

/// RSV1 to RSV3, which only extensions set, and here there are none.
const RESERVED: u8 = 0x70;
const MAX_HEADER_BYTES: usize = 10;
const MAX_CONTROL_BYTES: usize = 125;

/// Something that the stream carried.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes of a text or binary message, the next ones of all its frames.
    Data(&'a [u8]),
    /// A ping, to be answered with the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// The peer closes.
    Close(&'a [u8]),
}

/// Where in the frames a stream is.
#[derive(Debug)]
pub struct Deframer {
    /// What has arrived of the header of the next frame.
    header: [u8; MAX_HEADER_BYTES],
    n_header_bytes: usize,
    /// Payload bytes that the current data frame still has to bring.
    n_data_left: u64,
    /// The control frame that is arriving: opcode and length.
    arriving: Option<(u8, usize)>,
    control: [u8; MAX_CONTROL_BYTES],
    n_control_bytes: usize,
    /// A message was begun by a frame that was not its last.
    is_in_message: bool,
    max_frame_bytes: u64,
}

impl Deframer {
    /// At the beginning of a stream; longer frames than `max_frame_bytes` are refused by their header.
    pub fn new(max_frame_bytes: u64) -> Self {
        Self {
            header: [0; MAX_HEADER_BYTES],
            n_header_bytes: 0,
            n_data_left: 0,
            arriving: None,
            control: [0; MAX_CONTROL_BYTES],
            n_control_bytes: 0,
            is_in_message: false,
            max_frame_bytes,
        }
    }

    /// Takes the next piece off the front of `bytes`; `None` when they are used up.
    ///
    /// # Errors
    /// A frame that a server may not send, as soon as its header is there.
    pub fn next_piece<'a, 'b: 'a>(
        &'a mut self,
        bytes: &mut &'b [u8],
    ) -> Result<Option<Piece<'a>>, FrameError> {
        while !bytes.is_empty() {
            if self.n_data_left > 0 {
                let left = usize::try_from(self.n_data_left).unwrap_or(usize::MAX);
                let data = split_off_front(bytes, left);
                self.n_data_left -= data.len() as u64;
                return Ok(Some(Piece::Data(data)));
            }
            if self.arriving.is_none() {
                self.take_header(bytes)?;
            }
            if let Some((opcode, length)) = self.arriving {
                let more = split_off_front(bytes, length - self.n_control_bytes);
                let filled = self.n_control_bytes + more.len();
                self.control[self.n_control_bytes..filled].copy_from_slice(more);
                self.n_control_bytes = filled;
                if filled == length {
                    self.arriving = None;
                    self.n_control_bytes = 0;
                    let payload = &self.control[..length];
                    return Ok(Some(match opcode {
                        opcode::PING => Piece::Ping(payload),
                        opcode::CLOSE => Piece::Close(payload),
                        _ => Piece::Pong,
                    }));
                }
            }
        }
        Ok(None)
    }

    /// Takes bytes of a header; when it is whole, the frame begins.
    fn take_header(&mut self, bytes: &mut &[u8]) -> Result<(), FrameError> {
        let payload_bytes = loop {
            let Some((byte, rest)) = bytes.split_first() else {
                return Ok(());
            };
            *bytes = rest;
            self.header[self.n_header_bytes] = *byte;
            self.n_header_bytes += 1;
            match self.header[..self.n_header_bytes] {
                [_, second, ..] if second & MASKED != 0 => return Err(FrameError::Masked),
                [_, 126, high, low] => break u64::from(u16::from_be_bytes([high, low])),
                [_, 127, ref long @ ..] if let Some(long) = long.first_chunk::<8>() => {
                    break u64::from_be_bytes(*long);
                }
                [_, short] if short < 126 => break u64::from(short),
                _ => {}
            }
        };
        self.n_header_bytes = 0;
        self.begin_frame(self.header[0], payload_bytes)
    }

    fn begin_frame(&mut self, first_byte: u8, payload_bytes: u64) -> Result<(), FrameError> {
        if first_byte & RESERVED != 0 {
            return Err(FrameError::ReservedBits { first_byte });
        }
        if payload_bytes > self.max_frame_bytes {
            return Err(FrameError::TooLong {
                announced_bytes: payload_bytes,
                limit_bytes: self.max_frame_bytes,
            });
        }
        let opcode = first_byte & 0x0F;
        let is_final = first_byte & FIN != 0;
        match opcode {
            opcode::TEXT | opcode::BINARY if self.is_in_message => Err(FrameError::Unfinished),
            opcode::CONTINUATION if !self.is_in_message => Err(FrameError::NothingToContinue),
            // The server answers in binary; a proxy may have made text of it.
            opcode::TEXT | opcode::BINARY | opcode::CONTINUATION => {
                self.is_in_message = !is_final;
                self.n_data_left = payload_bytes;
                Ok(())
            }
            opcode::PING | opcode::PONG | opcode::CLOSE => {
                let length = usize::try_from(payload_bytes).unwrap_or(usize::MAX);
                if !is_final || length > MAX_CONTROL_BYTES {
                    return Err(FrameError::BadControl);
                }
                self.arriving = Some((opcode, length));
                Ok(())
            }
            opcode => Err(FrameError::UnknownOpcode { opcode }),
        }
    }
}

/// Takes at most `most` bytes off the front.
fn split_off_front<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (front, rest) = bytes.split_at(most.min(bytes.len()));
    *bytes = rest;
    front
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::ws::frame::{FrameDecoder, FrameOptions, HEADROOM_BYTES, seal};
    use proptest::prelude::*;

    /// A frame as a server sends it.
    fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0; HEADROOM_BYTES];
        buffer.extend_from_slice(payload);
        let options = FrameOptions {
            opcode: opcode::BINARY,
            is_compressed: false,
            mask: None,
        };
        let start = seal(&mut buffer, HEADROOM_BYTES, options);
        buffer[start] = first_byte;
        buffer.split_off(start)
    }

    /// All data of a stream that arrives in these parts, and its control frames as first byte and payload.
    fn carried(parts: &[&[u8]]) -> Result<(Vec<u8>, Vec<Vec<u8>>), FrameError> {
        let mut deframer = Deframer::new(1 << 30);
        let (mut data, mut controls) = (Vec::new(), Vec::new());
        for mut bytes in parts.iter().copied() {
            while let Some(piece) = deframer.next_piece(&mut bytes)? {
                match piece {
                    Piece::Data(more) => data.extend_from_slice(more),
                    Piece::Ping(payload) => controls.push([b"ping ", payload].concat()),
                    Piece::Close(payload) => controls.push([b"close ", payload].concat()),
                    Piece::Pong => controls.push(b"pong".to_vec()),
                }
            }
        }
        Ok((data, controls))
    }

    #[test]
    fn the_beginning_of_a_frame_is_passed_on_before_its_end_is_there() {
        // 64 MiB are announced, three bytes are there.
        let mut deframer = Deframer::new(1 << 30);
        let mut bytes: &[u8] = &[0x82, 127, 0, 0, 0, 0, 4, 0, 0, 0, b'M', b'S', b'G'];
        let piece = deframer.next_piece(&mut bytes);
        assert_eq!(piece, Ok(Some(Piece::Data(b"MSG"))));
        assert_eq!(deframer.next_piece(&mut bytes), Ok(None));
    }

    #[test]
    fn control_frames_come_through_in_the_middle_of_a_message() {
        let stream = [
            frame(0x02, b"MS"),
            frame(0x89, b"are you there"),
            frame(0x00, b""),
            frame(0x8A, b""),
            frame(0x80, b"G"),
            frame(0x88, b""),
        ];
        let (data, controls) = carried(&[&stream.concat()]).unwrap();
        assert_eq!(data, b"MSG");
        assert_eq!(
            controls,
            [
                b"ping are you there".to_vec(),
                b"pong".to_vec(),
                b"close ".to_vec()
            ]
        );
    }

    #[test]
    fn frames_that_a_server_may_not_send_are_refused() {
        let long = [7; 126];
        let too_long = FrameError::TooLong {
            announced_bytes: 1 << 32,
            limit_bytes: 1 << 30,
        };
        for (stream, expected) in [
            (vec![0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0], too_long),
            (vec![0x82, 0x81], FrameError::Masked),
            (
                frame(0xC2, b"x"),
                FrameError::ReservedBits { first_byte: 0xC2 },
            ),
            (frame(0x80, b"x"), FrameError::NothingToContinue),
            (
                [frame(0x02, b"x"), frame(0x82, b"x")].concat(),
                FrameError::Unfinished,
            ),
            (frame(0x83, b"x"), FrameError::UnknownOpcode { opcode: 3 }),
            (frame(0x09, b"x"), FrameError::BadControl),
            (frame(0x89, &long), FrameError::BadControl),
        ] {
            assert_eq!(carried(&[&stream]), Err(expected), "{stream:?}");
        }
    }

    proptest! {
        #[test]
        fn cutting_the_stream_anywhere_changes_nothing(
            frames in prop::collection::vec((prop::sample::select(vec![0x82, 0x81, 0x89, 0x8A]), 0_usize..125, 0_usize..70_000), 1..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let frames = frames.into_iter().enumerate().map(|(idx, (first_byte, short, long))| {
                let length = if first_byte & 0x08 != 0 { short } else { long };
                frame(first_byte, &vec![u8::try_from(idx).unwrap(); length])
            });
            let stream: Vec<u8> = frames.collect::<Vec<_>>().concat();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
            prop_assert_eq!(carried(&parts), carried(&[&stream]));
        }

        #[test]
        fn what_is_carried_is_what_the_decoder_of_whole_frames_finds(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..5)) {
            let stream: Vec<u8> = payloads.iter().flat_map(|payload| frame(0x82, payload)).collect();
            let mut decoder = FrameDecoder::new(1 << 20, &stream);
            let mut expected = Vec::new();
            while let Some(whole) = decoder.next_frame().unwrap() {
                expected.extend_from_slice(whole.payload);
            }
            prop_assert_eq!(carried(&[&stream]).unwrap().0, expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in any::<prop::sample::Index>()) {
            let (head, tail) = bytes.split_at(cut.index(bytes.len() + 1));
            let _ = carried(&[head, tail]);
        }
    }
}
