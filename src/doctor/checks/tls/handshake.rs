//! Handshakes that fail: what was seen, what other questions to the same port brought, and what follows from it.

use std::io;
use std::time::Duration;

use rustls::{AlertDescription as Alert, Error, PeerIncompatible};

use super::certificate::{Certificate, Fitness};
use super::chain::list;
use super::codes::{
    CLOSED, HANDSHAKE_FAILED, NAME_NOT_SERVED, NO_COMMON_CIPHER, SILENT, VERSION_TOO_OLD,
};
use super::hello::{Agreed, Reply};
use super::no_tls::{
    answer_of_a_websocket_server, not_tls, plain_http, plain_websocket, proxy_protocol,
};
use crate::doctor::fingerprint::identify;
use crate::net::target::Target;
use crate::net::ws::upgrade::HttpReply;
use crate::results::doctor::{Certainty, Finding};
use crate::units::format_duration;

/// How a handshake failed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Failure {
    /// In the words of rustls: an alert of the server, say.
    Tls(Error),
    /// The connection was closed.
    Closed,
    /// The connection broke: a reset, say.
    Broken(String),
    /// Nothing came, or too slowly.
    Silence(Duration),
}

impl Failure {
    pub(super) fn of(error: &io::Error) -> Self {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Error>());
        match inner {
            Some(error) => Self::Tls(error.clone()),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Closed,
            None => Self::Broken(error.to_string()),
        }
    }

    /// The alert that the server sent.
    pub(super) fn alert(&self) -> Option<Alert> {
        match self {
            Self::Tls(Error::AlertReceived(alert)) => Some(*alert),
            _ => None,
        }
    }

    /// In words.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Tls(Error::AlertReceived(alert)) => {
                format!("alert {} ({alert:?})", u8::from(*alert))
            }
            Self::Tls(error) => error.to_string(),
            Self::Closed => "the connection was closed".to_owned(),
            Self::Broken(error) => error.clone(),
            Self::Silence(waited) => format!("no answer within {}", format_duration(*waited)),
        }
    }
}

/// What came of asking the same port in plain HTTP for a WebSocket.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Plain {
    /// It agreed: `101`.
    Switched,
    /// Another answer in HTTP.
    Http(HttpReply),
    /// No HTTP.
    Other,
}

/// What other questions brought.
#[derive(Debug)]
pub(super) struct Looks {
    /// The first bytes that came back to a `ClientHello`.
    pub(super) heard: Vec<u8>,
    /// The answer to a `ClientHello` that offers old versions and ciphers.
    pub(super) hello: Reply,
    /// The same behind a PROXY protocol header.
    pub(super) behind_proxy_header: Reply,
    pub(super) plain: Plain,
    /// What a handshake without a server name showed: the certificates, or why there are none. `None` if the first one
    /// had no name either.
    pub(super) nameless: Option<Result<Vec<Certificate>, String>>,
}

/// Names the cause.
pub(super) fn judge(target: &Target, failure: &Failure, looks: &Looks) -> Finding {
    let finding = cause(target, failure, looks);
    finding.evidence("answer to the TLS handshake", failure.text())
}

fn cause(target: &Target, failure: &Failure, looks: &Looks) -> Finding {
    let is_tls =
        matches!(looks.hello, Reply::Alert(_) | Reply::Agreed(_)) || failure.alert().is_some();
    if !is_tls {
        if let Some(answer) = answer_of_a_websocket_server(&looks.plain) {
            return plain_websocket(target, looks, &answer);
        }
        if matches!(
            looks.behind_proxy_header,
            Reply::Alert(_) | Reply::Agreed(_)
        ) {
            return proxy_protocol(target);
        }
        if let Some(speaker) = identify(&looks.heard) {
            return not_tls(target, &speaker, looks);
        }
        if let Plain::Http(reply) = &looks.plain {
            return plain_http(target, reply, looks);
        }
    }
    if let Some(Ok(certificates)) = &looks.nameless {
        return name_not_served(target, certificates);
    }
    if let Reply::Agreed(agreed) = &looks.hello {
        if agreed.minor < 3 {
            return version_too_old(target, agreed);
        }
        if !agreed.is_own_cipher() {
            return no_common_cipher(target, agreed);
        }
        let key = agreed
            .certificate
            .as_ref()
            .map(|certificate| &certificate.key);
        if let Some(key) = key.filter(|key| key.fitness == Fitness::Unknown) {
            return unknown_key(target, &key.text);
        }
    }
    match failure {
        Failure::Tls(Error::AlertReceived(alert)) => alerted(target, *alert),
        Failure::Tls(Error::PeerIncompatible(reason)) => incompatible(target, reason),
        Failure::Closed | Failure::Broken(_) => closed(target, failure),
        Failure::Silence(waited) => silent(target, *waited),
        Failure::Tls(error) => failed(target).evidence("reason", error),
    }
}

fn name_not_served(target: &Target, certificates: &[Certificate]) -> Finding {
    let host = target.tls_name();
    let names = certificates
        .first()
        .map(Certificate::names)
        .unwrap_or_default();
    let mut finding = NAME_NOT_SERVED
        .finding(format!(
            "{} does not serve the name {host}: with it in the TLS handshake the handshake fails, without it it succeeds.",
            target.host_and_port()
        ))
        .because(
            "A proxy that serves several hosts by name (SNI) has no certificate or no backend for this one, or something on the way filters by name.",
        );
    if !names.is_empty() {
        finding = finding.evidence("names of its default certificate", list(&names));
    }
    finding
        .remedy(format!("Configure {host} with a certificate at the proxy."))
        .remedy("Or use a name in the URL that the proxy serves.")
}

fn version_too_old(target: &Target, agreed: &Agreed) -> Finding {
    VERSION_TOO_OLD
        .finding(format!(
            "{} speaks only {}, and natsbench wants TLS 1.2 or 1.3.",
            target.host_and_port(),
            agreed.version()
        ))
        .because("Browsers, Go, rustls and OpenSSL at its default level refuse such old versions. nats-server does not speak them: a proxy or an old TLS library does.")
        .evidence("version that the server chose, offered up to TLS 1.2", agreed.version())
        .evidence("cipher", agreed.cipher_name())
        .paste("Allow newer versions. nginx:", &["ssl_protocols TLSv1.2 TLSv1.3;"])
        .paste("haproxy:", &["ssl-default-bind-options ssl-min-ver TLSv1.2"])
}

fn no_common_cipher(target: &Target, agreed: &Agreed) -> Finding {
    NO_COMMON_CIPHER
        .finding(format!(
            "{} accepts none of natsbench's ciphers; it wants an old one such as {}.",
            target.host_and_port(),
            agreed.cipher_name()
        ))
        .because("natsbench (rustls) and modern browsers have ECDHE ciphers with AES-GCM or ChaCha20 only.")
        .evidence("cipher that the server chose, offered old ones too", agreed.cipher_name())
        .evidence("version", agreed.version())
        .paste(
            "Add such ciphers in nats.conf, or remove `cipher_suites`:",
            &[
                "tls {",
                "  cipher_suites: [",
                "    \"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\"",
                "    \"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\"",
                "  ]",
                "}",
            ],
        )
        .paste("Or, in nginx:", &["ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;"])
}

fn unknown_key(target: &Target, key: &str) -> Finding {
    NO_COMMON_CIPHER
        .finding(format!(
            "The certificate of {} has a kind of key that natsbench does not know: {key}.",
            target.host_and_port()
        ))
        .because("natsbench verifies RSA from 2048 bits, ECDSA P-256 and P-384, and Ed25519, and says so in the handshake; the server has nothing else to offer.")
        .evidence("key", key)
        .remedy("Issue the server's certificate with an ECDSA P-256 or RSA key.")
}

fn alerted(target: &Target, alert: Alert) -> Finding {
    let port = target.host_and_port();
    let host = target.tls_name();
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    match alert {
        Alert::UnrecognisedName | Alert::InternalError | Alert::HandshakeFailure | Alert::AccessDenied
            if is_address =>
        {
            NAME_NOT_SERVED
                .finding(format!("{port} ends the handshake: it probably wants a host name, and the URL has an address."))
                .because("A handshake to an address carries no server name (SNI), and a proxy that serves several hosts cannot choose a certificate.")
                .remedy("Use the DNS name of the server in the URL.")
                .certainty(if alert == Alert::UnrecognisedName {
                    Certainty::Likely
                } else {
                    Certainty::Possible
                })
                .or("the server has no certificate at all, or one that cannot be used", "look into its log for `TLS handshake error`")
                .or("the server accepts none of the ciphers offered", "look at `cipher_suites` or `ssl_ciphers` in its configuration")
        }
        Alert::UnrecognisedName => NAME_NOT_SERVED
            .finding(format!("{port} does not serve the name {host}."))
            .because("The server says that it does not recognise the name in the handshake (SNI).")
            .remedy(format!("Configure {host} with a certificate at the server or proxy, or use a name that it serves.")),
        Alert::InternalError => NAME_NOT_SERVED
            .finding(format!("{port} probably has no certificate for the name {host}."))
            .because("Go servers (Caddy, Traefik) answer so when they have no certificate for the name in the handshake.")
            .remedy(format!("Configure {host} with a certificate at the server or proxy."))
            .certainty(Certainty::Possible)
            .or("the server failed for another reason", "look into its log for the same moment"),
        Alert::HandshakeFailure | Alert::InsufficientSecurity => NO_COMMON_CIPHER
            .finding(format!("{port} finds nothing in what natsbench offers that it accepts."))
            .because("The server ended the handshake without a certificate: no cipher, signature or group in common, or no certificate for this name.")
            .certainty(Certainty::Possible)
            .remedy("Allow ECDHE ciphers with AES-GCM and the group P-256 or X25519 at the server.")
            .or(&format!("the proxy has no certificate for {host}"), "look whether it is configured there"),
        Alert::ProtocolVersion => VERSION_TOO_OLD
            .finding(format!("{port} speaks no version of TLS that natsbench speaks (1.2 and 1.3)."))
            .because("The server refuses the versions that were offered, and answers no older ones either.")
            .remedy("Have the server speak TLS 1.2 or 1.3."),
        _ => failed(target).evidence("alert", format!("{alert:?}")),
    }
}

fn incompatible(target: &Target, reason: &PeerIncompatible) -> Finding {
    let finding = match reason {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => {
            VERSION_TOO_OLD.finding(format!(
                "{} speaks only versions of TLS before 1.2.",
                target.host_and_port()
            ))
        }
        _ => failed(target),
    };
    finding.evidence("reason", format!("{reason:?}"))
}

fn failed(target: &Target) -> Finding {
    HANDSHAKE_FAILED
        .finding(format!(
            "The TLS handshake with {} failed.",
            target.host_and_port()
        ))
        .because("It is one of the rare failures that only the server's log explains.")
        .remedy(
            "Look into the log of the server, or of the proxy that ends TLS, for the same moment.",
        )
}

fn closed(target: &Target, failure: &Failure) -> Finding {
    let how = if *failure == Failure::Closed {
        "closes"
    } else {
        "breaks"
    };
    CLOSED
        .finding(format!(
            "{} {how} the connection in the TLS handshake, without a word.",
            target.host_and_port()
        ))
        .because(
            "It takes the connection and ends it when the handshake begins. A plain upgrade and a PROXY protocol header get no answer either.",
        )
        .certainty(Certainty::Possible)
        .remedy("Look whether the load balancer or port mapping that listens there has a healthy server behind it.")
        .or(
            "another protocol than TLS is spoken there",
            "ask whoever runs it, or look which process listens: `ss -tlnp`",
        )
        .or(
            "a firewall on the way ends the connection",
            "try from the machine of the server itself",
        )
}

fn silent(target: &Target, waited: Duration) -> Finding {
    SILENT
        .finding(format!(
            "{} takes the connection, but does not finish the TLS handshake within {}.",
            target.host_and_port(),
            format_duration(waited)
        ))
        .because("The system of the server takes connections even when the process behind the port is stuck. Nothing else that was asked got an answer either.")
        .certainty(Certainty::Possible)
        .remedy("Look whether the process that listens there is alive: stopped, overloaded, or out of memory.")
        .or(
            "the port waits for another protocol",
            "look which process listens: `ss -tlnp`",
        )
        .or(
            "something on the way drops the packets of the handshake",
            "try from the machine of the server itself",
        )
}
