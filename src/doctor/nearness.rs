//! How near a subject comes to a pattern that does not match it: what differs, and the pattern that would match.
//!
//! Tokens are aligned like the letters of a spelling correction, with a price for each kind of difference. The prices
//! are chosen so that one difference is near, two small ones are too, and an exchanged token is not: on a busy broker
//! most subjects have nothing to do with ours, and a wrong hint is worse than none.

use strsim::damerau_levenshtein;

use crate::subject::Pattern;

/// Subjects with more tokens, or more bytes, are not compared.
const MAX_TOKENS: usize = 16;
const MAX_BYTES: usize = 256;
/// Most tokens in front of ours.
const MAX_PREFIX: usize = 4;
/// Shorter tokens differ by too little to be misspelt.
const MIN_SPELT_BYTES: usize = 3;

/// Highest price of what is near.
const MAX_COST: u32 = 10;
const CASE: u32 = 2;
const SPELLING: u32 = 3;
const SPELLING_PER_EDIT: u32 = 2;
const PREFIX: u32 = 4;
const PREFIX_PER_TOKEN: u32 = 1;
const MISSING_PREFIX: u32 = 6;
const EXTRA: u32 = 8;
/// More tokens at the end are the usual way to have more tokens.
const DEEPER: u32 = 7;
const MISSING: u32 = 8;
const MISSING_WILDCARD: u32 = 7;
const SWAPPED: u32 = 6;
const SEPARATOR: u32 = 6;
const FAR: u32 = 1_000;

/// In what a subject differs from a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Difference {
    /// Upper and lower case.
    Case { ours: String, theirs: String },
    /// A letter or two, or the plural.
    Spelling { ours: String, theirs: String },
    /// Tokens in front of ours.
    Prefix(String),
    /// Our first token is not there.
    NoPrefix(String),
    /// A token between ours.
    Extra(String),
    /// More tokens than ours at the end.
    Deeper,
    /// One of our tokens is not there.
    Missing(String),
    /// Two neighbouring tokens are exchanged.
    Swapped,
    /// Tokens are separated by something else than dots.
    Separator,
}

/// A subject that comes near.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Near {
    /// The higher, the less alike.
    pub(crate) cost: u32,
    pub(crate) differences: Vec<Difference>,
    /// Our pattern, changed so that it matches.
    pub(crate) suggestion: String,
}

impl Near {
    /// What differs, for people.
    pub(crate) fn in_words(&self) -> String {
        let words: Vec<String> = self.differences.iter().map(Difference::in_words).collect();
        words.join(", and ")
    }

    /// Whether it is likely that the subject is the one that is meant.
    pub(crate) fn is_close(&self) -> bool {
        self.cost < DEEPER
    }
}

impl Difference {
    fn in_words(&self) -> String {
        match self {
            Self::Case { ours, theirs } => {
                format!("`{ours}` is written `{theirs}`, and upper and lower case are not the same")
            }
            Self::Spelling { ours, theirs } => format!("`{ours}` is written `{theirs}`"),
            Self::Prefix(prefix) => format!("`{prefix}.` stands in front"),
            Self::NoPrefix(token) => format!("`{token}.` in front is not there"),
            Self::Extra(token) => format!("there is the token `{token}` in between"),
            Self::Deeper => "it has more tokens at the end".to_owned(),
            Self::Missing(token) => format!("the token `{token}` is not there"),
            Self::Swapped => "two tokens are exchanged".to_owned(),
            Self::Separator => "its tokens are not separated by dots in the same places".to_owned(),
        }
    }
}

/// How near a subject comes to a pattern that does not match it. The subject may be a pattern itself.
pub(crate) fn nearness(pattern: &Pattern, subject: &str) -> Option<Near> {
    if pattern.as_str().len() > MAX_BYTES || subject.len() > MAX_BYTES || pattern.matches(subject) {
        return None;
    }
    let ours: Vec<&str> = pattern.as_str().split('.').collect();
    let theirs: Vec<&str> = subject.split('.').collect();
    if ours.len() > MAX_TOKENS || theirs.len() > MAX_TOKENS {
        return None;
    }
    let candidates = [
        Alignment::new(&ours, &theirs).best(),
        swapped(&ours, subject),
        separated(pattern, subject),
    ];
    let candidates = candidates.into_iter().flatten();
    candidates.min_by_key(|near| near.cost)
}

/// Whether a subject lies beside those of a pattern: one fixed token is another, and at least one is the same.
pub(crate) fn is_sibling(pattern: &Pattern, subject: &str) -> bool {
    let mut theirs = subject.split('.');
    let (mut n_same, mut n_other) = (0, 0);
    for token in pattern.as_str().split('.') {
        match (token, theirs.next()) {
            (">", Some(_)) => return n_same > 0 && n_other == 1,
            ("*", Some(_)) => {}
            (ours, Some(theirs)) if ours == theirs => n_same += 1,
            (_, Some(_)) => n_other += 1,
            (_, None) => return false,
        }
    }
    theirs.next().is_none() && n_same > 0 && n_other == 1
}

fn is_wildcard(token: &str) -> bool {
    matches!(token, "*" | ">")
}

fn swapped(ours: &[&str], subject: &str) -> Option<Near> {
    (1..ours.len()).find_map(|idx| {
        if is_wildcard(ours[idx - 1]) || is_wildcard(ours[idx]) {
            return None;
        }
        let mut tokens = ours.to_vec();
        tokens.swap(idx - 1, idx);
        let suggestion = tokens.join(".");
        let pattern: Pattern = suggestion.parse().ok()?;
        pattern.matches(subject).then(|| Near {
            cost: SWAPPED,
            differences: vec![Difference::Swapped],
            suggestion,
        })
    })
}

/// `rounds/game/crash` and `rounds_game_crash` for `rounds.game.crash`, and the other way round.
fn separated(pattern: &Pattern, subject: &str) -> Option<Near> {
    let dotted = |text: &str| text.replace(['/', ':', '_', '-'], ".");
    let dotted_pattern: Pattern = dotted(pattern.as_str()).parse().ok()?;
    let dotted_subject = dotted(subject);
    if !dotted_pattern.matches(&dotted_subject) {
        return None;
    }
    let suggestion = if dotted_pattern.matches(subject) {
        dotted_pattern.as_str().to_owned()
    } else {
        subject.to_owned()
    };
    Some(Near {
        cost: SEPARATOR,
        differences: vec![Difference::Separator],
        suggestion,
    })
}

/// What is done with the next token of ours or of theirs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    End,
    /// Ours stands for theirs.
    Pair,
    /// `>` stands for all that is left.
    Tail,
    Extra,
    Missing,
    /// All that is left of theirs is too much.
    Deeper,
}

/// The cheapest way to lay two rows of tokens side by side.
struct Alignment<'a> {
    ours: &'a [&'a str],
    theirs: &'a [&'a str],
    /// By the position in ours and theirs: the price from there to the end, and the first step.
    table: Vec<Vec<(u32, Step)>>,
}

impl<'a> Alignment<'a> {
    fn new(ours: &'a [&'a str], theirs: &'a [&'a str]) -> Self {
        let mut alignment = Self {
            ours,
            theirs,
            table: vec![vec![(FAR, Step::End); theirs.len() + 1]; ours.len() + 1],
        };
        for at_ours in (0..=ours.len()).rev() {
            for at_theirs in (0..=theirs.len()).rev() {
                alignment.table[at_ours][at_theirs] = alignment.cheapest(at_ours, at_theirs);
            }
        }
        alignment
    }

    fn cheapest(&self, at_ours: usize, at_theirs: usize) -> (u32, Step) {
        let Some(our) = self.ours.get(at_ours) else {
            let is_end = at_theirs == self.theirs.len();
            return if is_end {
                (0, Step::End)
            } else {
                (DEEPER, Step::Deeper)
            };
        };
        let missing = self.price_of_missing(at_ours, at_theirs);
        let mut best = (
            self.table[at_ours + 1][at_theirs].0 + missing,
            Step::Missing,
        );
        let mut offer = |cost: u32, step: Step| {
            if cost < best.0 {
                best = (cost, step);
            }
        };
        if let Some(their) = self.theirs.get(at_theirs) {
            let extra = match (at_ours, at_theirs) {
                // What stands in front of a wildcard may just as well be what it stands for.
                (0, 0) if !is_wildcard(our) => PREFIX,
                (0, 1..MAX_PREFIX) => PREFIX_PER_TOKEN,
                _ => EXTRA,
            };
            offer(self.table[at_ours][at_theirs + 1].0 + extra, Step::Extra);
            if *our == ">" {
                offer(0, Step::Tail);
            } else if at_ours.abs_diff(at_theirs) <= MAX_PREFIX {
                let pair = price(our, their);
                offer(self.table[at_ours + 1][at_theirs + 1].0 + pair, Step::Pair);
            }
        }
        best
    }

    fn price_of_missing(&self, at_ours: usize, at_theirs: usize) -> u32 {
        let is_tail_next = self.ours.get(at_ours + 1) == Some(&">");
        if is_wildcard(self.ours[at_ours]) {
            MISSING_WILDCARD
        } else if is_tail_next && at_theirs < self.theirs.len() {
            // It may as well be exchanged: `>` would swallow whatever stands in its place.
            FAR
        } else if at_ours == 0 && at_theirs == 0 {
            MISSING_PREFIX
        } else {
            MISSING
        }
    }

    fn best(&self) -> Option<Near> {
        let cost = self.table[0][0].0;
        if cost > MAX_COST {
            return None;
        }
        let mut differences = Vec::new();
        let mut suggestion: Vec<&str> = Vec::new();
        let mut prefix: Vec<&str> = Vec::new();
        let mut n_anchors = 0;
        let (mut at_ours, mut at_theirs) = (0, 0);
        loop {
            match self.table[at_ours][at_theirs].1 {
                Step::End => break,
                Step::Tail => {
                    suggestion.push(">");
                    break;
                }
                Step::Deeper => {
                    differences.push(Difference::Deeper);
                    // A wildcard at the end becomes one for more tokens; behind a fixed token there is one more.
                    if suggestion.last() == Some(&"*") {
                        suggestion.pop();
                    }
                    suggestion.push(">");
                    break;
                }
                Step::Pair => {
                    let (our, their) = (self.ours[at_ours], self.theirs[at_theirs]);
                    suggestion.push(if our == "*" { our } else { their });
                    differences.extend(difference(our, their));
                    n_anchors += usize::from(our != "*");
                    at_ours += 1;
                    at_theirs += 1;
                }
                Step::Extra => {
                    let their = self.theirs[at_theirs];
                    suggestion.push(their);
                    if at_ours == 0 {
                        prefix.push(their);
                    } else {
                        differences.push(Difference::Extra(their.to_owned()));
                    }
                    at_theirs += 1;
                }
                Step::Missing => {
                    let our = self.ours[at_ours].to_owned();
                    differences.push(if at_ours == 0 && at_theirs == 0 && !is_wildcard(&our) {
                        Difference::NoPrefix(our)
                    } else {
                        Difference::Missing(our)
                    });
                    at_ours += 1;
                }
            }
        }
        if !prefix.is_empty() {
            differences.insert(0, Difference::Prefix(prefix.join(".")));
        }
        let has_fixed = self.ours.iter().any(|token| !is_wildcard(token));
        // Without a token in common, wildcards match anything.
        (n_anchors > 0 || !has_fixed).then(|| Near {
            cost,
            differences,
            suggestion: suggestion.join("."),
        })
    }
}

/// What it costs to take a token for another.
fn price(our: &str, their: &str) -> u32 {
    match difference(our, their) {
        None => 0,
        Some(Difference::Case { .. }) => CASE,
        Some(Difference::Spelling { .. }) => {
            let edits = damerau_levenshtein(&our.to_lowercase(), &their.to_lowercase());
            SPELLING + SPELLING_PER_EDIT * u32::try_from(edits).unwrap_or(FAR).min(2)
        }
        Some(_) => FAR,
    }
}

/// In what two tokens differ, if they are alike; [`Difference::Missing`] if they are not.
fn difference(our: &str, their: &str) -> Option<Difference> {
    if our == "*" || our == their {
        return None;
    }
    let (ours, theirs) = (our.to_owned(), their.to_owned());
    let (our, their) = (our.to_lowercase(), their.to_lowercase());
    Some(if our == their {
        Difference::Case { ours, theirs }
    } else if is_misspelt(&our, &their) {
        Difference::Spelling { ours, theirs }
    } else {
        Difference::Missing(ours)
    })
}

fn is_misspelt(our: &str, their: &str) -> bool {
    let shorter = our.len().min(their.len());
    if shorter < MIN_SPELT_BYTES || is_wildcard(our) || is_wildcard(their) {
        return false;
    }
    // `table1` and `table2` are two tables.
    let without_digits = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
    if without_digits(our) == without_digits(their) {
        return false;
    }
    let plural = |one: &str, many: &str| {
        let stem = one.strip_suffix('y');
        stem.is_some_and(|stem| many.strip_suffix("ies") == Some(stem))
    };
    if plural(our, their) || plural(their, our) {
        return true;
    }
    let allowed = if shorter < 6 { 1 } else { 2 };
    our.len().abs_diff(their.len()) <= 2 * allowed && damerau_levenshtein(our, their) <= allowed
}

#[cfg(test)]
#[path = "nearness_tests.rs"]
mod tests;
