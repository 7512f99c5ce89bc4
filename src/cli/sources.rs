//! Where the values of flags come from: typed, environment, context, default.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, FromArgMatches};

use crate::cli::secrets;

/// Where a value comes from, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Typed.
    Flag,
    /// A variable of the environment.
    Environment,
    /// A context of the `nats` command line.
    Context,
    /// Nobody said anything.
    Default,
}

/// Arguments that may come from the environment, with their variables.
const SOURCED: [(&str, &str); 10] = [
    ("server", "NATS_URL"),
    ("context", "NATS_CONTEXT"),
    ("user", "NATS_USER"),
    ("password", "NATS_PASSWORD"),
    ("token", "NATS_TOKEN"),
    ("creds", "NATS_CREDS"),
    ("nkey", "NATS_NKEY"),
    ("tlsca", "NATS_CA"),
    ("tlscert", "NATS_CERT"),
    ("tlskey", "NATS_KEY"),
];

/// Whether an argument was typed, also where its value was moved out of the process title since.
pub(crate) fn is_typed(matches: &ArgMatches, id: &str) -> bool {
    // An argument that this command does not have would panic below.
    if !matches.try_contains_id(id).unwrap_or(false) {
        return false;
    }
    let variable = SOURCED.iter().find(|(sourced, _)| *sourced == id);
    matches.value_source(id) == Some(ValueSource::CommandLine)
        || variable.is_some_and(|(_, variable)| secrets::was_moved(variable))
}

/// Which of these arguments were typed. It adds no argument of its own, and must be the first field of the struct
/// that has them: the fields take their values out of the matches one after the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Typed(Vec<&'static str>);

impl Typed {
    /// Where an argument with a value has it from.
    pub(crate) fn level(&self, id: &str) -> Level {
        if self.0.contains(&id) {
            Level::Flag
        } else {
            Level::Environment
        }
    }
}

impl Args for Typed {
    fn augment_args(command: clap::Command) -> clap::Command {
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        command
    }
}

impl FromArgMatches for Typed {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let ids = SOURCED.iter().map(|(id, _)| *id);
        Ok(Self(ids.filter(|id| is_typed(matches, id)).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
