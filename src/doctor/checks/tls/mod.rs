//! TLS: the handshake with verification off first, so that everything can be seen, and then the judgement of the
//! certificates. A connection that the user's own configuration would refuse is not handed on.

mod certificate;
mod chain;
mod client;
mod codes;
mod dates;
mod handshake;
mod hello;
mod issuer;
mod moment;
mod names;
mod no_tls;
mod second_look;
mod trust;
mod usage;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ProtocolVersion};
use tokio::io::AsyncBufReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use self::certificate::Certificate;
use self::chain::Presented;
use self::client::{Refusal, Shown};
use self::handshake::Failure;
use self::trust::{Trusted, Verdict};
use crate::clock::Clock;
use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::examination::Examination;
use crate::net::stream::Stream;
use crate::net::target::Scheme;
use crate::net::tls::inspect::{Seen, inspecting};
use crate::results::doctor::{Finding, Severity};

/// How long a server may take to refuse a client certificate, beyond two round trips: it does so at once.
const PATIENCE: Duration = Duration::from_millis(60);
/// Longest wait for a refusal.
const MAX_PATIENCE: Duration = Duration::from_millis(800);

pub(super) const CHECK: Check = Check {
    id: CheckId::Tls,
    requires: &[CheckId::Greeting],
    codes: codes::ALL,
    run: |examination| Box::pin(run(examination)),
};

/// A connection with TLS on it, fit to be used.
pub(crate) struct Secured {
    pub(crate) stream: Stream,
    /// What was seen, in one line.
    pub(crate) text: String,
}

async fn run(examination: &mut Examination<'_>) -> Looked {
    match examination.target.scheme {
        Scheme::Ws => {
            examination.learned.stream = examination.learned.tcp.take().map(Stream::tcp);
            return Looked::NotNeeded("ws:// has no TLS".to_owned());
        }
        Scheme::Nats | Scheme::Tls => {
            return Looked::NotNeeded("on the client port TLS starts behind INFO".to_owned());
        }
        Scheme::Wss => {}
    }
    let Some(tcp) = examination.learned.tcp.take() else {
        return Looked::Unable("there is no connection".to_owned());
    };
    match handshake(examination, tcp).await {
        Ok(secured) => {
            examination.learned.stream = Some(secured.stream);
            Looked::At(secured.text)
        }
        Err(looked) => looked,
    }
}

/// Puts TLS on a connection whose next bytes are a `ClientHello`: at once for `wss://` and with `tls_first`, behind INFO
/// on the client port.
///
/// Everything there is to say about it is reported as findings and facts of the check that runs; `Err` is what that
/// check is to return.
pub(crate) async fn handshake(
    examination: &mut Examination<'_>,
    tcp: TcpStream,
) -> Result<Secured, Looked> {
    let host = examination.target.tls_name().to_owned();
    let Ok(name) = ServerName::try_from(host.clone()) else {
        examination.find(bad_server_name(&host));
        return Err(Looked::At(format!(
            "`{host}` cannot stand in a certificate"
        )));
    };
    let (config, inspection) = inspecting(&examination.plan.dial.tls);
    let limit = examination.step_limit();
    let connector = TlsConnector::from(Arc::new(config));
    let shaken = timeout(limit, connector.connect(name.clone(), tcp)).await;
    let seen = inspection.seen();
    let judged = judge_chain(examination, &seen, &name)?;
    let failure = match shaken {
        Ok(Ok(stream)) => return finish(examination, stream, &seen, judged).await,
        Ok(Err(error)) => Failure::of(&error),
        Err(_) => Failure::Silence(limit),
    };
    let text = failure.text();
    let client = seen.request.as_ref().zip(failure.alert());
    let client = client.filter(|(request, alert)| client::is_about_client(*alert, request));
    if let Some((_, alert)) = client {
        find_client_fault(examination, &seen, &Refusal::Alert(alert));
    } else if !judged.is_bad
        && let Some(looks) = second_look::look_again(examination).await
    {
        examination.find(handshake::judge(examination.target, &failure, &looks));
    }
    Err(Looked::At(text))
}

/// What came of judging the certificates.
struct Judged {
    /// The user's configuration refuses them.
    is_bad: bool,
    /// In words.
    text: String,
}

/// Judges the certificates, as far as they came, and reports what is wrong with them.
fn judge_chain(
    examination: &mut Examination<'_>,
    seen: &Seen,
    name: &ServerName<'_>,
) -> Result<Judged, Looked> {
    let Some(first) = seen.chain.first() else {
        return Ok(Judged {
            is_bad: false,
            text: String::new(),
        });
    };
    let unable =
        |text: String| Looked::Unable(format!("the certificates cannot be judged: {text}"));
    let trusted =
        Trusted::read(&examination.plan.tls).map_err(|error| unable(error.to_string()))?;
    let now = now();
    let Some(leaf) = Certificate::parse(first) else {
        return Ok(unreadable(examination));
    };
    let provider = Arc::clone(examination.plan.dial.tls.crypto_provider());
    let mut verdict = Verdict::of(&seen.chain, &leaf, &trusted, name, &provider, now);
    if let Some(error) = &seen.signature_error {
        verdict.signature = Err(error.clone());
    }
    let mut chain = vec![leaf];
    chain.extend(trust::parse_all(&seen.chain[1..]));
    let is_bad = verdict.objection().is_some() && !examination.plan.tls.insecure;
    let presented = Presented {
        target: examination.target,
        chain: &chain,
        trusted: &trusted,
        verdict: &verdict,
        now,
    };
    let findings = chain::judge(&presented);
    let text = match findings.first() {
        Some(finding) if verdict.objection().is_some() => finding.title.clone(),
        _ => chain::summary(&chain[0], now),
    };
    for finding in findings {
        examination.find(as_asked(examination, finding));
    }
    examination.fact("certificate", chain::summary(&chain[0], now));
    if examination.plan.tls.insecure {
        examination.fact("verification", "off (--insecure): anybody could answer");
    }
    Ok(Judged { is_bad, text })
}

/// With `--insecure` nothing of it matters to us, but it does to others.
fn as_asked(examination: &Examination<'_>, finding: Finding) -> Finding {
    if examination.plan.tls.insecure {
        finding.severity(Severity::Info)
    } else {
        finding
    }
}

fn unreadable(examination: &mut Examination<'_>) -> Judged {
    let port = examination.target.host_and_port();
    let text = format!("What {port} sends as its certificate cannot be read.");
    let finding = codes::REFUSED
        .finding(&text)
        .because("It is no X.509 certificate, or a damaged one. Every client refuses it.")
        .remedy("Issue the certificate again.");
    let finding = as_asked(examination, finding);
    examination.find(finding);
    Judged {
        is_bad: !examination.plan.tls.insecure,
        text,
    }
}

/// Hands a connection on, once it is known that the server keeps it.
async fn finish(
    examination: &mut Examination<'_>,
    mut stream: TlsStream<TcpStream>,
    seen: &Seen,
    judged: Judged,
) -> Result<Secured, Looked> {
    let encryption = describe(stream.get_ref().1);
    if seen.request.is_some()
        && stream.get_ref().1.protocol_version() == Some(ProtocolVersion::TLSv1_3)
        && let Some(refusal) = await_refusal(&mut stream, patience(examination)).await
    {
        find_client_fault(examination, seen, &refusal);
        return Err(Looked::At(refusal.text()));
    }
    if judged.is_bad {
        return Err(Looked::At(judged.text));
    }
    examination.fact("TLS", &encryption);
    let text = format!("{encryption}; {}", judged.text);
    examination.learned.is_tls = true;
    let request = seen.request.as_ref();
    examination.learned.is_certificate_missing =
        request.is_some_and(|request| !request.is_answered);
    Ok(Secured {
        stream: Stream::tls(stream),
        text,
    })
}

fn describe(connection: &ClientConnection) -> String {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
        other => format!("{other:?}"),
    };
    let suite = connection.negotiated_cipher_suite();
    match suite {
        Some(suite) => format!("{version}, {:?}", suite.suite()),
        None => version,
    }
}

fn patience(examination: &Examination<'_>) -> Duration {
    let reached = examination.learned.reached.first();
    let round_trip = reached.map_or(Duration::ZERO, |reached| reached.took);
    (PATIENCE + 2 * round_trip).min(MAX_PATIENCE)
}

/// With TLS 1.3 our handshake is over before the server has looked at our certificate. Whatever else comes stays in
/// the stream.
async fn await_refusal(stream: &mut TlsStream<TcpStream>, limit: Duration) -> Option<Refusal> {
    match timeout(limit, stream.fill_buf()).await {
        Ok(Ok([])) => Some(Refusal::Closed),
        Ok(Err(error)) => Some(refusal_of(&error)),
        Ok(Ok(_)) | Err(_) => None,
    }
}

fn refusal_of(error: &io::Error) -> Refusal {
    let alert = Failure::of(error).alert();
    alert.map_or(Refusal::Closed, Refusal::Alert)
}

fn find_client_fault(examination: &mut Examination<'_>, seen: &Seen, refusal: &Refusal) {
    let Some(request) = &seen.request else {
        return;
    };
    let tls = &examination.plan.tls;
    let own = trust::parse_all(&tls.client_certificates().unwrap_or_default());
    let file = tls.cert.as_ref().map(|path| path.display().to_string());
    let shown = Shown {
        server: &examination.target.host_and_port(),
        url: &examination.target.to_string(),
        request,
        file: file.as_deref(),
        own: &own,
        now: now(),
    };
    let finding = client::judge(&shown, refusal);
    examination.find(finding);
}

fn bad_server_name(host: &str) -> Finding {
    codes::BAD_SERVER_NAME
        .finding(format!(
            "`{host}` cannot stand in a certificate, so TLS cannot verify it."
        ))
        .because("A certificate is for DNS names and IP addresses.")
        .remedy("Use a DNS name or an address in the URL.")
}

/// Seconds since the epoch.
fn now() -> i64 {
    let nanos = Clock::start().wall_now().0;
    i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX)
}
