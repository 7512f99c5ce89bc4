//! A histogram in characters.

use crate::results::Bar;
use crate::units::{format_count, format_nanos};

/// Lines of a histogram: range, bar, count. A bucket with samples always shows at least the smallest mark.
pub fn histogram_lines(bars: &[Bar], width: usize, is_unicode: bool) -> Vec<String> {
    let largest = bars.iter().map(|bar| bar.count).max().unwrap_or(0);
    let label = |bar: &Bar| {
        format!(
            "{} .. {}",
            format_nanos(bar.from_ns),
            format_nanos(bar.to_ns)
        )
    };
    let label_width = bars
        .iter()
        .map(|bar| label(bar).chars().count())
        .max()
        .unwrap_or(0);
    let count_width = format_count(largest).len();
    let bar_width = width
        .saturating_sub(label_width + count_width + 4)
        .clamp(8, 40);
    bars.iter()
        .map(|bar| {
            let drawn = draw(bar.count, largest, bar_width, is_unicode);
            let line = format!(
                "{:>label_width$}  {:>count_width$}  {drawn}",
                label(bar),
                format_count(bar.count)
            );
            line.trim_end().to_owned()
        })
        .collect()
}

/// Parts of a character cell, in eighths.
const EIGHTHS: [&str; 8] = [
    "", "\u{258f}", "\u{258e}", "\u{258d}", "\u{258c}", "\u{258b}", "\u{258a}", "\u{2589}",
];

fn draw(count: u64, largest: u64, width: usize, is_unicode: bool) -> String {
    if count == 0 || largest == 0 {
        return String::new();
    }
    let units = if is_unicode { 8 } else { 1 };
    let length = u128::from(count) * (width * units) as u128 / u128::from(largest);
    let length = usize::try_from(length).unwrap_or(width * units).max(1);
    if is_unicode {
        format!("{}{}", "\u{2588}".repeat(length / 8), EIGHTHS[length % 8])
    } else {
        "#".repeat(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_bucket_fills_the_width_and_the_smallest_still_shows() {
        let bars = [
            Bar {
                from_ns: 0,
                to_ns: 100_000,
                count: 1_000_000,
            },
            Bar {
                from_ns: 100_000,
                to_ns: 200_000,
                count: 1,
            },
            Bar {
                from_ns: 200_000,
                to_ns: 400_000,
                count: 0,
            },
        ];
        let lines = histogram_lines(&bars, 60, false);
        assert!(lines[0].ends_with(&"#".repeat(28)), "{lines:?}");
        assert!(lines[1].ends_with(" #"));
        assert!(lines[2].ends_with('0'));
        assert!(histogram_lines(&bars, 60, true)[1].ends_with('\u{258f}'));
    }
}
