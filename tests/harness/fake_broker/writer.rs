//! The writing side of one connection of the fake broker.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use natsbench::clock::sleep_until;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use super::{Acceptor, Cut, Outgoing};

/// A script with pings sends one this often when there is nothing else.
const IDLE_PERIOD: Duration = Duration::from_millis(5);

impl Acceptor {
    /// Writes what is sent to `outbox` until all senders are gone or the client is.
    pub(super) fn write_all(
        &self,
        connection: u64,
        socket: TcpStream,
        outbox: &Receiver<Outgoing>,
    ) {
        let n_pings = self.shared.lock().expect("no panic").script.n_pings;
        let pings = b"PING\r\n".repeat(n_pings);
        let mut websocket = WebSocket::from_raw_socket(socket, Role::Server, None);
        loop {
            let outgoing = match outbox.recv_timeout(IDLE_PERIOD) {
                Ok(outgoing) => outgoing,
                Err(RecvTimeoutError::Timeout) if n_pings > 0 => {
                    Outgoing::Operations(b"PING\r\n".to_vec())
                }
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let (delivers_from, has_begun) = {
                let shared = self.shared.lock().expect("no panic");
                (shared.delivers_from, shared.n_published > 0)
            };
            sleep_until(delivers_from);
            let written = match outgoing {
                // A client that is still connecting is left alone.
                Outgoing::Operations(bytes) if has_begun => {
                    websocket.send(Message::Binary([&pings[..], &bytes].concat().into()))
                }
                Outgoing::Operations(bytes) => websocket.send(Message::Binary(bytes.into())),
                Outgoing::Raw(bytes) => websocket.get_mut().write_all(&bytes).map_err(Into::into),
                Outgoing::End(Cut::Fin) => {
                    // The reader goes on until the client has closed, too: to close with something unread would be a
                    // reset.
                    let _ = websocket.get_mut().shutdown(Shutdown::Write);
                    return;
                }
                Outgoing::End(Cut::Reset) => break self.end(connection, Cut::Reset),
            };
            if written.is_err() {
                break;
            }
        }
        // Ends the reading thread, too.
        self.end(connection, Cut::Fin);
    }
}
