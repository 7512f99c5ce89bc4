//! A port of loopback that belongs to a test while nothing listens on it.
//!
//! A socket that is bound and does not listen refuses connections, and keeps the port from being given to anybody else,
//! as the number of a listener or of an outgoing connection. Whoever binds to it by its number, with the address reusable
//! as Rust and Go have it, gets it all the same. So a server can end and come back on its port at any time.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

/// The port; it is free again when this is dropped and no longer listened on.
#[derive(Debug)]
pub(crate) struct HeldPort {
    socket: Socket,
}

impl HeldPort {
    /// A port that nobody has.
    pub(crate) fn new() -> Self {
        let socket =
            Socket::new(Domain::IPV4, Type::STREAM, None).expect("the machine gives sockets");
        socket
            .set_reuse_address(true)
            .expect("an option of every socket");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).expect("a free port");
        Self { socket }
    }

    /// Its number.
    pub(crate) fn number(&self) -> u16 {
        let address = self.socket.local_addr().expect("a bound socket");
        address.as_socket().expect("an internet address").port()
    }

    /// Listens on it; when the listener is dropped, connections are refused again.
    pub(crate) fn listen(&self) -> TcpListener {
        TcpListener::bind((Ipv4Addr::LOCALHOST, self.number())).expect("the port is ours")
    }
}
