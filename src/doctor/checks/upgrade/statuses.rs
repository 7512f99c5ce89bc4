//! Statuses that say by themselves what is wrong: one code each.

use crate::doctor::checks::upgrade::advice::pass_upgrade_on;
use crate::doctor::checks::upgrade::cloudflare;
use crate::doctor::checks::upgrade::codes::{
    BAD_REQUEST, BLOCKED, CLIENT_CERTIFICATE, CLIENT_CERTIFICATE_REFUSED, GONE, METHOD,
    MISDIRECTED, NETWORK_LOGIN, NOT_IMPLEMENTED, OTHER_SERVICE, PROXY_LOGIN, PROXY_PROTOCOL_SENT,
    RATE_LIMITED, SERVER_ERROR, TIMED_OUT_REQUEST, TOO_LARGE, UNAUTHORIZED, UNEXPECTED,
    UPGRADE_REQUIRED,
};
use crate::doctor::front::ProxyKind;
use crate::doctor::http::answer::Case;
use crate::doctor::words::short;
use crate::results::doctor::{Certainty, Finding};

/// The cause, by the status alone.
pub(super) fn judge(case: &Case<'_>) -> Finding {
    let who = case.subject();
    match case.reply.status {
        401 => unauthorized(case),
        407 => case
            .finding(&PROXY_LOGIN, format!("{who} is a forward proxy that wants a login."))
            .because("The request did not reach the broker.")
            .remedy("Reach the broker without that proxy, or send its login with `--header 'Proxy-Authorization: ...'`."),
        405 => case
            .finding(
                &METHOD,
                format!("{who} has something at `{}` that takes no GET, so that it is no WebSocket.", case.path()),
            )
            .certainty(Certainty::Likely)
            .because("A WebSocket begins with GET. Another service answers at this path, or a rule of the proxy forbids it.")
            .remedy("Correct the path of the URL, or let the proxy route it to the WebSocket port of nats-server."),
        408 => case
            .finding(&TIMED_OUT_REQUEST, format!("{who} gave up waiting for our request, which was sent whole and at once."))
            .certainty(Certainty::Likely)
            .because("Something on the way holds the request back, or the time limit for requests is very short.")
            .remedy("Raise the time limit for requests there (haproxy: `timeout http-request 10s`), and look at what is between."),
        410 => case
            .finding(&GONE, format!("{who} says that the service at `{}` is gone for good.", case.path()))
            .remedy("Use the new URL of the broker."),
        413 | 431 | 494 => too_large(case),
        421 => case
            .finding(&MISDIRECTED, format!("{who} does not serve the host name `{}` on this connection.", case.sent_host()))
            .because("It compares the `Host` header with the server name of the TLS handshake; they have to be the same.")
            .remedy("Use that name in the URL, and give no other one with `--header 'Host: ...'`."),
        426 => upgrade_required(case),
        429 => rate_limited(case),
        406 if is_modsecurity(case) => case
            .finding(&BLOCKED, format!("A web application firewall (ModSecurity) at {} blocks the request (406).", case.target.host_and_port()))
            .because("One of its rules does not like the request; nats-server never saw it.")
            .remedy("Its audit log names the rule. Switch it off for this path: `SecRuleEngine Off` in the `<Location>` that leads to nats-server."),
        464 if is_aws(case) => case
            .finding(&UNEXPECTED, format!("{who} sends to a target group of another HTTP version (464), and WebSocket needs HTTP/1.1."))
            .because("It answers 464 where the protocol version of the target group (HTTP/2 or gRPC) does not go with that of the request.")
            .remedy("Create the target group with protocol version HTTP1, and name it in the rule of the listener."),
        561 if is_aws(case) => case
            .finding(&UNAUTHORIZED, format!("{who} wants a login, and its identity provider refuses it (561)."))
            .because("NATS credentials are sent later, inside the WebSocket, and do not help there.")
            .remedy("Take the `authenticate` action out of the listener rule of this path."),
        451 => case
            .finding(&BLOCKED, format!("{who} blocks the request (451)."))
            .remedy("Ask whoever runs it."),
        495 | 496 => certificate(case),
        500 => case
            .finding(&SERVER_ERROR, format!("{who} has failed in itself (500)."))
            .because("nats-server does not answer so: this comes from a proxy or from another service.")
            .remedy(format!("Read the error log of {}.", case.proxy_name())),
        501 | 505 => case
            .finding(&NOT_IMPLEMENTED, format!("{who} cannot do WebSocket ({}).", case.reply.status))
            .certainty(Certainty::Likely)
            .because("The request did not reach nats-server, which never answers so.")
            .remedy("Correct the port or path of the URL, or use a gateway that does WebSocket over HTTP/1.1."),
        511 => case
            .finding(&NETWORK_LOGIN, "This network wants a login first: a captive portal answers in place of the broker.")
            .remedy("Log in to the network with a browser, and try again."),
        520..=530 => cloudflare::origin_fault(case),
        400 => bad_request(case),
        _ => unexpected(case),
    }
}

fn unauthorized(case: &Case<'_>) -> Finding {
    let who = case.subject();
    let has_sent = case.has_header("Authorization");
    let wanted = case
        .reply
        .header("WWW-Authenticate")
        .and_then(|value| value.split([' ', ',']).next())
        .unwrap_or("")
        .to_ascii_lowercase();
    let what = match wanted.as_str() {
        "basic" => "HTTP basic authentication".to_owned(),
        "" => "an HTTP login".to_owned(),
        scheme => format!("an HTTP login ({})", short(scheme, 20)),
    };
    let title = if has_sent {
        format!("{who} does not accept the `Authorization` header that `--header` sends.")
    } else {
        format!("{who} asks for {what} before it lets anyone through to nats-server.")
    };
    let finding = case.finding(&UNAUTHORIZED, title).because(
        "NATS credentials are sent later, inside the WebSocket, and never reach whoever asks here. nats-server itself never answers 401.",
    );
    let finding = if has_sent {
        finding.remedy("Correct the value of `--header 'Authorization: ...'`.")
    } else if wanted == "bearer" {
        finding.paste(
            "Send the token of that gateway:",
            &["natsbench doctor --server URL --header 'Authorization: Bearer TOKEN'"],
        )
    } else {
        finding.paste(
            "Send the login of that gateway:",
            &["natsbench doctor --server URL --header \"Authorization: Basic $(printf %s 'USER:PASSWORD' | base64)\""],
        )
    };
    match &case.proxy {
        Some(proxy) if proxy.kind == ProxyKind::Nginx && wanted == "basic" => finding.paste(
            format!("Or let nats-server alone decide who may in: in the nginx `location {}`", case.path()),
            &["auth_basic off;"],
        ),
        _ => finding.remedy("Or switch HTTP authentication off for this path, and let nats-server decide who may in."),
    }
}

fn too_large(case: &Case<'_>) -> Finding {
    let title = format!(
        "{} finds the headers of the request too long.",
        case.subject()
    );
    let finding = case.finding(&TOO_LARGE, title);
    let longest = case
        .options
        .headers
        .iter()
        .max_by_key(|(_, value)| value.len());
    match longest {
        Some((name, value)) if value.len() > 1_000 => finding
            .because("The request was refused before it reached nats-server.")
            .evidence(
                "longest header of ours",
                format!("{name}, {} bytes", value.len()),
            )
            .remedy(format!("Send a shorter `{name}` header.")),
        _ => finding.certainty(Certainty::Likely).because(
            "Our request is short: its limit is very small, or something on the way adds headers.",
        ),
    }
    .paste(
        "Or raise the limit; in nginx:",
        &["large_client_header_buffers 4 32k;"],
    )
}

fn upgrade_required(case: &Case<'_>) -> Finding {
    let who = case.subject();
    let wanted = case.reply.header("Upgrade").map(str::to_ascii_lowercase);
    let other_version = case
        .reply
        .header("Sec-WebSocket-Version")
        .is_some_and(|versions| !versions.split(',').any(|version| version.trim() == "13"));
    if other_version {
        return case
            .finding(
                &UPGRADE_REQUIRED,
                format!("{who} does not speak version 13 of WebSocket."),
            )
            .because("nats-server speaks it: another, very old WebSocket server answers here.")
            .remedy("Correct the port or path of the URL.");
    }
    if let Some(wanted) = wanted.filter(|wanted| !wanted.contains("websocket")) {
        return case
            .finding(
                &UPGRADE_REQUIRED,
                format!(
                    "{who} wants `{}` in place of WebSocket over HTTP/1.1.",
                    short(&wanted, 40)
                ),
            )
            .remedy("Let that listener take HTTP/1.1, or use the port that does.");
    }
    let finding = case
        .finding(
            &UPGRADE_REQUIRED,
            format!("{who} does not do the WebSocket upgrade that it was asked for (426)."),
        )
        .certainty(Certainty::Likely)
        .because("The request asks for exactly that upgrade. A gateway whose WebSocket support is off answers so, and nats-server never does.")
        .or(
            "the gateway drops `Upgrade` and `Connection`, and another WebSocket server behind it misses them",
            "ask that server directly, around the gateway: it then answers 101",
        );
    let finding = finding.remedy(format!(
        "Switch WebSocket on in {}, for this host and path.",
        case.proxy_name()
    ));
    pass_upgrade_on(finding, case.proxy.as_ref(), case.path(), None)
}

fn rate_limited(case: &Case<'_>) -> Finding {
    let finding = case
        .finding(&RATE_LIMITED, format!("{} limits the rate of requests, and this one was too many (429).", case.subject()))
        .because("nats-server does not limit requests: it never saw this one. Clients that reconnect all at once run into such a limit, too.");
    match case.reply.header("Retry-After").map(str::trim) {
        Some(after) if after.parse::<u64>().is_ok() => {
            finding.remedy(format!("Try again in {after} s."))
        }
        Some(after) => finding.remedy(format!("Try again after {}.", short(after, 40))),
        None => finding.remedy("Wait a minute, and try again."),
    }
    .remedy(format!(
        "Raise the limit for this path in {} (nginx: `limit_req`, `limit_conn`), and let clients reconnect with a random delay.",
        case.proxy_name()
    ))
}

fn certificate(case: &Case<'_>) -> Finding {
    let body = String::from_utf8_lossy(&case.reply.body);
    let is_missing =
        case.reply.status == 496 || body.contains("No required SSL certificate was sent");
    if is_missing {
        case.finding(
            &CLIENT_CERTIFICATE,
            format!(
                "{} wants a client certificate, and none was given.",
                case.subject()
            ),
        )
        .because("It verifies clients by certificate before it passes anything on to nats-server.")
        .paste(
            "Give one that its authority has issued:",
            &["natsbench doctor --server URL --tlscert client.pem --tlskey client.key"],
        )
        .remedy("Or, in nginx: `ssl_verify_client off;`")
    } else {
        case.finding(
            &CLIENT_CERTIFICATE_REFUSED,
            format!("{} refuses the client certificate that `--tlscert` gives.", case.subject()),
        )
        .because("It was not issued by the authority that is trusted there, or it is not valid now.")
        .remedy("Use a certificate that the authority in `ssl_client_certificate` has issued, and that has not expired.")
    }
}

fn is_aws(case: &Case<'_>) -> bool {
    let kind = case.proxy.as_ref().map(|proxy| proxy.kind);
    kind == Some(ProxyKind::AwsLoadBalancer)
}

fn is_modsecurity(case: &Case<'_>) -> bool {
    let body = String::from_utf8_lossy(&case.reply.body).to_ascii_lowercase();
    body.contains("mod_security") || body.contains("modsecurity")
}

fn bad_request(case: &Case<'_>) -> Finding {
    let body = String::from_utf8_lossy(&case.reply.body);
    if body.contains("SSL certificate") {
        return certificate(case);
    }
    if body.contains("Header Or Cookie Too Large") || body.contains("Request header is too large") {
        return too_large(case);
    }
    if let Some(service) = other_service(&body) {
        return case
            .finding(
                &OTHER_SERVICE,
                format!("{} is a {service} service, not NATS.", case.subject()),
            )
            .certainty(Certainty::Likely)
            .remedy("Correct the port or the path of the URL.");
    }
    if is_garbled(case) {
        return garbled(case);
    }
    let finding = case
        .finding(&BAD_REQUEST, format!("{} refuses the request as wrong (400), and nats-server never saw it.", case.subject()))
        .certainty(Certainty::Possible)
        .because("nats-server marks its own refusals with `Sec-WebSocket-Version: 13`; this one has none.");
    let finding = if case.options.headers.is_empty() {
        finding
    } else {
        finding.or(
            "a header given with `--header` is not liked there",
            "run it again without `--header`",
        )
    };
    finding
        .or(
            "a firewall or a rule of the proxy refuses WebSocket, or requests for this host",
            "its error log names the rule",
        )
        .or(
            "another service than a proxy for NATS answers there",
            "open the address in a browser",
        )
        .remedy(format!("Read the error log of {}.", case.proxy_name()))
}

/// What Go's HTTP server, which nats-server uses, answers to something that is no HTTP request. It then names no more than
/// this; a wrong header it would name.
fn is_garbled(case: &Case<'_>) -> bool {
    case.reply.body == b"400 Bad Request"
        && case.reply.header("Server").is_none()
        && case.reply.header("Content-Type") == Some("text/plain; charset=utf-8")
}

fn garbled(case: &Case<'_>) -> Finding {
    let place = case.target.host_and_port();
    let who = match &case.proxy {
        Some(_) => case.subject(),
        None => format!("Something between here and nats-server at {place}"),
    };
    case.finding(
        &PROXY_PROTOCOL_SENT,
        format!("{who} sends something ahead of the request that nats-server cannot read: a PROXY protocol header."),
    )
    .certainty(Certainty::Likely)
    .because("The answer is that of nats-server (Go) to something that is no HTTP. Our request was HTTP, so that a load balancer has put its PROXY line first, which a WebSocket port does not expect.")
    .paste(
        "Leave the header out. haproxy:",
        &["server nats 127.0.0.1:8443   # without send-proxy, send-proxy-v2"],
    )
    .paste("nginx (`stream`):", &["proxy_protocol off;"])
    .remedy("AWS load balancer: switch `Proxy protocol v2` off in the attributes of the target group.")
    .or(
        "another server written in Go answers, and something on the way garbles the request",
        "ask nats-server directly, around whatever is in between: 101 comes",
    )
}

/// Services that say what they are.
fn other_service(body: &str) -> Option<&'static str> {
    let known = [
        ("\"Transport unknown\"", "socket.io"),
        ("\"Bad handshake method\"", "socket.io"),
        ("\"Session ID unknown\"", "socket.io"),
        ("Can \"Upgrade\" only to \"WebSocket\"", "SockJS"),
        ("Subprotocol required", "GraphQL or other WebSocket"),
        ("Missing or invalid Sec-WebSocket-Protocol", "WebSocket"),
    ];
    known
        .iter()
        .find(|(text, _)| body.contains(text))
        .map(|(_, service)| *service)
}

fn unexpected(case: &Case<'_>) -> Finding {
    let who = case.subject();
    case.finding(
        &UNEXPECTED,
        format!("{who} answers the upgrade with status {}, where only 101 belongs.", case.reply.status),
    )
    .certainty(Certainty::Possible)
    .because("nats-server answers 101, 400, 403, 404 or 405 and nothing else: this comes from a proxy or from another service.")
    .or("the URL leads to another service", "open the same address in a browser")
    .or("a rule of the proxy answers in place of nats-server", "its access log has the request")
    .remedy("Correct the port or path of the URL, or the route of the proxy.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::http::testing::{case, reply};

    #[test]
    fn what_go_cannot_read_was_not_our_request() {
        let garbled = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request";
        let by_go = reply(garbled);
        let finding = judge(&case("ws://h:1", &by_go));
        assert_eq!(finding.code, PROXY_PROTOCOL_SENT.name);
        let with_reason = reply(&format!("{garbled}: malformed Host header"));
        let finding = judge(&case("ws://h:1", &with_reason));
        assert_eq!(finding.code, BAD_REQUEST.name);
    }
}
