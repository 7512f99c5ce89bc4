//! The client port (`nats://`, `tls://`): INFO comes first and in clear, and TLS starts behind it; with `--tlsfirst` the
//! other way round.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::join;
use tokio::time::timeout;

use crate::doctor::check::Looked;
use crate::doctor::checks::info::accept;
use crate::doctor::checks::info::codes::{
    HTTP_PORT, NO_TLS_FIRST, NOT_NATS, REFUSED, SERVER_PORT, TLS_FAILED, TLS_FIRST,
    TLS_NOT_OFFERED, UNANSWERED, WEBSOCKET_PORT,
};
use crate::doctor::checks::upgrade::probes::{Asker, Outcome, url_of};
use crate::doctor::checks::upgrade::reply::{is_plain_to_tls, short};
use crate::doctor::checks::upgrade::{chain_text, unverified};
use crate::doctor::examination::Examination;
use crate::doctor::fingerprint::NatsPort;
use crate::net::dial::{DialError, await_info, open_plain_session, start_tls};
use crate::net::probe;
use crate::net::session::Session;
use crate::net::target::{Scheme, Target};
use crate::protocol::ServerErrorKind;
use crate::results::doctor::{Certainty, Finding};
use crate::units::format_duration;

/// The step on the client port.
pub(super) async fn run(examination: &mut Examination<'_>) -> Looked {
    let Some(tcp) = examination.learned.tcp.take() else {
        return Looked::Unable("there is no connection".to_owned());
    };
    let mut options = examination.plan.dial.clone();
    options.timeout = examination.step_limit();
    let begun = crate::clock::mono_now();
    match open_plain_session(examination.target, &options, tcp).await {
        Ok((session, info, is_tls)) => {
            examination.learned.is_tls = is_tls;
            if let Some(finding) = for_servers(examination.target, NatsPort::of(&info)) {
                examination.find(finding);
                return Looked::At("INFO of a port for servers".to_owned());
            }
            accept(examination, session, info).await
        }
        Err(error) => {
            let after = Duration::from_nanos(crate::clock::mono_now().since(begun));
            let text = chain_text(&error);
            let finding = look(examination, &error, after).await;
            examination.find(finding);
            Looked::At(format!("waited for INFO: {}", short(&text, 160)))
        }
    }
}

fn for_servers(target: &Target, port: NatsPort) -> Option<Finding> {
    let what = match port {
        NatsPort::Client => return None,
        NatsPort::Route => "routes (cluster)",
        NatsPort::Leafnode => "leaf nodes",
        NatsPort::Gateway => "gateways",
    };
    Some(
        SERVER_PORT
            .finding(format!(
                "{} is the port of nats-server for {what}, not for clients.",
                target.host_and_port()
            ))
            .because("Its INFO has fields that only servers get.")
            .remedy("Use the client port (4222, usually), or the WebSocket port with ws://."),
    )
}

/// What else the port speaks.
struct Spoken {
    /// To an upgrade.
    websocket: Outcome,
    /// To an upgrade inside TLS.
    websocket_tls: Outcome,
    /// INFO inside TLS.
    is_tls_first: bool,
    /// INFO without TLS.
    is_plain: bool,
}

async fn look(examination: &Examination<'_>, error: &DialError, after: Duration) -> Finding {
    let target = examination.target;
    let place = target.host_and_port();
    match error {
        DialError::Refused { text, kind } => return refused(&place, text, *kind),
        DialError::TlsNotOffered => return not_offered(target),
        DialError::Tls(_) if !examination.plan.dial.tls_first => {
            return tls_failed(&place, error);
        }
        _ => {}
    }
    let (Some(asker), Some(tls)) = (Asker::of(examination), unverified(examination)) else {
        return unanswered(&place, error, after);
    };
    let spoken = speak(&asker, tls).await;
    judge(
        target,
        examination.plan.dial.tls_first,
        error,
        after,
        &spoken,
    )
}

/// Asks the port in other ways, side by side.
async fn speak(asker: &Asker, tls: Arc<ClientConfig>) -> Spoken {
    let mut plain = asker.clone();
    plain.target.scheme = Scheme::Ws;
    let mut with_tls = asker.clone().unverified(tls);
    with_tls.target.scheme = Scheme::Wss;
    let first = async {
        let talking = async {
            let tcp = probe::connect(with_tls.address, with_tls.limit)
                .await
                .ok()?;
            let stream = start_tls(&with_tls.target, &with_tls.options, tcp)
                .await
                .ok()?;
            let mut session = Session::plain(stream, 4096);
            await_info(&mut session).await.ok()
        };
        timeout(with_tls.limit, talking)
            .await
            .ok()
            .flatten()
            .is_some()
    };
    let greeting = async {
        let patience = plain.limit / 2;
        let heard = probe::ask(plain.address, b"", patience, |bytes| bytes.contains(&b'\n')).await;
        heard.is_ok_and(|heard| heard.bytes.starts_with(b"INFO "))
    };
    let (websocket, websocket_tls, is_tls_first, is_plain) =
        join!(plain.ask(|_| ()), with_tls.ask(|_| ()), first, greeting);
    Spoken {
        websocket,
        websocket_tls,
        is_tls_first,
        is_plain,
    }
}

fn judge(
    target: &Target,
    was_tls_first: bool,
    error: &DialError,
    after: Duration,
    spoken: &Spoken,
) -> Finding {
    let place = target.host_and_port();
    if was_tls_first && spoken.is_plain {
        return NO_TLS_FIRST
            .finding(format!(
                "nats-server at {place} says INFO before TLS, and --tlsfirst wants TLS before INFO."
            ))
            .because("Only a server with `handshake_first` in its `tls` block starts TLS first.")
            .remedy("Leave `--tlsfirst` out (`tls_first` in a context).");
    }
    if was_tls_first && spoken.is_tls_first {
        return tls_failed(&place, error);
    }
    if spoken.is_tls_first {
        return TLS_FIRST
            .finding(format!("The client port at {place} wants TLS before it says INFO."))
            .because("Inside TLS, INFO comes at once: nats-server has `handshake_first` in its `tls` block.")
            .evidence("with TLS first", "INFO")
            .paste("Start TLS first:", &[&format!("natsbench doctor --server tls://{place} --tlsfirst")]);
    }
    for (scheme, outcome) in [
        (Scheme::Ws, &spoken.websocket),
        (Scheme::Wss, &spoken.websocket_tls),
    ] {
        let url = url_of(scheme, &target.host, target.port, "/");
        match outcome {
            outcome if outcome.is_switched() => {
                return WEBSOCKET_PORT
                    .finding(format!("{place} is a WebSocket port: the URL has to begin with {}://.", scheme.name()))
                    .because("It answers a WebSocket upgrade, and does not speak first as a client port does.")
                    .evidence(&url, outcome.text())
                    .paste("Use this URL:", &[&format!("natsbench doctor --server {url}")]);
            }
            Outcome::Refused(reply) if !is_plain_to_tls(reply) => {
                return HTTP_PORT
                    .finding(format!("{place} speaks HTTP, and is no client port of nats-server."))
                    .because("It answers an HTTP request. NATS clients use the client port (4222, usually), or a ws:// URL.")
                    .evidence("HTTP status", reply.status)
                    .paste("If NATS is behind it, see what it says to WebSocket:", &[&format!("natsbench doctor --server {url}")]);
            }
            _ => {}
        }
    }
    match error {
        DialError::NotNats(_) | DialError::BytesBeforeTls => NOT_NATS
            .finding(format!("What {place} says is not NATS."))
            .certainty(Certainty::Likely)
            .evidence("what is wrong", short(&chain_text(error), 160))
            .remedy("Use the client port of nats-server (4222, usually)."),
        _ => unanswered(&place, error, after),
    }
}

fn unanswered(place: &str, error: &DialError, after: Duration) -> Finding {
    UNANSWERED
        .finding(format!("{place} takes the connection, and does not say INFO."))
        .certainty(Certainty::Possible)
        .because("nats-server says INFO at once on its client port.")
        .evidence(
            "instead",
            format!("{}, after {}", short(&chain_text(error), 120), format_duration(after)),
        )
        .or("nats-server is frozen (stopped process, paused container)", "`nats-server --signal` or a look at the process on its machine")
        .or("a load balancer or published container port without anything behind it", "connect to nats-server directly")
        .or("another service, which waits for its client to speak", "look what listens on that port")
        .remedy("Look whether nats-server runs there, and whether this is its client port (4222, usually).")
}

fn refused(place: &str, text: &str, kind: ServerErrorKind) -> Finding {
    let shown = short(text, 120);
    let finding = if kind == ServerErrorKind::MaximumConnections {
        REFUSED
            .finding(format!(
                "nats-server at {place} is full: it takes no further connection."
            ))
            .because("`max_connections` of the server is reached.")
            .paste(
                "Close connections, or raise the limit in nats.conf:",
                &["max_connections: 100000"],
            )
    } else {
        REFUSED
            .finding(format!(
                "nats-server at {place} refuses the connection at once: {shown}"
            ))
            .certainty(Certainty::Likely)
            .remedy("The log of nats-server has the reason.")
    };
    finding.evidence("-ERR", shown)
}

fn not_offered(target: &Target) -> Finding {
    let place = target.host_and_port();
    TLS_NOT_OFFERED
        .finding(format!(
            "The URL says tls://, and the client port at {place} has no TLS."
        ))
        .because("Its INFO has neither `tls_required` nor `tls_available`.")
        .paste(
            "Use nats://:",
            &[&format!("natsbench doctor --server nats://{place}")],
        )
        .paste(
            "Or give the server TLS; in nats.conf:",
            &["tls { cert_file: \"server.pem\", key_file: \"server.key\" }"],
        )
}

fn tls_failed(place: &str, error: &DialError) -> Finding {
    let finding = TLS_FAILED.finding(format!(
        "The TLS handshake with the client port at {place} failed."
    ));
    let tls = error.tls_error();
    let finding = finding
        .certainty(Certainty::Likely)
        .evidence("TLS", short(&chain_text(error), 160));
    match tls {
        Some(rustls::Error::InvalidCertificate(_)) => finding
            .because("The certificate of the server cannot be verified from here.")
            .paste("Give the CA that issued it:", &[&format!("natsbench doctor --server tls://{place} --tlsca ca.pem")]),
        Some(rustls::Error::AlertReceived(_)) => finding
            .because("The server ended the handshake: it may want a client certificate, or refuse ours.")
            .paste("Give a client certificate:", &[&format!("natsbench doctor --server tls://{place} --tlscert client.pem --tlskey client.key")]),
        _ => finding.remedy("See the log of nats-server: it has `TLS handshake error` with the reason."),
    }
}
