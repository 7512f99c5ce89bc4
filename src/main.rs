//! The `natsbench` binary: parse, run, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    natsbench::cli::main()
}
