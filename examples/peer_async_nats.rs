//! async-nats as a peer: the cheapest honest way to receive and to publish with it.
//!
//! One thread, nothing decoded, and a subscription channel as large as the whole run, because async-nats drops what
//! does not fit into it. `scripts/bench-peers` measures the CPU time of the process.
//!
//! ```text
//! peer_async_nats sub URL SUBJECT COUNT
//! peer_async_nats pub URL SUBJECT COUNT BYTES    COUNT times the same payload, so that rendering costs nothing
//! ```
//!
//! Prints one line of JSON when it is done.

use std::io::{self, Write as _};
use std::process::ExitCode;

use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt as _;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["sub", url, subject, count] => subscribe(url, subject, count).await,
        ["pub", url, subject, count, bytes] => publish(url, subject, count, bytes).await,
        _ => {
            Err("usage: peer_async_nats sub URL SUBJECT COUNT | pub URL SUBJECT COUNT BYTES".into())
        }
    };
    match result {
        Ok(line) => {
            // Nobody is left to be told when standard output is closed.
            let _ = writeln!(io::stdout(), "{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "peer_async_nats: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn connect(url: &str, capacity: usize) -> Result<Client, AnyError> {
    // Discovered servers come without a scheme and would be dialled as plain NATS.
    let options = ConnectOptions::new()
        .subscription_capacity(capacity)
        .ignore_discovered_servers();
    Ok(options.connect(url).await?)
}

async fn subscribe(url: &str, subject: &str, count: &str) -> Result<String, AnyError> {
    let count: usize = count.parse()?;
    let client = connect(url, count + 1).await?;
    let mut messages = client.subscribe(subject.to_owned()).await?;
    client.flush().await?;
    let mut n_received = 0;
    let mut n_bytes = 0;
    while n_received < count
        && let Some(message) = messages.next().await
    {
        n_received += 1;
        n_bytes += message.payload.len();
    }
    Ok(format!(r#"{{"received":{n_received},"bytes":{n_bytes}}}"#))
}

async fn publish(url: &str, subject: &str, count: &str, bytes: &str) -> Result<String, AnyError> {
    let count: u64 = count.parse()?;
    let payload = bytes::Bytes::from(vec![b'x'; bytes.parse()?]);
    let subject = async_nats::Subject::from(subject);
    let client = connect(url, 16).await?;
    let inbox = client.new_inbox();
    let mut confirmation = client.subscribe(inbox.clone()).await?;
    for _ in 0..count {
        client.publish(subject.clone(), payload.clone()).await?;
    }
    // A flush of async-nats is no round trip; a message to itself is.
    client.publish(inbox, bytes::Bytes::new()).await?;
    confirmation.next().await.ok_or("the connection was lost")?;
    Ok(format!(r#"{{"sent":{count}}}"#))
}
