//! Asks a port again whose handshake failed, in other ways and side by side.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::handshake::{Failure, Looks, Plain};
use super::hello::{self, Reply, client_hello};
use super::trust::parse_all;
use crate::doctor::examination::Examination;
use crate::net::dial::upgrade_request;
use crate::net::probe::{connect, exchange};
use crate::net::target::Target;
use crate::net::tls::inspect::inspecting;
use crate::net::ws::upgrade::{UpgradeError, UpgradeRequest, upgrade};

/// As a load balancer would begin: the addresses do not matter.
const PROXY_HEADER: &str = "PROXY TCP4 127.0.0.1 127.0.0.1 56324 443\r\n";
/// Most that is read of a greeting that comes before TLS.
const MAX_INFO_BYTES: usize = 64 << 10;

/// What is longer is no line.
const MAX_LINE_BYTES: usize = 256;

/// How to reach the place where TLS begins.
#[derive(Clone, Copy)]
struct Place<'a> {
    target: &'a Target,
    address: SocketAddr,
    /// INFO comes first.
    is_behind_info: bool,
    limit: Duration,
}

/// Asks again. `None` if there is nowhere to ask.
pub(super) async fn look_again(examination: &Examination<'_>) -> Option<Looks> {
    let options = &examination.plan.dial;
    let target = examination.target;
    let place = Place {
        target,
        address: examination.address()?,
        is_behind_info: !target.scheme.is_websocket() && !options.tls_first,
        limit: examination.second_look_limit(),
    };
    let name = target.tls_name();
    let name = name.parse::<IpAddr>().is_err().then_some(name);
    let hello = client_hello(name, rand::rng().random());
    let behind_header = [PROXY_HEADER.as_bytes(), &hello].concat();
    let request = plain_request(target, upgrade_request(target, options));
    let (heard, behind, plain, nameless) = tokio::join!(
        say(place, &hello),
        say(place, &behind_header),
        ask_plain(place, &request),
        shake_hands_nameless(place, &options.tls, name),
    );
    Some(Looks {
        hello: hello::parse(&heard),
        heard,
        behind_proxy_header: hello::parse(&behind),
        plain,
        nameless,
    })
}

impl Place<'_> {
    async fn open(self) -> io::Result<TcpStream> {
        let mut tcp = connect(self.address, self.limit).await?;
        if self.is_behind_info {
            let is_line = |bytes: &[u8]| bytes.contains(&b'\n') || bytes.len() > MAX_INFO_BYTES;
            exchange(&mut tcp, b"", self.limit, is_line).await;
        }
        Ok(tcp)
    }
}

/// Says something, and returns what came back; nothing if there was no connection.
async fn say(place: Place<'_>, bytes: &[u8]) -> Vec<u8> {
    let Ok(mut tcp) = place.open().await else {
        return Vec::new();
    };
    // What is no TLS is told by its first line.
    let is_enough = |bytes: &[u8]| match hello::parse(bytes) {
        Reply::Other => bytes.contains(&b'\n') || bytes.len() > MAX_LINE_BYTES,
        reply => reply.is_whole(),
    };
    exchange(&mut tcp, bytes, place.limit, is_enough)
        .await
        .bytes
}

/// What goes out in clear has none of the secrets that were meant for TLS.
fn plain_request(target: &Target, request: UpgradeRequest) -> UpgradeRequest {
    let path = target.path_and_query.split('?').next().unwrap_or("/");
    UpgradeRequest {
        path_and_query: path.to_owned(),
        headers: Vec::new(),
        ..request
    }
}

async fn ask_plain(place: Place<'_>, request: &UpgradeRequest) -> Plain {
    if !place.target.scheme.is_websocket() {
        return Plain::Other;
    }
    let asking = async {
        let mut tcp = connect(place.address, place.limit).await.ok()?;
        Some(upgrade(&mut tcp, request).await)
    };
    match timeout(place.limit, asking).await {
        Ok(Some(Ok(_))) => Plain::Switched,
        Ok(Some(Err(UpgradeError::Refused(reply) | UpgradeError::Invalid { reply, .. }))) => {
            Plain::Http(*reply)
        }
        _ => Plain::Other,
    }
}

/// Another handshake, without the name of the host in it. `None` if there is no name to leave out.
async fn shake_hands_nameless(
    place: Place<'_>,
    config: &ClientConfig,
    name: Option<&str>,
) -> Option<Result<Vec<super::certificate::Certificate>, String>> {
    let name = ServerName::try_from(name?.to_owned()).ok()?;
    let (mut config, inspection) = inspecting(config);
    config.enable_sni = false;
    let shaking = async {
        let tcp = place.open().await.map_err(|error| error.to_string())?;
        let connector = TlsConnector::from(Arc::new(config));
        let shaken = connector.connect(name, tcp).await;
        shaken.map_err(|error| Failure::of(&error).text())
    };
    let shaken = timeout(place.limit, shaking).await;
    Some(match shaken {
        Ok(Ok(_)) => Ok(parse_all(&inspection.seen().chain)),
        Ok(Err(text)) => Err(text),
        Err(_) => Err("no answer".to_owned()),
    })
}
