//! What the pages of Cloudflare say: what is wrong behind it, and why it lets nobody in.

use crate::doctor::checks::upgrade::codes::CLOUDFLARE;
use crate::doctor::front::ProxyKind;
use crate::doctor::http::answer::Case;
use crate::results::doctor::{Certainty, Finding};

/// The statuses from 520 to 530, which Cloudflare has invented and a few others have taken over.
pub(super) fn origin_fault(case: &Case<'_>) -> Finding {
    let is_tunnel_down = String::from_utf8_lossy(&case.reply.body).contains("1033");
    let (what, fix) = match case.reply.status {
        521 => (
            "the origin server refuses the connection",
            "Start nats-server or the proxy before it, and let the addresses of Cloudflare in.",
        ),
        522 => (
            "the origin server does not take the connection in time",
            "Let the addresses of Cloudflare through the firewall, and check the address of the origin.",
        ),
        523 => (
            "the origin server is unreachable",
            "Correct the DNS record of the origin in Cloudflare.",
        ),
        524 => (
            "the origin server took the connection and does not answer in time",
            "Look whether the origin is overloaded or frozen.",
        ),
        525 => (
            "the TLS handshake with the origin server fails",
            "Give the origin TLS, or set the TLS mode of the zone to `Flexible` where it has none.",
        ),
        526 => (
            "the certificate of the origin server is not valid",
            "Give the origin a valid certificate, or a Cloudflare origin certificate.",
        ),
        530 if is_tunnel_down => (
            "its tunnel is not connected",
            "Start `cloudflared` beside nats-server: `cloudflared tunnel list` shows its connections.",
        ),
        530 => (
            "the name of the origin server does not resolve",
            "Correct the DNS record or the tunnel of the origin in Cloudflare.",
        ),
        _ => (
            "the origin server answers with something that is no valid HTTP",
            "Correct the port of the origin: it has to be the WebSocket port of nats-server.",
        ),
    };
    let kind = case.proxy.as_ref().map(|proxy| proxy.kind);
    let who = match kind {
        None | Some(ProxyKind::Cloudflare) => "Cloudflare".to_owned(),
        Some(_) => case.proxy_name(),
    };
    let finding = case.finding(
        &CLOUDFLARE,
        format!(
            "{who} cannot use the server behind {}: {what} ({}).",
            case.target.host, case.reply.status
        ),
    );
    let finding = if kind == Some(ProxyKind::Cloudflare) {
        finding
    } else {
        finding.certainty(Certainty::Likely).or(
            "another gateway than Cloudflare means something else by this number",
            "its documentation or its log says what",
        )
    };
    finding
        .because(format!(
            "The way from here to {who} is fine; the one from there to the origin is not."
        ))
        .remedy(fix)
}

/// Pages of Cloudflare say by a number what they are about.
pub(super) fn forbidden(case: &Case<'_>) -> Option<(&'static str, &'static str)> {
    let kind = case.proxy.as_ref().map(|proxy| proxy.kind);
    if kind != Some(ProxyKind::Cloudflare) {
        return None;
    }
    let body = String::from_utf8_lossy(&case.reply.body);
    let is_challenge =
        case.reply.header("cf-mitigated").is_some() || body.contains("Just a moment");
    if is_challenge {
        return Some((
            "wants a browser to solve a challenge, which no NATS client can",
            "In the Cloudflare dashboard, add a WAF rule with the action `Skip` for this host and path.",
        ));
    }
    let known = [
        (
            "1003",
            "lets nobody in who names an address in place of the host name",
            "Use the host name of the zone in the URL.",
        ),
        (
            "1006",
            "bans this address",
            "Take the address out of `Security > WAF > Tools` in the Cloudflare dashboard.",
        ),
        (
            "1009",
            "lets no clients in from this country",
            "Change the country rule in the Cloudflare dashboard.",
        ),
        (
            "1010",
            "refuses this client by its signature (Browser Integrity Check)",
            "Switch the Browser Integrity Check off for this host in the Cloudflare dashboard.",
        ),
        (
            "1020",
            "blocks the request by a firewall rule of the zone",
            "The rule is named under `Security > Events` in the Cloudflare dashboard: let this host and path skip it.",
        ),
    ];
    let mut known = known.into_iter();
    let (_, what, fix) =
        known.find(|(number, ..)| body.contains(&format!("error code: {number}")))?;
    Some((what, fix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::http::testing::{case, reply};

    fn page(status: &str, head: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nServer: cloudflare\r\n{head}\r\n{body}")
    }

    #[test]
    fn the_number_on_the_page_names_the_reason() {
        for (head, body, words) in [
            ("", "error code: 1003", "host name"),
            ("", "error code: 1020", "firewall rule"),
            ("cf-mitigated: challenge\r\n", "x", "challenge"),
        ] {
            let reply = reply(&page("403 Forbidden", head, body));
            let (what, _) = forbidden(&case("ws://h:1", &reply)).unwrap();
            assert!(what.contains(words), "{what}");
        }
        let other = reply(&page("403 Forbidden", "", "no"));
        assert_eq!(forbidden(&case("ws://h:1", &other)), None);
    }

    #[test]
    fn who_names_itself_otherwise_is_not_called_cloudflare() {
        let own = reply(&page("530 ", "", "error code: 1033"));
        let finding = origin_fault(&case("ws://h:1", &own));
        assert!(finding.title.contains("tunnel"), "{finding:?}");
        assert_eq!(finding.certainty, Certainty::Certain);
        let other = reply("HTTP/1.1 520 x\r\nServer: edge\r\n\r\n");
        let finding = origin_fault(&case("ws://h:1", &other));
        assert!(finding.title.starts_with("`edge`"), "{finding:?}");
        assert_eq!(finding.certainty, Certainty::Likely);
    }
}
