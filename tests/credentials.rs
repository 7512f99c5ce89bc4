//! Who we are: every kind of credentials, right and wrong, from every place that they may come from.

use natsbench::cli::exit;
use nkeys::KeyPair;

use crate::harness::{Broker, Natsbench, Operator, completed, publish, refused, write_context};

fn with_user(user: &str, password: &str) -> Broker {
    let block = format!("authorization {{ user: \"{user}\", password: \"{password}\" }}");
    Broker::builder().config(&block).start()
}

/// A URL with user info in front of its host.
fn with_user_info(url: &str, user_info: &str) -> String {
    url.replace("://", &format!("://{user_info}@"))
}

#[track_caller]
fn is_let_in(run: Natsbench) {
    assert_eq!(completed(&run.run())["load"]["sent"], 10);
}

#[track_caller]
fn is_refused_in_the_words_of_the_server(run: Natsbench, secret: &str) {
    let stderr = refused(run);
    assert!(stderr.contains("Authorization Violation"), "{stderr}");
    assert!(stderr.contains("try: check the credentials"), "{stderr}");
    assert!(!stderr.contains(secret), "{stderr}");
}

#[test]
fn a_user_is_let_in_with_the_right_password_only() {
    let broker = with_user("alice", "hunter/2");
    let url = broker.ws_url();
    is_let_in(publish(&[
        "-s",
        &url,
        "--user",
        "alice",
        "--password",
        "hunter/2",
    ]));
    let from_environment = publish(&["-s", &url])
        .env("NATS_USER", "alice")
        .env("NATS_PASSWORD", "hunter/2");
    is_let_in(from_environment);
    is_let_in(publish(&["-s", &with_user_info(&url, "alice:hunter%2F2")]));
    let run = publish(&["--context", "c"]);
    write_context(
        &run,
        "c",
        &format!(r#"{{"url":"{url}","user":"alice","password":"hunter/2"}}"#),
    );
    is_let_in(run);

    for args in [
        &["-s", &url, "--user", "alice", "--password", "letmein"][..],
        &["-s", &url, "--user", "alice"],
        &["-s", &url, "--token", "letmein"],
        &["-s", &url],
        &["-s", &with_user_info(&url, "alice:letmein")],
    ] {
        is_refused_in_the_words_of_the_server(publish(args), "letmein");
    }
}

#[test]
fn a_token_is_let_in() {
    let broker = Broker::builder()
        .config("authorization { token: \"s3cr3t\" }")
        .start();
    let url = broker.ws_url();
    is_let_in(publish(&["-s", &url, "--token", "s3cr3t"]));
    is_let_in(publish(&["-s", &url]).env("NATS_TOKEN", "s3cr3t"));
    is_let_in(publish(&["-s", &with_user_info(&url, "s3cr3t")]));
    is_refused_in_the_words_of_the_server(publish(&["-s", &url, "--token", "gue55"]), "gue55");
}

#[test]
fn an_nkey_signs_the_nonce() {
    let pair = KeyPair::new_user();
    let users = format!(
        "authorization {{ users: [ {{ nkey: {} }} ] }}",
        pair.public_key()
    );
    let broker = Broker::builder()
        .config(&users)
        .file("user.nk", &format!("# mine\n{}\n", pair.seed().unwrap()))
        .file("other.nk", &KeyPair::new_user().seed().unwrap())
        .start();
    let file = |name: &str| broker.dir().join(name).to_str().unwrap().to_owned();
    for url in [broker.ws_url(), broker.client_url()] {
        is_let_in(publish(&["-s", &url, "--nkey", &file("user.nk")]));
        is_let_in(publish(&["-s", &url]).env("NATS_NKEY", file("user.nk")));
        is_refused_in_the_words_of_the_server(
            publish(&["-s", &url, "--nkey", &file("other.nk")]),
            &pair.seed().unwrap(),
        );
    }
}

#[test]
fn a_credentials_file_is_let_in_by_a_server_that_trusts_its_operator() {
    let operator = Operator::new();
    let broker = Broker::builder()
        .config(&operator.config())
        .file("user.creds", &operator.creds(None))
        .file("expired.creds", &operator.creds(Some(1_700_000_001)))
        .file("foreign.creds", &Operator::new().creds(None))
        .start();
    let file = |name: &str| broker.dir().join(name).to_str().unwrap().to_owned();
    for url in [broker.ws_url(), broker.client_url()] {
        is_let_in(publish(&["-s", &url, "--creds", &file("user.creds")]));
        is_let_in(publish(&["-s", &url]).env("NATS_CREDS", file("user.creds")));
        for name in ["expired.creds", "foreign.creds"] {
            let run = publish(&["-s", &url, "--creds", &file(name)]);
            is_refused_in_the_words_of_the_server(run, "eyJ");
        }
    }
}

#[test]
fn credentials_do_no_harm_where_nobody_asks_for_them() {
    let broker = Broker::builder()
        .file("user.creds", &Operator::new().creds(None))
        .start();
    let creds = broker.dir().join("user.creds");
    is_let_in(publish(&["-s", &broker.ws_url()]).env("NATS_CREDS", creds));
}

/// What each source offers; `None` is nothing.
#[derive(Clone, Copy, Default)]
struct Offers {
    flag: &'static [&'static str],
    url_flag: Option<&'static str>,
    environment: &'static [(&'static str, &'static str)],
    url_environment: Option<&'static str>,
    context: Option<&'static str>,
}

impl Offers {
    fn run(self, url: &str) -> Natsbench {
        let flag_url = self.url_flag.map(|info| with_user_info(url, info));
        let mut args: Vec<&str> = self.flag.to_vec();
        args.extend(flag_url.iter().flat_map(|url| ["-s", url.as_str()]));
        if self.context.is_some() {
            args.extend(["--context", "c"]);
        }
        let mut run = publish(&args);
        for (variable, value) in self.environment {
            run = run.env(variable, value);
        }
        match (self.url_environment, self.url_flag, self.context) {
            (Some(info), ..) => run = run.env("NATS_URL", with_user_info(url, info)),
            (None, None, None) => run = run.env("NATS_URL", url),
            _ => {}
        }
        if let Some(fields) = self.context {
            write_context(&run, "c", &format!(r#"{{"url":"{url}",{fields}}}"#));
        }
        run
    }
}

#[test]
fn flag_comes_before_environment_before_context_whatever_the_kind() {
    // Given a server that lets in the token `good` and nothing else.
    let broker = Broker::builder()
        .config("authorization { token: \"good\" }")
        .start();
    let environment = &[("NATS_USER", "bad"), ("NATS_PASSWORD", "bad")][..];
    let context = Some(r#""user":"bad","password":"bad""#);
    for (case, offers) in [
        Offers {
            flag: &["--token", "good"],
            environment,
            context,
            ..Offers::default()
        },
        Offers {
            flag: &["--token", "good"],
            url_environment: Some("bad:bad"),
            ..Offers::default()
        },
        Offers {
            flag: &["--token", "good"],
            url_flag: Some("bad"),
            ..Offers::default()
        },
        Offers {
            url_flag: Some("good"),
            environment,
            context,
            ..Offers::default()
        },
        Offers {
            environment: &[("NATS_TOKEN", "good")],
            context,
            ..Offers::default()
        },
        Offers {
            url_environment: Some("good"),
            context,
            ..Offers::default()
        },
        Offers {
            context: Some(r#""token":"good""#),
            ..Offers::default()
        },
        // An empty variable is none, and a password alone is nobody.
        Offers {
            environment: &[
                ("NATS_USER", ""),
                ("NATS_CREDS", ""),
                ("NATS_TIMEOUT", ""),
                ("NATS_CA", ""),
            ],
            context: Some(r#""token":"good""#),
            ..Offers::default()
        },
        Offers {
            environment: &[("NATS_PASSWORD", "bad")],
            context: Some(r#""token":"good""#),
            ..Offers::default()
        },
    ]
    .into_iter()
    .enumerate()
    {
        // When it is offered beside weaker ones, then it is what counts.
        let finished = offers.run(&broker.ws_url()).run();
        assert_ne!(
            finished.code,
            Some(i32::from(exit::UNREACHABLE)),
            "case {case}: {}",
            finished.stderr
        );
        completed(&finished);
    }
}

#[test]
fn a_password_may_come_from_a_stronger_place_than_its_user() {
    let broker = with_user("alice", "pw");
    for offers in [
        Offers {
            flag: &["--password", "pw"],
            context: Some(r#""user":"alice","password":"old""#),
            ..Offers::default()
        },
        Offers {
            flag: &["--user", "alice"],
            environment: &[("NATS_PASSWORD", "pw")],
            ..Offers::default()
        },
    ] {
        is_let_in(offers.run(&broker.ws_url()));
    }
    // But the password of a context is not shown to anybody for another user.
    let other = Offers {
        flag: &["--user", "alice"],
        context: Some(r#""user":"bob","password":"pw""#),
        ..Offers::default()
    };
    refused(other.run(&broker.ws_url()));
}

#[test]
fn each_server_of_a_list_has_its_own_user() {
    let closed = with_user("bob", "bob");
    let open = with_user("alice", "alice");
    let servers = format!(
        "{},{}",
        with_user_info(&closed.ws_url(), "alice:alice"),
        with_user_info(&open.ws_url(), "alice:alice")
    );
    // The first server refuses, the second lets in.
    is_let_in(publish(&["-s", &servers]));
    let servers = format!(
        "{},{}",
        with_user_info(&open.ws_url(), "bob:bob"),
        with_user_info(&closed.ws_url(), "bob:bob")
    );
    is_let_in(publish(&["-s", &servers]));
}

#[test]
fn a_local_broker_does_not_care_for_the_environment() {
    let run = publish(&["--local-broker"])
        .env("NATS_URL", "ws://127.0.0.1:1")
        .env("NATS_CONTEXT", "missing")
        .env("NATS_CREDS", "/missing.creds")
        .env("NATS_CA", "/missing.pem");
    is_let_in(run);
    let finished = publish(&["--local-broker", "-s", "ws://u:p@127.0.0.1:1"])
        .run()
        .exits(exit::USAGE);
    assert!(
        finished.stderr.contains("`--server`"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_its_line_and_nothing_is_connected() {
    let broker = Broker::builder()
        .file("cut.creds", "-----BEGIN NATS USER JWT-----\na.b.c\n")
        .file("bad.nk", "\nSUPERSECRET\n")
        .start();
    let file = |name: &str| broker.dir().join(name).to_str().unwrap().to_owned();
    for (flag, name, reason) in [
        ("--creds", "cut.creds", "line 1: "),
        ("--nkey", "bad.nk", "line 2: "),
        ("--creds", "missing.creds", "No such file"),
    ] {
        let run = publish(&["-s", &broker.ws_url(), flag, &file(name)]);
        let finished = run.run().exits(exit::USAGE);
        for part in [name, reason] {
            assert!(finished.stderr.contains(part), "{}", finished.stderr);
        }
        assert!(
            !finished.stderr.contains("SUPERSECRET"),
            "{}",
            finished.stderr
        );
    }
    let run = publish(&["-s", &broker.ws_url(), "--password", "x"]);
    assert!(run.run().exits(exit::USAGE).stderr.contains("--user"));
}
