//! `doctor`: nginx and haproxy in front of a broker, at fault and not at fault.

use super::{diagnose, text_of};
use crate::harness::{Broker, Proxy, ScriptedPort, free_port};

/// What a location needs to pass WebSocket on.
const UPGRADE: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";

/// nginx with one location that goes to this port.
fn nginx_to(port: u16, path: &str, settings: &str) -> Proxy {
    Proxy::nginx(&format!(
        "server {{ listen 127.0.0.1:@PORT@; location {path} {{ proxy_pass http://127.0.0.1:{port}; {settings} }} }}"
    ))
}

/// haproxy in a mode, with one server on this port.
fn haproxy_to(mode: &str, port: u16) -> Proxy {
    Proxy::haproxy(&format!(
        "defaults\n mode {mode}\n timeout connect 500ms\n timeout client 10s\n timeout server 10s\n\
         frontend f\n bind 127.0.0.1:@PORT@\n default_backend b\nbackend b\n server s1 127.0.0.1:{port}\n"
    ))
}

fn healthy(url: &str) {
    diagnose::<&str>(url, &[]).is_healthy();
}

#[test]
fn proxies_that_do_their_work_are_not_blamed() {
    let broker = Broker::start();
    let port = broker.ws_port();
    healthy(&nginx_to(port, "/", UPGRADE).ws_url());
    let prefixed = nginx_to(port, "/nats", UPGRADE);
    healthy(&format!("{}/nats", prefixed.ws_url()));
    // nats-server takes the upgrade over HTTP/1.0, too.
    let old = "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
    healthy(&nginx_to(port, "/", old).ws_url());
    healthy(&haproxy_to("http", port).ws_url());
    healthy(&haproxy_to("tcp", port).ws_url());
}

#[test]
fn nginx_that_drops_the_upgrade_headers_is_named_with_the_lines_to_paste() {
    let broker = Broker::start();
    let proxy = nginx_to(broker.ws_port(), "/", "");
    let diagnosis = diagnose::<&str>(&proxy.ws_url(), &[]);
    let text = text_of(diagnosis.fails_with("upgrade.proxy-dropped-headers"));
    for part in [
        "nginx",
        "proxy_http_version 1.1;",
        "proxy_set_header Upgrade $http_upgrade;",
        "proxy_set_header Connection",
    ] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
}

#[test]
fn the_inner_one_of_two_proxies_may_drop_them() {
    let broker = Broker::start();
    let inner = nginx_to(broker.ws_port(), "/", "");
    let outer = nginx_to(inner.port(), "/", UPGRADE);
    diagnose::<&str>(&outer.ws_url(), &[]).fails_with("upgrade.proxy-dropped-headers");
}

#[test]
fn nginx_without_a_live_upstream_answers_502() {
    let proxy = nginx_to(free_port(), "/", UPGRADE);
    diagnose::<&str>(&proxy.ws_url(), &[]).fails_with("upgrade.bad-gateway");
}

#[test]
fn haproxy_without_a_live_server_answers_503() {
    let proxy = haproxy_to("http", free_port());
    diagnose::<&str>(&proxy.ws_url(), &[]).fails_with("upgrade.no-backend");
}

#[test]
fn nginx_whose_upstream_hangs_answers_504() {
    let silent = ScriptedPort::start(|mut stream| {
        use std::io::Read as _;
        let mut bytes = [0; 4096];
        while matches!(stream.read(&mut bytes), Ok(1..)) {}
    });
    let settings = format!("{UPGRADE} proxy_read_timeout 1s;");
    let proxy = nginx_to(silent.port(), "/", &settings);
    diagnose::<&str>(&proxy.ws_url(), &[]).fails_with("upgrade.gateway-timeout");
}

#[test]
fn nginx_that_serves_another_path_is_answered_with_the_path_that_works() {
    let broker = Broker::start();
    let proxy = nginx_to(broker.ws_port(), "/nats", UPGRADE);
    let diagnosis = diagnose::<&str>(&proxy.ws_url(), &[]);
    let finding = text_of(diagnosis.fails_with("upgrade.wrong-path"));
    assert!(
        finding.contains(&format!("{}/nats", proxy.ws_url())),
        "{finding}"
    );
}

#[test]
fn nginx_in_front_of_the_monitoring_port_is_told_the_right_one() {
    let broker = Broker::monitored();
    let monitoring = broker.monitoring_port();
    let proxy = nginx_to(monitoring, "/", UPGRADE);
    let diagnosis = diagnose::<&str>(&proxy.ws_url(), &[]);
    let finding = text_of(diagnosis.fails_with("upgrade.proxy-to-monitoring"));
    assert!(finding.contains(&broker.ws_port().to_string()), "{finding}");
}

#[test]
fn nginx_that_expects_the_proxy_protocol_is_found_by_speaking_it() {
    let broker = Broker::start();
    let proxy = Proxy::nginx(&format!(
        "server {{ listen 127.0.0.1:@PORT@ proxy_protocol; location / {{ proxy_pass http://127.0.0.1:{}; {UPGRADE} }} }}",
        broker.ws_port()
    ));
    diagnose::<&str>(&proxy.ws_url(), &[]).fails_with("proxy.protocol-expected");
}

#[test]
fn haproxy_in_tcp_mode_without_a_backend_closes_without_a_word() {
    let proxy = haproxy_to("tcp", free_port());
    diagnose::<&str>(&proxy.ws_url(), &[]).fails_with("port.no-backend");
}

#[test]
fn nginx_that_redirects_to_https_is_answered_with_the_scheme() {
    let proxy = Proxy::nginx(
        "server { listen 127.0.0.1:@PORT@; return 301 https://broker.example.com$request_uri; }",
    );
    let diagnosis = diagnose::<&str>(&proxy.ws_url(), &[]);
    let finding = text_of(diagnosis.fails_with("upgrade.redirect-to-https"));
    assert!(finding.contains("wss://broker.example.com"), "{finding}");
}

#[test]
fn nginx_that_asks_for_a_password_is_not_taken_for_the_broker() {
    let broker = Broker::start();
    let proxy = Proxy::nginx_with_files(
        &format!(
            "server {{ listen 127.0.0.1:@PORT@; location / {{ auth_basic staff; auth_basic_user_file @DIR@/users; \
             proxy_pass http://127.0.0.1:{}; {UPGRADE} }} }}",
            broker.ws_port()
        ),
        &[("users", "game:{PLAIN}s3cret\n")],
    );
    let url = proxy.ws_url();
    diagnose(&url, &["--user", "game", "--password", "s3cret"]).fails_with("upgrade.unauthorized");
    // base64 of `game:s3cret`.
    diagnose(&url, &["--header", "Authorization: Basic Z2FtZTpzM2NyZXQ="]).is_healthy();
}

#[test]
fn an_idle_timeout_of_nginx_is_told_by_watching() {
    let broker = Broker::start();
    let settings = format!("{UPGRADE} proxy_read_timeout 1s;");
    let proxy = nginx_to(broker.ws_port(), "/", &settings);
    let diagnosis = diagnose(&proxy.ws_url(), &["--watch", "6s"]);
    diagnosis.fails_with("watch.idle-timeout");
}
