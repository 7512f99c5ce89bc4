//! Every place in which a server can say a text of its choice before and during a run.

use serde_json::{Value, json};

use super::{Greeting, Script};

/// What INFO has to say, with this text as every name that a report may show.
fn info_saying(text: &str, more: &Value) -> Vec<u8> {
    let mut info = json!({
        "server_id": text,
        "server_name": text,
        "version": format!("2.99.0-{text}"),
        "cluster": text,
        "domain": text,
        "client_ip": text,
        "go": text,
        "connect_urls": [text],
        "proto": 1,
        "headers": true,
        "max_payload": 1 << 20,
        "client_id": 1,
    });
    let more = more.as_object().expect("an object").clone();
    info.as_object_mut().expect("an object").extend(more);
    format!("INFO {info}\r\n").into_bytes()
}

/// A close frame with this reason, as far as it has room for it.
fn close_frame(text: &str) -> Vec<u8> {
    const MAX_BYTES: usize = 123;
    let end = (0..=text.len().min(MAX_BYTES))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .expect("zero is one");
    let length = u8::try_from(end + 2).expect("at most 125");
    [&[0x88, length, 0x03, 0xf0], &text.as_bytes()[..end]].concat()
}

/// Brokers that say this text, each in its own place, and the name of the place. The text has no line feed.
pub(crate) fn brokers_saying(text: &str) -> Vec<(&'static str, Script)> {
    let http = |status: &str, header: &str| {
        let n_bytes = text.len();
        let head = format!("HTTP/1.1 {status}\r\n{header}Content-Length: {n_bytes}\r\n\r\n");
        Greeting::Bytes([head.as_bytes(), text.as_bytes()].concat())
    };
    // No control character can stand in a head; what is left of the text can.
    let printable: String = text.chars().filter(|c| !c.is_control()).collect();
    let refusal = format!("-ERR 'Authorization Violation {text}'\r\n").into_bytes();
    let greetings = [
        ("body", http("403 Forbidden", "")),
        (
            "body of a proxy",
            http("502 Bad Gateway", "Server: nginx\r\n"),
        ),
        (
            "head",
            http(
                &format!("404 {printable}"),
                &format!("Server: {printable}\r\n"),
            ),
        ),
        (
            "redirect",
            http("302 Found", &format!("Location: /{printable}\r\n")),
        ),
        (
            "no HTTP",
            Greeting::Bytes(format!("220 {text}\r\n").into_bytes()),
        ),
        ("close reason", Greeting::Frames(close_frame(text))),
        (
            "no INFO",
            Greeting::Nats(format!("HELLO {text}\r\n").into_bytes()),
        ),
        (
            "bad INFO",
            Greeting::Nats(format!("INFO {}\r\n", json!({"proto": text})).into_bytes()),
        ),
        (
            "refusal",
            Greeting::Nats([info_saying(text, &json!({"auth_required": true})), refusal].concat()),
        ),
        ("INFO", Greeting::Nats(info_saying(text, &json!({})))),
    ];
    let scripts = greetings.map(|(place, greeting)| (place, Script::new().greeting(greeting)));
    // The script wants a text that lives as long as the test process.
    let error = format!("-ERR 'Permissions Violation for Publish to \"{text}\"'\r\n").leak();
    let fatal = format!("-ERR 'Slow {text}'\r\n").leak();
    let in_mid_run = [
        ("error in mid-run", Script::new().inject(1, error)),
        (
            "last words",
            Script::new().inject(1, fatal).cut_in_mid_frame(2),
        ),
    ];
    scripts.into_iter().chain(in_mid_run).collect()
}
