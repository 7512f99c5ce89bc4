//! Server URLs: faults point into the text, what is read makes the same URL again, and neither what is shown of a URL
//! nor the text of an error has a part of its secrets.
#![no_main]

use std::fmt::Write as _;

use libfuzzer_sys::{Corpus, fuzz_target};
use natsbench::cli::fuzzing::server_url_error;
use natsbench::net::target::{Target, UserInfo};
use natsbench_fuzz::{assert_hidden, secrets};

fuzz_target!(|input: &[u8]| -> Corpus {
    let Ok(url) = std::str::from_utf8(input) else {
        return Corpus::Reject;
    };
    match url.parse::<Target>() {
        Ok(target) => check(url, &target),
        Err(error) => {
            let input_part = url.get(error.span.clone());
            assert!(input_part.is_some(), "{:?} of `{url}`", error.span);
            let shown = server_url_error(url).expect("the URL is faulty");
            // The password may have a `/`, so that the host is not where it seems to be: what stands before the last `@` is
            // hidden.
            for text in [error.to_string(), shown] {
                assert_hides(url, &text, str::len);
            }
        }
    }
    Corpus::Keep
});

fn check(url: &str, target: &Target) {
    assert_eq!(server_url_error(url), None);
    assert!(!target.host.is_empty() && target.port != 0);
    assert!(target.path_and_query.starts_with('/'));
    let breaks_request = |c: char| c.is_whitespace() || c.is_control();
    for text in [&target.path_and_query, &target.host_header(), &target.host] {
        assert!(!text.contains(breaks_request), "`{text}`");
    }
    assert!(target.host.starts_with(target.tls_name()));
    assert_hides(url, &target.to_string(), authority_bytes);

    // Whatever the secrets are, the same is shown.
    let (path, query) = match target.path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target.path_and_query.as_str(), None),
    };
    let bare = Target {
        user_info: None,
        path_and_query: query.map_or(path.to_owned(), |_| format!("{path}?token=other")),
        ..target.clone()
    };
    assert_eq!(bare.to_string(), target.to_string());

    let again = written(target).parse::<Target>();
    assert_eq!(again.as_ref(), Ok(target), "as `{}`", written(target));
}

/// The URL as one would type it, with every byte of the secrets escaped.
fn written(target: &Target) -> String {
    let user_info = |info: &UserInfo| {
        let user = escaped(info.user.expose());
        match &info.password {
            Some(password) => format!("{user}:{}@", escaped(password.expose())),
            None => format!("{user}@"),
        }
    };
    format!(
        "{}://{}{}{}",
        target.scheme.name(),
        target.user_info.as_ref().map(user_info).unwrap_or_default(),
        target.host_and_port(),
        target.path_and_query
    )
}

fn escaped(secret: &str) -> String {
    secret.bytes().fold(String::new(), |mut out, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(out, "%{byte:02x}");
        out
    })
}

/// Neither what stands before the last `@` of a part of the URL is shown, nor what stands in the query. A word that stands
/// elsewhere, too, is no secret.
fn assert_hides(url: &str, shown: &str, searched_bytes: fn(&str) -> usize) {
    let scheme_end = url.find("://").filter(|at| is_scheme(&url[..*at]));
    let (scheme, rest) = url.split_at(scheme_end.map_or(0, |at| at + 3));
    let user_end = rest[..searched_bytes(rest)].rfind('@').unwrap_or(0);
    let query = rest[user_end..].find('?').map(|at| user_end + at);
    let query_start = query.unwrap_or(rest.len());
    let open = format!("{scheme} {}", &rest[user_end..query_start]);
    for hidden in [&rest[..user_end], &rest[query_start..]] {
        for secret in secrets(hidden).filter(|secret| !open.contains(secret)) {
            assert_hidden(secret, shown);
        }
    }
}

/// Where the host and port of a URL end.
fn authority_bytes(rest: &str) -> usize {
    rest.find(['/', '?', '#']).unwrap_or(rest.len())
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}
