//! Contexts of the `nats` command line: read as they are, and only when asked for.

use std::fs;

use natsbench::cli::exit;
use nkeys::KeyPair;

use crate::harness::{
    Authority, Broker, Natsbench, Operator, completed, publish, refused, write_context,
};

#[track_caller]
fn usage_error(run: Natsbench) -> String {
    let finished = run.run().exits(exit::USAGE);
    assert_eq!(finished.stdout, "");
    finished.stderr
}

#[test]
fn every_field_that_the_nats_command_line_writes_is_read() {
    // Given a context as `nats context add` writes it, with everything that is not used left empty.
    let broker = Broker::builder()
        .config("authorization { user: a, password: b }")
        .start();
    let run = publish(&["--context", "prod.eu"]);
    let json = format!(
        r#"{{"description":"x","url":"{}","socks_proxy":"","token":"","user":"a","password":"b","creds":"","nkey":"",
        "cert":"","key":"","ca":"","nsc":"","jetstream_domain":"","jetstream_api_prefix":"","jetstream_event_prefix":"",
        "inbox_prefix":"","user_jwt":"","color_scheme":"","tls_first":false}}"#,
        broker.ws_url()
    );
    write_context(&run, "prod.eu", &json);
    let result = completed(&run.run());
    assert_eq!(result["connection"]["url"], broker.ws_url());
}

#[test]
fn files_of_a_context_are_found_below_the_home_directory() {
    let pair = KeyPair::new_user();
    let users = format!(
        "authorization {{ users: [ {{ nkey: {} }} ] }}",
        pair.public_key()
    );
    let broker = Broker::builder().config(&users).start();
    for path in ["~/user.nk", "$HOME/user.nk"] {
        let run = publish(&["--context", "c"]);
        fs::write(run.home().join("user.nk"), pair.seed().unwrap()).unwrap();
        let json = format!(r#"{{"url":"{}","nkey":"{path}"}}"#, broker.ws_url());
        write_context(&run, "c", &json);
        completed(&run.run());
    }

    let operator = Operator::new();
    let broker = Broker::builder().config(&operator.config()).start();
    let run = publish(&["--context", "c"]);
    fs::write(run.home().join("user.creds"), operator.creds(None)).unwrap();
    let json = format!(r#"{{"url":"{}","creds":"~/user.creds"}}"#, broker.ws_url());
    write_context(&run, "c", &json);
    completed(&run.run());

    // The JWT may also stand in the context itself.
    let creds = operator.creds(None);
    let lines: Vec<&str> = creds.lines().collect();
    let run = publish(&["--context", "c"]);
    let json = format!(
        r#"{{"url":"{}","user_jwt":"{}","user_seed":"{}"}}"#,
        broker.ws_url(),
        lines[1],
        lines[5]
    );
    write_context(&run, "c", &json);
    completed(&run.run());
}

#[test]
fn a_context_brings_its_certificates() {
    let authority = Authority::new();
    let server = authority.issue(&["localhost", "127.0.0.1"]);
    let client = authority.issue(&["client"]);
    let broker = Broker::builder()
        .websocket("tls { cert_file: \"@DIR@/s.crt\", key_file: \"@DIR@/s.key\", ca_file: \"@DIR@/ca.crt\", verify: true }")
        .file("s.crt", &server.certificate)
        .file("s.key", &server.key)
        .file("ca.crt", &authority.pem())
        .file("c.crt", &client.certificate)
        .file("c.key", &client.key)
        .start();
    let dir = broker.dir().to_str().unwrap();
    let run = publish(&["--context", "c"]);
    let json = format!(
        r#"{{"url":"{}","ca":"{dir}/ca.crt","cert":"{dir}/c.crt","key":"{dir}/c.key"}}"#,
        broker.ws_url()
    );
    write_context(&run, "c", &json);
    assert_eq!(completed(&run.run())["connection"]["verified"], true);
}

#[test]
fn a_context_may_be_named_by_the_environment_and_lie_where_xdg_says() {
    let broker = Broker::start();
    let run = publish::<&str>(&[]).env("NATS_CONTEXT", "c");
    let elsewhere = run.home().join("xdg");
    fs::create_dir_all(elsewhere.join("nats/context")).unwrap();
    let json = format!(r#"{{"url":"{}"}}"#, broker.ws_url());
    fs::write(elsewhere.join("nats/context/c.json"), json).unwrap();
    completed(&run.env("XDG_CONFIG_HOME", elsewhere).run());
}

#[test]
fn a_flag_comes_before_the_context() {
    let broker = Broker::start();
    for from_environment in [false, true] {
        let url = broker.ws_url();
        let run = if from_environment {
            publish(&["--context", "c"]).env("NATS_URL", &url)
        } else {
            publish(&["--context", "c", "-s", &url])
        };
        write_context(&run, "c", r#"{"url":"ws://127.0.0.1:1"}"#);
        assert_eq!(completed(&run.run())["connection"]["url"], url);
    }
}

#[test]
fn the_selected_context_is_never_picked_up_unasked() {
    // Given a context that would let us in and is selected, as `nats context select` does it.
    let broker = Broker::builder()
        .config("authorization { user: a, password: b }")
        .start();
    let url = broker.ws_url();
    let run = publish(&["-s", &url]);
    let json = format!(r#"{{"url":"{url}","user":"a","password":"b"}}"#);
    write_context(&run, "prod", &json);
    fs::write(run.home().join(".config/nats/context.txt"), "prod").unwrap();
    // When nothing names it, then we are nobody.
    refused(run);
}

#[test]
fn a_context_that_is_not_there_is_named_beside_those_that_are() {
    let run = publish(&["--context", "prodd"]);
    write_context(&run, "prod", "{}");
    write_context(&run, "dev", "{}");
    let stderr = usage_error(run);
    for part in ["`prodd`", "context/prodd.json", "dev, prod"] {
        assert!(stderr.contains(part), "{stderr}");
    }
    for name in ["../x", "a/b", ".."] {
        let stderr = usage_error(publish(&["--context", name]));
        assert!(stderr.contains("is not a context name"), "{stderr}");
    }
}

#[test]
fn a_malformed_context_is_named_with_its_line_and_without_its_secrets() {
    for (json, part) in [
        ("{\n\"url\": \"ws://h\",\n}", "line 3"),
        ("{\n\"token\": 12345678\n}", "line 2"),
        ("\"12345678\"", "line 1"),
        (r#"{"url":"http://h"}"#, "unknown scheme `http`"),
        (
            r#"{"user":"u","password":"op://vault/12345678"}"#,
            "`password`",
        ),
        (r#"{"socks_proxy":"socks5://p"}"#, "`socks_proxy`"),
        (r#"{"nsc":"nsc://o/a/u"}"#, "`nsc`"),
    ] {
        let run = publish(&["--context", "c"]);
        write_context(&run, "c", json);
        let stderr = usage_error(run);
        assert!(stderr.contains(part), "{json}: {stderr}");
        assert!(!stderr.contains("12345678"), "{json}: {stderr}");
    }
}
