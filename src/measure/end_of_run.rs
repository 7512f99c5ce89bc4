//! The end-of-run message: how a subscriber in another process learns how much was sent.
//!
//! It goes to a control subject of its own, because a further message on the subjects of the rounds would disturb
//! clients that read rounds. Each publisher sends it on the connection of its rounds, after the last of them, so
//! that the broker delivers it behind them. Without it the tail of a stream is unknown, not lost.

use serde::{Deserialize, Serialize};

use crate::measure::stamp::RunId;

/// What all end-of-run subjects begin with; the run id follows as one more token.
pub const SUBJECT_PREFIX: &str = "_NATSBENCH.end";
/// The pattern that gets the end-of-run messages of all runs.
pub const PATTERN: &str = "_NATSBENCH.end.*";
/// Most ranges in doubt that are told of one stream: the message has to fit into a payload.
pub const MAX_DOUBTS: usize = 200;
/// Version of the message.
const SCHEMA: &str = "natsbench.end/1";

/// What one publisher has sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndOfRun {
    schema: String,
    run: u32,
    /// Publisher number.
    pub publisher: u16,
    /// Wall time of the first due round, in nanoseconds since the epoch: a subscriber that was there before it missed
    /// nothing at the beginning.
    pub started_ns: u64,
    /// What was sent to each subject.
    pub streams: Vec<StreamEnd>,
}

/// What one publisher has sent to one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamEnd {
    /// Stream number, as in the stamp.
    pub stream: u8,
    /// Subject.
    pub subject: String,
    /// Messages.
    pub n_sent: u64,
    /// Numbers of which the publisher does not know whether the broker has had them: the first, and one past the last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_doubt: Vec<(u64, u64)>,
}

impl EndOfRun {
    /// The message of one publisher.
    pub fn new(run: RunId, publisher: u16, started_ns: u64, streams: Vec<StreamEnd>) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            run: run.0,
            publisher,
            started_ns,
            streams,
        }
    }

    /// Which run ended.
    pub fn run(&self) -> RunId {
        RunId(self.run)
    }

    /// The subject that the message goes to.
    pub fn subject(&self) -> String {
        format!("{SUBJECT_PREFIX}.{:08x}", self.run)
    }

    /// The payload.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a plain struct of numbers and strings is always JSON")
    }

    /// Reads a payload; `None` if it is no end-of-run message of a version that we know.
    pub fn from_json(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload)
            .ok()
            .filter(|message: &Self| message.schema == SCHEMA)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let stream = StreamEnd {
            stream: 1,
            subject: "rounds.type.color".to_owned(),
            n_sent: 7,
            in_doubt: vec![(3, 5)],
        };
        let message = EndOfRun::new(RunId(0xab), 2, 5, vec![stream]);
        assert_eq!(message.subject(), "_NATSBENCH.end.000000ab");
        assert_eq!(EndOfRun::from_json(&message.to_json()), Some(message));
    }

    #[test]
    fn other_messages_are_not_taken_for_it() {
        assert_eq!(EndOfRun::from_json(b"{}"), None);
        assert_eq!(EndOfRun::from_json(b"\xff"), None);
        let future =
            br#"{"schema":"natsbench.end/2","run":1,"publisher":0,"started_ns":0,"streams":[]}"#;
        assert_eq!(EndOfRun::from_json(future), None);
    }

    prop_compose! {
        fn any_stream()(stream in any::<u8>(), subject in "\\PC{0,20}", n_sent in any::<u64>(), in_doubt in prop::collection::vec(any::<(u64, u64)>(), 0..3)) -> StreamEnd {
            StreamEnd { stream, subject, n_sent, in_doubt }
        }
    }

    proptest! {
        #[test]
        fn any_message_is_read_back(
            run in any::<u32>(), publisher in any::<u16>(), started_ns in any::<u64>(),
            streams in prop::collection::vec(any_stream(), 0..20),
        ) {
            let message = EndOfRun::new(RunId(run), publisher, started_ns, streams);
            prop_assert_eq!(message.run(), RunId(run));
            let subject = message.subject();
            prop_assert!(PATTERN.parse::<crate::subject::Pattern>().unwrap().matches(&subject), "{}", subject);
            prop_assert_eq!(EndOfRun::from_json(&message.to_json()), Some(message));
        }

        #[test]
        fn a_damaged_message_never_panics_and_a_cut_one_is_none(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let message = EndOfRun::new(RunId(7), 1, 5, vec![StreamEnd { stream: 0, subject: "a".to_owned(), n_sent: 3, in_doubt: Vec::new() }]);
            let mut json = message.to_json();
            let at = at.index(json.len());
            json[at] = byte;
            if let Some(read) = EndOfRun::from_json(&json) {
                prop_assert_eq!(read.schema, SCHEMA);
            }
            let cut = &message.to_json()[..at];
            prop_assert_eq!(EndOfRun::from_json(cut), None);
        }
    }
}
