//! The live view: a bar on a terminal, a plain line every few seconds elsewhere, always on standard error.
//!
//! It is drawn from snapshots that the engine hands over at most ten times a second; nothing is drawn per message.

use std::io::Write as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::harmless::harmless;
use crate::units::{NANOS_PER_SEC, format_count, format_decimal, format_nanos};

/// Between plain lines.
const PLAIN_PERIOD_NS: u64 = 5 * NANOS_PER_SEC;
/// Between two drawings of a line that only turns.
const ACTIVITY_PERIOD: Duration = Duration::from_millis(100);
/// Steps of the bar.
const BAR_STEPS: u64 = 1000;
/// With a bar, and without one where nobody knows how long it will be. Both are shorter than 80 columns: the
/// terminal writes `^C` behind them, and a line that wraps could not be removed again.
const WITH_BAR: &str = "{bar:10} {msg:66!}";
const WITHOUT_BAR: &str = "{spinner} {msg:75!}";

/// What a run looks like at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Since the phase began.
    pub elapsed_ns: u64,
    /// What the run is doing.
    pub phase: String,
    /// Rounds sent.
    pub sent: u64,
    /// Messages that should have arrived.
    pub expected: Option<u64>,
    /// Messages received.
    pub received: u64,
    /// Messages lost, where that is known.
    pub lost: Option<u64>,
    /// Rounds sent, or messages received, a second.
    pub rate_per_s: f64,
    /// Response of the last second.
    pub p50_ns: Option<i64>,
    /// Response of the last second.
    pub p99_ns: Option<i64>,
    /// How much of the phase is over.
    pub fraction: Option<f64>,
}

/// Where the live view goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressMode {
    /// A bar, for a terminal.
    Bar,
    /// A line every few seconds.
    Plain,
    /// Nowhere.
    Off,
}

/// The live view.
#[derive(Debug)]
pub struct Progress {
    mode: ProgressMode,
    bar: Option<ProgressBar>,
    phase: String,
    next_line_ns: u64,
}

impl Progress {
    /// A view that shows nothing yet.
    pub fn new(mode: ProgressMode) -> Self {
        Self {
            mode,
            bar: None,
            phase: String::new(),
            next_line_ns: PLAIN_PERIOD_NS,
        }
    }

    /// Shows a snapshot.
    pub fn update(&mut self, snapshot: &Snapshot) {
        if self.phase != snapshot.phase {
            self.phase.clone_from(&snapshot.phase);
            self.next_line_ns = PLAIN_PERIOD_NS;
        }
        match self.mode {
            ProgressMode::Bar => self.draw(snapshot),
            ProgressMode::Plain if snapshot.elapsed_ns >= self.next_line_ns => {
                self.next_line_ns = snapshot.elapsed_ns + PLAIN_PERIOD_NS;
                // There is nowhere left to say that standard error is closed.
                let _ = writeln!(std::io::stderr().lock(), "{}", line(snapshot));
            }
            ProgressMode::Plain | ProgressMode::Off => {}
        }
    }

    /// Prints a line above the bar; where no bar is drawn, it is an ordinary line. Whether a quiet run says anything is
    /// for the caller to decide.
    pub fn print(&self, line: &str) {
        let write = || {
            // There is nowhere left to say that standard error is closed.
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        };
        match &self.bar {
            // `ProgressBar::println` would print nothing where the bar turns out to be invisible.
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Removes the bar, so that the result stands alone.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn draw(&mut self, snapshot: &Snapshot) {
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(
                Some(BAR_STEPS),
                ProgressDrawTarget::stderr_with_hz(10),
            );
            let style = ProgressStyle::with_template(if snapshot.fraction.is_some() {
                WITH_BAR
            } else {
                WITHOUT_BAR
            });
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        let fraction = snapshot.fraction.unwrap_or(0.0).clamp(0.0, 1.0);
        // A fraction of 1000 steps fits into any integer.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0..=1 above"
        )]
        bar.set_position((fraction * BAR_STEPS as f64) as u64);
        bar.set_message(line(snapshot));
        bar.tick();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What is being done, for work that has no numbers to show: one line on a terminal that is gone afterwards.
#[derive(Debug)]
pub struct Activity {
    bar: Option<ProgressBar>,
}

impl Activity {
    /// Shows nothing yet, and never anything unless it is visible.
    pub fn new(is_visible: bool) -> Self {
        let bar = is_visible.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            let style = ProgressStyle::with_template(WITHOUT_BAR);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        Self { bar }
    }

    /// Says what is being done.
    pub fn show(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(harmless(text));
            bar.enable_steady_tick(ACTIVITY_PERIOD);
        }
    }

    /// Removes the line, so that the result stands alone.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.finish();
    }
}

/// A snapshot on one line; what matters most comes first, because the end may not fit.
fn line(snapshot: &Snapshot) -> String {
    let secs = snapshot.elapsed_ns / NANOS_PER_SEC;
    let mut parts = vec![format!("{} {secs} s", snapshot.phase)];
    if let Some(lost) = snapshot.lost.filter(|lost| *lost > 0) {
        parts.push(format!("lost {}", format_count(lost)));
    }
    parts.push(format!(
        "{}/s",
        format_decimal((snapshot.rate_per_s * 10.0).round() / 10.0)
    ));
    if let Some(p50_ns) = snapshot.p50_ns {
        parts.push(format!("p50 {}", format_nanos(p50_ns)));
    }
    if let Some(p99_ns) = snapshot.p99_ns {
        parts.push(format!("p99 {}", format_nanos(p99_ns)));
    }
    if snapshot.sent > 0 {
        parts.push(format!("sent {}", format_count(snapshot.sent)));
    }
    if snapshot.received > 0 || snapshot.sent == 0 {
        parts.push(format!("received {}", format_count(snapshot.received)));
    }
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_fits_on_a_line() {
        let snapshot = Snapshot {
            elapsed_ns: 7_900_000_000,
            phase: "measuring".to_owned(),
            sent: 1580,
            expected: Some(1580),
            received: 1579,
            lost: None,
            rate_per_s: 200.04,
            p50_ns: Some(182_000),
            p99_ns: Some(1_840_000),
            fraction: Some(0.79),
        };
        let expected = "measuring 7 s  200/s  p50 182 us  p99 1.84 ms  sent 1,580  received 1,579";
        assert_eq!(line(&snapshot), expected);
    }
}
