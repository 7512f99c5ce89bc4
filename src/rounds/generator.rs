//! The seeded generator: same configuration, same bytes.
//!
//! Times do not come from a clock but advance from a fixed moment, so that a seed gives the same rounds on any day.
//! Rounds are written into one buffer by hand: at a million messages a second, `format!` would cost more than
//! everything else that a publisher does.

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng as _, SeedableRng as _};

use super::extras::{self, ExtrasForm};
use super::games::{Game, GameMix};
use super::text::{Calendar, push_number};

/// 2024-01-15T10:30:00Z, when every first round starts.
const FIRST_START_S: u64 = 1_705_314_600;
/// Identifiers wrap here, so that the largest round has a known size.
const ID_LIMIT: u64 = 10_000_000_000;
/// The first `round_id`; ids begin at 1.
const FIRST_ROUND_ID: u64 = 67_890;
/// Shortest and longest round, in seconds.
const ROUND_SECS: std::ops::Range<u64> = 5..35;
/// What a filler costs beside its content.
const PAD_BEFORE: &[u8] = b",\"pad\":\"";
const PAD_AFTER: &[u8] = b"\"";

/// What to generate.
#[derive(Debug, Clone)]
pub struct GeneratorConfig {
    /// Same seed, same rounds.
    pub seed: u64,
    /// Which games.
    pub mix: GameMix,
    /// How `extras` is written.
    pub extras: ExtrasForm,
    /// Exact size of every message, tail included.
    pub size_bytes: Option<usize>,
    /// What ends every message, closing brace included. Its content is the caller's business.
    pub tail: Vec<u8>,
}

/// A size that some round would not fit into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a message of {asked_bytes} bytes is too small: the smallest for these games is {smallest_bytes} bytes"
)]
pub struct SizeTooSmall {
    /// What was asked for.
    pub asked_bytes: usize,
    /// What is possible.
    pub smallest_bytes: usize,
}

/// One message; the caller may overwrite the tail in place.
#[derive(Debug)]
pub struct Rendered<'a> {
    /// Which game it is.
    pub game: Game,
    /// The whole payload.
    pub bytes: &'a mut [u8],
}

/// The generator.
#[derive(Debug)]
pub struct Generator {
    config: GeneratorConfig,
    rng: Pcg64Mcg,
    calendar: Calendar,
    n_rounds: u64,
    start_s: u64,
    buffer: Vec<u8>,
}

impl Generator {
    /// A generator at its first round.
    ///
    /// # Errors
    /// A size that the largest round of the mix does not fit into.
    pub fn new(config: GeneratorConfig) -> Result<Self, SizeTooSmall> {
        let smallest_bytes = Self::smallest_bytes(&config);
        match config.size_bytes {
            Some(asked_bytes) if asked_bytes < smallest_bytes => Err(SizeTooSmall {
                asked_bytes,
                smallest_bytes,
            }),
            _ => Ok(Self {
                rng: Pcg64Mcg::seed_from_u64(config.seed),
                calendar: Calendar::default(),
                n_rounds: 0,
                start_s: FIRST_START_S,
                buffer: Vec::with_capacity(config.size_bytes.unwrap_or(512)),
                config,
            }),
        }
    }

    /// The smallest size that every round of the configuration can have.
    pub fn smallest_bytes(config: &GeneratorConfig) -> usize {
        let largest = |game: Game| {
            let mut buffer = Vec::new();
            let mut calendar = Calendar::default();
            let head = Head {
                id: ID_LIMIT - 1,
                round_id: ID_LIMIT - 1,
                start_s: FIRST_START_S,
                length_s: 1,
            };
            push_head(&mut buffer, &mut calendar, game, &head);
            buffer.len() + extras::largest_bytes(game, config.extras)
        };
        let natural = config.mix.games().map(largest).max().unwrap_or(0);
        natural + PAD_BEFORE.len() + PAD_AFTER.len() + config.tail.len()
    }

    /// The next round.
    #[inline]
    pub fn next_round(&mut self) -> Rendered<'_> {
        // One draw for the game and one for its outcome, whatever the game: streams of different mixes stay comparable.
        let (choice, outcome) = (self.rng.next_u64(), self.rng.next_u64());
        let game = self.config.mix.pick((choice >> 32) as u32);
        let length_s = ROUND_SECS.start + (choice & 0xFFFF) % (ROUND_SECS.end - ROUND_SECS.start);
        let head = Head {
            id: (1 + self.n_rounds) % ID_LIMIT,
            round_id: (FIRST_ROUND_ID + self.n_rounds) % ID_LIMIT,
            start_s: self.start_s,
            length_s,
        };
        self.buffer.clear();
        push_head(&mut self.buffer, &mut self.calendar, game, &head);
        extras::push(&mut self.buffer, game, self.config.extras, outcome);
        if let Some(size_bytes) = self.config.size_bytes {
            let content_end = size_bytes - self.config.tail.len() - PAD_AFTER.len();
            self.buffer.extend_from_slice(PAD_BEFORE);
            self.buffer.resize(content_end, b'x');
            self.buffer.extend_from_slice(PAD_AFTER);
        }
        self.buffer.extend_from_slice(&self.config.tail);
        self.n_rounds += 1;
        self.start_s += 1;
        Rendered {
            game,
            bytes: &mut self.buffer,
        }
    }
}

/// What every round begins with.
struct Head {
    id: u64,
    round_id: u64,
    start_s: u64,
    length_s: u64,
}

#[inline]
fn push_head(out: &mut Vec<u8>, calendar: &mut Calendar, game: Game, head: &Head) {
    out.extend_from_slice(b"{\"id\":");
    push_number(out, head.id);
    // In each arm a copy of its own: one of known length needs no call.
    match game {
        Game::Crash => out.extend_from_slice(
            b",\"game_slug\":\"crash\",\"game_type\":\"multiplier\",\"round_id\":",
        ),
        Game::Double => out
            .extend_from_slice(b",\"game_slug\":\"double\",\"game_type\":\"color\",\"round_id\":"),
        Game::WallStreet => out.extend_from_slice(
            b",\"game_slug\":\"wall-street\",\"game_type\":\"trending\",\"round_id\":",
        ),
        Game::Slot => {
            out.extend_from_slice(b",\"game_slug\":\"slot\",\"game_type\":\"slots\",\"round_id\":");
        }
    }
    push_number(out, head.round_id);
    out.extend_from_slice(b",\"started_at\":\"");
    calendar.push_time(out, head.start_s);
    out.extend_from_slice(b"\",\"finished_at\":\"");
    calendar.push_time(out, head.start_s + head.length_s);
    out.extend_from_slice(b"\",\"extras\":");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rounds::Round;
    use proptest::prelude::*;

    fn config(seed: u64, extras: ExtrasForm, size_bytes: Option<usize>) -> GeneratorConfig {
        GeneratorConfig {
            seed,
            mix: GameMix::default(),
            extras,
            size_bytes,
            tail: b"}".to_vec(),
        }
    }

    #[test]
    fn the_first_round_is_as_documented() {
        let mut plain = config(1, ExtrasForm::Object, None);
        plain.mix = "crash".parse().unwrap();
        let mut generator = Generator::new(plain).unwrap();
        let text = String::from_utf8(generator.next_round().bytes.to_vec()).unwrap();
        let expected = "{\"id\":1,\"game_slug\":\"crash\",\"game_type\":\"multiplier\",\"round_id\":67890,\
                        \"started_at\":\"2024-01-15T10:30:00Z\",\"finished_at\":\"2024-01-15T10:30:";
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn a_size_that_is_too_small_is_refused_with_the_smallest() {
        let error = Generator::new(config(1, ExtrasForm::Object, Some(10))).unwrap_err();
        assert!(Generator::new(config(1, ExtrasForm::Object, Some(error.smallest_bytes))).is_ok());
        assert!(
            Generator::new(config(
                1,
                ExtrasForm::Object,
                Some(error.smallest_bytes - 1)
            ))
            .is_err()
        );
    }

    #[test]
    fn all_games_of_the_mix_occur_and_no_other() {
        let mut some = config(1, ExtrasForm::Object, None);
        some.mix = "slot,double".parse().unwrap();
        let mut generator = Generator::new(some).unwrap();
        let games: Vec<Game> = (0..100).map(|_| generator.next_round().game).collect();
        assert!(games.contains(&Game::Slot) && games.contains(&Game::Double));
        assert!(
            games
                .iter()
                .all(|game| matches!(game, Game::Slot | Game::Double))
        );
    }

    proptest! {
        #[test]
        fn the_same_seed_gives_the_same_bytes(seed in any::<u64>()) {
            let mut left = Generator::new(config(seed, ExtrasForm::Object, None)).unwrap();
            let mut right = Generator::new(config(seed, ExtrasForm::Object, None)).unwrap();
            for _ in 0..50 {
                prop_assert_eq!(&left.next_round().bytes[..], &right.next_round().bytes[..]);
            }
        }

        #[test]
        fn every_message_is_a_round_of_its_game(seed in any::<u64>(), is_string in any::<bool>()) {
            let form = if is_string { ExtrasForm::JsonString } else { ExtrasForm::Object };
            let mut generator = Generator::new(config(seed, form, None)).unwrap();
            for _ in 0..100 {
                let rendered = generator.next_round();
                let round = Round::from_json(rendered.bytes).unwrap();
                prop_assert_eq!(&round.game_slug, rendered.game.slug());
                prop_assert_eq!(&round.game_type, rendered.game.game_type());
                prop_assert!(round.extras.is_object());
            }
        }

        #[test]
        fn every_message_has_exactly_the_size_asked_for(seed in any::<u64>(), extra in 0_usize..600, is_string in any::<bool>()) {
            let form = if is_string { ExtrasForm::JsonString } else { ExtrasForm::Object };
            let size_bytes = Generator::smallest_bytes(&config(0, form, None)) + extra;
            let mut generator = Generator::new(config(seed, form, Some(size_bytes))).unwrap();
            for _ in 0..50 {
                let rendered = generator.next_round();
                prop_assert_eq!(rendered.bytes.len(), size_bytes);
                prop_assert!(Round::from_json(rendered.bytes).is_ok());
            }
        }
    }
}
