//! TLS by rustls: roots, client certificate, and the switch that turns verification off.
//!
//! The configuration is built once, before anything is connected, so that a bad file is a usage error with
//! the file's name and not a failed handshake.

pub mod inspect;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use self::inspect::AcceptAnyServer;

/// What the user said about TLS.
#[derive(Debug, Clone, Default)]
pub struct TlsOptions {
    /// Certificates to trust instead of the system's (PEM).
    pub ca: Option<PathBuf>,
    /// Client certificate chain (PEM).
    pub cert: Option<PathBuf>,
    /// Private key of the client certificate (PEM).
    pub key: Option<PathBuf>,
    /// Accept any server certificate.
    pub insecure: bool,
    /// What to do about the system's certificates.
    pub system_roots: SystemRoots,
}

/// What to do about the system's certificates where there is no CA file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SystemRoots {
    /// There may be TLS: read them. Where there are none, a server that wants TLS cannot be verified.
    #[default]
    IfThere,
    /// There will be TLS: it is an error if there are none.
    Needed,
    /// There will be no TLS: leave them alone. Reading them takes milliseconds, and a small container has none.
    Unneeded,
}

/// Why a TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// A PEM file could not be read or holds nothing of use.
    #[error("cannot use {role} `{}`: {reason}", path.display())]
    File {
        /// What the file is for.
        role: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate without key, or a key without certificate.
    #[error("`{given}` needs `{missing}` beside it")]
    Incomplete {
        /// The flag that was given.
        given: &'static str,
        /// The flag that is missing.
        missing: &'static str,
    },
    /// The system has no usable root certificates.
    #[error("the system has no usable root certificates; give the broker's CA with `--tlsca FILE`")]
    NoRoots,
    /// Certificate and key do not belong together, or are of an unsupported kind.
    #[error("the client certificate cannot be used")]
    ClientCertificate(#[source] rustls::Error),
    /// rustls refused the protocol versions; cannot happen with its own defaults.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

impl TlsOptions {
    /// Builds the rustls configuration.
    ///
    /// # Errors
    /// A file that cannot be read or used, by name.
    pub fn build(&self) -> Result<Arc<ClientConfig>, TlsConfigError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsConfigError::Setup)?;
        let builder = if self.insecure {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAnyServer::new(provider)))
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        let config = match (&self.cert, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(read_certs("the client certificate", cert)?, read_key(key)?)
                .map_err(TlsConfigError::ClientCertificate)?,
            (Some(_), None) => {
                return Err(TlsConfigError::Incomplete {
                    given: "--tlscert",
                    missing: "--tlskey",
                });
            }
            (None, Some(_)) => {
                return Err(TlsConfigError::Incomplete {
                    given: "--tlskey",
                    missing: "--tlscert",
                });
            }
        };
        Ok(Arc::new(config))
    }

    /// A configuration that takes any certificate, to see what is there at all; `None` where a file cannot be used.
    /// Nothing secret may be sent through it.
    pub fn without_verification(&self) -> Option<Arc<ClientConfig>> {
        let lenient = Self {
            insecure: true,
            ..self.clone()
        };
        lenient.build().ok()
    }

    /// The certificates of the CA file; none if there is no such file.
    ///
    /// # Errors
    /// A file that cannot be read or used.
    pub fn ca_certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
        let read = |path: &PathBuf| read_certs("the CA file", path);
        self.ca.as_ref().map_or_else(|| Ok(Vec::new()), read)
    }

    /// The chain of the client certificate; empty if there is none.
    ///
    /// # Errors
    /// A file that cannot be read or used.
    pub fn client_certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
        let read = |path: &PathBuf| read_certs("the client certificate", path);
        self.cert.as_ref().map_or_else(|| Ok(Vec::new()), read)
    }

    /// What is trusted: the CA file, or the system's certificates. Reading the latter takes milliseconds.
    ///
    /// # Errors
    /// A file that cannot be read or used.
    pub fn roots(&self) -> Result<RootCertStore, TlsConfigError> {
        let mut store = RootCertStore::empty();
        if let Some(path) = &self.ca {
            for cert in self.ca_certificates()? {
                store.add(cert).map_err(|error| TlsConfigError::File {
                    role: "the CA file",
                    path: path.clone(),
                    reason: error.to_string(),
                })?;
            }
            return Ok(store);
        }
        if self.system_roots == SystemRoots::Unneeded {
            return Ok(store);
        }
        // One unreadable certificate among the system's hundred is no reason to refuse all others.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if store.is_empty() && self.system_roots == SystemRoots::Needed {
            Err(TlsConfigError::NoRoots)
        } else {
            Ok(store)
        }
    }
}

fn read_certs(
    role: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let fail = |reason: String| TlsConfigError::File {
        role,
        path: path.to_owned(),
        reason,
    };
    let certs = CertificateDer::pem_file_iter(path)
        .map_err(|error| fail(pem_reason(&error)))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| fail(pem_reason(&error)))?;
    if certs.is_empty() {
        return Err(fail("it holds no `BEGIN CERTIFICATE` block".to_owned()));
    }
    Ok(certs)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsConfigError::File {
        role: "the private key",
        path: path.to_owned(),
        reason: pem_reason(&error),
    })
}

fn pem_reason(error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(io) => io.to_string(),
        rustls::pki_types::pem::Error::NoItemsFound => {
            "it holds no PEM block of the right kind".to_owned()
        }
        other => other.to_string(),
    }
}
