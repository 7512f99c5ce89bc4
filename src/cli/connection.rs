//! The flags of every command that connects, and what becomes of them: flag, environment, context, default.
//!
//! That order holds for every field, and for who we are as a whole: a token that was typed comes before a user of the
//! environment, although a user would come before a token where both come from the same place. An empty variable
//! counts as none.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustls::ClientConfig;

use crate::cli::context::Context;
use crate::cli::credentials::Given;
use crate::cli::error::CliError;
use crate::cli::secrets::typed_headers;
use crate::cli::sources::{Level, Typed};
use crate::load::plan::{Endpoint, ReconnectPolicy};
use crate::net::dial::{DialOptions, USER_AGENT};
use crate::net::target::{Scheme, Target, may_be_scheme};
use crate::net::tls::{SystemRoots, TlsOptions};
use crate::net::ws::upgrade::OWN_HEADERS;
use crate::protocol::Credentials;
use crate::units::parse_duration;

/// Time limit of each step of connecting.
const DEFAULT_TIMEOUT: &str = "5s";
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
    #[command(flatten)]
    typed: Typed,
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
    /// Start TLS before INFO on the client port, for a server with `handshake_first`
    #[arg(long)]
    pub(crate) tlsfirst: bool,
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
        default_value = DEFAULT_TIMEOUT,
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
    pub(crate) fn endpoint(
        &self,
        n_connections: u16,
        reconnect: ReconnectPolicy,
    ) -> Result<Endpoint, CliError> {
        if self.local_broker {
            return self.local_endpoint(n_connections, reconnect);
        }
        let context = match self.context.as_deref() {
            Some(name) => Context::load(name)?,
            None => Context::default(),
        };
        let (mut servers, url_level) = self.servers(&context)?;
        self.check_transport(&servers)?;
        let given = self.given(&context)?;
        let read_credentials = given.as_ref().and_then(|(_, given)| given.reader());
        let credentials = match given {
            Some((level, given)) => Some((level, given.read()?)),
            None => None,
        };
        if credentials
            .as_ref()
            .is_some_and(|(level, _)| *level <= url_level)
        {
            // User info that remains in a target is used for it whatever the options say.
            for server in &mut servers {
                server.user_info = None;
            }
        }
        let tls = self.tls_options(&context, &servers);
        let credentials = credentials.map_or(Credentials::None, |(_, credentials)| credentials);
        let tls_first = self.tlsfirst || context.tls_first;
        let dial = self.dial_options(built(&tls)?, credentials, tls_first, n_connections)?;
        Ok(Endpoint {
            servers,
            dial,
            reconnect,
            read_credentials,
        })
    }

    /// What is said about TLS, for these servers.
    pub(super) fn tls_options(&self, context: &Context, servers: &[Target]) -> TlsOptions {
        TlsOptions {
            ca: self.tlsca.clone().or(context.ca.clone()),
            cert: self.tlscert.clone().or(context.cert.clone()),
            key: self.tlskey.clone().or(context.key.clone()),
            insecure: self.insecure,
            system_roots: system_roots(servers),
        }
    }

    /// A broker of our own knows nobody and has no TLS: what the environment says about others does not matter.
    fn local_endpoint(
        &self,
        n_connections: u16,
        reconnect: ReconnectPolicy,
    ) -> Result<Endpoint, CliError> {
        let tls = TlsOptions {
            system_roots: SystemRoots::Unneeded,
            ..TlsOptions::default()
        };
        Ok(Endpoint {
            servers: vec![Target::local()],
            dial: self.dial_options(built(&tls)?, Credentials::None, false, n_connections)?,
            reconnect,
            read_credentials: None,
        })
    }

    pub(super) fn dial_options(
        &self,
        tls: Arc<ClientConfig>,
        credentials: Credentials,
        tls_first: bool,
        n_connections: u16,
    ) -> Result<DialOptions, CliError> {
        Ok(DialOptions {
            timeout: nonzero_timeout(self.timeout)?,
            tls,
            verifies_tls: !self.insecure,
            credentials,
            tls_first,
            name: "natsbench".to_owned(),
            headers: typed_headers(&self.headers)
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
                None => USER_AGENT.to_owned(),
            },
            compression: self.compression,
            no_masking: self.no_masking,
            echo: true,
            pedantic: false,
            read_buffer_bytes: if n_connections >= MANY_CONNECTIONS {
                SMALL_READ_BUFFER_BYTES
            } else {
                READ_BUFFER_BYTES
            },
        })
    }

    /// The servers, and where they come from.
    fn servers(&self, context: &Context) -> Result<(Vec<Target>, Level), CliError> {
        let parse = |urls: &[String]| -> Result<Vec<Target>, CliError> {
            if urls.iter().any(|url| url.trim().is_empty()) {
                return Err(CliError::usage("a server URL is empty")
                    .hint("`--server ws://HOST:PORT`, or several with one comma between two"));
            }
            urls.iter().map(|url| parse_target(url.trim())).collect()
        };
        let (urls, level) = self.urls(context);
        let servers = parse(urls)?;
        Ok(match level {
            Level::Default => (vec![Target::local()], level),
            _ => (servers, level),
        })
    }

    /// The URLs of the servers as they were given, and where they come from.
    pub(super) fn urls<'a>(&'a self, context: &'a Context) -> (&'a [String], Level) {
        if !self.server.is_empty() {
            (&self.server, self.typed.level("server"))
        } else if !context.urls.is_empty() {
            (&context.urls, Level::Context)
        } else {
            (&[], Level::Default)
        }
    }

    /// Refuses flags that would have no effect on any of the servers.
    pub(super) fn check_transport(&self, servers: &[Target]) -> Result<(), CliError> {
        let is_websocket = |target: &Target| target.scheme.is_websocket();
        let websocket_flags = [
            ("--header", !typed_headers(&self.headers).is_empty()),
            ("--origin", self.origin.is_some()),
            ("--user-agent", self.user_agent.is_some()),
            ("--compression", self.compression),
            ("--no-masking", self.no_masking),
        ];
        let given = websocket_flags.iter().find(|(_, is_given)| *is_given);
        if let Some((flag, _)) = given
            && !servers.iter().any(is_websocket)
        {
            return Err(CliError::usage(format!(
                "`{flag}` has no effect on {}: it belongs to the WebSocket upgrade",
                servers[0]
            ))
            .hint(format!("a `ws://` or `wss://` server, or no `{flag}`")));
        }
        if self.tlsfirst && servers.iter().all(is_websocket) {
            return Err(CliError::usage(format!(
                "`--tlsfirst` has no effect on {}: it belongs to the client port",
                servers[0]
            ))
            .hint("a `nats://` or `tls://` server, or no `--tlsfirst`"));
        }
        Ok(())
    }

    /// A value and where it comes from.
    fn sourced<T: Clone>(
        &self,
        id: &str,
        own: Option<&T>,
        theirs: Option<&T>,
    ) -> Option<(Level, T)> {
        own.map(|own| (self.typed.level(id), own.clone()))
            .or_else(|| theirs.map(|theirs| (Level::Context, theirs.clone())))
    }

    /// Who we are, unless a URL says so, and where that comes from.
    pub(super) fn given(&self, context: &Context) -> Result<Option<(Level, Given)>, CliError> {
        let text = |id, own: &Option<String>, theirs: &Option<String>| {
            let own = own.as_ref().filter(|own| !own.is_empty());
            self.sourced(id, own, theirs.as_ref())
        };
        let path = |id, own: &Option<PathBuf>, theirs: &Option<PathBuf>| {
            self.sourced(id, own.as_ref(), theirs.as_ref())
        };
        let user = text("user", &self.user, &context.user);
        let password = text("password", &self.password, &context.password);
        if user.is_none() && matches!(password, Some((Level::Flag, _))) {
            return Err(CliError::usage("a password needs a user").hint("add `--user NAME`"));
        }
        let user_password = user.map(|(user_level, user)| {
            // The password of a context is for the user of that context alone.
            let password = password
                .filter(|(level, _)| user_level == Level::Context || *level < Level::Context);
            let level = password
                .as_ref()
                .map_or(user_level, |(level, _)| user_level.min(*level));
            let password = password.map(|(_, password)| password).unwrap_or_default();
            (level, Given::UserPassword { user, password })
        });
        let given = [
            user_password,
            path("creds", &self.creds, &context.creds)
                .map(|(level, path)| (level, Given::Creds(path))),
            path("nkey", &self.nkey, &context.nkey).map(|(level, path)| (level, Given::NKey(path))),
            context.jwt.clone().map(|jwt| {
                let seed = context.seed.clone();
                (Level::Context, Given::Jwt { jwt, seed })
            }),
            text("token", &self.token, &context.token)
                .map(|(level, token)| (level, Given::Token(token))),
        ];
        // Of the same level the first counts, in the order of the `nats` command line.
        Ok(given.into_iter().flatten().min_by_key(|(level, _)| *level))
    }
}

/// The TLS configuration, before anything is connected.
fn built(tls: &TlsOptions) -> Result<Arc<ClientConfig>, CliError> {
    tls.build()
        .map_err(|error| CliError::usage("the TLS options cannot be used").because(&error))
}

/// What the system's certificates are worth for these servers.
fn system_roots(servers: &[Target]) -> SystemRoots {
    let uses_tls = |target: &Target| matches!(target.scheme, Scheme::Wss | Scheme::Tls);
    if servers.iter().any(uses_tls) {
        SystemRoots::Needed
    } else if servers.iter().all(|target| target.scheme == Scheme::Ws) {
        SystemRoots::Unneeded
    } else {
        SystemRoots::IfThere
    }
}

/// Reads one URL, and points at its fault.
pub(crate) fn parse_target(url: &str) -> Result<Target, CliError> {
    url.parse()
        .map_err(|error: crate::net::target::TargetError| {
            // A caret under stars still points to the right place.
            let shown = hide_secrets(url);
            CliError::usage(format!("the server URL is invalid: {error}"))
                .pointing_at(&shown, error.span)
        })
}

/// Replaces user info and query, either of which may hold a secret, by as many stars.
pub(super) fn hide_secrets(url: &str) -> String {
    let scheme_end = url.find("://").filter(|at| may_be_scheme(&url[..*at]));
    let start = scheme_end.map_or(0, |at| at + 3);
    let mut shown = match url[start..].rfind('@') {
        Some(at) => format!("{}{}{}", &url[..start], "*".repeat(at), &url[start + at..]),
        None => url.to_owned(),
    };
    if let Some(query) = shown.find('?') {
        let n_bytes = shown.len() - query - 1;
        shown.truncate(query + 1);
        shown.push_str(&"*".repeat(n_bytes));
    }
    shown
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
    if OWN_HEADERS
        .iter()
        .any(|own| own.eq_ignore_ascii_case(name.trim()))
    {
        return Err(CliError::usage(format!(
            "the header `{}` belongs to the WebSocket handshake itself",
            name.trim()
        ))
        .hint("ask for extensions with `--compression`"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_a_url_become_stars_of_the_same_length() {
        for (url, shown) in [
            ("ws://u:p@h/", "ws://***@h/"),
            ("u:p@h", "***@h"),
            ("ws://h/?token=a b", "ws://h/?*********"),
            ("ws://u:p?q@h", "ws://*****@h"),
            ("u:p://q@h", "*******@h"),
            ("ws://h", "ws://h"),
        ] {
            assert_eq!(hide_secrets(url), shown);
        }
    }
}
