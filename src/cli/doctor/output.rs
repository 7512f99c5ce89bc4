//! What becomes of the doctor's result: text in one of six formats, a saved file, a step summary, an exit code.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::cli::ColorWhen;
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::output::{style, write_stdout};
use crate::cli::output_file::OutputFile;
use crate::doctor::check::CheckId;
use crate::net::target::Target;
use crate::report::Style;
use crate::report::doctor::{DoctorFormat, write_doctor, write_nagios_unknown};
use crate::report::progress::Activity;
use crate::results::doctor::{DoctorResult, DoctorStatus};

/// What GitHub Actions shows on the page of a run is appended to the file that this names.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";
/// Exit codes of a Nagios plugin.
const NAGIOS_WARNING: u8 = 1;
const NAGIOS_CRITICAL: u8 = 2;
pub(crate) const NAGIOS_UNKNOWN: u8 = 3;

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatArg {
    /// For people
    Human,
    /// One object, schema natsbench.doctor/1
    Json,
    /// XML of `JUnit`, a test case for each check
    Junit,
    /// Annotations of GitHub Actions, and a step summary
    Github,
    /// One line and an exit code for Nagios
    Nagios,
    /// For a document or a pull request
    Markdown,
}

/// Where the result goes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct DoctorOutputArgs {
    /// How the result is printed
    // `--output` is what the other commands call it.
    #[arg(
        short = 'o',
        long,
        alias = "output",
        value_enum,
        default_value_t = FormatArg::Human,
        value_name = "FORMAT"
    )]
    format: FormatArg,
    /// Save the JSON result to a file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Warnings fail, too
    #[arg(long)]
    strict: bool,
    /// No progress on standard error
    #[arg(short, long)]
    quiet: bool,
}

impl DoctorOutputArgs {
    fn format(&self) -> DoctorFormat {
        match self.format {
            FormatArg::Human => DoctorFormat::Human,
            FormatArg::Json => DoctorFormat::Json,
            FormatArg::Junit => DoctorFormat::Junit,
            FormatArg::Github => DoctorFormat::Github,
            FormatArg::Nagios => DoctorFormat::Nagios,
            FormatArg::Markdown => DoctorFormat::Markdown,
        }
    }

    /// The file to save to, known to be writable before anything is connected to.
    pub(super) fn open_save(&self) -> Result<Option<OutputFile>, CliError> {
        let open = |path: &PathBuf| OutputFile::open("--save", path);
        self.save.as_ref().map(open).transpose()
    }

    /// Which check runs, on a terminal alone: a report is there before a line every few seconds would help.
    pub(super) fn activity(&self) -> Activity {
        Activity::new(!self.quiet && io::stderr().is_terminal())
    }

    /// Prints and saves the result, and says how to exit.
    pub(super) fn finish(
        &self,
        result: DoctorResult,
        save: Option<OutputFile>,
        color: ColorWhen,
    ) -> Result<u8, CliError> {
        let result = if self.strict {
            result.strictly()
        } else {
            result
        };
        let printed = rendered(&result, self.format(), color).and_then(|text| write_stdout(&text));
        // Each is tried, whatever becomes of the other: a full disk must not take the report with it.
        if let Some(mut file) = save {
            let json = rendered(&result, DoctorFormat::Json, ColorWhen::Never)?;
            file.replace(&json, true)?;
        }
        printed?;
        if self.format == FormatArg::Github
            && let Some(path) = std::env::var_os(STEP_SUMMARY).filter(|path| !path.is_empty())
        {
            append_summary(Path::new(&path), &result)?;
        }
        Ok(if self.format == FormatArg::Nagios {
            nagios_code(&result)
        } else {
            exit_code(&result)
        })
    }
}

fn rendered(
    result: &DoctorResult,
    format: DoctorFormat,
    color: ColorWhen,
) -> Result<Vec<u8>, CliError> {
    let mut text = Vec::new();
    let style = Style {
        width: columns(),
        ..style(color)
    };
    write_doctor(&mut text, result, format, style).context("cannot render the result")?;
    Ok(text)
}

/// Columns of a report: sentences are not made longer for a wide terminal, but shorter for a narrow one.
fn columns() -> u16 {
    const MAX_COLUMNS: u16 = 80;
    let size = rustix::termios::tcgetwinsize(io::stdout());
    let columns = size.map_or(0, |size| size.ws_col);
    // A terminal that does not know its size says 0.
    if columns == 0 {
        MAX_COLUMNS
    } else {
        columns.min(MAX_COLUMNS)
    }
}

/// Appends the report to the summary of the step. What other steps wrote there stays.
fn append_summary(path: &Path, result: &DoctorResult) -> Result<(), CliError> {
    let text = rendered(result, DoctorFormat::Markdown, ColorWhen::Never)?;
    let file = OpenOptions::new().create(true).append(true).open(path);
    if let Err(error) = file.and_then(|mut file| file.write_all(&text)) {
        // The result is printed, and its exit code matters more than a page that lacks it.
        let warning = format!(
            "warning: cannot append to `{}`, which {STEP_SUMMARY} names: {error}\n",
            path.display()
        );
        // There is nowhere left to say that standard error is closed.
        let _ = io::stderr().lock().write_all(warning.as_bytes());
    }
    Ok(())
}

/// The exit code of a result; of a strict one when warnings fail.
fn exit_code(result: &DoctorResult) -> u8 {
    match result.status {
        _ if result.interrupted => exit::INTERRUPTED,
        DoctorStatus::Failed => exit::FAILED,
        DoctorStatus::Warning | DoctorStatus::Ok => exit::PASSED,
    }
}

/// The same, as Nagios plugins do it: the numbers that the first line says in words.
fn nagios_code(result: &DoctorResult) -> u8 {
    match result.status {
        DoctorStatus::Failed => NAGIOS_CRITICAL,
        _ if result.interrupted => NAGIOS_UNKNOWN,
        DoctorStatus::Warning => NAGIOS_WARNING,
        DoctorStatus::Ok => exit::PASSED,
    }
}

/// Whether these arguments of the program ask for `doctor --format nagios`, also where they cannot be used otherwise.
pub(crate) fn is_for_nagios(args: &[String]) -> bool {
    const FORMS: [&str; 6] = [
        "--format=nagios",
        "--output=nagios",
        "-onagios",
        "-o=nagios",
        "-qonagios",
        "-qo=nagios",
    ];
    const FLAGS: [&str; 4] = ["--format", "--output", "-o", "-qo"];
    let typed = args.iter().take_while(|arg| *arg != "--");
    let typed: Vec<&str> = typed.map(String::as_str).collect();
    let is_meant = typed
        .windows(2)
        .any(|pair| FLAGS.contains(&pair[0]) && pair[1] == "nagios")
        || typed.iter().any(|arg| FORMS.contains(arg));
    typed.contains(&"doctor") && is_meant
}

/// Says on standard output why there is no result, which is where Nagios looks.
pub(crate) fn say_unknown(reason: &str) -> u8 {
    let mut text = Vec::new();
    // Writing to a vector cannot fail, and there is nowhere left to say that standard output is closed.
    let _ = write_nagios_unknown(&mut text, reason);
    let _ = write_stdout(&text);
    NAGIOS_UNKNOWN
}

/// What is being done for each of several servers, on the one line that there is.
pub(super) struct Activities {
    line: Activity,
    /// `None` once nothing is shown any more.
    running: Mutex<Option<BTreeMap<usize, String>>>,
}

impl Activities {
    pub(super) fn new(line: Activity) -> Self {
        let running = Mutex::new(Some(BTreeMap::new()));
        Self { line, running }
    }

    /// Something has begun for a server.
    pub(super) fn begin(&self, server: usize, text: String) {
        if let Some(running) = self.lock().as_mut() {
            self.line.show(&text);
            running.insert(server, text);
        }
    }

    /// A server is done with: what is still being done for another one is shown instead.
    pub(super) fn end(&self, server: usize) {
        if let Some(running) = self.lock().as_mut() {
            running.remove(&server);
            if let Some(text) = running.values().next() {
                self.line.show(text);
            }
        }
    }

    /// Removes the line for good.
    pub(super) fn finish(&self) {
        *self.lock() = None;
        self.line.finish();
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<usize, String>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The line that says which check runs.
pub(super) fn activity_text(target: &Target, check: CheckId) -> String {
    format!("{target}: {check}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::doctor::fixtures;

    fn is_for_nagios_strs(args: &[&str]) -> bool {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        is_for_nagios(&args)
    }

    #[test]
    fn nagios_is_recognised_however_it_is_asked_for() {
        for args in [
            &["natsbench", "doctor", "--format", "nagios"][..],
            &["natsbench", "doctor", "--format=nagios", "--bogus"],
            &["natsbench", "--color", "never", "doctor", "-o", "nagios"],
            &["natsbench", "doctor", "-qonagios", "x"],
            &["natsbench", "doctor", "--output", "nagios"],
        ] {
            assert!(is_for_nagios_strs(args), "{args:?}");
        }
        for args in [
            &["natsbench", "doctor", "nagios"][..],
            &["natsbench", "doctor", "--", "--format", "nagios"],
            &["natsbench", "sub", "--format", "nagios"],
            &["natsbench", "doctor", "--format", "json"],
        ] {
            assert!(!is_for_nagios_strs(args), "{args:?}");
        }
    }

    #[test]
    fn every_status_has_its_exit_code() {
        let interrupted = DoctorResult {
            interrupted: true,
            ..fixtures::healthy()
        };
        for (result, code, nagios) in [
            (fixtures::healthy(), 0, 0),
            (fixtures::warned(), 0, 1),
            (fixtures::warned().strictly(), 4, 2),
            (fixtures::broken(), 4, 2),
            (fixtures::several(), 4, 2),
            (interrupted, 130, 3),
        ] {
            assert_eq!((exit_code(&result), nagios_code(&result)), (code, nagios));
        }
    }
}
