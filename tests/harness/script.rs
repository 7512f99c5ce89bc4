//! What the fake broker does wrong, and when: plain data, and one function that decides over each message.
//!
//! Faults happen at message numbers, never at times, so that they hit the same message on every machine. Numbers count
//! the published rounds (not control messages) of all connections from 0.

use std::time::Duration;

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

/// What becomes of message `k`.
type Fate = Box<dyn FnMut(u64, Published) -> Vec<Published> + Send>;

/// What goes wrong.
pub(crate) struct Script {
    pub(super) greeting: Greeting,
    pub(super) fate: Fate,
    pub(super) reading_stops: Option<(u64, Duration)>,
    pub(super) delivery_stops: Option<(u64, Duration)>,
    pub(super) cut_at: Option<u64>,
    pub(super) injection: Option<(u64, &'static str)>,
    pub(super) pongs_end_at: Option<u64>,
    pub(super) n_pings: usize,
    pub(super) is_end_dropped: bool,
    pub(super) is_deaf: bool,
}

impl Script {
    /// Nothing goes wrong.
    pub(crate) fn new() -> Self {
        Self {
            greeting: Greeting::Proper,
            fate: Box::new(|_, published| vec![published]),
            reading_stops: None,
            delivery_stops: None,
            cut_at: None,
            injection: None,
            pongs_end_at: None,
            n_pings: 0,
            is_end_dropped: false,
            is_deaf: false,
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

    /// Message `k` is cut off in the middle of its frame, and so is the connection of its subscriber.
    pub(crate) fn cut_in_mid_frame(mut self, k: u64) -> Self {
        self.cut_at = Some(k);
        self
    }

    /// At message `k`, its publisher and all subscribers get these lines, whatever they are.
    pub(crate) fn inject(mut self, k: u64, lines: &'static str) -> Self {
        self.injection = Some((k, lines));
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
