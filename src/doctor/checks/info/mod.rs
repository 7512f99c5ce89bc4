//! What the server says of itself.

use tokio::time::timeout;

use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::code::Code;
use crate::doctor::examination::Examination;
use crate::net::dial::await_info;
use crate::results::doctor::Severity;

const MISSING: Code = Code {
    name: "info.missing",
    severity: Severity::Error,
    meaning: "INFO does not come.",
    cause: "See the evidence.",
    fix: "See the evidence.",
};

pub(super) const CHECK: Check = Check {
    id: CheckId::Info,
    requires: &[CheckId::Upgrade],
    codes: &[&MISSING],
    run: |examination| Box::pin(run(examination)),
};

async fn run(examination: &mut Examination<'_>) -> Looked {
    let Some(mut session) = examination.learned.session.take() else {
        return Looked::Unable("there is no connection".to_owned());
    };
    let limit = examination.step_limit();
    match timeout(limit, await_info(&mut session)).await {
        Ok(Ok(info)) => {
            examination.fact("version", format!("nats-server {}", info.version));
            let text = format!("nats-server {}", info.version);
            examination.learned.info = Some(info);
            examination.learned.session = Some(session);
            Looked::At(text)
        }
        Ok(Err(error)) => {
            examination.find(MISSING.finding(error.to_string()));
            Looked::At("no INFO".to_owned())
        }
        Err(_) => {
            examination.find(MISSING.finding("INFO does not come."));
            Looked::At("no INFO".to_owned())
        }
    }
}
