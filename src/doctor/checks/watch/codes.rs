//! The codes of what ends a connection.

use crate::doctor::code::Code;
use crate::results::doctor::Severity;

pub(super) const IDLE_TIMEOUT: Code = Code {
    name: "watch.idle-timeout",
    severity: Severity::Error,
    meaning: "A proxy, load balancer or firewall cuts connections that are idle.",
    cause: "nats-server sends its first PING two seconds after the login and then one every two minutes. Most proxies cut a \
            tunnel in which nothing moves for 60 s. Idle connections were cut after the same silence, while one with traffic \
            stayed.",
    fix: "Raise the idle time-out of the proxy (nginx `proxy_read_timeout`, haproxy `timeout tunnel`), or have nats-server \
          send PING more often (`ping_interval`).",
};

pub(super) const LIFETIME: Code = Code {
    name: "watch.lifetime",
    severity: Severity::Error,
    meaning: "A proxy ends every connection at a certain age, idle or not.",
    cause: "Connections that were opened one after the other, with and without traffic, were cut at the same age.",
    fix: "Raise or remove the maximum lifetime of connections in the proxy or gateway; clients have to reconnect otherwise.",
};

pub(super) const SERVER_DIED: Code = Code {
    name: "watch.server-died",
    severity: Severity::Error,
    meaning: "The server ended without a word: it crashed or was killed.",
    cause: "All connections ended at the same moment without a close frame, and no new one is taken. A server that is \
            stopped in an orderly way says so.",
    fix: "Look for the end of nats-server in its log and in that of the system (out of memory), and start it again.",
};

pub(super) const PROXY_GONE: Code = Code {
    name: "watch.proxy-gone",
    severity: Severity::Error,
    meaning: "The proxy in front of nats-server has ended, and all connections with it.",
    cause: "All connections ended at the same moment without a close frame, and the port of the proxy refuses new ones. Where the \
            port of the server itself can be reached, it still takes connections.",
    fix: "Start the proxy again, and look into its log.",
};

pub(super) const SERVER_RESTARTED: Code = Code {
    name: "watch.server-restarted",
    severity: Severity::Error,
    meaning: "The server ended without a word, and another process has taken its place.",
    cause: "All connections ended at the same moment without a close frame; a new one meets a server with another id.",
    fix: "Look for the end of nats-server in its log and in that of the system (out of memory).",
};

pub(super) const SERVER_SHUTDOWN: Code = Code {
    name: "watch.server-shutdown",
    severity: Severity::Error,
    meaning: "The server was shut down.",
    cause: "It closed the connection with 1001 \"Server Shutdown\", as it does when it gets SIGTERM or SIGINT.",
    fix: "Start it again, or find out who stops it.",
};

pub(super) const LAME_DUCK: Code = Code {
    name: "watch.lame-duck",
    severity: Severity::Error,
    meaning: "The server is in lame duck mode: it takes no new connections and closes the old ones one by one.",
    cause: "It announced it with `\"ldm\":true` in INFO, as it does on SIGUSR2 or `nats-server --signal ldm`: the gentle way \
            to shut down, in a rolling upgrade for instance.",
    fix: "Let clients reconnect to another server of the cluster, or wait for the new one.",
};

pub(super) const CREDENTIALS_EXPIRED: Code = Code {
    name: "watch.credentials-expired",
    severity: Severity::Error,
    meaning: "The credentials expired while they were in use.",
    cause: "The server sent `-ERR 'User Authentication Expired'` and closed the connection in the second that the JWT names \
            as its `exp`.",
    fix: "Issue credentials that last longer, or renew them and reconnect before they expire.",
};

pub(super) const ACCOUNT_EXPIRED: Code = Code {
    name: "watch.account-expired",
    severity: Severity::Error,
    meaning: "The JWT of the account expired.",
    cause: "The server sent `-ERR 'Account Authentication Expired'`: all users of the account are out.",
    fix: "Sign the JWT of the account anew and push it to the server.",
};

pub(super) const CREDENTIALS_REVOKED: Code = Code {
    name: "watch.credentials-revoked",
    severity: Severity::Error,
    meaning: "The credentials were revoked while they were in use.",
    cause: "The server sent `-ERR 'User Authentication Revoked'`: the JWT of the account revokes this user.",
    fix: "Use other credentials, or remove the revocation from the account.",
};

pub(super) const CREDENTIALS_REMOVED: Code = Code {
    name: "watch.credentials-removed",
    severity: Severity::Error,
    meaning: "The user was removed from the server, or its password was changed, while it was connected.",
    cause: "A reload of the configuration closes such connections with 1000 \"Client Closed\" and no `-ERR`, which looks like \
            a close of our own. The same login is refused now.",
    fix: "Put the user back into the configuration and reload it, or use other credentials.",
};

pub(super) const CLOSED_BY_RELOAD: Code = Code {
    name: "watch.closed-by-reload",
    severity: Severity::Error,
    meaning: "A reload of the server's configuration closed the connection.",
    cause: "1000 \"Client Closed\" without a close of our own; the same login works again. A reload closes the connections of \
            users whose account or authentication has changed.",
    fix: "Nothing is to be mended when the reload was meant; clients have to reconnect.",
};

pub(super) const KICKED: Code = Code {
    name: "watch.kicked",
    severity: Severity::Error,
    meaning: "An administrator closed the connection.",
    cause: "Close frame 1011 \"Kicked\": somebody with the system account used `$SYS.REQ.SERVER.*.KICK`.",
    fix: "Ask those who run the server.",
};

pub(super) const STALE: Code = Code {
    name: "watch.stale-connection",
    severity: Severity::Error,
    meaning: "The server closed the connection because its PINGs were not answered.",
    cause: "`-ERR 'Stale Connection'`. The doctor answers every PING at once, so that its answers do not reach the server.",
    fix: "Look for a middlebox that passes packets in one direction only.",
};

pub(super) const SLOW_CONSUMER: Code = Code {
    name: "watch.slow-consumer",
    severity: Severity::Error,
    meaning: "The server cut off a subscriber that did not take its messages fast enough.",
    cause: "Over WebSocket that is an end without `-ERR` and without a close frame, in the middle of much traffic, while other \
            connections live on. The log of the server says `Slow Consumer Detected`.",
    fix: "Subscribe to less, use a faster link, or raise `max_pending` and `write_deadline`.",
};

pub(super) const SUBSCRIPTION_LOST: Code = Code {
    name: "watch.subscription-lost",
    severity: Severity::Error,
    meaning: "The permission to subscribe was taken away while the connection stayed.",
    cause: "A reload of the configuration, or a new JWT, took it away: the server sent a permissions violation for a \
            subscription that it had accepted, and sends no more messages.",
    fix: "Give the user the permission again, and have clients subscribe again: they do not do so by themselves.",
};

pub(super) const FROZEN: Code = Code {
    name: "watch.server-frozen",
    severity: Severity::Error,
    meaning: "The server has stopped answering, although its port still takes connections.",
    cause: "PINGs stay unanswered, and a new connection gets no answer to its upgrade: the kernel takes it, the process does \
            not run. It is stopped (SIGSTOP, a paused container or machine), swapped out, or stuck.",
    fix: "Resume or restart the process, and look at the memory and the load of its machine.",
};

pub(super) const BLACK_HOLE: Code = Code {
    name: "watch.black-hole",
    severity: Severity::Error,
    meaning: "Packets of an open connection vanish, while new connections work.",
    cause: "A firewall, NAT or load balancer between here and the server has lost the connection and tells neither side.",
    fix: "Look at the connection tracking of what lies between (restart, failover, full table).",
};

pub(super) const UNREACHABLE: Code = Code {
    name: "watch.unreachable",
    severity: Severity::Error,
    meaning: "The host of the server has vanished from the network.",
    cause: "PINGs stay unanswered and a new connection does not come about.",
    fix: "Look at the host, its network, and the way there.",
};

pub(super) const PROXY_RESTARTED: Code = Code {
    name: "watch.proxy-restarted",
    severity: Severity::Error,
    meaning: "All connections were cut at the same moment, while nats-server went on.",
    cause: "The end of something that they share: a restart or reload of the proxy, a failover of a load balancer, a flushed \
            firewall. A new connection meets the same server process.",
    fix: "Look at the log of the proxy for this moment. nginx keeps WebSockets over a reload until \
          `worker_shutdown_timeout`, and cuts them in a restart.",
};

pub(super) const CONNECTION_LIMIT: Code = Code {
    name: "watch.connection-limit",
    severity: Severity::Error,
    meaning: "The server closed the connection because there are too many.",
    cause: "`max_connections` of the server or of the account was lowered or reached.",
    fix: "Raise the limit, or close other connections.",
};

pub(super) const CLOSED: Code = Code {
    name: "watch.closed-by-server",
    severity: Severity::Error,
    meaning: "The server closed the connection, and said why.",
    cause: "The text of its `-ERR` or of its close frame is in the evidence.",
    fix: "Look for the same moment in the log of the server.",
};

pub(super) const CUT: Code = Code {
    name: "watch.cut",
    severity: Severity::Error,
    meaning: "A connection was cut, and what was seen does not tell by whom.",
    cause: "It ended without the server saying why, neither at a common age nor after a common silence.",
    fix: "Watch for longer, and compare with the log of the server and of the proxy at that moment.",
};

pub(super) const STALLED: Code = Code {
    name: "watch.stalled",
    severity: Severity::Warning,
    meaning: "The server did not answer for seconds, and then went on.",
    cause: "The process or its machine stood still, or the network did.",
    fix: "Look at the load, the memory and the disks of the server's machine.",
};

pub(super) const NO_SECOND: Code = Code {
    name: "watch.no-new-connection",
    severity: Severity::Error,
    meaning: "The examined connection worked, but no further one can be opened.",
    cause: "The server has gone meanwhile, or something limits the number or the rate of connections.",
    fix: "See whether the server still runs, and raise the limit of connections (`max_connections`, or that of the account or proxy).",
};

/// All of them.
pub(super) const ALL: [&Code; 25] = [
    &IDLE_TIMEOUT,
    &LIFETIME,
    &SERVER_DIED,
    &PROXY_GONE,
    &SERVER_RESTARTED,
    &SERVER_SHUTDOWN,
    &LAME_DUCK,
    &CREDENTIALS_EXPIRED,
    &ACCOUNT_EXPIRED,
    &CREDENTIALS_REVOKED,
    &CREDENTIALS_REMOVED,
    &CLOSED_BY_RELOAD,
    &KICKED,
    &STALE,
    &SLOW_CONSUMER,
    &SUBSCRIPTION_LOST,
    &FROZEN,
    &BLACK_HOLE,
    &UNREACHABLE,
    &PROXY_RESTARTED,
    &CONNECTION_LIMIT,
    &CLOSED,
    &CUT,
    &STALLED,
    &NO_SECOND,
];
