//! Keeping secrets out of process titles.
//!
//! Anyone on the machine may read the arguments of a process (`ps`), but only its owner its environment. So
//! when a secret was given as an argument, natsbench starts itself anew with the secret in the environment
//! instead; `exec` keeps the process, its terminal and its parent.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::cli::error::CliError;

/// Flags whose value is a secret, and the variable that takes it over.
const SECRET_FLAGS: [(&str, &str); 2] =
    [("--password", "NATS_PASSWORD"), ("--token", "NATS_TOKEN")];
/// Flags whose value is a secret when it is a URL with user info.
const URL_FLAGS: [(&str, &str); 3] = [
    ("--server", "NATS_URL"),
    ("-s", "NATS_URL"),
    ("--pub-server", "NATSBENCH_PUB_SERVER"),
];

/// Restarts this process without secrets in its arguments. Returns only when there were none (`None`) or when the
/// restart failed.
pub(crate) fn move_out_of_the_process_title() -> Option<CliError> {
    let mut args = std::env::args_os();
    let program = args.next()?;
    let (kept, moved) = split(args.collect());
    if moved.is_empty() {
        return None;
    }
    let executable = std::env::current_exe().ok()?;
    let error = Command::new(executable)
        .arg0(program)
        .args(kept)
        .envs(moved)
        .exec();
    Some(
        CliError::internal("cannot move a secret from the arguments to the environment")
            .because(&error),
    )
}

/// Separates secret flags from the rest.
fn split(args: Vec<OsString>) -> (Vec<OsString>, Vec<(&'static str, OsString)>) {
    let (mut kept, mut moved) = (Vec::new(), Vec::new());
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            kept.push(arg);
            kept.extend(args);
            break;
        }
        match secret_flag(&arg) {
            Some((variable, Some(value))) if is_secret(variable, &value) => {
                moved.push((variable, value));
            }
            Some((variable, None)) => match args.next() {
                Some(value) if is_secret(variable, &value) => moved.push((variable, value)),
                value => kept.extend([Some(arg), value].into_iter().flatten()),
            },
            _ => kept.push(arg),
        }
    }
    (kept, moved)
}

/// The variable of a secret flag, and its value if it is in the same argument.
fn secret_flag(arg: &OsStr) -> Option<(&'static str, Option<OsString>)> {
    let text = arg.to_str()?;
    SECRET_FLAGS
        .iter()
        .chain(&URL_FLAGS)
        .find_map(|(flag, variable)| {
            let rest = text.strip_prefix(flag)?;
            if rest.is_empty() {
                return Some((*variable, None));
            }
            let value = rest
                .strip_prefix('=')
                .or((!flag.starts_with("--")).then_some(rest))?;
            Some((*variable, Some(value.into())))
        })
}

fn is_secret(variable: &str, value: &OsStr) -> bool {
    let is_url = URL_FLAGS.iter().any(|(_, name)| *name == variable);
    !is_url || value.to_str().is_some_and(|url| url.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_strs(args: &[&str]) -> (Vec<String>, Vec<(&'static str, String)>) {
        let (kept, moved) = split(args.iter().map(Into::into).collect());
        let text = |value: OsString| value.into_string().unwrap();
        (
            kept.into_iter().map(text).collect(),
            moved
                .into_iter()
                .map(|(name, value)| (name, text(value)))
                .collect(),
        )
    }

    #[test]
    fn secrets_move_and_the_rest_stays_in_order() {
        let (kept, moved) = split_strs(&[
            "pub",
            "--password",
            "p",
            "--rate",
            "5",
            "--token=t",
            "-sws://u:p@h",
            "--server",
            "ws://h",
        ]);
        assert_eq!(kept, ["pub", "--rate", "5", "--server", "ws://h"]);
        let expected = [
            ("NATS_PASSWORD", "p"),
            ("NATS_TOKEN", "t"),
            ("NATS_URL", "ws://u:p@h"),
        ];
        assert_eq!(
            moved,
            expected.map(|(name, value)| (name, value.to_owned()))
        );
    }

    #[test]
    fn nothing_behind_the_double_dash_is_a_flag() {
        assert_eq!(split_strs(&["sub", "--", "--password", "x"]).1, []);
        assert_eq!(split_strs(&["sub", "--password"]).0, ["sub", "--password"]);
    }
}
