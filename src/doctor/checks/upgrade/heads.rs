//! Answers that do not end, do not begin, or are of another HTTP.

use std::time::Duration;

use tokio::join;

use crate::doctor::code::Code;
use crate::doctor::examination::Examination;
use crate::doctor::front::{Proxy, proxy_of, subject};
use crate::doctor::http::again::Asker;
use crate::doctor::reprobe::{self, Unanswered};
use crate::doctor::words::short;
use crate::results::doctor::{Certainty, Finding, Severity};
use crate::units::{format_bytes, format_duration};

pub(super) const ENDLESS: Code = Code {
    name: "upgrade.endless-head",
    severity: Severity::Error,
    meaning: "The answer to the upgrade has a head without end.",
    cause: "A broken or hostile server: the head of an answer has a few hundred bytes.",
    fix: "Use the port of the `websocket` block of nats-server.",
};

pub(super) const TOO_MANY: Code = Code {
    name: "upgrade.too-many-headers",
    severity: Severity::Error,
    meaning: "The answer to the upgrade has more headers than any server sends.",
    cause: "A broken or hostile server, or a proxy that adds headers in a loop.",
    fix: "Use the port of the `websocket` block of nats-server, or correct the proxy.",
};

pub(super) const SLOW: Code = Code {
    name: "upgrade.slow-answer",
    severity: Severity::Error,
    meaning: "The answer to the upgrade begins, and does not come to its end in time.",
    cause: "Something on the way holds bytes back, or the server is overloaded or broken.",
    fix: "Look at what is between here and the server; raise `--timeout` if the path is slow.",
};

pub(super) const UPSTREAM_SILENT: Code = Code {
    name: "upgrade.upstream-silent",
    severity: Severity::Error,
    meaning: "The proxy is alive, and what is behind it does not answer.",
    cause: "The upstream address drops packets (firewall, wrong address), or nats-server is frozen. The proxy itself waits longer than we do.",
    fix: "Correct the upstream address, open the firewall between the two, or look at nats-server.",
};

pub(super) fn endless(place: &str, limit_bytes: usize) -> Finding {
    ENDLESS
        .finding(format!("The server at {place} answers with an HTTP head that does not end."))
        .because(format!(
            "More than {} of headers came. nats-server sends less than 1 KiB, and so does every proxy: this is something else, and broken.",
            format_bytes(limit_bytes as u64)
        ))
        .evidence("read until", format_bytes(limit_bytes as u64))
        .remedy("Use the port that the log of nats-server names in `Listening for websocket clients on`.")
}

pub(super) fn too_many(place: &str, limit: usize) -> Finding {
    TOO_MANY
        .finding(format!("The server at {place} answers with more than {limit} HTTP headers."))
        .because("nats-server sends five. Something else answers, or something on the way adds headers without end.")
        .remedy("Use the port that the log of nats-server names in `Listening for websocket clients on`.")
}

/// Nothing whole came within the limit: what did come, and is there a proxy that is alive?
pub(super) async fn silent(examination: &mut Examination<'_>, waited: Duration) -> Finding {
    let Some(asker) = Asker::of(examination) else {
        return reprobe::unanswered(examination, Unanswered::Silence { waited }).await;
    };
    let (received, provoked) = join!(asker.head_so_far(), asker.provoke());
    let place = examination.target.host_and_port();
    if !received.is_empty() && !b"HTTP/".starts_with(&received[..received.len().min(5)]) {
        let what = Unanswered::NotHttp {
            received,
            after: waited,
        };
        return reprobe::unanswered(examination, what).await;
    }
    if !received.is_empty() {
        return slow(&place, &received, waited);
    }
    match provoked.as_ref().and_then(proxy_of) {
        Some(proxy) => {
            let finding = upstream_silent(&proxy, &place, waited);
            examination.learned.front = Some(proxy);
            finding
        }
        None => reprobe::unanswered(examination, Unanswered::Silence { waited }).await,
    }
}

fn slow(place: &str, received: &[u8], waited: Duration) -> Finding {
    let text = String::from_utf8_lossy(received);
    SLOW.finding(format!(
        "The server at {place} begins to answer, and does not finish within {}.",
        format_duration(waited)
    ))
    .certainty(Certainty::Likely)
    .because("An answer to the upgrade is a few hundred bytes, and comes in one piece. Something on the way holds it back, or the server is broken.")
    .evidence("came so far", format!("{} bytes: {}", received.len(), short(&text, 100)))
    .or("the path is very slow", "`--timeout 30s` gets through")
    .remedy("Look at what is between here and the server. Raise `--timeout` if the path is known to be slow.")
}

fn upstream_silent(proxy: &Proxy, place: &str, waited: Duration) -> Finding {
    UPSTREAM_SILENT
        .finding(format!(
            "{} is alive, and what is behind it does not answer.",
            subject(Some(proxy), place)
        ))
        .certainty(Certainty::Likely)
        .because(format!(
            "The upgrade got no answer within {}, while the proxy itself answers nonsense at once with an error page of its own.",
            format_duration(waited)
        ))
        .evidence("who is in front", proxy)
        .or(
            "the upstream address cannot be reached from the proxy: a firewall drops the packets, or the address is wrong",
            "on the host of the proxy, `curl -i http://UPSTREAM/` hangs while connecting",
        )
        .or(
            "nats-server is frozen (stopped process, paused container)",
            "`curl -i http://UPSTREAM/` connects there, and no answer comes",
        )
        .remedy(format!("Correct the upstream address in {}, or look at nats-server there.", proxy.name()))
}
