//! A second connection by hand, byte by byte: how long the path takes, and after how many bytes it stops.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use crate::clock::mono_now;
use crate::doctor::examination::Examination;
use crate::net::dial::{connect_options, credentials_for, start_tls, upgrade_request};
use crate::net::probe::{self, ProbeEnd, exchange};
use crate::net::stream::Stream;
use crate::net::target::Scheme;
use crate::net::ws::frame::{FrameOptions, HEADROOM_BYTES, opcode, seal};
use crate::net::ws::upgrade::{HttpReply, masking_key, upgrade};
use crate::protocol::{ServerInfo, encode};

/// PINGs of the probe, each in a packet of its own.
const N_PINGS: usize = 1_500;
/// How long a path that has just answered may be silent.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// What is said to a server behind its INFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Say {
    /// The login, as it is.
    Connect,
    /// A PING without login, which a server with authentication refuses at once, without asking anybody.
    PingOnly,
}

/// How far a second connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No connection, no TLS, or no answer to the upgrade.
    NoUpgrade,
    /// No INFO.
    NoInfo,
    /// INFO, but nothing that follows CONNECT.
    NoAnswer,
    /// It answered, and fell silent while small packets went back and forth.
    Stalled,
    /// It was closed in answer to the login.
    Closed,
    /// It answered, and was closed while small packets went back and forth.
    CutOff,
    /// The server refused the login.
    Refused,
    /// Everything came.
    Whole,
}

/// What a second connection showed.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    pub(crate) stage: Stage,
    /// From the request of the upgrade to its answer, which is one round trip of the whole path.
    pub(crate) round_trip: Option<Duration>,
    /// How many bytes came from the server, without TLS.
    pub(crate) n_received: usize,
    /// How long the small packets took.
    pub(crate) took: Duration,
    /// It ended by a reset, which is not how a server closes a connection on which everything was read.
    pub(crate) is_reset: bool,
}

/// Connects, logs in and sends small PINGs one by one, in plain frames.
pub(crate) async fn walk(examination: &Examination<'_>, say: Say) -> Path {
    let mut path = Path {
        stage: Stage::NoUpgrade,
        round_trip: None,
        n_received: 0,
        took: Duration::ZERO,
        is_reset: false,
    };
    let limit = examination.second_look_limit();
    let Some(address) = examination.address() else {
        return path;
    };
    let Ok(Some(mut stream)) = timeout(limit, open(examination, address, limit)).await else {
        return path;
    };
    let is_websocket = examination.target.scheme.is_websocket();
    let mut received = Vec::new();
    if is_websocket {
        let mut request = upgrade_request(examination.target, &examination.plan.dial);
        request.compression = false;
        request.no_masking = false;
        let begun = mono_now();
        let Ok(Ok(upgraded)) = timeout(limit, upgrade(&mut stream, &request)).await else {
            return path;
        };
        path.round_trip = Some(Duration::from_nanos(mono_now().since(begun)));
        path.n_received = head_bytes(&upgraded.reply);
        received = upgraded.tail;
    }
    path.stage = Stage::NoInfo;
    if info_in(&received).is_none() {
        let heard = exchange(&mut stream, b"", limit, |bytes| {
            info_in(&[&received[..], bytes].concat()).is_some()
        })
        .await;
        received.extend(heard.bytes);
    }
    path.n_received += received.len();
    let Some(info) = info_in(&received) else {
        return path;
    };
    let patience = limit.min(PATIENCE.max(path.round_trip.unwrap_or_default() * 2));
    let Some(said) = words(examination, say, &info) else {
        return path;
    };
    let begun = mono_now();
    let sent = framed(is_websocket, &said);
    let heard = exchange(&mut stream, &sent, patience, |bytes| {
        contains(bytes, b"PONG") || contains(bytes, b"-ERR")
    })
    .await;
    path.n_received += heard.bytes.len();
    path.is_reset = matches!(heard.end, ProbeEnd::Broken(_));
    path.stage = match heard.end {
        ProbeEnd::Enough if contains(&heard.bytes, b"-ERR") => Stage::Refused,
        ProbeEnd::Enough => {
            ping_on(&mut stream, is_websocket, patience, &mut path.n_received).await
        }
        ProbeEnd::Closed | ProbeEnd::Broken(_) => Stage::Closed,
        ProbeEnd::Open => Stage::NoAnswer,
    };
    path.took = Duration::from_nanos(mono_now().since(begun));
    path
}

/// Many small packets: what stops large ones does not stop these.
async fn ping_on(
    stream: &mut Stream,
    is_websocket: bool,
    patience: Duration,
    n_received: &mut usize,
) -> Stage {
    const BATCH: usize = 50;
    for _ in 0..N_PINGS / BATCH {
        let pings: Vec<u8> = (0..BATCH)
            .flat_map(|_| framed(is_websocket, b"PING\r\n"))
            .collect();
        let is_all = |bytes: &[u8]| count(bytes, b"PONG") >= BATCH;
        let heard = exchange(stream, &pings, patience, is_all).await;
        *n_received += heard.bytes.len();
        match heard.end {
            ProbeEnd::Enough => {}
            ProbeEnd::Open => return Stage::Stalled,
            ProbeEnd::Closed | ProbeEnd::Broken(_) => return Stage::CutOff,
        }
    }
    Stage::Whole
}

/// What is said, as bytes.
fn words(examination: &Examination<'_>, say: Say, info: &ServerInfo) -> Option<Vec<u8>> {
    match say {
        Say::Connect => login(examination, info),
        Say::PingOnly => Some(b"PING\r\n".to_vec()),
    }
}

/// CONNECT without the second INFO, and PING.
fn login(examination: &Examination<'_>, info: &ServerInfo) -> Option<Vec<u8>> {
    let options = &examination.plan.dial;
    let credentials = credentials_for(examination.target, options);
    let is_tls = examination.learned.is_tls;
    let mut connect = connect_options(options, &credentials, info, is_tls).ok()?;
    connect.protocol = 0;
    let mut text = Vec::new();
    encode::connect(&mut text, &connect);
    encode::ping(&mut text);
    Some(text)
}

/// TCP, and TLS where the URL says so.
async fn open(
    examination: &Examination<'_>,
    address: SocketAddr,
    limit: Duration,
) -> Option<Stream> {
    let tcp = probe::connect(address, limit).await.ok()?;
    if examination.target.scheme != Scheme::Wss {
        return Some(Stream::tcp(tcp));
    }
    let options = &examination.plan.dial;
    start_tls(examination.target, options, tcp).await.ok()
}

/// How long the head of an answer was, about.
fn head_bytes(reply: &HttpReply) -> usize {
    let headers = reply.headers.iter();
    let lines: usize = headers
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    "HTTP/1.1 101 \r\n\r\n".len() + reply.reason.len() + lines
}

/// INFO, once it has come whole; frames around it do not matter.
fn info_in(bytes: &[u8]) -> Option<ServerInfo> {
    let start = bytes.windows(5).position(|word| word == b"INFO ")? + 5;
    let end = start + bytes[start..].windows(2).position(|pair| pair == b"\r\n")?;
    ServerInfo::parse(&bytes[start..end]).ok()
}

fn framed(is_websocket: bool, text: &[u8]) -> Vec<u8> {
    if !is_websocket {
        return text.to_vec();
    }
    let mut frame = vec![0; HEADROOM_BYTES];
    frame.extend_from_slice(text);
    let options = FrameOptions {
        opcode: opcode::BINARY,
        is_compressed: false,
        mask: Some(masking_key()),
    };
    let start = seal(&mut frame, HEADROOM_BYTES, options);
    frame.split_off(start)
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    count(bytes, word) > 0
}

fn count(bytes: &[u8], word: &[u8]) -> usize {
    bytes
        .windows(word.len())
        .filter(|window| *window == word)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_found_inside_of_a_frame_once_it_is_whole() {
        let line = b"\x82\x15INFO {\"version\":\"2\"} \r\n";
        assert_eq!(info_in(line).unwrap().version, "2");
        assert!(info_in(&line[..line.len() - 1]).is_none());
        assert!(info_in(b"INFO nothing\r\n").is_none());
    }
}
