//! Cuts a byte stream into server operations.
//!
//! Invariants
//! - Where the stream is cut into pieces makes no difference.
//! - Memory is bounded by the limits and by what is fed at once: a line or payload over its limit is refused as
//!   soon as it is seen or announced, not when it has arrived.
//! - After an error the parser stays failed: the position in the stream is lost.
//!
//! Parsing a message costs no allocation; what it returns borrows from the buffer.

use memchr::memchr;

/// What a peer may announce or send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest line. INFO of a large cluster is the longest that occurs.
    pub max_control_line_bytes: usize,
    /// Largest payload, headers included. nats-server refuses a `max_payload` above 64 MiB.
    pub max_payload_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_control_line_bytes: 1 << 20,
            max_payload_bytes: 64 << 20,
        }
    }
}

/// How a server broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A line without end.
    #[error("a line is longer than {limit_bytes} bytes")]
    LineTooLong {
        /// Our limit.
        limit_bytes: usize,
    },
    /// A payload over the limit.
    #[error("`{op}` announces {announced_bytes} payload bytes, the limit is {limit_bytes}")]
    PayloadTooLarge {
        /// `MSG` or `HMSG`.
        op: &'static str,
        /// What the line says.
        announced_bytes: u64,
        /// Our limit.
        limit_bytes: usize,
    },
    /// Not an operation that a server sends.
    #[error("unknown operation `{excerpt}` at byte {offset} of the stream")]
    UnknownOp {
        /// The beginning of the line.
        excerpt: String,
        /// Where it begins.
        offset: u64,
    },
    /// `MSG` or `HMSG` with arguments that make no sense.
    #[error("malformed `{op}` arguments `{excerpt}` at byte {offset} of the stream")]
    BadArguments {
        /// `MSG` or `HMSG`.
        op: &'static str,
        /// The line.
        excerpt: String,
        /// Where it begins.
        offset: u64,
    },
    /// A payload that is not followed by CR LF where its length says that it ends.
    #[error("the payload before byte {offset} of the stream does not end with CR LF")]
    UnterminatedPayload {
        /// Where the end was expected.
        offset: u64,
    },
    /// INFO that is not JSON of the expected form.
    #[error("INFO cannot be read: {reason}")]
    BadInfo {
        /// What the JSON reader says.
        reason: String,
    },
}

/// A message, borrowed from the parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Msg<'a> {
    /// Subject, as sent; not necessarily UTF-8.
    pub subject: &'a [u8],
    /// Subscription.
    pub sid: u64,
    /// Reply subject.
    pub reply: Option<&'a [u8]>,
    /// The whole header block, for [`super::Headers::parse`].
    pub headers: Option<&'a [u8]>,
    /// Payload.
    pub payload: &'a [u8],
}

/// What a server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerOp<'a> {
    /// `INFO`, with its JSON.
    Info(&'a [u8]),
    /// `MSG` or `HMSG`.
    Msg(Msg<'a>),
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong,
    /// `+OK`.
    Ok,
    /// `-ERR`, its text verbatim without the quotes.
    Err(&'a str),
}

/// The parser; see the module documentation.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    buffer: Vec<u8>,
    /// Where the unread part of the buffer begins.
    start: usize,
    /// Position of `start` in the stream.
    offset: u64,
    /// How far an incomplete line has been searched for its end.
    searched: usize,
    failure: Option<ProtocolError>,
    /// `-ERR` text whose bytes were not UTF-8.
    lossy_text: String,
}

/// A buffer that has grown beyond this is given back when it is empty, so that one burst does not cost a
/// thousand connections their memory for ever.
const MAX_KEPT_BYTES: usize = 16 << 10;

/// The arguments of a `MSG` or `HMSG` line, as ranges of the buffer.
struct MsgArgs {
    subject: std::ops::Range<usize>,
    sid: u64,
    reply: Option<std::ops::Range<usize>>,
    header_bytes: Option<usize>,
    total_bytes: u64,
}

impl Parser {
    /// A parser at the beginning of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buffer: Vec::new(),
            start: 0,
            offset: 0,
            searched: 0,
            failure: None,
            lossy_text: String::new(),
        }
    }

    /// Adds received bytes. After an error they are dropped: nothing will be taken out any more.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.failure.is_some() {
            return;
        }
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
            if self.buffer.capacity() > MAX_KEPT_BYTES && bytes.len() <= MAX_KEPT_BYTES {
                self.buffer.shrink_to(MAX_KEPT_BYTES);
            }
        } else if self.start > 0 {
            // Only the rest of an incomplete operation moves, once for each feed.
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that have been fed and not yet handed out.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// The next operation that has arrived whole.
    ///
    /// # Errors
    /// When the stream is not the NATS protocol; every later call says the same.
    #[inline]
    pub fn next_op(&mut self) -> Result<Option<ServerOp<'_>>, ProtocolError> {
        match self.plain_message() {
            Some(found) => Ok(Some(ServerOp::Msg(found.view(&self.buffer)))),
            None => self.next_op_of_any_kind(),
        }
    }

    /// The next operation, if it is a message without reply and headers that has arrived whole: what [`Parser::next_op`]
    /// would return, without the cost of telling it from other operations. `None` says nothing about those.
    #[inline]
    pub fn next_plain_message(&mut self) -> Option<Msg<'_>> {
        let found = self.plain_message()?;
        Some(found.view(&self.buffer))
    }

    /// A whole message without reply and headers, written as nats-server writes it, at the front of the buffer: nearly
    /// every operation of a stream of rounds. `None` says nothing about what else may be there.
    #[inline]
    fn plain_message(&mut self) -> Option<PlainMsg> {
        let unread = self.buffer.get(self.start..)?;
        let line = unread.strip_prefix(b"MSG ")?;
        let subject_bytes = bytes_before_blank(line)?;
        let (sid, rest) = leading_number(line[subject_bytes..].strip_prefix(b" ")?)?;
        let (total_bytes, rest) = leading_number(rest.strip_prefix(b" ")?)?;
        let rest = rest.strip_prefix(b"\r\n")?;
        let total_bytes = usize::try_from(total_bytes).ok()?;
        let line_bytes = unread.len() - rest.len();
        let is_within_limits = subject_bytes > 0
            && total_bytes <= self.limits.max_payload_bytes
            && line_bytes <= self.limits.max_control_line_bytes;
        if !is_within_limits
            || !rest.get(total_bytes..)?.starts_with(b"\r\n")
            || self.failure.is_some()
        {
            return None;
        }
        let found = PlainMsg {
            subject_start: self.start + b"MSG ".len(),
            subject_bytes,
            sid,
            payload_start: self.start + line_bytes,
            payload_bytes: total_bytes,
        };
        self.consume(line_bytes + total_bytes + 2);
        Some(found)
    }

    fn next_op_of_any_kind(&mut self) -> Result<Option<ServerOp<'_>>, ProtocolError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        match self.advance() {
            Ok(None) => Ok(None),
            Ok(Some(op)) => Ok(Some(self.view(op))),
            Err(error) => {
                self.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Finds the next whole operation and moves behind it.
    #[inline]
    fn advance(&mut self) -> Result<Option<Found>, ProtocolError> {
        let Some((line, next)) = self.line()? else {
            return Ok(None);
        };
        let begin = self.start;
        let bytes = &self.buffer[line.clone()];
        let found = match bytes {
            [b'M' | b'm', b'S' | b's', b'G' | b'g', b' ' | b'\t', ..] => {
                return self.message("MSG", line.start + 4..line.end, next, false);
            }
            [
                b'H' | b'h',
                b'M' | b'm',
                b'S' | b's',
                b'G' | b'g',
                b' ' | b'\t',
                ..,
            ] => {
                return self.message("HMSG", line.start + 5..line.end, next, true);
            }
            _ => simple_op(bytes, line.start),
        };
        let Some(found) = found else {
            return Err(ProtocolError::UnknownOp {
                excerpt: excerpt(bytes),
                offset: self.offset,
            });
        };
        self.consume(next - begin);
        Ok(Some(found))
    }

    /// The next whole line without its CR LF, and where the one after it begins.
    #[inline]
    fn line(&mut self) -> Result<Option<(std::ops::Range<usize>, usize)>, ProtocolError> {
        let unread = &self.buffer[self.start..];
        let limit_bytes = self.limits.max_control_line_bytes;
        match memchr(b'\n', &unread[self.searched..]) {
            Some(at) => {
                let end = self.searched + at;
                if end > limit_bytes + 1 {
                    return Err(ProtocolError::LineTooLong { limit_bytes });
                }
                let text_end = if end > 0 && unread[end - 1] == b'\r' {
                    end - 1
                } else {
                    end
                };
                Ok(Some((
                    self.start..self.start + text_end,
                    self.start + end + 1,
                )))
            }
            None if unread.len() > limit_bytes + 1 => {
                Err(ProtocolError::LineTooLong { limit_bytes })
            }
            None => {
                self.searched = unread.len();
                Ok(None)
            }
        }
    }

    #[inline]
    fn message(
        &mut self,
        op: &'static str,
        args: std::ops::Range<usize>,
        payload_start: usize,
        has_headers: bool,
    ) -> Result<Option<Found>, ProtocolError> {
        let Some(parsed) = parse_args(&self.buffer, args.clone(), has_headers) else {
            let excerpt = excerpt(&self.buffer[args]);
            return Err(ProtocolError::BadArguments {
                op,
                excerpt,
                offset: self.offset,
            });
        };
        let limit_bytes = self.limits.max_payload_bytes;
        let total_bytes = match usize::try_from(parsed.total_bytes) {
            Ok(total_bytes) if total_bytes <= limit_bytes => total_bytes,
            _ => {
                let announced_bytes = parsed.total_bytes;
                return Err(ProtocolError::PayloadTooLarge {
                    op,
                    announced_bytes,
                    limit_bytes,
                });
            }
        };
        let payload_end = payload_start + total_bytes;
        let Some(terminator) = self.buffer.get(payload_end..payload_end + 2) else {
            // The line has been found already; look for it from its end next time.
            self.searched = payload_start - self.start - 1;
            return Ok(None);
        };
        let begin = self.start;
        if terminator != b"\r\n" {
            let offset = self.offset + (payload_end - begin) as u64;
            return Err(ProtocolError::UnterminatedPayload { offset });
        }
        let header_bytes = parsed.header_bytes.unwrap_or(0);
        let headers = parsed
            .header_bytes
            .map(|bytes| payload_start..payload_start + bytes);
        self.consume(payload_end + 2 - begin);
        Ok(Some(Found::Msg {
            subject: parsed.subject,
            sid: parsed.sid,
            reply: parsed.reply,
            headers,
            payload: payload_start + header_bytes..payload_end,
        }))
    }

    #[inline]
    fn consume(&mut self, n_bytes: usize) {
        self.start += n_bytes;
        self.offset += n_bytes as u64;
        self.searched = 0;
    }

    #[inline]
    fn view(&mut self, found: Found) -> ServerOp<'_> {
        if let Found::Err(range) = &found
            && std::str::from_utf8(&self.buffer[range.clone()]).is_err()
        {
            self.lossy_text = String::from_utf8_lossy(&self.buffer[range.clone()]).into_owned();
            return ServerOp::Err(&self.lossy_text);
        }
        let buffer = &self.buffer;
        match found {
            Found::Msg {
                subject,
                sid,
                reply,
                headers,
                payload,
            } => ServerOp::Msg(Msg {
                subject: &buffer[subject],
                sid,
                reply: reply.map(|range| &buffer[range]),
                headers: headers.map(|range| &buffer[range]),
                payload: &buffer[payload],
            }),
            Found::Info(range) => ServerOp::Info(&buffer[range]),
            Found::Ping => ServerOp::Ping,
            Found::Pong => ServerOp::Pong,
            Found::Ok => ServerOp::Ok,
            Found::Err(range) => {
                ServerOp::Err(std::str::from_utf8(&buffer[range]).unwrap_or_default())
            }
        }
    }
}

/// A message without reply and headers, as places in the buffer.
struct PlainMsg {
    subject_start: usize,
    subject_bytes: usize,
    sid: u64,
    payload_start: usize,
    payload_bytes: usize,
}

impl PlainMsg {
    #[inline]
    fn view<'a>(&self, buffer: &'a [u8]) -> Msg<'a> {
        Msg {
            subject: &buffer[self.subject_start..][..self.subject_bytes],
            sid: self.sid,
            reply: None,
            headers: None,
            payload: &buffer[self.payload_start..][..self.payload_bytes],
        }
    }
}

/// An operation as ranges of the buffer.
enum Found {
    Info(std::ops::Range<usize>),
    Msg {
        subject: std::ops::Range<usize>,
        sid: u64,
        reply: Option<std::ops::Range<usize>>,
        headers: Option<std::ops::Range<usize>>,
        payload: std::ops::Range<usize>,
    },
    Ping,
    Pong,
    Ok,
    Err(std::ops::Range<usize>),
}

/// Operations of one line; `line_start` is where `line` begins in the buffer.
fn simple_op(line: &[u8], line_start: usize) -> Option<Found> {
    let name_end = line
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\t'))
        .unwrap_or(line.len());
    let (name, rest) = line.split_at(name_end);
    let skipped = rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    let trailing = rest[skipped..]
        .iter()
        .rev()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    let args = name_end + skipped..line.len() - trailing;
    let in_buffer =
        |range: std::ops::Range<usize>| line_start + range.start..line_start + range.end;
    if name.eq_ignore_ascii_case(b"PING") {
        Some(Found::Ping)
    } else if name.eq_ignore_ascii_case(b"PONG") {
        Some(Found::Pong)
    } else if name.eq_ignore_ascii_case(b"+OK") {
        Some(Found::Ok)
    } else if name.eq_ignore_ascii_case(b"INFO") {
        Some(Found::Info(in_buffer(args)))
    } else if name.eq_ignore_ascii_case(b"-ERR") {
        let text = &line[args.clone()];
        let is_quoted = text.len() >= 2 && text.starts_with(b"'") && text.ends_with(b"'");
        Some(Found::Err(in_buffer(if is_quoted {
            args.start + 1..args.end - 1
        } else {
            args
        })))
    } else {
        None
    }
}

/// `subject sid [reply] [#header bytes] #total bytes`.
#[inline]
fn parse_args(buffer: &[u8], args: std::ops::Range<usize>, has_headers: bool) -> Option<MsgArgs> {
    const MAX_ARGS: usize = 5;
    let mut ranges: [std::ops::Range<usize>; MAX_ARGS] = Default::default();
    let mut n_args = 0;
    let mut at = args.start;
    while at < args.end {
        if matches!(buffer[at], b' ' | b'\t') {
            at += 1;
            continue;
        }
        let begin = at;
        while at < args.end && !matches!(buffer[at], b' ' | b'\t') {
            at += 1;
        }
        *ranges.get_mut(n_args)? = begin..at;
        n_args += 1;
    }
    let n_sizes = if has_headers { 2 } else { 1 };
    let has_reply = match n_args.checked_sub(2 + n_sizes)? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let number = |idx: usize| parse_number(&buffer[ranges[idx].clone()]);
    let total_bytes = number(n_args - 1)?;
    let header_bytes = if has_headers {
        Some(number(n_args - 2)?)
    } else {
        None
    };
    if header_bytes.is_some_and(|bytes| bytes > total_bytes) {
        return None;
    }
    Some(MsgArgs {
        subject: ranges[0].clone(),
        sid: number(1)?,
        reply: has_reply.then(|| ranges[2].clone()),
        header_bytes: header_bytes.map(usize::try_from).transpose().ok()?,
        total_bytes,
    })
}

/// How many bytes come before the first blank or control character, eight at a time.
#[inline]
fn bytes_before_blank(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (words, rest) = bytes.as_chunks::<8>();
    for (idx, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The lowest byte whose top bit comes out set is less than 0x21; what a borrow sets lies above it.
        let found = word.wrapping_sub(0x21 * ONES) & !word & (0x80 * ONES);
        if found != 0 {
            return Some(idx * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|byte| *byte <= b' ')?;
    Some(bytes.len() - rest.len() + at)
}

/// A decimal number of at most 19 digits, and what follows it.
#[inline]
fn leading_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    const MAX_DIGITS: usize = 19;
    let mut value = 0_u64;
    let mut rest = bytes;
    while let [digit @ b'0'..=b'9', behind @ ..] = rest {
        if bytes.len() - rest.len() == MAX_DIGITS {
            return None;
        }
        value = value * 10 + u64::from(digit - b'0');
        rest = behind;
    }
    (rest.len() < bytes.len()).then_some((value, rest))
}

/// A decimal number of at most 19 digits.
#[inline]
fn parse_number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut value = 0_u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(value)
}

/// The beginning of a line, fit to be shown.
fn excerpt(line: &[u8]) -> String {
    const MAX_BYTES: usize = 40;
    let text = String::from_utf8_lossy(&line[..line.len().min(MAX_BYTES)]);
    text.chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
