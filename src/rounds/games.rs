//! The catalogue of games, weights over it, and the subjects of a round.

use std::fmt;
use std::str::FromStr;

/// A game.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Game {
    /// A multiplier that rises until it crashes.
    Crash,
    /// A wheel of red, black and white.
    Double,
    /// Up or down.
    WallStreet,
    /// Three reels.
    Slot,
}

impl Game {
    /// Every game, in the order of stream numbers.
    pub const ALL: [Self; 4] = [Self::Crash, Self::Double, Self::WallStreet, Self::Slot];

    /// The name in subjects and in `game_slug`.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Double => "double",
            Self::WallStreet => "wall-street",
            Self::Slot => "slot",
        }
    }

    /// The type in subjects and in `game_type`.
    pub fn game_type(self) -> &'static str {
        match self {
            Self::Crash => "multiplier",
            Self::Double => "color",
            Self::WallStreet => "trending",
            Self::Slot => "slots",
        }
    }

    /// The game of that slug.
    ///
    /// # Errors
    /// An unknown slug, with the nearest known one.
    pub fn from_slug(slug: &str) -> Result<Self, UnknownGame> {
        Self::ALL
            .into_iter()
            .find(|game| game.slug() == slug)
            .ok_or_else(|| {
                let distance = |game: &Self| {
                    strsim::damerau_levenshtein(slug, game.slug())
                        .min(strsim::damerau_levenshtein(slug, game.game_type()))
                };
                let nearest = Self::ALL
                    .into_iter()
                    .min_by_key(distance)
                    .unwrap_or(Self::Crash);
                UnknownGame {
                    input: slug.to_owned(),
                    nearest: nearest.slug(),
                }
            })
    }
}

/// A slug that is in no catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown game `{input}`; did you mean `{nearest}`?")]
pub struct UnknownGame {
    /// What was typed.
    pub input: String,
    /// The nearest known slug.
    pub nearest: &'static str,
}

/// Under which of its two subjects a round is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `PREFIX.game.SLUG`.
    Game,
    /// `PREFIX.type.TYPE`.
    Type,
    /// Both.
    Both,
}

impl Route {
    /// Messages that one round makes.
    pub fn subjects_per_round(self) -> u32 {
        match self {
            Self::Game | Self::Type => 1,
            Self::Both => 2,
        }
    }

    /// The name on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Game => "game",
            Self::Type => "type",
            Self::Both => "both",
        }
    }
}

/// The subject of a game, or of its type.
pub fn subject_for(prefix: &str, game: Game, is_type: bool) -> String {
    if is_type {
        format!("{prefix}.type.{}", game.game_type())
    } else {
        format!("{prefix}.game.{}", game.slug())
    }
}

/// Games with weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GameMix {
    weights: Vec<(Game, u32)>,
    total: u32,
}

/// What is wrong with a mix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MixError {
    /// A game that is in no catalogue.
    #[error(transparent)]
    Unknown(#[from] UnknownGame),
    /// A weight that is none.
    #[error(
        "`{weight}` is not a weight: a whole number from 1 to {}",
        GameMix::MAX_WEIGHT
    )]
    BadWeight {
        /// What was typed.
        weight: String,
    },
    /// A game that is named twice.
    #[error("`{slug}` is named twice")]
    Twice {
        /// Its slug.
        slug: &'static str,
    },
}

impl GameMix {
    /// The largest weight.
    pub const MAX_WEIGHT: u32 = 1_000_000;

    /// The games of the mix.
    pub fn games(&self) -> impl Iterator<Item = Game> {
        self.weights.iter().map(|(game, _)| *game)
    }

    /// Turns a random number into a game, by weight.
    #[inline]
    pub(super) fn pick(&self, random: u32) -> Game {
        // Multiplying by the total and keeping the upper half is a fair draw without a division.
        let mut left = (u64::from(random) * u64::from(self.total)) >> 32;
        for (game, weight) in &self.weights {
            if left < u64::from(*weight) {
                return *game;
            }
            left -= u64::from(*weight);
        }
        self.weights[0].0
    }
}

impl Default for GameMix {
    fn default() -> Self {
        Self {
            weights: Game::ALL.map(|game| (game, 1)).into(),
            total: 4,
        }
    }
}

impl FromStr for GameMix {
    type Err = MixError;

    /// Reads `crash,double=3`: a weight is 1 unless it is given.
    fn from_str(input: &str) -> Result<Self, MixError> {
        let mut weights: Vec<(Game, u32)> = Vec::new();
        for part in input.split(',') {
            let (slug, weight) = part.split_once('=').unwrap_or((part, "1"));
            let game = Game::from_slug(slug.trim())?;
            let number = weight
                .trim()
                .parse()
                .ok()
                .filter(|number| (1..=Self::MAX_WEIGHT).contains(number));
            let number = number.ok_or_else(|| MixError::BadWeight {
                weight: weight.to_owned(),
            })?;
            if weights.iter().any(|(known, _)| *known == game) {
                return Err(MixError::Twice { slug: game.slug() });
            }
            weights.push((game, number));
        }
        let total = weights.iter().map(|(_, weight)| weight).sum();
        Ok(Self { weights, total })
    }
}

impl fmt::Display for GameMix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, (game, weight)) in self.weights.iter().enumerate() {
            let comma = if idx == 0 { "" } else { "," };
            write!(f, "{comma}{}", game.slug())?;
            if *weight != 1 {
                write!(f, "={weight}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_reads_as_it_is_shown() {
        for text in ["crash", "crash,double=3", "slot=2,wall-street"] {
            assert_eq!(text.parse::<GameMix>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn faults_of_a_mix_are_named() {
        let fault = |text: &str| text.parse::<GameMix>().unwrap_err().to_string();
        assert_eq!(fault("crsh"), "unknown game `crsh`; did you mean `crash`?");
        assert_eq!(
            fault("color"),
            "unknown game `color`; did you mean `double`?"
        );
        assert!(fault("crash=0").contains("not a weight"));
        assert!(fault("crash,crash").contains("twice"));
        assert!("".parse::<GameMix>().is_err());
    }

    #[test]
    fn weights_are_respected() {
        let mix: GameMix = "crash,double=3".parse().unwrap();
        let n_crash = (0..1000_u32)
            .filter(|n| mix.pick(n * 4_294_967) == Game::Crash)
            .count();
        assert!((240..=260).contains(&n_crash), "{n_crash}");
    }
}
