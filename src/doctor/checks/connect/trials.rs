//! The same credentials elsewhere at the same server, and none at all here: what a refusal does not say.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;

use crate::doctor::conversation::{Conversation, End};
use crate::doctor::examination::Examination;
use crate::doctor::neighbours::ClientPort;
use crate::net::dial::{await_info, connect_options, credentials_for, dial, start_tls};
use crate::net::probe;
use crate::net::session::Session;
use crate::net::stream::Stream;
use crate::net::target::Scheme;
use crate::protocol::{Credentials, ServerInfo, encode};

/// The same credentials on the client port.
#[derive(Debug, Clone)]
pub(super) struct ClientTrial {
    pub(super) address: SocketAddr,
    /// INFO there.
    pub(super) info: ServerInfo,
    pub(super) outcome: Outcome,
}

/// What came of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    /// With the server's words.
    Refused(String),
    /// It could not be tried, and why.
    Untried(String),
}

/// The client port of the very server that refused us, if it is near.
pub(super) async fn find_client_port(
    examination: &mut Examination<'_>,
    refused_by: &ServerInfo,
) -> Option<ClientPort> {
    if !examination.target.scheme.is_websocket() || refused_by.server_id.is_empty() {
        return None;
    }
    let found = examination.look_around().await.client?;
    (found.info.server_id == refused_by.server_id).then_some(found)
}

/// Tries the credentials there.
pub(super) async fn client_port(examination: &Examination<'_>, found: ClientPort) -> ClientTrial {
    let limit = examination.second_look_limit();
    let trial = log_in(examination, found.address, &found.info, limit);
    let outcome = timeout(limit, trial)
        .await
        .unwrap_or_else(|_| Outcome::Untried("it did not answer in time".to_owned()));
    ClientTrial {
        address: found.address,
        info: found.info,
        outcome,
    }
}

async fn log_in(
    examination: &Examination<'_>,
    address: SocketAddr,
    known: &ServerInfo,
    limit: Duration,
) -> Outcome {
    let untried = |why: &str| Outcome::Untried(why.to_owned());
    let is_tls = known.tls_required;
    if !is_tls && !may_go_in_clear(examination.target.scheme, address.ip()) {
        return untried("the credentials would go over the network in clear");
    }
    let Ok(tcp) = probe::connect(address, limit).await else {
        return untried("no connection");
    };
    let options = &examination.plan.dial;
    let mut session = Session::plain(Stream::tcp(tcp), options.read_buffer_bytes);
    let Ok(info) = await_info(&mut session).await else {
        return untried("no INFO");
    };
    // Whoever answers now has to be the same server again: no other one may see the credentials.
    if info.server_id != known.server_id || info.tls_required != is_tls {
        return untried("another server answered");
    }
    if is_tls {
        let Some(tcp) = session.into_tcp() else {
            return untried("no TLS");
        };
        match start_tls(examination.target, options, tcp).await {
            Ok(stream) => session = Session::plain(stream, options.read_buffer_bytes),
            Err(_) => return untried("no TLS"),
        }
    }
    let credentials = credentials_for(examination.target, options);
    let Ok(connect) = connect_options(options, &credentials, &info, is_tls) else {
        return untried("the credentials cannot be used there");
    };
    let mut conversation = Conversation::new(session);
    encode::connect(conversation.out(), &connect);
    let answer = conversation.settle(limit).await;
    match (answer.errors.into_iter().next(), answer.end) {
        (Some(text), _) => Outcome::Refused(text),
        (None, End::Pong) => Outcome::Accepted,
        (None, _) => untried("it did not answer"),
    }
}

/// What is protected by TLS at the URL is not sent without it, except within this machine.
fn may_go_in_clear(scheme: Scheme, address: IpAddr) -> bool {
    scheme != Scheme::Wss || address.is_loopback()
}

/// Whether the server takes whoever has no credentials.
pub(super) async fn is_open_to_all(examination: &Examination<'_>) -> bool {
    let mut target = examination.target.clone();
    target.user_info = None;
    let mut options = examination.plan.dial.clone();
    options.credentials = Credentials::None;
    options.timeout = examination.second_look_limit();
    dial(&target, &options).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tls_protects_is_not_sent_in_clear() {
        let far = "192.0.2.1".parse().unwrap();
        let near = "127.0.0.1".parse().unwrap();
        assert!(!may_go_in_clear(Scheme::Wss, far));
        assert!(may_go_in_clear(Scheme::Wss, near));
        assert!(may_go_in_clear(Scheme::Ws, far));
    }
}
