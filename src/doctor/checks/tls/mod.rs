//! TLS: the handshake with verification off first, so that everything can be seen, and then the judgement of the
//! certificates. A connection that the user's own configuration would refuse is not handed on.

use tokio::net::TcpStream;

use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::examination::Examination;
use crate::net::stream::Stream;
use crate::net::target::Scheme;

pub(super) const CHECK: Check = Check {
    id: CheckId::Tls,
    requires: &[CheckId::Greeting],
    codes: &[],
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

/// Puts TLS on a connection whose next bytes are a ClientHello: at once for `wss://` and with `tls_first`, behind INFO
/// on the client port.
///
/// Everything there is to say about it is reported as findings and facts of the check that runs; `Err` is what that
/// check is to return.
pub(crate) async fn handshake(
    _examination: &mut Examination<'_>,
    _tcp: TcpStream,
) -> Result<Secured, Looked> {
    Err(Looked::Unable("not yet".to_owned()))
}
