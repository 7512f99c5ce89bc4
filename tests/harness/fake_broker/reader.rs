//! The reading side of one connection of the fake broker: takes its operations apart, and routes them.

use std::net::TcpStream;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::time::Duration;

use natsbench::clock::{mono_now, sleep_until};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::super::routing::{close_frame, nanos};
use super::{Acceptor, Cut, Outgoing, Published, Shared};

/// A reader that is deaf looks this often whether the test is over.
const LOOK_PERIOD: Duration = Duration::from_millis(5);

/// The code of the close frame with which nats-server sends away whom it does not know.
const POLICY_VIOLATION: u16 = 1008;

pub(super) struct Reader<'a> {
    number: u64,
    acceptor: &'a Acceptor,
    input: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(number: u64, acceptor: &'a Acceptor) -> Self {
        Self {
            number,
            acceptor,
            input: Vec::new(),
        }
    }

    fn shared(&self) -> MutexGuard<'a, Shared> {
        self.acceptor.shared.lock().expect("no panic")
    }

    pub(super) fn read_all(
        mut self,
        mut websocket: WebSocket<TcpStream>,
    ) -> Result<(), Box<tungstenite::Error>> {
        loop {
            match websocket.read()? {
                Message::Binary(bytes) => self.input.extend_from_slice(&bytes),
                Message::Close(_) => return Ok(()),
                _ => {}
            }
            let mut used = 0;
            while let Some(n_bytes) = self.one_operation(used) {
                used += n_bytes;
            }
            self.input.drain(..used);
            while self.is_deaf() && !self.acceptor.is_over.load(Ordering::Relaxed) {
                sleep_until(mono_now().plus(nanos(LOOK_PERIOD)));
            }
        }
    }

    fn is_deaf(&self) -> bool {
        let shared = self.shared();
        let mut subscriptions = shared.subscriptions.iter();
        shared.script.is_deaf && subscriptions.any(|one| one.connection == self.number)
    }

    /// Does the operation at `start`; returns its length if it is there whole.
    fn one_operation(&self, start: usize) -> Option<usize> {
        let unread = &self.input[start..];
        if unread.is_empty() {
            return None;
        }
        let line_bytes = unread.windows(2).position(|pair| pair == b"\r\n")?;
        let line = String::from_utf8_lossy(&unread[..line_bytes]).into_owned();
        let mut words = line.split(' ');
        let after_line = line_bytes + 2;
        // Of a connection that was ended, nothing is heard but that it had read what it was sent before.
        let is_open = self.shared().is_open(self.number);
        match words.next()? {
            "PONG" => self.shared().pong(self.number),
            "PUB" => {
                let subject = words.next().expect("a subject").to_owned();
                let size: usize = words
                    .next_back()
                    .and_then(|n| n.parse().ok())
                    .expect("a size");
                let payload = unread.get(after_line..after_line + size)?.to_vec();
                unread.get(after_line + size..after_line + size + 2)?;
                if is_open {
                    self.publish(Published { subject, payload });
                }
                return Some(after_line + size + 2);
            }
            _ if !is_open => {}
            "SUB" => {
                let pattern = words.next().expect("a pattern");
                let sid = words.next_back().expect("a subscription number").to_owned();
                self.shared().subscribe(self.number, sid, pattern);
            }
            "CONNECT" => self.login(),
            "PING" => self.shared().ping(self.number),
            _ => {}
        }
        Some(after_line)
    }

    fn login(&self) {
        let mut shared = self.shared();
        if let Some(reason) = shared.refusal() {
            let complaint = Outgoing::Operations(format!("-ERR '{reason}'\r\n").into_bytes());
            let code = POLICY_VIOLATION.to_be_bytes();
            let close = close_frame(&[&code, &b"Authentication Failure"[..]].concat());
            shared.end(self.number, [complaint, close, Outgoing::End(Cut::Fin)]);
        }
    }

    fn publish(&self, published: Published) {
        let mut shared = self.shared();
        let stop = shared.publish(self.number, published);
        self.acceptor
            .n_published
            .store(shared.n_published, Ordering::Relaxed);
        drop(shared);
        if let Some(length) = stop {
            sleep_until(mono_now().plus(nanos(length)));
        }
    }
}
