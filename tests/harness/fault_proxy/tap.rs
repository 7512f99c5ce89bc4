//! Follows the bytes of one direction of a connection: HTTP head, WebSocket frames, NATS operations.
//!
//! It is independent of the library that is tested, and knows no more than it needs to count the messages that have
//! passed whole, and to find a [`Place`] to the byte. A connection that does not begin with HTTP is plain NATS. What is
//! compressed cannot be followed, and is not counted.

/// Where in one direction of a connection something is to happen; messages are those that have passed whole, since the
/// connection was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// After exactly so many further bytes.
    Bytes(u64),
    /// After so many messages, and the first byte of the next frame's header.
    FrameHead(u64),
    /// After so many messages, and half of the next one's payload.
    Payload(u64),
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Tap {
    layer: Layer,
    nats: Nats,
    n_messages: u64,
}

#[derive(Debug)]
enum Layer {
    Start,
    /// The last bytes of the HTTP head so far.
    Http(Vec<u8>),
    /// The header of a frame so far.
    FrameHead(Vec<u8>),
    Payload(Payload),
    Plain,
    Blind,
}

#[derive(Debug, Clone, Copy)]
struct Payload {
    n_left: u64,
    mask: [u8; 4],
    mask_idx: usize,
    is_data: bool,
}

#[derive(Debug)]
enum Nats {
    Line(Vec<u8>),
    Body { n_bytes: usize, n_left: usize },
}

impl Tap {
    pub(super) fn new() -> Self {
        Self {
            layer: Layer::Start,
            nats: Nats::Line(Vec::new()),
            n_messages: 0,
        }
    }

    /// Messages that have passed whole.
    pub(super) fn n_messages(&self) -> u64 {
        self.n_messages
    }

    /// Follows bytes up to the place, if it is among them; returns how many those are.
    pub(super) fn follow(&mut self, bytes: &[u8], place: Option<&mut Place>) -> Option<usize> {
        let mut n_followed = 0;
        let place = match place {
            Some(Place::Bytes(n_bytes)) => {
                let limit = usize::try_from(*n_bytes).unwrap_or(usize::MAX);
                let head = &bytes[..limit.min(bytes.len())];
                while n_followed < head.len() {
                    n_followed += self.step(&head[n_followed..]);
                }
                *n_bytes -= n_followed as u64;
                return (*n_bytes == 0).then_some(n_followed);
            }
            Some(place) => Some(*place),
            None => None,
        };
        while n_followed < bytes.len() {
            n_followed += self.step(&bytes[n_followed..]);
            if place.is_some_and(|place| self.is_at(place)) {
                return Some(n_followed);
            }
        }
        None
    }

    fn is_at(&self, place: Place) -> bool {
        match place {
            Place::Bytes(_) => false,
            Place::FrameHead(n_messages) => {
                self.n_messages >= n_messages
                    && matches!(&self.layer, Layer::FrameHead(head) if head.len() == 1)
            }
            Place::Payload(n_messages) => {
                self.n_messages >= n_messages
                    && matches!(self.nats, Nats::Body { n_bytes, n_left } if n_left == half(n_bytes))
            }
        }
    }

    /// Takes at least one byte, and no more than belong together; returns how many.
    fn step(&mut self, bytes: &[u8]) -> usize {
        match &mut self.layer {
            Layer::Start => {
                // `GET` and `HTTP/1.1`; neither side of NATS begins with either.
                self.layer = match bytes[0] {
                    b'G' | b'H' => Layer::Http(Vec::new()),
                    _ => Layer::Plain,
                };
                self.step(bytes)
            }
            Layer::Http(head) => {
                head.push(bytes[0]);
                if head.ends_with(b"\r\n\r\n") {
                    self.layer = Layer::FrameHead(Vec::new());
                }
                1
            }
            Layer::FrameHead(head) => {
                head.push(bytes[0]);
                if let Some(layer) = after(head) {
                    self.layer = layer;
                }
                1
            }
            Layer::Payload(payload) => {
                let n_there = usize::try_from(payload.n_left)
                    .map_or(bytes.len(), |n_left| n_left.min(bytes.len()));
                let Payload { mask, mask_idx, .. } = *payload;
                let n_taken = if payload.is_data {
                    let unmasked = |at: usize| bytes[at] ^ mask[(mask_idx + at) % 4];
                    let taken = self.nats.step(n_there, unmasked);
                    self.n_messages += u64::from(taken.is_message_whole);
                    taken.n_bytes
                } else {
                    n_there
                };
                payload.mask_idx = (mask_idx + n_taken) % 4;
                payload.n_left -= n_taken as u64;
                if payload.n_left == 0 {
                    self.layer = Layer::FrameHead(Vec::new());
                }
                n_taken
            }
            Layer::Plain => {
                let taken = self.nats.step(bytes.len(), |at| bytes[at]);
                self.n_messages += u64::from(taken.is_message_whole);
                taken.n_bytes
            }
            Layer::Blind => bytes.len(),
        }
    }
}

/// What follows a frame's header, once it is whole.
fn after(head: &[u8]) -> Option<Layer> {
    let (&first, &second) = (head.first()?, head.get(1)?);
    let n_length_bytes = match second & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let n_mask_bytes = if second & 0x80 == 0 { 0 } else { 4 };
    if head.len() < 2 + n_length_bytes + n_mask_bytes {
        return None;
    }
    let (length, mask) = head[2..].split_at(n_length_bytes);
    let n_left = if length.is_empty() {
        u64::from(second & 0x7F)
    } else {
        length.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
    };
    let is_compressed = first & 0x40 != 0;
    Some(match n_left {
        _ if is_compressed => Layer::Blind,
        0 => Layer::FrameHead(Vec::new()),
        n_left => Layer::Payload(Payload {
            n_left,
            mask: mask.try_into().unwrap_or_default(),
            mask_idx: 0,
            // Text, binary, and what continues them; not ping, pong and close.
            is_data: first & 0x0F <= 2,
        }),
    })
}

struct Taken {
    n_bytes: usize,
    is_message_whole: bool,
}

impl Nats {
    /// Takes the rest of a line, or up to the half or the end of a payload, out of `n_there` bytes.
    fn step(&mut self, n_there: usize, byte: impl Fn(usize) -> u8) -> Taken {
        match self {
            Self::Line(line) => {
                for at in 0..n_there {
                    let byte = byte(at);
                    line.push(byte);
                    if byte == b'\n' {
                        *self = body_after(line).unwrap_or_else(|| Self::Line(Vec::new()));
                        return Taken {
                            n_bytes: at + 1,
                            is_message_whole: false,
                        };
                    }
                }
                Taken {
                    n_bytes: n_there,
                    is_message_whole: false,
                }
            }
            Self::Body { n_bytes, n_left } => {
                let half = half(*n_bytes);
                let n_wanted = if *n_left > half {
                    *n_left - half
                } else {
                    *n_left
                };
                let n_taken = n_wanted.min(n_there);
                *n_left -= n_taken;
                let is_message_whole = *n_left == 0;
                if is_message_whole {
                    *self = Self::Line(Vec::new());
                }
                Taken {
                    n_bytes: n_taken,
                    is_message_whole,
                }
            }
        }
    }
}

fn half(n_bytes: usize) -> usize {
    n_bytes.div_ceil(2)
}

/// What follows a line, if it is one of a message.
fn body_after(line: &[u8]) -> Option<Nats> {
    let text = String::from_utf8_lossy(line);
    let mut words = text.split_whitespace();
    let is_message = matches!(words.next()?, "PUB" | "HPUB" | "MSG" | "HMSG");
    let n_payload_bytes: usize = words.next_back()?.parse().ok()?;
    // CR LF ends it.
    let n_bytes = n_payload_bytes + 2;
    is_message.then_some(Nats::Body {
        n_bytes,
        n_left: n_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::{Place, Tap};

    /// Three messages in two masked frames, the second of which is split over them, and a ping between the frames.
    fn stream() -> Vec<u8> {
        let operations = b"SUB a.PUB.1 7\r\nPUB a 2\r\nxy\r\nPUB b r 10\r\nPUB c 3\r\nz\r\nPING\r\nHPUB d 12 13\r\nNATS/1.0\r\n\r\n!\r\n";
        let (first, second) = operations.split_at(47);
        let mut stream = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
        let mut frame = |first_byte: u8, payload: &[u8]| {
            let mask = [0x11, 0x9B, 0x07, 0xF0];
            let n_bytes = u8::try_from(payload.len()).unwrap();
            stream.extend([first_byte, 0x80 | n_bytes]);
            stream.extend(mask);
            stream.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
        };
        frame(0x02, first);
        frame(0x89, b"PUB e 1\r\n");
        frame(0x80, second);
        stream
    }

    #[test]
    fn messages_are_counted_however_the_bytes_come() {
        let stream = stream();
        for n_bytes in 1..=stream.len() {
            let mut tap = Tap::new();
            for chunk in stream.chunks(n_bytes) {
                assert_eq!(tap.follow(chunk, None), None);
            }
            assert_eq!(tap.n_messages(), 3, "in chunks of {n_bytes}");
        }
    }

    #[test]
    fn a_place_is_found_at_the_same_byte_however_the_bytes_come() {
        let stream = stream();
        let at = |mut place: Place, n_bytes: usize| {
            let mut tap = Tap::new();
            let mut n_before = 0;
            for chunk in stream.chunks(n_bytes) {
                if let Some(n_followed) = tap.follow(chunk, Some(&mut place)) {
                    return (n_before + n_followed, tap.n_messages());
                }
                n_before += chunk.len();
            }
            panic!("{place:?} is not in the stream");
        };
        // The head, the frame's header, two lines, and two of the four bytes `xy\r\n`.
        let first_payload = 27 + 6 + 15 + 9 + 2;
        for n_bytes in 1..=stream.len() {
            assert_eq!(at(Place::Bytes(5), n_bytes), (5, 0));
            assert_eq!(at(Place::FrameHead(0), n_bytes), (28, 0));
            assert_eq!(at(Place::FrameHead(1), n_bytes), (27 + 6 + 47 + 1, 1));
            assert_eq!(at(Place::Payload(0), n_bytes), (first_payload, 0));
            assert_eq!(at(Place::Payload(2), n_bytes).1, 2);
        }
    }
}
