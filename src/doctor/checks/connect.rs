//! The login: CONNECT, and why it is refused.

use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::code::Code;
use crate::doctor::conversation::Conversation;
use crate::doctor::examination::Examination;
use crate::net::dial::{connect_options, credentials_for};
use crate::net::target::Scheme;
use crate::protocol::encode;
use crate::results::doctor::Severity;

const REFUSED: Code = Code {
    name: "connect.refused",
    severity: Severity::Error,
    meaning: "The login was refused.",
    cause: "See the evidence.",
    fix: "See the evidence.",
};

pub(super) const CHECK: Check = Check {
    id: CheckId::Connect,
    requires: &[CheckId::Info],
    codes: &[&REFUSED],
    run: |examination| Box::pin(run(examination)),
};

async fn run(examination: &mut Examination<'_>) -> Looked {
    let (Some(session), Some(info)) = (
        examination.learned.session.take(),
        &examination.learned.info,
    ) else {
        return Looked::Unable("there is no connection".to_owned());
    };
    let options = &examination.plan.dial;
    let credentials = credentials_for(examination.target, options);
    let is_tls = examination.target.scheme == Scheme::Wss;
    let connect = match connect_options(options, &credentials, info, is_tls) {
        Ok(connect) => connect,
        Err(error) => return Looked::Unable(error.to_string()),
    };
    let mut conversation = Conversation::new(session);
    encode::connect(conversation.out(), &connect);
    let answer = conversation.settle(examination.step_limit()).await;
    if answer.is_clean() {
        examination.learned.conversation = Some(conversation);
        return Looked::At("PONG".to_owned());
    }
    let text = answer
        .errors
        .first()
        .cloned()
        .unwrap_or_else(|| answer.end_text());
    examination.find(REFUSED.finding(format!("The login was refused: {text}")));
    Looked::At(text)
}
