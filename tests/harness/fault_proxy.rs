//! A TCP proxy that misbehaves on order, in front of a real nats-server.
//!
//! Each direction of each connection has a thread that reads and one that writes, with a bounded queue between them, so
//! that a delay costs no throughput while a pause is felt by the sender as soon as queue and buffers are full. Both
//! stop with the proxy, which ends everything when it is dropped.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use natsbench::clock::{MonoNanos, mono_now, sleep_until};

/// Small buffers of the kernel and few chunks in the queue, so that a pause is felt soon.
const RECEIVE_BUFFER_BYTES: usize = 16 << 10;
const CHUNK_BYTES: usize = 8 << 10;
const QUEUED_CHUNKS: usize = 4;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client to the broker.
    Up,
    /// From the broker to the client.
    Down,
}

/// How a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// In an orderly way.
    Fin,
    /// By a reset, as a crash or a firewall does it.
    Reset,
}

#[derive(Default)]
struct Gate {
    is_closed: Mutex<bool>,
    changed: Condvar,
    delay_ns: AtomicU64,
    n_bytes: AtomicU64,
}

impl Gate {
    fn set_closed(&self, is_closed: bool) {
        *self.is_closed.lock().expect("no panic") = is_closed;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let is_closed = self.is_closed.lock().expect("no panic");
        drop(self.changed.wait_while(is_closed, |is_closed| *is_closed));
    }
}

#[derive(Default)]
struct Shared {
    up: Gate,
    down: Gate,
    is_over: AtomicBool,
    /// In the order in which they came.
    connections: Mutex<Vec<Connection>>,
}

struct Connection {
    /// Client and broker side; taken when it is cut.
    sides: Option<[TcpStream; 2]>,
    /// Nothing is said at the end, so that closing the last handle resets the connection.
    is_reset: Arc<AtomicBool>,
}

impl Shared {
    fn gate(&self, direction: Direction) -> &Gate {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    fn cut(&self, idx: usize, cut: Cut) {
        let mut connections = self.connections.lock().expect("no panic");
        let connection = connections
            .get_mut(idx)
            .expect("there are so many connections");
        connection
            .is_reset
            .store(cut == Cut::Reset, Ordering::Relaxed);
        for socket in connection.sides.take().into_iter().flatten() {
            // It may have ended by itself; then there is nothing to do.
            let _ = match cut {
                Cut::Fin => socket.shutdown(Shutdown::Both),
                // Ends our own threads and says nothing; without time to linger, the close behind it resets.
                Cut::Reset => socket2::SockRef::from(&socket)
                    .set_linger(Some(Duration::ZERO))
                    .and_then(|()| socket.shutdown(Shutdown::Read)),
            };
        }
    }
}

/// The proxy; see the module documentation.
pub(crate) struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl FaultProxy {
    /// A proxy to this port of loopback; it listens when this returns.
    pub(crate) fn to(broker_port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        // What is accepted inherits it.
        socket2::SockRef::from(&listener)
            .set_recv_buffer_size(RECEIVE_BUFFER_BYTES)
            .expect("a small receive buffer");
        let port = listener.local_addr().expect("a bound socket").port();
        let shared = Arc::new(Shared::default());
        let accepting = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || accept_all(&listener, broker_port, &shared))
        };
        Self {
            port,
            shared,
            accepting: Some(accepting),
        }
    }

    /// `ws://127.0.0.1:<port>`.
    pub(crate) fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Holds everything back that way.
    pub(crate) fn pause(&self, direction: Direction) {
        self.shared.gate(direction).set_closed(true);
    }

    /// Lets everything go again.
    pub(crate) fn resume(&self, direction: Direction) {
        self.shared.gate(direction).set_closed(false);
    }

    /// Every byte that way is underway for at least so much longer.
    pub(crate) fn delay(&self, direction: Direction, delay: Duration) {
        let delay_ns = u64::try_from(delay.as_nanos()).expect("a delay of less than centuries");
        self.shared
            .gate(direction)
            .delay_ns
            .store(delay_ns, Ordering::Relaxed);
    }

    /// How many bytes have come that way.
    pub(crate) fn n_bytes(&self, direction: Direction) -> u64 {
        self.shared.gate(direction).n_bytes.load(Ordering::Relaxed)
    }

    /// Cuts connection `idx`, in the order in which they were opened.
    pub(crate) fn cut(&self, idx: usize, cut: Cut) {
        self.shared.cut(idx, cut);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.resume(Direction::Up);
        self.resume(Direction::Down);
        // Wakes the accepting thread, which then sees that it is over.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(accepting) = self.accepting.take() {
            // A panic in it has already failed the test by what the client saw.
            let _ = accepting.join();
        }
    }
}

fn accept_all(listener: &TcpListener, broker_port: u16, shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    loop {
        let (client, _) = listener.accept().expect("a connection");
        if shared.is_over.load(Ordering::Relaxed) {
            break;
        }
        // A broker that is gone is a connection that ends at once.
        let Ok(broker) = TcpStream::connect((Ipv4Addr::LOCALHOST, broker_port)) else {
            continue;
        };
        let clone = |socket: &TcpStream| {
            socket.set_nodelay(true).expect("a live socket");
            socket.try_clone().expect("a second handle")
        };
        let sides = Some([clone(&client), clone(&broker)]);
        let is_reset = Arc::new(AtomicBool::new(false));
        let mut start = |direction, from: &TcpStream, to: &TcpStream| {
            let carrier = Carrier {
                shared: Arc::clone(shared),
                direction,
                is_reset: Arc::clone(&is_reset),
            };
            let (from, to) = (clone(from), clone(to));
            threads.push(std::thread::spawn(move || carrier.carry(from, to)));
        };
        start(Direction::Up, &client, &broker);
        start(Direction::Down, &broker, &client);
        shared
            .connections
            .lock()
            .expect("no panic")
            .push(Connection { sides, is_reset });
    }
    let n_connections = shared.connections.lock().expect("no panic").len();
    for idx in 0..n_connections {
        shared.cut(idx, Cut::Fin);
    }
    for thread in threads {
        let _ = thread.join();
    }
}

/// Carries bytes one way until the connection ends.
#[derive(Clone)]
struct Carrier {
    shared: Arc<Shared>,
    direction: Direction,
    is_reset: Arc<AtomicBool>,
}

impl Carrier {
    fn carry(self, mut from: TcpStream, to: TcpStream) {
        let (queue, chunks) = sync_channel(QUEUED_CHUNKS);
        let writer = {
            let carrier = self.clone();
            std::thread::spawn(move || carrier.write(&chunks, to))
        };
        let gate = self.shared.gate(self.direction);
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(n @ 1..) = from.read(&mut chunk) {
            gate.n_bytes.fetch_add(n as u64, Ordering::Relaxed);
            let due = mono_now().plus(gate.delay_ns.load(Ordering::Relaxed));
            if queue.send((due, chunk[..n].to_vec())).is_err() {
                break;
            }
        }
        drop(queue);
        let _ = writer.join();
        if !self.is_reset.load(Ordering::Relaxed) {
            // The sender learns that nobody takes any more.
            let _ = from.shutdown(Shutdown::Read);
        }
    }

    fn write(&self, chunks: &Receiver<(MonoNanos, Vec<u8>)>, mut to: TcpStream) {
        while let Ok((due, chunk)) = chunks.recv() {
            sleep_until(due);
            self.shared.gate(self.direction).pass();
            if to.write_all(&chunk).is_err() {
                return;
            }
        }
        if !self.is_reset.load(Ordering::Relaxed) {
            // The other side learns that there is no more.
            let _ = to.shutdown(Shutdown::Write);
        }
    }
}
