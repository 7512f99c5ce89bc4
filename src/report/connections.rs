//! Connections and moments in words: the same for event lines and for outages.

use std::collections::BTreeSet;

use super::harmless::harmless;
use crate::results::outages::Role;
use crate::units::{NANOS_PER_SEC, format_count};

/// A connection: what it is there for, and its number.
pub(super) type Connection = (Role, usize);

/// `publisher 0 and subscribers 0-999`; by number where there are few pieces, otherwise how many.
pub(super) fn names(connections: &BTreeSet<Connection>) -> String {
    words_of(connections, |role, idxs| {
        const MAX_PIECES: usize = 4;
        let pieces = ranges(idxs);
        if pieces.len() > MAX_PIECES {
            return counted(idxs.len(), role);
        }
        let plural = if idxs.len() == 1 { "" } else { "s" };
        format!("{}{plural} {}", role.name(), pieces.join(", "))
    })
}

/// `1 publisher and 2 subscribers`; by number where it is a single one.
pub(super) fn counts(connections: &BTreeSet<Connection>) -> String {
    if connections.len() == 1 {
        return names(connections);
    }
    words_of(connections, |role, idxs| counted(idxs.len(), role))
}

fn words_of(
    connections: &BTreeSet<Connection>,
    words: impl Fn(Role, &[usize]) -> String,
) -> String {
    let of_role = |role: Role| {
        let of_role = connections.iter().filter(|(other, _)| *other == role);
        let idxs: Vec<usize> = of_role.map(|(_, idx)| *idx).collect();
        (!idxs.is_empty()).then(|| words(role, &idxs))
    };
    let parts = [Role::Publisher, Role::Subscriber].map(of_role);
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(" and ")
}

fn counted(count: usize, role: Role) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {}{plural}", format_count(count as u64), role.name())
}

/// Ascending numbers as `0-2`, `7`.
fn ranges(idxs: &[usize]) -> Vec<String> {
    idxs.chunk_by(|left, right| left + 1 == *right)
        .map(|run| match run {
            [first, .., last] => format!("{first}-{last}"),
            _ => run[0].to_string(),
        })
        .collect()
}

/// A moment of a run, to the hundredth of a second: `20.41 s`, `3m07.20s`, `1h02m07.20s`.
pub(super) fn moment_text(at_ns: u64) -> String {
    let hundredths = at_ns / (NANOS_PER_SEC / 100);
    let (secs, hundredths) = (hundredths / 100, hundredths % 100);
    let (hours, minutes, rest) = (secs / 3_600, secs / 60 % 60, secs % 60);
    match (hours, minutes) {
        (0, 0) => format!("{secs}.{hundredths:02} s"),
        (0, _) => format!("{minutes}m{rest:02}.{hundredths:02}s"),
        _ => format!("{hours}h{minutes:02}m{rest:02}.{hundredths:02}s"),
    }
}

/// What a server or the system said, harmless and short enough to be read.
pub(super) fn said(text: &str) -> String {
    const MAX_CHARS: usize = 160;
    shortened(&without_numbers(&harmless(text)), MAX_CHARS)
}

/// A text without the numbers of errors of the system, which stand behind their names: ` (os error 111)`.
fn without_numbers(text: &str) -> String {
    const BEGINNING: &str = " (os error ";
    let mut parts = text.split(BEGINNING);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                out.push_str(rest);
            }
            _ => {
                out.push_str(BEGINNING);
                out.push_str(part);
            }
        }
    }
    out
}

/// Texts, the most frequent first, each with how often it occurs.
pub(super) fn by_frequency<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<(&'a str, usize)> {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for text in texts {
        match counted.iter_mut().find(|(known, _)| *known == text) {
            Some((_, count)) => *count += 1,
            None => counted.push((text, 1)),
        }
    }
    // Stable: of two that are as frequent, the earlier one comes first.
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counted
}

/// A text of at most so many characters, with `...` where something was left out.
fn shortened(text: &str, max_chars: usize) -> String {
    if text.chars().count() <= max_chars {
        return text.to_owned();
    }
    let kept: String = text.chars().take(max_chars.saturating_sub(3)).collect();
    format!("{}...", kept.trim_end())
}

/// `attempt 3` or `attempts 1 to 3`.
pub(super) fn range_text(smallest: u64, largest: u64) -> String {
    if smallest == largest {
        format_count(smallest)
    } else {
        format!("{} to {}", format_count(smallest), format_count(largest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(publishers: &[usize], subscribers: &[usize]) -> BTreeSet<Connection> {
        let publishers = publishers.iter().map(|idx| (Role::Publisher, *idx));
        let subscribers = subscribers.iter().map(|idx| (Role::Subscriber, *idx));
        publishers.chain(subscribers).collect()
    }

    #[test]
    fn connections_are_named_where_they_are_few_and_counted_where_they_are_not() {
        let many: Vec<usize> = (0..1_000).collect();
        let scattered: Vec<usize> = (0..1_000).map(|idx| idx * 2).collect();
        for (connections, expected_names, expected_counts) in [
            (set(&[0], &[]), "publisher 0", "publisher 0"),
            (
                set(&[], &[3, 4, 5, 9]),
                "subscribers 3-5, 9",
                "4 subscribers",
            ),
            (
                set(&[0], &many),
                "publisher 0 and subscribers 0-999",
                "1 publisher and 1,000 subscribers",
            ),
            (
                set(&[1, 2], &scattered),
                "publishers 1-2 and 1,000 subscribers",
                "2 publishers and 1,000 subscribers",
            ),
            (set(&[], &[]), "", ""),
        ] {
            assert_eq!(names(&connections), expected_names);
            assert_eq!(counts(&connections), expected_counts);
        }
    }

    #[test]
    fn moments_are_read_to_the_hundredth_of_a_second() {
        for (at_ns, expected) in [
            (0, "0.00 s"),
            (20_419_999_999, "20.41 s"),
            (59_999_000_000, "59.99 s"),
            (187_204_000_000, "3m07.20s"),
            (3_727_050_000_000, "1h02m07.05s"),
        ] {
            assert_eq!(moment_text(at_ns), expected);
        }
    }

    #[test]
    fn texts_are_counted_the_most_frequent_first() {
        let texts = ["a", "b", "c", "b"];
        assert_eq!(
            by_frequency(texts.into_iter()),
            [("b", 2), ("a", 1), ("c", 1)]
        );
    }

    #[test]
    fn what_others_said_is_harmless_and_short() {
        assert_eq!(said("a\u{1b}[2J\nb"), "a\u{fffd}[2J\u{fffd}b");
        assert_eq!(
            said("refused (os error 111): again (os error 5)"),
            "refused: again"
        );
        assert_eq!(
            said("a (os error x) (os error 1"),
            "a (os error x) (os error 1"
        );
        let text = said(&"\u{20ac}".repeat(1_000));
        assert_eq!(text.chars().count(), 160);
        assert!(text.ends_with("..."));
        assert_eq!(shortened("abcdef", 6), "abcdef");
        assert_eq!(shortened("abc efg", 6), "abc...");
    }
}
