//! A certificate authority for one test, and what it signs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use natsbench::clock::Clock;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};

static N_AUTHORITIES: AtomicUsize = AtomicUsize::new(0);

/// An authority that nobody knows.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, both PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        // No two have the same name, or one would pass for the other with a bad signature.
        let number = N_AUTHORITIES.fetch_add(1, Ordering::Relaxed);
        Self::root(&format!("test authority {number}"), |_| ())
    }

    /// An authority of this name, changed by `edit`.
    pub(crate) fn root(name: &str, edit: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = ca_params(name);
        edit(&mut params);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        Self { issuer }
    }

    /// An authority below this one, changed by `edit`.
    pub(crate) fn below(&self, name: &str, edit: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = ca_params(name);
        edit(&mut params);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::signed_by(params, key, &self.issuer).expect("a certificate");
        Self { issuer }
    }

    /// Its own certificate, PEM.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// That certificate and its key.
    pub(crate) fn issued(&self) -> Issued {
        Issued {
            certificate: self.issuer.pem(),
            key: self.issuer.key().serialize_pem(),
        }
    }

    /// A certificate for a server of these names, and for a client.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |_| ())
    }

    /// The same, changed by `edit`.
    pub(crate) fn issue_with(
        &self,
        names: &[&str],
        edit: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let mut params = leaf_params(names);
        edit(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Issued {
    /// A certificate that nobody but itself has signed, changed by `edit`.
    pub(crate) fn self_signed(names: &[&str], edit: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = leaf_params(names);
        edit(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn leaf_params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("valid names");
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params
}

/// Makes a certificate valid from so many seconds before now until so many after it.
pub(crate) fn valid_around_now(params: &mut CertificateParams, before: u64, after: u64) {
    let now = Duration::from_nanos(Clock::start().wall_now().0);
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(Duration::from_secs(before));
    params.not_after = epoch + now + Duration::from_secs(after);
}
