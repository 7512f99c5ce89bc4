//! Publishing through async-nats, to show what a client library costs.
//!
//! Two things to know when its numbers are read: over `ws://` it leaves `TCP_NODELAY` off, and `publish` only puts a
//! message into a queue, so that a `sent` stamp taken before it includes the time in that queue.

use crate::net::dial::DialOptions;
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

/// A connection of async-nats.
#[derive(Debug, Clone)]
pub struct AsyncClient {
    client: async_nats::Client,
}

impl AsyncClient {
    /// Connects.
    ///
    /// # Errors
    /// When async-nats cannot, or cannot do what the options ask for.
    pub async fn connect(target: &Target, options: &DialOptions) -> Result<Self, AsyncClientError> {
        if !options.headers.is_empty() || options.origin.is_some() {
            return Err(AsyncClientError::Unsupported("upgrade headers"));
        }
        if options.compression || options.no_masking {
            return Err(AsyncClientError::Unsupported(
                "compression or unmasked frames",
            ));
        }
        let url = format!(
            "{}://{}{}",
            target.scheme.name(),
            target.host_and_port(),
            target.path_and_query
        );
        let connected = connect_options(options)?.connect(&url).await;
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

fn connect_options(options: &DialOptions) -> Result<async_nats::ConnectOptions, AsyncClientError> {
    let base = async_nats::ConnectOptions::new()
        .name(&options.name)
        .connection_timeout(options.timeout)
        // Discovered servers come without a scheme and would be dialled as plain NATS.
        .ignore_discovered_servers()
        .tls_client_config((*options.tls).clone());
    Ok(match &options.credentials {
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
            let pair =
                std::sync::Arc::new(nkeys::KeyPair::from_seed(seed.expose()).map_err(|error| {
                    AsyncClientError::Publish(format!("the nkey seed is invalid: {error}"))
                })?);
            base.jwt(jwt.expose().to_owned(), move |nonce| {
                let pair = std::sync::Arc::clone(&pair);
                async move { pair.sign(&nonce).map_err(async_nats::AuthError::new) }
            })
        }
        Credentials::Jwt { seed: None, .. } => {
            return Err(AsyncClientError::Unsupported("a JWT without its seed"));
        }
    })
}
