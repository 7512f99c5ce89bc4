//! What a connection that brings nothing more, or ends without a word, can mean. Found by the check of the login and by those
//! behind it.

use crate::doctor::code::Code;

pub(crate) const AUTH_CALLOUT_SILENT: Code = Code::error(
    "connect.auth-callout-silent",
    "The server refused the login only after seconds: the service that it asks about logins did not answer.",
    "`auth_callout` is configured and nobody answers `$SYS.REQ.USER.AUTH` within `authorization.timeout`. The server then says the same as for a wrong password, which takes it milliseconds.",
    "Start the auth callout service, connected as one of `auth_users` and in the account of `auth_callout`.",
);

pub(crate) const CLOSED: Code = Code::error(
    "connect.closed",
    "The connection was closed without a word after CONNECT.",
    "Newer servers do that when they cannot read what was sent; proxies and firewalls do it for reasons of their own, and a server that crashes does it, too.",
    "Look into the log of the server: it says why, if it was the server.",
);

pub(crate) const CUT_OFF: Code = Code::error(
    "connect.cut-off",
    "Every connection is cut after the same number of bytes.",
    "Something on the way ends it: a firewall or proxy that inspects traffic, or that limits how much a connection may carry. A server does not count bytes.",
    "Let WebSocket connections to this port pass without inspection, and without a limit of bytes.",
);

pub(crate) const NO_ANSWER: Code = Code::error(
    "connect.no-answer",
    "The connection is open, but nothing more arrives through it.",
    "Something on the way stopped forwarding, or the server hangs. The evidence says how far a second connection came.",
    "Look at firewalls, NAT and proxies between here and the server.",
);

pub(crate) const LARGE_PACKETS_LOST: Code = Code::error(
    "connect.large-packets-lost",
    "Small packets go through, full ones do not.",
    "A link on the way (VPN, tunnel, PPPoE) carries smaller packets than the ends believe, and the ICMP messages that would tell them are filtered: a path MTU black hole.",
    "Let ICMP `fragmentation needed` (IPv6: `packet too big`) through, or lower the MTU or clamp the MSS at the tunnel.",
);
