//! A TCP proxy that misbehaves on order, in front of a real nats-server.
//!
//! What it does happens on a call, at a count or at a place in the bytes, never at a time. Connections are numbered from
//! 0 in the order in which they were accepted, those that came to nothing included. Everything stops with the proxy,
//! when it is dropped.

mod carrier;
mod door;
mod gate;
mod link;
mod tap;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use carrier::Carrier;
use door::Door;
use gate::Gate;
use link::Link;
pub(crate) use tap::Place;

use super::HeldPort;
use super::scripted_port::answer;

/// Small buffers of the kernel, so that a pause is felt soon.
const RECEIVE_BUFFER_BYTES: usize = 16 << 10;

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
    /// In an orderly way: what was written before still arrives.
    Fin,
    /// By a reset, as a crash or a firewall does it. It may overtake what was written before.
    Reset,
}

#[derive(Default)]
struct Shared {
    up: Gate,
    down: Gate,
    is_over: AtomicBool,
    door: Door,
    /// Those to come are there, too, once something was planned for them.
    links: Mutex<Vec<Arc<Link>>>,
    n_connections: AtomicUsize,
    /// Every so-manieth connection is reset; zero: none is.
    reset_every: AtomicU64,
    n_until_reset: AtomicU64,
    /// What the next connection gets for its request.
    answer: Mutex<Option<Vec<u8>>>,
}

impl Shared {
    fn gate(&self, direction: Direction) -> &Gate {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    fn link(&self, idx: usize) -> Arc<Link> {
        let mut links = self.links.lock().expect("no panic");
        while links.len() <= idx {
            links.push(Arc::default());
        }
        Arc::clone(&links[idx])
    }

    /// All connections so far.
    fn all(&self) -> Vec<Arc<Link>> {
        self.links.lock().expect("no panic").clone()
    }

    /// Whether it is the turn of this connection to be reset.
    fn is_reset_due(&self) -> bool {
        let every = self.reset_every.load(Ordering::SeqCst);
        if every == 0 {
            return false;
        }
        let n_left = self.n_until_reset.fetch_sub(1, Ordering::SeqCst) - 1;
        if n_left == 0 {
            self.n_until_reset.store(every, Ordering::SeqCst);
        }
        n_left == 0
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
        let port = HeldPort::new();
        let number = port.number();
        let listener = listen(&port);
        let shared = Arc::new(Shared::default());
        let acceptor = Acceptor {
            port,
            broker_port,
            shared: Arc::clone(&shared),
            threads: Vec::new(),
        };
        Self {
            port: number,
            shared,
            accepting: Some(std::thread::spawn(move || acceptor.accept_all(listener))),
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
        self.shared.gate(direction).set_delay(delay);
    }

    /// Each connection passes so many bytes a second that way.
    pub(crate) fn throttle(&self, direction: Direction, bytes_per_s: u64) {
        self.shared.gate(direction).set_bytes_per_s(bytes_per_s);
    }

    /// Swallows everything that way, ends of connections included, on new connections, too; nobody is told.
    pub(crate) fn black_hole(&self, direction: Direction) {
        self.shared.gate(direction).set_black_hole(true);
    }

    /// New connections work again. Those that have had something swallowed stay dead that way.
    pub(crate) fn end_black_hole(&self, direction: Direction) {
        self.shared.gate(direction).set_black_hole(false);
    }

    /// How many bytes have come that way.
    pub(crate) fn n_bytes(&self, direction: Direction) -> u64 {
        self.shared.gate(direction).n_bytes()
    }

    /// How many connections were accepted.
    pub(crate) fn n_connections(&self) -> usize {
        self.shared.n_connections.load(Ordering::SeqCst)
    }

    /// How many NATS messages have passed whole that way, on all connections. A reset may have kept the last ones from
    /// arriving.
    pub(crate) fn n_messages(&self, direction: Direction) -> u64 {
        let links = self.shared.all();
        let counts = links.iter().map(|link| &link.way(direction).n_messages);
        counts.map(|count| count.load(Ordering::SeqCst)).sum()
    }

    /// How many of them on connection `idx`.
    pub(crate) fn n_messages_of(&self, idx: usize, direction: Direction) -> u64 {
        let link = self.shared.link(idx);
        link.way(direction).n_messages.load(Ordering::SeqCst)
    }

    /// Cuts connection `idx`.
    pub(crate) fn cut(&self, idx: usize, cut: Cut) {
        let n_connections = self.n_connections();
        assert!(idx < n_connections, "there are {n_connections} connections");
        self.shared.link(idx).cut(cut);
    }

    /// Cuts connection `idx`, which need not be open yet, at this place.
    pub(crate) fn cut_at(&self, idx: usize, direction: Direction, place: Place, cut: Cut) {
        let link = self.shared.link(idx);
        *link.way(direction).cut.lock().expect("no panic") = Some((place, cut));
    }

    /// Cuts all connections.
    pub(crate) fn break_all(&self, cut: Cut) {
        for idx in 0..self.n_connections() {
            self.shared.link(idx).cut(cut);
        }
    }

    /// On connection `idx`, the receiver of this direction is told that there is no more, and the sender is not. The
    /// other direction goes on.
    pub(crate) fn half_close(&self, idx: usize, direction: Direction) {
        self.shared.link(idx).half_close(direction);
    }

    /// From now on, every so-manieth new connection is reset right after it was accepted; with zero, none is any more.
    pub(crate) fn reset_every(&self, every: u64) {
        self.shared.n_until_reset.store(every, Ordering::SeqCst);
        self.shared.reset_every.store(every, Ordering::SeqCst);
    }

    /// The next connection gets these bytes for its request, and ends.
    pub(crate) fn answer_next(&self, bytes: impl Into<Vec<u8>>) {
        *self.shared.answer.lock().expect("no panic") = Some(bytes.into());
    }

    /// New connections are refused when this returns; those that there are go on.
    pub(crate) fn refuse(&self) {
        self.shared.door.close(|| self.knock());
    }

    /// New connections are accepted again when this returns.
    pub(crate) fn accept(&self) {
        self.shared.door.open();
    }

    /// Makes the accepting thread look.
    fn knock(&self) {
        // It may have looked by itself.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared.door.let_go();
        self.resume(Direction::Up);
        self.resume(Direction::Down);
        self.knock();
        if let Some(accepting) = self.accepting.take() {
            // A panic in it has already failed the test by what the client saw.
            let _ = accepting.join();
        }
    }
}

fn listen(port: &HeldPort) -> TcpListener {
    let listener = port.listen();
    // What is accepted inherits it.
    socket2::SockRef::from(&listener)
        .set_recv_buffer_size(RECEIVE_BUFFER_BYTES)
        .expect("a small receive buffer");
    listener
}

/// The accepting thread.
struct Acceptor {
    port: HeldPort,
    broker_port: u16,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Acceptor {
    fn accept_all(mut self, mut listener: TcpListener) {
        loop {
            let (client, _) = listener.accept().expect("a connection");
            if self.shared.is_over.load(Ordering::SeqCst) {
                break;
            }
            if self.shared.door.is_closing() {
                reset(client);
                drop(listener);
                if !self.shared.door.stay_closed() {
                    break;
                }
                listener = listen(&self.port);
                self.shared.door.has_opened();
                continue;
            }
            self.serve(client);
        }
        for link in self.shared.all() {
            link.end();
        }
        for thread in self.threads {
            let _ = thread.join();
        }
    }

    fn serve(&mut self, client: TcpStream) {
        let idx = self.shared.n_connections.load(Ordering::SeqCst);
        let link = self.shared.link(idx);
        if self.shared.is_reset_due() {
            reset(client);
        } else if let Some(bytes) = self.shared.answer.lock().expect("no panic").take() {
            // On a thread of its own, so that others need not wait for its request.
            self.threads
                .push(std::thread::spawn(move || answer(client, &bytes)));
        } else if let Ok(broker) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.broker_port)) {
            link.open(&client, &broker);
            self.carry(&link, Direction::Up, &client, &broker);
            self.carry(&link, Direction::Down, &broker, &client);
        }
        // A broker that is gone is a connection that ends at once.
        self.shared.n_connections.store(idx + 1, Ordering::SeqCst);
    }

    fn carry(&mut self, link: &Arc<Link>, direction: Direction, from: &TcpStream, to: &TcpStream) {
        let carrier = Carrier {
            shared: Arc::clone(&self.shared),
            link: Arc::clone(link),
            direction,
        };
        let [from, to] = [from, to].map(|socket| socket.try_clone().expect("a second handle"));
        self.threads
            .push(std::thread::spawn(move || carrier.carry(from, to)));
    }
}

/// Ends a connection by a reset.
fn reset(socket: TcpStream) {
    // A connection that has ended needs none.
    let _ = socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO));
    drop(socket);
}
