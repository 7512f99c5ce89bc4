//! A `101` that is not the answer to our handshake.

use crate::doctor::code::Code;
use crate::doctor::http::again::Again;
use crate::doctor::http::answer::Case;
use crate::doctor::http::paths::mqtt;
use crate::doctor::words::short;
use crate::results::doctor::{Certainty, Finding, Severity};

pub(super) const INCOMPLETE: Code = Code {
    name: "upgrade.incomplete-101",
    severity: Severity::Error,
    meaning: "The `101` lacks `Upgrade` or `Connection`: a proxy took them out of the answer.",
    cause: "nats-server always sends both. A proxy that treats the answer like any other drops them as hop-by-hop headers.",
    fix: "Switch WebSocket on in that proxy.",
};

pub(super) const WRONG_ACCEPT: Code = Code {
    name: "upgrade.wrong-accept",
    severity: Severity::Error,
    meaning: "`Sec-WebSocket-Accept` does not belong to our key.",
    cause: "The answer was made for another request: a cache or a proxy that joins connections, a proxy that changes `Sec-WebSocket-Key`, or a program that only pretends to do WebSocket.",
    fix: "Take the cache or the rewriting out of the way of this path.",
};

pub(super) const MISSING_ACCEPT: Code = Code {
    name: "upgrade.missing-accept",
    severity: Severity::Error,
    meaning: "The `101` has no `Sec-WebSocket-Accept`.",
    cause: "A proxy drops the header from the answer, or a program that only pretends to do WebSocket answers.",
    fix: "Have the proxy pass `Sec-WebSocket-Accept` on.",
};

pub(super) const SUBPROTOCOL: Code = Code {
    name: "upgrade.unasked-subprotocol",
    severity: Severity::Error,
    meaning: "The other side chooses a subprotocol that was not asked for.",
    cause: "Another WebSocket service than nats-server answers: nats-server chooses none for NATS.",
    fix: "Correct the port or the path of the URL.",
};

pub(super) const EXTENSION: Code = Code {
    name: "upgrade.unasked-extension",
    severity: Severity::Error,
    meaning: "The other side answers with a WebSocket extension that was not offered so.",
    cause: "A proxy that terminates the WebSocket, or another service, negotiates by its own rules.",
    fix: "Switch compression off in that proxy, or run without `--compression`.",
};

/// The cause. `again` is what came of the same request with another key.
pub(super) fn judge(case: &Case<'_>, reason: &str, again: Option<&Again>) -> Finding {
    let reply = case.reply;
    let who = case.subject();
    if reply.has_token("Sec-WebSocket-Protocol", "mqtt") && case.path().ends_with("/mqtt") {
        return mqtt(case);
    }
    if !reply.has_token("Upgrade", "websocket") || !reply.has_token("Connection", "upgrade") {
        let missing = if reply.has_token("Upgrade", "websocket") {
            "Connection: Upgrade"
        } else {
            "Upgrade: websocket"
        };
        return case
            .finding(
                &INCOMPLETE,
                format!(
                    "{who} answers 101 without `{missing}`: a proxy took it out of the answer."
                ),
            )
            .certainty(Certainty::Likely)
            .because("nats-server always sends it, and every client refuses an answer without it.")
            .evidence("what is wrong", short(reason, 160))
            .remedy(format!(
                "Switch WebSocket on in {}, so that it passes the 101 on as it is.",
                case.proxy_name()
            ));
    }
    match reply.header("Sec-WebSocket-Accept") {
        None => case
            .finding(&MISSING_ACCEPT, format!("{who} answers 101 without `Sec-WebSocket-Accept`."))
            .certainty(Certainty::Likely)
            .because("nats-server always sends it: a proxy drops it, or a program that only pretends to do WebSocket answers.")
            .remedy(format!("Have {} pass `Sec-WebSocket-Accept` on as it is.", case.proxy_name())),
        Some(_) if reason.contains("Sec-WebSocket-Accept") => wrong_accept(case, reason, again),
        Some(_) if reply.header("Sec-WebSocket-Protocol").is_some() && reason.contains("subprotocol") => {
            subprotocol(case)
        }
        Some(_) => case
            .finding(&EXTENSION, format!("{who} negotiates WebSocket extensions by its own rules."))
            .certainty(Certainty::Likely)
            .because("nats-server answers with what was offered and nothing else.")
            .evidence("what is wrong", short(reason, 160))
            .remedy(extension_remedy(case)),
    }
}

fn extension_remedy(case: &Case<'_>) -> String {
    let off = format!(
        "Switch compression of WebSocket off in {}",
        case.proxy_name()
    );
    if case.options.compression {
        format!("{off}, or run without `--compression`.")
    } else {
        format!("{off}: it was not asked for here.")
    }
}

fn subprotocol(case: &Case<'_>) -> Finding {
    let who = case.subject();
    let chosen = case
        .reply
        .header("Sec-WebSocket-Protocol")
        .unwrap_or_default();
    let chosen = short(chosen, 60);
    if chosen == "mqtt" {
        return case
            .finding(&SUBPROTOCOL, format!("{who} speaks MQTT over WebSocket, not NATS: it chooses the subprotocol `mqtt`."))
            .certainty(Certainty::Likely)
            .because("nats-server does so where the path that reaches it ends in `/mqtt`; other MQTT brokers always do.")
            .remedy("Correct the port or the path of the URL.")
            .remedy("If a proxy leads to nats-server, take `/mqtt` out of its upstream address.");
    }
    case.finding(
        &SUBPROTOCOL,
        format!(
            "{who} chooses the subprotocol `{chosen}`, which nobody asked for: it is not NATS."
        ),
    )
    .certainty(Certainty::Likely)
    .because("nats-server chooses no subprotocol for NATS.")
    .remedy("Correct the port or the path of the URL.")
}

fn wrong_accept(case: &Case<'_>, reason: &str, again: Option<&Again>) -> Finding {
    let who = case.subject();
    let first = case
        .reply
        .header("Sec-WebSocket-Accept")
        .unwrap_or_default();
    let is_same = again.is_some_and(|again| again.accept == first);
    let finding = if is_same && again.is_some_and(|again| again.has_info) {
        case.finding(&WRONG_ACCEPT, format!("{who} sends nats-server the same `Sec-WebSocket-Key` for every connection, so that no answer fits."))
            .because("Two requests with different keys got the same `Sec-WebSocket-Accept`, and INFO of nats-server behind it: the server is right, and a proxy has put a fixed key in place of ours.")
            .remedy(format!("Take what sets `Sec-WebSocket-Key` out of {} (nginx: `proxy_set_header Sec-WebSocket-Key ...`).", case.proxy_name()))
    } else if is_same {
        case.finding(&WRONG_ACCEPT, format!("{who} answers every handshake with the same `Sec-WebSocket-Accept`: a stored answer, not a WebSocket."))
            .because("The value has to be computed from the key of each request; two requests with different keys got the same one. A cache answers, or a program that only pretends to do WebSocket.")
            .remedy("Exempt this path from the cache, and have it lead to the WebSocket port of nats-server.")
    } else {
        case.finding(&WRONG_ACCEPT, format!("{who} answers with a `Sec-WebSocket-Accept` that does not belong to our key."))
            .certainty(Certainty::Likely)
            .because("The value has to be computed from `Sec-WebSocket-Key` of our request. A proxy changes that key on the way, or gives us the answer to another connection. nats-server computes it right.")
            .remedy(format!("Have {} pass `Sec-WebSocket-Key` and `Sec-WebSocket-Accept` on as they are, and keep WebSocket connections apart.", case.proxy_name()))
    };
    finding.evidence("what is wrong", short(reason, 160))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::http::testing::{case, reply};

    const HEAD: &str =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";

    #[test]
    fn each_fault_of_a_101_has_its_own_code() {
        for (head, reason, code) in [
            (
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n".to_owned(),
                "`Upgrade` is `missing`, not `websocket`",
                INCOMPLETE.name,
            ),
            (
                format!("{HEAD}\r\n"),
                "`Sec-WebSocket-Accept` is missing",
                MISSING_ACCEPT.name,
            ),
            (
                format!("{HEAD}Sec-WebSocket-Accept: x\r\n\r\n"),
                "`Sec-WebSocket-Accept` is `x`, expected `y`",
                WRONG_ACCEPT.name,
            ),
            (
                format!("{HEAD}Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n"),
                "it chooses the subprotocol `chat`, which was not asked for",
                SUBPROTOCOL.name,
            ),
            (
                format!("{HEAD}Sec-WebSocket-Accept: x\r\nSec-WebSocket-Extensions: z\r\n\r\n"),
                "it answers with the extension `z`, which was not offered",
                EXTENSION.name,
            ),
        ] {
            let reply = reply(&head);
            let finding = judge(&case("ws://h:1", &reply), reason, None);
            assert_eq!(finding.code, code, "{head}");
        }
    }

    #[test]
    fn an_old_server_chooses_mqtt_at_the_path_of_mqtt() {
        let reply = reply(&format!(
            "{HEAD}Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
        ));
        let finding = judge(&case("ws://h:1/mqtt", &reply), "it chooses", None);
        assert_eq!(finding.code, crate::doctor::http::paths::MQTT_PATH.name);
    }

    fn again(accept: &str, has_info: bool) -> Again {
        Again {
            accept: accept.to_owned(),
            has_info,
        }
    }

    #[test]
    fn the_same_answer_to_two_keys_is_a_stored_one() {
        let reply = reply(&format!("{HEAD}Sec-WebSocket-Accept: x\r\n\r\n"));
        let reason = "`Sec-WebSocket-Accept` is `x`, expected `y`";
        let finding = judge(&case("ws://h:1", &reply), reason, Some(&again("x", false)));
        assert!(finding.title.contains("the same"), "{finding:?}");
        let finding = judge(&case("ws://h:1", &reply), reason, Some(&again("x", true)));
        assert!(finding.title.contains("Sec-WebSocket-Key"), "{finding:?}");
        let finding = judge(&case("ws://h:1", &reply), reason, Some(&again("z", false)));
        assert_eq!(finding.certainty, Certainty::Likely);
    }
}
