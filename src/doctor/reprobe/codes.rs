//! What can be behind a port that does not answer the upgrade in HTTP. The check `greeting` lists these codes.

use crate::doctor::code::Code;
use crate::results::doctor::Severity;

/// All of them.
pub(crate) const ALL: [&Code; 22] = [
    &CLIENT,
    &CLIENT_TLS_FIRST,
    &ROUTE,
    &LEAFNODE,
    &GATEWAY,
    &SSH,
    &OTHER_PROTOCOL,
    &MQTT,
    &TLS,
    &NATS_SCHEME,
    &MONITORING,
    &NO_BACKEND,
    &HANGS_UP,
    &FLAPPING,
    &FROZEN,
    &SILENT,
    &PROXY_PROTOCOL,
    &PROXY_TO_CLIENT,
    &PROXY_TO_OTHER,
    &HTTP2_ONLY,
    &CUT_ANSWER,
    &BLOCKS_UPGRADE,
];

pub(crate) const CLIENT: Code = Code {
    name: "port.client",
    severity: Severity::Error,
    meaning: "The URL says WebSocket, but goes to the plain NATS client port (usually 4222).",
    cause: "The server begins with INFO before it was asked anything, which is what a NATS client port does. A WebSocket port waits for HTTP.",
    fix: "Use the port of the `websocket` block; the server's log names it in `Listening for websocket clients on`.",
};

pub(crate) const CLIENT_TLS_FIRST: Code = Code {
    name: "port.client-tls-first",
    severity: Severity::Error,
    meaning: "The port is a NATS client port that wants TLS before anything else (`handshake_first`).",
    cause: "It says nothing without TLS, and INFO comes inside TLS.",
    fix: "Use the port of the `websocket` block, or for the client port a `tls://` URL with `--tlsfirst`.",
};

pub(crate) const ROUTE: Code = Code {
    name: "port.route",
    severity: Severity::Error,
    meaning: "The URL goes to the cluster port (usually 6222), where servers talk to each other.",
    cause: "The INFO of the port has `route_pool_size` and `ws_connect_urls`, which only that of routes has.",
    fix: "Use the port of the `websocket` block; the INFO of the cluster port names it.",
};

pub(crate) const LEAFNODE: Code = Code {
    name: "port.leafnode",
    severity: Severity::Error,
    meaning: "The URL goes to the leafnode port (usually 7422), where other servers connect.",
    cause: "The INFO of the port has `info_on_connect`, which only that of leafnode ports has.",
    fix: "Use the port of the `websocket` block.",
};

pub(crate) const GATEWAY: Code = Code {
    name: "port.gateway",
    severity: Severity::Error,
    meaning: "The URL goes to the gateway port (usually 7222), where other clusters connect.",
    cause: "The INFO of the port has `gateway_urls`, which only that of gateway ports has.",
    fix: "Use the port of the `websocket` block.",
};

pub(crate) const SSH: Code = Code {
    name: "port.ssh",
    severity: Severity::Error,
    meaning: "The URL goes to an SSH server.",
    cause: "The port begins with `SSH-`.",
    fix: "Correct the port of the URL.",
};

pub(crate) const OTHER_PROTOCOL: Code = Code {
    name: "port.other-protocol",
    severity: Severity::Error,
    meaning: "Something that is not NATS listens on the port.",
    cause: "The port speaks another protocol, such as that of a mail server or a database.",
    fix: "Correct host and port of the URL.",
};

pub(crate) const MQTT: Code = Code {
    name: "port.mqtt",
    severity: Severity::Error,
    meaning: "The URL goes to an MQTT port (usually 1883).",
    cause: "The port hangs up on HTTP and answers an MQTT CONNECT with CONNACK.",
    fix: "Use the port of the `websocket` block.",
};

pub(crate) const TLS: Code = Code {
    name: "port.tls",
    severity: Severity::Error,
    meaning: "The port speaks TLS, and the URL says that there is none.",
    cause: "The port hangs up on plain HTTP, or answers it with a TLS alert, and takes a TLS handshake.",
    fix: "Write `wss://` in the URL.",
};

pub(crate) const NATS_SCHEME: Code = Code {
    name: "url.nats-scheme-on-websocket-port",
    severity: Severity::Error,
    meaning: "The URL says `nats://` or `tls://`, but goes to a WebSocket port.",
    cause: "The port waits for the client to speak, and answers a WebSocket upgrade.",
    fix: "Write `ws://` or `wss://` in the URL, or use the client port (usually 4222).",
};

pub(crate) const MONITORING: Code = Code {
    name: "port.monitoring",
    severity: Severity::Error,
    meaning: "The URL says `nats://` or `tls://`, but goes to the HTTP monitoring port (usually 8222).",
    cause: "The port answers `GET /varz` with the state of the server.",
    fix: "Use the client port (usually 4222) or the WebSocket port; the monitoring port names both.",
};

pub(crate) const NO_BACKEND: Code = Code {
    name: "port.no-backend",
    severity: Severity::Error,
    meaning: "Something takes the connection and ends it without an answer.",
    cause: "A load balancer, tunnel or published container port without anything alive behind it, usually; sometimes a list of refused addresses.",
    fix: "Start what is behind that port, or correct the address that it passes connections on to.",
};

pub(crate) const HANGS_UP: Code = Code {
    name: "port.hangs-up",
    severity: Severity::Error,
    meaning: "Something reads the request and hangs up without an answer.",
    cause: "The port keeps a connection on which nothing is said, and closes one that speaks HTTP: what listens there speaks another protocol, or a filter in between refuses the request.",
    fix: "Correct the port of the URL, or look at what listens there (`ss -ltnp`).",
};

pub(crate) const FLAPPING: Code = Code {
    name: "port.flapping",
    severity: Severity::Error,
    meaning: "One attempt gets no answer and the next one does.",
    cause: "A load balancer has several servers behind it and one of them is dead, or the server was just starting.",
    fix: "Take the dead server out of the load balancer, or give it a health check.",
};

pub(crate) const FROZEN: Code = Code {
    name: "port.frozen",
    severity: Severity::Error,
    meaning: "The server is stopped: the system takes connections for it, and it never answers.",
    cause: "The process was stopped by a signal, its container is paused, or the machine is out of memory and swaps. Its client port is as silent as the WebSocket port.",
    fix: "Let the process go on (`kill -CONT PID`, `docker unpause NAME`), or restart it.",
};

pub(crate) const SILENT: Code = Code {
    name: "port.silent",
    severity: Severity::Error,
    meaning: "The port takes connections and never answers.",
    cause: "A proxy that cannot reach its server, a server that hangs, or a server of another protocol that waits for something else.",
    fix: "Look at what listens on the port, and at what is behind it.",
};

pub(crate) const PROXY_PROTOCOL: Code = Code {
    name: "proxy.protocol-expected",
    severity: Severity::Error,
    meaning: "The port expects a PROXY protocol header in front of the request.",
    cause: "The listener has `proxy_protocol` (nginx) or `accept-proxy` (haproxy). It hangs up on a plain request and answers one that has the header.",
    fix: "Connect through the load balancer that sends the header, or take `proxy_protocol` out of the listener.",
};

pub(crate) const PROXY_TO_CLIENT: Code = Code {
    name: "proxy.upstream-is-client-port",
    severity: Severity::Error,
    meaning: "The proxy passes the upgrade on to the plain NATS client port (4222) instead of the WebSocket port.",
    cause: "The answer to the upgrade is INFO without HTTP, and INFO comes only after a request.",
    fix: "Let the proxy pass it on to the port of the `websocket` block.",
};

pub(crate) const PROXY_TO_OTHER: Code = Code {
    name: "proxy.upstream-is-not-http",
    severity: Severity::Error,
    meaning: "The answer to the upgrade is not HTTP.",
    cause: "A proxy passes the request on to a port that speaks another protocol, or the port itself does.",
    fix: "Correct the port of the URL, or the address that the proxy passes requests on to.",
};

pub(crate) const HTTP2_ONLY: Code = Code {
    name: "proxy.http2-only",
    severity: Severity::Error,
    meaning: "The port speaks only HTTP/2, and the upgrade to WebSocket needs HTTP/1.1.",
    cause: "The answer to a request in HTTP/1.1 is HTTP/2 frames: `listen ... http2` without TLS in nginx, or a gRPC server.",
    fix: "Take `http2` out of the `listen` line, or use a port that speaks HTTP/1.1.",
};

pub(crate) const CUT_ANSWER: Code = Code {
    name: "proxy.cut-answer",
    severity: Severity::Error,
    meaning: "The connection ends in the middle of the answer to the upgrade.",
    cause: "A proxy or server breaks off before the head of its answer is complete.",
    fix: "Look into the log of the proxy.",
};

pub(crate) const BLOCKS_UPGRADE: Code = Code {
    name: "proxy.blocks-upgrade",
    severity: Severity::Error,
    meaning: "Plain HTTP is answered, and a request for an upgrade is not.",
    cause: "A proxy, firewall or virus scanner in between swallows or cuts WebSocket upgrades.",
    fix: "Allow WebSocket there, or use `wss://`, which it cannot look into.",
};
