//! The subjects of rounds, and what was probably meant by one that is almost one of them.
//!
//! Only where the first token is `rounds` or hardly differs from it: what other systems call their subjects is their own
//! affair.

use std::ops::Range;

use crate::rounds::{Game, subject_for};
use crate::subject::Pattern;

/// First token of all rounds.
const PREFIX: &str = "rounds";
/// Tokens of a subject of rounds.
const N_TOKENS: usize = 3;

/// How what was typed differs from what was probably meant; the strangest difference comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Difference {
    /// In upper and lower case alone.
    Case,
    /// In a letter or two, or in the kind of name.
    Spelling,
    /// In the number of tokens.
    Depth,
}

/// What was probably meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NearMiss {
    pub(super) meant: String,
    pub(super) difference: Difference,
    /// Where the first difference is, in bytes of the input.
    pub(super) span: Range<usize>,
}

/// `rounds.game.SLUG` or `rounds.type.TYPE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Branch {
    Game,
    Type,
}

impl Branch {
    const ALL: [Self; 2] = [Self::Game, Self::Type];

    fn name(self) -> &'static str {
        match self {
            Self::Game => "game",
            Self::Type => "type",
        }
    }

    fn names(self) -> [&'static str; Game::ALL.len()] {
        match self {
            Self::Game => Game::ALL.map(Game::slug),
            Self::Type => Game::ALL.map(Game::game_type),
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Game => Self::Type,
            Self::Type => Self::Game,
        }
    }
}

/// How much a token is like a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    Same,
    /// But for upper and lower case.
    Case,
    /// A letter more or less, or two swapped.
    Slip,
    /// Another letter in place of one.
    Replaced,
}

fn likeness(token: &str, word: &str) -> Option<Likeness> {
    if token == word {
        return Some(Likeness::Same);
    }
    let lower = token.to_lowercase();
    if lower == word {
        return Some(Likeness::Case);
    }
    let limit = if word.len() > 7 { 2 } else { 1 };
    if strsim::damerau_levenshtein(&lower, word) > limit {
        return None;
    }
    let is_swap = lower.len() == word.len() && sorted(&lower) == sorted(word);
    let is_slip = lower.chars().count() != word.chars().count() || is_swap;
    Some(if is_slip {
        Likeness::Slip
    } else {
        Likeness::Replaced
    })
}

fn sorted(text: &str) -> Vec<char> {
    let mut letters: Vec<char> = text.chars().collect();
    letters.sort_unstable();
    letters
}

/// The word of a list that a token is most like.
fn nearest<'a>(token: &str, words: &[&'a str]) -> Option<(&'a str, Likeness)> {
    let alike = words
        .iter()
        .filter_map(|word| Some((*word, likeness(token, word)?)));
    alike.min_by_key(|(_, likeness)| *likeness)
}

/// Every subject that rounds are published to, unless somebody chose another prefix.
pub(super) fn subjects() -> Vec<String> {
    let of = |is_type| Game::ALL.map(|game| subject_for(PREFIX, game, is_type));
    [of(false), of(true)].concat()
}

/// What was probably meant by a valid subject or pattern that matches no known subject.
pub(super) fn near_miss(typed: &str, is_publish: bool) -> Option<NearMiss> {
    let pattern: Pattern = typed.parse().ok()?;
    let is_known = |subject: String| {
        let subject = subject.parse::<Pattern>();
        subject.is_ok_and(|subject| subject.overlaps(&pattern))
    };
    if subjects().into_iter().any(is_known) {
        return None;
    }
    let tokens: Vec<&str> = typed.split('.').collect();
    let first = likeness(tokens[0], PREFIX)?;
    let meant = meant(&tokens, first, is_publish)?;
    (meant != tokens).then(|| NearMiss {
        difference: difference(&tokens, &meant),
        span: first_difference(&tokens, &meant),
        meant: meant.join("."),
    })
}

/// The tokens that were probably meant.
fn meant<'a>(tokens: &[&'a str], first: Likeness, is_publish: bool) -> Option<Vec<&'a str>> {
    let is_sure = first <= Likeness::Case;
    let any = if is_publish { Game::Crash.slug() } else { "*" };
    let Some(second) = tokens.get(1) else {
        // A word alone may be anything.
        return (is_sure && !is_publish).then(|| vec![PREFIX, ">"]);
    };
    match *second {
        ">" => return is_sure.then(|| vec![PREFIX, ">"]),
        "*" if tokens.len() == 2 => return is_sure.then(|| vec![PREFIX, "*", "*"]),
        "*" if is_sure => return Some(third_of_any(tokens)),
        "*" => return None,
        _ => {}
    }
    if let Some((branch, likeness)) = branch_of(second) {
        let third = tokens.get(2).map(|third| (*third, third_of(branch, third)));
        let is_third_known =
            third.is_some_and(|(typed, known)| known.is_some_and(|(meant, _)| meant == typed));
        // One strange token needs another that is none: `sounds.game.x` is somebody else's.
        let strangest = first.max(likeness);
        let are_both_strange = first > Likeness::Case && likeness > Likeness::Case;
        let is_likely = is_third_known || (strangest <= Likeness::Slip && !are_both_strange);
        if !is_likely {
            return None;
        }
        let Some((typed, known)) = third else {
            return Some(vec![PREFIX, branch.name(), any]);
        };
        let is_wildcard = matches!(typed, "*" | ">");
        if known.is_none() && !is_wildcard && tokens.len() > N_TOKENS {
            // Subjects of somebody's own.
            return None;
        }
        let (third, branch) = known.unwrap_or((typed, branch));
        return Some(vec![PREFIX, branch.name(), third]);
    }
    // `rounds.crash`: the token between is missing.
    if tokens.len() == 2 && is_sure {
        let found = Branch::ALL.into_iter().find_map(|branch| {
            let (word, likeness) = nearest(second, &branch.names())?;
            (likeness <= Likeness::Slip).then_some((branch, word))
        });
        let (branch, word) = found?;
        return Some(vec![PREFIX, branch.name(), word]);
    }
    None
}

/// `rounds.*.x`: what the third token was meant to be, in either branch.
fn third_of_any<'a>(tokens: &[&'a str]) -> Vec<&'a str> {
    let third = tokens[2];
    let known = Branch::ALL
        .into_iter()
        .find_map(|branch| third_of(branch, third));
    let third = known.map_or(third, |(word, _)| word);
    let is_ours = known.is_some() || third == "*" || third == ">";
    let n_tokens = if is_ours { N_TOKENS } else { tokens.len() };
    let mut meant = vec![PREFIX, "*", third];
    meant.extend(&tokens[N_TOKENS..n_tokens]);
    meant
}

fn branch_of(token: &str) -> Option<(Branch, Likeness)> {
    let (word, likeness) = nearest(token, &Branch::ALL.map(Branch::name))?;
    let mut all = Branch::ALL.into_iter();
    Some((all.find(|branch| branch.name() == word)?, likeness))
}

/// The known name that a third token is like, and the branch that has it.
fn third_of(branch: Branch, token: &str) -> Option<(&'static str, Branch)> {
    let own = nearest(token, &branch.names());
    let other = nearest(token, &branch.other().names());
    let own_likeness = own.map(|(_, likeness)| likeness);
    match other {
        Some((word, Likeness::Same | Likeness::Case)) if own_likeness.is_none() => {
            Some((word, branch.other()))
        }
        _ => own.map(|(word, _)| (word, branch)),
    }
}

fn difference(typed: &[&str], meant: &[&str]) -> Difference {
    if typed.len() != meant.len() {
        return Difference::Depth;
    }
    let mut pairs = typed.iter().zip(meant);
    if pairs.all(|(typed, meant)| typed.to_lowercase() == *meant) {
        Difference::Case
    } else {
        Difference::Spelling
    }
}

fn first_difference(typed: &[&str], meant: &[&str]) -> Range<usize> {
    let mut start = 0;
    for (idx, token) in typed.iter().enumerate() {
        if meant.get(idx) != Some(token) {
            // Whatever is too much goes on to the end, with the dot before it.
            return match meant.get(idx) {
                Some(_) => start..start + token.len(),
                None => start.saturating_sub(1)..typed.join(".").len(),
            };
        }
        start += token.len() + 1;
    }
    let end = start.saturating_sub(1);
    end..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn misses(typed: &str, meant: &str, difference: Difference, span: Range<usize>) {
        let miss = near_miss(typed, false).unwrap_or_else(|| panic!("{typed} is fine"));
        assert_eq!(
            (miss.meant.as_str(), miss.difference, miss.span),
            (meant, difference, span),
            "{typed}"
        );
    }

    #[test]
    fn what_is_almost_a_subject_of_rounds_is_named() {
        use Difference::{Case, Depth, Spelling};
        misses("Rounds.game.*", "rounds.game.*", Case, 0..6);
        misses("rounds.game.Crash", "rounds.game.crash", Case, 12..17);
        misses("ROUNDS.>", "rounds.>", Case, 0..6);
        misses("rounds.Type.Color", "rounds.type.color", Case, 7..11);
        misses("round.game.*", "rounds.game.*", Spelling, 0..5);
        misses("ruonds.type.color", "rounds.type.color", Spelling, 0..6);
        misses("rounds.games.crash", "rounds.game.crash", Spelling, 7..12);
        misses("rounds.gane.crash", "rounds.game.crash", Spelling, 7..11);
        misses(
            "rounds.game.wall_street",
            "rounds.game.wall-street",
            Spelling,
            12..23,
        );
        misses(
            "rounds.type.multiplyer",
            "rounds.type.multiplier",
            Spelling,
            12..22,
        );
        misses(
            "rounds.game.multiplier",
            "rounds.type.multiplier",
            Spelling,
            7..11,
        );
        misses("rounds.type.crash", "rounds.game.crash", Spelling, 7..11);
        misses("rounds.type.slot", "rounds.type.slots", Spelling, 12..16);
        misses("rounds.*.Crash", "rounds.*.crash", Case, 9..14);
        misses("rounds.crash", "rounds.game.crash", Depth, 7..12);
        misses("rounds.multiplier", "rounds.type.multiplier", Depth, 7..17);
        misses("rounds", "rounds.>", Depth, 6..6);
        misses("rounds.*", "rounds.*.*", Depth, 8..8);
        misses("rounds.game", "rounds.game.*", Depth, 11..11);
        misses("rounds.type.*.x", "rounds.type.*", Depth, 13..15);
        misses("rounds.*.*.*", "rounds.*.*", Depth, 10..12);
        misses("rounds.game.crash.>", "rounds.game.crash", Depth, 17..19);
    }

    #[test]
    fn subjects_of_rounds_and_of_other_systems_are_fine() {
        for typed in [
            "rounds.>",
            "rounds.game.*",
            "rounds.type.>",
            "rounds.*.crash",
            "rounds.*.*",
            ">",
            "*.game.*",
            "rounds.game.crash",
            "rounds.game.poker",
            "rounds.game.poker.state",
            "rounds.results.>",
            "rounds.name.*",
            "rounds.*.poker",
            "prod.rounds.game.x",
            "Prod.Rounds.Game.X",
            "sounds.>",
            "sounds.play",
            "bounds",
            "round",
            "round.>",
            "orders.created",
            "game.crash",
            "grounds.name.x",
            "sounds.game.*",
            "round.games.*",
            "$SYS.>",
            "rounds.finished",
            "Sounds.Games.play",
        ] {
            assert_eq!(near_miss(typed, false), None, "{typed}");
        }
    }

    #[test]
    fn a_message_is_meant_for_a_subject_without_wildcards() {
        assert_eq!(
            near_miss("rounds.game", true).unwrap().meant,
            "rounds.game.crash"
        );
        assert_eq!(near_miss("rounds", true), None);
    }
}
