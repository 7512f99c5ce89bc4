//! Publishing through async-nats, to show what a client library costs.
//!
//! Two things to know when its numbers are read: over `ws://` it leaves `TCP_NODELAY` off, and `publish` only puts a
//! message into a queue, so that a `sent` stamp taken before it includes the time in that queue.

use std::sync::Arc;
use std::time::Duration;

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

/// What a library tells behind our back: it reconnects by itself, and `publish` knows of no refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LibraryEvent {
    /// It has a connection, the first one or another.
    Connected {
        /// Where to, without secrets.
        server: String,
    },
    /// It has lost its connection.
    Disconnected,
    /// The server, or the library, complains.
    Complaint(String),
}

/// Told what happens.
pub type OnLibraryEvent = Arc<dyn Fn(LibraryEvent) + Send + Sync>;

fn library_event(event: &Event, server: &str) -> Option<LibraryEvent> {
    Some(match event {
        Event::ServerError(error) => LibraryEvent::Complaint(format!("-ERR '{error}'")),
        Event::ClientError(error) => LibraryEvent::Complaint(format!("async-nats: {error}")),
        Event::Disconnected => LibraryEvent::Disconnected,
        Event::Connected => LibraryEvent::Connected {
            server: server.to_owned(),
        },
        _ => return None,
    })
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
        reconnect_wait: Duration,
        on_event: &OnLibraryEvent,
    ) -> Result<Self, AsyncClientError> {
        check(options)?;
        let mut first_error = None;
        for target in targets {
            match Self::connect_to(target, options, reconnect_wait, on_event).await {
                Ok(client) => return Ok(client),
                Err(error) => _ = first_error.get_or_insert(error),
            }
        }
        Err(first_error.unwrap_or(AsyncClientError::Unsupported("an empty list of servers")))
    }

    async fn connect_to(
        target: &Target,
        options: &DialOptions,
        reconnect_wait: Duration,
        on_event: &OnLibraryEvent,
    ) -> Result<Self, AsyncClientError> {
        let url = format!(
            "{}://{}{}",
            target.scheme.name(),
            target.host_and_port(),
            target.path_and_query
        );
        let on_event = Arc::clone(on_event);
        let server = target.to_string();
        let connected = connect_options(target, options)?
            .reconnect_delay_callback(move |_| reconnect_wait)
            .event_callback(move |event| {
                if let Some(event) = library_event(&event, &server) {
                    on_event(event);
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
