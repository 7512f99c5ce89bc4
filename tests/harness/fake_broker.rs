//! A scripted fake broker, for what a real nats-server cannot be made to do.
//!
//! It speaks HTTP upgrade, WebSocket (both by tungstenite) and as much NATS as our clients use, on a free port of
//! loopback, and routes like a small core NATS. A [`Script`] says what goes wrong, and when: always at a message
//! number, never at a time, so that a fault hits the same message on every machine. A [`Ledger`] says what it accepted
//! and delivered.
//!
//! One thread reads from each connection and routes; one writes to it. Numbers count `PUB` of rounds (not of control
//! messages) over all connections from 0. Everything ends when the value is dropped.

mod reader;
mod writer;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_tungstenite::tungstenite;

use super::Cut;
use super::eventually;
use super::ledger::Ledger;
use super::routing::{Outgoing, Shared};
use super::script::{Fault, Greeting, Published, Script, Whom};
use reader::Reader;

/// What a real server says first, shortened.
const INFO: &str = r#"INFO {"server_id":"FAKE","server_name":"fake","version":"2.99.0","proto":1,"go":"go","host":"127.0.0.1","port":4222,"headers":true,"max_payload":67108864,"client_id":1}"#;
/// Small buffers of the kernel, so that a reader that stops is felt soon.
const RECEIVE_BUFFER_BYTES: usize = 16 << 10;

/// The fake broker; see the module documentation.
pub(crate) struct FakeBroker {
    port: u16,
    shared: Arc<Mutex<Shared>>,
    sockets: Sockets,
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
        let sockets = Sockets::default();
        let accept = Acceptor {
            shared: Arc::clone(&shared),
            sockets: Arc::clone(&sockets),
            n_published: Arc::clone(&n_published),
            is_over: Arc::clone(&is_over),
        };
        Self {
            port,
            shared,
            sockets,
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

    /// Lets this happen now; [`Whom::Publisher`] means everybody without a subscription.
    pub(crate) fn strike(&self, whom: Whom, fault: &Fault) {
        self.shared.lock().expect("no panic").strike(whom, fault);
    }

    /// How many subscriptions there are now.
    pub(crate) fn n_subscriptions(&self) -> usize {
        self.shared.lock().expect("no panic").subscriptions.len()
    }

    /// Waits until every client has closed its connections, and all that they said was read.
    #[track_caller]
    pub(crate) fn await_clients_gone(&self) {
        eventually("the clients to be gone", || {
            let sockets = self.sockets.lock().expect("no panic");
            sockets.is_empty().then_some(())
        });
    }

    /// What it has accepted and delivered so far.
    pub(crate) fn ledger(&self) -> Ledger {
        self.shared.lock().expect("no panic").ledger.clone()
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

/// A handle of every live connection, the only one beside those of its reader and its writer: a connection that is reset
/// must leave none.
type Sockets = Arc<Mutex<BTreeMap<u64, TcpStream>>>;

#[derive(Clone)]
struct Acceptor {
    shared: Arc<Mutex<Shared>>,
    sockets: Sockets,
    n_published: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

impl Acceptor {
    fn accept_all(self, listener: &TcpListener) {
        let mut threads = Vec::new();
        for connection in 0.. {
            let (socket, _) = listener.accept().expect("a connection");
            if self.is_over.load(Ordering::Relaxed) {
                break;
            }
            if self.shared.lock().expect("no panic").is_door_closed() {
                continue;
            }
            let handle = socket.try_clone().expect("a second handle");
            self.sockets().insert(connection, handle);
            let serving = self.clone();
            threads.push(std::thread::spawn(move || {
                // The client decides when a connection ends, and how; a test looks at what the client saw.
                let _ = serving.serve(connection, socket);
                serving.end(connection, Cut::Fin);
            }));
        }
        let connections: Vec<u64> = self.sockets().keys().copied().collect();
        for connection in connections {
            self.end(connection, Cut::Fin);
        }
        for thread in threads {
            let _ = thread.join();
        }
    }

    fn sockets(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, TcpStream>> {
        self.sockets.lock().expect("no panic")
    }

    /// Ends a connection for both of its threads.
    fn end(&self, connection: u64, cut: Cut) {
        let socket = self.sockets().remove(&connection);
        let Some(socket) = socket else { return };
        // It may have ended by itself; then there is nothing to do.
        let _ = match cut {
            Cut::Fin => socket.shutdown(Shutdown::Both),
            // Says nothing; without time to linger, the last handle that is closed resets.
            Cut::Reset => socket2::SockRef::from(&socket)
                .set_linger(Some(Duration::ZERO))
                .and_then(|()| socket.shutdown(Shutdown::Read)),
        };
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
        let _ = outbox.send(Outgoing::Operations(info));
        self.shared
            .lock()
            .expect("no panic")
            .open(connection, outbox);
        let writer = {
            let acceptor = self.clone();
            std::thread::spawn(move || acceptor.write_all(connection, writing, &messages))
        };
        let served = Reader::new(connection, self).read_all(websocket);
        self.shared.lock().expect("no panic").close(connection);
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
