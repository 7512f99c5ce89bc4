//! Credentials as the command line, the environment or a context gives them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::error::CliError;
use crate::load::plan::ReadCredentials;
use crate::protocol::{Credentials, CredentialsError, Secret};

/// Longest file that is read: a JWT of the greatest length, and a seed.
const MAX_FILE_BYTES: u64 = 2 << 20;

/// Credentials as they were given, files not yet read: only those that count need to be there.
#[derive(Clone)]
pub(crate) enum Given {
    UserPassword { user: String, password: String },
    Creds(PathBuf),
    NKey(PathBuf),
    Jwt { jwt: String, seed: Option<String> },
    Token(String),
}

impl Given {
    /// Reads the files that it names.
    ///
    /// # Errors
    /// A file that cannot be read or used, by name.
    pub(crate) fn read(self) -> Result<Credentials, GivenError> {
        match self {
            Self::UserPassword { user, password } => Ok(Credentials::UserPassword {
                user,
                password: Secret::new(password),
            }),
            Self::Creds(path) => {
                read_secret_file("credentials file", path, Credentials::from_creds_text)
            }
            Self::NKey(path) => read_secret_file("nkey file", path, Credentials::from_seed_text),
            Self::Jwt { jwt, seed } => Ok(Credentials::Jwt {
                jwt: Secret::new(jwt),
                seed: seed.map(Secret::new),
            }),
            Self::Token(token) => Ok(Credentials::Token(Secret::new(token))),
        }
    }
}

impl Given {
    /// Reads them once more, where they are in a file that may have changed. Of a pipe there is nothing more to read.
    pub(crate) fn reader(&self) -> Option<ReadCredentials> {
        let (Self::Creds(path) | Self::NKey(path)) = self else {
            return None;
        };
        if !path.is_file() {
            return None;
        }
        let given = self.clone();
        Some(Arc::new(move || {
            given.clone().read().map_err(|error| error.to_string())
        }))
    }
}

/// A file of credentials that is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GivenError {
    /// It could not be read.
    #[error("cannot read the {what} `{}`", path.display())]
    Unreadable {
        what: &'static str,
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    /// It does not hold what it should.
    #[error("cannot use the {what} `{}`", path.display())]
    Unusable {
        what: &'static str,
        path: PathBuf,
        #[source]
        error: CredentialsError,
        /// What it holds instead.
        text: Secret,
    },
}

impl From<GivenError> for CliError {
    fn from(error: GivenError) -> Self {
        let usage = Self::usage(error.to_string());
        match &error {
            GivenError::Unreadable { error, .. } => usage.because(error),
            GivenError::Unusable { error, .. } => usage.because(error),
        }
    }
}

fn read_secret_file(
    what: &'static str,
    path: PathBuf,
    parse: fn(&str) -> Result<Credentials, CredentialsError>,
) -> Result<Credentials, GivenError> {
    let text = match read_text(&path) {
        Ok(text) => text,
        Err(error) => return Err(GivenError::Unreadable { what, path, error }),
    };
    parse(&text).map_err(|error| GivenError::Unusable {
        what,
        path,
        error,
        text: Secret::new(text),
    })
}

/// Reads a file to its end, which a device such as `/dev/zero` does not have.
fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let n_bytes = File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)?;
    if n_bytes as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {MAX_FILE_BYTES} bytes"),
        ));
    }
    Ok(text)
}
