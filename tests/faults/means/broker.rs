//! Real brokers: they end and come back with what they had, are reloaded, send clients away, and know each other.

use tokio_tungstenite::tungstenite::Message;

use super::{Talker, is_refused, publication};
use crate::harness::{
    Broker, Cluster, QUICK_LAME_DUCK, RawClient, SYSTEM_ACCOUNT, Witness, eventually,
};

/// The close frame that ended it.
#[track_caller]
fn closed_with(talker: &mut Talker) -> (u16, String) {
    match talker.hear_out() {
        (Some(Message::Close(Some(frame))), _) => (frame.code.into(), frame.reason.to_string()),
        other => panic!("not a close frame: {other:?}"),
    }
}

#[test]
fn a_broker_that_ends_refuses_and_comes_back_on_its_ports_with_what_it_stored() {
    let mut broker = Broker::builder()
        .monitored()
        .config("jetstream { store_dir: \"@DIR@/js\" }")
        .start();
    let urls = [broker.ws_url(), broker.client_url()];
    let mut client = RawClient::login(&broker, "");
    client.add_stream("ROUNDS", "\"subjects\":[\"rounds.>\"]");
    client.store("rounds.a", "1");
    // It says goodbye,
    let mut talker = Talker::subscribed(&broker.ws_url(), "rounds");
    broker.shut_down();
    assert_eq!(
        closed_with(&mut talker),
        (1001, "Server Shutdown".to_owned())
    );
    assert!(
        urls.iter()
            .all(|url| is_refused(&url.replace("nats:", "ws:")))
    );
    broker.start_again();
    // or it does not.
    let mut talker = Talker::subscribed(&broker.ws_url(), "rounds");
    broker.kill();
    let (last, _) = talker.hear_out();
    assert!(!matches!(last, Some(Message::Close(_))), "{last:?}");
    assert!(
        urls.iter()
            .all(|url| is_refused(&url.replace("nats:", "ws:")))
    );
    broker.start_again();
    assert_eq!(urls, [broker.ws_url(), broker.client_url()]);
    assert!(broker.connections().is_empty());
    let info = RawClient::login(&broker, "").request("$JS.API.STREAM.INFO.ROUNDS", "");
    assert!(info.contains("\"messages\":1"), "{info}");
}

#[test]
fn a_broker_comes_back_with_another_configuration_or_takes_it_while_it_runs() {
    let user = |password: &str| {
        format!("authorization {{ user: game, password: {password} }}\nhttp: \"127.0.0.1:-1\"")
    };
    let credentials = |password: &str| format!("\"user\":\"game\",\"pass\":\"{password}\"");
    let mut broker = Broker::builder().config(&user("one")).start();
    RawClient::login(&broker, &credentials("one"));
    broker.kill();
    broker.start_again_with(&user("two"));
    RawClient::login(&broker, &credentials("two"));
    broker.reload(&user("three"));
    let mut witness = RawClient::login(&broker, &credentials("three"));
    witness.settle();
}

#[test]
fn a_broker_in_lame_duck_mode_says_so_sends_clients_away_and_ends() {
    let mut broker = Broker::builder().config(QUICK_LAME_DUCK).start();
    let mut talker = Talker::subscribed(&broker.ws_url(), "rounds");
    broker.enter_lame_duck_mode();
    talker.hear("\"ldm\":true");
    talker.hear_out();
    broker.await_end();
    broker.start_again();
    Talker::subscribed(&broker.ws_url(), "rounds");
}

#[test]
fn a_client_is_kicked_by_an_administrator() {
    let broker = Broker::builder().monitored().config(SYSTEM_ACCOUNT).start();
    let mut kicked = Talker::subscribed(&broker.ws_url(), "rounds");
    let clients = broker.websocket_clients();
    assert_eq!(clients.len(), 1);
    assert_eq!(clients[0].1, 1, "subscriptions");
    let mut other = Talker::subscribed(&broker.ws_url(), "rounds");
    broker.kick(clients[0].0);
    assert_eq!(closed_with(&mut kicked), (1011, "Kicked".to_owned()));
    other.say(&publication("rounds.a", 1));
    other.hear("\"round\":1");
}

#[test]
fn the_servers_of_a_cluster_tell_browsers_of_each_other_and_pass_messages_on() {
    let cluster = Cluster::start(3, "");
    let urls: Vec<String> = cluster.servers.iter().map(Broker::ws_url).collect();
    let mut talker = Talker::subscribed(&urls[0], "rounds");
    for url in &urls {
        talker.hear(url.trim_start_matches("ws://"));
    }
    let mut publisher = RawClient::login(&cluster.servers[1], "");
    // The interest travels by itself.
    eventually("the message to arrive", || {
        publisher.say(&publication("rounds.a", 1));
        publisher.settle();
        (!talker.is_in_silence()).then_some(())
    });
    talker.hear("\"round\":1");
}

#[test]
fn a_witness_counts_messages_by_their_stamps_and_copies_apart() {
    let broker = Broker::start();
    let witness = Witness::start(&broker, "rounds.>");
    let mut publisher = RawClient::login(&broker, "");
    for seq in [0, 1, 2, 1, 1] {
        publisher.say(&publication("rounds.a", seq));
    }
    publisher.publish("rounds.a", "no round");
    publisher.publish("other.a", "elsewhere");
    publisher.settle();
    let tally = witness.await_measured(3);
    eventually("the copies", || {
        (witness.tally().n_duplicates() == 2).then_some(())
    });
    let keys: Vec<_> = tally.keys().collect();
    assert_eq!(keys[2].seq, 2);
    assert_eq!((keys[0].publisher, keys[0].stream), (0x0102, 4));
    assert_eq!(keys[0].run, "0a0b0c0d");
}
