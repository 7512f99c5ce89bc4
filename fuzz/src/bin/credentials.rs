//! Credentials files and seeds: what is read is in the file, can be used, and is shown by no text.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use natsbench::protocol::{ConnectOptions, Credentials, CredentialsError};
use natsbench_fuzz::assert_hidden;
use nkeys::KeyPair;

fuzz_target!(|file: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(file) else {
        return Corpus::Reject;
    };
    let readers = [Credentials::from_creds_text, Credentials::from_seed_text];
    for read in readers {
        let credentials = read(text);
        check(text, &credentials);
        // The same file as another system writes it.
        if !text.contains('\r') {
            assert_eq!(read(&text.replace('\n', "\r\n")), credentials);
        }
    }
    Corpus::Keep
});

fn check(text: &str, credentials: &Result<Credentials, CredentialsError>) {
    assert_hidden(text, &format!("{credentials:?}"));
    match credentials {
        Ok(Credentials::Jwt { jwt, seed }) => {
            assert_is_in(text, jwt.expose());
            let parts = jwt.expose().split('.').filter(|part| !part.is_empty());
            assert_eq!(parts.count(), 3);
            // Whether it can be taken apart does not matter: a server is to judge it.
            let _ = credentials.as_ref().map(Credentials::claims);
            if let Some(seed) = seed {
                assert_signs(text, seed.expose(), credentials);
            }
        }
        Ok(Credentials::NKey { seed }) => assert_signs(text, seed.expose(), credentials),
        Ok(other) => panic!("a file holds nothing of the kind: {other:?}"),
        Err(error) => {
            assert_hidden(text, &error.to_string());
            if let Some(line) = line_of(error) {
                assert!((1..=text.lines().count()).contains(&line), "line {line}");
            }
        }
    }
}

/// What is wrapped in the file comes out as one text.
fn assert_is_in(text: &str, secret: &str) {
    let unwrapped: String = text.lines().map(str::trim).collect();
    assert!(!secret.is_empty() && unwrapped.contains(secret));
    assert!(!secret.contains('\n'));
}

/// A seed that was accepted signs, and its public key verifies that.
fn assert_signs(text: &str, seed: &str, credentials: &Result<Credentials, CredentialsError>) {
    assert_is_in(text, seed);
    let pair = KeyPair::from_seed(seed).expect("the seed was accepted");
    assert!(pair.public_key().starts_with('U'));
    let mut connect = ConnectOptions::default();
    let applied = credentials
        .as_ref()
        .map(|credentials| credentials.apply(Some("nonce"), &mut connect));
    assert_eq!(applied, Ok(Ok(())));
    let signature = connect.sig.as_deref().unwrap_or_default().as_bytes();
    let signature = data_encoding::BASE64URL_NOPAD
        .decode(signature)
        .expect("a signature is base64 for URLs");
    assert!(pair.verify(b"nonce", &signature).is_ok());
    assert_hidden(text, &format!("{connect:?}"));
}

fn line_of(error: &CredentialsError) -> Option<usize> {
    match error {
        CredentialsError::Unterminated { line }
        | CredentialsError::EmptyBlock { line }
        | CredentialsError::BadJwt { line }
        | CredentialsError::BadSeed { line, .. } => Some(*line),
        _ => None,
    }
}
