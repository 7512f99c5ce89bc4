//! The flags that say what happens when a connection is lost.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::load::plan::{ReconnectPolicy, WhileDown};
use crate::units::{UnitError, parse_duration};

/// Below this, reconnecting is a load test of its own.
const MIN_WAIT: Duration = Duration::from_millis(1);

/// Flags of every command that reconnects.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "When a connection is lost")]
pub(crate) struct ReconnectArgs {
    /// Between two attempts to connect again, on average
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1s",
        allow_negative_numbers = true,
        value_parser = parse_wait
    )]
    pub(crate) reconnect_wait: Duration,
    /// Attempts before a connection is given up; 0 for none [default: for ever]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) max_reconnects: Option<u64>,
    /// Silence until the server is asked for a sign of life; after as much again it counts as gone
    #[arg(
        long,
        value_name = "TIME",
        default_value = "5s",
        allow_negative_numbers = true,
        value_parser = parse_ping_interval
    )]
    pub(crate) ping_interval: Duration,
}

impl ReconnectArgs {
    /// What the engine does about a connection that is lost.
    pub(crate) fn policy(&self) -> ReconnectPolicy {
        ReconnectPolicy {
            wait: self.reconnect_wait,
            max_attempts: self.max_reconnects,
            ping_interval: self.ping_interval,
        }
    }
}

fn parse_wait(input: &str) -> Result<Duration, UnitError> {
    at_least(input, MIN_WAIT, "the shortest wait is 1ms")
}

fn parse_ping_interval(input: &str) -> Result<Duration, UnitError> {
    let smallest = Duration::from_nanos(1);
    at_least(input, smallest, "it must be more than zero")
}

fn at_least(input: &str, smallest: Duration, reason: &str) -> Result<Duration, UnitError> {
    let duration = parse_duration(input)?;
    if duration < smallest {
        return Err(UnitError::OutOfRange {
            input: input.to_owned(),
            reason: reason.to_owned(),
        });
    }
    Ok(duration)
}

/// What becomes of rounds that fall due while their connection is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhileDownArg {
    /// Sent late, when it is back; response counts from when they were due
    Send,
    /// Left out, and counted
    Skip,
}

/// The flag of every command that publishes.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "When a connection is lost")]
pub(crate) struct WhileDownArgs {
    /// Rounds that fall due meanwhile
    #[arg(long, value_enum, default_value_t = WhileDownArg::Send)]
    pub(crate) while_down: WhileDownArg,
}

impl WhileDownArgs {
    /// As the plan has it.
    pub(crate) fn while_down(self) -> WhileDown {
        match self.while_down {
            WhileDownArg::Send => WhileDown::Send,
            WhileDownArg::Skip => WhileDown::Skip,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::Parser;

    use super::*;
    use crate::cli::usage::explained;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        reconnect: ReconnectArgs,
        #[command(flatten)]
        while_down: WhileDownArgs,
    }

    fn parse(args: &[&str]) -> Result<Flags, String> {
        let args: Vec<OsString> = ["natsbench"].iter().chain(args).map(Into::into).collect();
        Flags::try_parse_from(&args).map_err(|error| {
            let explained = explained(&error, &args).expect("wrong values are explained");
            explained.render(false)
        })
    }

    #[test]
    fn nothing_said_is_the_default_of_the_engine() {
        let flags = parse(&[]).unwrap();
        assert_eq!(flags.reconnect.policy(), ReconnectPolicy::default());
        assert_eq!(flags.while_down.while_down(), WhileDown::default());
    }

    #[test]
    fn what_is_said_reaches_the_plan() {
        let flags = parse(&[
            "--reconnect-wait=1ms",
            "--max-reconnects=0",
            "--ping-interval=2m",
            "--while-down=skip",
        ])
        .unwrap();
        let expected = ReconnectPolicy {
            wait: Duration::from_millis(1),
            max_attempts: Some(0),
            ping_interval: Duration::from_mins(2),
        };
        assert_eq!(flags.reconnect.policy(), expected);
        assert_eq!(flags.while_down.while_down(), WhileDown::Skip);
    }

    #[test]
    fn wrong_values_are_refused_with_flag_limit_and_value() {
        for (args, told) in [
            (
                ["--reconnect-wait", "999us"],
                "`--reconnect-wait`: `999us` is out of range: the shortest wait is 1ms",
            ),
            (
                ["--reconnect-wait", "soon"],
                "`--reconnect-wait`: `soon` is not a duration with a unit",
            ),
            (
                ["--ping-interval", "0s"],
                "`--ping-interval`: `0s` is out of range: it must be more than zero",
            ),
            (
                ["--ping-interval", "5"],
                "`--ping-interval`: `5` is not a duration with a unit",
            ),
            (
                ["--max-reconnects", "-1"],
                "`--max-reconnects`: `-1` must not be negative",
            ),
            (
                ["--max-reconnects", "ever"],
                "`--max-reconnects`: `ever` is not a whole number",
            ),
            (
                ["--while-down", "drop"],
                "`--while-down`: `drop` is none of `send`, `skip`",
            ),
        ] {
            let refusal = parse(&args).unwrap_err();
            assert!(refusal.starts_with(&format!("error: {told}")), "{refusal}");
        }
    }
}
