//! What can be found by a status alone.

use crate::doctor::code::Code;

pub(super) const UNAUTHORIZED: Code = Code::error(
    "upgrade.unauthorized",
    "Whoever is in front of nats-server wants an HTTP login (401).",
    "A proxy asks for HTTP credentials (Basic, Bearer) before it lets a request through. NATS credentials are sent later, inside the WebSocket, and do not help.",
    "Send them with `--header 'Authorization: ...'`, or switch HTTP authentication off for this path: nats-server has its own.",
);

pub(super) const PROXY_LOGIN: Code = Code::error(
    "upgrade.proxy-authentication",
    "A forward proxy wants a login (407).",
    "The request went through a forward proxy, which lets only known users out.",
    "Log in to it, or reach the broker without it.",
);

pub(super) const METHOD: Code = Code::error(
    "upgrade.method-not-allowed",
    "The method GET is not allowed there (405).",
    "Another service than a WebSocket one answers at this path, or something on the way turns GET into another method.",
    "Correct the path of the URL, or the route of the proxy.",
);

pub(super) const TIMED_OUT_REQUEST: Code = Code::error(
    "upgrade.request-timeout",
    "The other side says that our request came too slowly or not whole (408).",
    "Something on the way holds the request back, or the time limit for requests is very short.",
    "Raise the time limit for requests (haproxy: `timeout http-request`), and look at what is between.",
);

pub(super) const GONE: Code = Code::error(
    "upgrade.gone",
    "What was at this path is gone for good (410).",
    "The service was moved.",
    "Use its new URL.",
);

pub(super) const TOO_LARGE: Code = Code::error(
    "upgrade.headers-too-large",
    "The headers of the request are too long for the other side.",
    "A long cookie or token in `--header`, or a very small limit of a proxy.",
    "Send shorter headers, or raise the limit (nginx: `large_client_header_buffers 4 16k;`).",
);

pub(super) const MISDIRECTED: Code = Code::error(
    "upgrade.misdirected",
    "The host name does not belong to this TLS connection (421).",
    "The `Host` header and the server name of the TLS handshake differ, or the proxy routes by one and checks the other.",
    "Use the same name in the URL and in `Host`.",
);

pub(super) const UPGRADE_REQUIRED: Code = Code::error(
    "upgrade.upgrade-required",
    "The other side answers 426 Upgrade Required to an upgrade.",
    "A gateway without WebSocket support, a gateway that dropped `Upgrade` before a WebSocket server that then missed it, or a server that wants another protocol version.",
    "Switch WebSocket on in that gateway and have it pass `Upgrade` and `Connection` on, over HTTP/1.1.",
);

pub(super) const RATE_LIMITED: Code = Code::error(
    "upgrade.rate-limited",
    "A gateway limits how many requests may come (429).",
    "Too many connections in a short time, from this address or from all: reconnecting clients count, too.",
    "Wait, or raise the limit for this path.",
);

pub(super) const BLOCKED: Code = Code::error(
    "upgrade.blocked",
    "The request is blocked for other than technical reasons (451).",
    "A filter of the provider or of the company.",
    "Ask whoever runs it.",
);

pub(super) const CLIENT_CERTIFICATE: Code = Code::error(
    "upgrade.client-certificate-required",
    "A proxy wants a client certificate.",
    "nginx verifies clients by certificate (`ssl_verify_client on`), and none was sent.",
    "Give one with `--tlscert` and `--tlskey`.",
);

pub(super) const CLIENT_CERTIFICATE_REFUSED: Code = Code::error(
    "upgrade.client-certificate-refused",
    "A proxy refuses our client certificate.",
    "It was not issued by the authority that the proxy trusts (`ssl_client_certificate`), or it has expired.",
    "Use a certificate of that authority.",
);

pub(super) const SERVER_ERROR: Code = Code::error(
    "upgrade.server-error",
    "Whoever answered has failed in itself (500).",
    "A fault in the proxy or the service behind it: a broken script, rule or configuration.",
    "Read its error log.",
);

pub(super) const NOT_IMPLEMENTED: Code = Code::error(
    "upgrade.not-implemented",
    "Whoever answered cannot do this (501, 505).",
    "A server or gateway without WebSocket, or without this version of HTTP.",
    "Correct the port or path of the URL, or use a gateway that does WebSocket.",
);

pub(super) const NETWORK_LOGIN: Code = Code::error(
    "upgrade.network-login",
    "The network wants a login first (511).",
    "A captive portal, as in hotels and trains, answers for every host.",
    "Log in to the network with a browser, and try again.",
);

pub(super) const CLOUDFLARE: Code = Code::error(
    "upgrade.cloudflare-origin",
    "Cloudflare cannot reach the origin server (520 to 530).",
    "The origin is down, blocked, speaks no TLS or has a bad certificate: each has its number.",
    "Start or correct the origin, whose address and TLS mode are in the Cloudflare dashboard.",
);

pub(super) const UNEXPECTED: Code = Code::error(
    "upgrade.unexpected-status",
    "The upgrade was answered with a status that does not belong there.",
    "Whoever answers does not treat the request as a WebSocket upgrade.",
    "Correct the port or path of the URL, or the route of the proxy.",
);

pub(super) const BAD_REQUEST: Code = Code::error(
    "upgrade.bad-request",
    "Something in front of nats-server finds the request wrong (400).",
    "A proxy, a firewall or another service refuses the request by its own rules.",
    "Read its log; try without the `--header` flags.",
);

pub(super) const PROXY_PROTOCOL_SENT: Code = Code::error(
    "proxy.protocol-not-expected",
    "A load balancer sends a PROXY protocol header to the WebSocket port of nats-server, which does not expect one.",
    "`send-proxy` (haproxy), `proxy_protocol on` (nginx) or `Proxy protocol v2` (AWS) puts a line before the request. nats-server takes it for a broken request and answers 400.",
    "Switch the header off in the load balancer.",
);

pub(super) const OTHER_SERVICE: Code = Code::error(
    "upgrade.other-service",
    "Another WebSocket service answers, not NATS.",
    "The URL leads to another service: socket.io, SockJS, GraphQL, a chat.",
    "Correct the port or the path of the URL.",
);
