//! What the parser of the command line says, in the form of all other errors: which flag, what is wrong, a caret.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::num::{IntErrorKind, ParseIntError};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::error::CliError;
use crate::cli::sources::is_typed;
use crate::units::UnitError;

/// The command line for this process: an empty environment variable counts as one that is not set.
pub(crate) fn without_empty_variables(command: clap::Command) -> clap::Command {
    fn forget_if_empty(arg: clap::Arg) -> clap::Arg {
        let is_empty = arg
            .get_env()
            .and_then(std::env::var_os)
            .is_some_and(|value| value.is_empty());
        if is_empty { arg.env(None::<&str>) } else { arg }
    }
    command.mut_subcommands(|sub| sub.mut_args(forget_if_empty))
}

/// Flags that make no sense beside `--local-broker`, which is always ours and open. They count only when they were
/// given on the command line: what the environment says about another broker is left aside.
const NOT_WITH_LOCAL_BROKER: [&str; 11] = [
    "server", "context", "user", "password", "token", "creds", "nkey", "tlsca", "tlscert",
    "tlskey", "insecure",
];

/// Flags that were given on the command line and contradict each other.
pub(crate) fn contradiction(matches: &clap::ArgMatches) -> Option<CliError> {
    let (command, matches) = matches.subcommand()?;
    if command == "broker" || !is_typed(matches, "local_broker") {
        return None;
    }
    let other = NOT_WITH_LOCAL_BROKER
        .iter()
        .find(|id| is_typed(matches, id))?;
    Some(
        CliError::usage(format!(
            "`--local-broker` cannot be used with `--{other}`: it is a broker of this run's own, without login"
        ))
        .hint("one of the two alone"),
    )
}

/// An error of the parser, where we say it better.
pub(crate) fn explained(error: &clap::Error, args: &[OsString]) -> Option<CliError> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let arg = text(ContextKind::InvalidArg)?;
    // The name alone: `--rate <N|max>` is `--rate`.
    // A value that may be left out is written in brackets: `--stall[=<BYTES>]`.
    let flag = arg.split([' ', '=', '[']).next().unwrap_or(arg);
    match error.kind() {
        ErrorKind::ValueValidation => {
            let value = text(ContextKind::InvalidValue)?;
            Some(invalid_value(&origin(flag, args), value, error))
        }
        ErrorKind::InvalidValue => {
            let value = text(ContextKind::InvalidValue).filter(|value| !value.is_empty())?;
            let Some(ContextValue::Strings(valid)) = error.get(ContextKind::ValidValue) else {
                return None;
            };
            let mut message = format!("{}: `{value}` is none of", origin(flag, args));
            for (idx, choice) in valid.iter().enumerate() {
                // Writing to a `String` cannot fail.
                let _ = write!(message, "{} `{choice}`", if idx == 0 { "" } else { "," });
            }
            let nearest = text(ContextKind::SuggestedValue);
            if let Some(nearest) = nearest {
                let _ = write!(message, "; did you mean `{nearest}`?");
            }
            Some(CliError::usage(message))
        }
        ErrorKind::ArgumentConflict => {
            let prior = match error.get(ContextKind::PriorArg)? {
                ContextValue::String(prior) => prior,
                ContextValue::Strings(all) => all.first()?,
                _ => return None,
            };
            let prior = prior.split(' ').next().unwrap_or(prior);
            if prior == flag {
                return Some(CliError::usage(format!("`{flag}` is given twice")));
            }
            Some(CliError::usage(format!(
                "`{flag}` cannot be used with `{prior}`"
            )))
        }
        ErrorKind::UnknownArgument if is_negative(flag) => Some(
            CliError::usage(format!("unexpected argument `{flag}`"))
                .hint("no value of this command can be negative"),
        ),
        _ => None,
    }
}

fn is_negative(flag: &str) -> bool {
    flag.strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit() || c == '.'))
}

/// How the user gave a value: by its flag, or by the environment variable that stands for it.
fn origin(flag: &str, args: &[OsString]) -> String {
    let is_typed = args
        .iter()
        .any(|arg| arg.to_str().is_some_and(|arg| arg.starts_with(flag)));
    let variable = match flag {
        "--timeout" => Some("NATS_TIMEOUT"),
        _ => None,
    };
    match variable.filter(|_| !is_typed) {
        Some(variable) => format!("`{variable}`"),
        None => format!("`{flag}`"),
    }
}

fn invalid_value(origin: &str, value: &str, error: &clap::Error) -> CliError {
    let Some(cause) = std::error::Error::source(error) else {
        return CliError::usage(format!("{origin}: `{value}` cannot be used"));
    };
    if let Some(unit) = cause.downcast_ref::<UnitError>() {
        return CliError::usage(format!("{origin}: {unit}")).pointing_at(value, unit.span());
    }
    if let Some(number) = cause.downcast_ref::<ParseIntError>() {
        let why = match number.kind() {
            _ if value.starts_with('-') => "must not be negative",
            IntErrorKind::Zero => "must be at least 1",
            IntErrorKind::PosOverflow => "is more than this can be",
            _ => "is not a whole number",
        };
        return CliError::usage(format!("{origin}: `{value}` {why}"))
            .pointing_at(value, 0..value.len());
    }
    CliError::usage(format!("{origin}: {cause}")).pointing_at(value, 0..value.len())
}
