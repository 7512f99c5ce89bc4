//! `101`, and then no INFO.

use std::time::Duration;

use tokio::join;
use tokio::task::JoinSet;

use crate::doctor::checks::info::codes::{
    BAD_INFO, CLOSE_FRAME, CLOSED, HTTP_AFTER_101, INTERMITTENT, NOT_WEBSOCKET, OTHER_SERVICE,
    REFUSED, RESET, SHUTDOWN, SILENT,
};
use crate::doctor::checks::info::first_words::{kind_of, service_of};
use crate::doctor::checks::info::leafnode;
use crate::doctor::checks::info::listen::{self, Opening};
use crate::doctor::examination::Examination;
use crate::doctor::front::{self, Proxy, ProxyKind, proxy_of};
use crate::doctor::http::again::Asker;
use crate::doctor::http::answer::{Case, with_reply};
use crate::doctor::http::paths::{self, wrong_path};
use crate::doctor::words::short;
use crate::net::target::Target;
use crate::net::ws::frame::opcode;
use crate::net::ws::upgrade::{HttpReply, parse_reply};
use crate::protocol::ServerErrorKind;
use crate::results::doctor::{Certainty, Finding};
use crate::units::format_duration;

/// What there was in place of INFO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Missing {
    /// INFO, but for leaf nodes.
    Leafnode,
    /// FIN.
    Closed,
    CloseFrame {
        code: u16,
        reason: String,
    },
    /// A reset, say.
    Broken(String),
    Silence,
    /// `-ERR`.
    Refused {
        text: String,
        kind: ServerErrorKind,
    },
    /// Anything else; what our reader says of it.
    Strange(String),
}

impl Missing {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Leafnode => "INFO for leaf nodes".to_owned(),
            Self::Closed => "closed".to_owned(),
            Self::CloseFrame { code, reason } => format!("close {code} {}", short(reason, 80)),
            Self::Broken(error) => error.clone(),
            Self::Silence => "nothing".to_owned(),
            Self::Refused { text, .. } => format!("-ERR {}", short(text, 80)),
            Self::Strange(text) => short(text, 120),
        }
    }
}

/// What the second looks brought.
#[derive(Default)]
pub(super) struct Seen {
    /// The same once more.
    pub(super) opening: Opening,
    /// A WebSocket ping and what came of it, where all is silent.
    pub(super) pinged: Option<Opening>,
    pub(super) paths: paths::Seen,
    /// How many of how many further connections got INFO.
    pub(super) n_infos: usize,
    pub(super) n_tries: usize,
}

/// Further connections, to see whether all are alike.
const N_TRIES: usize = 4;

/// Looks again, and names the cause.
pub(super) async fn look(
    examination: &mut Examination<'_>,
    missing: Missing,
    after: Duration,
) -> Finding {
    let target = examination.target;
    let place = target.host_and_port();
    if let Missing::Refused { text, kind } = &missing {
        return refused(&place, text, *kind);
    }
    if missing == Missing::Leafnode && !leafnode::ends_in_leafnode(target) {
        return leafnode::rewritten(target, examination.learned.front.as_ref());
    }
    let Some(asker) = Asker::of(examination) else {
        return judge(target, None, None, &missing, after, &Seen::default());
    };
    if leafnode::ends_in_leafnode(target) {
        let right = leafnode::without_leafnode(target);
        let outcome = asker
            .without_secrets()
            .ask(|request| right.clone_into(&mut request.path_and_query))
            .await;
        return leafnode::by_url(target, right, &outcome, &missing);
    }
    let patience = examination.second_look_limit();
    let is_silent = missing == Missing::Silence;
    let mut tries = JoinSet::new();
    for _ in 0..N_TRIES {
        let asker = asker.clone();
        tries.spawn(async move { asker.ask(|_| ()).await.is_nats() });
    }
    let ping = async {
        if !is_silent {
            return None;
        }
        let say = Some((opcode::PING, &b"natsbench"[..]));
        listen::again(&asker, say, patience / 2).await.ok()
    };
    let provoke = async {
        match examination.learned.front {
            Some(_) => None,
            None => asker.provoke().await,
        }
    };
    let (opening, pinged, paths, tries, provoked) = join!(
        listen::again(&asker, None, patience / 2),
        ping,
        paths::look(&asker),
        tries.join_all(),
        provoke
    );
    let seen = Seen {
        opening: opening.unwrap_or_default(),
        pinged,
        paths,
        n_infos: tries.iter().filter(|has_info| **has_info).count(),
        n_tries: N_TRIES,
    };
    if examination.learned.front.is_none() {
        examination.learned.front = provoked.as_ref().and_then(proxy_of);
    }
    if seen.n_infos == 0
        && let (Some(right), Some(reply)) = (seen.paths.right_path(), &examination.learned.switched)
    {
        let case = Case {
            target,
            options: &examination.plan.dial,
            reply,
            proxy: examination.learned.front.clone(),
        };
        return wrong_path(&case, right);
    }
    let switched = examination.learned.switched.as_ref();
    let front = examination.learned.front.as_ref();
    judge(target, switched, front, &missing, after, &seen)
}

pub(super) fn refused(place: &str, text: &str, kind: ServerErrorKind) -> Finding {
    let shown = short(text, 120);
    let finding = match kind {
        ServerErrorKind::MaximumConnections => REFUSED
            .finding(format!(
                "nats-server at {place} is full: it takes no further connection."
            ))
            .because("`max_connections` of the server is reached.")
            .paste(
                "Close connections, or raise the limit in nats.conf:",
                &["max_connections: 100000"],
            ),
        ServerErrorKind::ConnectionThrottling => REFUSED
            .finding(format!(
                "nats-server at {place} gets more new connections than it takes at once."
            ))
            .because("So many TLS handshakes were going on that it refused this one.")
            .remedy("Try again in a moment; let clients reconnect with a random delay."),
        _ => REFUSED
            .finding(format!(
                "nats-server at {place} refuses the connection before it says INFO: {shown}"
            ))
            .certainty(Certainty::Likely)
            .remedy("The log of nats-server has the reason."),
    };
    finding.evidence("-ERR", shown)
}

/// Who is at the other end, as the subject of a sentence.
fn who(target: &Target, front: Option<&Proxy>) -> String {
    match front {
        Some(proxy) if proxy.kind != ProxyKind::Mapping => {
            front::subject(Some(proxy), &target.host_and_port())
        }
        _ => format!("Whatever answers at {}", target.host_and_port()),
    }
}

/// The cause.
pub(super) fn judge(
    target: &Target,
    switched: Option<&HttpReply>,
    front: Option<&Proxy>,
    missing: &Missing,
    after: Duration,
    seen: &Seen,
) -> Finding {
    let who = who(target, front);
    let name = front.map_or_else(|| "the gateway".to_owned(), Proxy::name);
    let finding = if seen.n_infos > 0 {
        intermittent(target, seen)
    } else if let Some(finding) = first_words(&who, seen) {
        finding
    } else {
        match missing {
            Missing::CloseFrame { code, reason } => close_frame(target, &who, *code, reason),
            Missing::Broken(error) => RESET
                .finding(format!("{who} answers 101 and breaks the connection off, without INFO."))
                .certainty(Certainty::Possible)
                .because("nats-server says INFO at once. A gateway that answers 101 itself breaks the connection off when its own one to nats-server fails.")
                .evidence("error", short(error, 120))
                .or("the backend of the gateway is down, or the gateway does not tunnel", "ask nats-server directly, around the gateway: INFO comes")
                .or("a firewall ends WebSocket connections", "try from another network, or with wss://")
                .remedy(format!("Check the address of nats-server in {name}, and whether nats-server runs.")),
            Missing::Silence => silent(&who, &name, seen),
            Missing::Strange(text) => BAD_INFO
                .finding(format!("{who} answers 101, and what follows is not NATS."))
                .certainty(Certainty::Likely)
                .evidence("what is wrong", short(text, 160))
                .remedy("Correct the port or the path of the URL, or take out of the way what changes the bytes."),
            Missing::Closed | Missing::Leafnode | Missing::Refused { .. } => closed(&who, &name),
        }
    };
    let finding = finding.evidence(
        "behind the 101",
        format!("{}, after {}", missing.text(), format_duration(after)),
    );
    match switched {
        Some(reply) => with_reply(finding, reply),
        None => finding,
    }
}

fn closed(who: &str, name: &str) -> Finding {
    CLOSED
        .finding(format!("{who} answers 101 and closes the connection at once, without INFO: it has no nats-server behind it."))
        .certainty(Certainty::Likely)
        .because("nats-server says INFO at once and does not close so. A gateway that answers 101 itself does, when it has no backend to connect to, or does not tunnel what follows.")
        .or("the backend of the gateway is down, or its address is wrong", "ask nats-server directly, around the gateway: INFO comes")
        .or("another WebSocket service answers, which wants something else first", "correct the port or path of the URL")
        .remedy(format!("Check the backend behind {name}: whether nats-server runs, and whether the address is its WebSocket port."))
        .remedy(format!("Switch WebSocket on in {name}, so that nats-server answers the upgrade itself and the connection becomes a tunnel."))
}

fn close_frame(target: &Target, who: &str, code: u16, reason: &str) -> Finding {
    let place = target.host_and_port();
    let said = if reason.is_empty() {
        format!("code {code}")
    } else {
        format!("code {code}, \"{}\"", short(reason, 100))
    };
    if code == 1001 && reason == "Server Shutdown" {
        return SHUTDOWN
            .finding(format!("nats-server at {place} is shutting down."))
            .evidence("close frame", said)
            .remedy("Wait until it has been restarted, or use another server of the cluster.");
    }
    let why = match code {
        1000 => "1000 is the normal end: whoever is there is done with us.",
        1001 => "1001 says that the other side goes away.",
        1002 | 1003 | 1007 => {
            "It says that it cannot do anything with the connection: another protocol is spoken there."
        }
        1008 | 3000 | 3003 | 4000..=4999 => {
            "It is the code of a service that refuses the client by its own rules: a missing login, say."
        }
        1009 => "It says that a message was too long, before there was one.",
        1010 => "It misses a WebSocket extension.",
        1011 | 1014 => "It says that it has failed itself, as a gateway does that has no backend.",
        1012 | 1013 => "It says that it is being restarted, or is overloaded.",
        _ => "nats-server closes no connection before INFO.",
    };
    CLOSE_FRAME
        .finding(format!("{who} closes the WebSocket with {said}, before INFO."))
        .certainty(Certainty::Likely)
        .because(format!("nats-server says INFO first. {why}"))
        .evidence("close frame", said)
        .remedy("Correct the port or path of the URL if another service answers there; check the backend if it is a gateway.")
}

fn silent(who: &str, name: &str, seen: &Seen) -> Finding {
    let answers_ping = seen.pinged.as_ref().is_some_and(Opening::has_pong);
    let finding = SILENT
        .finding(format!(
            "{who} answers 101, and then nothing comes: no INFO."
        ))
        .certainty(Certainty::Possible);
    if answers_ping {
        finding
            .because("It answers a WebSocket ping, so that the WebSocket ends there; but nats-server says INFO at once, and this does not.")
            .evidence("WebSocket ping", "answered")
            .or("another WebSocket service, which waits for its client to speak", "correct the port or path of the URL")
            .or("a gateway that ends the WebSocket itself and waits for its backend", "ask nats-server directly, around the gateway: INFO comes")
    } else {
        finding
            .because("nats-server says INFO at once. Not even a WebSocket ping is answered: what follows the 101 is held back or goes nowhere.")
            .evidence("WebSocket ping", "not answered")
            .or("a gateway that answers 101 itself, and whose backend is silent or unreachable", "ask nats-server directly, around the gateway: INFO comes")
            .or("a proxy that holds the data of the tunnel back (buffering)", "switch its buffering off for this path")
            .or("nats-server froze right after the 101", "its client port (4222) does not say INFO either")
    }
    .remedy(format!("Have {name} lead this path to the WebSocket port of nats-server, as a tunnel and without buffering."))
}

fn intermittent(target: &Target, seen: &Seen) -> Finding {
    INTERMITTENT
        .finding(format!(
            "Only some connections to {} reach nats-server: one got no INFO, {} of {} others did.",
            target.host_and_port(),
            seen.n_infos,
            seen.n_tries
        ))
        .certainty(Certainty::Likely)
        .because("A load balancer with several backends does this when one of them is down or is not nats-server. Clients get through now and then.")
        .or("nats-server was just being started or stopped", "run it again")
        .remedy("Look at each backend of the load balancer, and give it a health check.")
}

/// What came is known to be something else.
fn first_words(who: &str, seen: &Seen) -> Option<Finding> {
    let raw = &seen.opening.raw;
    if raw.starts_with(b"INFO {") {
        return Some(NOT_WEBSOCKET
            .finding(format!("{who} answers 101 itself and then passes on the bytes of the client port, without WebSocket frames."))
            .because("INFO came bare behind the 101. The gateway leads to the client port (4222) of nats-server, which does not do WebSocket.")
            .evidence("bytes", short(&String::from_utf8_lossy(raw), 60))
            .remedy("Lead it to the port of the `websocket` block of nats-server, and let nats-server answer the upgrade."));
    }
    if let Some((reply, _)) = parse_reply(raw) {
        return Some(HTTP_AFTER_101
            .finding(format!("{who} answers 101 itself, and what is behind it then answers {} in HTTP.", reply.status))
            .because("A gateway that answers the upgrade itself has to speak NATS or tunnel to a WebSocket. Here the backend got an HTTP request and answered it, which no WebSocket client can read.")
            .evidence("second answer", format!("{} {}", reply.status, short(&reply.reason, 60)))
            .remedy("Let the gateway pass the upgrade on to the WebSocket port of nats-server in place of answering it."));
    }
    let said = seen.opening.first()?;
    if said.opcode == opcode::CLOSE || said.payload.is_empty() || said.payload.starts_with(b"INFO ")
    {
        return None;
    }
    let service = service_of(said);
    let what = service.unwrap_or_else(|| kind_of(said));
    let shown = short(&String::from_utf8_lossy(&said.payload), 100);
    Some(
        OTHER_SERVICE
            .finding(format!("{who} is {what}, not NATS."))
            .because("The upgrade works, but the first words are not INFO, with which nats-server begins.")
            .evidence("first words", shown)
            .remedy("Use the WebSocket port of nats-server: its log names it in `Listening for websocket clients on`.")
            .remedy("Behind a proxy, use the path that leads to nats-server."),
    )
}

#[cfg(test)]
#[path = "missing_tests.rs"]
mod tests;
