//! The HTTP upgrade to WebSocket: who answered, with what.

use tokio::time::timeout;

use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::code::Code;
use crate::doctor::examination::Examination;
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
            examination.find(REFUSED.finding(error.to_string()));
            Looked::At("refused".to_owned())
        }
        Err(_) => Looked::Unable("timeout".to_owned()),
    }
}
