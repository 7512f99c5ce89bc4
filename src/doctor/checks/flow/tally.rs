//! What is heard, counted while it comes.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::clock::{MonoNanos, mono_now};
use crate::doctor::conversation::Heard;
use crate::subject::Pattern;
use crate::units::format_duration;

/// Most taken of everything else, in messages and in bytes: a busy broker is not to be burdened.
pub(super) const MAX_WIDE_MESSAGES: u64 = 20_000;
const MAX_WIDE_BYTES: u64 = 32 << 20;
/// Most different subjects remembered.
const MAX_SUBJECTS: usize = 2_000;
/// Most payloads kept of one subject.
const MAX_SAMPLES: usize = 5;
/// In a queue group, so many messages tell whether others take some.
const ENOUGH_IN_QUEUE: u64 = 5;

/// A payload as it came.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) subject: String,
    /// The beginning of it.
    pub(super) payload: Vec<u8>,
    pub(super) payload_bytes: usize,
    pub(super) has_headers: bool,
}

/// What came of one of the subjects.
#[derive(Debug, Clone)]
pub(super) struct Listened {
    pub(super) pattern: Pattern,
    /// The server does not let us subscribe, and what it says.
    pub(super) refusal: Option<String>,
    /// Messages that came to us.
    pub(super) n_own: u64,
    /// Messages that came to a subscription without queue group, if there was one.
    pub(super) n_plain: Option<u64>,
    /// From the subscription to the first message.
    pub(super) first_after: Option<Duration>,
    pub(super) samples: Vec<Sample>,
    sid: u64,
}

impl Listened {
    pub(super) fn is_silent(&self) -> bool {
        self.n_own == 0 && self.n_plain.unwrap_or(0) == 0
    }
}

/// How far the look beyond the subjects went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wide {
    /// It was not needed.
    NotNeeded,
    /// To `>`.
    Everything,
    /// `>` is not allowed; to these.
    Some(Vec<String>),
    /// Nowhere, and why.
    Nowhere(String),
}

/// What was heard.
#[derive(Debug, Clone)]
pub(crate) struct Sound {
    pub(super) subjects: Vec<Listened>,
    pub(super) wide: Wide,
    /// Messages by subject that belong to none of ours.
    pub(super) elsewhere: Vec<(String, u64)>,
    /// There was more elsewhere than was listened to.
    pub(super) is_cut: bool,
    /// How long it lasted.
    pub(super) took: Duration,
    /// The connection ended, and how.
    pub(super) lost: Option<String>,
    /// Number of the second connection.
    pub(super) wide_cid: Option<u64>,
}

impl Sound {
    /// How long it lasted, for people.
    pub(super) fn took_text(&self) -> String {
        const STEP_MS: u64 = 50;
        let millis = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        let rounded = millis.saturating_add(STEP_MS / 2) / STEP_MS * STEP_MS;
        format_duration(Duration::from_millis(rounded))
    }
}

/// The messages until now.
pub(super) struct Tally {
    subjects: Vec<Listened>,
    /// By subscription: what of each of our subjects it heard. Subscriptions may overlap, so that only the one that
    /// heard most counts.
    plain: HashMap<(usize, u64), u64>,
    elsewhere: HashMap<(u64, String), u64>,
    is_cut: bool,
    n_wide: u64,
    wide_bytes: u64,
    begun: MonoNanos,
    has_queue: bool,
}

impl Tally {
    pub(super) fn new(has_queue: bool) -> Self {
        Self {
            subjects: Vec::new(),
            plain: HashMap::new(),
            elsewhere: HashMap::new(),
            is_cut: false,
            n_wide: 0,
            wide_bytes: 0,
            begun: mono_now(),
            has_queue,
        }
    }

    pub(super) fn add(&mut self, pattern: Pattern, sid: u64) {
        self.subjects.push(Listened {
            pattern,
            refusal: None,
            n_own: 0,
            n_plain: None,
            first_after: None,
            samples: Vec::new(),
            sid,
        });
    }

    /// The server does not let us subscribe to the subject that was added last.
    pub(super) fn refuse_last(&mut self, error: &str) {
        if let Some(subject) = self.subjects.last_mut() {
            subject.refusal = Some(error.to_owned());
        }
    }

    pub(super) fn begun(&self) -> MonoNanos {
        self.begun
    }

    pub(super) fn patterns(&self) -> Vec<Pattern> {
        let subjects = self.subjects.iter();
        subjects.map(|subject| subject.pattern.clone()).collect()
    }

    pub(super) fn sids(&self) -> Vec<u64> {
        self.subjects.iter().map(|subject| subject.sid).collect()
    }

    /// What came of it all.
    pub(super) fn into_sound(
        self,
        wide: Wide,
        wide_cid: Option<u64>,
        lost: Option<String>,
    ) -> Sound {
        let is_wide = wide_cid.is_some() && !matches!(wide, Wide::Nowhere(_));
        let mut subjects = self.subjects.clone();
        for (idx, subject) in subjects.iter_mut().enumerate() {
            subject.n_plain = is_wide.then(|| self.n_plain(idx));
        }
        Sound {
            subjects,
            wide,
            elsewhere: self.elsewhere(),
            is_cut: self.is_cut,
            took: Duration::from_nanos(mono_now().since(self.begun)),
            lost,
            wide_cid,
        }
    }

    /// A message to us.
    pub(super) fn own(&mut self, heard: &Heard) {
        let begun = self.begun;
        let Some(subject) = self
            .subjects
            .iter_mut()
            .find(|subject| subject.sid == heard.sid)
        else {
            return;
        };
        subject.n_own += 1;
        subject
            .first_after
            .get_or_insert_with(|| Duration::from_nanos(mono_now().since(begun)));
        if subject.samples.len() < MAX_SAMPLES {
            subject.samples.push(Sample {
                subject: heard.subject.clone(),
                payload: heard.payload.clone(),
                payload_bytes: heard.payload_bytes,
                has_headers: heard.headers.is_some(),
            });
        }
    }

    /// A message to the second connection.
    pub(super) fn wide(&mut self, heard: &Heard) {
        self.n_wide += 1;
        let bytes = u64::try_from(heard.payload_bytes).unwrap_or(u64::MAX);
        self.wide_bytes = self.wide_bytes.saturating_add(bytes);
        if self.is_full() {
            self.is_cut = true;
        }
        let mut is_ours = false;
        for (idx, subject) in self.subjects.iter().enumerate() {
            if subject.pattern.matches(&heard.subject) {
                is_ours = true;
                *self.plain.entry((idx, heard.sid)).or_default() += 1;
            }
        }
        if is_ours {
            return;
        }
        let key = (heard.sid, heard.subject.clone());
        if self.elsewhere.len() < MAX_SUBJECTS || self.elsewhere.contains_key(&key) {
            *self.elsewhere.entry(key).or_default() += 1;
        } else {
            self.is_cut = true;
        }
    }

    /// Whether the second connection has heard all that it may.
    pub(super) fn is_full(&self) -> bool {
        self.n_wide >= MAX_WIDE_MESSAGES || self.wide_bytes >= MAX_WIDE_BYTES
    }

    fn n_plain(&self, idx: usize) -> u64 {
        let counts = self.plain.iter();
        let counts = counts.filter_map(|((of, _), n)| (*of == idx).then_some(*n));
        counts.max().unwrap_or(0)
    }

    /// Whether more would tell nothing more.
    pub(super) fn is_enough(&self) -> bool {
        self.subjects.iter().enumerate().all(|(idx, subject)| {
            let is_heard = if self.has_queue {
                self.n_plain(idx).max(subject.n_own) >= ENOUGH_IN_QUEUE
            } else {
                subject.n_own > 0
            };
            is_heard || subject.refusal.is_some()
        })
    }

    pub(super) fn control(&self) -> ControlFlow<()> {
        if self.is_enough() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn elsewhere(&self) -> Vec<(String, u64)> {
        let mut most: HashMap<&str, u64> = HashMap::new();
        for ((_, subject), n) in &self.elsewhere {
            let known = most.entry(subject).or_default();
            *known = (*n).max(*known);
        }
        let mut all: Vec<(String, u64)> = most
            .into_iter()
            .map(|(subject, n)| (subject.to_owned(), n))
            .collect();
        all.sort_by(|(left, n_left), (right, n_right)| n_right.cmp(n_left).then(left.cmp(right)));
        all
    }
}
