//! From what was measured to a result: counts put side by side, objectives judged, doubts named.
//!
//! - `latency`, `publish`, `subscribe`: the result of each command.
//! - `doubts`: what speaks against taking the numbers at face value.
//! - `verdict`: what a run is worth.
//! - `parts`: the parts that results share.

mod doubts;
mod latency;
mod parts;
mod publish;
mod subscribe;
mod verdict;

pub use latency::{of_latency, of_latency_so_far};
pub use publish::of_publish;
pub use subscribe::of_subscribe;
