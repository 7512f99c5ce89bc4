//! What a TCP connection can show.

use crate::doctor::code::Code;
use crate::results::doctor::Severity;

pub(super) const REFUSED: Code = Code {
    name: "tcp.refused",
    severity: Severity::Error,
    meaning: "Nothing listens on the port: the connection was refused.",
    cause: "nats-server is not running, refused to start (a `websocket` block without TLS needs `no_tls: true`), or listens on another port; the port of a container is not published.",
    fix: "Start nats-server, or use the port that its log names in `Listening for websocket clients on`.",
};

pub(super) const OTHER_FAMILY: Code = Code {
    name: "tcp.other-family",
    severity: Severity::Error,
    meaning: "The server listens on IPv4 only and the URL goes to IPv6, or the other way round.",
    cause: "The connection to the URL's address is refused, and the other loopback address answers on the same port.",
    fix: "Let the server listen on both (`host: \"::\"`), or put the address that answers into the URL.",
};

pub(super) const OTHER_ADDRESS: Code = Code {
    name: "tcp.other-address",
    severity: Severity::Error,
    meaning: "The server listens on another address of this machine than the URL's, such as loopback only.",
    cause: "The connection to the URL's address is refused, and another address of the same machine answers on the same port.",
    fix: "Let the server listen on all addresses (`host: \"::\"`), or put the address that answers into the URL.",
};

pub(super) const WRONG_PORT: Code = Code {
    name: "tcp.wrong-port",
    severity: Severity::Error,
    meaning: "Nothing listens on the URL's port, but another port of the host serves NATS over WebSocket.",
    cause: "The URL names an old or mistyped port, or the server was started with another configuration. The right port is named by the monitoring port, or was found by asking.",
    fix: "Use the port that is named, or change `port` in the `websocket` block.",
};

pub(super) const NOT_CONFIGURED: Code = Code {
    name: "websocket.not-configured",
    severity: Severity::Error,
    meaning: "nats-server runs, but has no WebSocket listener.",
    cause: "Its configuration has no `websocket` block, or it was not restarted after the block was added: a reload does not enable it. The client port answers, and nothing listens on the URL's port.",
    fix: "Add `websocket { port: 8443, no_tls: true }` (or `tls`) to the configuration, and restart nats-server.",
};

pub(super) const TIMED_OUT: Code = Code {
    name: "tcp.timeout",
    severity: Severity::Error,
    meaning: "The connection is not answered at all.",
    cause: "A firewall or security group drops the packets, or the address belongs to no running machine.",
    fix: "Open the port in the firewall, or correct the address.",
};

pub(super) const UNREACHABLE: Code = Code {
    name: "tcp.unreachable",
    severity: Severity::Error,
    meaning: "There is no way to the address.",
    cause: "The network or its route is down, this machine has no network of that address family, or a firewall rejects the connection.",
    fix: "Check the network of this machine and the address.",
};

pub(super) const SOME_ADDRESSES: Code = Code {
    name: "tcp.some-addresses",
    severity: Severity::Warning,
    meaning: "The host has several addresses, and not all of them take connections.",
    cause: "The server listens on one address family only, one of several machines is down, or DNS names an address that is no longer in use.",
    fix: "Let the server listen on every address of the name, or take the dead address out of DNS.",
};
