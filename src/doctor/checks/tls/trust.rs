//! Whether a chain of certificates leads to something that is trusted here, as rustls sees it.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{Error, RootCertStore};

use super::certificate::Certificate;
use crate::net::tls::{TlsConfigError, TlsOptions};

/// What is trusted.
pub(super) struct Trusted {
    store: RootCertStore,
    /// The file given with `--tlsca`.
    pub(super) file: Option<String>,
    /// What is in that file; the system's certificates are too many to be shown.
    pub(super) given: Vec<Certificate>,
    given_der: Vec<CertificateDer<'static>>,
}

impl Trusted {
    pub(super) fn read(options: &TlsOptions) -> Result<Self, TlsConfigError> {
        let given_der = options.ca_certificates()?;
        Ok(Self {
            store: options.roots()?,
            file: options.ca.as_ref().map(|path| path.display().to_string()),
            given: parse_all(&given_der),
            given_der,
        })
    }

    /// Whether something of the name of this certificate's issuer is trusted, whatever its key.
    pub(super) fn knows_issuer_of(&self, certificate: &Certificate) -> bool {
        let content = content_of(&certificate.issuer_der);
        let mut roots = self.store.roots.iter();
        roots.any(|root| root.subject.as_ref() == content)
    }

    /// Whether that name is trusted with this key.
    pub(super) fn trusts(&self, certificate: &Certificate) -> bool {
        let name = content_of(&certificate.subject_der);
        let key = content_of(&certificate.key_der);
        let mut roots = self.store.roots.iter();
        roots.any(|root| {
            root.subject.as_ref() == name && root.subject_public_key_info.as_ref() == key
        })
    }

    /// Whether nothing is trusted at all.
    pub(super) fn is_empty(&self) -> bool {
        self.store.is_empty()
    }

    /// Whether this very certificate was given with `--tlsca`.
    pub(super) fn contains(&self, certificate: &CertificateDer<'_>) -> bool {
        self.given_der.iter().any(|given| given == certificate)
    }
}

/// Those that can be parsed.
pub(super) fn parse_all(chain: &[CertificateDer<'_>]) -> Vec<Certificate> {
    let parsed = chain.iter().map(|der| Certificate::parse(der));
    parsed.flatten().collect()
}

/// A DER value without its header; trust anchors keep names so.
fn content_of(der: &[u8]) -> &[u8] {
    let header = match der.get(1) {
        Some(short) if *short < 0x80 => 2,
        Some(long) => 2 + usize::from(*long & 0x7f),
        None => 0,
    };
    der.get(header..).unwrap_or_default()
}

/// What rustls says of a chain.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    /// Of the chain, now.
    pub(super) now: Result<(), Error>,
    /// Of the chain, at a time at which the server's certificate is valid.
    pub(super) in_its_time: Result<(), Error>,
    /// Of the name.
    pub(super) name: Result<(), Error>,
    /// Of the signature under the handshake.
    pub(super) signature: Result<(), Error>,
    /// The server's certificate was itself given with `--tlsca`.
    pub(super) is_given: bool,
}

impl Verdict {
    /// Verifies a chain whose first certificate is `leaf`.
    pub(super) fn of(
        chain: &[CertificateDer<'_>],
        leaf: &Certificate,
        trusted: &Trusted,
        name: &ServerName<'_>,
        provider: &Arc<CryptoProvider>,
        now: i64,
    ) -> Self {
        let (first, others) = chain
            .split_first()
            .expect("a chain has a first certificate");
        let algorithms = provider.signature_verification_algorithms.all;
        let parsed = ParsedCertificate::try_from(first);
        let chain_at = |time: i64| {
            let cert = parsed.as_ref().map_err(Clone::clone)?;
            let time = UnixTime::since_unix_epoch(Duration::from_secs(time.max(0).unsigned_abs()));
            verify_server_cert_signed_by_trust_anchor(
                cert,
                &trusted.store,
                others,
                time,
                algorithms,
            )
        };
        Self {
            now: chain_at(now),
            in_its_time: chain_at(now.min(leaf.not_after).max(leaf.not_before)),
            name: parsed
                .as_ref()
                .map_err(Clone::clone)
                .and_then(|cert| verify_server_name(cert, name)),
            signature: Ok(()),
            is_given: trusted.contains(first),
        }
    }

    /// The first objection, if rustls has any.
    pub(super) fn objection(&self) -> Option<&Error> {
        let parts = [&self.now, &self.name, &self.signature];
        parts.into_iter().find_map(|part| part.as_ref().err())
    }
}
