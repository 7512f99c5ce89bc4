//! What the fake broker does wrong, and when: plain data, and one function that decides over each message.
//!
//! Faults happen at message numbers, never at times, so that they hit the same message on every machine. Numbers count
//! the published rounds (not control messages) of all connections from 0.

use std::time::Duration;

use super::Cut;

/// A published message.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    /// Subject.
    pub(crate) subject: String,
    /// Payload.
    pub(crate) payload: Vec<u8>,
}

/// What a connection gets instead of a proper beginning.
#[derive(Debug, Clone)]
pub(crate) enum Greeting {
    /// The upgrade, and INFO.
    Proper,
    /// These bytes in place of an answer to the upgrade; then the connection is closed.
    Bytes(Vec<u8>),
    /// The beginning of an answer, and then this line again and again until the client has had enough.
    Endless(&'static str),
    /// The upgrade, and these bytes in place of INFO.
    Nats(Vec<u8>),
    /// The upgrade, and these bytes, which need not be a whole frame; then the connection is closed.
    Frames(Vec<u8>),
}

/// Whose connections a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Of the one who has published the message. The message is still taken, and nothing behind it.
    Publisher,
    /// Of all who have a subscription. They do not get the message any more.
    Subscribers,
    /// Of one of them: the nth, in the order in which they came, counted round and round.
    Subscriber(usize),
    /// Of both.
    All,
}

/// What happens to a connection.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// It ends without a word.
    Cut(Cut),
    /// It ends in the middle of a frame.
    CutInMidFrame,
    /// It ends with a close frame that has this payload: a code in two bytes and a reason, or nothing.
    Close(Vec<u8>),
    /// It gets these lines, whatever they are.
    Lines(&'static str),
    /// It gets what is no operation of NATS. Its client ends it, and does not hear what comes behind.
    Nonsense,
    /// Its PINGs are not answered any more.
    Mute,
}

impl Fault {
    /// A close frame with a code and a reason.
    pub(crate) fn close(code: u16, reason: &str) -> Self {
        Self::Close([&code.to_be_bytes(), reason.as_bytes()].concat())
    }
}

/// Logins that are refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    pub(super) from: u64,
    pub(super) n_left: u64,
    pub(super) reason: &'static str,
}

/// New connections that are closed before a word was said.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClosedDoor {
    pub(super) from: u64,
    pub(super) n_left: u64,
}

/// What becomes of message `k`.
type Fate = Box<dyn FnMut(u64, Published) -> Vec<Published> + Send>;

/// What goes wrong.
pub(crate) struct Script {
    pub(super) greeting: Greeting,
    pub(super) fate: Fate,
    pub(super) reading_stops: Option<(u64, Duration)>,
    pub(super) delivery_stops: Option<(u64, Duration)>,
    pub(super) faults: Vec<(u64, Whom, Fault)>,
    pub(super) refusals: Vec<Refusal>,
    pub(super) closed_doors: Vec<ClosedDoor>,
    pub(super) n_unprocessed: usize,
    pub(super) pongs_end_at: Option<u64>,
    pub(super) n_pings: usize,
    pub(super) is_end_dropped: bool,
    pub(super) is_deaf: bool,
    pub(super) is_confirmed: bool,
}

impl Script {
    /// Nothing goes wrong.
    pub(crate) fn new() -> Self {
        Self {
            greeting: Greeting::Proper,
            fate: Box::new(|_, published| vec![published]),
            reading_stops: None,
            delivery_stops: None,
            faults: Vec::new(),
            refusals: Vec::new(),
            closed_doors: Vec::new(),
            n_unprocessed: 0,
            pongs_end_at: None,
            n_pings: 0,
            is_end_dropped: false,
            is_deaf: false,
            is_confirmed: false,
        }
    }

    /// How a connection begins.
    pub(crate) fn greeting(mut self, greeting: Greeting) -> Self {
        self.greeting = greeting;
        self
    }

    /// What is delivered for message `k`: nothing, itself, something else, several.
    pub(crate) fn fate(
        mut self,
        fate: impl FnMut(u64, Published) -> Vec<Published> + Send + 'static,
    ) -> Self {
        self.fate = Box::new(fate);
        self
    }

    /// At message `k`, nothing more is read from its publisher for a while.
    pub(crate) fn stop_reading(mut self, k: u64, length: Duration) -> Self {
        self.reading_stops = Some((k, length));
        self
    }

    /// From message `k` on, nothing is delivered for a while; then everything is.
    pub(crate) fn stop_delivering(mut self, k: u64, length: Duration) -> Self {
        self.delivery_stops = Some((k, length));
        self
    }

    /// At message `k`, this happens to these connections. Further calls add further faults.
    pub(crate) fn at(mut self, k: u64, whom: Whom, fault: Fault) -> Self {
        self.faults.push((k, whom, fault));
        self
    }

    /// Message `k` is cut off in the middle of its frame, and so is the connection of its subscriber.
    pub(crate) fn cut_in_mid_frame(self, k: u64) -> Self {
        self.at(k, Whom::Subscribers, Fault::CutInMidFrame)
    }

    /// At message `k`, its publisher and all subscribers get these lines, whatever they are.
    pub(crate) fn inject(self, k: u64, lines: &'static str) -> Self {
        self.at(k, Whom::All, Fault::Lines(lines))
    }

    /// Once `k` messages were published, the next so many logins are refused with this `-ERR`. Further calls add further
    /// refusals.
    pub(crate) fn refuse_logins(mut self, k: u64, n_logins: u64, reason: &'static str) -> Self {
        self.refusals.push(Refusal {
            from: k,
            n_left: n_logins,
            reason,
        });
        self
    }

    /// Once `k` messages were published, the next so many connections are closed as soon as they are there. Further calls
    /// add further ones.
    pub(crate) fn close_doors(mut self, k: u64, n_connections: u64) -> Self {
        self.closed_doors.push(ClosedDoor {
            from: k,
            n_left: n_connections,
        });
        self
    }

    /// Every delivery is followed by a PING, so that its answer tells that the message was read. Not to be had together with
    /// other pings.
    pub(crate) fn confirm_deliveries(mut self) -> Self {
        self.is_confirmed = true;
        self
    }

    /// Of each connection, the last so many messages are accepted and not yet processed, and lost when the broker ends the
    /// connection. A PING is answered when all before it are processed.
    pub(crate) fn lose_unprocessed(mut self, n_messages: usize) -> Self {
        self.n_unprocessed = n_messages;
        self
    }

    /// No PING is answered once `k` messages were published.
    pub(crate) fn end_pongs(mut self, k: u64) -> Self {
        self.pongs_end_at = Some(k);
        self
    }

    /// From the first published message on, every write begins with so many PINGs.
    pub(crate) fn ping(mut self, n_pings: usize) -> Self {
        self.n_pings = n_pings;
        self
    }

    /// Once a subscriber has subscribed, nothing more is read from it.
    pub(crate) fn deaf_to_subscribers(mut self) -> Self {
        self.is_deaf = true;
        self
    }

    /// The end-of-run message never arrives.
    pub(crate) fn drop_end_of_run(mut self) -> Self {
        self.is_end_dropped = true;
        self
    }
}
