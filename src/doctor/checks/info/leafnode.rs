//! Paths that end in `/leafnode`: nats-server takes such a connection for a leaf node.

use crate::doctor::checks::info::codes::LEAFNODE_PATH;
use crate::doctor::checks::info::missing::Missing;
use crate::doctor::fingerprint::NatsPort;
use crate::doctor::front::{Proxy, ProxyKind};
use crate::doctor::http::again::{Outcome, url_of};
use crate::doctor::http::answer::path_of;
use crate::net::target::Target;
use crate::protocol::ServerInfo;
use crate::results::doctor::{Certainty, Finding};

/// Whether this INFO is for leaf nodes, because of the path: that of the URL, or the one that a proxy made of it.
pub(super) fn is_of_leafnode(target: &Target, info: &ServerInfo) -> bool {
    match NatsPort::of(info) {
        NatsPort::Client => false,
        NatsPort::Leafnode => true,
        NatsPort::Route | NatsPort::Gateway => ends_in_leafnode(target),
    }
}

pub(super) fn ends_in_leafnode(target: &Target) -> bool {
    path_of(&target.path_and_query).ends_with("/leafnode")
}

/// The path of the URL without the ending.
pub(super) fn without_leafnode(target: &Target) -> &str {
    let path = path_of(&target.path_and_query);
    match path.strip_suffix("/leafnode") {
        Some("") | None => "/",
        Some(path) => path,
    }
}

/// The URL says so.
pub(super) fn by_url(
    target: &Target,
    right: &str,
    outcome: &Outcome,
    missing: &Missing,
) -> Finding {
    let url = url_of(target.scheme, &target.host, target.port, right);
    let path = path_of(&target.path_and_query);
    let finding = LEAFNODE_PATH
        .finding(format!("The path `{path}` ends in /leafnode, so that nats-server takes the connection for a leaf node."))
        .because("nats-server speaks NATS for clients at every path but two: `.../leafnode` is for leaf nodes, `.../mqtt` for MQTT.")
        .evidence("after the 101", missing.text())
        .evidence(&format!("at {right}"), outcome.text());
    let finding = if outcome.is_nats() {
        finding
    } else {
        finding.certainty(Certainty::Likely)
    };
    finding.paste(
        "Leave /leafnode out of the URL:",
        &[&format!("natsbench doctor --server {url}")],
    )
}

/// The path of the URL is right, and what arrives is not.
pub(super) fn rewritten(target: &Target, front: Option<&Proxy>) -> Finding {
    let path = path_of(&target.path_and_query);
    let front = front.filter(|front| front.kind != ProxyKind::Mapping);
    let name = front.map_or_else(|| "the proxy".to_owned(), Proxy::name);
    LEAFNODE_PATH
        .finding(format!("nats-server takes the connection for a leaf node: something on the way turns the path `{path}` into one that ends in /leafnode."))
        .because("nats-server speaks NATS for clients at every path but two: `.../leafnode` is for leaf nodes, `.../mqtt` for MQTT.")
        .evidence("after the 101", Missing::Leafnode.text())
        .remedy(format!("Take /leafnode out of the upstream address in {name} (nginx: `proxy_pass http://HOST:PORT;`, without a path)."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_for_leaf_nodes_is_the_doing_of_a_proxy_where_the_url_does_not_ask_for_it() {
        let target: Target = "ws://h:1/nats".parse().unwrap();
        let info = ServerInfo::parse(br#"{"server_id":"N","info_on_connect":true}"#).unwrap();
        assert!(is_of_leafnode(&target, &info));
        let finding = rewritten(&target, None);
        assert!(finding.title.contains("`/nats`"), "{finding:?}");
        let client = ServerInfo::parse(br#"{"server_id":"N","client_id":1}"#).unwrap();
        assert!(!is_of_leafnode(&target, &client));
    }
}
