//! Which proxy answered the upgrade, by its own words, and what is known of its kind.

use std::time::Duration;

use crate::doctor::examination::Examination;
use crate::net::ws::upgrade::HttpReply;

/// A proxy that names itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::doctor::checks) struct Front {
    /// As people call it.
    pub(in crate::doctor::checks) name: &'static str,
    /// The header that says so.
    pub(in crate::doctor::checks) evidence: String,
    /// After how long it cuts an idle WebSocket unless configured otherwise, and the directive for it.
    pub(in crate::doctor::checks) idle_default: Option<(Duration, &'static str)>,
}

/// Seconds that an idle connection lives by default, and the directive for it.
type Idle = (u64, &'static str);

const NGINX: Idle = (60, "proxy_read_timeout");

/// What is in `Server` or `Via`, in lower case; the name; what is known of idle connections.
const KNOWN: [(&str, &str, Option<Idle>); 16] = [
    ("openresty", "OpenResty", Some(NGINX)),
    ("tengine", "Tengine", Some(NGINX)),
    ("nginx", "nginx", Some(NGINX)),
    ("kong", "Kong", Some((60, "read_timeout"))),
    ("envoy", "Envoy", Some((300, "stream_idle_timeout"))),
    ("haproxy", "HAProxy", None),
    ("traefik", "Traefik", None),
    ("caddy", "Caddy", None),
    (
        "cloudflare",
        "Cloudflare",
        Some((100, "its idle time-out for WebSockets")),
    ),
    ("cloudfront", "CloudFront", None),
    ("awselb", "AWS load balancer", Some((60, "idle_timeout"))),
    ("apache", "Apache httpd", Some((60, "ProxyTimeout"))),
    ("varnish", "Varnish", None),
    ("squid", "Squid", None),
    ("microsoft-iis", "IIS", None),
    ("google", "Google load balancer", None),
];

/// The proxy in front of the server, if one answered the upgrade and says so.
pub(in crate::doctor::checks) fn front_of(examination: &Examination<'_>) -> Option<Front> {
    front_in(examination.learned.switched.as_ref()?)
}

fn front_in(reply: &HttpReply) -> Option<Front> {
    ["Server", "Via"].into_iter().find_map(|header| {
        let value = reply.header(header)?;
        let lower = value.to_lowercase();
        let (_, name, idle) = KNOWN.iter().find(|(word, ..)| lower.contains(word))?;
        Some(Front {
            name,
            evidence: format!("{header}: {value}"),
            idle_default: idle.map(|(secs, why)| (Duration::from_secs(secs), why)),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(name: &str, value: &str) -> HttpReply {
        HttpReply {
            status: 101,
            reason: "Switching Protocols".to_owned(),
            http_minor: 1,
            headers: vec![(name.to_owned(), value.to_owned())],
            body: Vec::new(),
        }
    }

    #[test]
    fn a_proxy_is_known_by_its_server_header_or_its_via() {
        let front = front_in(&reply("Server", "nginx/1.22.1")).expect("nginx is known");
        assert_eq!(front.name, "nginx");
        assert_eq!(front.evidence, "Server: nginx/1.22.1");
        assert_eq!(
            front.idle_default,
            Some((Duration::from_mins(1), "proxy_read_timeout"))
        );
        let front = front_in(&reply("via", "1.1 Caddy")).expect("Caddy is known");
        assert_eq!(front.name, "Caddy");
    }

    #[test]
    fn a_header_that_names_no_proxy_is_none() {
        assert_eq!(front_in(&reply("Server", "game gateway")), None);
        assert_eq!(front_in(&reply("Date", "nginx")), None);
    }
}
