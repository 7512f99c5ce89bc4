//! What is behind a port that takes a connection and does not answer the upgrade in HTTP.
//!
//! The same silence, or the same hang-up, has many causes: the port is asked again in other ways, side by side, until
//! one of them answers.

mod client_url;
pub(crate) mod codes;
mod hung_up;
mod judge;
mod probes;
mod spoken;

use std::time::Duration;

use crate::doctor::elsewhere::{Asker, find_websocket};
use crate::doctor::examination::Examination;
use crate::doctor::fingerprint::{Protocol, Speaker, identify};
use crate::doctor::neighbours;
use crate::doctor::reprobe::probes::Http;
use crate::net::target::Scheme;
use crate::net::ws::upgrade::UpgradeError;
use crate::results::doctor::Finding;

pub(crate) use spoken::spoken;

/// What the upgrade request got instead of an answer in HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The peer closed the connection (FIN), perhaps in the middle of a head.
    Closed { received: Vec<u8>, after: Duration },
    /// The connection broke: a reset, say.
    Broken {
        received: Vec<u8>,
        error: String,
        after: Duration,
    },
    /// Nothing came until the limit.
    Silence { waited: Duration },
    /// Bytes that are no HTTP.
    NotHttp { received: Vec<u8>, after: Duration },
}

impl Unanswered {
    /// Of the error of an upgrade that took so long; `None` if there was an answer in HTTP.
    ///
    /// A TLS alert that comes here instead of in the handshake is the business of whoever looks at TLS.
    pub(crate) fn of(error: &UpgradeError, after: Duration) -> Option<Self> {
        match error {
            UpgradeError::Closed { received } => Some(Self::Closed {
                received: received.clone(),
                after,
            }),
            UpgradeError::Io { received, source } => Some(Self::Broken {
                received: received.clone(),
                error: source.to_string(),
                after,
            }),
            UpgradeError::NotHttp { received } => Some(Self::NotHttp {
                received: received.clone(),
                after,
            }),
            _ => None,
        }
    }

    /// What came.
    fn received(&self) -> &[u8] {
        match self {
            Self::Closed { received, .. }
            | Self::Broken { received, .. }
            | Self::NotHttp { received, .. } => received,
            Self::Silence { .. } => &[],
        }
    }
}

/// Asks the port again until it is known what is behind it, or until what is left cannot be told apart from here.
pub(crate) async fn unanswered(examination: &mut Examination<'_>, what: Unanswered) -> Finding {
    let Some(address) = examination.address() else {
        return judge::without_probes(examination.target, &what);
    };
    let probing = probes::start(examination, address);
    let neighbours = examination.look_around().await;
    let answers = probing.finish().await;
    // Words that come without being asked for are those of the port itself, and not of something behind a proxy.
    let banner = answers
        .banner
        .as_ref()
        .and_then(|heard| identify(&heard.bytes));
    if let Some(speaker) = banner.filter(|speaker| !is_http(speaker)) {
        // The probes of a `wss://` URL go through TLS.
        return if examination.target.scheme == Scheme::Wss {
            spoken::in_tls(examination, &speaker).await
        } else {
            spoken(examination, &speaker).await
        };
    }
    if let Some(speaker) = answers.speaker_in_tls() {
        return spoken::in_tls(examination, &speaker).await;
    }
    match identify(what.received()) {
        Some(speaker) if !is_http(&speaker) && !is_tls(&speaker) => {
            spoken::after_request(examination, &speaker).await
        }
        _ => {
            let scene = judge::Scene {
                what,
                answers,
                neighbours,
            };
            let finding = judge::judge(examination.target, &scene);
            if ![codes::MQTT.name, codes::HANGS_UP.name].contains(&finding.code.as_str()) {
                return finding;
            }
            let served = find_websocket(examination, &scene.neighbours, &[]).await;
            judge::with_right_port(finding, examination.target, served.as_ref())
        }
    }
}

fn is_http(speaker: &Speaker) -> bool {
    matches!(speaker, Speaker::Other(Protocol::Http, _))
}

fn is_tls(speaker: &Speaker) -> bool {
    matches!(speaker, Speaker::Other(Protocol::Tls, _))
}

/// Asks a port that a `nats://` URL goes to, and that does not begin with INFO.
pub(crate) async fn mute_client_port(
    examination: &mut Examination<'_>,
    waited: Duration,
) -> Finding {
    let what = Unanswered::Silence { waited };
    let Some(address) = examination.address() else {
        return judge::without_probes(examination.target, &what);
    };
    let asker = Asker::of(examination);
    let (plain, tls) = tokio::join!(
        probes::in_clear(&asker, address),
        probes::in_tls(&asker, address)
    );
    if let Http::Status(_) = plain
        && let Some(monitoring) = neighbours::monitoring_at(address, asker.limit()).await
    {
        return client_url::monitoring_port(examination.target, &monitoring);
    }
    let client = examination.look_around().await.client;
    let client = client.map(|client| client.address.port());
    if let Some(finding) = client_url::client_port(examination.target, &plain, &tls, client) {
        return finding;
    }
    unanswered(examination, what).await
}
