//! What is particular to a game: its outcome.

use super::games::Game;
use super::text::{push_hundredths, push_number};

/// How `extras` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtrasForm {
    /// A JSON object.
    Object,
    /// A string that holds JSON, as Debezium writes a PostgreSQL `jsonb` column.
    JsonString,
}

/// A multiplier above this would make other rounds look flat; 1000.00.
const MAX_CRASH_HUNDREDTHS: u64 = 100_000;

/// A reel symbol, and what three or two of it pay, in hundredths.
struct Symbol {
    name: &'static [u8],
    three: u64,
    two: u64,
}

/// From the dearest to the cheapest.
const SYMBOLS: [Symbol; 5] = [
    Symbol {
        name: b"7",
        three: 5_000,
        two: 350,
    },
    Symbol {
        name: b"BAR",
        three: 2_000,
        two: 250,
    },
    Symbol {
        name: b"BELL",
        three: 1_000,
        two: 200,
    },
    Symbol {
        name: b"CHERRY",
        three: 500,
        two: 150,
    },
    Symbol {
        name: b"LEMON",
        three: 300,
        two: 120,
    },
];

/// Appends the extras that a random number stands for.
#[inline]
pub(super) fn push(out: &mut Vec<u8>, game: Game, form: ExtrasForm, random: u64) {
    let writer = Writer::begin(out, form);
    match game {
        Game::Crash => writer.crash(random),
        Game::Double => writer.double(random),
        Game::WallStreet => writer.wall_street(random),
        Game::Slot => writer.slot([0, 16, 32].map(|shift| pick_symbol(random >> shift))),
    }
}

/// The size of the largest extras of a game.
pub(super) fn largest_bytes(game: Game, form: ExtrasForm) -> usize {
    let mut out = Vec::new();
    let writer = Writer::begin(&mut out, form);
    match game {
        Game::Crash => writer.crash(0),
        Game::Double => writer.largest_double(),
        Game::WallStreet => writer.wall_street(1),
        // The longest name three times; its multiplier has four characters, the dearest have five.
        Game::Slot => {
            writer.slot([3, 3, 3]);
            return out.len() + 1;
        }
    }
    out.len()
}

fn pick_symbol(random: u64) -> usize {
    (usize::from((random & 0xFFFF) as u16) * SYMBOLS.len()) >> 16
}

/// Writes members with the quotes of the form.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    form: ExtrasForm,
}

impl<'a> Writer<'a> {
    #[inline]
    fn begin(out: &'a mut Vec<u8>, form: ExtrasForm) -> Self {
        match form {
            ExtrasForm::Object => out.push(b'{'),
            ExtrasForm::JsonString => out.extend_from_slice(b"\"{"),
        }
        Self { out, form }
    }

    #[inline]
    fn end(self) {
        match self.form {
            ExtrasForm::Object => self.out.push(b'}'),
            ExtrasForm::JsonString => self.out.extend_from_slice(b"}\""),
        }
    }

    #[inline]
    fn quote(&mut self) {
        match self.form {
            ExtrasForm::Object => self.out.push(b'"'),
            ExtrasForm::JsonString => self.out.extend_from_slice(b"\\\""),
        }
    }

    #[inline]
    fn quoted(&mut self, text: &[u8]) {
        self.quote();
        self.out.extend_from_slice(text);
        self.quote();
    }

    #[inline]
    fn key(&mut self, name: &[u8]) {
        self.quoted(name);
        self.out.push(b':');
    }

    #[inline]
    fn multiplier(&mut self, name: &[u8], hundredths: u64) {
        self.key(name);
        self.quote();
        push_hundredths(self.out, hundredths);
        self.quote();
    }

    /// The chance to reach a point falls with its inverse: 0.99 / u, at least 1.00.
    #[inline]
    fn crash(mut self, random: u64) {
        let divisor = (random >> 32) + 1;
        let hundredths = ((99_u64 << 32) / divisor).clamp(100, MAX_CRASH_HUNDREDTHS);
        self.multiplier(b"point", hundredths);
        self.end();
    }

    /// A wheel of 15: 0 is white, 1 to 7 red, 8 to 14 black.
    #[inline]
    fn double(self, random: u64) {
        let number = ((random >> 32) * 15) >> 32;
        let color: &[u8] = match number {
            0 => b"white",
            1..=7 => b"red",
            _ => b"black",
        };
        self.color(color, number);
    }

    fn largest_double(self) {
        self.color(b"black", 14);
    }

    #[inline]
    fn color(mut self, color: &[u8], number: u64) {
        self.key(b"color");
        self.quoted(color);
        self.out.push(b',');
        self.key(b"number");
        push_number(self.out, number);
        self.end();
    }

    /// An odd number falls, an even one rises; 1.01 to 2.99.
    #[inline]
    fn wall_street(mut self, random: u64) {
        self.key(b"trending");
        self.quoted(if random & 1 == 0 { b"up" } else { b"down" });
        self.out.push(b',');
        self.multiplier(b"multiplier", 101 + (((random >> 32) * 199) >> 32));
        self.end();
    }

    #[inline]
    fn slot(mut self, reels: [usize; 3]) {
        self.key(b"reels");
        for (idx, reel) in reels.into_iter().enumerate() {
            self.out.push(if idx == 0 { b'[' } else { b',' });
            self.quoted(SYMBOLS[reel].name);
        }
        self.out.extend_from_slice(b"],");
        self.multiplier(b"multiplier", payout(reels));
        self.end();
    }
}

/// What three reels pay, in hundredths.
fn payout(reels: [usize; 3]) -> u64 {
    let [a, b, c] = reels;
    if a == b && b == c {
        SYMBOLS[a].three
    } else if a == b || a == c {
        SYMBOLS[a].two
    } else if b == c {
        SYMBOLS[b].two
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extras(game: Game, form: ExtrasForm, random: u64) -> Vec<u8> {
        let mut out = Vec::new();
        push(&mut out, game, form, random);
        out
    }

    #[test]
    fn two_sevens_pay_as_documented() {
        assert_eq!(payout([0, 0, 1]), 350);
        assert_eq!(payout([0, 1, 2]), 0);
    }

    proptest! {
        #[test]
        fn both_forms_hold_the_same_plausible_values(random in any::<u64>()) {
            for game in Game::ALL {
                let object: serde_json::Value = serde_json::from_slice(&extras(game, ExtrasForm::Object, random)).unwrap();
                let string: String = serde_json::from_slice(&extras(game, ExtrasForm::JsonString, random)).unwrap();
                let decoded: serde_json::Value = serde_json::from_str(&string).unwrap();
                prop_assert_eq!(&object, &decoded);
                let number = |key: &str| object[key].as_str().unwrap().parse::<f64>().unwrap();
                match game {
                    Game::Crash => prop_assert!((1.0..=1000.0).contains(&number("point"))),
                    Game::Double => prop_assert!(object["number"].as_u64().unwrap() < 15),
                    Game::WallStreet => prop_assert!((1.0..3.0).contains(&number("multiplier"))),
                    Game::Slot => prop_assert_eq!(object["reels"].as_array().unwrap().len(), 3),
                }
            }
        }

        #[test]
        fn no_extras_are_larger_than_the_largest(random in any::<u64>(), is_string in any::<bool>()) {
            let form = if is_string { ExtrasForm::JsonString } else { ExtrasForm::Object };
            for game in Game::ALL {
                prop_assert!(extras(game, form, random).len() <= largest_bytes(game, form));
            }
        }
    }
}
