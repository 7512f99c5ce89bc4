//! The port is asked again, on new connections and in several ways at once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::doctor::elsewhere::Asker;
use crate::doctor::examination::Examination;
use crate::doctor::fingerprint::{Protocol, Speaker, identify};
use crate::doctor::http::again::info_behind;
use crate::net::dial::{DialError, DialOptions, dial};
use crate::net::probe::{Heard, ProbeEnd, exchange, has_line};
use crate::net::target::{Scheme, Target};
use crate::net::ws::upgrade::{UpgradeError, parse_reply};
use crate::protocol::ServerInfo;

/// How long a server may take to say its first word inside TLS.
const BANNER_PATIENCE: Duration = Duration::from_millis(500);
/// How long the other probes get once one has proved something.
const AFTER_PROOF: Duration = Duration::from_millis(300);
/// CONNECT of MQTT 3.1.1: a clean session of a client `doctor`, 60 s keep-alive.
const MQTT_CONNECT: &[u8] = b"\x10\x12\x00\x04MQTT\x04\x02\x00\x3c\x00\x06doctor";

/// What a request in HTTP got.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Http {
    /// NATS over WebSocket.
    Nats(Box<ServerInfo>),
    /// An answer in HTTP: its status.
    Status(u16),
    /// Something that is no HTTP.
    Other(Speaker),
    /// Nothing.
    Nothing,
}

impl Http {
    pub(super) fn is_answered(&self) -> bool {
        matches!(self, Self::Nats(_) | Self::Status(_))
    }
}

/// What a TLS handshake showed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tls {
    /// Nobody there speaks TLS, or it was not asked.
    No,
    /// The answer is a TLS alert: it speaks TLS, but not with us.
    Alert(String),
    /// The handshake succeeds; what is inside.
    Yes(Http),
}

/// What the port answered.
#[derive(Debug)]
pub(super) struct Answers {
    /// The same request once more.
    pub(super) again: Http,
    /// Nothing was said.
    pub(super) banner: Option<Heard>,
    /// A request without an upgrade.
    pub(super) get: Http,
    /// The CONNACK of MQTT came.
    pub(super) is_mqtt: bool,
    /// A PROXY header and the upgrade; the version of the header that was taken.
    pub(super) proxy: Option<u8>,
    pub(super) tls: Tls,
}

impl Answers {
    fn add(&mut self, answer: Answer) {
        match answer {
            Answer::Again(http) => self.again = http,
            Answer::Banner(heard) => self.banner = heard,
            Answer::Get(http) => self.get = http,
            Answer::Mqtt(is_mqtt) => self.is_mqtt = is_mqtt,
            Answer::Proxy(version, is_taken) => {
                if is_taken && self.proxy.is_none_or(|known| version < known) {
                    self.proxy = Some(version);
                }
            }
            Answer::Tls(tls) => self.tls = tls,
        }
    }

    /// Whether one of them proves what the port is. Others may still be needed to see whether it is always so.
    fn is_proof(&self) -> bool {
        self.proxy.is_some()
            || self.is_mqtt
            || matches!(self.tls, Tls::Yes(Http::Nats(_) | Http::Other(_)))
    }

    /// Who speaks NATS, or another protocol, inside TLS.
    pub(super) fn speaker_in_tls(&self) -> Option<Speaker> {
        match &self.tls {
            Tls::Yes(Http::Other(speaker)) => Some(speaker.clone()),
            _ => None,
        }
    }
}

enum Answer {
    Again(Http),
    Banner(Option<Heard>),
    Get(Http),
    Mqtt(bool),
    Proxy(u8, bool),
    Tls(Tls),
}

/// Probes on their way.
pub(super) struct Probing(JoinSet<Answer>);

/// Starts them all.
pub(super) fn start(examination: &Examination<'_>, address: SocketAddr) -> Probing {
    let asker = Asker::of(examination);
    let is_tls = examination.target.scheme == Scheme::Wss;
    let mut tasks = JoinSet::new();
    let (target, mut options) = (examination.target.clone(), examination.plan.dial.clone());
    options.timeout = examination.second_look_limit();
    if target.scheme.is_websocket() {
        tasks.spawn(async move { Answer::Again(again_and_again(&target, &options).await) });
    }
    let own = asker.clone();
    tasks.spawn(async move { Answer::Banner(say(&own, address, is_tls, b"", has_line).await) });
    let own = asker.clone();
    tasks.spawn(async move { Answer::Get(http(&own, address, is_tls).await) });
    let own = asker.clone();
    tasks.spawn(async move { Answer::Mqtt(mqtt(&own, address, is_tls).await) });
    for version in [1, 2] {
        let own = asker.clone();
        tasks.spawn(
            async move { Answer::Proxy(version, proxy(&own, address, is_tls, version).await) },
        );
    }
    if !is_tls {
        tasks.spawn(async move { Answer::Tls(in_tls(&asker, address).await) });
    }
    Probing(tasks)
}

impl Probing {
    /// Waits for all of them, or not much longer than for one that proves something.
    pub(super) async fn finish(mut self) -> Answers {
        let mut answers = Answers {
            again: Http::Nothing,
            banner: None,
            get: Http::Nothing,
            is_mqtt: false,
            proxy: None,
            tls: Tls::No,
        };
        while !answers.is_proof()
            && let Some(Ok(answer)) = self.0.join_next().await
        {
            answers.add(answer);
        }
        let rest = async {
            while let Some(Ok(answer)) = self.0.join_next().await {
                answers.add(answer);
            }
        };
        // Those that are left are cancelled when the set is dropped.
        let _ = timeout(AFTER_PROOF, rest).await;
        answers
    }
}

/// Several times: a load balancer takes its servers in turn.
async fn again_and_again(target: &Target, options: &DialOptions) -> Http {
    let attempts = tokio::join!(
        again(target, options),
        again(target, options),
        again(target, options)
    );
    let mut attempts = [attempts.0, attempts.1, attempts.2].into_iter();
    attempts.find(Http::is_answered).unwrap_or(Http::Nothing)
}

/// The very same request, headers of the user included, to the very same place.
async fn again(target: &Target, options: &DialOptions) -> Http {
    let limit = options.timeout;
    match timeout(limit, dial(target, options)).await {
        Ok(Ok((_, facts))) => Http::Nats(Box::new(facts.info)),
        Ok(Err(DialError::Upgrade(UpgradeError::Refused(reply)))) => Http::Status(reply.status),
        // The upgrade succeeded; what follows it is not asked about here.
        Ok(Err(
            DialError::NotNats(_)
            | DialError::ClosedBeforeInfo(_)
            | DialError::Credentials(_)
            | DialError::Refused { .. }
            | DialError::ClosedAfterConnect(_),
        )) => Http::Status(101),
        _ => Http::Nothing,
    }
}

async fn say(
    asker: &Asker,
    address: SocketAddr,
    is_tls: bool,
    bytes: &[u8],
    is_enough: impl Fn(&[u8]) -> bool,
) -> Option<Heard> {
    let mut stream = asker.open(address, is_tls).await.ok()?;
    Some(exchange(&mut stream, bytes, asker.limit(), is_enough).await)
}

fn has_head(bytes: &[u8]) -> bool {
    parse_reply(bytes).is_some()
}

/// An upgrade, and a request without one where that gets nothing.
pub(super) async fn in_clear(asker: &Asker, address: SocketAddr) -> Http {
    let (served, get) = tokio::join!(asker.websocket(address, false), http(asker, address, false));
    served.map_or(get, |served| Http::Nats(Box::new(served.info)))
}

/// A request without an upgrade.
async fn http(asker: &Asker, address: SocketAddr, is_tls: bool) -> Http {
    let get = asker.plain_get();
    let is_enough = |bytes: &[u8]| has_head(bytes) || (!bytes.starts_with(b"H") && has_line(bytes));
    let heard = say(asker, address, is_tls, get.as_bytes(), is_enough).await;
    heard.map_or(Http::Nothing, |heard| of_bytes(&heard.bytes))
}

fn of_bytes(bytes: &[u8]) -> Http {
    if let Some((reply, _)) = parse_reply(bytes) {
        return Http::Status(reply.status);
    }
    identify(bytes).map_or(Http::Nothing, Http::Other)
}

async fn mqtt(asker: &Asker, address: SocketAddr, is_tls: bool) -> bool {
    let heard = say(asker, address, is_tls, MQTT_CONNECT, |bytes| {
        bytes.len() >= 4
    })
    .await;
    heard.is_some_and(|heard| {
        matches!(
            identify(&heard.bytes),
            Some(Speaker::Other(Protocol::Mqtt, _))
        )
    })
}

/// Whether a PROXY header in front of the request makes the port answer in HTTP.
async fn proxy(asker: &Asker, address: SocketAddr, is_tls: bool, version: u8) -> bool {
    let mut bytes = if version == 1 {
        proxy_v1(address)
    } else {
        proxy_v2(address)
    };
    bytes.extend_from_slice(asker.upgrade_bytes().as_bytes());
    let heard = say(asker, address, is_tls, &bytes, has_head).await;
    // A server that takes the header for a bad request says 400.
    heard
        .and_then(|heard| parse_reply(&heard.bytes))
        .is_some_and(|(reply, _)| reply.status != 400)
}

fn proxy_v1(address: SocketAddr) -> Vec<u8> {
    let family = if address.is_ipv4() { "TCP4" } else { "TCP6" };
    let ip = address.ip();
    format!("PROXY {family} {ip} {ip} 40000 {}\r\n", address.port()).into_bytes()
}

/// Signature, version and command, family, length, then source and destination.
fn proxy_v2(address: SocketAddr) -> Vec<u8> {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => Ipv4Addr::LOCALHOST,
    };
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    bytes.extend_from_slice(&ip.octets());
    bytes.extend_from_slice(&ip.octets());
    bytes.extend_from_slice(&40_000_u16.to_be_bytes());
    bytes.extend_from_slice(&address.port().to_be_bytes());
    bytes
}

/// A TLS handshake, and who speaks inside.
pub(super) async fn in_tls(asker: &Asker, address: SocketAddr) -> Tls {
    let mut stream = match asker.open(address, true).await {
        Ok(stream) => stream,
        Err(error) => return of_tls_error(&error),
    };
    let heard = exchange(&mut stream, b"", BANNER_PATIENCE, has_line).await;
    if let Some(speaker) = identify(&heard.bytes) {
        return Tls::Yes(Http::Other(speaker));
    }
    if !matches!(heard.end, ProbeEnd::Open) {
        return Tls::Yes(Http::Nothing);
    }
    let asking = timeout(asker.limit(), async {
        match asker.upgrade(&mut stream).await {
            Ok(tail) => match info_behind(stream, tail).await {
                Some(info) => Http::Nats(Box::new(info)),
                None => Http::Status(101),
            },
            Err(UpgradeError::Refused(reply)) => Http::Status(reply.status),
            Err(UpgradeError::NotHttp { received }) => of_bytes(&received),
            Err(_) => Http::Nothing,
        }
    });
    Tls::Yes(asking.await.unwrap_or(Http::Nothing))
}

fn of_tls_error(error: &std::io::Error) -> Tls {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::AlertReceived(alert)) => Tls::Alert(format!("{alert:?}")),
        _ => Tls::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_that_are_sent_are_those_of_the_protocol() {
        let v4 = "192.0.2.1:8443".parse().unwrap();
        assert_eq!(
            proxy_v1(v4),
            b"PROXY TCP4 192.0.2.1 192.0.2.1 40000 8443\r\n"
        );
        let v6 = "[::1]:8443".parse().unwrap();
        assert_eq!(proxy_v1(v6), b"PROXY TCP6 ::1 ::1 40000 8443\r\n");
        let binary = proxy_v2(v4);
        assert_eq!(binary.len(), 16 + 12);
        assert_eq!(
            identify(&binary),
            Some(Speaker::Other(
                Protocol::Proxy,
                crate::doctor::fingerprint::excerpt(&binary)
            ))
        );
        let length = usize::from(MQTT_CONNECT[1]);
        assert_eq!(MQTT_CONNECT.len(), 2 + length);
    }

    #[test]
    fn only_an_alert_shows_that_the_port_speaks_tls() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure);
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, alert);
        assert!(matches!(of_tls_error(&error), Tls::Alert(_)));
        let error = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        assert_eq!(of_tls_error(&error), Tls::No);
    }
}
