//! What can be wrong with TLS.

use crate::doctor::code::Code;
use crate::results::doctor::Severity;

/// All of them.
pub(super) const ALL: &[&Code] = &[
    &CLOCK_WRONG,
    &EXPIRED,
    &NOT_YET_VALID,
    &INTERMEDIATE_EXPIRED,
    &CA_EXPIRED,
    &EXPIRES_SOON,
    &VERSION_1,
    &NAME_MISMATCH,
    &NO_ALTERNATIVE_NAME,
    &DEFAULT_CERTIFICATE,
    &INTERCEPTED,
    &SELF_SIGNED,
    &UNKNOWN_ISSUER,
    &MISSING_INTERMEDIATE,
    &CA_REPLACED,
    &SERVER_CERTIFICATE_AS_CA,
    &CA_AS_SERVER,
    &NOT_FOR_SERVERS,
    &WEAK_KEY,
    &UNSUPPORTED_KEY,
    &WEAK_SIGNATURE,
    &REFUSED,
    &PLAIN_WEBSOCKET,
    &PLAIN_HTTP,
    &NOT_TLS,
    &PROXY_PROTOCOL,
    &VERSION_TOO_OLD,
    &NO_COMMON_CIPHER,
    &NAME_NOT_SERVED,
    &CLOSED,
    &SILENT,
    &HANDSHAKE_FAILED,
    &BAD_SERVER_NAME,
    &CLIENT_CERTIFICATE_REQUIRED,
    &CLIENT_CERTIFICATE_REFUSED,
];

pub(super) const CLOCK_WRONG: Code = Code {
    name: "tls.clock-wrong",
    severity: Severity::Error,
    meaning: "The clock of this machine is so far back that no certificate is valid yet.",
    cause: "The machine has lost its time, often after it was off or in a container or VM that was paused.",
    fix: "Set the clock, best by NTP.",
};

pub(super) const EXPIRED: Code = Code {
    name: "tls.certificate-expired",
    severity: Severity::Error,
    meaning: "The server's certificate has expired.",
    cause: "It was not renewed, or it was renewed and the server was not told to read it again.",
    fix: "Renew the certificate, then `nats-server --signal reload` (or reload the proxy that ends TLS).",
};

pub(super) const NOT_YET_VALID: Code = Code {
    name: "tls.certificate-not-yet-valid",
    severity: Severity::Error,
    meaning: "The server's certificate is not valid yet.",
    cause: "It was issued for a later time, or the clock of this machine is behind.",
    fix: "Issue the certificate for the present time, or set the clock of this machine.",
};

pub(super) const INTERMEDIATE_EXPIRED: Code = Code {
    name: "tls.intermediate-expired",
    severity: Severity::Error,
    meaning: "A CA certificate that the server sends along is outside its time.",
    cause: "The certificate file still holds an old intermediate certificate, while the server's own certificate is valid.",
    fix: "Replace the intermediate certificate in the server's `cert_file`, then reload.",
};

pub(super) const CA_EXPIRED: Code = Code {
    name: "tls.ca-expired",
    severity: Severity::Warning,
    meaning: "The CA certificate given with `--tlsca` has expired.",
    cause: "rustls, and so natsbench, does not look at the dates of a trusted CA; OpenSSL, Go and browsers do.",
    fix: "Renew the CA certificate and hand it out to every client.",
};

pub(super) const EXPIRES_SOON: Code = Code {
    name: "tls.certificate-expires-soon",
    severity: Severity::Warning,
    meaning: "The server's certificate expires within 14 days.",
    cause: "It is due for renewal. A certificate that is issued for a few days only is no warning while most of its time is left.",
    fix: "Renew the certificate, then reload the server.",
};

pub(super) const VERSION_1: Code = Code {
    name: "tls.certificate-version-1",
    severity: Severity::Error,
    meaning: "The server's certificate is X.509 version 1, which can name no host.",
    cause: "`openssl x509 -req` without `-extfile` makes such certificates. OpenSSL clients (Python, Node) accept them; browsers and rustls (natsbench) refuse them.",
    fix: "Issue it again as version 3, with subject alternative names.",
};

pub(super) const NAME_MISMATCH: Code = Code {
    name: "tls.name-mismatch",
    severity: Severity::Error,
    meaning: "The server's certificate is valid for other names than that of the URL.",
    cause: "The URL uses an address or an alias that the certificate does not name, or another server answers.",
    fix: "Use a name of the certificate in the URL, or issue the certificate with the name of the URL as subject alternative name.",
};

pub(super) const NO_ALTERNATIVE_NAME: Code = Code {
    name: "tls.no-alternative-name",
    severity: Severity::Error,
    meaning: "The server's certificate has its name only in the common name (CN), not as subject alternative name.",
    cause: "It was made by an old recipe. OpenSSL clients (Python, Node) accept it; browsers, Go and rustls (natsbench) refuse it.",
    fix: "Issue it again with a `subjectAltName`.",
};

pub(super) const DEFAULT_CERTIFICATE: Code = Code {
    name: "tls.default-certificate",
    severity: Severity::Error,
    meaning: "An ingress or proxy answers with its built-in certificate: it has none for this host.",
    cause: "The TLS section of the ingress or router does not name this host, or its secret is missing.",
    fix: "Give the ingress a certificate for this host.",
};

pub(super) const INTERCEPTED: Code = Code {
    name: "tls.intercepted",
    severity: Severity::Error,
    meaning: "A security product on the way has replaced the server's certificate with its own.",
    cause: "A company proxy or a virus scanner opens TLS connections to look inside.",
    fix: "Have the product leave this host alone, or trust its CA with `--tlsca FILE`.",
};

pub(super) const SELF_SIGNED: Code = Code {
    name: "tls.self-signed",
    severity: Severity::Error,
    meaning: "The server's certificate is signed by itself, and nothing here trusts it.",
    cause: "It was made for a test, or a proxy or server came with it.",
    fix: "Give the certificate itself with `--tlsca FILE`, or use a certificate of a CA.",
};

pub(super) const UNKNOWN_ISSUER: Code = Code {
    name: "tls.unknown-issuer",
    severity: Severity::Error,
    meaning: "The server's certificate is issued by a CA that is not trusted here.",
    cause: "The CA is a private one that the system does not know, or the file given with `--tlsca` holds another CA.",
    fix: "Give the certificate of that CA with `--tlsca FILE`.",
};

pub(super) const MISSING_INTERMEDIATE: Code = Code {
    name: "tls.missing-intermediate",
    severity: Severity::Error,
    meaning: "The server does not send the intermediate certificate between its own and the CA.",
    cause: "`cert_file` holds the server's certificate alone. Browsers may know the intermediate from elsewhere and hide the fault.",
    fix: "Put the intermediate certificate behind the server's own into `cert_file`, then reload.",
};

pub(super) const CA_REPLACED: Code = Code {
    name: "tls.ca-replaced",
    severity: Severity::Error,
    meaning: "The trusted CA has the right name, but not the key that signed the server's certificate.",
    cause: "The CA was made anew under the same name, and one side still has the old one.",
    fix: "Give the CA certificate that belongs to the server's certificate, or issue that one again.",
};

pub(super) const SERVER_CERTIFICATE_AS_CA: Code = Code {
    name: "tls.server-certificate-as-ca",
    severity: Severity::Error,
    meaning: "`--tlsca` was given the server's own certificate, where that of its CA belongs.",
    cause: "The files were mixed up.",
    fix: "Give the certificate of the issuer with `--tlsca FILE`.",
};

pub(super) const CA_AS_SERVER: Code = Code {
    name: "tls.ca-as-server-certificate",
    severity: Severity::Error,
    meaning: "The server uses a CA certificate (`CA:TRUE`) as its own.",
    cause: "Plain `openssl req -x509` makes such certificates. OpenSSL and Go clients accept them; rustls (natsbench) refuses them, even when they are given with `--tlsca`.",
    fix: "Make it with `basicConstraints=CA:FALSE`, or issue a server certificate from it.",
};

pub(super) const NOT_FOR_SERVERS: Code = Code {
    name: "tls.not-for-servers",
    severity: Severity::Error,
    meaning: "The server's certificate may not be used by a server: its extended key usage leaves out `serverAuth`.",
    cause: "A client certificate, or one for another purpose, was given to the server.",
    fix: "Issue it with `extendedKeyUsage=serverAuth`.",
};

pub(super) const WEAK_KEY: Code = Code {
    name: "tls.weak-key",
    severity: Severity::Error,
    meaning: "A certificate has an RSA key of less than 2048 bits.",
    cause: "It was made by an old recipe. rustls (natsbench), OpenSSL at its default level and browsers refuse it; some older clients do not.",
    fix: "Issue it with an ECDSA P-256 key, or RSA of 2048 bits or more.",
};

pub(super) const UNSUPPORTED_KEY: Code = Code {
    name: "tls.unsupported-key",
    severity: Severity::Error,
    meaning: "The server's certificate has a kind of key that natsbench does not know.",
    cause: "P-521, Ed448 and the like are rare; many clients and most browsers know only RSA, ECDSA P-256 and P-384.",
    fix: "Issue it with an ECDSA P-256 key, or RSA of 2048 bits or more.",
};

pub(super) const WEAK_SIGNATURE: Code = Code {
    name: "tls.weak-signature",
    severity: Severity::Error,
    meaning: "A certificate is signed with SHA-1 or MD5.",
    cause: "The CA is an old one. rustls (natsbench), browsers, Go and OpenSSL at its default level refuse it.",
    fix: "Issue the certificate again with SHA-256.",
};

pub(super) const REFUSED: Code = Code {
    name: "tls.certificate-refused",
    severity: Severity::Error,
    meaning: "The server's certificate does not pass verification, for a rare reason.",
    cause: "The evidence has the reason as rustls names it.",
    fix: "Issue the certificate again; `--insecure` connects without verification.",
};

pub(super) const PLAIN_WEBSOCKET: Code = Code {
    name: "tls.plain-websocket",
    severity: Severity::Error,
    meaning: "The URL says `wss://`, but the port speaks WebSocket without TLS.",
    cause: "nats-server's `websocket` block has `no_tls: true`, or the URL goes past the proxy that ends TLS.",
    fix: "Use `ws://`, or give the `websocket` block a `tls` block.",
};

pub(super) const PLAIN_HTTP: Code = Code {
    name: "tls.plain-http",
    severity: Severity::Error,
    meaning: "The URL says `wss://`, but the port speaks HTTP without TLS, and does not upgrade to WebSocket.",
    cause: "The port is that of a web server, of nats-server's monitoring, or the plain port of a proxy.",
    fix: "Use the port that has TLS.",
};

pub(super) const NOT_TLS: Code = Code {
    name: "tls.not-tls",
    severity: Severity::Error,
    meaning: "The port answers TLS with something else.",
    cause: "Another service listens there.",
    fix: "Use the port of the WebSocket listener.",
};

pub(super) const PROXY_PROTOCOL: Code = Code {
    name: "tls.proxy-protocol-expected",
    severity: Severity::Error,
    meaning: "The port wants a PROXY protocol header in front of TLS.",
    cause: "It is the inner port of a load balancer, with `proxy_protocol` (nginx) or `accept-proxy` (haproxy).",
    fix: "Connect through the load balancer, or turn the PROXY protocol off on that port.",
};

pub(super) const VERSION_TOO_OLD: Code = Code {
    name: "tls.version-too-old",
    severity: Severity::Error,
    meaning: "The server speaks only TLS 1.1 or older.",
    cause: "An old TLS library or an old configuration; nats-server itself begins at TLS 1.2. Browsers, Go and rustls refuse such versions.",
    fix: "Have the server speak TLS 1.2 or 1.3.",
};

pub(super) const NO_COMMON_CIPHER: Code = Code {
    name: "tls.no-common-cipher",
    severity: Severity::Error,
    meaning: "The server accepts none of the ciphers or signatures that natsbench offers.",
    cause: "The server's `cipher_suites` name only old ciphers, or its certificate has a kind of key that natsbench does not know.",
    fix: "Remove `cipher_suites` from the `tls` block, or add an ECDHE cipher with AES-GCM; use an ECDSA P-256 or RSA key.",
};

pub(super) const NAME_NOT_SERVED: Code = Code {
    name: "tls.name-not-served",
    severity: Severity::Error,
    meaning: "The server ends the handshake because of the host name in it (SNI).",
    cause: "A proxy that serves several hosts has no certificate or no backend for this one.",
    fix: "Configure the host at the proxy, or use a name that it serves.",
};

pub(super) const CLOSED: Code = Code {
    name: "tls.closed",
    severity: Severity::Error,
    meaning: "The connection ends in the TLS handshake, without a word.",
    cause: "A load balancer has nothing behind it, or the port speaks another protocol.",
    fix: "Look into the log of whatever listens there.",
};

pub(super) const SILENT: Code = Code {
    name: "tls.silent",
    severity: Severity::Error,
    meaning: "The port takes the connection and never answers the TLS handshake.",
    cause: "The server is frozen or overloaded, the port waits for another protocol, or something on the way drops packets.",
    fix: "Look whether the server answers at all.",
};

pub(super) const HANDSHAKE_FAILED: Code = Code {
    name: "tls.handshake-failed",
    severity: Severity::Error,
    meaning: "The TLS handshake failed for a rare reason.",
    cause: "The evidence has what the server sent.",
    fix: "Look into the log of the server for the same moment.",
};

pub(super) const BAD_SERVER_NAME: Code = Code {
    name: "tls.bad-server-name",
    severity: Severity::Error,
    meaning: "The host of the URL cannot stand in a certificate.",
    cause: "It has characters that no DNS name has.",
    fix: "Use a proper DNS name or an address.",
};

pub(super) const CLIENT_CERTIFICATE_REQUIRED: Code = Code {
    name: "tls.client-certificate-required",
    severity: Severity::Error,
    meaning: "The server wants a client certificate, and none was given.",
    cause: "The `tls` block has `verify: true` or `verify_and_map: true`, or a proxy in front verifies clients.",
    fix: "Give one with `--tlscert FILE --tlskey FILE`.",
};

pub(super) const CLIENT_CERTIFICATE_REFUSED: Code = Code {
    name: "tls.client-certificate-refused",
    severity: Severity::Error,
    meaning: "The server refuses the client certificate that was given.",
    cause: "It is of a CA that is not in the server's `ca_file`, has expired, or is not for clients.",
    fix: "Use a client certificate of a CA that the server trusts.",
};
