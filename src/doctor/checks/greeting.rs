//! Who speaks first: a WebSocket server waits for the client, a NATS, SSH or mail server does not.

use std::time::Duration;

use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::examination::Examination;
use crate::doctor::reprobe;

/// How long a greeting may take beyond a round trip: a server that greets does so at once.
const PATIENCE: Duration = Duration::from_millis(40);
/// Longest wait for a greeting.
const MAX_PATIENCE: Duration = Duration::from_millis(600);

pub(super) const CHECK: Check = Check {
    id: CheckId::Greeting,
    requires: &[CheckId::Tcp],
    codes: &[&reprobe::CLOSED],
    run: |examination| Box::pin(run(examination)),
};

async fn run(examination: &mut Examination<'_>) -> Looked {
    let Some(tcp) = &examination.learned.tcp else {
        return Looked::Unable("there is no connection".to_owned());
    };
    let round_trip = examination
        .learned
        .reached
        .first()
        .map_or(Duration::ZERO, |reached| reached.took);
    let limit = (PATIENCE + 2 * round_trip).min(MAX_PATIENCE);
    let mut bytes = vec![0; 4096];
    let heard = tokio::time::timeout(limit, tcp.peek(&mut bytes)).await;
    match heard {
        Err(_) => Looked::At("the server waits for the client to speak".to_owned()),
        Ok(Ok(0)) => Looked::At("the connection was closed at once".to_owned()),
        Ok(Ok(n)) => Looked::At(format!("{n} bytes")),
        Ok(Err(error)) => Looked::At(error.to_string()),
    }
}
