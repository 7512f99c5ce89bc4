//! Context files of the `nats` command line: what counts is what the JSON says, and no error shows a value.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use natsbench::cli::fuzzing::{ReadContext, read_context};
use natsbench_fuzz::assert_hidden;
use serde_json::{Value, json};

fuzz_target!(|file: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(file) else {
        return Corpus::Reject;
    };
    match read_context(text) {
        Ok(context) => check(text, &context),
        Err(shown) => assert_hidden(text, &shown),
    }
    Corpus::Keep
});

fn check(text: &str, context: &ReadContext) {
    // What is not looked at may be a number that is too large, say.
    let Ok(said) = serde_json::from_str::<Value>(text) else {
        return;
    };
    assert!(said.is_object());
    let field = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
    for url in &context.urls {
        assert!(!url.is_empty() && url.trim() == url && !url.contains(','));
        assert!(field("url").contains(url.as_str()));
    }
    for (name, value) in &context.texts {
        assert_eq!(
            value.as_deref().unwrap_or_default(),
            field(name),
            "`{name}`"
        );
    }
    assert_eq!(
        json!(context.tls_first),
        *said.get("tls_first").unwrap_or(&json!(false))
    );
    for (name, path) in &context.paths {
        let is_home = ["~/", "$HOME/", "${HOME}/"]
            .iter()
            .any(|prefix| field(name).starts_with(prefix));
        let expected = field(name).strip_prefix("file://").unwrap_or(field(name));
        let path = path
            .as_deref()
            .map(|path| path.to_str().expect("it was a text"));
        assert!(is_home || path.unwrap_or_default() == expected, "`{name}`");
    }
}
