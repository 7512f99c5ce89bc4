//! The means of this suite do what they are said to do: a fault that does not happen is survived by everybody.

mod broker;
mod fake;
mod proxy;

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;

use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::harness::{DEADLINE, eventually};

/// A client that says NATS operations over a WebSocket, and takes what comes.
struct Talker {
    websocket: WebSocket<TcpStream>,
    /// What has come as data.
    heard: String,
}

impl Talker {
    /// Upgraded, not logged in.
    fn connect(url: &str) -> Self {
        let stream = TcpStream::connect(url.trim_start_matches("ws://")).expect("somebody listens");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a live socket");
        let (websocket, _) = tungstenite::client(url, stream).expect("a WebSocket");
        Self {
            websocket,
            heard: String::new(),
        }
    }

    /// Logged in, and subscribed to everything under this first token.
    fn subscribed(url: &str, token: &str) -> Self {
        let mut talker = Self::connect(url);
        talker.say(&format!(
            "CONNECT {{\"verbose\":false,\"protocol\":1}}\r\nSUB {token}.> 7\r\nPING\r\n"
        ));
        talker.hear("PONG");
        talker
    }

    fn say(&mut self, operations: &str) {
        let message = Message::Binary(operations.as_bytes().to_vec().into());
        self.websocket.send(message).expect("it is open");
    }

    /// Waits until this has come.
    #[track_caller]
    fn hear(&mut self, part: &str) {
        while !self.heard.contains(part) {
            self.next().expect("more is to come");
        }
    }

    /// One more message of the WebSocket.
    fn next(&mut self) -> tungstenite::Result<Message> {
        let message = self.websocket.read()?;
        if let Message::Binary(bytes) = &message {
            self.heard.push_str(&String::from_utf8_lossy(bytes));
        }
        Ok(message)
    }

    /// Takes everything until it ends; returns the last message of the WebSocket, and how it ended.
    fn hear_out(&mut self) -> (Option<Message>, tungstenite::Error) {
        let mut last = None;
        loop {
            match self.next() {
                Ok(message) => last = Some(message),
                Err(error) => return (last, error),
            }
        }
    }

    /// Nothing comes now, and it has not ended.
    fn is_in_silence(&mut self) -> bool {
        let stream = self.websocket.get_mut();
        stream.set_nonblocking(true).expect("a live socket");
        let read = stream.peek(&mut [0]);
        stream.set_nonblocking(false).expect("a live socket");
        read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

/// How a TCP connection ended that was read to its end.
fn read_out(stream: &mut TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("a live socket");
    let mut bytes = Vec::new();
    let error = stream.read_to_end(&mut bytes).err();
    (bytes, error.map(|error| error.kind()))
}

/// Whether a TCP connection to this address is refused.
fn is_refused(url: &str) -> bool {
    let connected = TcpStream::connect(url.trim_start_matches("ws://"));
    connected.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// A round as natsbench publishes it, with this number, in the least that a stamp needs.
fn round(seq: u64) -> String {
    let stamp = format!("1m0a0b0c0d010204{seq:012x}{:032x}", 0);
    format!("{{\"round\":{seq},\"nb\":\"{stamp}\"}}")
}

/// The operation that publishes it under this subject.
fn publication(subject: &str, seq: u64) -> String {
    let payload = round(seq);
    format!("PUB {subject} {}\r\n{payload}\r\n", payload.len())
}

/// Waits until a count has reached a value, and checks that it does not go beyond.
#[track_caller]
fn assert_reaches(what: &str, expected: u64, count: impl Fn() -> u64) {
    eventually(what, || (count() >= expected).then_some(()));
    assert_eq!(count(), expected, "{what}");
}
