//! Files that flags, environment or context name, and that cannot be used.

use std::io;
use std::path::Path;

use crate::doctor::checks::input::credentials::codes::BAD_SEED;
use crate::doctor::checks::input::quoting::{quoted, shell};
use crate::doctor::code::Code;
use crate::net::tls::TlsConfigError;
use crate::protocol::CredentialsError;
use crate::results::doctor::{Finding, Severity};

pub(super) const CONTEXT: Code = Code {
    name: "input.context",
    severity: Severity::Error,
    meaning: "The context cannot be used.",
    cause: "There is none of that name, its file is no JSON as `nats context` writes it, or it needs something that natsbench \
            does not do, such as `nsc` or a SOCKS proxy.",
    fix: "Look at it with `nats context show NAME`, or give `--server` and `--creds` instead.",
};
pub(super) const CREDENTIALS_FILE: Code = Code {
    name: "input.credentials-file",
    severity: Severity::Error,
    meaning: "The file with the credentials cannot be used.",
    cause: "It is not there, may not be read, or holds something else than a JWT and a seed (`--creds`), or than a seed \
            (`--nkey`).",
    fix: "Name the right file, or generate it again with `nsc generate creds`.",
};
pub(super) const TLS_FILE: Code = Code {
    name: "input.tls-file",
    severity: Severity::Error,
    meaning: "A certificate or key that was given cannot be used.",
    cause: "A file is not there or holds something else than PEM blocks of the right kind, a certificate lacks its key, or \
            the two do not belong together.",
    fix: "Name the right files with `--tlsca`, `--tlscert` and `--tlskey`.",
};
pub(super) const NO_ROOTS: Code = Code {
    name: "input.no-system-certificates",
    severity: Severity::Error,
    meaning: "This machine has no root certificates to verify a server by.",
    cause: "A small container image without the package of CA certificates.",
    fix: "Install `ca-certificates`, or give the CA with `--tlsca`.",
};

/// A context that cannot be used, in the words of the command line.
pub fn context_fault(name: &str, message: &str, causes: &[String], hint: Option<&str>) -> Finding {
    let is_missing = causes.iter().any(|cause| cause.starts_with("No such file"));
    let title = if is_missing {
        format!("There is no context {}.", quoted(name))
    } else {
        format!("The context {} cannot be used.", quoted(name))
    };
    let why: Vec<&str> = std::iter::once(message)
        .chain(causes.iter().map(String::as_str))
        .collect();
    let remedy = match hint {
        // What to write instead, or what to do.
        Some(hint)
            if ["a ", "one ", "names "]
                .iter()
                .any(|noun| hint.starts_with(noun)) =>
        {
            format!("Use {hint}")
        }
        Some(hint) => hint.to_owned(),
        None => format!(
            "look at it with `nats context show {}`, or give `--server URL` instead",
            shell(name)
        ),
    };
    CONTEXT
        .finding(title)
        .because(sentence(&why.join(": ")))
        .remedy(sentence(&remedy))
}

/// A text of the command line as a sentence of a finding.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return String::new();
    };
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{}{}{end}", first.to_uppercase(), chars.as_str())
}

/// A file with credentials that cannot be read.
pub fn unreadable_credentials(what: &str, path: &Path, source: &str, error: &io::Error) -> Finding {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        io::ErrorKind::InvalidData => "it is no text".to_owned(),
        _ => error.to_string(),
    };
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "Let this user read the file, or run natsbench as its owner."
        }
        io::ErrorKind::NotFound => {
            "Name the right file; a relative path begins where natsbench is started."
        }
        _ => "Name the right file.",
    };
    CREDENTIALS_FILE
        .finding(format!(
            "The {what} {} cannot be used: {why}.",
            quoted(&path.display().to_string())
        ))
        .because(format!(
            "Without it there is nothing to log in with. It is named by {}.",
            quoted(source)
        ))
        .evidence("error", error)
        .remedy(remedy)
}

/// A file with credentials that holds something else. Nothing of its text is shown.
pub fn unusable_credentials(
    what: &str,
    path: &Path,
    source: &str,
    error: &CredentialsError,
    text: &str,
) -> Finding {
    let shown = quoted(&path.display().to_string());
    let kind = kind_of(text);
    if let CredentialsError::BadSeed { line, .. } = error
        && let Some(owner) = owner_of_seed(text)
    {
        return BAD_SEED
            .finding(format!(
                "The seed in {shown} is that of {owner}, not of a user."
            ))
            .because(
                "A user's seed begins with `SU`. Accounts, operators and servers do not log in.",
            )
            .evidence("line", line)
            .remedy(
                "Give the seed of a user, as `nsc generate creds` or `nk -gen user` writes it.",
            );
    }
    let title = match kind {
        Some((holds, _)) => format!("The {what} {shown} cannot be used: it holds {holds}."),
        None => format!("The {what} {shown} cannot be used: {error}."),
    };
    let finding = CREDENTIALS_FILE
        .finding(title)
        .because(format!("It is named by {}.", quoted(source)))
        .evidence("error", error);
    match kind {
        Some((_, remedy)) => finding.remedy(remedy),
        None => finding.paste(
            "Generate it again, where the operator's keys are:",
            &["nsc generate creds --account ACCOUNT --name USER --output-file user.creds"],
        ),
    }
}

/// What a file that should hold credentials holds instead, and what to do.
fn kind_of(text: &str) -> Option<(&'static str, &'static str)> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let first = text.lines().next().unwrap_or("").trim();
    Some(match first {
        "" => ("nothing", "Generate it again with `nsc generate creds`."),
        first if text.lines().count() == 1 && first.starts_with("eyJ") && first.contains('.') => (
            "a bare JWT, without the lines around it",
            "Put `-----BEGIN NATS USER JWT-----` before it and `------END NATS USER JWT------` behind it, and the seed likewise.",
        ),
        first if first.starts_with("SU") && text.lines().count() == 1 && text.len() < 80 => (
            "an nkey seed",
            "Give it with `--nkey FILE` instead of `--creds FILE`.",
        ),
        first if is_public_key(first) => (
            "a public key",
            "Give the file with the seed, which begins with `SU`; the public key is for the server's configuration.",
        ),
        first
            if text.contains("BEGIN NATS USER JWT")
                && !text.contains("USER NKEY SEED")
                && first.starts_with('-') =>
        {
            return None;
        }
        first if first.contains("BEGIN CERTIFICATE") || first.contains("PRIVATE KEY") => (
            "a certificate or key of TLS",
            "Give it with `--tlscert FILE` and `--tlskey FILE`.",
        ),
        first if first.starts_with('{') => (
            "JSON",
            "A context of the `nats` command line is given with `--context NAME`.",
        ),
        first if first.contains("NATS ACCOUNT JWT") || first.contains("NATS OPERATOR JWT") => (
            "the JWT of an account or operator",
            "Generate credentials of a user with `nsc generate creds`.",
        ),
        _ => return None,
    })
}

fn is_public_key(line: &str) -> bool {
    line.len() == 56
        && line.starts_with('U')
        && line
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// Whose seed it is, by its first two letters.
fn owner_of_seed(text: &str) -> Option<&'static str> {
    let is_seed = |line: &&str| {
        line.len() == 58
            && line
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    let seed = text.lines().map(str::trim).find(is_seed)?;
    Some(match seed.get(..2)? {
        "SA" => "an account",
        "SO" => "an operator",
        "SN" => "a server",
        "SC" => "a cluster",
        "SX" => "an encryption key",
        _ => return None,
    })
}

/// TLS files that cannot be used.
pub fn tls_fault(error: &TlsConfigError) -> Finding {
    match error {
        TlsConfigError::File { role, path, reason } => TLS_FILE
            .finding(sentence(&format!(
                "{role} {} cannot be used: {reason}",
                quoted(&path.display().to_string())
            )))
            .because("It has to hold PEM blocks, which begin with `-----BEGIN`.")
            .remedy("Name the right file; a relative path begins where natsbench is started."),
        TlsConfigError::Incomplete { given, missing } => TLS_FILE
            .finding(format!("`{given}` is given without `{missing}`."))
            .because("A client certificate is of use only together with its private key.")
            .paste("Give both:", &["--tlscert client.pem --tlskey client-key.pem"]),
        TlsConfigError::NoRoots => NO_ROOTS
            .finding("This machine has no root certificates to verify a server by.")
            .because("A small container image often has none. Without them or the broker's own CA no certificate can be verified.")
            .paste("Install them (Debian, Ubuntu, Alpine):", &["apt-get install ca-certificates || apk add ca-certificates"])
            .paste("Or give the broker's CA:", &["--tlsca ca.pem"]),
        TlsConfigError::ClientCertificate(cause) | TlsConfigError::Setup(cause) => TLS_FILE
            .finding("The client certificate and its key cannot be used together.")
            .because("They do not belong together, or are of a kind that TLS does not take.")
            .evidence("error", cause)
            .remedy("Name the certificate and the key that were made together with `--tlscert` and `--tlskey`."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Credentials;
    use nkeys::KeyPair;
    use proptest::prelude::*;

    fn judged(text: &str) -> Finding {
        let error = Credentials::from_creds_text(text).unwrap_err();
        unusable_credentials(
            "credentials file",
            Path::new("x.creds"),
            "--creds x.creds",
            &error,
            text,
        )
    }

    #[test]
    fn what_the_file_holds_instead_is_named() {
        let seed = KeyPair::new_user().seed().unwrap();
        let public = KeyPair::new_user().public_key();
        for (text, part) in [
            ("", "holds nothing"),
            (seed.as_str(), "holds an nkey seed"),
            (public.as_str(), "holds a public key"),
            ("eyJhIjoxfQ.eyJh.x", "holds a bare JWT"),
            ("-----BEGIN CERTIFICATE-----\n", "holds a certificate"),
            ("{\"url\":\"x\"}", "holds JSON"),
            (
                "-----BEGIN NATS USER JWT-----\na.b.c\n",
                "line 1: the block that begins here has no `END` line",
            ),
        ] {
            let finding = judged(text);
            assert!(finding.title.contains(part), "{}", finding.title);
            assert!(!format!("{finding:?}").contains(&seed));
        }
    }

    #[test]
    fn a_seed_of_an_account_is_told_from_a_users() {
        let seed = KeyPair::new_account().seed().unwrap();
        let text = format!(
            "-----BEGIN NATS USER JWT-----\na.b.c\n------END NATS USER JWT------\n-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        let finding = judged(&text);
        assert_eq!(finding.code, "credentials.bad-seed");
        assert!(
            finding.title.contains("that of an account"),
            "{}",
            finding.title
        );
        assert!(!format!("{finding:?}").contains(&seed));
    }

    #[test]
    fn a_message_of_the_command_line_becomes_a_sentence() {
        assert_eq!(sentence("the file `x` is bad"), "The file `x` is bad.");
        assert_eq!(sentence(""), "");
    }

    proptest! {
        #[test]
        fn any_file_is_judged_without_panic(text in "\\PC{0,80}|[SUA-Z2-7]{50,60}|(-----BEGIN NATS USER JWT-----|\n|-|eyJ|\\.){0,8}") {
            if let Err(error) = Credentials::from_creds_text(&text) {
                let _ = unusable_credentials("credentials file", Path::new("x"), "--creds x", &error, &text);
            }
            if let Err(error) = Credentials::from_seed_text(&text) {
                let _ = unusable_credentials("nkey file", Path::new("x"), "--nkey x", &error, &text);
            }
        }
    }
}
