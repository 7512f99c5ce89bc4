//! Who issued a certificate, and why that is not trusted here.

use rustls::{CertificateError, Error};

use super::certificate::Certificate;
use super::chain::{Presented, list};
use super::codes::{
    CA_REPLACED, DEFAULT_CERTIFICATE, INTERCEPTED, MISSING_INTERMEDIATE, SELF_SIGNED,
    SERVER_CERTIFICATE_AS_CA, UNKNOWN_ISSUER,
};
use crate::results::doctor::{Certainty, Finding};

/// Certificates that proxies come with: part of the subject, and whose it is.
const DEFAULT_CERTIFICATES: [(&str, &str); 3] = [
    (
        "Kubernetes Ingress Controller Fake Certificate",
        "ingress-nginx",
    ),
    ("TRAEFIK DEFAULT CERT", "Traefik"),
    ("OpenShift Router Default", "the OpenShift router"),
];

/// CAs of products that open TLS connections: part of the issuer, and the product.
const INTERCEPTORS: [(&str, &str); 9] = [
    ("zscaler", "Zscaler"),
    ("netskope", "Netskope"),
    ("fortinet", "FortiGate"),
    ("fortigate", "FortiGate"),
    ("bluecoat", "Symantec ProxySG"),
    ("cisco umbrella", "Cisco Umbrella"),
    ("avast", "Avast"),
    ("kaspersky", "Kaspersky"),
    ("mitmproxy", "mitmproxy"),
];

/// Words in the names of CAs that issue for another CA.
const INTERMEDIATE_WORDS: [&str; 5] = ["intermediate", "issuing", "sub ca", "subca", "subordinate"];
/// Organisations whose roots issue through intermediates only.
const PUBLIC_CAS: [&str; 10] = [
    "let's encrypt",
    "digicert",
    "sectigo",
    "zerossl",
    "google trust services",
    "globalsign",
    "godaddy",
    "amazon",
    "entrust",
    "buypass",
];

/// A certificate that was put in the place of the one that was meant.
pub(super) fn stand_in(presented: &Presented<'_>) -> Option<Finding> {
    presented.verdict.objection()?;
    default_certificate(presented).or_else(|| intercepted(presented))
}

pub(super) fn is_stand_in(finding: &Finding) -> bool {
    finding.code == DEFAULT_CERTIFICATE.name || finding.code == INTERCEPTED.name
}

fn default_certificate(presented: &Presented<'_>) -> Option<Finding> {
    let subject = &presented.leaf().subject;
    let (_, product) = DEFAULT_CERTIFICATES
        .iter()
        .find(|(part, _)| subject.contains(part))?;
    let host = presented.host();
    Some(
        DEFAULT_CERTIFICATE
            .finding(format!(
                "{product} answers for {host} with its built-in certificate: it has none of its own for this host."
            ))
            .because("The connection reached the ingress, but no rule with TLS for this host. Every client that verifies certificates refuses it.")
            .paste(
                "Give the ingress a certificate for the host, such as:",
                &[
                    "spec:",
                    "  tls:",
                    &format!("    - hosts: [{host}]"),
                    "      secretName: nats-tls   # type kubernetes.io/tls, in the namespace of the ingress",
                ],
            ),
    )
}

fn intercepted(presented: &Presented<'_>) -> Option<Finding> {
    if presented.verdict.in_its_time.is_ok() {
        return None;
    }
    let top = presented.chain.last()?;
    let leaf = presented.leaf();
    let issuers = format!("{} {}", leaf.issuer, top.issuer).to_lowercase();
    let (_, product) = INTERCEPTORS
        .iter()
        .find(|(part, _)| issuers.contains(part))?;
    Some(
        INTERCEPTED
            .finding(format!(
                "{product} stands between this machine and {} and has put its own certificate in place of the server's.",
                presented.target.host_and_port()
            ))
            .because(format!("The certificate is issued by {}, not by the CA of the server. Such products often break WebSocket, too.", leaf.issuer))
            .remedy("Have the product leave this host alone, or connect from a network without it.")
            .paste(
                "Or trust its CA, if it lets WebSocket through:",
                &["natsbench doctor --tlsca FILE-WITH-ITS-CA.pem"],
            )
            .certainty(Certainty::Likely),
    )
}

/// A chain that leads to nothing that is trusted.
pub(super) fn judge(presented: &Presented<'_>) -> Option<Finding> {
    let Err(Error::InvalidCertificate(error)) = &presented.verdict.in_its_time else {
        return None;
    };
    let top = top_of(presented.chain);
    let is_known = if top.is_self_issued() && presented.trusted.file.is_none() {
        // Among all of a system's certificates another one of that name, such as `localhost`, means nothing.
        presented.trusted.trusts(top)
    } else {
        presented.trusted.knows_issuer_of(top)
    };
    match error {
        CertificateError::UnknownIssuer => {}
        CertificateError::BadSignature if is_known => return Some(replaced(presented, top)),
        // rustls stumbled over something else before it came to the issuer.
        _ if !is_known => {}
        _ if top.is_self_issued() && !presented.trusted.trusts(top) => {
            return Some(replaced(presented, top));
        }
        _ => return None,
    }
    let leaf = presented.leaf();
    Some(if is_known {
        replaced(presented, top)
    } else if leaf.is_self_issued() {
        if presented.verdict.is_given {
            return None;
        }
        self_signed(presented)
    } else if presented.verdict.is_given {
        server_certificate_as_ca(presented)
    } else if top.is_self_issued() {
        unknown_issuer(presented, top)
    } else if let Some(sign) = sign_of_an_intermediate(presented, top) {
        missing_intermediate(presented, top, &sign)
    } else {
        unknown_issuer(presented, top)
    })
}

/// The last certificate on the way from the server's own towards the root, as far as it was sent.
fn top_of(chain: &[Certificate]) -> &Certificate {
    let mut top = &chain[0];
    // Two CAs that name each other would go on for ever.
    for _ in 0..chain.len() {
        let is_next = |other: &&Certificate| {
            other.subject_der == top.issuer_der && !top.is_self_issued() && *other != top
        };
        match chain.iter().skip(1).find(is_next) {
            Some(next) => top = next,
            None => break,
        }
    }
    top
}

/// Why the issuer is more likely an intermediate CA than a root: one sentence.
fn sign_of_an_intermediate(presented: &Presented<'_>, top: &Certificate) -> Option<String> {
    let issuer = top.issuer.to_lowercase();
    if top.names_its_issuers_place {
        return Some(
            "The certificate says where that of its issuer is to be had, which roots do not need."
                .to_owned(),
        );
    }
    if let Some(name) = PUBLIC_CAS.iter().find(|name| issuer.contains(*name)) {
        return Some(format!(
            "A public CA ({name}) issues through intermediates only."
        ));
    }
    if is_called_root(&top.issuer) {
        return None;
    }
    if INTERMEDIATE_WORDS.iter().any(|word| issuer.contains(word)) {
        return Some("The name of the issuer says so.".to_owned());
    }
    let related = presented
        .trusted
        .given
        .iter()
        .find(|given| is_related(&given.subject, &top.issuer))?;
    Some(format!(
        "Its name goes with that of the CA that was given, {}.",
        related.subject
    ))
}

/// Whether a CA is likely to be below another: they have an organisation in common, or the first word, and only the
/// upper one is called root.
fn is_related(upper: &str, lower: &str) -> bool {
    let part = |name: &str, kind: &str| {
        let mut parts = name.split(", ");
        let part = parts.find_map(|part| part.strip_prefix(kind));
        part.map(str::to_lowercase)
    };
    let first_word = |name: &str| {
        let words = part(name, "CN=")?;
        let word = words.split(' ').next()?.to_owned();
        (word.len() > 2).then_some(word)
    };
    let has_same = |one: Option<String>, other: Option<String>| one.is_some() && one == other;
    has_same(part(upper, "O="), part(lower, "O="))
        || (is_called_root(upper) && has_same(first_word(upper), first_word(lower)))
}

fn is_called_root(name: &str) -> bool {
    name.to_lowercase().contains("root")
}

fn self_signed(presented: &Presented<'_>) -> Finding {
    let leaf = presented.leaf();
    let mut finding = SELF_SIGNED
        .finding(format!(
            "The certificate of {} is self-signed, and nothing here trusts it.",
            presented.target.host_and_port()
        ))
        .because(format!(
            "{} Browsers refuse it just so.",
            trusted_here(presented)
        ));
    if leaf.is_ca || leaf.is_version_1() {
        let lines = presented.self_sign_lines();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        finding = finding.paste(
            "rustls accepts it from nobody as it is (CA:TRUE). Make it as no CA:",
            &lines,
        );
    } else {
        let port = presented.target.host_and_port();
        finding = finding.paste(
            "Fetch the certificate over a way that you trust, such as from the server's `cert_file`, or:",
            &[&format!(
                "openssl s_client -connect {port} </dev/null | openssl x509 > server.pem"
            )],
        );
    }
    finding.paste(
        "Give it to natsbench as the CA:",
        &[&format!(
            "natsbench doctor --server {} --tlsca server.pem",
            presented.target
        )],
    )
}

fn unknown_issuer(presented: &Presented<'_>, top: &Certificate) -> Finding {
    let host = presented.target.host_and_port();
    let given = given_names(presented);
    let title = match &given {
        Some(given) => format!(
            "The certificate of {host} is issued by {}, and the CA given is another: {given}.",
            top.issuer
        ),
        None => format!(
            "The certificate of {host} is issued by {}, a CA that this machine does not trust.",
            top.issuer
        ),
    };
    let mut finding = UNKNOWN_ISSUER
        .finding(title)
        .because(format!(
            "{} Other clients refuse it just so, unless they were given that CA.",
            trusted_here(presented)
        ))
        .evidence("issuer", &top.issuer)
        .paste(
            format!("Give the certificate of {} as the CA:", top.issuer),
            &[&format!(
                "natsbench doctor --server {} --tlsca CA.pem",
                presented.target
            )],
        );
    if given.is_some() {
        finding = finding.remedy(
            "If the CA given is the right one, the server has a wrong certificate, or another server answers: issue its certificate by that CA.",
        );
    }
    // Whether there is another CA above shows in its own certificate, or in what it is called.
    if top.is_self_issued() || is_called_root(&top.issuer) {
        return finding;
    }
    finding.certainty(Certainty::Likely).or(
        "the issuer is an intermediate CA whose certificate the server should send along",
        "look whether the certificate of the issuer is itself issued by another CA",
    )
}

fn missing_intermediate(presented: &Presented<'_>, top: &Certificate, sign: &str) -> Finding {
    MISSING_INTERMEDIATE
        .finding(format!(
            "{} does not send the intermediate certificate {}.",
            presented.target.host_and_port(),
            top.issuer
        ))
        .because(format!(
            "Its certificate is issued by that CA, which is not trusted itself, and the certificate that leads from there to a trusted CA is missing. {sign} Browsers may know it from elsewhere and hide the fault."
        ))
        .evidence("issuer", &top.issuer)
        .evidence("certificates sent", presented.chain.len())
        .paste(
            "Put the intermediate certificate behind the server's own into the file that `cert_file` names, and reload:",
            &[
                "cat server.pem intermediate.pem > fullchain.pem",
                "# nats.conf, tls block: cert_file: \"fullchain.pem\"",
                "nats-server --signal reload",
            ],
        )
        .certainty(Certainty::Likely)
        .or(
            "the issuer is a root CA of its own that is not trusted here",
            "look at its certificate: if subject and issuer are the same, give it with `--tlsca FILE`",
        )
}

fn replaced(presented: &Presented<'_>, top: &Certificate) -> Finding {
    let place = presented
        .trusted
        .file
        .as_deref()
        .unwrap_or("the certificates of this system");
    CA_REPLACED
        .finding(format!(
            "The CA {} in {place} has another key than the one that issued the certificate of {}.",
            top.issuer,
            presented.target.host_and_port()
        ))
        .because(
            "The names are the same, the signature does not fit: the CA was made anew under its old name, and one side still has the old one.",
        )
        .evidence("issuer", &top.issuer)
        .remedy("Give the CA certificate that is in use now with `--tlsca FILE`.")
        .remedy("Or, if that is the one given, issue the server's certificate again by it.")
}

fn server_certificate_as_ca(presented: &Presented<'_>) -> Finding {
    let leaf = presented.leaf();
    SERVER_CERTIFICATE_AS_CA
        .finding(format!(
            "{} holds the certificate of the server itself; `--tlsca` wants that of its issuer, {}.",
            presented.trusted.file.as_deref().unwrap_or("The CA file"),
            leaf.issuer
        ))
        .because("A certificate that another CA issued is trusted through that CA only.")
        .paste(
            format!("Give the certificate of {} instead:", leaf.issuer),
            &[&format!("natsbench doctor --server {} --tlsca CA.pem", presented.target)],
        )
}

/// What is trusted, in a sentence.
fn trusted_here(presented: &Presented<'_>) -> String {
    match given_names(presented) {
        Some(given) => format!(
            "With `--tlsca {}` only this is trusted: {given}.",
            presented.trusted.file.as_deref().unwrap_or("FILE")
        ),
        None if presented.trusted.is_empty() => {
            "No `--tlsca` was given, and this machine has no CA certificates of its own (package `ca-certificates`)."
                .to_owned()
        }
        None => "No `--tlsca` was given, so only the public CAs of this system are trusted."
            .to_owned(),
    }
}

fn given_names(presented: &Presented<'_>) -> Option<String> {
    presented.trusted.file.as_ref()?;
    let names: Vec<String> = presented
        .trusted
        .given
        .iter()
        .map(|given| given.subject.clone())
        .collect();
    Some(list(&names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_an_intermediate_from_another_root() {
        assert!(is_related("CN=Lab Root CA", "CN=Lab CA G2"));
        assert!(is_related("O=Acme, CN=Root 1", "CN=Servers, O=Acme"));
        assert!(!is_related("CN=Lab Root CA", "CN=Other CA"));
        assert!(!is_related("CN=Lab CA 1", "CN=Lab CA 2"));
        assert!(!is_related("CN=A Root", "CN=A CA"));
        assert!(!is_related("C=DE", "C=DE"));
    }
}
