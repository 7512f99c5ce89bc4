//! Contexts of the `nats` command line: `~/.config/nats/context/NAME.json`, read as they are.
//!
//! A context is used only when it is asked for by name: a load tool must not aim at whatever was selected last.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cli::error::CliError;

/// What a context file is.
const EXPECTED: &str = "a JSON object whose fields are texts, as `nats context` writes it";

/// The fields of a context that mean something here; others are left alone.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContextFile {
    url: String,
    token: String,
    user: String,
    password: String,
    creds: String,
    nkey: String,
    cert: String,
    key: String,
    ca: String,
    user_jwt: String,
    user_seed: String,
    tls_first: bool,
    nsc: String,
    socks_proxy: String,
}

/// A context, with paths expanded.
#[derive(Debug, Default)]
pub(crate) struct Context {
    pub(crate) urls: Vec<String>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) tls_first: bool,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) creds: Option<PathBuf>,
    pub(crate) nkey: Option<PathBuf>,
    pub(crate) jwt: Option<String>,
    pub(crate) seed: Option<String>,
}

impl Context {
    /// Reads the context of that name.
    ///
    /// # Errors
    /// A missing or malformed file, by name and line; a name that is a path.
    pub(crate) fn load(name: &str) -> Result<Self, CliError> {
        if name.is_empty() || name.contains(['/', '\\']) || name == ".." {
            return Err(CliError::usage(format!("`{name}` is not a context name"))
                .hint("names as `nats context ls` shows them"));
        }
        let directory = config_directory()
            .ok_or_else(|| CliError::usage("there is no home directory to look for contexts in"))?
            .join("nats/context");
        let path = directory.join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path).map_err(|error| {
            CliError::usage(format!(
                "cannot read the context `{name}` from `{}`",
                path.display()
            ))
            .because(&error)
            .hint(known_contexts(&directory))
        })?;
        Self::parse(&text, &path)
    }

    /// Reads the text of the file at `path`.
    ///
    /// # Errors
    /// What is malformed, by line, and what natsbench cannot do; never a value, which may be a secret.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, CliError> {
        // A struct would also be read from an array, field by field.
        if text.trim_start().starts_with('[') {
            return Err(CliError::usage(format!(
                "the context file `{}` holds a list",
                path.display()
            ))
            .hint(EXPECTED));
        }
        let file: ContextFile = serde_json::from_str(text).map_err(|error| {
            let malformed = CliError::usage(format!(
                "the context file `{}` is malformed at line {}, column {}",
                path.display(),
                error.line(),
                error.column()
            ));
            // The text of an error of type quotes the value, which may be a secret.
            if error.is_data() {
                malformed.hint(EXPECTED)
            } else {
                malformed.because(&error)
            }
        })?;
        file.expand()
    }
}

impl ContextFile {
    fn expand(self) -> Result<Context, CliError> {
        // To go on without them would measure another path, or be refused as nobody.
        for (field, value, what) in [
            ("socks_proxy", &self.socks_proxy, "connects through a proxy"),
            ("nsc", &self.nsc, "takes its credentials from `nsc`"),
        ] {
            if !value.is_empty() {
                return Err(CliError::usage(format!(
                    "the context {what} (`{field}`), which natsbench cannot do"
                ))
                .hint("a context without it, or `--server URL` and `--creds FILE`"));
            }
        }
        let path = |value: &str| (!value.is_empty()).then(|| expand_path(value)).flatten();
        let text = |field: &str, value: String| match value.split_once("://") {
            Some((scheme @ ("op" | "nsc" | "env" | "data" | "file"), _)) => {
                Err(CliError::usage(format!(
                    "the context takes `{field}` from `{scheme}://`, which natsbench cannot read"
                ))
                .hint(format!("give it with `--{field}` or in the environment")))
            }
            _ => Ok((!value.is_empty()).then_some(value)),
        };
        Ok(Context {
            urls: self
                .url
                .split(',')
                .map(str::trim)
                .filter(|url| !url.is_empty())
                .map(str::to_owned)
                .collect(),
            ca: path(&self.ca),
            cert: path(&self.cert),
            key: path(&self.key),
            tls_first: self.tls_first,
            creds: path(&self.creds),
            nkey: path(&self.nkey),
            user: text("user", self.user)?,
            password: text("password", self.password)?,
            token: text("token", self.token)?,
            jwt: text("creds", self.user_jwt)?,
            seed: text("creds", self.user_seed)?,
        })
    }
}

/// `$XDG_CONFIG_HOME` or `~/.config`, on every Unix, as the `nats` command line has it.
fn config_directory() -> Option<PathBuf> {
    let xdg = std::env::var_os("XDG_CONFIG_HOME")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from);
    xdg.or_else(|| std::env::home_dir().map(|home| home.join(".config")))
}

/// Expands `~/` and `$HOME/` at the beginning.
fn expand_path(value: &str) -> Option<PathBuf> {
    for prefix in ["~/", "$HOME/", "${HOME}/"] {
        if let Some(rest) = value.strip_prefix(prefix) {
            return std::env::home_dir().map(|home| home.join(rest));
        }
    }
    Some(PathBuf::from(
        value.strip_prefix("file://").unwrap_or(value),
    ))
}

fn known_contexts(directory: &Path) -> String {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .strip_suffix(".json")
                .map(str::to_owned)
        })
        .collect();
    names.sort();
    if names.is_empty() {
        return "there are no contexts; give the broker with `--server URL`".to_owned();
    }
    format!("one of these contexts: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Context, String> {
        Context::parse(text, Path::new("x.json")).map_err(|error| error.render(false))
    }

    #[test]
    fn a_list_is_no_context_though_its_values_are_in_the_order_of_the_fields() {
        let refused = parse(r#" ["nats://h","token"]"#).unwrap_err();
        assert!(refused.contains("`x.json` holds a list"), "{refused}");
        assert!(parse(r#"{"url":"nats://h","token":"token"}"#).is_ok());
    }

    #[test]
    fn a_value_of_another_type_is_not_quoted() {
        for text in [
            r#"{"tls_first":"hunter2"}"#,
            r#"{"password":["hunter2"]}"#,
            r#"{"password":"hunter2"#,
        ] {
            let refused = parse(text).unwrap_err();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }
}
