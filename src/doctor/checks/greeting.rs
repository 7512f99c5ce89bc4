//! Who speaks first: a WebSocket server waits for the client, a NATS, SSH or mail server does not.
//!
//! The bytes are only looked at, and stay in the connection for whoever reads it next.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::clock::mono_now;
use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::examination::Examination;
use crate::doctor::fingerprint::{NatsPort, Protocol, Speaker, identify};
use crate::doctor::reprobe::{Unanswered, codes, mute_client_port, spoken, unanswered};
use crate::net::target::Scheme;
use crate::units::format_duration;

/// How long a greeting may take beyond a round trip: a server that greets does so at once.
const PATIENCE: Duration = Duration::from_millis(40);
/// Longest wait for a greeting.
const MAX_PATIENCE: Duration = Duration::from_millis(600);
/// Longest wait where a greeting must come.
const CLIENT_PATIENCE: Duration = Duration::from_secs(2);
/// How long the rest of a greeting may take, once it has begun.
const REST_PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks for the rest.
const PAUSE: Duration = Duration::from_millis(5);
/// Longest greeting that is looked at: INFO with the addresses of a large cluster.
const MAX_BYTES: usize = 64 << 10;

pub(super) const CHECK: Check = Check {
    id: CheckId::Greeting,
    requires: &[CheckId::Tcp],
    codes: &codes::ALL,
    run: |examination| Box::pin(run(examination)),
};

/// What came before anything was said.
#[derive(Debug)]
enum Greeting {
    /// Nothing: the server waits.
    None,
    /// These bytes, and perhaps more.
    Bytes(Vec<u8>),
    /// The connection was closed.
    Closed,
    /// The connection broke.
    Broken(io::Error),
}

async fn run(examination: &mut Examination<'_>) -> Looked {
    let Some(tcp) = &examination.learned.tcp else {
        return Looked::Unable("there is no connection".to_owned());
    };
    let round_trip = examination
        .learned
        .reached
        .first()
        .map_or(Duration::ZERO, |reached| reached.took);
    let is_greeted = is_greeted(examination);
    let limit = if is_greeted {
        examination.step_limit().min(CLIENT_PATIENCE)
    } else {
        (PATIENCE + 2 * round_trip).min(MAX_PATIENCE)
    };
    let begun = mono_now();
    let greeting = listen(tcp, limit).await;
    let after = Duration::from_nanos(mono_now().since(begun));
    match greeting {
        Greeting::None if is_greeted => {
            let finding = mute_client_port(examination, after).await;
            examination.find(finding);
            Looked::At(format!("no INFO within {}", format_duration(after)))
        }
        Greeting::None => Looked::At("the server waits for the client to speak".to_owned()),
        Greeting::Bytes(bytes) => judge(examination, &bytes).await,
        Greeting::Closed => {
            let received = Vec::new();
            hung_up(examination, Unanswered::Closed { received, after }).await
        }
        Greeting::Broken(error) => {
            let what = Unanswered::Broken {
                received: Vec::new(),
                error: error.to_string(),
                after,
            };
            hung_up(examination, what).await
        }
    }
}

/// Whether the server has to speak first.
fn is_greeted(examination: &Examination<'_>) -> bool {
    match examination.target.scheme {
        Scheme::Ws | Scheme::Wss => false,
        Scheme::Nats | Scheme::Tls => !examination.plan.dial.tls_first,
    }
}

/// Looks at what comes, without taking it out of the connection.
async fn listen(tcp: &TcpStream, limit: Duration) -> Greeting {
    let mut bytes = vec![0; MAX_BYTES];
    let mut n_bytes = match timeout(limit, tcp.peek(&mut bytes)).await {
        Err(_) => return Greeting::None,
        Ok(Ok(0)) => return Greeting::Closed,
        Ok(Ok(n_bytes)) => n_bytes,
        Ok(Err(error)) => return Greeting::Broken(error),
    };
    let waiting = async {
        while !bytes[..n_bytes].contains(&b'\n') && n_bytes < MAX_BYTES {
            // What has come is still there, so that the next look does not wait by itself.
            sleep(PAUSE).await;
            match tcp.peek(&mut bytes).await {
                Ok(now) if now > 0 => n_bytes = now,
                _ => break,
            }
        }
    };
    // What has come by then has to do.
    let _ = timeout(REST_PATIENCE, waiting).await;
    bytes.truncate(n_bytes);
    Greeting::Bytes(bytes)
}

async fn judge(examination: &mut Examination<'_>, bytes: &[u8]) -> Looked {
    let Some(speaker) = identify(bytes) else {
        return Looked::At("the server waits for the client to speak".to_owned());
    };
    let is_websocket = examination.target.scheme.is_websocket();
    match &speaker {
        // Whoever reads the connection next says what is wrong with it.
        Speaker::Other(Protocol::Http, excerpt) if is_websocket => {
            return Looked::At(format!("HTTP before a request: {excerpt}"));
        }
        Speaker::Nats(NatsPort::Client, info) if !is_websocket => {
            return Looked::At(format!("INFO of nats-server {}", info.version));
        }
        Speaker::NatsError(text) if !is_websocket => {
            return Looked::At(format!("-ERR '{text}'"));
        }
        _ => {}
    }
    let finding = spoken(examination, &speaker).await;
    examination.find(finding);
    Looked::At(format!("the server begins: {}", speaker.excerpt()))
}

async fn hung_up(examination: &mut Examination<'_>, what: Unanswered) -> Looked {
    let finding = unanswered(examination, what).await;
    examination.find(finding);
    Looked::At("the connection ended before anything was said".to_owned())
}
