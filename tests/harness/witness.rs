//! A witness: a subscriber that is not natsbench, straight at the broker, and notes which messages it got.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::{Broker, RawClient, Tally, eventually};

/// The subscriber; see the module documentation. It ends with its broker's connection, and does not come back.
pub(crate) struct Witness {
    tally: Arc<Mutex<Tally>>,
    socket: TcpStream,
    thread: Option<JoinHandle<()>>,
}

impl Witness {
    /// Subscribes to these subjects; the broker has the subscription when this returns.
    pub(crate) fn start(broker: &Broker, pattern: &str) -> Self {
        Self::login(broker, "", pattern)
    }

    /// The same with further fields of CONNECT.
    pub(crate) fn login(broker: &Broker, connect: &str, pattern: &str) -> Self {
        let mut client = RawClient::login(broker, connect);
        client.say(&format!("SUB {pattern} 1\r\n"));
        client.settle();
        let reader = client.into_reader();
        let socket = reader.get_ref().try_clone().expect("a second handle");
        // Nothing comes for as long as the test takes; dropping the value ends the wait.
        socket.set_read_timeout(None).expect("a live socket");
        let tally = Arc::new(Mutex::new(Tally::default()));
        let noted = Arc::clone(&tally);
        let thread = std::thread::spawn(move || {
            // The end of the connection ends it.
            let _ = note(reader, &noted);
        });
        Self {
            tally,
            socket,
            thread: Some(thread),
        }
    }

    /// What it got so far.
    pub(crate) fn tally(&self) -> Tally {
        self.tally.lock().expect("no panic").clone()
    }

    /// Waits until it has got so many different measured messages; the test fails as well when there are more.
    #[track_caller]
    pub(crate) fn await_measured(&self, n_messages: u64) -> Tally {
        eventually("the witness to have got as many", || {
            (self.tally().n_measured() >= n_messages).then_some(())
        });
        let tally = self.tally();
        assert_eq!(tally.n_measured(), n_messages, "of the witness");
        tally
    }
}

/// Notes every message, and answers pings, until the connection ends.
fn note(mut reader: BufReader<TcpStream>, tally: &Mutex<Tally>) -> std::io::Result<()> {
    use std::io::Write as _;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        if line == "PING" {
            reader.get_mut().write_all(b"PONG\r\n")?;
        } else if line.starts_with("MSG ") || line.starts_with("HMSG ") {
            let mut words = line.rsplit(' ');
            let size: usize = words.next().and_then(|n| n.parse().ok()).expect("a size");
            let is_headed = line.starts_with('H');
            let n_header_bytes: usize = if is_headed {
                words.next().and_then(|n| n.parse().ok()).expect("a size")
            } else {
                0
            };
            let mut payload = vec![0; size + 2];
            reader.read_exact(&mut payload)?;
            let message = &payload[n_header_bytes..size];
            tally.lock().expect("no panic").add(message);
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            // A panic in it has already failed the test by what was not noted.
            let _ = thread.join();
        }
    }
}
