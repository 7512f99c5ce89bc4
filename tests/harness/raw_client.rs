//! A client of the NATS port that says what a test writes: publishers, members of queue groups, requests to JetStream.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use natsbench::clock::{mono_now, sleep_until};
use serde_json::Value;

use super::{Broker, DEADLINE};

/// A logged-in connection to the client port.
pub(crate) struct RawClient {
    reader: BufReader<TcpStream>,
    info: Value,
}

impl RawClient {
    /// Logs in; `connect` holds further fields of CONNECT, such as `"user":"feed","pass":"feed"`.
    pub(crate) fn login(broker: &Broker, connect: &str) -> Self {
        let stream =
            TcpStream::connect(("127.0.0.1", broker.client_port())).expect("the client port");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a time limit");
        let comma = if connect.is_empty() { "" } else { "," };
        let mut client = Self {
            reader: BufReader::new(stream),
            info: Value::Null,
        };
        let info = client.line(|line| line.starts_with("INFO "));
        client.info = serde_json::from_str(&info["INFO ".len()..]).expect("INFO is JSON");
        client.say(&format!(
            "CONNECT {{\"verbose\":false,\"headers\":true,\"no_responders\":true{comma}{connect}}}\r\n"
        ));
        client.settle();
        client
    }

    /// What the broker has said of itself.
    pub(crate) fn into_info(self) -> Value {
        self.info
    }

    /// The id of the broker.
    pub(crate) fn server_id(&self) -> &str {
        self.info["server_id"].as_str().expect("an id")
    }

    /// Sends operations as they are.
    pub(crate) fn say(&mut self, operations: &str) {
        let stream = self.reader.get_mut();
        stream
            .write_all(operations.as_bytes())
            .expect("the broker reads");
    }

    /// Waits until the broker has done everything that was said, and took it without a complaint.
    pub(crate) fn settle(&mut self) {
        self.say("PING\r\n");
        self.line(|line| {
            assert!(!line.starts_with("-ERR"), "{line}");
            line == "PONG"
        });
    }

    /// What comes next, for somebody who reads it himself.
    pub(super) fn into_reader(self) -> BufReader<TcpStream> {
        self.reader
    }

    /// Publishes.
    pub(crate) fn publish(&mut self, subject: &str, payload: &str) {
        self.say(&format!("PUB {subject} {}\r\n{payload}\r\n", payload.len()));
    }

    /// A request, and the payload of the first answer.
    pub(crate) fn request(&mut self, subject: &str, payload: &str) -> String {
        self.say("SUB _INBOX.raw 1\r\nUNSUB 1 1\r\n");
        self.say(&format!(
            "PUB {subject} _INBOX.raw {}\r\n{payload}\r\n",
            payload.len()
        ));
        let line = self.line(|line| line.starts_with("MSG ") || line.starts_with("HMSG "));
        let size = line.rsplit(' ').next().and_then(|n| n.parse().ok());
        let mut answer = vec![0; size.expect("a size")];
        self.reader
            .read_exact(&mut answer)
            .expect("the whole answer");
        String::from_utf8(answer).expect("text")
    }

    /// Makes a stream.
    pub(crate) fn add_stream(&mut self, name: &str, config: &str) {
        let answer = self.request(
            &format!("$JS.API.STREAM.CREATE.{name}"),
            &format!("{{\"name\":\"{name}\",{config}}}"),
        );
        assert!(!answer.contains("\"error\""), "{answer}");
    }

    /// Stores a message in a stream.
    pub(crate) fn store(&mut self, subject: &str, payload: &str) {
        let answer = self.request(subject, payload);
        assert!(answer.contains("\"seq\""), "{answer}");
    }

    fn line(&mut self, is_it: impl Fn(&str) -> bool) -> String {
        loop {
            let mut line = String::new();
            let n_bytes = self.reader.read_line(&mut line).expect("a line");
            assert!(n_bytes > 0, "the broker closed the connection");
            let line = line.trim_end();
            if line == "PING" {
                self.say("PONG\r\n");
            } else if is_it(line) {
                return line.to_owned();
            }
        }
    }
}

/// A publisher that goes on until it is dropped.
pub(crate) struct Feed {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Feed {
    /// Publishes this payload every `period`.
    pub(crate) fn start(client: RawClient, subject: &str, payload: &str, period: Duration) -> Self {
        let operation = format!("PUB {subject} {}\r\n{payload}\r\n", payload.len());
        Self::repeat(client, operation, period)
    }

    /// Says the same every `period`.
    pub(crate) fn repeat(mut client: RawClient, operation: String, period: Duration) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let period_ns = u64::try_from(period.as_nanos()).expect("less than centuries");
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                client.say(&operation);
                client.settle();
                sleep_until(mono_now().plus(period_ns));
            }
        });
        Self {
            is_over,
            thread: Some(thread),
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in it means that the broker was gone before.
            let _ = thread.join();
        }
    }
}
