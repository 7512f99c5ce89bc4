//! What is told of connections that stayed.

use std::fmt::Write as _;
use std::time::Duration;

use crate::doctor::checks::watch::findings::Scene;
use crate::doctor::checks::watch::line::Kind;
use crate::doctor::checks::watch::seconds;
use crate::doctor::examination::Examination;
use crate::units::format_duration;

impl Scene {
    /// What was seen, in one line.
    pub(super) fn summary(&self, is_interrupted: bool) -> String {
        let lines = &self.seen.lines;
        let oldest = lines.iter().map(|line| line.age(self.seen.now)).max();
        let n_pings: u64 = lines.iter().map(|line| line.n_pings).sum();
        let n_up = lines.iter().filter(|line| line.end.is_none()).count();
        let n_idle = lines.iter().filter(|line| line.kind == Kind::Idle).count();
        let mut text = format!(
            "{}{} of {} connections up after {} ({n_idle} of them idle), {n_pings} PINGs of the server answered",
            if is_interrupted { "interrupted: " } else { "" },
            n_up,
            lines.len(),
            seconds(oldest.unwrap_or_default()),
        );
        if let Some(times) = self.round_trips() {
            text.push_str(", round trip ");
            text.push_str(&times);
        }
        if let Some(why) = self.failures.first() {
            let n_failed = self.failures.len();
            // Writing to a `String` cannot fail.
            _ = write!(text, ", {n_failed} more could not be opened ({why})");
        }
        text
    }

    /// Facts for the table of a healthy report.
    pub(super) fn facts(&self, examination: &mut Examination<'_>) {
        if let Some(times) = self.round_trips() {
            examination.fact("round trip while watching", times);
        }
    }

    fn round_trips(&self) -> Option<String> {
        let lines = self.seen.lines.iter();
        let mut times: Vec<Duration> = lines.flat_map(|line| line.round_trips.clone()).collect();
        times.sort_unstable();
        let longest = times.last()?;
        Some(format!(
            "{} median, {} at most ({} PINGs)",
            format_duration(times[times.len() / 2]),
            format_duration(*longest),
            times.len()
        ))
    }
}
