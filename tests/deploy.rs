//! The examples in `deploy/`: they are what people copy, so they have to work.

use std::path::Path;
use std::process::Command;

use crate::harness::Version;

fn deploy(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(name)
}

#[test]
fn every_server_that_is_promised_to_work_accepts_the_example_configuration() {
    for version in [Version::Default, Version::V2_12, Version::V2_10] {
        let checked = Command::new(version.binary())
            .args(["-t", "-c"])
            .arg(deploy("nats.conf"))
            .output()
            .expect("nats-server runs");
        assert!(
            checked.status.success(),
            "{version:?}: {}",
            String::from_utf8_lossy(&checked.stderr)
        );
    }
}

#[test]
fn configuration_compose_file_and_proxy_agree_about_ports() {
    let read = |name| std::fs::read_to_string(deploy(name)).expect("an example");
    let (conf, compose, nginx) = (read("nats.conf"), read("compose.yaml"), read("nginx.conf"));
    for (setting, port) in [
        ("port: 8443", "8443"),
        ("port: 4222", "4222"),
        ("http_port: 8222", "8222"),
    ] {
        assert!(conf.contains(setting), "{setting}");
        assert!(compose.contains(&format!("{port}:{port}")), "{port}");
    }
    assert!(nginx.contains("proxy_pass http://127.0.0.1:8443;"));
    assert!(nginx.contains("location /nats"));
}
