//! Fixed results of the doctor for the tests of renderers and of the schema: nothing in them depends on time or machine.

use super::{
    Certainty, CheckResult, CheckStatus, DOCTOR_SCHEMA, DoctorResult, DoctorStatus, Fact, Finding,
    Severity,
};

/// Every fixed result, by name.
pub(crate) fn all() -> [(&'static str, DoctorResult); 8] {
    [
        ("healthy", healthy()),
        ("broken", broken()),
        ("warned", warned()),
        ("strict", warned().strictly()),
        ("unsure", unsure()),
        ("input", input()),
        ("offline", offline()),
        ("several", several()),
    ]
}

/// A broker without fault, and something that is good to know.
pub(crate) fn healthy() -> DoctorResult {
    let mut result = result("ws://localhost:8443", vec![note()]);
    result.checks = vec![
        looked("input", CheckStatus::Passed, "1 subject", 12_000),
        looked(
            "dns",
            CheckStatus::Passed,
            "localhost is ::1, 127.0.0.1",
            412_000,
        ),
        looked(
            "tcp",
            CheckStatus::Passed,
            "[::1]:8443 answered in 58.0 us",
            58_000,
        ),
        skipped("greeting", "ws:// is not greeted"),
        skipped("tls", "ws:// has no TLS"),
        looked(
            "upgrade",
            CheckStatus::Passed,
            "101 Switching Protocols",
            221_000,
        ),
        looked("info", CheckStatus::Passed, "nats-server 2.15.1", 110_000),
        looked("connect", CheckStatus::Passed, "PONG", 345_000),
        looked(
            "permissions",
            CheckStatus::Passed,
            "rounds.type.* may be subscribed to",
            190_000,
        ),
        skipped("round-trip", "not asked for: `--publish SUBJECT`"),
        looked(
            "flow",
            CheckStatus::Passed,
            "41 messages in 203 ms",
            203_000_000,
        ),
        skipped("jetstream", "not asked for: `--jetstream`"),
        looked("health", CheckStatus::Passed, "5 round trips", 980_000),
        skipped("watch", "not asked for: `--watch 90s`"),
    ];
    result.facts = vec![
        fact("version", "nats-server 2.15.1"),
        fact(
            "server",
            "broker-1 (NDJWE4SOUJOJT2TY5Y2YQEOAHGAK5VIGXTGKWJSFHVCII4ITI3LBHBUV)",
        ),
        fact("account", "$G"),
        fact("limits", "payload 1.00 MiB, subscriptions unlimited"),
        fact("round trip", "182 us median, 150 us at best (5 PINGs)"),
        fact(
            "traffic",
            "rounds.type.*: 41 messages in 203 ms, all of them rounds",
        ),
    ];
    result
}

/// One cause, with everything that a finding can have, and a further one.
pub(crate) fn broken() -> DoctorResult {
    let mut result = result(
        "ws://localhost:8080/nats",
        vec![dropped_headers(), expiring()],
    );
    result.checks = vec![
        CheckResult {
            status: CheckStatus::Warned,
            ..looked("input", CheckStatus::Passed, "1 credentials file", 12_000)
        },
        looked(
            "dns",
            CheckStatus::Passed,
            "localhost is 127.0.0.1",
            412_000,
        ),
        looked(
            "tcp",
            CheckStatus::Passed,
            "127.0.0.1:8080 answered in 58.0 us",
            58_000,
        ),
        skipped("tls", "ws:// has no TLS"),
        looked(
            "upgrade",
            CheckStatus::Failed,
            "GET /nats: 400 Bad Request",
            5_100_000,
        ),
    ];
    for id in ["info", "connect", "permissions", "flow", "health"] {
        result.checks.push(skipped(id, "upgrade failed"));
    }
    for (id, flag) in [
        ("round-trip", "`--publish SUBJECT`"),
        ("jetstream", "`--jetstream`"),
        ("watch", "`--watch 90s`"),
    ] {
        let reason = format!("not asked for: {flag}");
        result.checks.push(skipped(id, &reason));
    }
    result.facts = vec![fact("proxy", "nginx/1.24.0")];
    result
}

/// It works, but something will surprise.
pub(crate) fn warned() -> DoctorResult {
    let mut result = healthy();
    result.findings = vec![expiring(), note()];
    result.checks[0].status = CheckStatus::Warned;
    finished(result)
}

/// Causes that cannot be told apart, and a check that could not look.
pub(crate) fn unsure() -> DoctorResult {
    let finding = finding("tcp.timeout", "tcp", Severity::Error)
        .certainty(Certainty::Possible)
        .because("Not even a refusal comes back from 192.0.2.1:443.")
        .evidence("192.0.2.1:443", "connection timed out after 4 s")
        .remedy("Open TCP port 443 to 192.0.2.1 in the firewall or security group.")
        .remedy("If the address is wrong, correct the host name or its DNS record.")
        .or(
            "The machine 192.0.2.1 is down.",
            "Look at it: does anything else on it answer?",
        )
        .or(
            "The address is wrong.",
            "Compare it with what the operator of the broker says.",
        );
    let finding = Finding {
        title: "A firewall drops what is sent to 192.0.2.1:443.".to_owned(),
        ..finding
    };
    let mut result = result("wss://broker.example", vec![finding]);
    result.checks = vec![
        looked(
            "dns",
            CheckStatus::Passed,
            "broker.example is 192.0.2.1",
            1_412_000,
        ),
        looked(
            "tcp",
            CheckStatus::Failed,
            "192.0.2.1:443: connection timed out",
            4_000_000_000,
        ),
        CheckResult {
            could_not_look: true,
            ..skipped("health", "the time ran out")
        },
    ];
    result.interrupted = true;
    result
}

/// A fault in what was typed.
pub(crate) fn input() -> DoctorResult {
    let finding = finding("input.empty-token", "input", Severity::Error)
        .because("nats-server refuses it, or drops it without a word.")
        .remedy("Remove one of the dots:\n    natsbench doctor 'rounds.game'")
        .pointing_at("rounds..game", 7..8);
    let finding = Finding {
        title: "`rounds..game` is no subject: there is nothing between two dots.".to_owned(),
        ..finding
    };
    let mut result = result("ws://localhost:8443", vec![finding]);
    result.checks = vec![
        looked("input", CheckStatus::Failed, "1 subject", 12_000),
        skipped("tcp", "the input cannot be used"),
        skipped("connect", "the input cannot be used"),
    ];
    result
}

/// Nothing was connected to.
pub(crate) fn offline() -> DoctorResult {
    let mut result = result("ws://localhost:8443", Vec::new());
    result.checks = vec![
        looked(
            "input",
            CheckStatus::Passed,
            "rounds.game.* is a valid pattern",
            12_000,
        ),
        skipped("tcp", "`--offline` connects to nothing"),
        skipped("connect", "`--offline` connects to nothing"),
    ];
    result
}

/// Two servers, of which one works.
pub(crate) fn several() -> DoctorResult {
    let mut first = broken();
    first.findings.truncate(1);
    let mut second = healthy();
    second.target = "ws://localhost:8444".to_owned();
    DoctorResult::of_several(vec![first, second]).expect("there are two")
}

/// A result whose every text is `text`.
pub(crate) fn saying(text: &str) -> DoctorResult {
    let mut finding = finding(text, "upgrade", Severity::Error)
        .because(text)
        .evidence(text, text)
        .paste(text, &[text, "plain"])
        .remedy(text)
        .or(text, text)
        .pointing_at(text, 0..text.len());
    text.clone_into(&mut finding.title);
    let warning = Finding {
        severity: Severity::Warning,
        certainty: Certainty::Likely,
        ..finding.clone()
    };
    let info = Finding {
        severity: Severity::Info,
        ..finding.clone()
    };
    let mut one = result(text, vec![finding, warning, info]);
    one.checks = vec![
        looked("upgrade", CheckStatus::Failed, text, 1),
        looked("flow", CheckStatus::Warned, text, 1),
        looked("connect", CheckStatus::Passed, text, 1),
        skipped("info", text),
    ];
    one.facts = vec![fact(text, text), fact("version", text)];
    let mut healthy = one.clone();
    healthy.findings.clear();
    healthy.checks.drain(..2);
    healthy.target = "ws://other:8443".to_owned();
    DoctorResult::of_several(vec![one, finished(healthy)]).expect("there are two")
}

fn result(target: &str, findings: Vec<Finding>) -> DoctorResult {
    finished(DoctorResult {
        schema: DOCTOR_SCHEMA.to_owned(),
        natsbench_version: "0.1.0".to_owned(),
        target: target.to_owned(),
        status: DoctorStatus::Ok,
        findings,
        checks: Vec::new(),
        facts: Vec::new(),
        started_at: "2026-01-02T03:04:05.678Z".to_owned(),
        duration_ns: 207_000_000,
        interrupted: false,
    })
}

/// With the status that its findings come to.
fn finished(mut result: DoctorResult) -> DoctorResult {
    result.status = DoctorResult::status_of(&result.findings);
    result
}

fn finding(code: &str, check: &str, severity: Severity) -> Finding {
    Finding {
        code: code.to_owned(),
        check: check.to_owned(),
        severity,
        certainty: Certainty::Certain,
        title: String::new(),
        explanation: String::new(),
        evidence: Vec::new(),
        remedy: Vec::new(),
        pointer: None,
        alternatives: Vec::new(),
        server: None,
    }
}

fn dropped_headers() -> Finding {
    let finding = finding("upgrade.proxy-dropped-headers", "upgrade", Severity::Error)
        .because("The answer has the words of nats-server, but nginx has put its name to it: the request reached nats-server without `Upgrade`, which nginx does not pass on unless it is told to.")
        .evidence("answer", "400 Bad Request")
        .evidence("Server", "nginx/1.24.0")
        .evidence("answer with the headers in place", "101 Switching Protocols")
        .evidence("body", "invalid value for header 'Upgrade'\nRequest ID 7")
        .paste(
            "In the `location` of nginx that leads to nats-server:",
            &[
                "proxy_http_version 1.1;",
                "proxy_set_header Upgrade $http_upgrade;",
                "proxy_set_header Connection \"upgrade\";",
            ],
        );
    Finding {
        title: "nginx at localhost:8080 does not pass the Upgrade header on to nats-server."
            .to_owned(),
        ..finding
    }
}

fn expiring() -> Finding {
    let finding = finding("input.jwt-expires-soon", "input", Severity::Warning)
        .certainty(Certainty::Likely)
        .because("From then on the server refuses the login and ends connections that are open.")
        .evidence("expires", "2026-01-03T00:00:00Z")
        .paste(
            "Have new credentials made, for example:",
            &["nsc generate creds --account GAMES --name reader"],
        );
    Finding {
        title: "The credentials in game.creds expire in 20 hours.".to_owned(),
        ..finding
    }
}

fn note() -> Finding {
    let finding = finding("health.client-port-open", "health", Severity::Info)
        .because("A backend may use it; browsers cannot.");
    Finding {
        title: "The client port 4222 of this server can be reached, too.".to_owned(),
        ..finding
    }
}

fn looked(id: &str, status: CheckStatus, detail: &str, duration_ns: u64) -> CheckResult {
    CheckResult {
        id: id.to_owned(),
        status,
        could_not_look: false,
        reason: None,
        detail: Some(detail.to_owned()),
        duration_ns,
        server: None,
    }
}

fn skipped(id: &str, reason: &str) -> CheckResult {
    CheckResult {
        id: id.to_owned(),
        status: CheckStatus::Skipped,
        could_not_look: false,
        reason: Some(reason.to_owned()),
        detail: None,
        duration_ns: 0,
        server: None,
    }
}

pub(crate) fn fact(name: &str, value: &str) -> Fact {
    Fact {
        name: name.to_owned(),
        value: value.to_owned(),
        server: None,
    }
}
