//! Secrets that a server sends back: in a refusal, a close reason, a page, or as a name of its own.

use std::fs;

use natsbench::cli::exit;

use super::{FILES, assert_all_kept, with_user_info};
use crate::harness::{FakeBroker, Natsbench, Operator, brokers_saying};

/// A secret of each kind that is given as a text.
const PASSWORD: &str = "pw-5f3759df-a";
const TOKEN: &str = "tok-5f3759df-b";
const USER_INFO: &str = "inf-5f3759df-c";
const QUERY: &str = "qry-5f3759df-d";
const BEARER: &str = "brr-5f3759df-e";
const COOKIE: &str = "coo-5f3759df-f";

/// A run of each command that connects, which is over soon whatever the broker does.
const RUNS: [&[&str]; 6] = [
    &["latency", "--warmup=0s", "--duration=50ms", "--drain=50ms"],
    &[
        "latency",
        "--warmup=0s",
        "--duration=50ms",
        "--drain=50ms",
        "-ojson",
    ],
    &["pub", "--count=5", "-omarkdown"],
    &["sub", "rounds.>", "--duration=50ms"],
    &["doctor", "--save=saved"],
    &["doctor", "--strict", "-ojunit"],
];

/// Runs every command against brokers that say these secrets in all places, with arguments that make them secrets.
#[track_caller]
fn assert_never_quoted(said: &str, secrets: &[&str], args: impl Fn(&str) -> Vec<String>) {
    for idx in 0..brokers_saying(said).len() {
        for command in RUNS {
            let (_, script) = brokers_saying(said).swap_remove(idx);
            let broker = FakeBroker::start(script);
            let files: &[&str] = if command[0] == "latency" { &FILES } else { &[] };
            let args = args(&broker.ws_url());
            let given = args.iter().map(String::as_str);
            let all = command.iter().chain(files).copied().chain(given);
            let run = Natsbench::new(all.chain(["--timeout", "500ms"]));
            let finished = run.run();
            assert_ne!(finished.code, Some(i32::from(exit::USAGE)), "{finished:?}");
            assert_all_kept(&finished, secrets);
        }
    }
}

#[test]
fn what_a_server_sends_back_is_no_way_for_a_secret_to_get_out() {
    let secrets = [PASSWORD, QUERY, BEARER, COOKIE];
    assert_never_quoted(&secrets.join(" "), &secrets, |url| {
        let query = format!("{url}/?auth={QUERY}");
        let bearer = format!("Authorization: Bearer {BEARER}");
        let cookie = format!("Cookie: theme=dark; sid={COOKIE}");
        [
            &["-s", &query, "--user", "me", "--password", PASSWORD][..],
            &["--header", &bearer, "--header", &cookie],
        ]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect()
    });
    assert_never_quoted(PASSWORD, &[PASSWORD], |url| {
        // `me:` and that password.
        let basic = "Authorization: Basic bWU6cHctNWYzNzU5ZGYtYQ==";
        ["-s", url, "--header", basic].map(str::to_owned).into()
    });
    assert_never_quoted(TOKEN, &[TOKEN], |url| {
        ["-s", url, "--token", TOKEN].map(str::to_owned).into()
    });
    assert_never_quoted(USER_INFO, &[USER_INFO], |url| {
        vec![
            "-s".to_owned(),
            with_user_info(url, &format!("me:{USER_INFO}")),
        ]
    });
}

#[test]
fn nor_is_it_for_a_seed_or_a_jwt() {
    let creds = Operator::new().creds(None);
    let line = |begin: &str| {
        let mut lines = creds.lines();
        lines
            .find(|line| line.starts_with(begin))
            .unwrap()
            .to_owned()
    };
    let (jwt, seed) = (line("eyJ"), line("SU"));
    // The head of a JWT says only how it is signed.
    let (_, claims) = jwt.split_once('.').unwrap();
    let shown = [
        &claims[..20],
        &claims[claims.len() - 20..],
        &seed[..20],
        &seed[20..],
    ];
    let folder = tempfile::TempDir::new().unwrap();
    for (name, content, flag, said) in [
        ("user.creds", &creds, "--creds", format!("{seed} {jwt}")),
        ("user.nk", &seed, "--nkey", seed.clone()),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let path = path.to_str().unwrap();
        assert_never_quoted(&said, &shown, |url| {
            ["-s", url, flag, path].map(str::to_owned).into()
        });
    }
}
