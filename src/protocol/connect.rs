//! The JSON of CONNECT.

use std::fmt;

use serde::Serialize;

/// What a client says about itself.
///
/// `verbose` and `pedantic` are always written: a server takes a missing `verbose` for *true*, and then answers every
/// operation with `+OK`.
#[derive(Clone, Serialize)]
pub struct ConnectOptions {
    /// Answer every operation with `+OK`.
    pub verbose: bool,
    /// Check subjects strictly.
    pub pedantic: bool,
    /// The connection is TLS.
    pub tls_required: bool,
    /// Client name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Language of the client.
    pub lang: String,
    /// Version of the client.
    pub version: String,
    /// Protocol version: 1 has the second INFO.
    pub protocol: u8,
    /// Receive own messages.
    pub echo: bool,
    /// Headers are understood.
    pub headers: bool,
    /// A request without subscriber is answered at once.
    pub no_responders: bool,
    /// User name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass: Option<String>,
    /// Token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<String>,
    /// Public nkey.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nkey: Option<String>,
    /// User JWT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<String>,
    /// Signature of the nonce.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            verbose: false,
            pedantic: false,
            tls_required: false,
            name: None,
            lang: "rust".to_owned(),
            version: String::new(),
            protocol: 1,
            echo: true,
            headers: true,
            no_responders: true,
            user: None,
            pass: None,
            auth_token: None,
            nkey: None,
            jwt: None,
            sig: None,
        }
    }
}

/// Shows which credentials there are, never what they are.
impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("verbose", &self.verbose)
            .field("pedantic", &self.pedantic)
            .field("name", &self.name)
            .field("has_password", &self.pass.is_some())
            .field("has_token", &self.auth_token.is_some())
            .field("has_nkey", &self.nkey.is_some())
            .field("has_jwt", &self.jwt.is_some())
            .finish_non_exhaustive()
    }
}
