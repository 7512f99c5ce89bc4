//! Several real brokers that form a cluster, and tell clients of each other.

use super::{Broker, HeldPort, RawClient, eventually};

/// A cluster.
pub(crate) struct Cluster {
    /// Its servers, `n0`, `n1` and so on.
    pub(crate) servers: Vec<Broker>,
}

impl Cluster {
    /// So many servers, with this further configuration each; they know each other when this returns.
    pub(crate) fn start(n_servers: usize, config: &str) -> Self {
        let ports: Vec<HeldPort> = (0..n_servers).map(|_| HeldPort::new()).collect();
        let routes: Vec<String> = ports
            .iter()
            .map(|port| format!("\"nats://127.0.0.1:{}\"", port.number()))
            .collect();
        let servers: Vec<Broker> = ports
            .iter()
            .enumerate()
            .map(|(idx, port)| {
                let port = port.number();
                let cluster = format!(
                    "server_name: \"n{idx}\"\ncluster {{ name: c, listen: \"127.0.0.1:{port}\", routes: [{}] }}",
                    routes.join(", ")
                );
                Broker::builder()
                    .monitored()
                    .config(&cluster)
                    .config(config)
                    .start()
            })
            .collect();
        let cluster = Self { servers };
        for server in &cluster.servers {
            eventually("the servers to know each other", || {
                let info = RawClient::login(server, "").into_info();
                let is_whole = |urls: &str| {
                    info[urls]
                        .as_array()
                        .is_some_and(|urls| urls.len() == n_servers)
                };
                is_whole("connect_urls").then_some(())
            });
        }
        cluster
    }
}
