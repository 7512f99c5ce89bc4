//! What the tests of the judgements share: answers out of texts, and outcomes.

use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};

use crate::doctor::front::proxy_of;
use crate::doctor::http::again::Outcome;
use crate::doctor::http::answer::Case;
use crate::net::dial::DialOptions;
use crate::net::ws::upgrade::{HttpReply, parse_reply};
use crate::protocol::ServerInfo;

/// An answer as it is on the wire.
pub(crate) fn reply(text: &str) -> HttpReply {
    parse_reply(text.as_bytes()).expect("an answer in HTTP").0
}

/// The case of an answer. Target and options live as long as the tests.
pub(crate) fn case<'a>(url: &str, reply: &'a HttpReply) -> Case<'a> {
    Case {
        target: Box::leak(Box::new(url.parse().expect("a URL"))),
        options: Box::leak(Box::new(options())),
        reply,
        proxy: proxy_of(reply),
    }
}

/// Options of a connection that nothing comes of.
pub(crate) fn options() -> DialOptions {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions that there are")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    DialOptions::new(Arc::new(tls), Duration::from_secs(1))
}

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

/// `101`, and nothing behind it.
pub(crate) fn switched() -> Outcome {
    Outcome::Switched {
        reply: reply(SWITCHED),
        info: None,
    }
}

/// `101`, and INFO behind it.
pub(crate) fn nats() -> Outcome {
    Outcome::Switched {
        reply: reply(SWITCHED),
        info: Some(Box::new(ServerInfo::default())),
    }
}
