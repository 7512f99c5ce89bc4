//! `doctor`: the HTTP upgrade, and INFO behind it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc;

use tokio_tungstenite::tungstenite;

use super::{diagnose, text_of};
use crate::harness::{
    Authority, Broker, FakeBroker, Greeting, Script, ScriptedPort, Version, noise,
};

const NO_ARGS: [&str; 0] = [];
const VERSIONS: [Version; 3] = [Version::Default, Version::V2_12, Version::V2_10];

/// An answer with a page, as proxies send it.
fn page(head: &str, body: &str) -> String {
    format!(
        "{head}\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A proxy before a broker that leaves out request headers.
fn stripping(port: u16, headers: &'static [&'static str]) -> ScriptedPort {
    ScriptedPort::start(move |mut client| {
        let Some(head) = read_head(&mut client) else {
            return;
        };
        let kept: Vec<&str> = head
            .split("\r\n")
            .filter(|line| {
                let name = line.split(':').next().unwrap_or("");
                !headers
                    .iter()
                    .any(|header| header.eq_ignore_ascii_case(name))
            })
            .collect();
        let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)) else {
            return;
        };
        let (Ok(mut back), Ok(mut answer)) = (client.try_clone(), server.try_clone()) else {
            return;
        };
        if server.write_all(kept.join("\r\n").as_bytes()).is_err() {
            return;
        }
        let copying = std::thread::spawn(move || std::io::copy(&mut answer, &mut back));
        let _ = std::io::copy(&mut client, &mut server);
        // The broker keeps the connection of a refused client open.
        let _ = server.shutdown(std::net::Shutdown::Both);
        let _ = copying.join();
    })
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > 64 << 10 || stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

#[test]
fn nothing_is_wrong_with_any_version() {
    for version in VERSIONS {
        let broker = Broker::builder().version(version).start();
        let diagnosis = diagnose(&format!("{}/any/path", broker.ws_url()), &NO_ARGS);
        diagnosis.is_healthy();
        diagnose(&broker.client_url(), &NO_ARGS).is_healthy();
    }
}

#[test]
fn every_status_of_a_gateway_has_its_code() {
    for (status, code, says) in [
        ("200 OK", "upgrade.web-server", "ordinary web page"),
        ("302 Found", "upgrade.redirected", "without saying where"),
        (
            "400 Bad Request",
            "upgrade.bad-request",
            "nats-server never saw it",
        ),
        ("401 Unauthorized", "upgrade.unauthorized", "--header"),
        ("403 Forbidden", "upgrade.forbidden", "origin plays no part"),
        ("404 Not Found", "upgrade.not-found", "no way to NATS"),
        (
            "405 Method Not Allowed",
            "upgrade.method-not-allowed",
            "no GET",
        ),
        (
            "407 Proxy Authentication Required",
            "upgrade.proxy-authentication",
            "forward proxy",
        ),
        (
            "408 Request Timeout",
            "upgrade.request-timeout",
            "gave up waiting",
        ),
        ("410 Gone", "upgrade.gone", "gone for good"),
        (
            "413 Content Too Large",
            "upgrade.headers-too-large",
            "too long",
        ),
        ("418 I'm a teapot", "upgrade.unexpected-status", "418"),
        (
            "421 Misdirected Request",
            "upgrade.misdirected",
            "host name",
        ),
        ("426 Upgrade Required", "upgrade.upgrade-required", "426"),
        (
            "429 Too Many Requests",
            "upgrade.rate-limited",
            "limits the rate",
        ),
        (
            "431 Request Header Fields Too Large",
            "upgrade.headers-too-large",
            "too long",
        ),
        (
            "500 Internal Server Error",
            "upgrade.server-error",
            "failed in itself",
        ),
        (
            "501 Not Implemented",
            "upgrade.not-implemented",
            "cannot do WebSocket",
        ),
        (
            "502 Bad Gateway",
            "upgrade.bad-gateway",
            "cannot reach nats-server",
        ),
        (
            "503 Service Unavailable",
            "upgrade.no-backend",
            "no live server",
        ),
        ("504 Gateway Timeout", "upgrade.gateway-timeout", "in vain"),
        (
            "511 Network Authentication Required",
            "upgrade.network-login",
            "captive portal",
        ),
        (
            "521 Web Server Is Down",
            "upgrade.cloudflare-origin",
            "refuses the connection",
        ),
    ] {
        let answer = page(
            &format!("HTTP/1.1 {status}\r\nServer: edge/9"),
            "<html></html>",
        );
        let port = ScriptedPort::answering(answer);
        let diagnosis = diagnose(&port.ws_url(), &NO_ARGS);
        let finding = diagnosis.fails_with(code);
        assert!(text_of(finding).contains(says), "{finding:#}");
        assert!(text_of(finding).contains("edge"), "{finding:#}");
        assert_eq!(diagnosis.status_of("connect"), "skipped");
    }
}

#[test]
fn haproxy_is_known_by_its_page() {
    let body = "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n";
    let port = ScriptedPort::answering(page("HTTP/1.1 503 Service Unavailable", body));
    let diagnosis = diagnose(&port.ws_url(), &NO_ARGS);
    let finding = diagnosis.fails_with("upgrade.no-backend");
    assert!(text_of(finding).contains("HAProxy"), "{finding:#}");
    assert_eq!(finding["certainty"], "certain");
}

#[test]
fn a_wait_that_is_asked_for_is_passed_on() {
    let head = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 17";
    let port = ScriptedPort::answering(page(head, ""));
    let diagnosis = diagnose(&port.ws_url(), &NO_ARGS);
    let finding = diagnosis.fails_with("upgrade.rate-limited");
    assert!(text_of(finding).contains("in 17 s"), "{finding:#}");
}

#[test]
fn a_redirect_is_followed_in_the_advice_and_its_secrets_stay_where_they_are() {
    let head = "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://other.example:9443/nats?token=hunter2hunter2";
    let port = ScriptedPort::answering(page(head, ""));
    let diagnosis = diagnose(&port.ws_url(), &NO_ARGS);
    let finding = diagnosis.fails_with("upgrade.redirect-to-https");
    assert!(
        text_of(finding).contains("wss://other.example:9443/nats"),
        "{finding:#}"
    );
    assert!(!diagnosis.json.to_string().contains("hunter2"));
}

#[test]
fn the_login_of_a_proxy_is_not_that_of_nats() {
    let head = "HTTP/1.1 401 Unauthorized\r\nServer: nginx/1.22.1\r\nWWW-Authenticate: Basic realm=\"staff\"";
    let port = ScriptedPort::answering(page(head, "<html></html>"));
    let diagnosis = diagnose(
        &port.ws_url(),
        &["--user", "u", "--password", "hunter2hunter2"],
    );
    let finding = diagnosis.fails_with("upgrade.unauthorized");
    assert!(
        text_of(finding).contains("NATS credentials are sent later"),
        "{finding:#}"
    );
    let sent = ["--header", "Authorization: Basic aHVudGVyMmh1bnRlcjI="];
    let diagnosis = diagnose(&port.ws_url(), &sent);
    let finding = diagnosis.fails_with("upgrade.unauthorized");
    assert!(
        text_of(finding).contains("does not accept the `Authorization`"),
        "{finding:#}"
    );
    assert!(!diagnosis.json.to_string().contains("aHVudGVy"));
}

#[test]
fn a_login_page_of_the_network_is_told_from_a_web_site() {
    let body = "<html><head><title>FreeWiFi</title></head><body><form action=/x>Please accept the terms to access the internet</form></body></html>";
    let port = ScriptedPort::answering(page("HTTP/1.1 200 OK", body));
    diagnose(&port.ws_url(), &NO_ARGS).fails_with("upgrade.captive-portal");
}

#[test]
fn the_monitoring_port_names_the_right_one() {
    for version in VERSIONS {
        let broker = Broker::builder().version(version).monitored().start();
        let url = broker.monitoring_url().replace("http://", "ws://");
        let diagnosis = diagnose(&url, &NO_ARGS);
        let finding = diagnosis.fails_with("upgrade.monitoring-port");
        assert!(text_of(finding).contains(&broker.ws_url()), "{finding:#}");
        // The same at a path where there is no page.
        let diagnosis = diagnose(&format!("{url}/nats"), &NO_ARGS);
        let finding = diagnosis.fails_with("upgrade.monitoring-port");
        assert!(text_of(finding).contains(&broker.ws_url()), "{finding:#}");
    }
}

#[test]
fn a_proxy_that_drops_a_header_of_the_handshake_is_found() {
    for version in VERSIONS {
        let broker = Broker::builder().version(version).start();
        for headers in [&["Upgrade", "Connection"][..], &["Sec-WebSocket-Key"]] {
            let proxy = stripping(broker.ws_port(), headers);
            let diagnosis = diagnose(&proxy.ws_url(), &NO_ARGS);
            let finding = diagnosis.fails_with("upgrade.proxy-dropped-headers");
            assert!(
                text_of(finding).contains("proxy_set_header Upgrade"),
                "{finding:#}"
            );
        }
    }
}

#[test]
fn a_header_of_our_own_that_breaks_the_handshake_is_not_blamed_on_a_proxy() {
    let broker = Broker::start();
    for (header, name) in [("Host: ", "`Host`"), ("Host: a b", "`Host`")] {
        let args = ["--header", "X-Fine: hunter2hunter2", "--header", header];
        let diagnosis = diagnose(&broker.ws_url(), &args);
        let finding = diagnosis.fails_with("upgrade.own-header");
        let title = finding["title"].as_str().expect("a title");
        assert!(title.contains(name) && !title.contains("X-Fine"), "{title}");
    }
}

#[test]
fn a_port_with_tls_wants_wss() {
    let issued = Authority::new().issue(&["localhost", "127.0.0.1"]);
    let broker = Broker::builder()
        .file("server.pem", &issued.certificate)
        .file("server.key", &issued.key)
        .websocket("tls { cert_file: \"@DIR@/server.pem\", key_file: \"@DIR@/server.key\" }")
        .start();
    let url = broker.ws_url().replace("wss://", "ws://");
    let diagnosis = diagnose(&url, &NO_ARGS);
    let finding = diagnosis.fails_with("upgrade.plain-to-tls-port");
    assert!(
        text_of(finding).contains(&url.replace("ws://", "wss://")),
        "{finding:#}"
    );
}

#[test]
fn a_proxy_without_tls_before_a_port_with_tls_is_to_blame_itself() {
    let head = "HTTP/1.1 400 Bad Request\r\nServer: nginx/1.22.1";
    let body = "Client sent an HTTP request to an HTTPS server.\n";
    let port = ScriptedPort::answering(page(head, body));
    let diagnosis = diagnose(&port.ws_url(), &NO_ARGS);
    let finding = diagnosis.fails_with("upgrade.proxy-plain-to-tls");
    assert!(
        text_of(finding).contains("proxy_pass https://"),
        "{finding:#}"
    );
}

#[test]
fn which_setting_refuses_an_origin_is_told() {
    let origin = ["--origin", "https://game.example.com"];
    for version in VERSIONS {
        for (block, says) in [
            ("same_origin: true", "`same_origin: true`"),
            (
                "allowed_origins: [\"https://other.example\"]",
                "not in `allowed_origins`",
            ),
            (
                "allowed_origins: [\"http://game.example.com\"]",
                "other scheme",
            ),
        ] {
            let broker = Broker::builder()
                .version(version)
                .websocket(&format!("no_tls: true\n{block}"))
                .start();
            let diagnosis = diagnose(&broker.ws_url(), &origin);
            let finding = diagnosis.fails_with("upgrade.origin-refused");
            assert!(text_of(finding).contains(says), "{says}: {finding:#}");
            let added = r#"allowed_origins: [\"https://game.example.com\"]"#;
            assert!(text_of(finding).contains(added), "{finding:#}");
            diagnose(&broker.ws_url(), &NO_ARGS).is_healthy();
        }
    }
}

#[test]
fn an_origin_that_is_allowed_is_fine() {
    let broker = Broker::builder()
        .websocket("no_tls: true\nallowed_origins: [\"https://game.example.com\"]")
        .start();
    diagnose(&broker.ws_url(), &["--origin", "https://game.example.com"]).is_healthy();
    let null = diagnose(&broker.ws_url(), &["--header", "Origin: null"]);
    let finding = null.fails_with("upgrade.origin-refused");
    assert!(text_of(finding).contains("sandboxed"), "{finding:#}");
}

#[test]
fn the_paths_of_mqtt_and_leaf_nodes_are_not_for_clients() {
    for version in VERSIONS {
        let broker = Broker::builder().version(version).start();
        for (path, code) in [
            ("/mqtt", "upgrade.mqtt-path"),
            ("/a/leafnode", "info.leafnode-path"),
        ] {
            let diagnosis = diagnose(&format!("{}{path}", broker.ws_url()), &NO_ARGS);
            let finding = diagnosis.fails_with(code);
            assert!(text_of(finding).contains(&broker.ws_url()), "{finding:#}");
        }
    }
}

#[test]
fn the_path_of_leaf_nodes_is_found_also_where_there_are_some() {
    let broker = Broker::builder()
        .config("leafnodes { listen: \"127.0.0.1:-1\" }")
        .start();
    let diagnosis = diagnose(&format!("{}/leafnode", broker.ws_url()), &NO_ARGS);
    diagnosis.fails_with("info.leafnode-path");
}

#[test]
fn nats_at_another_path_is_found() {
    let broker = Broker::start();
    let port = broker.ws_port();
    let proxy = ScriptedPort::start(move |mut client| {
        let Some(head) = read_head(&mut client) else {
            return;
        };
        if !head.starts_with("GET /ws HTTP/1.1\r\n") {
            let _ = client
                .write_all(page("HTTP/1.1 404 Not Found\r\nServer: nginx/1.22.1", "").as_bytes());
            return;
        }
        let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)) else {
            return;
        };
        let (Ok(mut back), Ok(mut answer)) = (client.try_clone(), server.try_clone()) else {
            return;
        };
        let _ = server.write_all(head.as_bytes());
        let copying = std::thread::spawn(move || std::io::copy(&mut answer, &mut back));
        let _ = std::io::copy(&mut client, &mut server);
        let _ = server.shutdown(std::net::Shutdown::Both);
        let _ = copying.join();
    });
    let diagnosis = diagnose(&proxy.ws_url(), &NO_ARGS);
    let finding = diagnosis.fails_with("upgrade.wrong-path");
    assert!(
        text_of(finding).contains(&format!("{}/ws", proxy.ws_url())),
        "{finding:#}"
    );
    diagnose(&format!("{}/ws", proxy.ws_url()), &NO_ARGS).is_healthy();
}

#[test]
fn a_101_that_is_not_ours_is_refused() {
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    for (answer, code) in [
        (
            format!("{head}Sec-WebSocket-Accept: c29tZXRoaW5nIGVsc2U=\r\n\r\n"),
            "upgrade.wrong-accept",
        ),
        (format!("{head}\r\n"), "upgrade.missing-accept"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n".to_owned(),
            "upgrade.incomplete-101",
        ),
    ] {
        let port = ScriptedPort::answering(answer);
        diagnose(&port.ws_url(), &NO_ARGS).fails_with(code);
    }
}

#[test]
fn heads_that_never_end_are_given_up_on() {
    for (line, code) in [
        (
            "X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "upgrade.endless-head",
        ),
        ("A: b\r\n", "upgrade.too-many-headers"),
    ] {
        let broker = FakeBroker::start(Script::new().greeting(Greeting::Endless(line)));
        diagnose(&broker.ws_url(), &NO_ARGS).fails_with(code);
    }
}

#[test]
fn an_answer_that_stops_in_the_middle_is_not_called_silence() {
    let port = ScriptedPort::start(|mut stream| {
        if read_head(&mut stream).is_some() {
            let _ = stream.write_all(b"HTTP/1.1 101 Switching");
            let _ = stream.read(&mut [0]);
        }
    });
    let diagnosis = diagnose(&port.ws_url(), &["--timeout", "500ms"]);
    diagnosis.fails_with("upgrade.slow-answer");
}

#[test]
fn a_proxy_that_is_alive_before_a_silent_server_is_told_from_silence() {
    let port = ScriptedPort::start(|mut stream| {
        let mut request = [0; 4096];
        let n = stream.read(&mut request).unwrap_or(0);
        if request[..n].starts_with(b"GET") {
            let _ = stream.read(&mut request);
        } else {
            let body = "<html><center>nginx/1.22.1</center></html>";
            let _ = stream.write_all(
                page("HTTP/1.1 400 Bad Request\r\nServer: nginx/1.22.1", body).as_bytes(),
            );
        }
    });
    let diagnosis = diagnose(&port.ws_url(), &["--timeout", "500ms"]);
    let finding = diagnosis.fails_with("upgrade.upstream-silent");
    assert!(text_of(finding).contains("nginx"), "{finding:#}");
}

#[test]
fn what_comes_in_place_of_info_is_named() {
    let frame = |opcode: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).expect("a short payload");
        [&[0x80 | opcode, length][..], payload].concat()
    };
    for (bytes, code, says) in [
        (
            frame(1, b"{\"type\":\"hello\"}"),
            "info.other-service",
            "speaks JSON",
        ),
        (
            frame(1, b"0{\"sid\":\"abc\",\"upgrades\":[]}"),
            "info.other-service",
            "socket.io",
        ),
        (frame(2, &[0x20, 2, 0, 0]), "info.other-service", "MQTT"),
        (
            frame(8, b"\x03\xf3no backend"),
            "info.websocket-closed",
            "no backend",
        ),
        (
            frame(8, b"\x03\xe9Server Shutdown"),
            "info.server-shutdown",
            "shutting down",
        ),
        (
            Vec::new(),
            "info.closed-after-upgrade",
            "no nats-server behind",
        ),
        (
            b"INFO {\"server_id\":\"N\"}\r\n".to_vec(),
            "info.no-frames",
            "4222",
        ),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            "info.http-after-101",
            "400",
        ),
        (
            frame(2, b"-ERR 'maximum connections exceeded'\r\n"),
            "info.refused",
            "max_connections",
        ),
        (noise(1, 100), "info.unreadable", "not NATS"),
    ] {
        let script = Script::new().greeting(Greeting::Frames(bytes));
        let broker = FakeBroker::start(script);
        let diagnosis = diagnose(&broker.ws_url(), &NO_ARGS);
        let finding = diagnosis.fails_with(code);
        assert!(text_of(finding).contains(says), "{finding:#}");
    }
}

#[test]
fn silence_behind_the_101_is_told_with_what_may_be_the_cause() {
    let port = ScriptedPort::start(|stream| {
        // Reading answers pings.
        if let Ok(mut websocket) = tungstenite::accept(stream) {
            while websocket.read().is_ok() {}
        }
    });
    let diagnosis = diagnose(&port.ws_url(), &["--timeout", "500ms"]);
    let finding = diagnosis.fails_with("info.silent-after-upgrade");
    assert_eq!(finding["certainty"], "possible");
    assert!(
        text_of(finding).contains("answers a WebSocket ping"),
        "{finding:#}"
    );
}

/// INFO of a server that advertises these addresses.
fn advertising(urls: &str, more: &str) -> FakeBroker {
    let info = format!(
        "INFO {{\"server_id\":\"F\",\"version\":\"2.99.0\",\"proto\":1,\"headers\":true,\"max_payload\":1048576,\"client_id\":1,\"cluster\":\"c\",\"connect_urls\":[{urls}]{more}}}\r\n"
    );
    FakeBroker::start(Script::new().greeting(Greeting::Nats(info.into_bytes())))
}

#[test]
fn an_advertised_address_that_cannot_be_reached_is_warned_of() {
    let closed = ScriptedPort::start(|_| ()).port();
    let other = Broker::start();
    let good = format!("\"127.0.0.1:{}\"", other.ws_port());
    let broker = advertising(&format!("{good},\"127.0.0.1:{closed}\""), "");
    let diagnosis = diagnose(&broker.ws_url(), &NO_ARGS);
    let finding = diagnosis.warns_of("info.unreachable-advertised");
    let text = text_of(finding);
    assert!(text.contains(&format!("127.0.0.1:{closed}")), "{finding:#}");
    assert!(text.contains("no_advertise: true"), "{finding:#}");
    assert!(!text.contains(&good.replace('"', "")), "{finding:#}");
    let broker = advertising(&good, "");
    diagnose(&broker.ws_url(), &NO_ARGS).is_healthy();
}

/// What goes only to the very place of the URL.
const SECRETS: [&str; 4] = [
    "--header",
    "Authorization: Bearer hunter2",
    "--header",
    "Cookie: session=hunter2",
];

/// A port that refuses everything with this head, and the requests that came there.
fn recording(answer: &'static str) -> (ScriptedPort, mpsc::Receiver<String>) {
    let (said, heard) = mpsc::channel();
    let port = ScriptedPort::start(move |mut stream| {
        let mut request = [0; 4096];
        let n_bytes = stream.read(&mut request).unwrap_or(0);
        let request = String::from_utf8_lossy(&request[..n_bytes]).into_owned();
        said.send(request).expect("the test listens");
        let _ = stream.write_all(answer.as_bytes());
    });
    (port, heard)
}

#[test]
fn nothing_secret_goes_to_an_advertised_address_and_its_login_is_no_fault() {
    let (port, heard) = recording("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    let broker = advertising(&format!("\"127.0.0.1:{}\"", port.port()), "");
    let url = format!("{}/?token=hunter2", broker.ws_url());
    diagnose(&url, &SECRETS).is_healthy();
    let requests: Vec<String> = heard.try_iter().collect();
    assert!(!requests.is_empty(), "the address is tried");
    assert!(!requests.concat().contains("hunter2"), "{requests:?}");
}

#[test]
fn nothing_secret_goes_to_another_path_host_name_or_port() {
    let (redirected, elsewhere) = recording("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let location = format!("http://127.0.0.1:{}/nats?token=hunter2", redirected.port());
    let redirect = ScriptedPort::answering(format!(
        "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    ));
    let url = format!("ws://127.0.0.1:{}/nats?token=hunter2", redirect.port());
    diagnose(&url, &SECRETS).fails_with("upgrade.redirected");
    let requests: Vec<String> = elsewhere.try_iter().collect();
    assert!(
        !requests.is_empty(),
        "the redirect is followed on the same host"
    );
    assert!(!requests.concat().contains("hunter2"), "{requests:?}");

    let (port, heard) = recording("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let url = format!("ws://127.0.0.1:{}/wrong?token=hunter2", port.port());
    diagnose(&url, &SECRETS).fails_with("upgrade.not-found");
    let is_own = |request: &str| request.starts_with("GET /wrong?token=hunter2 ");
    let (own, others): (Vec<_>, Vec<_>) = heard.try_iter().partition(|it| is_own(it));
    assert!(own.concat().contains("Bearer hunter2"), "{own:?}");
    assert!(others.len() > 2, "{others:?}");
    assert!(!others.concat().contains("hunter2"), "{others:?}");
}

#[test]
fn a_server_that_is_about_to_stop_is_warned_of() {
    let broker = advertising("", ",\"ldm\":true");
    diagnose(&broker.ws_url(), &NO_ARGS).warns_of("info.lame-duck");
}

#[test]
fn a_port_that_is_mapped_is_a_fact_and_no_fault() {
    let broker = Broker::start();
    let proxy = stripping(broker.ws_port(), &[]);
    let diagnosis = diagnose(&proxy.ws_url(), &NO_ARGS);
    diagnosis.is_healthy();
    let facts = diagnosis.json["facts"].to_string();
    assert!(facts.contains("in between"), "{facts}");
}

#[test]
fn tls_on_the_client_port_is_followed_and_what_is_wrong_with_it_named() {
    let plain = Broker::start();
    let url = plain.client_url().replace("nats://", "tls://");
    diagnose(&url, &NO_ARGS).fails_with("info.tls-not-offered");

    let authority = Authority::new();
    let issued = authority.issue(&["localhost", "127.0.0.1"]);
    let with_tls = |first: &str| {
        Broker::builder()
            .file("server.pem", &issued.certificate)
            .file("server.key", &issued.key)
            .file("ca.pem", &authority.pem())
            .config(&format!(
                "tls {{ cert_file: \"@DIR@/server.pem\", key_file: \"@DIR@/server.key\", {first} }}"
            ))
            .start()
    };
    let first = with_tls("handshake_first: true");
    let url = first.client_url().replace("tls://", "nats://");
    let ca = first.dir().join("ca.pem");
    let ca = ca.to_str().expect("a UTF-8 path");
    diagnose(&url, &["--tlsca", ca, "--tlsfirst"]).is_healthy();

    let behind = with_tls("timeout: 2");
    let url = behind.client_url().replace("tls://", "nats://");
    diagnose(&url, &["--tlsca", ca]).is_healthy();
    let stranger = behind.dir().join("stranger.pem");
    std::fs::write(&stranger, Authority::new().pem()).expect("a file");
    let stranger = stranger.to_str().expect("a UTF-8 path");
    let diagnosis = diagnose(&url, &["--tlsca", stranger]);
    let code = diagnosis.json["findings"][0]["code"].as_str();
    assert!(
        code.is_some_and(|code| code.starts_with("tls.")),
        "{:#}",
        diagnosis.json
    );
    assert_eq!(diagnosis.status_of("info"), "failed");
    diagnose(&url, &["--tlsca", ca, "--tlsfirst"]).fails_with("info.no-tls-first");
}
