//! What was typed: URL, subjects, credentials, context; all that can be judged without connecting.

mod credentials;
mod description;
mod files;
mod known;
mod quoting;
mod spelling;
mod subjects;
mod times;
mod traps;
mod url;

pub use files::{context_fault, tls_fault, unreadable_credentials, unusable_credentials};
pub use url::{empty_url, url_fault, url_notes};

use self::credentials::Around;
use self::quoting::quoted;
use self::subjects::Use;
use crate::clock::Clock;
use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::examination::Examination;
use crate::host::utc_offsets;
use crate::net::dial::{connect_options, credentials_for};
use crate::net::target::Scheme;
use crate::protocol::{Credentials, Secret, ServerInfo, UserClaims, encode};
use crate::results::doctor::Severity;

pub(super) const CHECK: Check = Check {
    id: CheckId::Input,
    requires: &[],
    codes: &[
        &url::URL,
        &url::DEFAULT_PORT,
        &url::USER_WITHOUT_PASSWORD,
        &files::CONTEXT,
        &files::CREDENTIALS_FILE,
        &files::TLS_FILE,
        &files::NO_ROOTS,
        &credentials::codes::NOT_A_JWT,
        &credentials::codes::NOT_A_USER,
        &credentials::codes::BAD_SIGNATURE,
        &credentials::codes::BAD_SEED,
        &credentials::codes::SEED_MISMATCH,
        &credentials::codes::NO_SEED,
        &credentials::codes::EXPIRED,
        &credentials::codes::NOT_YET_VALID,
        &credentials::codes::ISSUED_LATER,
        &credentials::codes::CONNECTION_TYPE,
        &credentials::codes::OUTSIDE_TIMES,
        &credentials::codes::BAD_LIMITS,
        &credentials::codes::TOO_LONG,
        &credentials::codes::PROXY_REQUIRED,
        &subjects::codes::EMPTY,
        &subjects::codes::EMPTY_TOKEN,
        &subjects::codes::BLANK,
        &subjects::codes::CONTROL_CHARACTER,
        &subjects::codes::FULL_WILDCARD_NOT_LAST,
        &subjects::codes::WILDCARD_IN_PUBLISH,
        &subjects::codes::TOO_LONG,
        &subjects::codes::QUEUE,
        &traps::LITERAL_WILDCARD,
        &traps::RESERVED,
        &traps::JETSTREAM_REQUEST,
        &traps::INBOX,
        &spelling::LOOK_ALIKE,
        &traps::NON_ASCII,
        &spelling::QUOTES,
        &spelling::LIST,
        &spelling::MQTT_STYLE,
        &spelling::PLACEHOLDER,
        &traps::WRONG_CASE,
        &traps::MISSPELT,
        &traps::WRONG_DEPTH,
        &traps::MANY_TOKENS,
        &traps::LONG,
    ],
    run: |examination| Box::pin(async { judge(examination) }),
};

/// What a message is taken to be long where nothing is said, in bytes.
const USUAL_PAYLOAD_BYTES: u64 = 100;

fn judge(examination: &mut Examination<'_>) -> Looked {
    let plan = examination.plan;
    for finding in plan.faults.iter().chain(&plan.notes) {
        examination.find(finding.clone());
    }
    let mut looked_at = vec![match &plan.typed_target {
        Some(typed) => typed.clone(),
        None => examination.target.to_string(),
    }];
    looked_at.extend(judge_credentials(examination));
    if let Some(fault) = plan.queue.as_deref().and_then(subjects::queue_fault) {
        examination.find(fault);
    }
    let queue = plan.queue.as_deref();
    for text in &plan.subjects {
        judge_subject(examination, text, Use::Subscribe { queue });
    }
    if let Some(text) = &plan.publish {
        let payload_bytes = plan.payload_bytes.unwrap_or(USUAL_PAYLOAD_BYTES);
        judge_subject(examination, text, Use::Publish { payload_bytes });
    }
    let all = plan.subjects.iter().chain(&plan.publish);
    looked_at.extend(all.map(|text| quoted(text)));
    Looked::At(looked_at.join(", "))
}

fn judge_subject(examination: &mut Examination<'_>, text: &str, usage: Use<'_>) {
    if let Some(fault) = subjects::fault(text, usage) {
        examination.find(fault);
        return;
    }
    let mut is_odd = false;
    for finding in traps::findings(text, usage) {
        is_odd |= finding.severity != Severity::Info;
        examination.find(finding);
    }
    let mut description = description::of(text, usage);
    if is_odd {
        description.push_str(", but see the warning");
    }
    examination.fact(&quoted(text), description);
}

/// Judges who we are going to say that we are; what that is, in a few words.
fn judge_credentials(examination: &mut Examination<'_>) -> Option<String> {
    let plan = examination.plan;
    let source = if examination.target.user_info.is_some() {
        "the URL"
    } else {
        plan.credentials_source.as_deref().unwrap_or("the flags")
    };
    match credentials_for(examination.target, &plan.dial) {
        Credentials::None => None,
        Credentials::UserPassword { .. } => Some(format!("user and password of {source}")),
        Credentials::Token(_) => Some(format!("token of {source}")),
        Credentials::NKey { seed } => {
            let pair = nkeys::KeyPair::from_seed(seed.expose());
            let key = pair.map_or_else(
                |_| "an unknown key".to_owned(),
                |pair| quoted(&pair.public_key()),
            );
            examination.fact("credentials", format!("{source}: nkey {key}"));
            Some(format!("nkey of {source}"))
        }
        Credentials::Jwt { jwt, seed } => {
            judge_jwt(examination, &jwt, seed.as_ref(), source);
            Some(format!("JWT of {source}"))
        }
    }
}

fn judge_jwt(examination: &mut Examination<'_>, jwt: &Secret, seed: Option<&Secret>, source: &str) {
    let claims = match UserClaims::decode(jwt.expose()) {
        Ok(claims) => claims,
        Err(error) => {
            examination.find(credentials::undecodable(&error, source));
            return;
        }
    };
    let now = times::seconds_of(Clock::start().wall_now());
    let zone = claims.time_zone.as_deref();
    let offsets = zone
        .and_then(|zone| utc_offsets(zone, now))
        .unwrap_or_else(times::all_offsets);
    let around = Around {
        source,
        scheme: examination.target.scheme,
        now,
        offsets: &offsets,
        n_connect_bytes: connect_bytes(examination, jwt),
    };
    let seed = seed.map(Secret::expose);
    for finding in credentials::findings(jwt.expose(), &claims, seed, &around) {
        examination.find(finding);
    }
    examination.fact("credentials", credentials::description(&claims, &around));
}

/// How long the arguments of CONNECT will be.
fn connect_bytes(examination: &Examination<'_>, jwt: &Secret) -> usize {
    let info = ServerInfo {
        nonce: Some("nonce".to_owned()),
        ..ServerInfo::default()
    };
    let credentials = credentials_for(examination.target, &examination.plan.dial);
    let is_tls = examination.target.scheme == Scheme::Wss;
    let connect = connect_options(&examination.plan.dial, &credentials, &info, is_tls);
    connect.map_or(jwt.expose().len(), |connect| {
        let mut line = Vec::new();
        encode::connect(&mut line, &connect);
        line.len() - "CONNECT \r\n".len()
    })
}
