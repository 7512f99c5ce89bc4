//! A certificate, as far as it is judged and shown. It came from anybody: what is kept is bounded.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name, X509Version};

/// Longest name that is kept.
const MAX_NAME_CHARS: usize = 200;
/// Most names that are kept of one certificate.
const MAX_NAMES: usize = 200;
/// RSA keys below this are refused by everything that is up to date.
const MIN_RSA_BITS: usize = 2048;

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    /// For people.
    pub(super) subject: String,
    /// For people.
    pub(super) issuer: String,
    /// DER, to compare.
    pub(super) subject_der: Vec<u8>,
    /// DER, to compare.
    pub(super) issuer_der: Vec<u8>,
    /// DER of the public key, to compare.
    pub(super) key_der: Vec<u8>,
    pub(super) common_name: Option<String>,
    /// DNS names of the subject alternative names.
    pub(super) dns_names: Vec<String>,
    /// Addresses of the subject alternative names.
    pub(super) addresses: Vec<IpAddr>,
    /// Whether there are subject alternative names, of whatever kind.
    pub(super) has_alternative_names: bool,
    pub(super) is_ca: bool,
    /// 1, or 3 in all that are up to date.
    pub(super) version: u32,
    /// Seconds since the epoch.
    pub(super) not_before: i64,
    /// Seconds since the epoch.
    pub(super) not_after: i64,
    pub(super) key: Key,
    pub(super) signature: Signature,
    /// What it may be used for; `None` if it does not say.
    pub(super) purposes: Option<Purposes>,
    /// Whether it says where the certificate of its issuer is to be had.
    pub(super) names_its_issuers_place: bool,
}

/// Extended key usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Purposes {
    pub(super) server: bool,
    pub(super) client: bool,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// Kind and size.
    pub(super) text: String,
    pub(super) fitness: Fitness,
}

/// Whether a key can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fitness {
    Fit,
    /// Refused as too weak.
    Weak,
    /// Of a kind that rustls, as natsbench uses it, does not know.
    Unknown,
}

/// How a certificate is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) text: String,
    pub(super) is_weak: bool,
}

impl Certificate {
    /// `None` if it is no certificate.
    pub(super) fn parse(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut parsed = Self {
            subject: name_text(certificate.subject()),
            issuer: name_text(certificate.issuer()),
            subject_der: certificate.subject().as_raw().to_vec(),
            issuer_der: certificate.issuer().as_raw().to_vec(),
            key_der: certificate.public_key().raw.to_vec(),
            common_name: common_name(certificate.subject()),
            dns_names: Vec::new(),
            addresses: Vec::new(),
            has_alternative_names: false,
            is_ca: false,
            version: certificate.version().0.saturating_add(1),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            key: key_of(certificate.public_key()),
            signature: signature_of(&certificate.signature_algorithm.algorithm.to_id_string()),
            purposes: None,
            names_its_issuers_place: false,
        };
        for extension in certificate.extensions() {
            parsed.take(extension.parsed_extension());
        }
        Some(parsed)
    }

    fn take(&mut self, extension: &ParsedExtension<'_>) {
        match extension {
            ParsedExtension::SubjectAlternativeName(names) => {
                self.has_alternative_names = true;
                for name in names.general_names.iter().take(MAX_NAMES) {
                    match name {
                        GeneralName::DNSName(name) => self.dns_names.push(shortened(name)),
                        GeneralName::IPAddress(bytes) => self.addresses.extend(address_of(bytes)),
                        _ => {}
                    }
                }
            }
            ParsedExtension::BasicConstraints(constraints) => self.is_ca = constraints.ca,
            ParsedExtension::ExtendedKeyUsage(usage) => {
                self.purposes = Some(Purposes {
                    server: usage.any || usage.server_auth,
                    client: usage.any || usage.client_auth,
                });
            }
            ParsedExtension::AuthorityInfoAccess(access) => {
                // 1.3.6.1.5.5.7.48.2 is id-ad-caIssuers (RFC 5280 section 4.2.2.1).
                let mut places = access.accessdescs.iter();
                self.names_its_issuers_place =
                    places.any(|place| place.access_method.to_id_string() == "1.3.6.1.5.5.7.48.2");
            }
            _ => {}
        }
    }

    /// Whether it names itself as its issuer.
    pub(super) fn is_self_issued(&self) -> bool {
        self.subject_der == self.issuer_der
    }

    /// Version 1 has no extensions.
    pub(super) fn is_version_1(&self) -> bool {
        self.version != X509Version::V3.0 + 1
    }

    /// The names that it is for, as a list to read.
    pub(super) fn names(&self) -> Vec<String> {
        let addresses = self.addresses.iter().map(ToString::to_string);
        self.dns_names.iter().cloned().chain(addresses).collect()
    }

    /// What to call it.
    pub(super) fn title(&self) -> &str {
        let first_name = self.dns_names.first().map(String::as_str);
        match self.common_name.as_deref().or(first_name) {
            Some(name) => name,
            None => &self.subject,
        }
    }
}

/// A distinguished name (DER), to read.
pub(super) fn name_of_der(der: &[u8]) -> String {
    match X509Name::from_der(der) {
        Ok((_, name)) => name_text(&name),
        Err(_) => "(a name that cannot be read)".to_owned(),
    }
}

fn name_text(name: &X509Name<'_>) -> String {
    let text = name.to_string();
    if text.is_empty() {
        return "(no name)".to_owned();
    }
    shortened(&text)
}

fn common_name(name: &X509Name<'_>) -> Option<String> {
    let first = name.iter_common_name().next()?;
    let text = first.as_str().ok()?;
    (!text.trim().is_empty()).then(|| shortened(text))
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_NAME_CHARS).collect()
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).into());
    }
    let v6 = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(v6).into())
}

fn key_of(info: &SubjectPublicKeyInfo<'_>) -> Key {
    let key = |text: String, fitness| Key { text, fitness };
    match info.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            let bits = n_bits(rsa.modulus);
            let fitness = if bits < MIN_RSA_BITS {
                Fitness::Weak
            } else {
                Fitness::Fit
            };
            return key(format!("RSA {bits} bits"), fitness);
        }
        Ok(PublicKey::EC(_)) => {
            let parameters = info.algorithm.parameters.as_ref();
            let curve = parameters
                .and_then(|any| any.as_oid().ok())
                .map(|oid| oid.to_id_string());
            return match curve.as_deref() {
                Some("1.2.840.10045.3.1.7") => key("ECDSA P-256".to_owned(), Fitness::Fit),
                Some("1.3.132.0.34") => key("ECDSA P-384".to_owned(), Fitness::Fit),
                Some("1.3.132.0.35") => key("ECDSA P-521".to_owned(), Fitness::Unknown),
                Some("1.3.132.0.33") => key("ECDSA P-224".to_owned(), Fitness::Unknown),
                Some("1.3.132.0.10") => key("ECDSA secp256k1".to_owned(), Fitness::Unknown),
                other => key(
                    format!("ECDSA, curve {}", other.unwrap_or("unnamed")),
                    Fitness::Unknown,
                ),
            };
        }
        Ok(PublicKey::DSA(_)) => return key("DSA".to_owned(), Fitness::Unknown),
        _ => {}
    }
    match info.algorithm.algorithm.to_id_string().as_str() {
        "1.3.101.112" => key("Ed25519".to_owned(), Fitness::Fit),
        "1.3.101.113" => key("Ed448".to_owned(), Fitness::Unknown),
        "1.2.840.113549.1.1.10" => key("RSA-PSS".to_owned(), Fitness::Unknown),
        oid => key(format!("algorithm {}", shortened(oid)), Fitness::Unknown),
    }
}

fn n_bits(modulus: &[u8]) -> usize {
    let Some(first) = modulus.iter().position(|byte| *byte != 0) else {
        return 0;
    };
    let leading_zeros = modulus[first].leading_zeros() as usize;
    (modulus.len() - first) * 8 - leading_zeros
}

fn signature_of(oid: &str) -> Signature {
    let (text, is_weak) = match oid {
        "1.2.840.113549.1.1.2" => ("MD2 with RSA", true),
        "1.2.840.113549.1.1.4" => ("MD5 with RSA", true),
        "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" => ("SHA-1 with RSA", true),
        "1.2.840.10045.4.1" => ("SHA-1 with ECDSA", true),
        "1.2.840.10040.4.3" => ("SHA-1 with DSA", true),
        "1.2.840.113549.1.1.10" => ("RSA-PSS", false),
        "1.2.840.113549.1.1.11" => ("SHA-256 with RSA", false),
        "1.2.840.113549.1.1.12" => ("SHA-384 with RSA", false),
        "1.2.840.113549.1.1.13" => ("SHA-512 with RSA", false),
        "1.2.840.10045.4.3.2" => ("SHA-256 with ECDSA", false),
        "1.2.840.10045.4.3.3" => ("SHA-384 with ECDSA", false),
        "1.2.840.10045.4.3.4" => ("SHA-512 with ECDSA", false),
        "1.3.101.112" => ("Ed25519", false),
        other => (other, false),
    };
    Signature {
        text: shortened(text),
        is_weak,
    }
}
