//! What an `-ERR` means.
//!
//! The text is matched by its prefix and in any case: nats-server's documentation and source disagree on
//! capitals, and newer servers append details.

/// The class of an `-ERR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerErrorKind {
    /// No or wrong credentials, or a connection type that they do not allow.
    AuthorizationViolation,
    /// CONNECT came too late.
    AuthenticationTimeout,
    /// Credentials that have run out.
    AuthenticationExpired,
    /// Credentials that were revoked.
    AuthenticationRevoked,
    /// Not allowed to publish to a subject.
    PublishPermission,
    /// Not allowed to subscribe to a subject.
    SubscribePermission,
    /// The server is full.
    MaximumConnections,
    /// The account is full.
    MaximumAccountConnections,
    /// Too many subscriptions.
    MaximumSubscriptions,
    /// A payload over `max_payload`.
    MaximumPayload,
    /// A line over `max_control_line`.
    MaximumControlLine,
    /// A subscription to an invalid subject.
    InvalidSubject,
    /// A publish to an invalid subject, with `pedantic`.
    InvalidPublishSubject,
    /// We did not answer PING.
    StaleConnection,
    /// An operation that the server does not know.
    UnknownOperation,
    /// A protocol version that the server does not know.
    InvalidClientProtocol,
    /// `no_responders` without `headers`.
    NoRespondersNeedsHeaders,
    /// TLS is required.
    TlsRequired,
    /// The server limits how fast connections come.
    ConnectionThrottling,
    /// Connected to a port for servers.
    WrongPort,
    /// The account cannot be registered; another error follows.
    FailedAccountRegistration,
    /// Any other text.
    Other,
}

/// Prefixes in lower case; the first that matches decides.
const PREFIXES: [(&str, ServerErrorKind); 23] = [
    (
        "authorization violation",
        ServerErrorKind::AuthorizationViolation,
    ),
    (
        "authentication timeout",
        ServerErrorKind::AuthenticationTimeout,
    ),
    (
        "authorization timeout",
        ServerErrorKind::AuthenticationTimeout,
    ),
    (
        "user authentication expired",
        ServerErrorKind::AuthenticationExpired,
    ),
    (
        "account authentication expired",
        ServerErrorKind::AuthenticationExpired,
    ),
    (
        "user authentication revoked",
        ServerErrorKind::AuthenticationRevoked,
    ),
    (
        "permissions violation for publish",
        ServerErrorKind::PublishPermission,
    ),
    (
        "permissions violation for subscription",
        ServerErrorKind::SubscribePermission,
    ),
    (
        "maximum connections exceeded",
        ServerErrorKind::MaximumConnections,
    ),
    (
        "maximum account active connections exceeded",
        ServerErrorKind::MaximumAccountConnections,
    ),
    (
        "maximum subscriptions exceeded",
        ServerErrorKind::MaximumSubscriptions,
    ),
    ("maximum payload", ServerErrorKind::MaximumPayload),
    ("maximum control line", ServerErrorKind::MaximumControlLine),
    ("invalid subject", ServerErrorKind::InvalidSubject),
    (
        "invalid publish subject",
        ServerErrorKind::InvalidPublishSubject,
    ),
    ("stale connection", ServerErrorKind::StaleConnection),
    (
        "unknown protocol operation",
        ServerErrorKind::UnknownOperation,
    ),
    (
        "invalid client protocol",
        ServerErrorKind::InvalidClientProtocol,
    ),
    (
        "no responders requires headers",
        ServerErrorKind::NoRespondersNeedsHeaders,
    ),
    (
        "secure connection - tls required",
        ServerErrorKind::TlsRequired,
    ),
    (
        "connection throttling",
        ServerErrorKind::ConnectionThrottling,
    ),
    ("attempted to connect to", ServerErrorKind::WrongPort),
    (
        "failed account registration",
        ServerErrorKind::FailedAccountRegistration,
    ),
];

impl ServerErrorKind {
    /// Classifies the text of an `-ERR`.
    pub fn classify(text: &str) -> Self {
        let text = text.trim().trim_start_matches('\'');
        let begins_with = |prefix: &str| {
            text.get(..prefix.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
        };
        PREFIXES
            .iter()
            .find(|(prefix, _)| begins_with(prefix))
            .map_or(Self::Other, |(_, kind)| *kind)
    }

    /// Whether the server closes the connection after it. An unknown text is taken not to.
    pub fn closes_connection(self) -> bool {
        !matches!(
            self,
            Self::PublishPermission
                | Self::SubscribePermission
                | Self::MaximumSubscriptions
                | Self::InvalidSubject
                | Self::InvalidPublishSubject
                | Self::FailedAccountRegistration
                | Self::Other
        )
    }

    /// Whether other credentials could help.
    pub fn is_authorization(self) -> bool {
        matches!(
            self,
            Self::AuthorizationViolation
                | Self::AuthenticationTimeout
                | Self::AuthenticationExpired
                | Self::AuthenticationRevoked
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_classified_by_prefix_in_any_case() {
        for (text, kind) in [
            (
                "Authorization Violation",
                ServerErrorKind::AuthorizationViolation,
            ),
            (
                "'MAXIMUM CONNECTIONS EXCEEDED'",
                ServerErrorKind::MaximumConnections,
            ),
            (
                "Permissions Violation for Publish to \"a\"",
                ServerErrorKind::PublishPermission,
            ),
            (
                "permissions violation for subscription to \"a\" (sid \"1\")",
                ServerErrorKind::SubscribePermission,
            ),
            ("Invalid Subject", ServerErrorKind::InvalidSubject),
            ("", ServerErrorKind::Other),
            ("\u{fffd}\u{fffd}", ServerErrorKind::Other),
        ] {
            assert_eq!(ServerErrorKind::classify(text), kind, "{text}");
        }
        assert!(!ServerErrorKind::PublishPermission.closes_connection());
        assert!(ServerErrorKind::MaximumPayload.closes_connection());
    }
}
