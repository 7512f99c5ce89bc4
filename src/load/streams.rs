//! What a publisher publishes: its rounds, and the subjects that they go to. Each subject is a stream with sequence numbers
//! of its own; the index in the list of streams is the stream number of the stamp.

use crate::load::plan::RoundsPlan;
use crate::measure::stamp;
use crate::protocol::encode;
use crate::rounds::{Game, Generator, GeneratorConfig, Route, SizeTooSmall, subject_for};

/// One subject that a publisher sends to.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) subject: String,
    /// `PUB subject `, rendered once.
    pub(crate) prefix: Vec<u8>,
    pub(crate) n_sent: u64,
}

/// Sent messages of one publisher to one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSent {
    /// Publisher number.
    pub publisher: u16,
    /// Stream number, as in the stamp.
    pub stream: u8,
    /// Subject.
    pub subject: String,
    /// Messages handed to the kernel (or the client library).
    pub n_sent: u64,
}

/// The streams of a plan, in stream order.
pub(crate) fn streams_of(prefix: &str) -> Vec<Stream> {
    Game::ALL
        .iter()
        .flat_map(|game| [false, true].map(|is_type| subject_for(prefix, *game, is_type)))
        .map(|subject| Stream {
            prefix: encode::publish_prefix(&subject),
            subject,
            n_sent: 0,
        })
        .collect()
}

/// The generator configuration of publisher `idx`: each has its own rounds, publisher 0 those of the plain seed.
fn generator_config(plan: &RoundsPlan, idx: u16) -> GeneratorConfig {
    GeneratorConfig {
        seed: plan
            .seed
            .wrapping_add(u64::from(idx).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        mix: plan.games.clone(),
        extras: plan.extras,
        size_bytes: plan.size_bytes,
        tail: if plan.is_stamped {
            stamp::PLACEHOLDER_TAIL.to_vec()
        } else {
            b"}".to_vec()
        },
    }
}

/// Makes the generator of publisher `idx`.
///
/// # Errors
/// When the plan's size is smaller than the smallest round.
pub fn generator_of(plan: &RoundsPlan, idx: u16) -> Result<Generator, SizeTooSmall> {
    Generator::new(generator_config(plan, idx))
}

/// The stream numbers that a round goes to.
pub(crate) fn stream_idxs(game: Game, route: Route) -> std::ops::RangeInclusive<usize> {
    let first = Game::ALL
        .iter()
        .position(|candidate| *candidate == game)
        .unwrap_or(0)
        * 2;
    match route {
        Route::Game => first..=first,
        Route::Type => first + 1..=first + 1,
        Route::Both => first..=first + 1,
    }
}

/// Whether a message of this stream is the first one of its round, or the only one.
pub(crate) fn is_first_of_round(stream_idx: usize, route: Route) -> bool {
    match route {
        Route::Both => stream_idx.is_multiple_of(2),
        Route::Game | Route::Type => true,
    }
}

/// The subjects that a round goes to.
pub fn subjects_of(prefix: &str, game: Game, route: Route) -> Vec<String> {
    stream_idxs(game, route)
        .map(|idx| subject_for(prefix, game, idx % 2 == 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::measure::stamp::{Origin, Phase, RunId, Stamp};
    use crate::rounds::{ExtrasForm, GameMix, Round};

    fn plan(seed: u64, size_bytes: Option<usize>, is_stamped: bool) -> RoundsPlan {
        RoundsPlan {
            games: GameMix::default(),
            route: Route::Both,
            prefix: "rounds".to_owned(),
            size_bytes,
            seed,
            extras: ExtrasForm::Object,
            is_stamped,
        }
    }

    #[test]
    fn every_round_goes_to_its_game_and_its_type() {
        assert_eq!(
            subjects_of("rounds", Game::WallStreet, Route::Both),
            ["rounds.game.wall-street", "rounds.type.trending"]
        );
        let all: std::collections::BTreeSet<String> = Game::ALL
            .iter()
            .flat_map(|game| subjects_of("rounds", *game, Route::Both))
            .collect();
        assert_eq!(all.len(), 2 * Game::ALL.len());
    }

    proptest! {
        #[test]
        fn a_stamped_round_is_a_round_for_every_reader(seed in any::<u64>(), extra in prop::option::of(0_usize..300), seq in any::<u32>()) {
            let smallest = Generator::smallest_bytes(&generator_config(&plan(seed, None, true), 0));
            let plan = plan(seed, extra.map(|extra| smallest + extra), true);
            let mut generator = generator_of(&plan, 0).unwrap();
            let stamp = Stamp {
                phase: Phase::Measured,
                run: RunId(7),
                publisher: 0,
                stream: 1,
                seq: u64::from(seq),
                intended_ns: 1_705_314_600_000_999_999,
                sent_ns: 1_705_314_600_001_000_001,
            };
            for _ in 0..20 {
                let rendered = generator.next_round();
                prop_assert!(stamp.write_tail(rendered.bytes));
                prop_assert_eq!(stamp::read(rendered.bytes), Origin::Fixed(stamp));
                let round = Round::from_json(rendered.bytes).unwrap();
                prop_assert_eq!(&round.game_slug, rendered.game.slug());
                prop_assert!(round.extras.is_object());
                prop_assert_eq!(round.timestamp_ms, Some(1_705_314_600_000));
                // A client that parses the JSON and writes it again loses nothing.
                let value: serde_json::Value = serde_json::from_slice(rendered.bytes).unwrap();
                let rewritten = serde_json::to_vec_pretty(&value).unwrap();
                prop_assert_eq!(stamp::read(&rewritten), Origin::Parsed(stamp));
                prop_assert_eq!(Round::from_json(&rewritten).unwrap(), round);
            }
        }

        #[test]
        fn without_stamp_a_round_says_nothing_about_its_time(seed in any::<u64>()) {
            let mut generator = generator_of(&plan(seed, None, false), 0).unwrap();
            for _ in 0..20 {
                let rendered = generator.next_round();
                prop_assert_eq!(stamp::read(rendered.bytes), Origin::None);
                prop_assert!(Round::from_json(rendered.bytes).is_ok());
            }
        }

        #[test]
        fn publishers_of_one_run_publish_different_rounds(seed in any::<u64>(), idx in 1_u16..1_000) {
            let plan = plan(seed, None, false);
            let rounds_of = |idx: u16| {
                let mut generator = generator_of(&plan, idx).unwrap();
                (0..20).map(|_| generator.next_round().bytes.to_vec()).collect::<Vec<_>>()
            };
            prop_assert_ne!(rounds_of(0), rounds_of(idx));
            prop_assert_eq!(rounds_of(idx), rounds_of(idx));
        }
    }
}
