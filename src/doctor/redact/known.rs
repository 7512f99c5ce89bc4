//! Which texts are secrets: all that natsbench was given to prove who it is.

use data_encoding::BASE64;

use crate::doctor::http::again::is_open_header;
use crate::net::target::Target;
use crate::protocol::Credentials;

/// What one logs in with.
pub(super) fn of_credentials(credentials: &Credentials) -> Vec<String> {
    match credentials {
        Credentials::None => Vec::new(),
        Credentials::UserPassword { password, .. } => vec![password.expose().to_owned()],
        Credentials::Token(token) => vec![token.expose().to_owned()],
        Credentials::NKey { seed } => vec![seed.expose().to_owned()],
        Credentials::Jwt { jwt, seed } => {
            let seed = seed.iter().map(|seed| seed.expose().to_owned());
            seed.chain([jwt.expose().to_owned()]).collect()
        }
    }
}

/// User info and query of a URL.
pub(super) fn of_target(target: &Target) -> Vec<String> {
    let mut known = Vec::new();
    if let Some(info) = &target.user_info {
        let secret = info.password.as_ref().unwrap_or(&info.user);
        known.push(secret.expose().to_owned());
    }
    if let Some((_, query)) = target.path_and_query.split_once('?') {
        known.push(query.to_owned());
        let values = query.split('&').filter_map(|pair| pair.split_once('='));
        known.extend(values.map(|(_, value)| value.to_owned()));
    }
    known
}

/// The value of a header that may be secret, and the parts of it that a server may send back alone.
pub(super) fn of_header(name: &str, value: &str) -> Vec<String> {
    if is_open_header(name) {
        return Vec::new();
    }
    // `Authorization: Bearer TOKEN`.
    let mut parts: Vec<&str> = value.split([' ', ';', '=']).collect();
    if name.eq_ignore_ascii_case("cookie") {
        // `name=VALUE; other=VALUE`: the server's configuration has the names.
        let names = value.split(';').filter_map(|pair| pair.split_once('='));
        let names: Vec<&str> = names.map(|(name, _)| name.trim()).collect();
        parts.retain(|part| !names.contains(part));
    }
    let parts = parts.into_iter().filter(|part| part.len() > 7);
    let mut known: Vec<String> = parts.map(str::to_owned).collect();
    known.extend(of_basic(value));
    known.push(value.to_owned());
    known
}

/// The password of `Basic dXNlcjpwYXNz`, which a server reads before it says what is wrong with it.
fn of_basic(value: &str) -> Option<String> {
    let (scheme, encoded) = value.split_once(' ')?;
    let is_basic = scheme.eq_ignore_ascii_case("basic");
    let login = BASE64
        .decode(encoded.trim().as_bytes())
        .ok()
        .filter(|_| is_basic)?;
    let login = String::from_utf8(login).ok()?;
    Some(login.split_once(':')?.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_hidden_by_its_parts_and_by_what_it_says() {
        assert_eq!(of_header("X-Key", "s3cr3t"), ["s3cr3t"]);
        let bearer = of_header("Authorization", "Bearer long-token");
        assert_eq!(bearer, ["long-token", "Bearer long-token"]);
        let cookie = of_header("Cookie", "sessionid=1234567890; theme=dark");
        assert_eq!(cookie, ["1234567890", "sessionid=1234567890; theme=dark"]);
        let basic = of_header("authorization", "basic bWU6b3BlbiBzZXNhbWU=");
        assert!(basic.contains(&"open sesame".to_owned()), "{basic:?}");
    }
}
