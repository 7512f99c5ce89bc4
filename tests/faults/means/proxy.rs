//! The fault proxy: cuts at the byte, half-closes, swallows, refuses, resets; and counts what passed.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Talker, assert_reaches, is_refused, publication, read_out};
use crate::harness::{
    Broker, Cut, Direction, FakeBroker, FaultProxy, Place, Script, ScriptedPort, eventually, noise,
};

fn connect(proxy: &FaultProxy) -> TcpStream {
    let url = proxy.ws_url();
    TcpStream::connect(url.trim_start_matches("ws://")).expect("the proxy listens")
}

/// A server that sends these bytes at once, and keeps what it gets.
fn server(bytes: Vec<u8>) -> (ScriptedPort, Arc<Mutex<Vec<u8>>>) {
    let got = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&got);
    let port = ScriptedPort::start(move |mut stream| {
        let _ = stream.write_all(&bytes);
        let mut chunk = [0; 1024];
        while let Ok(n @ 1..) = stream.read(&mut chunk) {
            kept.lock().unwrap().extend(&chunk[..n]);
        }
    });
    (port, got)
}

#[test]
fn a_connection_is_cut_after_exactly_so_many_bytes() {
    let bytes = noise(7, 300_000);
    let (server, _) = server(bytes.clone());
    for n_bytes in [1, 8_191, 8_192, 8_193, 123_457] {
        let proxy = FaultProxy::to(server.port());
        proxy.cut_at(1, Direction::Down, Place::Bytes(n_bytes), Cut::Fin);
        let (mut whole, mut cut) = (connect(&proxy), connect(&proxy));
        let n_bytes = usize::try_from(n_bytes).unwrap();
        assert_eq!(read_out(&mut cut), (bytes[..n_bytes].to_vec(), None));
        let mut all = vec![0; bytes.len()];
        whole.read_exact(&mut all).expect("the other one goes on");
        assert_eq!(all, bytes);
    }
}

#[test]
fn a_connection_is_cut_in_the_middle_of_a_message_and_of_a_frame_header() {
    for place in [Place::Payload(3), Place::FrameHead(3)] {
        let broker = FakeBroker::start(Script::new());
        let port = broker.ws_url().rsplit(':').next().unwrap().parse().unwrap();
        let proxy = FaultProxy::to(port);
        let mut talker = Talker::subscribed(&proxy.ws_url(), "rounds");
        proxy.cut_at(0, Direction::Down, place, Cut::Fin);
        for _ in 0..10 {
            broker.publish("rounds.a", b"0123456789");
        }
        let (_, error) = talker.hear_out();
        let is_cut = matches!(
            error,
            tokio_tungstenite::tungstenite::Error::Protocol(_)
                | tokio_tungstenite::tungstenite::Error::Io(_)
        );
        assert!(is_cut, "{place:?}: {error:?}");
        // The fake broker puts each message into a frame of its own, so that three whole ones came.
        assert_eq!(talker.heard.matches("MSG ").count(), 3, "{place:?}");
        assert_eq!(proxy.n_messages_of(0, Direction::Down), 3, "{place:?}");
    }
}

#[test]
fn messages_that_pass_are_counted_on_every_kind_of_connection() {
    let broker = Broker::start();
    let proxies = [
        FaultProxy::to(broker.ws_port()),
        FaultProxy::to(broker.client_port()),
    ];
    let mut talker = Talker::subscribed(&proxies[0].ws_url(), "rounds");
    let mut plain = connect(&proxies[1]);
    let publications: String = (0..500).map(|seq| publication("rounds.a", seq)).collect();
    let operations = format!("CONNECT {{\"verbose\":false}}\r\n{publications}");
    plain.write_all(operations.as_bytes()).unwrap();
    talker.say(&publication("rounds.b", 500));
    assert_reaches("messages up, plain", 500, || {
        proxies[1].n_messages(Direction::Up)
    });
    assert_reaches("messages down", 501, || {
        proxies[0].n_messages(Direction::Down)
    });
    assert_reaches("messages up", 1, || proxies[0].n_messages(Direction::Up));
}

#[test]
fn a_half_closed_connection_ends_one_way_and_goes_on_the_other() {
    let (server, got) = server(b"hello".to_vec());
    let proxy = FaultProxy::to(server.port());
    let mut client = connect(&proxy);
    client.read_exact(&mut [0; 5]).unwrap();
    proxy.half_close(0, Direction::Down);
    assert_eq!(read_out(&mut client), (Vec::new(), None));
    client.write_all(b"still there").unwrap();
    eventually("what is said to arrive", || {
        (*got.lock().unwrap() == b"still there").then_some(())
    });
}

#[test]
fn a_black_hole_swallows_in_silence_and_leaves_old_connections_dead() {
    let broker = Broker::monitored();
    let proxy = FaultProxy::to(broker.ws_port());
    let mut talker = Talker::subscribed(&proxy.ws_url(), "rounds");
    proxy.black_hole(Direction::Down);
    // What is said still arrives, and what comes back does not.
    talker.say(&publication("rounds.a", 0));
    broker.await_published(1);
    eventually("the answer to reach the proxy", || {
        let clients = broker.connections();
        (clients.first()?["out_msgs"] == 1).then_some(())
    });
    assert!(talker.is_in_silence());
    proxy.end_black_hole(Direction::Down);
    let mut second = Talker::subscribed(&proxy.ws_url(), "rounds");
    second.say(&publication("rounds.a", 1));
    second.hear("\"round\":1");
    assert!(talker.is_in_silence());
    // The other way, the end of a connection is swallowed, too.
    proxy.black_hole(Direction::Up);
    second.say(&publication("rounds.a", 2));
    second.websocket.get_mut().shutdown(Shutdown::Both).unwrap();
    let mut witness = Talker::subscribed(&broker.ws_url(), "rounds");
    witness.say(&publication("rounds.a", 3));
    witness.hear("\"round\":3");
    assert!(!witness.heard.contains("\"round\":2"));
    assert_eq!(broker.connections().len(), 3);
}

#[test]
fn what_is_slow_is_whole() {
    let bytes = noise(9, 20_000);
    let (server, got) = server(bytes.clone());
    let proxy = FaultProxy::to(server.port());
    proxy.throttle(Direction::Down, 200_000);
    proxy.delay(Direction::Up, Duration::from_millis(20));
    let mut client = connect(&proxy);
    client.write_all(&bytes).unwrap();
    let mut all = vec![0; bytes.len()];
    client.read_exact(&mut all).unwrap();
    assert_eq!(all, bytes);
    eventually("everything to arrive", || {
        (*got.lock().unwrap() == bytes).then_some(())
    });
}

#[test]
fn every_second_connection_is_reset() {
    let (server, _) = server(b"hello".to_vec());
    let proxy = FaultProxy::to(server.port());
    proxy.reset_every(2);
    for idx in 0..6 {
        let mut client = connect(&proxy);
        let mut bytes = [0; 5];
        let outcome = client.read_exact(&mut bytes).map_err(|error| error.kind());
        let expected = if idx % 2 == 0 {
            Ok(())
        } else {
            Err(ErrorKind::ConnectionReset)
        };
        assert_eq!(outcome, expected, "connection {idx}");
    }
    eventually("the connections to be counted", || {
        (proxy.n_connections() == 6).then_some(())
    });
}

#[test]
fn refused_connections_leave_the_open_ones_alone() {
    let (server, got) = server(b"hello".to_vec());
    let proxy = FaultProxy::to(server.port());
    let mut client = connect(&proxy);
    client.read_exact(&mut [0; 5]).unwrap();
    for _ in 0..3 {
        proxy.refuse();
        assert!(is_refused(&proxy.ws_url()));
        proxy.accept();
        connect(&proxy).read_exact(&mut [0; 5]).unwrap();
    }
    client.write_all(b"!").unwrap();
    eventually("what is said to arrive", || {
        (*got.lock().unwrap() == b"!").then_some(())
    });
    // A proxy that refuses can be dropped.
    proxy.refuse();
}

#[test]
fn one_request_is_answered_with_garbage_and_the_next_goes_through() {
    let broker = Broker::start();
    let proxy = FaultProxy::to(broker.ws_port());
    proxy.answer_next("SSH-2.0-OpenSSH_9.9\r\n");
    let mut client = connect(&proxy);
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(read_out(&mut client).0, b"SSH-2.0-OpenSSH_9.9\r\n");
    Talker::subscribed(&proxy.ws_url(), "rounds");
}

#[test]
fn all_connections_are_broken_at_once_each_in_the_way_that_was_asked_for() {
    for (cut, kind) in [
        (Cut::Fin, None),
        (Cut::Reset, Some(ErrorKind::ConnectionReset)),
    ] {
        let (server, _) = server(b"hello".to_vec());
        let proxy = FaultProxy::to(server.port());
        let mut clients = [connect(&proxy), connect(&proxy)];
        for client in &mut clients {
            client.read_exact(&mut [0; 5]).unwrap();
        }
        eventually("both connections", || {
            (proxy.n_connections() == 2).then_some(())
        });
        proxy.break_all(cut);
        for client in &mut clients {
            assert_eq!(read_out(client), (Vec::new(), kind));
        }
    }
}
