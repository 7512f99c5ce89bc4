//! Certificates of our own: asked for, refused, and what is wrong with them as far as it shows from here.

use rustls::AlertDescription as Alert;

use super::certificate::{Certificate, name_of_der};
use super::chain::list;
use super::codes::{CLIENT_CERTIFICATE_REFUSED, CLIENT_CERTIFICATE_REQUIRED};
use super::moment::{day, moment, span};
use crate::net::tls::inspect::ClientCertificateRequest;
use crate::results::doctor::{Certainty, Finding};

/// How a server said that it does not like what it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// By an alert.
    Alert(Alert),
    /// It closed the connection right after the handshake.
    Closed,
}

impl Refusal {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Alert(alert) => format!("alert {} ({alert:?})", u8::from(*alert)),
            Self::Closed => "the connection was closed after the handshake".to_owned(),
        }
    }
}

/// What is known of both sides.
pub(super) struct Shown<'a> {
    /// Host and port.
    pub(super) server: &'a str,
    /// The URL, for commands.
    pub(super) url: &'a str,
    pub(super) request: &'a ClientCertificateRequest,
    /// The file given with `--tlscert`.
    pub(super) file: Option<&'a str>,
    /// What is in it.
    pub(super) own: &'a [Certificate],
    /// Seconds since the epoch.
    pub(super) now: i64,
}

/// Whether an alert can be about a client certificate that was asked for.
pub(super) fn is_about_client(alert: Alert, request: &ClientCertificateRequest) -> bool {
    match alert {
        Alert::CertificateRequired
        | Alert::NoCertificate
        | Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied
        | Alert::DecryptError => true,
        // TLS 1.2 has no word for a certificate that is missing.
        Alert::HandshakeFailure => !request.is_answered,
        _ => false,
    }
}

pub(super) fn judge(shown: &Shown<'_>, refusal: &Refusal) -> Finding {
    let finding = if shown.request.is_answered {
        refused(shown, refusal)
    } else {
        required(shown)
    };
    let mut finding = finding.evidence("answer of the server", refusal.text());
    let issuers: Vec<String> = accepted(shown.request);
    if !issuers.is_empty() {
        finding = finding.evidence("issuers that the server accepts", list(&issuers));
    }
    if matches!(refusal, Refusal::Closed) {
        finding = finding.certainty(Certainty::Likely).or(
            "the server closed the connection for another reason",
            "look into its log for the same moment",
        );
    }
    finding
}

fn accepted(request: &ClientCertificateRequest) -> Vec<String> {
    let names = request.accepted_issuers.iter().take(20);
    names.map(|der| name_of_der(der)).collect()
}

fn required(shown: &Shown<'_>) -> Finding {
    let issuers = accepted(shown.request);
    let of_whom = match issuers.first() {
        Some(issuer) if issuers.len() == 1 => format!(" of {issuer}"),
        _ => String::new(),
    };
    if let Some(file) = shown.file {
        // It was not sent: the server takes no signature that its key can make.
        return CLIENT_CERTIFICATE_REFUSED
            .finding(format!(
                "{} wants a client certificate, but takes no signature that the key of {file} can make.",
                shown.server
            ))
            .because("The kinds of signature that the server accepts leave out the kind of this key.")
            .evidence("own key", shown.own.first().map_or("unknown", |own| &own.key.text))
            .remedy("Use a client certificate with an ECDSA P-256 or RSA key.");
    }
    CLIENT_CERTIFICATE_REQUIRED
        .finding(format!(
            "{} wants a client certificate, and none was given.",
            shown.server
        ))
        .because(
            "The server asked for one in the TLS handshake and ended the connection when none came (`verify: true` or `verify_and_map: true` in its `tls` block, or a proxy in front that verifies clients). Browsers need it installed, too.",
        )
        .paste(
            format!("Give a client certificate{of_whom} and its key:"),
            &[&format!(
                "natsbench doctor --server {} --tlscert client.pem --tlskey client.key",
                shown.url
            )],
        )
        .paste(
            "Or, if clients need no certificate, have nats-server ask for none:",
            &["# nats.conf, tls block:", "verify: false"],
        )
}

fn refused(shown: &Shown<'_>, refusal: &Refusal) -> Finding {
    let file = shown.file.unwrap_or("the client certificate");
    let Some(own) = shown.own.first() else {
        return CLIENT_CERTIFICATE_REFUSED
            .finding(format!("{} refuses {file}.", shown.server))
            .because(
                "The server asked for a client certificate and did not accept the one it got.",
            );
    };
    let fault = fault_of(shown, own, refusal);
    CLIENT_CERTIFICATE_REFUSED
        .finding(format!(
            "{} refuses the client certificate {file}: {}.",
            shown.server, fault.title
        ))
        .because(fault.explanation)
        .evidence(
            "client certificate",
            format!("{}, issued by {}", own.subject, own.issuer),
        )
        .evidence(
            "valid",
            format!("{} to {}", day(own.not_before), day(own.not_after)),
        )
        .remedy(fault.remedy)
        .certainty(fault.certainty)
}

struct Fault {
    title: String,
    explanation: String,
    remedy: String,
    certainty: Certainty,
}

/// What is wrong with it, by what shows from here first, and then by what the server said.
fn fault_of(shown: &Shown<'_>, own: &Certificate, refusal: &Refusal) -> Fault {
    local_fault(shown, own).unwrap_or_else(|| named_fault(own, refusal))
}

fn local_fault(shown: &Shown<'_>, own: &Certificate) -> Option<Fault> {
    let now = shown.now;
    let fault = |title: String, explanation: String, remedy: &str| {
        Some(Fault {
            title,
            explanation,
            remedy: remedy.to_owned(),
            certainty: Certainty::Certain,
        })
    };
    if now > own.not_after {
        return fault(
            format!("it expired on {}", day(own.not_after)),
            format!(
                "It was valid until {}, {} ago.",
                moment(own.not_after),
                span(own.not_after, now)
            ),
            "Renew the client certificate.",
        );
    }
    if now < own.not_before {
        return fault(
            format!("it is not valid before {}", day(own.not_before)),
            format!("The clock of this machine says {}.", moment(now)),
            "Issue the client certificate for the present time, or set the clock of this machine.",
        );
    }
    if own.purposes.is_some_and(|purposes| !purposes.client) {
        return fault(
            "it may not be used by a client".to_owned(),
            "Its extended key usage leaves out clientAuth: it is a server's certificate."
                .to_owned(),
            "Use a certificate that is issued with `extendedKeyUsage=clientAuth`.",
        );
    }
    let accepted = &shown.request.accepted_issuers;
    // With its intermediates, if they are in the file.
    let leads_to = |issuer: &Vec<u8>| shown.own.iter().any(|own| own.issuer_der == *issuer);
    if !accepted.is_empty() && !accepted.iter().any(leads_to) {
        let names = list(&self::accepted(shown.request));
        let top = shown.own.last().unwrap_or(own);
        return fault(
            format!("it is issued by {}, and the server accepts only {names}", top.issuer),
            "The issuer is not in the server's `ca_file`. If it is an intermediate CA, its certificate belongs behind the client's own in the file given with `--tlscert`.".to_owned(),
            "Use a client certificate of a CA that the server accepts, or add the issuer to the server's `ca_file` and reload it.",
        );
    }
    None
}

fn named_fault(own: &Certificate, refusal: &Refusal) -> Fault {
    let fault = |title: &str, explanation: String, remedy: &str, certainty| Fault {
        title: title.to_owned(),
        explanation,
        remedy: remedy.to_owned(),
        certainty,
    };
    match refusal {
        Refusal::Alert(Alert::UnknownCA) => fault(
            &format!("it does not trust {}", own.issuer),
            "The server says that it does not know the issuer. A CA of the same name but with another key has the same effect.".to_owned(),
            "Use a client certificate of a CA that is in the server's `ca_file`, or add its issuer there and reload the server.",
            Certainty::Certain,
        ),
        Refusal::Alert(Alert::CertificateExpired) => fault(
            "it has expired, says the server",
            "By the clock of this machine it is valid: one of the two clocks is wrong, or an intermediate certificate has expired.".to_owned(),
            "Compare `date -u` here and on the server.",
            Certainty::Likely,
        ),
        Refusal::Alert(Alert::CertificateRevoked) => fault(
            "it is revoked",
            "The server says so.".to_owned(),
            "Use a new client certificate.",
            Certainty::Certain,
        ),
        Refusal::Alert(Alert::AccessDenied) => fault(
            "its owner may not connect",
            "The server accepts the certificate and denies access by a rule of its own.".to_owned(),
            "Use another client certificate, or change the rule.",
            Certainty::Certain,
        ),
        _ => fault(
            "the server does not say what it misses",
            format!("The server's log has the reason. The certificate is issued by {}; nothing is wrong with it as far as it shows from here.", own.issuer),
            "Look into the server's log for `TLS handshake error`, and compare the issuer with the server's `ca_file`.",
            Certainty::Likely,
        ),
    }
}
