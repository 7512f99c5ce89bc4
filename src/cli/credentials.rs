//! Credentials as the command line, the environment or a context gives them.

use std::path::{Path, PathBuf};

use crate::cli::error::CliError;
use crate::protocol::{Credentials, Secret};

/// Credentials as they were given, files not yet read: only those that count need to be there.
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
    pub(crate) fn read(self) -> Result<Credentials, CliError> {
        match self {
            Self::UserPassword { user, password } => Ok(Credentials::UserPassword {
                user,
                password: Secret::new(password),
            }),
            Self::Creds(path) => {
                let text = read_secret_file("credentials file", &path)?;
                Credentials::from_creds_text(&text).map_err(|error| {
                    CliError::usage(format!(
                        "cannot use the credentials file `{}`",
                        path.display()
                    ))
                    .because(&error)
                })
            }
            Self::NKey(path) => {
                let text = read_secret_file("nkey file", &path)?;
                Credentials::from_seed_text(&text).map_err(|error| {
                    CliError::usage(format!("cannot use the nkey file `{}`", path.display()))
                        .because(&error)
                })
            }
            Self::Jwt { jwt, seed } => Ok(Credentials::Jwt {
                jwt: Secret::new(jwt),
                seed: seed.map(Secret::new),
            }),
            Self::Token(token) => Ok(Credentials::Token(Secret::new(token))),
        }
    }
}

fn read_secret_file(what: &str, path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|error| {
        CliError::usage(format!("cannot read the {what} `{}`", path.display())).because(&error)
    })
}
