//! Keeps secrets out of what is reported, wherever they come from: a server may send back what it was sent.

mod known;

use std::ops::Range;

use crate::doctor::catalogue;
use crate::doctor::plan::Plan;
use crate::net::dial::DialOptions;
use crate::net::target::Target;
use crate::results::doctor::{DoctorResult, Finding};

/// What stands for a secret.
const STARS: &str = "***";
/// What we say ourselves wherever a server is named: hiding a part of it would tell what that part is.
const OWN_NAME: &str = "nats-server";

/// Shorter texts are no secrets; hiding them would cut everything to pieces.
const MIN_BYTES: usize = 3;
/// From this length on, a secret is no word of ours.
const LONG_BYTES: usize = 12;
/// From this length on, the part of a secret that an excerpt was cut off in is hidden.
const MIN_CUT_BYTES: usize = 6;

/// A text that must not be shown.
struct Secret {
    text: String,
    /// Hidden in our own sentences, too: it is none of the words that we use.
    is_no_word: bool,
}

/// Texts that must not be shown, those that contain another one first.
#[derive(Default)]
pub(crate) struct Secrets(Vec<Secret>);

impl Secrets {
    pub(super) fn of(plan: &Plan, target: &Target) -> Self {
        Self::of_connections(&plan.dial, [target])
    }

    /// What is used to connect to any of these servers.
    pub(crate) fn of_connections<'a>(
        dial: &DialOptions,
        targets: impl IntoIterator<Item = &'a Target>,
    ) -> Self {
        let mut known = known::of_credentials(&dial.credentials);
        for (name, value) in &dial.headers {
            known.extend(known::of_header(name, value));
        }
        let mut shown = String::new();
        for target in targets {
            known.extend(known::of_target(target));
            shown.push_str(&target.to_string());
            shown.push('\n');
        }
        Self::new(&known, &shown)
    }

    /// Secrets as they are known; `target` is shown in every report.
    fn new(known: &[String], target: &str) -> Self {
        let mut texts: Vec<String> = known.iter().flat_map(|text| forms_of(text)).collect();
        texts.retain(|text| text.len() >= MIN_BYTES);
        texts.sort();
        texts.dedup();
        // What is contained in another goes last.
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        let secret = |text: String| Secret {
            is_no_word: !target.contains(&text)
                && (text.len() >= LONG_BYTES || !catalogue::uses(&text)),
            text,
        };
        Self(texts.into_iter().map(secret).collect())
    }

    /// Hides them in what may be a quotation.
    pub(crate) fn hide(&self, text: &mut String) {
        self.hide_those(text, |_| true);
    }

    /// Hides them in a sentence of ours, which may contain a quotation.
    pub(crate) fn hide_in_sentence(&self, text: &mut String) {
        self.hide_those(text, |secret| secret.is_no_word);
    }

    fn hide_those(&self, text: &mut String, is_meant: impl Fn(&Secret) -> bool) {
        for secret in self.0.iter().filter(|secret| is_meant(secret)) {
            if text.contains(&secret.text) {
                *text = if OWN_NAME.contains(&secret.text) {
                    let pieces = text.split(OWN_NAME);
                    let pieces = pieces.map(|piece| piece.replace(&secret.text, STARS));
                    pieces.collect::<Vec<_>>().join(OWN_NAME)
                } else {
                    text.replace(&secret.text, STARS)
                };
            }
            while let Some(cut) = beginning_of(text, &secret.text) {
                text.replace_range(cut, STARS);
            }
            if let Some(cut) = cut_off(text, &secret.text) {
                text.replace_range(cut, STARS);
            }
        }
    }

    /// Hides them in what was typed, so that a caret under it still points to the same place.
    fn hide_in_place(&self, text: &mut String) {
        for Secret { text: secret, .. } in &self.0 {
            if text.contains(secret.as_str()) {
                *text = text.replace(secret.as_str(), &"*".repeat(secret.len()));
            }
        }
    }

    /// Hides them everywhere.
    pub(super) fn hide_in(&self, result: &mut DoctorResult) {
        result
            .findings
            .iter_mut()
            .for_each(|finding| self.hide_in_finding(finding));
        for check in &mut result.checks {
            check.reason.iter_mut().for_each(|text| self.hide(text));
            check.detail.iter_mut().for_each(|text| self.hide(text));
        }
        for fact in &mut result.facts {
            self.hide(&mut fact.value);
        }
    }

    fn hide_in_finding(&self, finding: &mut Finding) {
        self.hide_in_sentence(&mut finding.title);
        self.hide_in_sentence(&mut finding.explanation);
        for remedy in &mut finding.remedy {
            self.hide_in_sentence(remedy);
        }
        for evidence in &mut finding.evidence {
            self.hide_in_sentence(&mut evidence.name);
            self.hide(&mut evidence.value);
        }
        for other in &mut finding.alternatives {
            self.hide_in_sentence(&mut other.cause);
            self.hide_in_sentence(&mut other.how_to_tell);
        }
        if let Some(pointer) = &mut finding.pointer {
            self.hide_in_place(&mut pointer.text);
        }
    }
}

/// A secret as it is, and as a server may write it when it sends it back in HTML, JSON or a URL.
fn forms_of(text: &str) -> [String; 5] {
    let html = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;");
    let json = serde_json::to_string(text).unwrap_or_default();
    let json = json.trim_matches('"').to_owned();
    [
        text.to_owned(),
        html,
        json,
        percent_encoded(text),
        percent_decoded(text),
    ]
}

fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let hex = behind.get(..2).filter(|_| *first == b'%');
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        rest = &behind[if byte.is_some() { 2 } else { 0 }..];
        bytes.push(byte.unwrap_or(*first));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Where the beginning of a long secret stands in a text, as far as it goes: an excerpt may stand in the middle of a
/// sentence.
fn beginning_of(text: &str, secret: &str) -> Option<Range<usize>> {
    let start = text.find(secret.get(..LONG_BYTES)?)?;
    let pairs = text[start..].char_indices().zip(secret.chars());
    let same = pairs.take_while(|((_, shown), hidden)| shown == hidden);
    let length = same.last().map(|((at, shown), _)| at + shown.len_utf8())?;
    Some(start..start + length)
}

/// Where a text ends in the beginning of a secret: an excerpt ends anywhere, with dots behind it or without.
fn cut_off(text: &str, secret: &str) -> Option<Range<usize>> {
    let shown = text.trim_end_matches(['.', '\u{2026}', ' ', '`', '"', '\'', ')']);
    let longest = secret.len().min(shown.len());
    let mut lengths = (MIN_CUT_BYTES..=longest).rev();
    let length = lengths.find(|length| {
        secret
            .get(..*length)
            .is_some_and(|beginning| shown.ends_with(beginning))
    })?;
    Some(shown.len() - length..shown.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::doctor::fixtures;

    fn secrets(plain: &[&str]) -> Secrets {
        let known: Vec<String> = plain.iter().map(|text| (*text).to_owned()).collect();
        Secrets::new(&known, "ws://broker.example:8443")
    }

    fn hidden(secrets: &Secrets, text: &str) -> String {
        let mut text = text.to_owned();
        secrets.hide(&mut text);
        text
    }

    #[test]
    fn the_beginning_of_a_long_secret_is_hidden_wherever_it_stands() {
        let secrets = secrets(&["eyJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJqdGkiOiJYIn0"]);
        let text = "-ERR 'no: eyJhbGciOiJlZDI1NTE5LW5rZ...' after 2 ms, eyJhbGciOiJlZDI1 again";
        assert_eq!(
            hidden(&secrets, text),
            "-ERR 'no: ***...' after 2 ms, *** again"
        );
    }

    #[test]
    fn a_secret_is_hidden_in_whichever_way_it_comes_back() {
        let secrets = secrets(&["p\"<&>s s"]);
        for text in [
            "p\"<&>s s",
            "p&quot;&lt;&amp;&gt;s s",
            "p\\\"<&>s s",
            "p%22%3C%26%3Es%20s",
        ] {
            assert_eq!(hidden(&secrets, &format!("got {text}, no")), "got ***, no");
        }
    }

    #[test]
    fn a_query_is_hidden_as_it_was_typed_and_decoded() {
        let secrets = secrets(&["a%20secret+key"]);
        assert_eq!(hidden(&secrets, "x=a secret+key"), "x=***");
        assert_eq!(hidden(&secrets, "x=a%20secret+key"), "x=***");
    }

    #[test]
    fn a_secret_in_which_an_excerpt_ends_is_hidden() {
        let secrets = secrets(&["eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5"]);
        assert_eq!(hidden(&secrets, "token eyJ0eXAiOiJK"), "token ***");
        assert_eq!(hidden(&secrets, "token eyJ0eXAiOiJK..."), "token ***...");
        assert_eq!(hidden(&secrets, "body `eyJ0eXAi`"), "body `***`");
        assert_eq!(
            hidden(&secrets, "the eyJ0 is no secret"),
            "the eyJ0 is no secret"
        );
    }

    #[test]
    fn a_password_that_is_a_word_of_ours_does_not_tell_itself_by_stars() {
        let secrets = secrets(&["nats", "broker"]);
        let mut title = "nats-server at broker.example does not answer.".to_owned();
        secrets.hide_in_sentence(&mut title);
        assert_eq!(title, "nats-server at broker.example does not answer.");
        assert_eq!(hidden(&secrets, "nats-server 2.15.1"), "nats-server 2.15.1");
        assert_eq!(hidden(&secrets, "pass: nats"), "pass: ***");
    }

    #[test]
    fn a_short_password_is_hidden_in_a_sentence_that_quotes_it() {
        for password in ["hunter2", "swordfish", "\u{e4}\u{f6}\u{fc}"] {
            let secrets = secrets(&[password]);
            let mut title = format!("The server says: bad password {password}.");
            secrets.hide_in_sentence(&mut title);
            assert_eq!(title, "The server says: bad password ***.");
        }
    }

    #[test]
    fn carets_stay_where_they_were() {
        let secrets = secrets(&["swordfish"]);
        let mut text = "ws://me:swordfish@h:x".to_owned();
        secrets.hide_in_place(&mut text);
        assert_eq!(text, "ws://me:*********@h:x");
    }

    #[test]
    fn nothing_of_a_result_is_forgotten() {
        let secret = "s3cret-s3cret-s3cret";
        let mut result = fixtures::saying(secret);
        // The target is printed without secrets; the codes and names are ours.
        result.target = String::new();
        for check in &mut result.checks {
            check.server = None;
        }
        for fact in &mut result.facts {
            fact.server = None;
            fact.name.clear();
        }
        for finding in &mut result.findings {
            finding.server = None;
            finding.code.clear();
        }
        secrets(&[secret]).hide_in(&mut result);
        let json = serde_json::to_string(&result).unwrap();
        assert!(!json.contains(secret), "{json}");
    }

    proptest::proptest! {
        #[test]
        fn no_text_and_no_secret_is_too_strange(text in ".*", secret in "[^*]*", at in 0usize..20) {
            let secrets = secrets(&[&secret]);
            let at = text.char_indices().nth(at).map_or(text.len(), |(at, _)| at);
            let shown = hidden(&secrets, &format!("{}{secret}{}", &text[..at], &text[at..]));
            let is_hidden = secret.len() < MIN_BYTES
                || OWN_NAME.contains(&secret)
                || !shown.contains(&secret);
            proptest::prop_assert!(is_hidden, "{shown}");
        }
    }
}
