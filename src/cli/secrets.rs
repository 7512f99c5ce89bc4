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
const SECRET_FLAGS: [(&str, &str); 3] = [
    ("--password", "NATS_PASSWORD"),
    ("--token", "NATS_TOKEN"),
    ("--header", HEADERS_VARIABLE),
];
/// What takes over the headers, one a line: `Authorization`, `Cookie` and whatever a gateway calls its keys.
const HEADERS_VARIABLE: &str = "NATSBENCH_MOVED_HEADERS";
/// Flags whose value is a secret when it is a URL with user info or a query.
const URL_FLAGS: [(&str, &str); 2] = [
    ("--server", "NATS_URL"),
    ("--pub-server", "NATSBENCH_PUB_SERVER"),
];
/// Short flags that take no value, and so may stand before `s` in one argument.
const VALUELESS_SHORT_FLAGS: [char; 3] = ['q', 'h', 'V'];

/// Names the variables that hold what was typed, so that it still counts as typed.
const MOVED_VARIABLE: &str = "NATSBENCH_MOVED";

/// Whether a variable holds what was typed as an argument.
pub(crate) fn was_moved(variable: &str) -> bool {
    std::env::var(MOVED_VARIABLE).is_ok_and(|names| names.split(',').any(|name| name == variable))
}

/// Restarts this process without secrets in its arguments. Returns only when there were none (`None`) or when the
/// restart failed.
pub(crate) fn move_out_of_the_process_title() -> Option<CliError> {
    let mut args = std::env::args_os();
    let program = args.next()?;
    let (kept, moved) = split(args.collect());
    if moved.is_empty() {
        return None;
    }
    let names: Vec<&str> = moved.iter().map(|(variable, _)| *variable).collect();
    let executable = std::env::current_exe().ok()?;
    let error = Command::new(executable)
        .arg0(program)
        .args(kept)
        .env(MOVED_VARIABLE, names.join(","))
        .envs(moved)
        .exec();
    Some(
        CliError::internal("cannot move a secret from the arguments to the environment")
            .because(&error),
    )
}

/// Separates secret flags from the rest.
fn split(args: Vec<OsString>) -> (Vec<OsString>, Vec<(&'static str, OsString)>) {
    let mut parts = Vec::new();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            parts.push(Part::Kept(vec![arg]));
            parts.extend(args.map(|arg| Part::Kept(vec![arg])));
            break;
        }
        parts.push(match secret_flag(&arg) {
            None => Part::Kept(vec![arg]),
            Some(flag) => match flag.value.clone().or_else(|| args.next()) {
                Some(value) => Part::Flag { flag, value },
                None => Part::Kept(vec![arg]),
            },
        });
    }
    let mut secret_variables: Vec<&str> = parts.iter().filter_map(Part::secret_variable).collect();
    if parts.iter().any(Part::is_broken_header) {
        // It is about to be refused, and would pass for two headers in the variable.
        secret_variables.retain(|variable| *variable != HEADERS_VARIABLE);
    }
    let (mut kept, mut moved): (Vec<OsString>, Vec<(&'static str, OsString)>) = Default::default();
    for part in parts {
        match part {
            Part::Kept(args) => kept.extend(args),
            // All values of a flag stay together: a flag that is left would win over the environment.
            Part::Flag { flag, value } if secret_variables.contains(&flag.variable) => {
                kept.extend(flag.others);
                match moved.iter_mut().find(|(name, _)| *name == flag.variable) {
                    Some((_, all)) if is_url_variable(flag.variable) => {
                        all.push(",");
                        all.push(value);
                    }
                    Some((_, all)) if flag.variable == HEADERS_VARIABLE => {
                        all.push("\n");
                        all.push(value);
                    }
                    Some((_, last)) => *last = value,
                    None => moved.push((flag.variable, value)),
                }
            }
            Part::Flag { flag, value } => match flag.value {
                Some(_) => kept.push(flag.arg),
                None => kept.extend([flag.arg, value]),
            },
        }
    }
    (kept, moved)
}

/// A piece of the command line.
enum Part {
    Kept(Vec<OsString>),
    Flag { flag: SecretFlag, value: OsString },
}

impl Part {
    /// The variable that has to take over this flag.
    fn secret_variable(&self) -> Option<&'static str> {
        match self {
            Self::Flag { flag, value } if is_secret(flag.variable, value) => Some(flag.variable),
            _ => None,
        }
    }

    /// Whether it is a header that cannot be a line of its variable.
    fn is_broken_header(&self) -> bool {
        match self {
            Self::Flag { flag, value } if flag.variable == HEADERS_VARIABLE => {
                value.to_str().is_none_or(|value| value.contains('\n'))
            }
            _ => false,
        }
    }
}

/// A flag whose value may be a secret.
struct SecretFlag {
    /// As it was typed.
    arg: OsString,
    variable: &'static str,
    /// The value, if it is in the same argument.
    value: Option<OsString>,
    /// Short flags before it in the same argument: `-q` of `-qs`.
    others: Option<OsString>,
}

fn secret_flag(arg: &OsStr) -> Option<SecretFlag> {
    let text = arg.to_str()?;
    let flag = |variable, value: Option<&str>, others: Option<String>| SecretFlag {
        arg: arg.to_owned(),
        variable,
        value: value.map(Into::into),
        others: others.map(Into::into),
    };
    if let Some(shorts) = text.strip_prefix('-')
        && !shorts.starts_with('-')
    {
        // Every short flag before `s` must be one without a value, or the `s` belongs to that value.
        let at = shorts.find(|c| !VALUELESS_SHORT_FLAGS.contains(&c))?;
        let value = shorts[at..].strip_prefix('s')?;
        let value = value.strip_prefix('=').unwrap_or(value);
        return Some(flag(
            "NATS_URL",
            (!value.is_empty()).then_some(value),
            (at > 0).then(|| format!("-{}", &shorts[..at])),
        ));
    }
    SECRET_FLAGS
        .iter()
        .chain(&URL_FLAGS)
        .find_map(|(name, variable)| {
            let rest = text.strip_prefix(name)?;
            if rest.is_empty() {
                return Some(flag(variable, None, None));
            }
            Some(flag(variable, Some(rest.strip_prefix('=')?), None))
        })
}

fn is_url_variable(variable: &str) -> bool {
    URL_FLAGS.iter().any(|(_, name)| *name == variable)
}

fn is_secret(variable: &str, value: &OsStr) -> bool {
    // Not only valid URLs: one that is refused must not be readable meanwhile, either.
    !is_url_variable(variable) || value.to_string_lossy().contains(['@', '?'])
}

/// The headers that were typed, wherever they are by now.
pub(crate) fn typed_headers(typed: &[String]) -> Vec<String> {
    match std::env::var(HEADERS_VARIABLE) {
        Ok(moved) if was_moved(HEADERS_VARIABLE) => moved.split('\n').map(str::to_owned).collect(),
        _ => typed.to_vec(),
    }
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
            "--pub-server",
            "ws://h",
        ]);
        assert_eq!(kept, ["pub", "--rate", "5", "--pub-server", "ws://h"]);
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
    fn all_values_of_a_flag_move_together() {
        let (kept, moved) = split_strs(&["pub", "-s", "ws://a", "--server=ws://u:p@b", "-q"]);
        assert_eq!(kept, ["pub", "-q"]);
        assert_eq!(moved, [("NATS_URL", "ws://a,ws://u:p@b".to_owned())]);
    }

    #[test]
    fn a_short_flag_is_found_behind_others() {
        for args in [
            &["-qs", "ws://u@h"][..],
            &["-qsws://u@h"],
            &["-qs=ws://u@h"],
        ] {
            let (kept, moved) = split_strs(args);
            assert_eq!(kept, ["-q"], "{args:?}");
            assert_eq!(moved, [("NATS_URL", "ws://u@h".to_owned())], "{args:?}");
        }
        let (kept, moved) = split_strs(&["pub", "-sws://h/?token=t"]);
        assert_eq!((kept, moved.len()), (vec!["pub".to_owned()], 1));
        let args = ["-ojson", "-os", "-qs", "ws://h"];
        assert_eq!(split_strs(&args), (args.map(str::to_owned).into(), vec![]));
    }

    #[test]
    fn headers_move_one_a_line() {
        let args = ["pub", "--header", "Cookie: a=b", "-q", "--header=X: y,z"];
        let (kept, moved) = split_strs(&args);
        assert_eq!(kept, ["pub", "-q"]);
        assert_eq!(
            moved,
            [(HEADERS_VARIABLE, "Cookie: a=b\nX: y,z".to_owned())]
        );
    }

    #[test]
    fn a_header_of_two_lines_stays_to_be_refused() {
        let args = ["pub", "--header", "X: a\r\nEvil: b", "--header", "Y: c"];
        assert_eq!(split_strs(&args), (args.map(str::to_owned).into(), vec![]));
    }

    #[test]
    fn nothing_behind_the_double_dash_is_a_flag() {
        assert_eq!(split_strs(&["sub", "--", "--password", "x"]).1, []);
        assert_eq!(split_strs(&["sub", "--password"]).0, ["sub", "--password"]);
    }
}
