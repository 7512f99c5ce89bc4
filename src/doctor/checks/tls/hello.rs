//! A `ClientHello` made by hand, for servers that rustls does not come to terms with: it offers every old version and
//! cipher, and what comes back is read as far as TLS 1.2 sends it in clear.

use super::certificate::Certificate;

/// TLS 1.2, the newest version that is offered. A server that is older answers with its own.
const VERSION: [u8; 2] = [3, 3];
/// Names: <https://www.iana.org/assignments/tls-parameters>.
const CIPHERS: [(u16, &str); 22] = [
    (0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    (0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    (0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    (0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0xc023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"),
    (0xc009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"),
    (0xc00a, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"),
    (0xc027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"),
    (0xc013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),
    (0xc014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"),
    (0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"),
    (0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA"),
    (0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA"),
    (0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256"),
    (0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384"),
    (0x003c, "TLS_RSA_WITH_AES_128_CBC_SHA256"),
    (0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA"),
    (0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA"),
    (0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA"),
];
/// How many of these natsbench speaks itself: the first ones.
const N_OWN_CIPHERS: usize = 6;
/// x25519, P-256, P-384, P-521, ffdhe2048.
const GROUPS: [u16; 5] = [0x001d, 0x0017, 0x0018, 0x0019, 0x0100];
/// ECDSA, RSA-PSS, Ed25519, Ed448, RSA, and the two with SHA-1.
const SIGNATURES: [u16; 13] = [
    0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807, 0x0808, 0x0401, 0x0501, 0x0601, 0x0201,
    0x0203,
];
/// Most that is read of a handshake.
const MAX_HANDSHAKE_BYTES: usize = 64 << 10;

/// The bytes of the hello, for a server of this name; an address is no name.
pub(super) fn client_hello(name: Option<&str>, random: [u8; 32]) -> Vec<u8> {
    let mut extensions = Vec::new();
    if let Some(name) = name {
        let mut entry = vec![0];
        entry.extend(with_length(name.as_bytes()));
        extensions.extend(extension(0, &with_length(&entry)));
    }
    extensions.extend(extension(10, &with_length(&numbers(GROUPS))));
    // Uncompressed points only.
    extensions.extend(extension(11, &[1, 0]));
    extensions.extend(extension(13, &with_length(&numbers(SIGNATURES))));
    // Extended master secret; no renegotiation yet.
    extensions.extend(extension(23, &[]));
    extensions.extend(extension(0xff01, &[0]));

    let mut body = VERSION.to_vec();
    body.extend(random);
    // No session to resume.
    body.push(0);
    body.extend(with_length(&numbers(CIPHERS.map(|(cipher, _)| cipher))));
    // No compression.
    body.extend([1, 0]);
    body.extend(with_length(&extensions));

    let mut handshake = vec![1, 0];
    handshake.extend(with_length(&body));
    // A record of the oldest version: old servers refuse newer ones (RFC 5246 appendix E.1).
    let mut record = vec![22, 3, 1];
    record.extend(with_length(&handshake));
    record
}

fn numbers<const N: usize>(numbers: [u16; N]) -> Vec<u8> {
    numbers.into_iter().flat_map(u16::to_be_bytes).collect()
}

fn with_length(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a hello is short");
    [&length.to_be_bytes()[..], bytes].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &with_length(content)].concat()
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// Nothing, or not enough to tell.
    Nothing,
    /// No TLS.
    Other,
    /// TLS: an alert, by its number.
    Alert(u8),
    /// TLS: the server agreed to something.
    Agreed(Box<Agreed>),
}

/// What a server agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agreed {
    /// Second byte of the version: 1 for TLS 1.0.
    pub(super) minor: u8,
    pub(super) cipher: u16,
    /// The server's certificate, if it came whole.
    pub(super) certificate: Option<Certificate>,
    /// Whether the server said all it had to say.
    is_done: bool,
}

impl Agreed {
    /// Such as `TLS 1.0`.
    pub(super) fn version(&self) -> String {
        match self.minor {
            0 => "SSL 3.0".to_owned(),
            minor => format!("TLS 1.{}", minor - 1),
        }
    }

    pub(super) fn cipher_name(&self) -> String {
        let mut all = CIPHERS.iter();
        match all.find(|(cipher, _)| *cipher == self.cipher) {
            Some((_, name)) => (*name).to_owned(),
            None => format!("{:#06x}", self.cipher),
        }
    }

    /// Whether natsbench has that cipher.
    pub(super) fn is_own_cipher(&self) -> bool {
        let mut own = CIPHERS[..N_OWN_CIPHERS].iter();
        own.any(|(cipher, _)| *cipher == self.cipher)
    }
}

impl Reply {
    /// Whether more bytes can tell no more.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Other | Self::Alert(_) => true,
            Self::Agreed(agreed) => agreed.is_done,
        }
    }
}

/// Reads what came back.
pub(super) fn parse(bytes: &[u8]) -> Reply {
    let mut rest = bytes;
    let mut handshake = Vec::new();
    while let Some((kind, content, behind)) = record(rest) {
        match kind {
            // Level and description. Warnings (1) end nothing.
            21 if content.len() >= 2 && content[0] != 1 => return Reply::Alert(content[1]),
            22 if handshake.len() < MAX_HANDSHAKE_BYTES => handshake.extend_from_slice(content),
            21 | 22 => {}
            _ => break,
        }
        rest = behind;
    }
    match agreed(&handshake) {
        Some(agreed) => Reply::Agreed(Box::new(agreed)),
        None if looks_like_tls(bytes) => Reply::Nothing,
        None => Reply::Other,
    }
}

/// Whether it is the beginning of a record: alert or handshake of some version 3.
fn looks_like_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [] | [21 | 22] | [21 | 22, 3, ..])
}

/// The first record: its kind, its content, and what is behind it.
fn record(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (header, rest) = bytes.split_at_checked(5)?;
    if !looks_like_tls(header) {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    let (content, behind) = rest.split_at_checked(length)?;
    Some((header[0], content, behind))
}

/// The first message of a handshake: its kind, its content, and what is behind it.
fn message(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (header, rest) = bytes.split_at_checked(4)?;
    let (content, behind) = rest.split_at_checked(length_of(&header[1..]))?;
    Some((header[0], content, behind))
}

/// A length of three bytes.
fn length_of(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte))
}

fn agreed(handshake: &[u8]) -> Option<Agreed> {
    let (2, hello, mut rest) = message(handshake)? else {
        return None;
    };
    let minor = *hello.get(1)?;
    let session_bytes = usize::from(*hello.get(34)?);
    let cipher = hello.get(35 + session_bytes..37 + session_bytes)?;
    let mut agreed = Agreed {
        minor,
        cipher: u16::from_be_bytes([cipher[0], cipher[1]]),
        certificate: None,
        is_done: false,
    };
    while let Some((kind, content, behind)) = message(rest) {
        match kind {
            11 => agreed.certificate = first_certificate(content),
            14 => agreed.is_done = true,
            _ => {}
        }
        rest = behind;
    }
    Some(agreed)
}

/// A list with a length in front, of certificates with their lengths in front.
fn first_certificate(content: &[u8]) -> Option<Certificate> {
    let length = length_of(content.get(3..6)?);
    Certificate::parse(content.get(6..6 + length)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record_of(kind: u8, content: &[u8]) -> Vec<u8> {
        [&[kind, 3, 1][..], &with_length(content)].concat()
    }

    fn server_hello(minor: u8, cipher: u16) -> Vec<u8> {
        let mut body = vec![3, minor];
        body.extend([7; 32]);
        body.extend([2, 0xaa, 0xbb]);
        body.extend(cipher.to_be_bytes());
        body.push(0);
        [&[2, 0][..], &with_length(&body)].concat()
    }

    #[test]
    fn the_lengths_of_the_hello_fit() {
        let hello = client_hello(Some("nats.example"), [9; 32]);
        let (22, content, []) = record(&hello).expect("a record") else {
            panic!("{hello:?}");
        };
        let (1, body, []) = message(content).expect("a message") else {
            panic!("{content:?}");
        };
        assert_eq!(&body[..2], &VERSION);
        assert!(hello.windows(12).any(|part| part == b"nats.example"));
        assert!(client_hello(None, [9; 32]).len() < hello.len());
    }

    #[test]
    fn version_and_cipher_are_read_however_the_records_are_cut() {
        let mut handshake = server_hello(1, 0x002f);
        handshake.extend([14, 0, 0, 0]);
        let (head, tail) = handshake.split_at(10);
        let bytes = [record_of(22, head), record_of(22, tail)].concat();
        let Reply::Agreed(agreed) = parse(&bytes) else {
            panic!("{:?}", parse(&bytes));
        };
        assert_eq!(agreed.version(), "TLS 1.0");
        assert_eq!(agreed.cipher_name(), "TLS_RSA_WITH_AES_128_CBC_SHA");
        assert!(!agreed.is_own_cipher());
        assert!(parse(&bytes).is_whole());
        for cut in 0..bytes.len() {
            assert!(!parse(&bytes[..cut]).is_whole(), "cut at {cut}");
        }
    }

    #[test]
    fn alerts_are_told_from_other_protocols() {
        assert_eq!(parse(&record_of(21, &[2, 40])), Reply::Alert(40));
        assert_eq!(parse(b""), Reply::Nothing);
        assert_eq!(parse(b"HTTP/1.1 400 Bad Request\r\n"), Reply::Other);
        // A warning that the name is unknown, and then all is well.
        let bytes = [
            record_of(21, &[1, 112]),
            record_of(22, &server_hello(3, 0xc02f)),
        ]
        .concat();
        assert!(matches!(parse(&bytes), Reply::Agreed(agreed) if agreed.is_own_cipher()));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut bytes = record_of(22, &server_hello(3, 0xc02f));
        bytes.extend(record_of(22, &[11, 0, 0, 7, 0, 0, 4, 0xff, 0xff, 0xff, 1]));
        for idx in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = bytes.clone();
                changed[idx] = value;
                let _ = parse(&changed);
                let _ = parse(&changed[..idx]);
            }
        }
    }
}
