//! The HTTP upgrade to WebSocket: who answered, with what.

use std::time::Duration;

use tokio::time::timeout;

use crate::clock::mono_now;
use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::code::Code;
use crate::doctor::examination::Examination;
use crate::doctor::reprobe::{Unanswered, unanswered};
use crate::net::dial::upgrade_request;
use crate::net::session::Session;
use crate::net::wire::WebSocketMode;
use crate::net::ws::upgrade::upgrade;
use crate::results::doctor::Severity;

const REFUSED: Code = Code {
    name: "upgrade.refused",
    severity: Severity::Error,
    meaning: "The upgrade to WebSocket was refused.",
    cause: "See the evidence.",
    fix: "See the evidence.",
};

pub(super) const CHECK: Check = Check {
    id: CheckId::Upgrade,
    requires: &[CheckId::Tls],
    codes: &[&REFUSED],
    run: |examination| Box::pin(run(examination)),
};

async fn run(examination: &mut Examination<'_>) -> Looked {
    if !examination.target.scheme.is_websocket() {
        return Looked::NotNeeded("the URL goes to the client port".to_owned());
    }
    let Some(mut stream) = examination.learned.stream.take() else {
        return Looked::Unable("there is no connection".to_owned());
    };
    let options = &examination.plan.dial;
    let request = upgrade_request(examination.target, options);
    let limit = examination.step_limit();
    let begun = mono_now();
    match timeout(limit, upgrade(&mut stream, &request)).await {
        Ok(Ok(upgraded)) => {
            let mode = WebSocketMode {
                is_compressed: upgraded.compressed,
                is_masked: !upgraded.unmasked,
                read_buffer_bytes: options.read_buffer_bytes,
            };
            examination.learned.switched = Some(upgraded.reply);
            examination.learned.session = Some(Session::websocket(stream, upgraded.tail, mode));
            Looked::At("101 Switching Protocols".to_owned())
        }
        Ok(Err(error)) => {
            let after = Duration::from_nanos(mono_now().since(begun));
            if let Some(what) = Unanswered::of(&error, after) {
                let finding = unanswered(examination, what).await;
                examination.find(finding);
                return Looked::At(error.to_string());
            }
            examination.find(REFUSED.finding(error.to_string()));
            Looked::At("refused".to_owned())
        }
        Err(_) => {
            drop(stream);
            let finding = unanswered(examination, Unanswered::Silence { waited: limit }).await;
            examination.find(finding);
            Looked::At("no answer".to_owned())
        }
    }
}
