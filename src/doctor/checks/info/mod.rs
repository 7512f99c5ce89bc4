//! What the server says of itself: INFO, and why it does not come.
//!
//! On a WebSocket INFO comes behind the `101`; on the client port it comes first, and TLS behind it.

mod advertised;
mod codes;
mod first_words;
mod leafnode;
mod listen;
mod missing;
mod plain;
mod versions;

use std::time::Duration;

use tokio::time::timeout;

use crate::clock::mono_now;
use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::checks::info::missing::Missing;
use crate::doctor::code::Code;
use crate::doctor::examination::Examination;
use crate::doctor::front::{Proxy, ProxyKind};
use crate::doctor::words::{chain_text, short};
use crate::net::session::{Session, SessionError};
use crate::protocol::{ServerErrorKind, ServerInfo, ServerOp};
use crate::results::doctor::Severity;
use crate::units::{format_bytes, format_duration};

/// How long the rest of a line may take.
const PARTIAL_PATIENCE: Duration = Duration::from_secs(1);
/// How much of a name of the server is shown.
const MAX_NAME_CHARS: usize = 60;

const LAME_DUCK: Code = Code {
    name: "info.lame-duck",
    severity: Severity::Warning,
    meaning: "The server is about to shut down.",
    cause: "It is in lame duck mode: somebody stops it gracefully, for an update say. It takes no new connections, and ends the old ones one after the other.",
    fix: "Connect to another server of the cluster, or wait until this one is back.",
};

pub(super) const CHECK: Check = Check {
    id: CheckId::Info,
    requires: &[CheckId::Upgrade],
    codes: &[
        &codes::LEAFNODE_PATH,
        &codes::OTHER_SERVICE,
        &codes::CLOSED,
        &codes::CLOSE_FRAME,
        &codes::SHUTDOWN,
        &codes::RESET,
        &codes::SILENT,
        &codes::NOT_WEBSOCKET,
        &codes::HTTP_AFTER_101,
        &codes::INTERMITTENT,
        &codes::BAD_INFO,
        &codes::REFUSED,
        &codes::NO_TLS_FIRST,
        &codes::TLS_NOT_OFFERED,
        &codes::NOT_NATS,
        &LAME_DUCK,
        &advertised::UNREACHABLE,
    ],
    run: |examination| Box::pin(run(examination)),
};

async fn run(examination: &mut Examination<'_>) -> Looked {
    if !examination.target.scheme.is_websocket() {
        return plain::run(examination).await;
    }
    let Some(mut session) = examination.learned.session.take() else {
        return Looked::Unable("there is no connection".to_owned());
    };
    let limit = examination.step_limit();
    let begun = mono_now();
    let came = first_info(&mut session, limit).await;
    let after = Duration::from_nanos(mono_now().since(begun));
    let missing = match came {
        Ok(info) if !leafnode::is_of_leafnode(examination.target, &info) => {
            return accept(examination, session, info).await;
        }
        Ok(_) => Missing::Leafnode,
        Err(missing) => missing,
    };
    drop(session);
    let text = format!(
        "waited for INFO behind the 101: {}, after {}",
        missing.text(),
        format_duration(after)
    );
    let finding = missing::look(examination, missing, after).await;
    examination.find(finding);
    Looked::At(text)
}

/// Waits for INFO. Whoever begins with something that is no whole line says no more for a while: that is not nats-server,
/// which says INFO in one piece, and is not waited for as long.
async fn first_info(session: &mut Session, limit: Duration) -> Result<ServerInfo, Missing> {
    let begun = mono_now();
    loop {
        let op = session
            .next_op()
            .map_err(|error| Missing::Strange(chain_text(&error)))?;
        match op {
            Some(ServerOp::Info(json)) => {
                return ServerInfo::parse(json)
                    .map_err(|error| Missing::Strange(chain_text(&error)));
            }
            Some(ServerOp::Err(text)) => {
                return Err(Missing::Refused {
                    text: text.to_owned(),
                    kind: ServerErrorKind::classify(text),
                });
            }
            Some(_) => continue,
            None => {}
        }
        let n_partial = session.buffered_bytes();
        let left = limit.saturating_sub(Duration::from_nanos(mono_now().since(begun)));
        let patience = if n_partial > 0 {
            left.min(PARTIAL_PATIENCE)
        } else {
            left
        };
        match timeout(patience, session.read()).await {
            Ok(read) => read.map_err(missing_of)?,
            Err(_) if n_partial > 0 => {
                return Err(Missing::Strange(format!("{n_partial} bytes, no line")));
            }
            Err(_) => return Err(Missing::Silence),
        }
    }
}

/// How the connection ended in place of INFO.
fn missing_of(error: SessionError) -> Missing {
    match error {
        SessionError::Eof => Missing::Closed,
        SessionError::Closed { code, reason } => Missing::CloseFrame { code, reason },
        SessionError::Io(error) => Missing::Broken(error.to_string()),
        other => Missing::Strange(chain_text(&other)),
    }
}

/// INFO is there: notes what it says, and what will surprise.
async fn accept(examination: &mut Examination<'_>, session: Session, info: ServerInfo) -> Looked {
    facts(examination, &info);
    infer_front(examination, &info);
    if info.ldm {
        let finding = LAME_DUCK
            .finding(format!(
                "nats-server at {} is about to shut down (lame duck mode).",
                examination.target.host_and_port()
            ))
            .because("It still answers old connections, and ends them one after the other; new ones are refused.")
            .evidence("INFO", "\"ldm\":true")
            .remedy("Connect to another server of the cluster, or wait until this one has been restarted.");
        examination.find(finding);
    }
    let is_compressed = is_compressed(examination);
    for (name, value) in versions::notes(&info, examination.target.scheme, is_compressed) {
        examination.fact(name, value);
    }
    if let Some(finding) = advertised::look(examination, &info).await {
        examination.find(finding);
    }
    let text = format!(
        "INFO of nats-server {}, {}",
        short(&info.version, MAX_NAME_CHARS),
        if info.auth_required {
            "authentication required"
        } else {
            "no authentication required"
        }
    );
    examination.learned.info = Some(info);
    examination.learned.session = Some(session);
    Looked::At(text)
}

fn is_compressed(examination: &Examination<'_>) -> bool {
    let switched = examination.learned.switched.as_ref();
    switched.is_some_and(|reply| reply.header("Sec-WebSocket-Extensions").is_some())
}

/// What a healthy report shows.
fn facts(examination: &mut Examination<'_>, info: &ServerInfo) {
    let name = |text: &str| short(text, MAX_NAME_CHARS);
    examination.fact("version", format!("nats-server {}", name(&info.version)));
    // Without a name, it is its id.
    if !info.server_name.is_empty() && info.server_name != info.server_id {
        examination.fact("server", name(&info.server_name));
    }
    if let Some(cluster) = &info.cluster {
        let n_others = info.connect_urls.len();
        examination.fact(
            "cluster",
            match n_others {
                1 => format!("{}, 1 advertised address", name(cluster)),
                n => format!("{}, {n} advertised addresses", name(cluster)),
            },
        );
    }
    let jetstream = match (&info.domain, info.jetstream) {
        (Some(domain), true) => format!("on, domain {}", name(domain)),
        (None, true) => "on".to_owned(),
        (_, false) => "off".to_owned(),
    };
    examination.fact("JetStream", jetstream);
    let authentication = match (info.auth_required, &info.nonce) {
        (true, Some(_)) => "required (nkey or JWT)",
        (true, None) => "required",
        (false, _) => "not required",
    };
    examination.fact("authentication", authentication);
    // The handshake has said what it is about.
    if !examination.learned.is_tls {
        examination.fact("TLS", "off");
    }
    examination.fact("max payload", format_bytes(info.max_payload));
    if !info.client_ip.is_empty() {
        examination.fact("seen as", name(&info.client_ip));
    }
}

/// Another port than that of the URL means that something is in between, if only a port mapping.
fn infer_front(examination: &mut Examination<'_>, info: &ServerInfo) {
    let asked = examination.target.port;
    if info.port == 0 || info.port == asked || examination.learned.front.is_some() {
        return;
    }
    let text = format!("port {asked} leads to port {} of nats-server", info.port);
    examination.fact("in between", &text);
    examination.learned.front = Some(Proxy {
        kind: ProxyKind::Mapping,
        text,
    });
}
