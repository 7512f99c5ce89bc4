//! Lines of configuration for each proxy.

use crate::doctor::front::{NGINX_PASSES_UPGRADE, Proxy, ProxyKind};
use crate::doctor::http::again::{Direct, url_of};
use crate::doctor::words::short;
use crate::net::target::Scheme;
use crate::results::doctor::Finding;

/// Where a proxy usually finds the WebSocket listener of nats-server.
const USUAL_UPSTREAM: &str = "127.0.0.1:8443";

/// The address that the proxy should have, as far as it is known.
pub(super) fn upstream(direct: Option<&Direct>) -> (String, bool) {
    match direct {
        Some(direct) => (
            format!("127.0.0.1:{}", direct.port),
            direct.scheme == Scheme::Wss,
        ),
        None => (USUAL_UPSTREAM.to_owned(), false),
    }
}

/// How this proxy is told to pass on a WebSocket handshake.
pub(super) fn pass_upgrade_on(
    finding: Finding,
    proxy: Option<&Proxy>,
    path: &str,
    direct: Option<&Direct>,
) -> Finding {
    let (to, is_tls) = upstream(direct);
    let scheme = if is_tls { "https" } else { "http" };
    let kind = proxy.map_or(ProxyKind::Other, |proxy| proxy.kind);
    match kind {
        ProxyKind::Nginx => finding
            .paste(
                format!("In the nginx `location {path}` that leads to nats-server:"),
                &[
                    &NGINX_PASSES_UPGRADE[..],
                    &["proxy_set_header Host $http_host;", "proxy_read_timeout 3600s;"],
                ]
                .concat(),
            )
            .remedy("Then: nginx -t && nginx -s reload"),
        ProxyKind::Apache => finding.paste(
            "In the Apache virtual host (2.4.47 or newer, with mod_proxy_http):",
            &[&format!(
                "ProxyPass \"{path}\" \"{scheme}://{to}/\" upgrade=websocket"
            )],
        ),
        ProxyKind::Varnish => finding.paste(
            "In the VCL of Varnish:",
            &[
                "sub vcl_recv { if (req.http.Upgrade ~ \"(?i)websocket\") { return (pipe); } }",
                "sub vcl_pipe {",
                "  set bereq.http.Upgrade = req.http.Upgrade;",
                "  set bereq.http.Connection = req.http.Connection;",
                "}",
            ],
        ),
        ProxyKind::Envoy => finding.paste(
            "In the HTTP connection manager of Envoy:",
            &["upgrade_configs:", "- upgrade_type: websocket"],
        ),
        ProxyKind::Haproxy => finding.paste(
            "HAProxy passes WebSocket on by itself (`mode http`): take out what deletes or replaces `Upgrade`, `Connection` or `Sec-WebSocket-*`, and keep",
            &["timeout tunnel 1h"],
        ),
        ProxyKind::Traefik => finding.remedy(
            "Traefik passes WebSocket on by itself: take the middleware out that sets `Upgrade`, `Connection` or `Sec-WebSocket-*` (customRequestHeaders).",
        ),
        ProxyKind::Caddy => finding.paste(
            "Caddy passes WebSocket on by itself: take out what deletes headers (`header_up -Upgrade`, say), and keep",
            &[&format!("reverse_proxy {scheme}://{to}")],
        ),
        ProxyKind::Cloudflare => finding.remedy(
            "In the Cloudflare dashboard of the zone, switch `Network > WebSockets` on.",
        ),
        ProxyKind::CloudFront => finding.remedy(
            "Give the CloudFront behaviour the origin request policy `AllViewer`, so that `Sec-WebSocket-*` reach the origin.",
        ),
        ProxyKind::Iis => finding.remedy(
            "Install the WebSocket Protocol feature of IIS, and reverse-proxy with ARR 3.0 or newer.",
        ),
        _ => finding.paste(
            "Have the proxy pass these headers on as they came, over HTTP/1.1; in nginx, for one:",
            &NGINX_PASSES_UPGRADE,
        ),
    }
}

/// Where this proxy is told its upstream.
pub(super) fn point_at(
    finding: Finding,
    proxy: Option<&Proxy>,
    path: &str,
    direct: Option<&Direct>,
) -> Finding {
    let (to, is_tls) = upstream(direct);
    let scheme = if is_tls { "https" } else { "http" };
    let what = "the WebSocket port of nats-server (`websocket { port }` in nats.conf)";
    match proxy.map_or(ProxyKind::Other, |proxy| proxy.kind) {
        ProxyKind::Nginx => finding.paste(
            format!("In the nginx `location {path}`, name {what}:"),
            &[&format!(
                "proxy_pass {scheme}://{to};   # https:// only if that block has tls"
            )],
        ),
        ProxyKind::Haproxy => finding.paste(
            format!("In the HAProxy backend, name {what}:"),
            &[&format!(
                "server nats {to}{} check",
                if is_tls { " ssl verify required ca-file /etc/ssl/certs/ca-certificates.crt" } else { "" }
            )],
        ),
        ProxyKind::Apache => finding.paste(
            format!("In the Apache virtual host, name {what}:"),
            &[&format!(
                "ProxyPass \"{path}\" \"{scheme}://{to}/\" upgrade=websocket"
            )],
        ),
        ProxyKind::Caddy => finding.paste(
            format!("In the Caddyfile, name {what}:"),
            &[&format!("reverse_proxy {scheme}://{to}")],
        ),
        ProxyKind::AwsLoadBalancer => finding.remedy(format!(
            "In the target group, name {what}, and give it a health check that it answers: HTTP on the monitoring port, path `/healthz`."
        )),
        _ => finding.remedy(format!("In the proxy, name {what} as the upstream.")),
    }
}

/// Says what was found around the proxy.
pub(super) fn around(finding: Finding, host: &str, direct: Option<&Direct>) -> Finding {
    let Some(direct) = direct else {
        return finding;
    };
    let url = url_of(direct.scheme, host, direct.port, "/");
    finding.evidence(
        "around the proxy",
        format!(
            "{url} answers 101 and INFO (nats-server {})",
            short(&direct.version, 20)
        ),
    )
}
