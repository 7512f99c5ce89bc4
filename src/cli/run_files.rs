//! The files that a run fills as it goes: what happened to its connections, and its seconds.
//!
//! A file is opened before the run and emptied by its first line, so that a run that never begins leaves the old
//! content. A file that cannot be written any longer does not end the run: it becomes a doubt of the result.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::output_file::OutputFile;
use crate::clock::WallNanos;
use crate::report::events::write_json_event;
use crate::report::series::{SeriesFormat, SeriesWriter};
use crate::results::outages::{SeriesRow, StatusEvent};

/// Flags of every command that fills files as it goes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct RunFilesArgs {
    /// Write what happens to connections to a file: JSON lines
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,
    /// Write each second to a file: CSV if it ends in .csv, JSON lines otherwise
    #[arg(long, value_name = "FILE")]
    pub(crate) series: Option<PathBuf>,
}

/// The files; each may be absent.
#[derive(Debug)]
pub(crate) struct RunFiles {
    events: RunFile<BufWriter<File>>,
    series: RunFile<SeriesWriter<File>>,
    series_format: SeriesFormat,
}

impl RunFiles {
    /// Opens what the flags name. `others` are the files that further flags name: `("--save", save.as_ref())`.
    ///
    /// # Errors
    /// When a file cannot be written, or two flags name the same one.
    pub(crate) fn open(
        args: &RunFilesArgs,
        others: &[(&str, Option<&OutputFile>)],
    ) -> Result<Self, CliError> {
        let files = Self {
            events: RunFile::open("--events", "event file", args.events.as_deref())?,
            series: RunFile::open("--series", "series", args.series.as_deref())?,
            series_format: args
                .series
                .as_deref()
                .map_or(SeriesFormat::JsonLines, SeriesFormat::of),
        };
        let own = [
            ("--events", files.events.file.as_ref()),
            ("--series", files.series.file.as_ref()),
        ];
        check_distinct(others.iter().chain(&own).copied())?;
        Ok(files)
    }

    /// Writes events, in order. `began` is when the run began, from which they count.
    pub(crate) fn on_events(&mut self, events: &[StatusEvent], began: WallNanos) {
        if events.is_empty() {
            return;
        }
        self.events.write(
            |file| Ok(BufWriter::new(file)),
            |out| {
                for event in events {
                    write_json_event(out, event, began)?;
                }
                out.flush()
            },
        );
    }

    /// Writes a second.
    pub(crate) fn on_second(&mut self, row: &SeriesRow) {
        let format = self.series_format;
        self.series
            .write(|file| SeriesWriter::begin(file, format), |out| out.row(row));
    }

    /// Ends the files of a run that took place, and says which of them are incomplete: sentences for the doubts of the
    /// result.
    pub(crate) fn finish(mut self) -> Vec<String> {
        let format = self.series_format;
        // A run without a single line has a file that says so.
        self.events
            .write(|file| Ok(BufWriter::new(file)), BufWriter::flush);
        self.series
            .write(|file| SeriesWriter::begin(file, format), |_| Ok(()));
        let doubts = [self.events.doubt, self.series.doubt];
        doubts.into_iter().flatten().collect()
    }
}

/// One file.
#[derive(Debug)]
struct RunFile<W> {
    /// What it is called where it is incomplete.
    name: &'static str,
    /// Before the first line.
    file: Option<OutputFile>,
    /// From the first line to the first error.
    out: Option<W>,
    doubt: Option<String>,
}

impl<W> RunFile<W> {
    fn open(flag: &str, name: &'static str, path: Option<&Path>) -> Result<Self, CliError> {
        let file = path.map(|path| OutputFile::open(flag, path)).transpose()?;
        Ok(Self {
            name,
            file,
            out: None,
            doubt: None,
        })
    }

    fn write(
        &mut self,
        begin: impl FnOnce(File) -> io::Result<W>,
        write: impl FnOnce(&mut W) -> io::Result<()>,
    ) {
        let written = self.begin(begin).and_then(|out| out.map_or(Ok(()), write));
        if let Err(error) = written {
            // A gap in the middle would be worse than an end.
            self.out = None;
            self.doubt = Some(format!("the {} is incomplete: {error}", self.name));
        }
    }

    fn begin(&mut self, begin: impl FnOnce(File) -> io::Result<W>) -> io::Result<Option<&mut W>> {
        if let Some(file) = self.file.take() {
            self.out = Some(begin(file.take_empty()?)?);
        }
        Ok(self.out.as_mut())
    }
}

/// Refuses two flags that name one file, which they would overwrite for each other.
fn check_distinct<'a>(
    named: impl Iterator<Item = (&'a str, Option<&'a OutputFile>)>,
) -> Result<(), CliError> {
    let mut seen: Vec<(&str, &OutputFile)> = Vec::new();
    for (flag, file) in named {
        let Some(file) = file else { continue };
        if let Some((other, _)) = seen.iter().find(|(_, known)| known.is_same(file)) {
            return Err(CliError::usage(format!(
                "`{other}` and `{flag}` name the same file: one would overwrite the other"
            )));
        }
        seen.push((flag, file));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::results::outages::{Role, Status};

    fn event(at_ns: u64) -> StatusEvent {
        StatusEvent {
            at_ns,
            role: Role::Subscriber,
            idx: 0,
            status: Status::Draining,
        }
    }

    fn args(events: Option<&Path>, series: Option<&Path>) -> RunFilesArgs {
        RunFilesArgs {
            events: events.map(Path::to_owned),
            series: series.map(Path::to_owned),
        }
    }

    fn n_lines(path: &Path) -> usize {
        fs::read_to_string(path).unwrap().lines().count()
    }

    #[test]
    fn lines_replace_what_was_there_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let (events, series) = (dir.path().join("e.jsonl"), dir.path().join("s.csv"));
        fs::write(&events, "old\nold\nold\n").unwrap();
        let args = args(Some(&events), Some(&series));
        // A run that never begins.
        drop(RunFiles::open(&args, &[]).unwrap());
        assert_eq!(n_lines(&events), 3);
        assert!(!series.exists());
        // One that does.
        let mut files = RunFiles::open(&args, &[]).unwrap();
        files.on_events(&[], WallNanos(0));
        assert_eq!(n_lines(&events), 3);
        files.on_events(&[event(1), event(2)], WallNanos(0));
        files.on_events(&[event(3)], WallNanos(0));
        files.on_second(&SeriesRow::default());
        assert_eq!((n_lines(&events), n_lines(&series)), (3, 2));
        assert!(
            fs::read_to_string(&events)
                .unwrap()
                .starts_with("{\"at\":\"1970")
        );
        assert!(files.finish().is_empty());
    }

    #[test]
    fn a_run_in_which_nothing_happened_leaves_files_that_say_so() {
        let dir = tempfile::tempdir().unwrap();
        let (events, series) = (dir.path().join("e.jsonl"), dir.path().join("s.csv"));
        fs::write(&events, "old\n").unwrap();
        let files = RunFiles::open(&args(Some(&events), Some(&series)), &[]).unwrap();
        assert!(files.finish().is_empty());
        assert_eq!((n_lines(&events), n_lines(&series)), (0, 1));
    }

    #[test]
    fn without_flags_there_are_no_files() {
        let mut files = RunFiles::open(&args(None, None), &[("--save", None)]).unwrap();
        files.on_events(&[event(1)], WallNanos(0));
        files.on_second(&SeriesRow::default());
        assert!(files.finish().is_empty());
    }

    #[test]
    fn a_full_disk_becomes_one_doubt_for_each_file() {
        let full = Path::new("/dev/full");
        let mut files = RunFiles::open(&args(Some(full), Some(full)), &[]).unwrap();
        for at_ns in 0..3 {
            files.on_events(&[event(at_ns)], WallNanos(0));
            files.on_second(&SeriesRow::default());
        }
        let doubts = files.finish();
        assert_eq!(doubts.len(), 2, "{doubts:?}");
        assert!(
            doubts[0].starts_with("the event file is incomplete: No space"),
            "{doubts:?}"
        );
        assert!(
            doubts[1].starts_with("the series is incomplete: No space"),
            "{doubts:?}"
        );
    }

    #[test]
    fn one_file_named_twice_is_refused_however_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("a"), dir.path().join("link"));
        let roundabout = dir.path().join("../").join(dir.path().file_name().unwrap());
        let roundabout = roundabout.join("a");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for other in [&file, &link, &roundabout] {
            let refused = |done: Result<RunFiles, CliError>| {
                let text = done.expect_err("it is one file").render(false);
                assert!(text.contains("name the same file"), "{text}");
                text
            };
            let text = refused(RunFiles::open(&args(Some(&file), Some(other)), &[]));
            assert!(text.contains("`--events` and `--series`"), "{text}");
            let save = OutputFile::open("--save", other).unwrap();
            refused(RunFiles::open(
                &args(Some(&file), None),
                &[("--hdr", None), ("--save", Some(&save))],
            ));
            assert!(!file.exists(), "what was opened for nothing is gone");
        }
    }

    #[test]
    fn devices_and_different_files_are_not_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let null = Path::new("/dev/null");
        for (events, save) in [(null, null), (a.as_path(), b.as_path())] {
            let save = OutputFile::open("--save", save).unwrap();
            let others = [("--save", Some(&save))];
            assert!(RunFiles::open(&args(Some(events), None), &others).is_ok());
        }
    }

    #[test]
    fn a_file_that_cannot_be_created_is_wrong_usage() {
        let missing = Path::new("/nonexistent/e.jsonl");
        let error = RunFiles::open(&args(Some(missing), None), &[]).unwrap_err();
        assert!(error.render(false).contains("`--events`"));
    }
}
