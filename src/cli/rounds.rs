//! The flags that describe rounds, shared by `pub` and `latency`.

use clap::{Args, ValueEnum};

use crate::cli::ColorWhen;
use crate::cli::error::CliError;
use crate::cli::output::warn;
use crate::load::plan::{PublishClient, RoundsPlan};
use crate::load::streams::generator_of;
use crate::rounds::{ExtrasForm, GameMix, MixError, Route};
use crate::subject::Subject;
use crate::units::parse_bytes;

/// Under which of its two subjects a round goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RouteArg {
    /// PREFIX.game.SLUG
    Game,
    /// PREFIX.type.TYPE
    Type,
    /// Both: two messages a round
    Both,
}

impl RouteArg {
    pub(crate) fn route(self) -> Route {
        match self {
            Self::Game => Route::Game,
            Self::Type => Route::Type,
            Self::Both => Route::Both,
        }
    }
}

/// How `extras` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExtrasArg {
    /// A JSON object
    Object,
    /// A string that holds JSON, as Debezium writes a jsonb column
    String,
}

impl ExtrasArg {
    pub(crate) fn form(self) -> ExtrasForm {
        match self {
            Self::Object => ExtrasForm::Object,
            Self::String => ExtrasForm::JsonString,
        }
    }
}

/// Which library publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClientArg {
    /// Our own session; the pacing thread writes to the socket
    Raw,
    /// async-nats, to see what a client library costs
    AsyncNats,
}

impl ClientArg {
    pub(crate) fn client(self) -> PublishClient {
        match self {
            Self::Raw => PublishClient::Raw,
            Self::AsyncNats => PublishClient::AsyncNats,
        }
    }
}

/// Flags of every command that publishes rounds.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Rounds")]
pub(crate) struct RoundsArgs {
    /// Games, with weights: crash,double=3,wall-street,slot [default: all four, equally]
    #[arg(long, value_name = "GAMES")]
    pub(crate) games: Option<String>,
    /// What every subject begins with
    #[arg(long, value_name = "SUBJECT", default_value = "rounds")]
    pub(crate) prefix: String,
    /// Exact payload size of every message, such as 512 or 4KiB
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, value_parser = parse_bytes)]
    pub(crate) size: Option<u64>,
    /// Same seed, same rounds
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 1
    )]
    pub(crate) seed: u64,
    /// Which library publishes
    #[arg(long, value_enum, default_value_t = ClientArg::Raw)]
    pub(crate) client: ClientArg,
}

impl RoundsArgs {
    /// The plan of these flags.
    ///
    /// # Errors
    /// Everything that is wrong with them, pointed at.
    pub(crate) fn plan(
        &self,
        route: Route,
        extras: ExtrasForm,
        is_stamped: bool,
    ) -> Result<RoundsPlan, CliError> {
        let games = match self.games.as_deref() {
            None => GameMix::default(),
            Some(text) => text.parse().map_err(|error| games_error(text, &error))?,
        };
        check_prefix(&self.prefix)?;
        let plan = RoundsPlan {
            games,
            route,
            prefix: self.prefix.clone(),
            size_bytes: self
                .size
                .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            seed: self.seed,
            extras,
            is_stamped,
        };
        if plan.size_bytes.is_some_and(|bytes| bytes > MAX_SIZE_BYTES) {
            return Err(CliError::usage(format!(
                "`--size` is at most {MAX_SIZE_BYTES} bytes (64 MiB)"
            ))
            .hint("a broker takes 1 MiB unless its `max_payload` says otherwise"));
        }
        generator_of(&plan, 0).map_err(|error| {
            CliError::usage(format!(
                "`--size {}` is too small: the smallest size that every round fits into is {}",
                error.asked_bytes, error.smallest_bytes
            ))
        })?;
        Ok(plan)
    }

    /// Warns about a prefix that is valid and still a bad idea.
    pub(crate) fn warn(&self, color: ColorWhen) {
        let traps = self.prefix.parse::<Subject>().map(|prefix| prefix.traps());
        for trap in traps.unwrap_or_default() {
            let advice = format!("`--prefix`: {}", trap.kind.advice());
            warn(&advice, &self.prefix, trap.span, color);
        }
    }
}

/// nats-server refuses a `max_payload` above this.
const MAX_SIZE_BYTES: usize = 64 << 20;

/// The first part of the mix that cannot be used, pointed at.
fn games_error(text: &str, error: &MixError) -> CliError {
    let mut seen: Vec<&str> = Vec::new();
    let mut at = 0;
    let mut fault = (error.to_string(), 0..text.len());
    for part in text.split(',') {
        let slug = part.split('=').next().unwrap_or(part);
        let slug_span = at..at + slug.len();
        if part.trim().is_empty() {
            fault = ("a game is missing".to_owned(), slug_span);
            break;
        }
        match part.parse::<GameMix>() {
            Err(error @ MixError::BadWeight { .. }) => {
                fault = (error.to_string(), at + slug.len() + 1..at + part.len());
                break;
            }
            Err(error) => {
                fault = (error.to_string(), slug_span);
                break;
            }
            Ok(_) if seen.contains(&slug.trim()) => {
                fault = (error.to_string(), slug_span);
                break;
            }
            Ok(_) => seen.push(slug.trim()),
        }
        at += part.len() + 1;
    }
    CliError::usage(format!("`--games`: {}", fault.0))
        .pointing_at(text, fault.1)
        .hint("games: crash, double, wall-street, slot; with weights: `--games crash,double=3`")
}

fn check_prefix(prefix: &str) -> Result<(), CliError> {
    prefix.parse::<Subject>().map(|_| ()).map_err(|fault| {
        CliError::usage(format!("`--prefix` is no valid subject: {}", fault.reason))
            .pointing_at(prefix, fault.span)
    })
}
