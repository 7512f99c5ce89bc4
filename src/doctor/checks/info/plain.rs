//! The client port (`nats://`, `tls://`): INFO comes first and in clear, and TLS starts behind it; with `--tlsfirst` the
//! other way round.

use std::time::Duration;

use crate::clock::mono_now;
use crate::doctor::check::Looked;
use crate::doctor::checks::info::codes::{NO_TLS_FIRST, NOT_NATS, TLS_NOT_OFFERED};
use crate::doctor::checks::info::missing::{Missing, refused};
use crate::doctor::checks::info::{accept, first_info};
use crate::doctor::checks::tls::handshake;
use crate::doctor::examination::Examination;
use crate::doctor::reprobe::mute_client_port;
use crate::doctor::words::chain_text;
use crate::net::probe;
use crate::net::session::Session;
use crate::net::stream::Stream;
use crate::net::target::{Scheme, Target};
use crate::protocol::{ServerErrorKind, ServerInfo, ServerOp};
use crate::results::doctor::{Certainty, Finding};

/// How long INFO in clear may take, where TLS was to come first and did not.
const CLEAR_PATIENCE: Duration = Duration::from_millis(700);

/// The step on the client port.
pub(super) async fn run(examination: &mut Examination<'_>) -> Looked {
    let Some(tcp) = examination.learned.tcp.take() else {
        return Looked::Unable("there is no connection".to_owned());
    };
    let target = examination.target;
    let options = &examination.plan.dial;
    let buffer_bytes = options.read_buffer_bytes;
    let is_first = options.tls_first;
    let stream = if is_first {
        match handshake(examination, tcp).await {
            Ok(secured) => secured.stream,
            Err(looked) => return tls_did_not_come_first(examination, looked).await,
        }
    } else {
        Stream::tcp(tcp)
    };
    let mut session = Session::plain(stream, buffer_bytes);
    let begun = mono_now();
    let limit = examination.step_limit();
    let info = match first_info(&mut session, limit).await {
        Ok(info) => info,
        Err(missing) => {
            drop(session);
            let after = Duration::from_nanos(mono_now().since(begun));
            let finding = instead(examination, &missing, after).await;
            examination.find(finding);
            return Looked::At(format!("waited for INFO: {}", missing.text()));
        }
    };
    let is_tls = is_first || info.tls_required || target.scheme == Scheme::Tls;
    if is_tls && !is_first {
        session = match behind_info(examination, session, &info).await {
            Ok(session) => session,
            Err(looked) => return looked,
        };
    }
    examination.learned.is_tls = is_tls;
    accept(examination, session, info).await
}

/// A server that says INFO in clear has nothing wrong with its TLS: our own flag has.
async fn tls_did_not_come_first(examination: &mut Examination<'_>, looked: Looked) -> Looked {
    let Some(address) = examination.address() else {
        return looked;
    };
    let limit = examination.second_look_limit().min(CLEAR_PATIENCE);
    let heard = probe::ask(address, b"", limit, probe::has_line).await;
    if !heard.is_ok_and(|heard| heard.bytes.starts_with(b"INFO ")) {
        return looked;
    }
    let own = examination.current;
    examination.findings.retain(|(check, _)| *check != own);
    let finding = no_tls_first(&examination.target.host_and_port());
    examination.find(finding);
    Looked::At("INFO before TLS".to_owned())
}

/// Starts TLS behind INFO.
async fn behind_info(
    examination: &mut Examination<'_>,
    mut session: Session,
    info: &ServerInfo,
) -> Result<Session, Looked> {
    let target = examination.target;
    let place = target.host_and_port();
    if !info.tls_required && !info.tls_available {
        examination.find(not_offered(target));
        return Err(Looked::At("INFO without TLS".to_owned()));
    }
    // Anything behind INFO came in clear; a server that is full says so there.
    let early = match session.next_op() {
        Ok(None) => None,
        Ok(Some(ServerOp::Err(text))) => {
            Some(refused(&place, text, ServerErrorKind::classify(text)))
        }
        Ok(Some(_)) => Some(not_nats(&place, "more than INFO in clear, before TLS")),
        Err(error) => Some(not_nats(&place, &chain_text(&error))),
    };
    if let Some(finding) = early {
        examination.find(finding);
        return Err(Looked::At("INFO, and more behind it".to_owned()));
    }
    let buffer_bytes = examination.plan.dial.read_buffer_bytes;
    let Some(tcp) = session.into_tcp() else {
        examination.find(not_nats(&place, "more than INFO in clear, before TLS"));
        return Err(Looked::At("INFO, and more behind it".to_owned()));
    };
    let secured = handshake(examination, tcp).await?;
    Ok(Session::plain(secured.stream, buffer_bytes))
}

/// What there was in place of INFO.
async fn instead(examination: &mut Examination<'_>, missing: &Missing, after: Duration) -> Finding {
    let place = examination.target.host_and_port();
    match missing {
        Missing::Refused { text, kind } => refused(&place, text, *kind),
        Missing::Strange(text) => not_nats(&place, text),
        _ => mute_client_port(examination, after).await,
    }
}

fn not_nats(place: &str, what: &str) -> Finding {
    NOT_NATS
        .finding(format!("What {place} says is not NATS."))
        .certainty(Certainty::Likely)
        .because(
            "nats-server begins with INFO, and nothing else comes before the client has spoken.",
        )
        .evidence("what is wrong", what)
        .remedy("Use the client port of nats-server (4222, usually).")
}

fn no_tls_first(place: &str) -> Finding {
    NO_TLS_FIRST
        .finding(format!(
            "nats-server at {place} says INFO before TLS, and --tlsfirst wants TLS before INFO."
        ))
        .because("Only a server with `handshake_first` in its `tls` block starts with TLS.")
        .remedy("Leave `--tlsfirst` out (`tls_first` in a context).")
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
