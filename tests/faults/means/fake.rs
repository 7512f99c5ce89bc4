//! The fake broker: faults at message numbers, and a ledger of what it accepted and delivered.

use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Talker, publication};
use crate::harness::{Cut, FakeBroker, Fault, Script, Whom, eventually};

/// Publishes these numbers at once, and waits until the broker has them.
fn publish(talker: &mut Talker, broker: &FakeBroker, seqs: std::ops::Range<u64>) {
    let end = seqs.end;
    let operations: String = seqs.map(|seq| publication("rounds.a", seq)).collect();
    talker.say(&operations);
    eventually("the messages to be accepted", || {
        (broker.n_published() == end).then_some(())
    });
}

#[test]
fn a_subscriber_that_is_cut_off_has_got_everything_before_and_can_come_back() {
    for cut in [Cut::Fin, Cut::Reset] {
        let script = Script::new().at(5, Whom::Subscribers, Fault::Cut(cut));
        let broker = FakeBroker::start(script);
        let mut subscriber = Talker::subscribed(&broker.ws_url(), "rounds");
        let mut publisher = Talker::connect(&broker.ws_url());
        publish(&mut publisher, &broker, 0..10);
        let (_, error) = subscriber.hear_out();
        let io_kind = match &error {
            Error::Io(error) => Some(error.kind()),
            _ => None,
        };
        let is_reset = io_kind == Some(std::io::ErrorKind::ConnectionReset);
        assert_eq!(is_reset, cut == Cut::Reset, "{error:?}");
        let mut subscriber = Talker::subscribed(&broker.ws_url(), "rounds");
        publish(&mut publisher, &broker, 10..13);
        subscriber.hear("\"round\":12");
        let ledger = broker.ledger();
        assert_eq!(ledger.accepted.n_measured(), 13);
        let connections = ledger.deliveries.iter().map(|delivery| delivery.connection);
        assert!(connections.eq([0, 2]));
        assert_eq!(ledger.deliveries[0].messages.n_measured(), 5);
        assert_eq!(ledger.deliveries[1].messages.n_measured(), 3);
        let delivered = ledger.delivered_to("rounds.>");
        assert_eq!((delivered.n_measured(), delivered.n_duplicates()), (8, 0));
        let lost = ledger.accepted.keys().filter(|key| !delivered.has(key));
        assert!(lost.map(|key| key.seq).eq(5..10));
    }
}

#[test]
fn of_a_publisher_that_is_cut_off_the_message_itself_is_the_last_that_counts() {
    let script = Script::new().at(5, Whom::Publisher, Fault::Cut(Cut::Fin));
    let broker = FakeBroker::start(script);
    let mut subscriber = Talker::subscribed(&broker.ws_url(), "rounds");
    let mut publisher = Talker::connect(&broker.ws_url());
    let operations: String = (0..10).map(|seq| publication("rounds.a", seq)).collect();
    publisher.say(&operations);
    publisher.hear_out();
    subscriber.hear("\"round\":5");
    assert_eq!(broker.n_published(), 6);
    assert_eq!(broker.ledger().delivered_to("rounds.>").n_measured(), 6);
}

#[test]
fn the_last_messages_that_were_accepted_are_lost_unless_a_ping_is_answered_behind_them() {
    let script = Script::new()
        .lose_unprocessed(4)
        .at(9, Whom::Publisher, Fault::Cut(Cut::Fin));
    let broker = FakeBroker::start(script);
    let mut subscriber = Talker::subscribed(&broker.ws_url(), "rounds");
    let mut publisher = Talker::subscribed(&broker.ws_url(), "none");
    publish(&mut publisher, &broker, 0..8);
    subscriber.hear("\"round\":3");
    assert_eq!(broker.ledger().delivered_to("rounds.>").n_measured(), 4);
    publisher.heard.clear();
    publisher.say("PING\r\n");
    publisher.hear("PONG");
    assert_eq!(broker.ledger().delivered_to("rounds.>").n_measured(), 8);
    publish(&mut publisher, &broker, 8..10);
    publisher.hear_out();
    let ledger = broker.ledger();
    assert_eq!(ledger.n_unprocessed, 2);
    assert_eq!(ledger.accepted.n_measured(), 10);
    assert_eq!(ledger.delivered_to("rounds.>").n_measured(), 8);
}

#[test]
fn a_close_frame_has_the_code_and_the_reason_that_were_asked_for() {
    let cases = [
        (Fault::close(1012, "restart"), Some((1012, "restart"))),
        (Fault::Close(Vec::new()), None),
    ];
    for (fault, expected) in cases {
        let broker = FakeBroker::start(Script::new().at(1, Whom::All, fault));
        let mut subscriber = Talker::subscribed(&broker.ws_url(), "rounds");
        let mut publisher = Talker::connect(&broker.ws_url());
        publish(&mut publisher, &broker, 0..2);
        for talker in [&mut subscriber, &mut publisher] {
            let Some(Message::Close(frame)) = talker.hear_out().0 else {
                panic!("no close frame");
            };
            let frame = frame.map(|frame| (u16::from(frame.code), frame.reason.to_string()));
            let frame = frame
                .as_ref()
                .map(|(code, reason)| (*code, reason.as_str()));
            assert_eq!(frame, expected);
        }
        assert!(subscriber.heard.contains("\"round\":0"));
        assert!(!subscriber.heard.contains("\"round\":1"));
    }
}

#[test]
fn a_strike_hits_those_who_are_there() {
    let broker = FakeBroker::start(Script::new());
    let mut subscriber = Talker::subscribed(&broker.ws_url(), "rounds");
    let mut publisher = Talker::connect(&broker.ws_url());
    publish(&mut publisher, &broker, 0..1);
    broker.strike(Whom::Subscribers, &Fault::Cut(Cut::Fin));
    subscriber.hear_out();
    publish(&mut publisher, &broker, 1..2);
    let mut subscriber = Talker::subscribed(&broker.ws_url(), "rounds");
    broker.strike(Whom::Publisher, &Fault::Cut(Cut::Fin));
    publisher.hear_out();
    assert!(subscriber.is_in_silence());
}

#[test]
fn logins_are_refused_as_often_as_was_asked_for() {
    let broker = FakeBroker::start(Script::new().refuse_logins(0, 2, "Authorization Violation"));
    for _ in 0..2 {
        let mut talker = Talker::connect(&broker.ws_url());
        talker.say("CONNECT {}\r\nPING\r\n");
        let (last, _) = talker.hear_out();
        assert_eq!(
            talker.heard.lines().last(),
            Some("-ERR 'Authorization Violation'")
        );
        assert!(matches!(last, Some(Message::Close(Some(frame))) if u16::from(frame.code) == 1008));
    }
    Talker::subscribed(&broker.ws_url(), "rounds");
    let ledger = broker.ledger();
    assert_eq!((ledger.n_logins, ledger.n_refused_logins), (3, 2));
}

#[test]
fn a_connection_that_is_muted_gets_no_answer_to_its_pings_and_everything_else() {
    let broker = FakeBroker::start(Script::new().at(0, Whom::Subscribers, Fault::Mute));
    let mut subscriber = Talker::subscribed(&broker.ws_url(), "rounds");
    let mut publisher = Talker::connect(&broker.ws_url());
    publish(&mut publisher, &broker, 0..1);
    subscriber.hear("\"round\":0");
    subscriber.heard.clear();
    subscriber.say("PING\r\n");
    publisher.say("PING\r\n");
    publisher.hear("PONG");
    publish(&mut publisher, &broker, 1..2);
    subscriber.hear("\"round\":1");
    assert!(!subscriber.heard.contains("PONG"));
    // A new connection is heard again.
    Talker::subscribed(&broker.ws_url(), "rounds");
}
