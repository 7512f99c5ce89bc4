//! `doctor`: what listens on the port, if anything.

use super::diagnose;
use crate::harness::{Broker, ScriptedPort};

#[test]
fn a_healthy_broker_has_no_finding() {
    let broker = Broker::start();
    diagnose::<&str>(&broker.ws_url(), &[]).is_healthy();
}

#[test]
fn a_port_on_which_nothing_listens_is_refused() {
    let port = ScriptedPort::start(|_| ()).port();
    diagnose::<&str>(&format!("ws://127.0.0.1:{port}"), &[]).fails_with("tcp.refused");
}
