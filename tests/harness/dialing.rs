//! For tests that open sessions through the library.

use std::time::Duration;

use natsbench::net::dial::{DialOptions, USER_AGENT};
use natsbench::net::tls::{SystemRoots, TlsOptions};
use natsbench::protocol::Credentials;

/// Nobody in particular, without TLS.
pub(crate) fn dial_options() -> DialOptions {
    let tls = TlsOptions {
        system_roots: SystemRoots::Unneeded,
        ..TlsOptions::default()
    };
    DialOptions {
        timeout: Duration::from_secs(20),
        tls: tls.build().expect("there is no file to read"),
        verifies_tls: true,
        credentials: Credentials::None,
        tls_first: false,
        name: "test".to_owned(),
        headers: Vec::new(),
        origin: None,
        user_agent: USER_AGENT.to_owned(),
        compression: false,
        no_masking: false,
        echo: true,
        pedantic: false,
        read_buffer_bytes: 64 << 10,
    }
}

/// Bytes that cannot be compressed: the same in every run for the same seed, which is not zero.
pub(crate) fn noise(mut seed: u64, n_bytes: usize) -> Vec<u8> {
    // xorshift64.
    let words = std::iter::repeat_with(|| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_be_bytes()
    });
    words.flatten().take(n_bytes).collect()
}
