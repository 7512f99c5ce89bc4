//! A handshake that refuses nothing and remembers everything, so that the certificates can be judged apart from it.
//!
//! Nothing may be sent over such a connection before that judgement.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

/// The server's request for a client certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientCertificateRequest {
    /// The issuers that it says it accepts, as DER; empty when it names none.
    pub accepted_issuers: Vec<Vec<u8>>,
    /// Whether a certificate was sent.
    pub is_answered: bool,
}

/// What a handshake showed.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The server's certificates, in the order in which they came.
    pub chain: Vec<CertificateDer<'static>>,
    /// Why the server's signature under the handshake cannot be verified: without it, it has not shown that the
    /// certificate is its own.
    pub signature_error: Option<rustls::Error>,
    /// Whether the server asked for a client certificate.
    pub request: Option<ClientCertificateRequest>,
}

/// What handshakes with one configuration showed.
#[derive(Debug, Default)]
pub struct Inspection {
    seen: Mutex<Seen>,
}

impl Inspection {
    /// What was seen until now.
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same configuration, but for a single handshake that refuses nothing.
pub fn inspecting(config: &ClientConfig) -> (ClientConfig, Arc<Inspection>) {
    let inspection = Arc::new(Inspection::default());
    let mut config = config.clone();
    // A resumed session shows no certificates.
    config.resumption = Resumption::disabled();
    config.client_auth_cert_resolver = Arc::new(Resolver {
        inner: Arc::clone(&config.client_auth_cert_resolver),
        inspection: Arc::clone(&inspection),
    });
    let verifier = AcceptAnyServer {
        provider: Arc::clone(config.crypto_provider()),
        inspection: Arc::clone(&inspection),
    };
    config
        .dangerous()
        .set_certificate_verifier(Arc::new(verifier));
    (config, inspection)
}

/// Answers a request for a certificate as the configuration would, and remembers it.
#[derive(Debug)]
struct Resolver {
    inner: Arc<dyn ResolvesClientCert>,
    inspection: Arc<Inspection>,
}

impl ResolvesClientCert for Resolver {
    fn resolve(
        &self,
        root_hint_subjects: &[&[u8]],
        sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let key = self.inner.resolve(root_hint_subjects, sigschemes);
        let can_sign = |key: &Arc<CertifiedKey>| key.key.choose_scheme(sigschemes).is_some();
        self.inspection.lock().request = Some(ClientCertificateRequest {
            accepted_issuers: root_hint_subjects
                .iter()
                .map(|name| name.to_vec())
                .collect(),
            is_answered: key.as_ref().is_some_and(can_sign),
        });
        key
    }

    fn has_certs(&self) -> bool {
        self.inner.has_certs()
    }
}

/// Accepts every certificate and every signature, and remembers them.
///
/// The signature under the handshake shows that the server holds the key of its certificate. Where any certificate will
/// do, anybody has one with its key: to insist would only shut out what rustls cannot check, such as X.509 version 1.
#[derive(Debug)]
pub(super) struct AcceptAnyServer {
    provider: Arc<CryptoProvider>,
    inspection: Arc<Inspection>,
}

impl AcceptAnyServer {
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self {
            provider,
            inspection: Arc::default(),
        }
    }

    fn remember(
        &self,
        result: Result<HandshakeSignatureValid, rustls::Error>,
    ) -> HandshakeSignatureValid {
        result.unwrap_or_else(|error| {
            self.inspection.lock().signature_error = Some(error);
            HandshakeSignatureValid::assertion()
        })
    }
}

impl ServerCertVerifier for AcceptAnyServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        self.inspection.lock().chain = chain.map(|cert| cert.clone().into_owned()).collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        Ok(self.remember(verify_tls12_signature(message, cert, dss, algorithms)))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        Ok(self.remember(verify_tls13_signature(message, cert, dss, algorithms)))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
