//! `completions` and `man`: generated from the command line itself, so that they cannot fall behind.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::output::write_stdout;

/// Flags of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Flags of `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The directory to write to; it is created if it is missing
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(crate) fn run_completions(
    args: &CompletionsArgs,
    command: &mut clap::Command,
) -> Result<u8, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "natsbench", &mut script);
    write_stdout(&script)?;
    Ok(exit::PASSED)
}

pub(crate) fn run_man(args: &ManArgs, command: clap::Command) -> Result<u8, CliError> {
    let fail = |error: std::io::Error| {
        CliError::usage(format!(
            "cannot write manual pages to `{}`",
            args.directory.display()
        ))
        .because(&error)
    };
    std::fs::create_dir_all(&args.directory).map_err(fail)?;
    clap_mangen::generate_to(command, &args.directory).map_err(fail)?;
    Ok(exit::PASSED)
}
