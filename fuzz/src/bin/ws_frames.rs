//! WebSocket frames, read in both ways: as they arrive, and when they are whole. Each gives the same wherever the stream
//! is cut, and both agree on what is carried and on which frame is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use natsbench::net::ws::deframe::{Deframer, Piece};
use natsbench::net::ws::frame::{
    FrameDecoder, FrameError, FrameOptions, HEADROOM_BYTES, apply_mask, opcode, seal,
};
use natsbench_fuzz::cuts;

/// Small, so that short inputs reach it; beyond 125, which no control frame may exceed.
const MAX_FRAME_BYTES: u64 = 300;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fuzz_target!(|stream: &[u8]| {
    let [whole, pieces @ ..] = cuts(stream);
    let (carried, frames) = (carried(&whole), frames(&whole));
    for pieces in pieces {
        assert_eq!(self::carried(&pieces), carried, "in pieces {pieces:?}");
        assert_eq!(self::frames(&pieces), frames, "in pieces {pieces:?}");
    }
    compare(&carried, &frames);
    check_writing(stream);
});

/// What a stream carried, and what ended it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Carried {
    data: Vec<u8>,
    /// Opcode and payload; that of a pong is not kept.
    controls: Vec<(u8, Vec<u8>)>,
    error: Option<FrameError>,
}

fn carried(pieces: &[&[u8]]) -> Carried {
    let mut deframer = Deframer::new(MAX_FRAME_BYTES);
    let mut seen = Carried::default();
    for mut bytes in pieces.iter().copied() {
        loop {
            match deframer.next_piece(&mut bytes) {
                Ok(Some(Piece::Data(data))) => {
                    assert!(!data.is_empty());
                    seen.data.extend_from_slice(data);
                }
                Ok(Some(Piece::Ping(payload))) => {
                    seen.controls.push((opcode::PING, payload.to_vec()));
                }
                Ok(Some(Piece::Pong)) => seen.controls.push((opcode::PONG, Vec::new())),
                Ok(Some(Piece::Close(payload))) => {
                    seen.controls.push((opcode::CLOSE, payload.to_vec()));
                }
                Ok(None) => break,
                Err(error) => {
                    seen.error = Some(error);
                    return seen;
                }
            }
        }
        assert!(bytes.is_empty(), "what was not refused is used up");
    }
    seen
}

/// A frame that was read when it was whole.
#[derive(Debug, PartialEq, Eq)]
struct Whole {
    is_final: bool,
    is_compressed: bool,
    opcode: u8,
    payload: Vec<u8>,
}

fn frames(pieces: &[&[u8]]) -> (Vec<Whole>, Option<FrameError>) {
    let mut decoder = FrameDecoder::new(MAX_FRAME_BYTES, &[]);
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    assert!(frame.payload.len() as u64 <= MAX_FRAME_BYTES);
                    frames.push(Whole {
                        is_final: frame.is_final,
                        is_compressed: frame.is_compressed,
                        opcode: frame.opcode,
                        payload: frame.payload.to_vec(),
                    });
                }
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// What is carried follows from the whole frames, up to the first one that only one of the two can judge.
fn compare(carried: &Carried, (frames, error): &(Vec<Whole>, Option<FrameError>)) {
    let mut data = Vec::new();
    let mut controls = Vec::new();
    let mut is_in_message = false;
    let mut refused = None;
    for frame in frames {
        let is_control = matches!(frame.opcode, opcode::PING | opcode::PONG | opcode::CLOSE);
        let begins = matches!(frame.opcode, opcode::TEXT | opcode::BINARY);
        refused = match frame.opcode {
            // Compression is not agreed where frames are passed on as they come.
            _ if frame.is_compressed => Some("a compressed frame"),
            _ if begins && is_in_message => Some("an unfinished message"),
            opcode::CONTINUATION if !is_in_message => Some("a continuation of nothing"),
            _ if begins || is_control || frame.opcode == opcode::CONTINUATION => None,
            _ => Some("an unknown opcode"),
        };
        if refused.is_some() {
            break;
        }
        if is_control {
            let is_kept = frame.opcode != opcode::PONG;
            let payload = if is_kept { &frame.payload[..] } else { &[] };
            controls.push((frame.opcode, payload.to_vec()));
        } else {
            data.extend_from_slice(&frame.payload);
            is_in_message = !frame.is_final;
        }
    }
    assert_eq!(carried.controls, controls);
    let rest = carried.data.strip_prefix(&data[..]);
    let rest = rest.expect("the data of whole frames is carried");
    if let Some(what) = refused {
        assert!(carried.error.is_some(), "{what} was passed on");
    } else if carried.error.is_some() {
        // An unknown opcode and the order of frames are seen before the frame is whole.
        assert!(
            error.is_some() || carried.error_is_of_one_reader(),
            "{carried:?}"
        );
    }
    if carried.error.is_some() || error.is_some() {
        assert_eq!(rest, b"", "nothing of a refused frame is passed on");
    }
}

impl Carried {
    /// A fault that only shows where frames belong together, or where no extension was agreed.
    fn error_is_of_one_reader(&self) -> bool {
        matches!(
            self.error,
            Some(
                FrameError::NothingToContinue
                    | FrameError::Unfinished
                    | FrameError::UnknownOpcode { .. }
                    | FrameError::ReservedBits { .. }
            )
        )
    }
}

/// What we write is one frame, which a server takes only masked and a client only unmasked.
fn check_writing(payload: &[u8]) {
    for mask in [None, Some(MASK)] {
        let mut buffer = vec![0; HEADROOM_BYTES];
        buffer.extend_from_slice(payload);
        let options = FrameOptions {
            opcode: opcode::BINARY,
            is_compressed: false,
            mask,
        };
        let start = seal(&mut buffer, HEADROOM_BYTES, options);
        let frame = &mut buffer[start..];
        let mut decoder = FrameDecoder::new(u64::MAX, frame);
        if mask.is_none() {
            let read = decoder.next_frame().expect("it is unmasked");
            assert_eq!(read.expect("it is whole").payload, payload);
            continue;
        }
        assert_eq!(decoder.next_frame(), Err(FrameError::Masked));
        let at = frame.len() - payload.len();
        assert_eq!(frame[at - MASK.len()..at], MASK);
        apply_mask(&mut frame[at..], MASK);
        assert_eq!(frame[at..], *payload);
    }
}
