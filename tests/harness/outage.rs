//! What happens to a real broker while clients are connected: it ends and comes back, is reloaded, sends them away.

use rustix::process::Signal;
use serde_json::Value;

use super::{Broker, RawClient, eventually};

/// Configuration: in lame duck mode, the first client is sent away at once, and the others one a second at the
/// latest. Half a minute is the least that nats-server takes for the whole.
pub(crate) const QUICK_LAME_DUCK: &str =
    "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"10ms\"";

/// Configuration: whoever logs in without credentials may do what is usual, and the test has the system account.
pub(crate) const SYSTEM_ACCOUNT: &str = "accounts { SYS: { users: [{user: sys, password: sys}] }, \
     APP: { users: [{user: app, password: app}] } }\nsystem_account: SYS\nno_auth_user: app";

impl Broker {
    /// SIGKILL: its connections end as those of a crashed process do. Its ports refuse when this returns.
    pub(crate) fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    /// SIGTERM: it says goodbye. Its ports refuse when this returns.
    pub(crate) fn shut_down(&mut self) {
        self.end(Signal::TERM);
    }

    fn end(&mut self, signal: Signal) {
        self.signal(signal);
        self.await_end();
    }

    /// Waits until it has ended, as it does by itself in lame duck mode when all clients are gone.
    #[track_caller]
    pub(crate) fn await_end(&mut self) {
        eventually("the broker to end", || {
            self.child.try_wait().expect("the child can be waited for")
        });
        self.is_down = true;
    }

    /// Starts it again after its end: on the same ports, with what it has stored; ready when this returns.
    pub(crate) fn start_again(&mut self) {
        assert!(self.is_down, "the broker runs");
        self.child = self.launch.spawn();
        self.is_down = false;
        self.ports = self.launch.await_ports(&mut self.child);
    }

    /// The same with another configuration; as in [`super::Builder::config`], without the listeners.
    pub(crate) fn start_again_with(&mut self, config: &str) {
        self.launch.configure(config);
        self.start_again();
    }

    /// Makes it read another configuration while it runs; it has when this returns.
    pub(crate) fn reload(&self, config: &str) {
        let n_reloads = || self.log().matches("Reloaded server configuration").count();
        let n_before = n_reloads();
        self.launch.configure(config);
        self.signal(Signal::HUP);
        eventually("the broker to reload", || {
            let log = self.log();
            assert!(!log.contains("Failed to reload"), "{log}");
            (n_reloads() > n_before).then_some(())
        });
    }

    /// Lame duck mode: no new clients, and those that there are sent away; see [`QUICK_LAME_DUCK`].
    pub(crate) fn enter_lame_duck_mode(&self) {
        self.signal(Signal::USR2);
    }

    /// Numbers of the clients that came by WebSocket and are still there, and how many subscriptions each has.
    pub(crate) fn websocket_clients(&self) -> Vec<(u64, u64)> {
        let connections = self.connections();
        let is_websocket = |one: &&Value| one["type"] == "websocket";
        let number = |one: &Value, name: &str| one[name].as_u64().expect("a number");
        connections
            .iter()
            .filter(is_websocket)
            .map(|one| (number(one, "cid"), number(one, "subscriptions")))
            .collect()
    }

    /// Sends a client away in the way of an administrator; needs [`SYSTEM_ACCOUNT`].
    pub(crate) fn kick(&self, client: u64) {
        let mut admin = RawClient::login(self, "\"user\":\"sys\",\"pass\":\"sys\"");
        let subject = format!("$SYS.REQ.SERVER.{}.KICK", admin.server_id());
        let answer = admin.request(&subject, &format!("{{\"cid\":{client}}}"));
        assert!(!answer.contains("\"error\""), "{answer}");
    }
}
