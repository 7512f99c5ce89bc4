//! What a broker knows of its clients: ready signals for tests, read from its monitoring endpoint.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use super::{Broker, eventually};

impl Broker {
    /// A broker with a WebSocket listener and a monitoring endpoint.
    pub(crate) fn monitored() -> Self {
        Self::builder().monitored().start()
    }

    /// `http://127.0.0.1:<port>` of its monitoring endpoint.
    pub(crate) fn monitoring_url(&self) -> String {
        self.url("monitoring")
    }

    /// What `/connz` says.
    pub(crate) fn connections(&self) -> Vec<Value> {
        let address = self.url("monitoring").replace("http://", "");
        let mut stream = TcpStream::connect(&address).expect("the monitoring endpoint listens");
        // HTTP/1.0, so that the answer does not come in chunks.
        write!(stream, "GET /connz HTTP/1.0\r\nHost: {address}\r\n\r\n")
            .expect("the request is short");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("an answer in UTF-8");
        let body = answer.split_once("\r\n\r\n").expect("an HTTP answer").1;
        let connz: Value = serde_json::from_str(body).expect("JSON");
        connz["connections"].as_array().cloned().unwrap_or_default()
    }

    /// Messages that the clients which are still connected have published.
    pub(crate) fn n_published(&self) -> u64 {
        self.sum("in_msgs")
    }

    fn sum(&self, counter: &str) -> u64 {
        let connections = self.connections();
        let counts = connections.iter().map(|one| one[counter].as_u64());
        counts.map(Option::unwrap_or_default).sum()
    }

    /// Waits until clients have so many subscriptions; a `sub` has one more than it was given, for end-of-run messages.
    #[track_caller]
    pub(crate) fn await_subscriptions(&self, n_subscriptions: u64) {
        eventually("subscriptions", || {
            (self.sum("subscriptions") >= n_subscriptions).then_some(())
        });
    }

    /// Waits until clients have published so many messages.
    #[track_caller]
    pub(crate) fn await_published(&self, n_messages: u64) {
        eventually("published messages", || {
            (self.n_published() >= n_messages).then_some(())
        });
    }
}
