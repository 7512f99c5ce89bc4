//! Tests of connecting where a real server cannot be made to do it.

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::net::direct::Batch;

/// Both ends of TLS with a certificate for that name.
fn tls_for(name: &str) -> (Arc<ClientConfig>, TlsAcceptor) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (Arc::new(client), TlsAcceptor::from(Arc::new(server)))
}

fn options(tls: Arc<ClientConfig>) -> DialOptions {
    DialOptions::new(tls, Duration::from_secs(30))
}

/// A TLS stream to a server of our own, as if it were at `url`.
async fn connected(
    url: &str,
    certified: &str,
) -> (
    Result<Stream, DialError>,
    io::Result<tokio_rustls::server::TlsStream<TcpStream>>,
) {
    let (client, acceptor) = tls_for(certified);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let target: Target = url.parse().unwrap();
    let options = options(client);
    let dialling = async {
        let tcp = TcpStream::connect(address).await.unwrap();
        start_tls(&target, &options, tcp).await
    };
    let serving = async { acceptor.accept(listener.accept().await.unwrap().0).await };
    tokio::join!(dialling, serving)
}

#[tokio::test]
async fn an_address_in_brackets_is_what_the_certificate_has_to_be_for() {
    for (url, certified, is_valid) in [
        ("wss://[::1]", "::1", true),
        ("wss://[fe80::1%eth0]", "fe80::1", true),
        ("wss://127.0.0.1", "127.0.0.1", true),
        ("wss://[::1]", "::2", false),
        ("wss://[::1]", "localhost", false),
    ] {
        let (stream, _) = connected(url, certified).await;
        assert_eq!(stream.is_ok(), is_valid, "{url} {certified}");
        let is_name = |error: &DialError| {
            matches!(
                error.tls_error(),
                Some(rustls::Error::InvalidCertificate(_))
            )
        };
        assert!(stream.err().is_none_or(|error| is_name(&error)), "{url}");
    }
}

#[tokio::test]
async fn the_detached_writer_goes_on_after_a_key_update() {
    // Given a session whose writing side belongs to another thread.
    let (stream, server) = connected("tls://127.0.0.1", "127.0.0.1").await;
    let mut server = server.unwrap();
    let mut session = Session::plain(stream.unwrap(), 4096);
    let mut writer = session.detach_writer().unwrap();
    // When the server asks for new keys.
    server.get_mut().1.refresh_traffic_keys().unwrap();
    server.write_all(b"PING\r\n").await.unwrap();
    server.flush().await.unwrap();
    while session.next_op().unwrap().is_none() {
        session.read().await.unwrap();
    }
    // Then what is written behind it is understood. rustls answers along with the next message.
    let mut batch = Batch::default();
    batch.out().extend_from_slice(b"PONG\r\n");
    writer.send(&mut batch).unwrap();
    let mut answer = [0; 6];
    server.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"PONG\r\n");
}

/// What comes of a server on the client port that asks for TLS and then says more in clear.
async fn after_info(clear: &[u8]) -> DialError {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let target: Target = url.parse().unwrap();
    let options = options(tls_for("127.0.0.1").0);
    let serving = async {
        let (mut peer, _) = listener.accept().await.unwrap();
        let info = b"INFO {\"tls_required\":true}\r\n";
        peer.write_all(&[info, clear].concat()).await.unwrap();
        let mut nothing = Vec::new();
        peer.read_to_end(&mut nothing).await.unwrap();
        assert_eq!(nothing, b"");
    };
    let dialling = async { dial(&target, &options).await.unwrap_err() };
    tokio::join!(dialling, serving).0
}

#[tokio::test]
async fn nothing_in_clear_behind_info_passes_for_a_part_of_the_encrypted_session() {
    for clear in [&b"PING\r\n"[..], b"MSG a 1 2\r\nhi\r\n", b"\x16"] {
        let error = after_info(clear).await;
        assert!(matches!(error, DialError::BytesBeforeTls), "{error}");
    }
    let error = after_info(b"-ERR 'maximum connections exceeded'\r\n").await;
    assert!(
        matches!(
            error,
            DialError::Refused {
                kind: ServerErrorKind::MaximumConnections,
                ..
            }
        ),
        "{error}"
    );
}
