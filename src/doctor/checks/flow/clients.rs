//! Who else is connected: to this account, which every user may ask the server for, and to others, which only the
//! monitoring port tells.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::doctor::conversation::Conversation;
use crate::doctor::neighbours::Monitoring;

/// Most connections asked for.
const MAX_CLIENTS: usize = 256;
/// Most characters of a name that somebody else has chosen.
const MAX_NAME_CHARS: usize = 40;

/// A connection of the account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Client {
    /// `feed (10.0.0.7)`.
    pub(super) label: String,
    /// Messages that it has published.
    pub(super) n_published: u64,
    /// How long ago it last did anything, as the server writes it, such as `1m3s`.
    pub(super) idle: String,
    /// Queue groups in which it subscribes to what we subscribe to.
    pub(super) queues: Vec<String>,
}

/// The other connections of our account, on the server that we are connected to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Others {
    /// Those that have published most, first.
    pub(super) clients: Vec<Client>,
    /// Leaf nodes, behind which there may be more.
    pub(super) n_leafnodes: u64,
    /// All of them are in `clients`.
    pub(super) is_complete: bool,
}

/// An account in which messages are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BusyAccount {
    pub(super) name: String,
    pub(super) n_published: u64,
    /// The client that published most.
    pub(super) busiest: Client,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Connection {
    cid: u64,
    ip: String,
    name: String,
    in_msgs: u64,
    idle: String,
    account: String,
    name_tag: String,
    subscriptions_list_detail: Vec<Subscription>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Subscription {
    qgroup: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Connections {
    total: u64,
    connections: Vec<Connection>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Statistics {
    account_statz: Vec<AccountStatistics>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AccountStatistics {
    leafnodes: u64,
}

impl Connection {
    fn client(&self) -> Client {
        let mut queues: Vec<String> = self.queues().map(str::to_owned).collect();
        queues.sort();
        queues.dedup();
        let name = if self.name.is_empty() {
            "a client without a name".to_owned()
        } else {
            printable(&self.name)
        };
        Client {
            label: format!("{name} ({})", printable(&self.ip)),
            n_published: self.in_msgs,
            idle: printable(&self.idle),
            queues,
        }
    }

    fn queues(&self) -> impl Iterator<Item = &str> {
        let all = self.subscriptions_list_detail.iter();
        all.map(|subscription| subscription.qgroup.as_str())
            .filter(|queue| !queue.is_empty())
    }
}

/// A name that somebody else has chosen, short and on one line.
fn printable(text: &str) -> String {
    let chars = text.chars().filter(|c| !c.is_control());
    chars.take(MAX_NAME_CHARS).collect()
}

/// Asks who else is connected to our account. `ours` are the numbers of our own connections.
pub(super) async fn others(
    conversation: &mut Conversation,
    server_id: &str,
    ours: &[u64],
    limit: Duration,
) -> Option<Others> {
    let question = json!({ "sort": "msgs_from", "limit": MAX_CLIENTS }).to_string();
    let answer = ask(conversation, "CONNZ", &question, server_id, limit).await?;
    let mut others = others_of(answer, ours)?;
    let statistics = ask(conversation, "STATZ", "", server_id, limit).await;
    let statistics: Statistics = statistics.and_then(read).unwrap_or_default();
    let accounts = statistics.account_statz.iter();
    others.n_leafnodes = accounts.map(|account| account.leafnodes).sum();
    Some(others)
}

/// Asks who else subscribes to a subject in a queue group.
pub(super) async fn members(
    conversation: &mut Conversation,
    server_id: &str,
    ours: &[u64],
    (subject, queue): (&str, &str),
    limit: Duration,
) -> Vec<Client> {
    let question = json!({
        "limit": MAX_CLIENTS,
        "subscriptions_detail": true,
        "filter_subject": subject,
    });
    let answer = ask(
        conversation,
        "CONNZ",
        &question.to_string(),
        server_id,
        limit,
    )
    .await;
    let others = answer.and_then(|answer| others_of(answer, ours));
    let mut clients = others.map(|others| others.clients).unwrap_or_default();
    clients.retain(|client| client.queues.iter().any(|name| name == queue));
    clients
}

/// Asks the server for something about our account. Where the server has peers, another may answer first, which
/// knows nothing of our connections.
async fn ask(
    conversation: &mut Conversation,
    what: &str,
    question: &str,
    server_id: &str,
    limit: Duration,
) -> Option<Value> {
    let subject = format!("$SYS.REQ.ACCOUNT.PING.{what}");
    let answer = conversation
        .request(&subject, question.as_bytes(), limit)
        .await
        .ok()?;
    let answer: Value = serde_json::from_slice(&answer.payload).ok()?;
    (answer["server"]["id"] == server_id).then(|| answer["data"].clone())
}

/// A struct would also be read from an array, field by field.
fn read<T: DeserializeOwned>(value: Value) -> Option<T> {
    if !value.is_object() {
        return None;
    }
    serde_json::from_value(value).ok()
}

fn others_of(answer: Value, ours: &[u64]) -> Option<Others> {
    let all: Connections = read(answer)?;
    let n_listed = u64::try_from(all.connections.len()).unwrap_or(u64::MAX);
    let clients = all
        .connections
        .iter()
        .filter(|connection| !ours.contains(&connection.cid));
    Some(Others {
        clients: clients.map(Connection::client).collect(),
        n_leafnodes: 0,
        is_complete: n_listed >= all.total,
    })
}

/// The accounts other than ours in which messages are published, the busiest first.
pub(super) async fn busy_accounts(
    monitoring: &Monitoring,
    ours: &str,
    limit: Duration,
) -> Vec<BusyAccount> {
    let path = format!("/connz?auth=1&sort=msgs_from&limit={MAX_CLIENTS}");
    let answer = monitoring.get(&path, limit).await;
    answer
        .map(|answer| busy_accounts_of(answer, ours))
        .unwrap_or_default()
}

fn busy_accounts_of(answer: Value, ours: &str) -> Vec<BusyAccount> {
    let all: Connections = read(answer).unwrap_or_default();
    let mut busy: Vec<BusyAccount> = Vec::new();
    for connection in &all.connections {
        // With operators, `account` is a public key and `name_tag` the name.
        let names = [&connection.account, &connection.name_tag];
        let is_ours = names.into_iter().any(|name| name == ours);
        if is_ours || connection.account.is_empty() || connection.in_msgs == 0 {
            continue;
        }
        let name = if connection.name_tag.is_empty() {
            &connection.account
        } else {
            &connection.name_tag
        };
        let name = printable(name);
        if let Some(known) = busy.iter_mut().find(|account| account.name == name) {
            known.n_published += connection.in_msgs;
        } else {
            busy.push(BusyAccount {
                name,
                n_published: connection.in_msgs,
                busiest: connection.client(),
            });
        }
    }
    busy.sort_by_key(|account| std::cmp::Reverse(account.n_published));
    busy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_connections_are_not_others() {
        let answer = json!({"total": 3, "connections": [
            {"cid": 7, "ip": "10.0.0.1", "name": "feed", "in_msgs": 6, "idle": "0s"},
            {"cid": 8, "name": "natsbench"},
            {"cid": 9, "ip": "10.0.0.2", "subscriptions_list_detail": [{"qgroup": "workers"}, {"subject": "x"}]},
        ]});
        let others = others_of(answer, &[8]).unwrap();
        assert!(others.is_complete);
        let labels: Vec<_> = others
            .clients
            .iter()
            .map(|client| client.label.as_str())
            .collect();
        assert_eq!(
            labels,
            ["feed (10.0.0.1)", "a client without a name (10.0.0.2)"]
        );
        assert_eq!(others.clients[1].queues, ["workers"]);
    }

    #[test]
    fn accounts_that_publish_are_ours_or_busy() {
        let answer = json!({"connections": [
            {"account": "A", "in_msgs": 100},
            {"account": "ABC", "name_tag": "B", "in_msgs": 3, "name": "feed\n"},
            {"account": "C", "in_msgs": 5},
            {"account": "ABC", "name_tag": "B", "in_msgs": 4},
            {"account": "D"},
            {"in_msgs": 9},
        ]});
        let busy = busy_accounts_of(answer, "A");
        let names: Vec<_> = busy
            .iter()
            .map(|account| (account.name.as_str(), account.n_published))
            .collect();
        assert_eq!(names, [("B", 7), ("C", 5)]);
        assert_eq!(busy[0].busiest.label, "feed ()");
    }

    #[test]
    fn what_is_no_answer_says_nothing() {
        assert_eq!(others_of(json!([1]), &[]), None);
        assert_eq!(others_of(json!({"connections": 7}), &[]), None);
        assert!(busy_accounts_of(json!(null), "A").is_empty());
    }
}
