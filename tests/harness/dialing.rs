//! For tests that open sessions through the library.

use std::time::Duration;

use natsbench::net::dial::DialOptions;
use natsbench::net::tls::{SystemRoots, TlsOptions};

/// Nobody in particular, without TLS.
pub(crate) fn dial_options() -> DialOptions {
    let tls = TlsOptions {
        system_roots: SystemRoots::Unneeded,
        ..TlsOptions::default()
    };
    let tls = tls.build().expect("there is no file to read");
    DialOptions::new(tls, Duration::from_secs(20))
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
