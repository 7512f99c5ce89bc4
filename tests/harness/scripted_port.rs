//! A TCP port that does with each connection what a test says: for what no real server can be made to do.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Nothing that a test writes or waits for on such a connection takes longer.
const IO_TIMEOUT: Duration = Duration::from_secs(30);

/// Takes a request and answers it with these bytes, whatever it was.
pub(super) fn answer(mut stream: TcpStream, bytes: &[u8]) {
    let mut request = [0; 4096];
    // Whoever hangs up early gets no answer.
    let _ = stream.read(&mut request);
    let _ = stream.write_all(bytes);
}

/// A listening port of loopback; it stops listening when it is dropped.
pub(crate) struct ScriptedPort {
    address: SocketAddr,
    n_connections: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl ScriptedPort {
    /// Handles each connection on a thread of its own; the connection ends when the handler returns.
    pub(crate) fn start(handler: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self::on(listener, handler)
    }

    /// The same on a port right beside another one; `None` if those are taken.
    pub(crate) fn start_beside(
        port: u16,
        handler: impl Fn(TcpStream) + Send + Sync + 'static,
    ) -> Option<Self> {
        let mut ports = [port + 1, port - 1, port + 2, port - 2].into_iter();
        let listener = ports.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())?;
        Some(Self::on(listener, handler))
    }

    fn on(listener: TcpListener, handler: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().expect("a bound address");
        let n_connections = Arc::new(AtomicUsize::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let (counter, over, handler) = (
            Arc::clone(&n_connections),
            Arc::clone(&is_over),
            Arc::new(handler),
        );
        thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                counter.fetch_add(1, Ordering::SeqCst);
                let handler = Arc::clone(&handler);
                stream
                    .set_read_timeout(Some(IO_TIMEOUT))
                    .and_then(|()| stream.set_write_timeout(Some(IO_TIMEOUT)))
                    .expect("time limits of a socket");
                thread::spawn(move || handler(stream));
            }
        });
        Self {
            address,
            n_connections,
            is_over,
        }
    }

    /// Answers every request with these bytes, and closes the connection.
    pub(crate) fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |stream| answer(stream, &bytes))
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// `ws://127.0.0.1:<port>`.
    pub(crate) fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// How many connections there were.
    pub(crate) fn n_connections(&self) -> usize {
        self.n_connections.load(Ordering::SeqCst)
    }
}

impl Drop for ScriptedPort {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then closes the listener.
        let _ = TcpStream::connect(self.address);
    }
}
