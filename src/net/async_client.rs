//! Publishing through async-nats, to show what a client library costs.
//!
//! Two things to know when its numbers are read: over `ws://` it leaves `TCP_NODELAY` off, and `publish` only puts a
//! message into a queue, so that a `sent` stamp taken before it includes the time in that queue.

use std::sync::Arc;

use async_nats::Event;

use crate::net::dial::{DialOptions, USER_AGENT, credentials_for};
use crate::net::target::Target;
use crate::protocol::Credentials;

/// Why async-nats could not do it.
#[derive(Debug, thiserror::Error)]
pub enum AsyncClientError {
    /// It could not connect. async-nats repeats its cause in its text, so there is no source here.
    #[error("async-nats cannot connect to {target}: {text}")]
    Connect {
        /// Where to.
        target: String,
        /// What it said.
        text: String,
    },
    /// It could not publish or flush.
    #[error("async-nats: {0}")]
    Publish(String),
    /// Something that async-nats cannot do.
    #[error("`--client async-nats` cannot use {0}; use `--client raw`")]
    Unsupported(&'static str),
}

/// Told what goes wrong behind the library's back: it reconnects by itself, and `publish` knows of no refusal.
pub type OnComplaint = Arc<dyn Fn(String) + Send + Sync>;

/// What an event complains about; most do not.
fn complaint(event: &Event) -> Option<String> {
    match event {
        Event::ServerError(error) => Some(format!("-ERR '{error}'")),
        Event::ClientError(error) => Some(format!("async-nats: {error}")),
        Event::Disconnected => Some("async-nats has lost the connection".to_owned()),
        _ => None,
    }
}

/// A connection of async-nats.
#[derive(Debug, Clone)]
pub struct AsyncClient {
    client: async_nats::Client,
}

/// Says what async-nats cannot do of what the options ask for, before anything is connected.
///
/// # Errors
/// The first such thing.
pub fn check(options: &DialOptions) -> Result<(), AsyncClientError> {
    let unsupported = if !options.headers.is_empty()
        || options.origin.is_some()
        || options.user_agent != USER_AGENT
    {
        "headers of the upgrade"
    } else if options.compression {
        "compression"
    } else if options.no_masking {
        "unmasked frames"
    } else if matches!(&options.credentials, Credentials::Jwt { seed: None, .. }) {
        "a JWT without its seed"
    } else {
        return Ok(());
    };
    Err(AsyncClientError::Unsupported(unsupported))
}

impl AsyncClient {
    /// Connects to the first of the servers that answers.
    ///
    /// # Errors
    /// What the first of them said; or what async-nats cannot do of what the options ask for.
    pub async fn connect(
        targets: &[Target],
        options: &DialOptions,
        on_complaint: &OnComplaint,
    ) -> Result<Self, AsyncClientError> {
        check(options)?;
        let mut first_error = None;
        for target in targets {
            match Self::connect_to(target, options, on_complaint).await {
                Ok(client) => return Ok(client),
                Err(error) => _ = first_error.get_or_insert(error),
            }
        }
        Err(first_error.unwrap_or(AsyncClientError::Unsupported("an empty list of servers")))
    }

    async fn connect_to(
        target: &Target,
        options: &DialOptions,
        on_complaint: &OnComplaint,
    ) -> Result<Self, AsyncClientError> {
        let url = format!(
            "{}://{}{}",
            target.scheme.name(),
            target.host_and_port(),
            target.path_and_query
        );
        let on_complaint = Arc::clone(on_complaint);
        let connected = connect_options(target, options)?
            .event_callback(move |event| {
                if let Some(text) = complaint(&event) {
                    on_complaint(text);
                }
                std::future::ready(())
            })
            .connect(&url)
            .await;
        connected
            .map(|client| Self { client })
            .map_err(|error| AsyncClientError::Connect {
                target: target.to_string(),
                text: error.to_string(),
            })
    }

    /// Puts a message into the library's queue.
    ///
    /// # Errors
    /// When the library has stopped or refuses the subject.
    pub async fn publish(&self, subject: String, payload: Vec<u8>) -> Result<(), AsyncClientError> {
        let published = self.client.publish(subject, payload.into()).await;
        published.map_err(|error| AsyncClientError::Publish(error.to_string()))
    }

    /// Waits until the library has written everything. This is no round trip: the broker may not have it yet.
    ///
    /// # Errors
    /// When the library has stopped.
    pub async fn flush(&self) -> Result<(), AsyncClientError> {
        self.client
            .flush()
            .await
            .map_err(|error| AsyncClientError::Publish(error.to_string()))
    }
}

fn connect_options(
    target: &Target,
    options: &DialOptions,
) -> Result<async_nats::ConnectOptions, AsyncClientError> {
    let base = async_nats::ConnectOptions::new()
        .name(&options.name)
        .connection_timeout(options.timeout)
        // Discovered servers come without a scheme and would be dialled as plain NATS.
        .ignore_discovered_servers()
        .tls_client_config((*options.tls).clone());
    let base = if options.tls_first {
        base.tls_first()
    } else {
        base
    };
    Ok(match &credentials_for(target, options) {
        Credentials::None => base,
        Credentials::UserPassword { user, password } => {
            base.user_and_password(user.clone(), password.expose().to_owned())
        }
        Credentials::Token(token) => base.token(token.expose().to_owned()),
        Credentials::NKey { seed } => base.nkey(seed.expose().to_owned()),
        Credentials::Jwt {
            jwt,
            seed: Some(seed),
        } => {
            let pair = Arc::new(nkeys::KeyPair::from_seed(seed.expose()).map_err(|error| {
                AsyncClientError::Publish(format!("the nkey seed is invalid: {error}"))
            })?);
            base.jwt(jwt.expose().to_owned(), move |nonce| {
                let pair = Arc::clone(&pair);
                async move { pair.sign(&nonce).map_err(async_nats::AuthError::new) }
            })
        }
        Credentials::Jwt { seed: None, .. } => {
            return Err(AsyncClientError::Unsupported("a JWT without its seed"));
        }
    })
}
