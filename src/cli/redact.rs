//! Keeps secrets out of what a load run says: a server may send back what it was sent, in a refusal, in its own name,
//! in the reason for which it closes a connection, or on a page.
//!
//! The doctor does the same with its findings. Below both, secrets are hidden by their text, since nobody knows in which
//! form a server quotes them.

use crate::cli::error::CliError;
use crate::doctor::redact::Secrets;
use crate::load::plan::Endpoint;
use crate::results::outages::{Status, StatusEvent};
use crate::results::{ConnectionResult, RunResult};

/// What is used to connect to these.
pub(crate) fn secrets_of(endpoints: &[&Endpoint]) -> Secrets {
    let dial = &endpoints.first().expect("a run connects somewhere").dial;
    let targets = endpoints.iter().flat_map(|endpoint| &endpoint.servers);
    Secrets::of_connections(dial, targets)
}

/// The same outcome without secrets.
pub(crate) fn without_secrets(
    secrets: &Secrets,
    outcome: Result<RunResult, CliError>,
) -> Result<RunResult, CliError> {
    match outcome {
        Ok(mut result) => {
            hide_in_result(secrets, &mut result);
            Ok(result)
        }
        Err(error) => Err(error.with_texts(|text| secrets.hide_in_sentence(text))),
    }
}

/// Hides secrets in every text that may quote a server. The subjects of streams are what the run is about, and their names
/// are what connects them.
pub(crate) fn hide_in_result(secrets: &Secrets, result: &mut RunResult) {
    let why = result
        .slo
        .iter_mut()
        .filter_map(|objective| objective.why.as_mut());
    let sentences = result.reasons.iter_mut().chain(&mut result.trust.doubts);
    for sentence in sentences.chain(why) {
        secrets.hide_in_sentence(sentence);
    }
    for outage in &mut result.outages {
        let failed = outage.failed.iter_mut().map(|attempt| &mut attempt.error);
        let own = [&mut outage.cause.text].into_iter();
        for text in own.chain(failed).chain(&mut outage.gave_up) {
            secrets.hide_in_sentence(text);
        }
    }
    let connections = [&mut result.connection, &mut result.publisher_connection];
    for connection in connections.into_iter().flatten() {
        let ConnectionResult {
            server_version,
            server_name,
            ..
        } = connection;
        for text in [server_version, server_name].into_iter().flatten() {
            secrets.hide(text);
        }
    }
}

/// Hides secrets in what happened to a connection.
pub(crate) fn hide_in_event(secrets: &Secrets, event: &mut StatusEvent) {
    let text = match &mut event.status {
        Status::Disconnected { cause } => Some(&mut cause.text),
        Status::Reconnecting { last_error, .. } => last_error.as_mut(),
        Status::Closed { reason } => reason.as_mut(),
        Status::Connected { .. }
        | Status::Reconnected { .. }
        | Status::LameDuck { .. }
        | Status::Draining => None,
    };
    if let Some(text) = text {
        secrets.hide_in_sentence(text);
    }
}
