//! The HTTP upgrade to WebSocket: who answered, with what, and why it is not `101`.
//!
//! The step is done once, on the main connection. When it fails, the status and the one who answered decide what is asked
//! again ([`probes`]); the judgement itself is made from what came back, without a socket.

mod advice;
mod cloudflare;
mod codes;
mod dropped;
mod gateway;
mod heads;
mod origin;
mod own;
mod page;
mod plain;
mod redirect;
mod statuses;
mod switched;

use std::time::Duration;

use tokio::time::timeout;

use crate::clock::mono_now;
use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::examination::Examination;
use crate::doctor::http::again::{Asker, find_direct};
use crate::doctor::http::answer::{Case, is_plain_to_tls, path_of};
use crate::doctor::http::paths;
use crate::doctor::neighbours::Monitoring;
use crate::doctor::reprobe::{self, Unanswered};
use crate::doctor::words::short;
use crate::net::dial::upgrade_request;
use crate::net::session::Session;
use crate::net::target::Scheme;
use crate::net::wire::WebSocketMode;
use crate::net::ws::upgrade::{HttpReply, UpgradeError, Upgraded, upgrade};
use crate::results::doctor::Finding;
use crate::units::format_duration;

use crate::doctor::front::{is_nats, proxy_of};

pub(super) const CHECK: Check = Check {
    id: CheckId::Upgrade,
    requires: &[CheckId::Tls],
    codes: &[
        &page::MONITORING,
        &page::PROXY_TO_MONITORING,
        &page::CAPTIVE_PORTAL,
        &page::WEB_SERVER,
        &redirect::TO_HTTPS,
        &redirect::TO_LOGIN,
        &redirect::ELSEWHERE,
        &dropped::DROPPED,
        &own::OWN_HEADER,
        &plain::PLAIN_TO_TLS,
        &plain::PROXY_PLAIN_TO_TLS,
        &codes::CLIENT_CERTIFICATE,
        &codes::CLIENT_CERTIFICATE_REFUSED,
        &codes::OTHER_SERVICE,
        &codes::BAD_REQUEST,
        &codes::PROXY_PROTOCOL_SENT,
        &codes::UNAUTHORIZED,
        &origin::REFUSED,
        &origin::REFUSED_BY_PROXY,
        &origin::WANTED,
        &origin::AGENT,
        &origin::FORBIDDEN,
        &paths::WRONG_PATH,
        &paths::NOT_FOUND,
        &paths::MQTT_PATH,
        &codes::METHOD,
        &codes::PROXY_LOGIN,
        &codes::TIMED_OUT_REQUEST,
        &codes::GONE,
        &codes::TOO_LARGE,
        &codes::MISDIRECTED,
        &codes::UPGRADE_REQUIRED,
        &codes::RATE_LIMITED,
        &codes::BLOCKED,
        &codes::SERVER_ERROR,
        &codes::NOT_IMPLEMENTED,
        &gateway::BAD_GATEWAY,
        &gateway::NO_BACKEND,
        &gateway::GATEWAY_TIMEOUT,
        &codes::NETWORK_LOGIN,
        &codes::CLOUDFLARE,
        &codes::UNEXPECTED,
        &switched::INCOMPLETE,
        &switched::WRONG_ACCEPT,
        &switched::MISSING_ACCEPT,
        &switched::SUBPROTOCOL,
        &switched::EXTENSION,
        &heads::ENDLESS,
        &heads::TOO_MANY,
        &heads::SLOW,
        &heads::UPSTREAM_SILENT,
    ],
    run: |examination| Box::pin(run(examination)),
};

async fn run(examination: &mut Examination<'_>) -> Looked {
    if !examination.target.scheme.is_websocket() {
        return Looked::NotNeeded("the URL goes to the client port".to_owned());
    }
    let Some(mut stream) = examination.learned.stream.take() else {
        return Looked::Unable("there is no connection".to_owned());
    };
    let request = upgrade_request(examination.target, &examination.plan.dial);
    let limit = examination.step_limit();
    let begun = mono_now();
    let upgraded = timeout(limit, upgrade(&mut stream, &request)).await;
    let after = Duration::from_nanos(mono_now().since(begun));
    let path = path_of(&request.path_and_query);
    match upgraded {
        Ok(Ok(upgraded)) => {
            let text = switched_text(path, &upgraded.reply);
            hand_on(examination, stream, upgraded);
            Looked::At(text)
        }
        Ok(Err(error)) => {
            drop(stream);
            let text = format!("GET {path}, Upgrade: websocket: {}", answer_text(&error));
            let finding = examine_failure(examination, error, after).await;
            examination.find(finding);
            Looked::At(text)
        }
        Err(_) => {
            drop(stream);
            let finding = heads::silent(examination, limit).await;
            examination.find(finding);
            let waited = format_duration(limit);
            Looked::At(format!(
                "GET {path}, Upgrade: websocket: no whole answer within {waited}"
            ))
        }
    }
}

fn switched_text(path: &str, reply: &HttpReply) -> String {
    let through = proxy_of(reply).map_or_else(String::new, |proxy| format!(", through {proxy}"));
    format!("GET {path}, Upgrade: websocket: 101{through}")
}

/// What came back, in a few words.
fn answer_text(error: &UpgradeError) -> String {
    match error {
        UpgradeError::Refused(reply) => format!("{} {}", reply.status, short(&reply.reason, 60)),
        other => other.to_string(),
    }
}

/// The upgrade is done: the connection becomes a session.
fn hand_on(
    examination: &mut Examination<'_>,
    stream: crate::net::stream::Stream,
    upgraded: Upgraded,
) {
    let mode = WebSocketMode {
        is_compressed: upgraded.compressed,
        is_masked: !upgraded.unmasked,
        read_buffer_bytes: examination.plan.dial.read_buffer_bytes,
    };
    examination.learned.front = proxy_of(&upgraded.reply);
    if upgraded.compressed {
        examination.fact("compression", "permessage-deflate");
    }
    examination.learned.is_tls = examination.target.scheme == Scheme::Wss;
    examination.learned.switched = Some(upgraded.reply);
    examination.learned.session = Some(Session::websocket(stream, upgraded.tail, mode));
}

/// Looks again until the cause is known.
async fn examine_failure(
    examination: &mut Examination<'_>,
    error: UpgradeError,
    after: Duration,
) -> Finding {
    match error {
        UpgradeError::Refused(reply) => refused(examination, &reply).await,
        UpgradeError::Invalid { reason, reply, .. } => invalid(examination, &reason, &reply).await,
        UpgradeError::HeadTooLong { limit_bytes } => {
            heads::endless(&examination.target.host_and_port(), limit_bytes)
        }
        UpgradeError::TooManyHeaders { limit } => {
            heads::too_many(&examination.target.host_and_port(), limit)
        }
        error => {
            let what =
                Unanswered::of(&error, after).unwrap_or(Unanswered::Silence { waited: after });
            reprobe::unanswered(examination, what).await
        }
    }
}

/// Any status but 101.
async fn refused(examination: &mut Examination<'_>, reply: &HttpReply) -> Finding {
    let proxy = proxy_of(reply);
    examination.learned.front.clone_from(&proxy);
    let plan = examination.plan;
    let mut case = Case {
        target: examination.target,
        options: &plan.dial,
        reply,
        proxy,
    };
    let Some(asker) = Asker::of(examination) else {
        return statuses::judge(&case);
    };
    // Whatever the status: where it is 101 without the origin, the origin is the cause.
    let mut trials = origin::Trials::default();
    if reply.status == 403 || (reply.status >= 400 && origin::given(&case).is_some()) {
        trials = origin::try_others(&case, &asker).await;
        if let Some(finding) = origin::judge_origin(&case, &trials) {
            return finding;
        }
    }
    if reply.status >= 400
        && let Some(finding) = own::look(&case, &asker).await
    {
        return finding;
    }
    match reply.status {
        200..=299 => {
            let seen = page::look(&case, &asker).await;
            page::judge(&case, &seen)
        }
        300..=399 => {
            name_front(&mut case, &asker).await;
            let there = redirect::look(&case, &asker, plan.tls.without_verification()).await;
            redirect::judge(&case, there.as_ref())
        }
        400 if is_nats(reply) => {
            let neighbours = examination.look_around().await;
            let unverified = plan.tls.without_verification();
            let finding = dropped::look(&mut case, &asker, &neighbours, unverified).await;
            examination.learned.front = case.proxy;
            finding
        }
        400..=499 if is_plain_to_tls(reply) => {
            plain::look(&mut case, &asker, plan.tls.without_verification()).await
        }
        403 => {
            name_front(&mut case, &asker).await;
            let is_certificate_missing = examination.learned.is_certificate_missing;
            origin::judge_forbidden(&case, &trials, is_certificate_missing)
        }
        404 if is_nats(reply) => {
            name_front(&mut case, &asker).await;
            paths::mqtt(&case)
        }
        404 => not_found(&mut case, &asker).await,
        502..=504 => no_backend(examination, &mut case, &asker).await,
        _ => {
            name_front(&mut case, &asker).await;
            statuses::judge(&case)
        }
    }
}

/// A proxy that has no way to its server: whether nats-server can be reached around it.
async fn no_backend(
    examination: &mut Examination<'_>,
    case: &mut Case<'_>,
    asker: &Asker,
) -> Finding {
    let provoke = async {
        match case.proxy {
            Some(_) => None,
            None => asker.provoke().await,
        }
    };
    let (provoked, known) = tokio::join!(provoke, examination.look_around());
    if case.proxy.is_none() {
        case.proxy = provoked.as_ref().and_then(proxy_of);
    }
    let port = known
        .monitoring
        .as_ref()
        .and_then(Monitoring::websocket_port);
    let unverified = examination.plan.tls.without_verification();
    let direct = find_direct(asker, port, unverified).await;
    gateway::judge(case, direct.as_ref())
}

/// Has whoever is in front name itself, where the answer does not.
async fn name_front(case: &mut Case<'_>, asker: &Asker) {
    if case.proxy.is_none() {
        case.proxy = asker.provoke().await.as_ref().and_then(proxy_of);
    }
}

/// 404 that nats-server did not write; its monitoring port answers so at other paths than its own.
async fn not_found(case: &mut Case<'_>, asker: &Asker) -> Finding {
    let provoke = async {
        match case.proxy {
            Some(_) => None,
            None => asker.provoke().await,
        }
    };
    let (pages, seen, provoked) = tokio::join!(
        page::look_for_varz(case.path(), asker),
        paths::look(asker),
        provoke
    );
    if case.proxy.is_none() {
        case.proxy = provoked.as_ref().and_then(proxy_of);
    }
    if seen.right_path().is_none()
        && let Some(finding) = page::judge_monitoring(case, &pages)
    {
        return finding;
    }
    paths::not_found(case, &seen)
}

/// 101, but not for us.
async fn invalid(examination: &mut Examination<'_>, reason: &str, reply: &HttpReply) -> Finding {
    let proxy = proxy_of(reply);
    examination.learned.front.clone_from(&proxy);
    let mut case = Case {
        target: examination.target,
        options: &examination.plan.dial,
        reply,
        proxy,
    };
    let mut again = None;
    if let Some(asker) = Asker::of(examination) {
        let request = upgrade_request(&asker.target, &asker.options);
        let (second, provoked) = tokio::join!(asker.accept_of(&request), asker.provoke());
        again = second;
        if case.proxy.is_none() {
            case.proxy = provoked.as_ref().and_then(proxy_of);
        }
    }
    switched::judge(&case, reason, again.as_ref())
}
