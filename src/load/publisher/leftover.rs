//! Messages that were rendered, and not handed to the connection that broke. What is in a batch is not written down while it
//! is rendered, but read back from it: connections break seldom, and messages are many.

use crate::load::streams::Stream;
use crate::net::direct::Unhanded;

/// A message in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Message {
    stream_idx: usize,
    /// One past its last byte.
    end: usize,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Leftover {
    operations: Vec<u8>,
    stream_idxs: Vec<usize>,
}

impl Leftover {
    /// The whole messages that the connection was not given, and the one that it was given only a part of.
    pub(super) fn of(unhanded: &Unhanded, streams: &[Stream]) -> Self {
        let mut leftover = Self::default();
        let mut start = 0;
        while let Some(message) = message_at(&unhanded.operations, start, streams) {
            if message.end > unhanded.offset {
                let operation = &unhanded.operations[start..message.end];
                leftover.operations.extend_from_slice(operation);
                leftover.stream_idxs.push(message.stream_idx);
            }
            start = message.end;
        }
        leftover
    }

    pub(super) fn is_empty(&self) -> bool {
        self.stream_idxs.is_empty()
    }

    pub(super) fn operations(&self) -> &[u8] {
        &self.operations
    }

    /// Of each message.
    pub(super) fn stream_idxs(&self) -> impl Iterator<Item = usize> + '_ {
        self.stream_idxs.iter().copied()
    }
}

/// The message of one of the streams that begins here: `PUB subject size`, CR LF, and that many bytes with CR LF behind them.
/// Behind the messages of a batch comes a PING or nothing, and the last message of a run is of no stream.
fn message_at(operations: &[u8], start: usize, streams: &[Stream]) -> Option<Message> {
    let rest = operations.get(start..)?;
    let stream_idx = streams
        .iter()
        .position(|stream| rest.starts_with(&stream.prefix))?;
    let size_start = streams[stream_idx].prefix.len();
    let size_bytes = rest[size_start..].iter().position(|byte| *byte == b'\r')?;
    let size = std::str::from_utf8(&rest[size_start..size_start + size_bytes]).ok()?;
    let size: usize = size.parse().ok()?;
    let end = start + size_start + size_bytes + 2 + size + 2;
    (end <= operations.len()).then_some(Message { stream_idx, end })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::load::streams::streams_of;
    use crate::protocol::encode;

    proptest! {
        #[test]
        fn messages_are_read_back_from_where_the_connection_ended(
            messages in proptest::collection::vec((0_usize..8, "[PUB a-z0-9.\r\n]{0,40}"), 0..20),
            has_ping in any::<bool>(),
            taken in any::<proptest::sample::Index>(),
        ) {
            let streams = streams_of("a");
            let mut operations = Vec::new();
            let mut ends = Vec::new();
            for (stream_idx, payload) in &messages {
                encode::append_publish(&mut operations, &streams[*stream_idx].prefix, payload.as_bytes());
                ends.push(operations.len());
            }
            if has_ping {
                encode::ping(&mut operations);
            }
            let offset = taken.index(operations.len() + 1);
            let n_handed = ends.iter().filter(|end| **end <= offset).count();
            let begin = n_handed.checked_sub(1).map_or(0, |last| ends[last]);
            let rest = operations[begin..ends.last().copied().unwrap_or(0)].to_vec();

            let leftover = Leftover::of(&Unhanded { operations, offset }, &streams);

            prop_assert_eq!(leftover.operations(), rest);
            let expected: Vec<_> = messages[n_handed..].iter().map(|(idx, _)| *idx).collect();
            prop_assert_eq!(leftover.stream_idxs().collect::<Vec<_>>(), expected);
            prop_assert_eq!(leftover.is_empty(), n_handed == messages.len());
        }
    }

    #[test]
    fn the_last_message_of_a_run_is_of_no_stream() {
        let mut operations = Vec::new();
        encode::append_publish(
            &mut operations,
            &encode::publish_prefix("_NATSBENCH.end.1"),
            b"{}",
        );
        let unhanded = Unhanded {
            operations,
            offset: 0,
        };
        assert!(Leftover::of(&unhanded, &streams_of("rounds")).is_empty());
    }
}
