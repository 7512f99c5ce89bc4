//! What `doctor` is to examine, out of flags, environment and context.
//!
//! What is wrong with a URL, a context or a file is for the other commands an error, and here a finding: it is what the
//! user asked about. Everything that can be judged without it is judged all the same. Wrong flags remain errors.

use std::sync::Arc;

use rustls::ClientConfig;

use super::DoctorArgs;
use crate::cli::connection::{ConnectionArgs, hide_secrets};
use crate::cli::context::Context;
use crate::cli::credentials::{Given, GivenError};
use crate::cli::error::CliError;
use crate::cli::sources::Level;
use crate::doctor::checks::input;
use crate::doctor::plan::Plan;
use crate::load::plan::{Endpoint, ReconnectPolicy};
use crate::net::dial::DialOptions;
use crate::net::target::Target;
use crate::net::tls::{SystemRoots, TlsOptions};
use crate::protocol::Credentials;
use crate::results::doctor::Finding;

/// What to examine.
pub(super) struct Asked {
    /// Apart from the servers.
    pub(super) plan: Plan,
    /// The servers, at least one. When a URL cannot be used, one that stands for all.
    pub(super) servers: Vec<Target>,
}

/// What was found out on the way.
#[derive(Default)]
struct Found {
    faults: Vec<Finding>,
    notes: Vec<Finding>,
    typed_target: Option<String>,
}

/// Makes a plan of the flags.
///
/// # Errors
/// Wrong flags.
pub(super) fn of(args: &DoctorArgs) -> Result<Asked, CliError> {
    let connection = &args.connection;
    if connection.local_broker {
        // It knows nobody and has no TLS.
        let tls = TlsOptions {
            system_roots: SystemRoots::Unneeded,
            ..TlsOptions::default()
        };
        let Endpoint { servers, dial, .. } = connection.endpoint(1, ReconnectPolicy::default())?;
        let plan = plan_of(args, dial, tls, None, Found::default());
        return Ok(Asked { plan, servers });
    }
    let mut found = Found::default();
    let context = context(connection, &mut found);
    let (mut servers, url_level) = servers(connection, &context, &mut found);
    if found.faults.is_empty() {
        connection.check_transport(&servers)?;
    }
    let given = connection.given(&context)?;
    if given.as_ref().is_some_and(|(level, _)| *level <= url_level) {
        // User info that remains in a target is used for it whatever else is said.
        for server in &mut servers {
            server.user_info = None;
        }
    }
    let credentials_source = given
        .as_ref()
        .map(|(level, given)| source_of(given, *level, connection));
    let source = credentials_source.as_deref().unwrap_or_default();
    let credentials = given.map_or(Credentials::None, |(_, given)| {
        given.read().unwrap_or_else(|error| {
            found.faults.push(credentials_fault(&error, source));
            Credentials::None
        })
    });
    let mut tls = connection.tls_options(&context, &servers);
    if args.offline {
        // No certificate will be verified, so that it does not matter whether there is anything to verify it by.
        tls.system_roots = SystemRoots::Unneeded;
    }
    let config = tls.build().unwrap_or_else(|error| {
        found.faults.push(input::tls_fault(&error));
        unused_tls()
    });
    let tls_first = connection.tlsfirst || context.tls_first;
    let dial = connection.dial_options(config, credentials, tls_first, 1)?;
    Ok(Asked {
        plan: plan_of(args, dial, tls, credentials_source, found),
        servers,
    })
}

fn plan_of(
    args: &DoctorArgs,
    dial: DialOptions,
    tls: TlsOptions,
    credentials_source: Option<String>,
    found: Found,
) -> Plan {
    Plan {
        dial,
        tls,
        credentials_source,
        subjects: args.subjects.clone(),
        publish: args.publish.clone(),
        payload_bytes: args.payload_size,
        queue: args.queue.clone(),
        jetstream: args.jetstream,
        request: args.request,
        watch: args.watch,
        offline: args.offline,
        only: args.only.clone(),
        skip: args.skip.clone(),
        faults: found.faults,
        notes: found.notes,
        typed_target: found.typed_target,
    }
}

/// A TLS configuration for a plan with a fault, after which nothing is connected.
fn unused_tls() -> Arc<ClientConfig> {
    TlsOptions {
        system_roots: SystemRoots::Unneeded,
        ..TlsOptions::default()
    }
    .build()
    .expect("a configuration that reads no file")
}

fn context(connection: &ConnectionArgs, found: &mut Found) -> Context {
    let Some(name) = connection.context.as_deref() else {
        return Context::default();
    };
    Context::load(name).unwrap_or_else(|error| {
        let (message, causes, hint) = error.parts();
        found
            .faults
            .push(input::context_fault(name, message, causes, hint));
        if connection.server.is_empty() {
            found.typed_target = Some(format!("context {name}"));
        }
        Context::default()
    })
}

/// The servers, and where they come from.
fn servers(
    connection: &ConnectionArgs,
    context: &Context,
    found: &mut Found,
) -> (Vec<Target>, Level) {
    let (urls, level) = connection.urls(context);
    let mut servers = Vec::new();
    let mut is_faulty = false;
    for url in urls.iter().map(|url| url.trim()) {
        let shown = hide_secrets(url);
        match url.parse::<Target>() {
            _ if url.is_empty() => {
                is_faulty = true;
                found.faults.push(input::empty_url());
            }
            Ok(target) => {
                found.notes.extend(input::url_notes(&shown, &target));
                servers.push(target);
            }
            Err(error) => {
                is_faulty = true;
                found.faults.push(input::url_fault(&shown, &error));
            }
        }
    }
    if is_faulty {
        let typed: Vec<String> = urls.iter().map(|url| hide_secrets(url.trim())).collect();
        found.typed_target = Some(typed.join(","));
        servers.truncate(1);
    }
    if servers.is_empty() {
        servers.push(Target::local());
    }
    (servers, level)
}

/// Where credentials come from, for advice: the flag with its file, the variable, or the context.
fn source_of(given: &Given, level: Level, connection: &ConnectionArgs) -> String {
    let (flag, variable, path) = match given {
        Given::UserPassword { .. } => ("--user", "NATS_USER", None),
        Given::Creds(path) => ("--creds", "NATS_CREDS", Some(path)),
        Given::NKey(path) => ("--nkey", "NATS_NKEY", Some(path)),
        Given::Jwt { .. } => ("--creds", "NATS_CREDS", None),
        Given::Token(_) => ("--token", "NATS_TOKEN", None),
    };
    match (level, path) {
        (Level::Flag, Some(path)) => format!("{flag} {}", path.display()),
        (Level::Flag | Level::Default, _) => flag.to_owned(),
        (Level::Environment, _) => variable.to_owned(),
        (Level::Context, _) => format!(
            "context {}",
            connection.context.as_deref().unwrap_or_default()
        ),
    }
}

fn credentials_fault(error: &GivenError, source: &str) -> Finding {
    match error {
        GivenError::Unreadable { what, path, error } => {
            input::unreadable_credentials(what, path, source, error)
        }
        GivenError::Unusable {
            what,
            path,
            error,
            text,
        } => input::unusable_credentials(what, path, source, error, text.expose()),
    }
}
