//! The JSON of INFO.

use serde::Deserialize;

use super::ProtocolError;

/// What a server says about itself and the connection. Every field may be missing; unknown ones are kept.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ServerInfo {
    /// Public key of the server.
    pub server_id: String,
    /// Its name.
    pub server_name: String,
    /// Its version.
    pub version: String,
    /// Protocol version.
    pub proto: u8,
    /// Build.
    pub git_commit: Option<String>,
    /// Compiler.
    pub go: Option<String>,
    /// Host of the listener.
    pub host: String,
    /// Port of the listener; another one than that of the URL means that something is in between.
    pub port: u16,
    /// Headers are understood.
    pub headers: bool,
    /// Largest payload in bytes.
    pub max_payload: u64,
    /// `JetStream` is on, though perhaps not for this account.
    pub jetstream: bool,
    /// The server has authentication, though perhaps a user for those without credentials.
    pub auth_required: bool,
    /// TLS must be used.
    pub tls_required: bool,
    /// A client certificate must be shown.
    pub tls_verify: bool,
    /// TLS may be used.
    pub tls_available: bool,
    /// To be signed with an nkey.
    pub nonce: Option<String>,
    /// Number of the connection.
    pub client_id: u64,
    /// Our address, as the server sees it.
    pub client_ip: String,
    /// Cluster name.
    pub cluster: Option<String>,
    /// `JetStream` domain.
    pub domain: Option<String>,
    /// Other servers; on a WebSocket connection their WebSocket addresses, without scheme.
    pub connect_urls: Vec<String>,
    /// WebSocket addresses, in INFO to routes only.
    pub ws_connect_urls: Vec<String>,
    /// The server is about to shut down.
    pub ldm: bool,
    /// This is the second INFO, after CONNECT.
    pub connect_info: bool,
    /// Account of the connection, in the second INFO of newer servers.
    pub remote_account: Option<String>,
    /// API level of the server.
    pub api_lvl: Option<u64>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl ServerInfo {
    /// Reads the JSON of INFO.
    ///
    /// # Errors
    /// When it is no JSON object, or a field has another type.
    pub fn parse(json: &[u8]) -> Result<Self, ProtocolError> {
        serde_json::from_slice(json).map_err(|error| ProtocolError::BadInfo {
            reason: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_fields_have_defaults_and_unknown_ones_are_kept() {
        let info = ServerInfo::parse(br#"{"version":"2.15.1","max_payload":1048576,"lnoc":true}"#)
            .unwrap();
        assert_eq!(
            (info.version.as_str(), info.max_payload, info.port),
            ("2.15.1", 1 << 20, 0)
        );
        assert_eq!(info.extra["lnoc"], serde_json::Value::Bool(true));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for json in [&b"[]"[..], b"{", b"\xff", b"{\"port\":\"x\"}"] {
            assert!(ServerInfo::parse(json).is_err());
        }
    }
}
