//! What can be found about INFO: behind a `101` first, then on the client port.

use crate::doctor::code::Code;

pub(super) const LEAFNODE_PATH: Code = Code::error(
    "info.leafnode-path",
    "The path ends in `/leafnode`, so that nats-server takes the connection for a leaf node.",
    "nats-server speaks NATS for clients at every path but two: `.../leafnode` is for leaf nodes, `.../mqtt` for MQTT. Where no leaf nodes are configured it answers 101 and closes.",
    "Leave `/leafnode` out of the URL.",
);

pub(super) const OTHER_SERVICE: Code = Code::error(
    "info.other-service",
    "Another WebSocket service answers, not NATS.",
    "The URL leads to another service: its first words are not INFO.",
    "Correct the port or the path of the URL.",
);

pub(super) const CLOSED: Code = Code::error(
    "info.closed-after-upgrade",
    "The upgrade is answered with 101, and the connection is closed at once, without INFO.",
    "A gateway answers 101 itself and has no backend to connect to, or does not tunnel what follows. nats-server never closes so (except at a path that ends in `/leafnode`).",
    "Check the backend behind the gateway: its address, and whether nats-server runs.",
);

pub(super) const CLOSE_FRAME: Code = Code::error(
    "info.websocket-closed",
    "The WebSocket is closed with a close frame before INFO.",
    "Whoever ends the WebSocket says why in the code and the reason: a gateway that lost its backend, a service that wants something else.",
    "Follow the reason; correct the port or path of the URL.",
);

pub(super) const SHUTDOWN: Code = Code::error(
    "info.server-shutdown",
    "nats-server is shutting down.",
    "It closes connections with code 1001 and the reason `Server Shutdown` while it stops.",
    "Wait until it has been restarted, or use another server of the cluster.",
);

pub(super) const RESET: Code = Code::error(
    "info.reset-after-upgrade",
    "The upgrade is answered with 101, and the connection is reset before INFO.",
    "A gateway answers 101 itself, and its connection to the backend breaks; or a firewall ends WebSocket connections.",
    "Check the backend behind the gateway, and the firewall.",
);

pub(super) const SILENT: Code = Code::error(
    "info.silent-after-upgrade",
    "The upgrade is answered with 101, and then nothing comes.",
    "nats-server says INFO at once. A gateway that answers 101 itself and waits for its backend, or that holds data back, is silent; so is another WebSocket service that waits for its client.",
    "Lead the path to the WebSocket port of nats-server, and switch buffering off in the gateway.",
);

pub(super) const NOT_WEBSOCKET: Code = Code::error(
    "info.no-frames",
    "What follows the 101 is no WebSocket.",
    "A gateway answers 101 itself and then passes bytes through as they are: to the client port (4222) in place of the WebSocket port, say.",
    "Lead the gateway to the WebSocket port of nats-server, and let nats-server answer the upgrade.",
);

pub(super) const HTTP_AFTER_101: Code = Code::error(
    "info.http-after-101",
    "Behind the 101 comes a second HTTP answer.",
    "A gateway answers 101 itself, and what its backend answers comes in the tunnel.",
    "Let the gateway pass the upgrade on to nats-server in place of answering it.",
);

pub(super) const INTERMITTENT: Code = Code::error(
    "info.intermittent",
    "Some connections get INFO, others do not.",
    "A load balancer with several backends, of which one is not nats-server or is broken.",
    "Look at each backend of the load balancer.",
);

pub(super) const BAD_INFO: Code = Code::error(
    "info.unreadable",
    "What comes in place of INFO cannot be read.",
    "Something that is not nats-server, or something on the way that changes the bytes.",
    "Use the WebSocket port of nats-server directly.",
);

pub(super) const REFUSED: Code = Code::error(
    "info.refused",
    "nats-server refuses the connection in place of saying INFO.",
    "It is full, or limits how fast connections come.",
    "Raise `max_connections`, or close connections.",
);

pub(super) const NO_TLS_FIRST: Code = Code::error(
    "info.no-tls-first",
    "TLS was started before INFO, and the server does not do that.",
    "`--tlsfirst` or the context asks for it, and nats-server has no `handshake_first` (or the port has no TLS at all).",
    "Leave `--tlsfirst` out.",
);

pub(super) const TLS_NOT_OFFERED: Code = Code::error(
    "info.tls-not-offered",
    "The URL says `tls://`, and the client port has no TLS.",
    "nats-server has no `tls` block for its client port.",
    "Use `nats://`, or give nats-server a `tls` block.",
);

pub(super) const NOT_NATS: Code = Code::error(
    "info.not-nats",
    "What the port says is not NATS.",
    "Another service listens there.",
    "Use the client port of nats-server (4222).",
);
