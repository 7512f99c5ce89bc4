//! Facts about the machine the run is on: what it is, and what it did to us while we measured.
//!
//! Reading and parsing are split: `parse` is pure text in, numbers out; `facts` and `sample` read `/proc` and
//! `/sys`. Whatever a machine does not tell is `None`, never zero: a container often hides half of this.

mod facts;
mod hiccup;
mod listeners;
mod parse;
mod sample;
mod zone;

pub use facts::HostFacts;
pub use hiccup::{HiccupMeter, HiccupReport};
pub use listeners::{Listener, Listeners, Process, is_container, is_own_address};
pub use sample::{HostDelta, HostSample};
pub use zone::utc_offsets;
