//! Text that others wrote, for a terminal: nothing in it moves the cursor, sets the clipboard, or hides what it says.

/// Whether a character does something to a terminal, or to the text around it, instead of being shown.
fn is_harmful(c: char) -> bool {
    // Marks, embeddings, overrides and isolates that change the direction of what follows.
    let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    c.is_control() || reorders || breaks
}

/// Makes a text harmless to a terminal: no control characters, and nothing that reorders or breaks the line.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| {
            if is_harmful(c) {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

/// Makes the JSON from `start` on harmless to a terminal, without changing what it says.
///
/// JSON has to escape only what ASCII calls control characters. The others can stand in its strings alone, and mean the
/// same when they are escaped.
pub(crate) fn harmless_json(json: &mut Vec<u8>, start: usize) {
    // Nearly all JSON is ASCII, and this runs for every message.
    if json[start..].iter().all(|byte| *byte < 0x7f) {
        return;
    }
    let text = String::from_utf8_lossy(&json[start..]).into_owned();
    json.truncate(start);
    for c in text.chars() {
        if c >= '\u{7f}' && is_harmful(c) {
            json.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
        } else {
            json.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_a_terminal_obeys() {
        for harmful in
            "\u{1b}\u{7}\r\n\t\u{7f}\u{9b}\u{85}\u{61c}\u{200f}\u{202e}\u{2066}\u{2028}".chars()
        {
            assert_eq!(
                harmless(&format!("a{harmful}b")),
                "a\u{fffd}b",
                "{harmful:?}"
            );
        }
        assert_eq!(
            harmless("r\u{e9}sum\u{e9} \u{1f3b2}"),
            "r\u{e9}sum\u{e9} \u{1f3b2}"
        );
    }

    proptest::proptest! {
        #[test]
        fn json_means_the_same(text in ".*", ours in "[ -~]*") {
            let mut json = ours.clone().into_bytes();
            serde_json::to_writer(&mut json, &text).unwrap();
            harmless_json(&mut json, ours.len());
            let shown = std::str::from_utf8(&json[ours.len()..]).unwrap();
            proptest::prop_assert!(!shown.contains(is_harmful));
            proptest::prop_assert_eq!(serde_json::from_str::<String>(shown).unwrap(), text);
            proptest::prop_assert!(json.starts_with(ours.as_bytes()));
        }
    }
}
