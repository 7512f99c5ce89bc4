//! The TLS handshake, with the certificates judged apart from it.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::code::Code;
use crate::doctor::examination::Examination;
use crate::net::stream::Stream;
use crate::net::target::Scheme;
use crate::results::doctor::Severity;

const HANDSHAKE: Code = Code {
    name: "tls.handshake-failed",
    severity: Severity::Error,
    meaning: "The TLS handshake failed.",
    cause: "The two sides agree on no protocol version, cipher or certificate.",
    fix: "See the evidence.",
};

pub(super) const CHECK: Check = Check {
    id: CheckId::Tls,
    requires: &[CheckId::Greeting],
    codes: &[&HANDSHAKE],
    run: |examination| Box::pin(run(examination)),
};

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
    let Ok(name) = ServerName::try_from(examination.target.tls_name().to_owned()) else {
        return Looked::Unable("the host cannot be a TLS server name".to_owned());
    };
    let connector = TlsConnector::from(Arc::clone(&examination.plan.dial.tls));
    let limit = examination.step_limit();
    match tokio::time::timeout(limit, connector.connect(name, tcp)).await {
        Ok(Ok(stream)) => {
            examination.learned.stream = Some(Stream::tls(stream));
            Looked::At("verified".to_owned())
        }
        Ok(Err(error)) => {
            examination.find(
                HANDSHAKE
                    .finding("The TLS handshake failed.")
                    .evidence("TLS", error),
            );
            Looked::At("handshake".to_owned())
        }
        Err(_) => Looked::Unable("timeout".to_owned()),
    }
}
