//! One-off connections that ask what a port speaks: say something, keep what comes back, bounded in bytes and time.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::clock::mono_now;
use crate::net::ws::upgrade::{HttpReply, parse_reply};

/// Most bytes kept of what a port says. The monitoring port of a busy server says most.
const MAX_HEARD_BYTES: usize = 512 << 10;

/// How a probe ended.
#[derive(Debug)]
pub enum ProbeEnd {
    /// The peer closed the connection.
    Closed,
    /// The connection broke: a reset, say, or a TLS alert.
    Broken(io::Error),
    /// It was still open when the time, or the room, was used up.
    Open,
    /// What came was enough.
    Enough,
}

/// What a port said.
#[derive(Debug)]
pub struct Heard {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How it ended.
    pub end: ProbeEnd,
    /// When the first byte came, from the beginning of the probe.
    pub first_after: Option<Duration>,
    /// When it ended.
    pub ended_after: Duration,
}

/// Whether a line has come.
pub fn has_line(bytes: &[u8]) -> bool {
    bytes.contains(&b'\n')
}

/// Whether an answer in HTTP has come whole.
pub fn has_whole_reply(bytes: &[u8]) -> bool {
    parse_reply(bytes).is_some_and(|(_, is_whole)| is_whole)
}

/// Says something on an open connection, and listens until `is_enough`, the end of the connection or the limit.
pub async fn exchange<S>(
    stream: &mut S,
    say: &[u8],
    limit: Duration,
    is_enough: impl Fn(&[u8]) -> bool,
) -> Heard
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let begun = mono_now();
    let since = || Duration::from_nanos(mono_now().since(begun));
    let mut bytes = Vec::new();
    let mut first_after = None;
    let talking = async {
        // What the peer says on its way out matters more than that it takes nothing any more.
        let written = async {
            stream.write_all(say).await?;
            stream.flush().await
        }
        .await;
        loop {
            if bytes.len() >= MAX_HEARD_BYTES {
                return ProbeEnd::Open;
            }
            match stream.read_buf(&mut bytes).await {
                Ok(0) => return written.map_or_else(ProbeEnd::Broken, |()| ProbeEnd::Closed),
                Ok(_) => {
                    first_after.get_or_insert_with(since);
                    if is_enough(&bytes) {
                        return ProbeEnd::Enough;
                    }
                }
                Err(error) => return ProbeEnd::Broken(error),
            }
        }
    };
    let end = timeout(limit, talking).await.unwrap_or(ProbeEnd::Open);
    bytes.truncate(MAX_HEARD_BYTES);
    Heard {
        bytes,
        end,
        first_after,
        ended_after: since(),
    }
}

/// Opens a TCP connection to one address.
///
/// # Errors
/// What the system says; `TimedOut` after the limit.
pub async fn connect(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(limit, TcpStream::connect(address))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Opens a connection, says something and listens; see [`exchange`].
///
/// # Errors
/// When there is no connection.
pub async fn ask(
    address: SocketAddr,
    say: &[u8],
    limit: Duration,
    is_enough: impl Fn(&[u8]) -> bool,
) -> io::Result<Heard> {
    let begun = mono_now();
    let mut stream = connect(address, limit).await?;
    let left = limit.saturating_sub(Duration::from_nanos(mono_now().since(begun)));
    Ok(exchange(&mut stream, say, left, is_enough).await)
}

/// `GET path` over HTTP, without TLS.
///
/// # Errors
/// When there is no connection, or what comes back is no HTTP.
pub async fn http_get(
    address: SocketAddr,
    host: &str,
    path: &str,
    limit: Duration,
) -> io::Result<HttpReply> {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    let heard = ask(address, request.as_bytes(), limit, has_whole_reply).await?;
    parse_reply(&heard.bytes)
        .map(|(reply, _)| reply)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}
