//! A scripted fake broker, for what a real nats-server cannot be made to do.
//!
//! It speaks HTTP upgrade, WebSocket (both by tungstenite) and as much NATS as our clients use, on a free port of
//! loopback, and routes like a small core NATS. A [`Script`] says what goes wrong, and when: always at a message
//! number, never at a time, so that a fault hits the same message on every machine.
//!
//! One thread reads from each connection and routes; one writes to it. Numbers count `PUB` of rounds (not of control
//! messages) over all connections from 0. Everything ends when the value is dropped.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use natsbench::clock::{mono_now, sleep_until};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::routing::{Shared, Subscription, nanos};
use super::script::{Greeting, Published, Script};

/// What a real server says first, shortened.
const INFO: &str = r#"INFO {"server_id":"FAKE","server_name":"fake","version":"2.99.0","proto":1,"go":"go","host":"127.0.0.1","port":4222,"headers":true,"max_payload":67108864,"client_id":1}"#;
/// Small buffers of the kernel, so that a reader that stops is felt soon.
const RECEIVE_BUFFER_BYTES: usize = 16 << 10;
/// A script with pings sends one this often when there is nothing else.
const IDLE_PERIOD: Duration = Duration::from_millis(5);

/// The fake broker; see the module documentation.
pub(crate) struct FakeBroker {
    port: u16,
    shared: Arc<Mutex<Shared>>,
    n_published: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl FakeBroker {
    /// Starts it; it listens when this returns.
    pub(crate) fn start(script: Script) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        // What is accepted inherits it.
        socket2::SockRef::from(&listener)
            .set_recv_buffer_size(RECEIVE_BUFFER_BYTES)
            .expect("a small receive buffer");
        let port = listener.local_addr().expect("a bound socket").port();
        let shared = Arc::new(Mutex::new(Shared::new(script)));
        let is_over = Arc::new(AtomicBool::new(false));
        let n_published = Arc::new(AtomicU64::new(0));
        let accept = Acceptor {
            shared: Arc::clone(&shared),
            n_published: Arc::clone(&n_published),
            is_over: Arc::clone(&is_over),
        };
        Self {
            port,
            shared,
            n_published,
            is_over,
            accepting: Some(std::thread::spawn(move || accept.accept_all(&listener))),
        }
    }

    /// `ws://127.0.0.1:<port>`.
    pub(crate) fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// How many rounds have been published so far.
    pub(crate) fn n_published(&self) -> u64 {
        self.n_published.load(Ordering::Relaxed)
    }

    /// Delivers a message of the test's own.
    pub(crate) fn publish(&self, subject: &str, payload: &[u8]) {
        let published = Published {
            subject: subject.to_owned(),
            payload: payload.to_vec(),
        };
        self.shared.lock().expect("no panic").deliver(&published);
    }

    /// How many subscriptions there are now.
    pub(crate) fn n_subscriptions(&self) -> usize {
        self.shared.lock().expect("no panic").subscriptions.len()
    }
}

impl Drop for FakeBroker {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the accepting thread, which then sees that it is over.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(accepting) = self.accepting.take() {
            // A panic in it has already failed the test by what the client saw.
            let _ = accepting.join();
        }
    }
}

#[derive(Clone)]
struct Acceptor {
    shared: Arc<Mutex<Shared>>,
    n_published: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

impl Acceptor {
    fn accept_all(self, listener: &TcpListener) {
        let mut threads = Vec::new();
        let mut sockets = Vec::new();
        for connection in 0.. {
            let (socket, _) = listener.accept().expect("a connection");
            if self.is_over.load(Ordering::Relaxed) {
                break;
            }
            let handle = socket.try_clone().expect("a second handle");
            sockets.extend(socket.try_clone());
            let serving = self.clone();
            threads.push(std::thread::spawn(move || {
                // The client decides when a connection ends, and how; a test looks at what the client saw.
                let _ = serving.serve(connection, socket);
                let _ = handle.shutdown(Shutdown::Both);
            }));
        }
        for socket in sockets {
            let _ = socket.shutdown(Shutdown::Both);
        }
        for thread in threads {
            let _ = thread.join();
        }
    }

    fn serve(&self, connection: u64, mut socket: TcpStream) -> Result<(), Box<tungstenite::Error>> {
        let io = |error: std::io::Error| Box::new(tungstenite::Error::from(error));
        socket.set_nodelay(true).map_err(io)?;
        let greeting = self
            .shared
            .lock()
            .expect("no panic")
            .script
            .greeting
            .clone();
        let info = match greeting {
            Greeting::Proper => format!("{INFO}\r\n").into_bytes(),
            Greeting::Nats(bytes) => bytes,
            Greeting::Bytes(bytes) => {
                read_request(&mut socket).map_err(io)?;
                return socket.write_all(&bytes).map_err(io);
            }
            Greeting::Endless(line) => {
                read_request(&mut socket).map_err(io)?;
                let head = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
                socket.write_all(&head).map_err(io)?;
                while !self.is_over.load(Ordering::Relaxed) {
                    socket.write_all(line.as_bytes()).map_err(io)?;
                }
                return Ok(());
            }
            Greeting::Frames(bytes) => {
                let accepted = tungstenite::accept(socket);
                let mut websocket =
                    accepted.map_err(|_| Box::new(tungstenite::Error::ConnectionClosed))?;
                return websocket.get_mut().write_all(&bytes).map_err(io);
            }
        };
        let accepted = tungstenite::accept(socket);
        let websocket = accepted.map_err(|_| Box::new(tungstenite::Error::ConnectionClosed))?;
        // Two objects on one socket: one only reads, the other only writes.
        let writing = websocket.get_ref().try_clone().map_err(io)?;
        let (outbox, messages) = channel();
        let _ = outbox.send(info);
        let writer = {
            let shared = Arc::clone(&self.shared);
            std::thread::spawn(move || write_all(writing, &messages, &shared))
        };
        let served = Connection {
            number: connection,
            acceptor: self,
            outbox,
            input: Vec::new(),
        }
        .read_all(websocket);
        let mut shared = self.shared.lock().expect("no panic");
        shared
            .subscriptions
            .retain(|subscription| subscription.connection != connection);
        drop(shared);
        let _ = writer.join();
        served
    }
}

/// Reads up to the end of the request's head.
fn read_request(socket: &mut TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(())
}

/// Writes what is sent to `messages` until all senders are gone or the client is.
fn write_all(socket: TcpStream, messages: &Receiver<Vec<u8>>, shared: &Mutex<Shared>) {
    let n_pings = shared.lock().expect("no panic").script.n_pings;
    let pings = b"PING\r\n".repeat(n_pings);
    let mut websocket = WebSocket::from_raw_socket(socket, Role::Server, None);
    loop {
        let message = match messages.recv_timeout(IDLE_PERIOD) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) if n_pings > 0 => Vec::from(b"PING\r\n"),
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let (delivers_from, has_begun) = {
            let shared = shared.lock().expect("no panic");
            (shared.delivers_from, shared.n_published > 0)
        };
        sleep_until(delivers_from);
        if message.is_empty() {
            // The head of a binary frame of 1,000 bytes, and the first three of them.
            let _ = websocket
                .get_mut()
                .write_all(&[0x82, 126, 3, 0xE8, b'M', b'S', b'G']);
            break;
        }
        // A client that is still connecting is left alone.
        let bytes = if has_begun {
            [&pings[..], &message].concat()
        } else {
            message
        };
        if websocket.send(Message::Binary(bytes.into())).is_err() {
            break;
        }
    }
    // Ends the reading thread, too.
    let _ = websocket.get_mut().shutdown(Shutdown::Both);
}

/// The reading side of one connection.
struct Connection<'a> {
    number: u64,
    acceptor: &'a Acceptor,
    outbox: Sender<Vec<u8>>,
    input: Vec<u8>,
}

impl Connection<'_> {
    fn read_all(
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
                sleep_until(mono_now().plus(nanos(IDLE_PERIOD)));
            }
        }
    }

    fn is_deaf(&self) -> bool {
        let shared = self.acceptor.shared.lock().expect("no panic");
        shared.script.is_deaf
            && shared
                .subscriptions
                .iter()
                .any(|subscription| subscription.connection == self.number)
    }

    /// Does the operation at `start`; returns its length if it is there whole.
    fn one_operation(&self, start: usize) -> Option<usize> {
        let unread = &self.input[start..];
        let line_bytes = unread.windows(2).position(|pair| pair == b"\r\n")?;
        let line = String::from_utf8_lossy(&unread[..line_bytes]).into_owned();
        let mut words = line.split(' ');
        let after_line = line_bytes + 2;
        match words.next()? {
            "PUB" => {
                let subject = words.next().expect("a subject").to_owned();
                let size: usize = words
                    .next_back()
                    .and_then(|n| n.parse().ok())
                    .expect("a size");
                let payload = unread.get(after_line..after_line + size)?.to_vec();
                unread.get(after_line + size..after_line + size + 2)?;
                self.publish(Published { subject, payload });
                return Some(after_line + size + 2);
            }
            "SUB" => {
                let pattern = words
                    .next()
                    .and_then(|text| text.parse().ok())
                    .expect("a pattern");
                let sid = words.next_back().expect("a subscription number").to_owned();
                let mut shared = self.acceptor.shared.lock().expect("no panic");
                shared.subscriptions.push(Subscription {
                    connection: self.number,
                    sid,
                    pattern,
                    outbox: self.outbox.clone(),
                });
            }
            "PING" => {
                let shared = self.acceptor.shared.lock().expect("no panic");
                let is_silent = shared
                    .script
                    .pongs_end_at
                    .is_some_and(|at| shared.n_published >= at);
                drop(shared);
                if !is_silent {
                    let _ = self.outbox.send(Vec::from(b"PONG\r\n"));
                }
            }
            _ => {}
        }
        Some(after_line)
    }

    fn publish(&self, published: Published) {
        let mut shared = self.acceptor.shared.lock().expect("no panic");
        if published.subject.starts_with("_NATSBENCH.") {
            if !shared.script.is_end_dropped {
                shared.deliver(&published);
            }
            return;
        }
        let stop = shared.route(published, &self.outbox);
        self.acceptor
            .n_published
            .store(shared.n_published, Ordering::Relaxed);
        drop(shared);
        if let Some(length) = stop {
            sleep_until(mono_now().plus(nanos(length)));
        }
    }
}
