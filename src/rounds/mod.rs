//! Game rounds: the messages that natsbench publishes and reads.
//!
//! The reader is lenient, because a pipeline in between may re-encode a round; the generator is exact, because the same
//! seed must give the same bytes.

mod extras;
mod games;
mod generator;
mod round;
mod text;

pub use extras::ExtrasForm;
pub use games::{Game, GameMix, MixError, Route, UnknownGame, subject_for};
pub use generator::{Generator, GeneratorConfig, Rendered, SizeTooSmall};
pub use round::{Round, RoundError};
