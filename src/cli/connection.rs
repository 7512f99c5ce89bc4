//! The flags of every command that connects, and what becomes of them: flag, environment, context, default.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::load::plan::Endpoint;
use crate::net::dial::DialOptions;
use crate::net::target::Target;
use crate::net::tls::TlsOptions;
use crate::protocol::{Credentials, Secret};
use crate::units::parse_duration;

/// Read buffer of a connection when there are few of them.
const READ_BUFFER_BYTES: usize = 64 << 10;
/// The same when there are many: a thousand connections have to fit.
const SMALL_READ_BUFFER_BYTES: usize = 4 << 10;
/// From so many connections on, buffers are small.
const MANY_CONNECTIONS: u16 = 64;

/// Flags of every command that connects.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// Broker, or several in order of preference: ws, wss, nats or tls [default: `ws://localhost:8443`]
    #[arg(
        short,
        long,
        value_name = "URL[,URL]",
        env = "NATS_URL",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub(crate) server: Vec<String>,
    /// Context of the `nats` command line, read as it is
    #[arg(
        long,
        value_name = "NAME",
        env = "NATS_CONTEXT",
        hide_env_values = true
    )]
    pub(crate) context: Option<String>,
    /// User name
    #[arg(long, value_name = "NAME", env = "NATS_USER", hide_env_values = true)]
    pub(crate) user: Option<String>,
    /// Password
    #[arg(
        long,
        value_name = "SECRET",
        env = "NATS_PASSWORD",
        hide_env_values = true
    )]
    pub(crate) password: Option<String>,
    /// Token
    #[arg(
        long,
        value_name = "SECRET",
        env = "NATS_TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,
    /// Credentials file (JWT and nkey seed)
    #[arg(long, value_name = "FILE", env = "NATS_CREDS", hide_env_values = true)]
    pub(crate) creds: Option<PathBuf>,
    /// File with an nkey seed
    #[arg(long, value_name = "FILE", env = "NATS_NKEY", hide_env_values = true)]
    pub(crate) nkey: Option<PathBuf>,
    /// CA certificates to trust instead of the system's (PEM)
    #[arg(long, value_name = "FILE", env = "NATS_CA", hide_env_values = true)]
    pub(crate) tlsca: Option<PathBuf>,
    /// Client certificate (PEM)
    #[arg(long, value_name = "FILE", env = "NATS_CERT", hide_env_values = true)]
    pub(crate) tlscert: Option<PathBuf>,
    /// Private key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", env = "NATS_KEY", hide_env_values = true)]
    pub(crate) tlskey: Option<PathBuf>,
    /// Accept any server certificate; every report says so
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Further header of the WebSocket upgrade (repeatable)
    #[arg(long = "header", value_name = "K: V")]
    pub(crate) headers: Vec<String>,
    /// Origin header, as a browser sends it
    #[arg(long, value_name = "URL")]
    pub(crate) origin: Option<String>,
    /// User-Agent header of the WebSocket upgrade
    #[arg(long, value_name = "UA")]
    pub(crate) user_agent: Option<String>,
    /// Ask for permessage-deflate
    #[arg(long)]
    pub(crate) compression: bool,
    /// Ask nats-server to accept unmasked WebSocket frames
    #[arg(long)]
    pub(crate) no_masking: bool,
    /// Time limit of each step of connecting
    #[arg(
        long,
        value_name = "TIME",
        env = "NATS_TIMEOUT",
        hide_env_values = true,
        default_value = "5s",
        allow_negative_numbers = true,
        value_parser = parse_duration
    )]
    pub(crate) timeout: Duration,
    /// Start a nats-server of its own for this run, on free ports
    // What it contradicts is checked in `usage::contradiction`: the environment must not contradict it.
    #[arg(long)]
    pub(crate) local_broker: bool,
}

impl ConnectionArgs {
    /// What to connect to, with how many connections.
    ///
    /// # Errors
    /// Everything that is wrong with flags, environment, context and the files they name.
    pub(crate) fn endpoint(&self, n_connections: u16) -> Result<Endpoint, CliError> {
        if self.local_broker && !self.is_open() {
            // What the environment says about another broker means nothing to ours.
            return self.for_local_broker().endpoint(n_connections);
        }
        let context = self
            .context
            .as_deref()
            .map(Context::load)
            .transpose()?
            .unwrap_or_default();
        let urls = if self.server.is_empty() {
            context.urls.clone()
        } else {
            self.server.clone()
        };
        let servers = parse_servers(&urls)?;
        let tls = TlsOptions {
            ca: self.tlsca.clone().or(context.ca.clone()),
            cert: self.tlscert.clone().or(context.cert.clone()),
            key: self.tlskey.clone().or(context.key.clone()),
            insecure: self.insecure,
        };
        let is_many = n_connections >= MANY_CONNECTIONS;
        let dial = DialOptions {
            timeout: nonzero_timeout(self.timeout)?,
            tls: tls.build().map_err(|error| {
                CliError::usage("the TLS options cannot be used").because(&error)
            })?,
            verifies_tls: !self.insecure,
            credentials: self.credentials(&context, &servers[0])?,
            name: "natsbench".to_owned(),
            headers: self
                .headers
                .iter()
                .map(|header| parse_header(header))
                .collect::<Result<_, _>>()?,
            origin: self
                .origin
                .as_deref()
                .map(|origin| clean_value("--origin", origin))
                .transpose()?,
            user_agent: match self.user_agent.as_deref() {
                Some(user_agent) => clean_value("--user-agent", user_agent)?,
                None => concat!("natsbench/", env!("CARGO_PKG_VERSION")).to_owned(),
            },
            compression: self.compression,
            no_masking: self.no_masking,
            echo: true,
            pedantic: false,
            read_buffer_bytes: if is_many {
                SMALL_READ_BUFFER_BYTES
            } else {
                READ_BUFFER_BYTES
            },
        };
        Ok(Endpoint { servers, dial })
    }

    /// Whether nothing is said about where to connect and who we are.
    fn is_open(&self) -> bool {
        let texts = [&self.context, &self.user, &self.password, &self.token];
        let files = [
            &self.creds,
            &self.nkey,
            &self.tlsca,
            &self.tlscert,
            &self.tlskey,
        ];
        self.server.is_empty()
            && texts.iter().all(|text| text.is_none())
            && files.iter().all(|file| file.is_none())
    }

    fn for_local_broker(&self) -> Self {
        Self {
            server: Vec::new(),
            context: None,
            user: None,
            password: None,
            token: None,
            creds: None,
            nkey: None,
            tlsca: None,
            tlscert: None,
            tlskey: None,
            ..self.clone()
        }
    }

    /// Flags and environment first, then the context, then the URL.
    fn credentials(&self, context: &Context, target: &Target) -> Result<Credentials, CliError> {
        let own = pick_credentials(
            self.user.as_deref(),
            self.password.as_deref(),
            self.creds.as_deref(),
            self.nkey.as_deref(),
            self.token.as_deref(),
        )?;
        if let Some(own) = own {
            return Ok(own);
        }
        if let Some(theirs) = context.credentials()? {
            return Ok(theirs);
        }
        Ok(match &target.user_info {
            None => Credentials::None,
            Some(info) => match &info.password {
                Some(password) => Credentials::UserPassword {
                    user: info.user.expose().to_owned(),
                    password: password.clone(),
                },
                None => Credentials::Token(info.user.clone()),
            },
        })
    }
}

/// The credentials of one source, in the order of the `nats` command line.
pub(crate) fn pick_credentials(
    user: Option<&str>,
    password: Option<&str>,
    creds: Option<&std::path::Path>,
    nkey: Option<&std::path::Path>,
    token: Option<&str>,
) -> Result<Option<Credentials>, CliError> {
    if let Some(user) = user {
        let password = Secret::new(password.unwrap_or_default().to_owned());
        return Ok(Some(Credentials::UserPassword {
            user: user.to_owned(),
            password,
        }));
    }
    if password.is_some() && token.is_none() && creds.is_none() && nkey.is_none() {
        return Err(CliError::usage("a password needs a user").hint("add `--user NAME`"));
    }
    if let Some(path) = creds {
        return Credentials::from_creds_text(&read_secret_file("credentials file", path)?)
            .map(Some)
            .map_err(|error| {
                CliError::usage(format!(
                    "cannot use the credentials file `{}`",
                    path.display()
                ))
                .because(&error)
            });
    }
    if let Some(path) = nkey {
        return Credentials::from_seed_text(&read_secret_file("nkey file", path)?)
            .map(Some)
            .map_err(|error| {
                CliError::usage(format!("cannot use the nkey file `{}`", path.display()))
                    .because(&error)
            });
    }
    Ok(token.map(|token| Credentials::Token(Secret::new(token.to_owned()))))
}

fn read_secret_file(what: &str, path: &std::path::Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|error| {
        CliError::usage(format!("cannot read the {what} `{}`", path.display())).because(&error)
    })
}

fn parse_servers(urls: &[String]) -> Result<Vec<Target>, CliError> {
    if urls.is_empty() {
        return Ok(vec![Target::local()]);
    }
    if urls.iter().any(|url| url.trim().is_empty()) {
        return Err(CliError::usage("a server URL is empty")
            .hint("`--server ws://HOST:PORT`, or several with one comma between two"));
    }
    urls.iter().map(|url| parse_target(url.trim())).collect()
}

/// Reads one URL, and points at its fault.
pub(crate) fn parse_target(url: &str) -> Result<Target, CliError> {
    url.parse()
        .map_err(|error: crate::net::target::TargetError| {
            if has_unescaped_user_info(url) {
                // Even the fault might quote a part of the password.
                return CliError::usage(
                    "the server URL is invalid: its user info contains `/`, `?` or `#`",
                )
                .hint("`%2F` for `/`, `%3F` for `?` and `%23` for `#` in a user name or password");
            }
            // User info before the fault must not be shown; a caret under stars still points to the right place.
            let shown = hide_user_info(url);
            CliError::usage(format!("the server URL is invalid: {error}"))
                .pointing_at(&shown, error.span)
        })
}

/// Whether an `@` comes only behind what ends the host: then a password is likely to be torn apart.
fn has_unescaped_user_info(url: &str) -> bool {
    let start = url.find("://").map_or(0, |at| at + 3);
    let rest = &url[start..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    !rest[..end].contains('@') && rest[end..].contains('@')
}

/// Replaces user info by as many stars.
fn hide_user_info(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    match url[start..].rfind('@') {
        Some(at) => format!("{}{}{}", &url[..start], "*".repeat(at), &url[start + at..]),
        None => url.to_owned(),
    }
}

fn parse_header(header: &str) -> Result<(String, String), CliError> {
    let is_token = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    // A value may be a secret, so none is shown.
    let Some((name, value)) = header.split_once(':') else {
        return Err(CliError::usage(
            "`--header` is written `Name: value`, and this one has no colon",
        ));
    };
    if !is_token(name.trim()) {
        return Err(CliError::usage("`--header`: this is no header name")
            .pointing_at(&format!("{name}: ..."), 0..name.len()));
    }
    let name = name.trim();
    Ok((
        name.to_owned(),
        clean_value(&format!("--header {name}"), value.trim())?,
    ))
}

fn clean_value(flag: &str, value: &str) -> Result<String, CliError> {
    if value.contains(char::is_control) {
        return Err(CliError::usage(format!(
            "`{flag}` cannot contain control characters, such as a line break"
        )));
    }
    Ok(value.to_owned())
}

fn nonzero_timeout(timeout: Duration) -> Result<Duration, CliError> {
    if timeout.is_zero() {
        return Err(CliError::usage("`--timeout` must be more than zero"));
    }
    Ok(timeout)
}
