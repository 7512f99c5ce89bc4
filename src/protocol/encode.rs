//! Client operations, appended to a buffer.

use super::{ConnectOptions, Headers};

/// An argument that would become several, or another operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{argument}` cannot be sent as {role}: it {reason}")]
pub struct EncodeError {
    /// The argument.
    pub argument: String,
    /// What it was to be.
    pub role: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

fn checked<'a>(argument: &'a str, role: &'static str) -> Result<&'a str, EncodeError> {
    let reason = if argument.is_empty() {
        "is empty"
    } else if argument.contains([' ', '\t', '\r', '\n']) {
        "contains a blank"
    } else {
        return Ok(argument);
    };
    Err(EncodeError {
        argument: argument.to_owned(),
        role,
        reason,
    })
}

/// `CONNECT`.
pub fn connect(out: &mut Vec<u8>, options: &ConnectOptions) {
    out.extend_from_slice(b"CONNECT ");
    serde_json::to_writer(&mut *out, options)
        .expect("a plain struct of flags and strings is always JSON");
    out.extend_from_slice(b"\r\n");
}

/// `PING`.
pub fn ping(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PING\r\n");
}

/// `PONG`.
pub fn pong(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PONG\r\n");
}

/// `SUB`.
///
/// # Errors
/// A pattern or group that is empty or contains a blank: the server would take the rest for something else.
pub fn sub(
    out: &mut Vec<u8>,
    pattern: &str,
    queue: Option<&str>,
    sid: u64,
) -> Result<(), EncodeError> {
    let pattern = checked(pattern, "a subject")?;
    let queue = queue
        .map(|queue| checked(queue, "a queue group"))
        .transpose()?;
    out.extend_from_slice(b"SUB ");
    out.extend_from_slice(pattern.as_bytes());
    out.push(b' ');
    if let Some(queue) = queue {
        out.extend_from_slice(queue.as_bytes());
        out.push(b' ');
    }
    append_number(out, sid);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// `UNSUB`, at once or after `max` messages in total.
pub fn unsub(out: &mut Vec<u8>, sid: u64, max: Option<u64>) {
    out.extend_from_slice(b"UNSUB ");
    append_number(out, sid);
    if let Some(max) = max {
        out.push(b' ');
        append_number(out, max);
    }
    out.extend_from_slice(b"\r\n");
}

/// `PUB`.
///
/// # Errors
/// A subject that is empty or contains a blank: the server would take the rest for a reply subject.
pub fn publish(
    out: &mut Vec<u8>,
    subject: &str,
    reply: Option<&str>,
    payload: &[u8],
) -> Result<(), EncodeError> {
    let subject = checked(subject, "a subject")?;
    let reply = reply
        .map(|reply| checked(reply, "a reply subject"))
        .transpose()?;
    let mut prefix = publish_prefix(subject);
    if let Some(reply) = reply {
        prefix.extend_from_slice(reply.as_bytes());
        prefix.push(b' ');
    }
    append_publish(out, &prefix, payload);
    Ok(())
}

/// `HPUB`.
///
/// # Errors
/// As [`publish`].
pub fn hpub(
    out: &mut Vec<u8>,
    subject: &str,
    reply: Option<&str>,
    headers: &Headers,
    payload: &[u8],
) -> Result<(), EncodeError> {
    let subject = checked(subject, "a subject")?;
    let reply = reply
        .map(|reply| checked(reply, "a reply subject"))
        .transpose()?;
    let mut block = Vec::new();
    headers.encode(&mut block);
    out.extend_from_slice(b"HPUB ");
    out.extend_from_slice(subject.as_bytes());
    out.push(b' ');
    if let Some(reply) = reply {
        out.extend_from_slice(reply.as_bytes());
        out.push(b' ');
    }
    append_number(out, block.len() as u64);
    out.push(b' ');
    append_number(out, (block.len() + payload.len()) as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&block);
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// `PUB subject `, to be kept for [`append_publish`].
pub fn publish_prefix(subject: &str) -> Vec<u8> {
    [b"PUB ", subject.as_bytes(), b" "].concat()
}

/// A whole `PUB` behind a prefix of [`publish_prefix`]; for the publish path, without checks.
#[inline]
pub fn append_publish(out: &mut Vec<u8>, prefix: &[u8], payload: &[u8]) {
    out.reserve(prefix.len() + payload.len() + 24);
    out.extend_from_slice(prefix);
    append_number(out, payload.len() as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// A decimal number, without the machinery of `format!`.
#[inline]
fn append_number(out: &mut Vec<u8>, mut number: u64) {
    const MAX_DIGITS: usize = 20;
    let mut digits = [0_u8; MAX_DIGITS];
    let mut at = MAX_DIGITS;
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Limits, Parser, ServerOp};
    use proptest::prelude::*;

    #[test]
    fn operations_have_their_documented_form() {
        let mut out = Vec::new();
        sub(&mut out, "a.*", Some("q"), 7).unwrap();
        unsub(&mut out, 7, Some(10));
        publish(&mut out, "a.b", Some("r"), b"hi").unwrap();
        assert_eq!(out, b"SUB a.* q 7\r\nUNSUB 7 10\r\nPUB a.b r 2\r\nhi\r\n");
    }

    #[test]
    fn connect_always_says_verbose_and_pedantic() {
        let mut out = Vec::new();
        connect(&mut out, &ConnectOptions::default());
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("CONNECT {\"verbose\":false,\"pedantic\":false"),
            "{text}"
        );
        assert!(!text.contains("pass"));
    }

    #[test]
    fn arguments_with_blanks_are_refused() {
        let mut out = Vec::new();
        for subject in ["", "a b", "a\tb", "a\r\nPING"] {
            assert!(sub(&mut out, subject, None, 1).is_err());
            assert!(publish(&mut out, subject, None, b"").is_err());
            assert!(publish(&mut out, "a", Some(subject), b"").is_err());
        }
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn what_a_client_publishes_parses_as_what_a_server_delivers(
            subject in "[a-z]{1,9}(\\.[a-z]{1,9}){0,2}",
            reply in prop::option::of("_INBOX\\.[A-Za-z0-9]{1,9}"),
            headers in prop::option::of(prop::collection::vec(("[A-Za-z-]{1,10}", "[!-~]{0,10}"), 0..4)),
            payload in prop::collection::vec(any::<u8>(), 0..300),
            cut in any::<prop::sample::Index>(),
        ) {
            let headers = headers.map(|entries| {
                let mut headers = Headers::default();
                for (name, value) in &entries {
                    headers.push(name, value).unwrap();
                }
                headers
            });
            let mut out = Vec::new();
            match &headers {
                Some(headers) => hpub(&mut out, &subject, reply.as_deref(), headers, &payload).unwrap(),
                None => publish(&mut out, &subject, reply.as_deref(), &payload).unwrap(),
            }
            // A delivery has the form of a publish, with `MSG` for `PUB` and the subscription behind the subject.
            let name_at = usize::from(headers.is_some());
            out.splice(name_at..name_at + 3, *b"MSG");
            let sid_at = name_at + 4 + subject.len();
            out.splice(sid_at..sid_at, *b" 77");
            let (head, tail) = out.split_at(cut.index(out.len()));
            let mut parser = Parser::new(Limits::default());
            parser.feed(head);
            prop_assert_eq!(parser.next_op().unwrap(), None);
            parser.feed(tail);
            let Some(ServerOp::Msg(msg)) = parser.next_op().unwrap() else { panic!() };
            prop_assert_eq!((msg.subject, msg.sid, msg.payload), (subject.as_bytes(), 77, &payload[..]));
            prop_assert_eq!(msg.reply, reply.as_deref().map(str::as_bytes));
            let parsed = msg.headers.map(|block| Headers::parse(block).unwrap());
            prop_assert_eq!(parsed, headers);
            prop_assert_eq!(parser.next_op().unwrap(), None);
        }

        #[test]
        fn an_argument_is_refused_exactly_when_it_would_become_several(subject in "\\PC{0,9}|[ab \t\r\n]{0,4}") {
            let mut out = Vec::new();
            let is_fine = !subject.is_empty() && !subject.contains([' ', '\t', '\r', '\n']);
            prop_assert_eq!(publish(&mut out, &subject, None, b"").is_ok(), is_fine);
            prop_assert_eq!(out.is_empty(), !is_fine);
        }
    }
}
