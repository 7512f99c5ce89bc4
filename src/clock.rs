//! The only reader of time.
//!
//! Two clocks matter. Pacing reads the **monotonic** clock; stamps are **wall-clock** nanoseconds, so that
//! any two processes can compare them. A [`Clock`] ties the two together once, at its start: within one
//! process a wall time is always `anchor + monotonic`, so a step of the wall clock cannot bend a
//! measurement. [`Clock::drift_ns`] tells by how much the wall clock has moved away since.
//!
//! Units: nanoseconds everywhere.

use std::sync::atomic::{AtomicI64, Ordering};

use rustix::time::{ClockId, Timespec, clock_gettime};

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// A moment on the monotonic clock, in nanoseconds since an unspecified start (on Linux: boot).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonoNanos(pub u64);

/// A moment on the wall clock, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallNanos(pub u64);

impl WallNanos {
    /// The moment as RFC 3339 has it, to the millisecond.
    pub fn rfc3339(self) -> String {
        let moment = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(self.0);
        humantime::format_rfc3339_millis(moment).to_string()
    }
}

impl MonoNanos {
    /// The moment `nanos` later.
    #[must_use]
    pub fn plus(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Nanoseconds from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

fn read(id: ClockId) -> u64 {
    nanos_of(clock_gettime(id))
}

fn nanos_of(time: Timespec) -> u64 {
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    secs * NANOS_PER_SEC + nanos
}

/// Reads the monotonic clock.
pub fn mono_now() -> MonoNanos {
    MonoNanos(read(ClockId::Monotonic))
}

/// The monotonic and the wall clock, tied together at [`Clock::start`].
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    anchor_mono: MonoNanos,
    anchor_wall: WallNanos,
    /// By how many nanoseconds the system's wall clock is taken to be off; nothing but a test has this.
    step: Option<&'static AtomicI64>,
}

impl Clock {
    /// Reads both clocks and ties them together.
    ///
    /// The pair is read several times and the tightest reading is kept, so that a preemption between the two
    /// reads cannot shift every stamp of the process.
    pub fn start() -> Self {
        let (anchor_mono, anchor_wall) = read_pair();
        Self {
            anchor_mono,
            anchor_wall,
            step: None,
        }
    }

    /// The same, with a wall clock that anyone can set: by so many nanoseconds it is ahead of the system's.
    pub fn start_settable(step: &'static AtomicI64) -> Self {
        let mut clock = Self::start();
        clock.step = Some(step);
        clock
    }

    /// Reads the monotonic clock.
    pub fn now(&self) -> MonoNanos {
        mono_now()
    }

    /// The wall time of a monotonic moment, by the anchor of this process.
    pub fn wall_at(&self, moment: MonoNanos) -> WallNanos {
        let shifted =
            i128::from(self.anchor_wall.0) + i128::from(moment.0) - i128::from(self.anchor_mono.0);
        WallNanos(u64::try_from(shifted.max(0)).unwrap_or(u64::MAX))
    }

    /// The wall time now, by the anchor of this process.
    pub fn wall_now(&self) -> WallNanos {
        self.wall_at(self.now())
    }

    /// How far the system's wall clock has moved away from the anchor, in nanoseconds: positive when it was
    /// set forward. A few microseconds are reading noise.
    pub fn drift_ns(&self) -> i64 {
        self.look().1
    }

    /// Now, and the same for now.
    fn look(&self) -> (MonoNanos, i64) {
        let (mono, wall) = read_pair();
        let step_ns = self.step.map_or(0, |step| step.load(Ordering::Relaxed));
        let wall = WallNanos(wall.0.saturating_add_signed(step_ns));
        (mono, self.drift_of(mono, wall))
    }

    /// The same for a given pair of readings.
    fn drift_of(&self, mono: MonoNanos, wall: WallNanos) -> i64 {
        let expected = i128::from(self.wall_at(mono).0);
        let drift = i128::from(wall.0) - expected;
        i64::try_from(drift).unwrap_or(if drift < 0 { i64::MIN } else { i64::MAX })
    }
}

/// Between two looks the wall clock may move so much against the monotonic one without having been set: reading both
/// takes time, and a preemption in between more of it.
const TOLERATED_STEP_NS: u64 = 5_000_000;
/// Slewing, as time synchronisation does it, moves a wall clock by at most so many nanoseconds in a second (`adjtimex(2)`).
const MAX_SLEW_NS_PER_S: u64 = 500_000;

/// Notices when the wall clock is set, also when it is set back again before anybody looks at the end.
#[derive(Debug, Clone)]
pub struct StepWatch {
    clock: Clock,
    last: (MonoNanos, i64),
    largest_ns: i64,
}

impl StepWatch {
    /// Watches from now on.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            last: clock.look(),
            largest_ns: 0,
        }
    }

    /// Looks; to be called about once a second.
    pub fn look(&mut self) {
        let now = self.clock.look();
        self.note(now);
    }

    fn note(&mut self, (mono, drift_ns): (MonoNanos, i64)) {
        let moved_ns = drift_ns.saturating_sub(self.last.1);
        let elapsed_s = mono.since(self.last.0) / NANOS_PER_SEC;
        let tolerated_ns = TOLERATED_STEP_NS.saturating_add(elapsed_s * MAX_SLEW_NS_PER_S);
        if moved_ns.unsigned_abs() > tolerated_ns
            && moved_ns.unsigned_abs() > self.largest_ns.unsigned_abs()
        {
            self.largest_ns = moved_ns;
        }
        self.last = (mono, drift_ns);
    }

    /// By how much the wall clock was set, at most: positive when it was set forward; 0 when it was left alone.
    pub fn largest_ns(&self) -> i64 {
        self.largest_ns
    }
}

/// Reads wall time between two reads of monotonic time, and keeps the tightest of a few tries.
fn read_pair() -> (MonoNanos, WallNanos) {
    let mut best = None;
    for _ in 0..5 {
        let before = read(ClockId::Monotonic);
        let wall = read(ClockId::Realtime);
        let after = read(ClockId::Monotonic);
        let width = after.saturating_sub(before);
        let middle = before + width / 2;
        if best.is_none_or(|(narrowest, _, _)| width < narrowest) {
            best = Some((width, MonoNanos(middle), WallNanos(wall)));
        }
    }
    let (_, mono, wall) = best.expect("the loop above runs at least once");
    (mono, wall)
}

/// Blocks this thread until `moment`, by an absolute `clock_nanosleep`; returns at once when it has passed.
///
/// An absolute sleep cannot drift, and a signal that interrupts it only leads to another sleep until the same moment.
pub fn sleep_until(moment: MonoNanos) {
    let request = Timespec {
        tv_sec: i64::try_from(moment.0 / NANOS_PER_SEC).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(moment.0 % NANOS_PER_SEC).unwrap_or(0),
    };
    while rustix::thread::clock_nanosleep_absolute(ClockId::Monotonic, &request)
        == Err(rustix::io::Errno::INTR)
    {}
}

/// Sets the timer slack of this thread to 1 ns, so that sleeps end as close to their moment as the kernel can.
///
/// The default slack of 50 us is added to every sleep of a thread that did not ask for less
/// (`prctl(2)`, `PR_SET_TIMERSLACK`). Returns whether the kernel accepted it.
pub fn sharpen_sleeps() -> bool {
    rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that was tied together 1 s after boot, at 1,000 s since the epoch.
    const CLOCK: Clock = Clock {
        anchor_mono: MonoNanos(NANOS_PER_SEC),
        anchor_wall: WallNanos(1_000 * NANOS_PER_SEC),
        step: None,
    };

    /// Looks once a second at a wall clock that is off by so much.
    fn largest_step_ns(drifts_ns: &[i64]) -> i64 {
        let mut watch = StepWatch {
            clock: CLOCK,
            last: (MonoNanos(0), 0),
            largest_ns: 0,
        };
        for (second, drift_ns) in (1..).zip(drifts_ns) {
            watch.note((MonoNanos(second * NANOS_PER_SEC), *drift_ns));
        }
        watch.largest_ns()
    }

    #[test]
    fn an_hour_forward_and_back_is_seen_although_nothing_is_left_of_it() {
        const HOUR_NS: i64 = 3_600_000_000_000;
        assert_eq!(largest_step_ns(&[0, HOUR_NS, HOUR_NS, 0]), HOUR_NS);
        assert_eq!(largest_step_ns(&[0, -HOUR_NS, 0]), -HOUR_NS);
    }

    #[test]
    fn a_clock_that_is_slewed_all_day_was_not_set() {
        let day: Vec<i64> = (0..86_400).map(|second| second * 400_000).collect();
        assert_eq!(largest_step_ns(&day), 0);
        assert_eq!(largest_step_ns(&[0, 4_000_000, 0]), 0);
    }

    #[test]
    fn a_settable_clock_is_seen_to_be_set() {
        static STEP: AtomicI64 = AtomicI64::new(0);
        let mut watch = StepWatch::new(Clock::start_settable(&STEP));
        watch.look();
        assert_eq!(watch.largest_ns(), 0);
        STEP.store(-3_600_000_000_000, Ordering::Relaxed);
        watch.look();
        assert!(watch.largest_ns() < -3_590_000_000_000);
    }

    #[test]
    fn a_step_of_the_wall_clock_is_seen_in_both_directions_and_bends_no_stamp() {
        let mono = MonoNanos(3 * NANOS_PER_SEC);
        let unstepped = 1_002 * NANOS_PER_SEC;
        for step_ns in [0, 1, -1, 5_000_000, -600_000_000_000] {
            let wall = WallNanos(unstepped.saturating_add_signed(step_ns));
            assert_eq!(CLOCK.drift_of(mono, wall), step_ns);
        }
        assert_eq!(CLOCK.wall_at(mono), WallNanos(unstepped));
    }

    #[test]
    fn moments_before_the_anchor_are_before_it_and_never_below_the_epoch() {
        assert_eq!(CLOCK.wall_at(MonoNanos(0)), WallNanos(999 * NANOS_PER_SEC));
        let young = Clock {
            anchor_wall: WallNanos(0),
            ..CLOCK
        };
        assert_eq!(young.wall_at(MonoNanos(0)), WallNanos(0));
    }
}
