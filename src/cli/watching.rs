//! What a person, and the files that they asked for, are told while a run goes on.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::error::CliError;
use crate::cli::output::{OutputArgs, saved_json};
use crate::cli::output_file::OutputFile;
use crate::cli::redact::{hide_in_event, hide_in_result};
use crate::cli::run_files::{RunFiles, RunFilesArgs};
use crate::clock::{Clock, MonoNanos, WallNanos};
use crate::doctor::redact::Secrets;
use crate::load::interrupt::Interrupt;
use crate::load::run::{Watch, Watcher};
use crate::measure::recorder::Recorder;
use crate::report::events::EventLines;
use crate::report::hdr_log::HdrLog;
use crate::report::progress::{Progress, Snapshot};
use crate::results::RunResult;
use crate::results::outages::{SeriesRow, StatusEvent};

/// A power cut costs so much of a long run.
const CHECKPOINT_PERIOD: Duration = Duration::from_mins(1);

/// The files of a run that has a result to save and intervals to log.
#[derive(Debug, Default)]
pub(crate) struct ResultFiles {
    /// The JSON result.
    pub(crate) save: Option<OutputFile>,
    /// The interval log.
    pub(crate) hdr: Option<OutputFile>,
}

impl ResultFiles {
    /// Makes sure that they can be written.
    ///
    /// # Errors
    /// When one cannot.
    pub(crate) fn open(save: Option<&Path>, hdr: Option<&Path>) -> Result<Self, CliError> {
        let open =
            |flag, path: Option<&Path>| path.map(|path| OutputFile::open(flag, path)).transpose();
        Ok(Self {
            save: open("--save", save)?,
            hdr: open("--hdr", hdr)?,
        })
    }
}

/// Tells the live view, the event lines and the files.
pub(crate) struct RunWatcher {
    clock: Clock,
    secrets: Arc<Secrets>,
    progress: Progress,
    /// Lines on the same terminal already show that something happens.
    has_live_view: bool,
    is_quiet: bool,
    lines: EventLines,
    files: RunFiles,
    began: WallNanos,
    interval_log: IntervalLog,
    save: Option<OutputFile>,
    checkpoint_error: Option<String>,
}

impl RunWatcher {
    /// Opens the files of the flags.
    ///
    /// # Errors
    /// When one cannot be written, or two are the same.
    pub(crate) fn new(
        output: &OutputArgs,
        has_live_view: bool,
        run_files: &RunFilesArgs,
        result_files: ResultFiles,
        secrets: &Arc<Secrets>,
    ) -> Result<Self, CliError> {
        let ResultFiles { save, hdr } = result_files;
        let others = [("--save", save.as_ref()), ("--hdr", hdr.as_ref())];
        let files = RunFiles::open(run_files, &others)?;
        let clock = Clock::start();
        Ok(Self {
            clock,
            secrets: Arc::clone(secrets),
            progress: output.progress(),
            has_live_view,
            is_quiet: output.quiet,
            lines: EventLines::default(),
            files,
            began: WallNanos(0),
            interval_log: IntervalLog {
                started: clock.now(),
                started_s: clock.wall_now().0 as f64 / 1e9,
                file: hdr,
                log: None,
                error: None,
            },
            save,
            checkpoint_error: None,
        })
    }

    /// What the run needs to tell this watcher.
    pub(crate) fn watch(&mut self, interrupt: Interrupt) -> Watch<'_> {
        // Without a file for it, a checkpoint would be put together for nobody.
        let checkpoint_period = match self.save {
            Some(_) => CHECKPOINT_PERIOD,
            None => Duration::MAX,
        };
        Watch {
            interrupt,
            clock: self.clock,
            checkpoint_period,
            watcher: self,
        }
    }

    /// The run is over. Says what is incomplete, and gives the file for the result back.
    pub(crate) fn finish(mut self) -> (Vec<String>, Option<OutputFile>) {
        let rest = self.lines.finish();
        self.tell(&rest);
        self.progress.finish();
        let mut doubts = self.files.finish();
        doubts.extend(self.interval_log.finish());
        doubts.extend(self.checkpoint_error);
        (doubts, self.save)
    }

    fn tell(&self, lines: &[String]) {
        if self.is_quiet {
            return;
        }
        for line in lines {
            self.progress.print(line);
        }
    }
}

impl Watcher for RunWatcher {
    fn on_begin(&mut self, began: WallNanos) {
        self.began = began;
    }

    fn on_progress(&mut self, snapshot: &Snapshot) {
        if self.has_live_view {
            self.progress.update(snapshot);
        }
    }

    fn on_interval(&mut self, recorder: &Recorder) {
        self.interval_log.interval(recorder, &self.clock);
    }

    fn on_events(&mut self, mut events: Vec<StatusEvent>, now_ns: u64) {
        for event in &mut events {
            hide_in_event(&self.secrets, event);
            self.lines.push(event);
        }
        self.files.on_events(&events, self.began);
        let due = self.lines.due(now_ns);
        self.tell(&due);
    }

    fn on_second(&mut self, row: &SeriesRow) {
        self.files.on_second(row);
    }

    fn on_checkpoint(&mut self, mut result: RunResult) {
        let Some(file) = &mut self.save else { return };
        hide_in_result(&self.secrets, &mut result);
        let saved = saved_json(&result).and_then(|json| file.replace(&json, false));
        // The next one may succeed, and the run goes on.
        self.checkpoint_error = saved
            .err()
            .map(|error| format!("a checkpoint could not be saved: {}", error.summary()));
    }
}

/// The `HdrHistogram` interval log. Begun with its first interval: a run that never begins leaves the old file as it was.
struct IntervalLog {
    started: MonoNanos,
    started_s: f64,
    file: Option<OutputFile>,
    log: Option<HdrLog<File>>,
    error: Option<io::Error>,
}

impl IntervalLog {
    fn begin(&mut self) -> io::Result<()> {
        if let Some(file) = self.file.take() {
            self.log = Some(HdrLog::begin(file.take_empty()?, self.started_s)?);
        }
        Ok(())
    }

    fn interval(&mut self, recorder: &Recorder, clock: &Clock) {
        let end = Duration::from_nanos(clock.now().since(self.started));
        let written = self.begin().and_then(|()| {
            let log = self.log.as_mut();
            log.map_or(Ok(()), |log| log.interval(recorder, end))
        });
        if let Err(error) = written {
            self.error.get_or_insert(error);
        }
    }

    /// A run without a single interval has a log that says so.
    fn finish(mut self) -> Option<String> {
        if let Err(error) = self.begin() {
            self.error.get_or_insert(error);
        }
        self.error
            .map(|error| format!("the interval log is incomplete: {error}"))
    }
}
