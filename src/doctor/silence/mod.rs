//! A connection that ends without a word, or stays open and brings nothing more: two further ones, byte by byte, show
//! whether it was chance, and how far they come.

pub(crate) mod codes;
pub(crate) mod path;

use std::time::Duration;

use crate::doctor::conversation::Conversation;
use crate::doctor::examination::Examination;
use crate::net::session::SessionError;
use crate::results::doctor::{Certainty, Finding, Severity};
use crate::units::{format_count, format_duration};

use path::{Path, Say, Stage, walk};

/// PINGs that are sent at once: more than fits into one packet, in both directions.
pub(crate) const N_PINGS: usize = 1_000;
/// Two connections that end within so many bytes of each other ended at the same place.
const SAME_PLACE_BYTES: usize = 500;

/// A path that needs longer than this for a few kilobytes, asked for in small pieces, is a slow one.
const SLOW: Duration = Duration::from_secs(2);

/// What happened to the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is open, and nothing comes.
    Silent,
    /// It was closed, and how.
    Closed(String),
}

impl Trouble {
    pub(crate) fn of(error: &SessionError) -> Self {
        Self::Closed(error.to_string())
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Silent => "nothing came".to_owned(),
            Self::Closed(how) => how.clone(),
        }
    }
}

/// Reports it, unless a new connection has none of it: then that is handed back. `when` says where it happened.
pub(crate) async fn report(
    examination: &mut Examination<'_>,
    trouble: Trouble,
    when: &str,
) -> Option<Conversation> {
    let (first, second, knock, again) = tokio::join!(
        walk(examination, Say::Connect),
        walk(examination, Say::Connect),
        walk(examination, Say::PingOnly),
        examination.connect_again(|_| ()),
    );
    let host = examination.target.host_and_port();
    let mut again = again.ok().map(|(conversation, _)| conversation);
    if let Some(conversation) = &mut again {
        // A login alone may fit into what the path still carries.
        let limit = examination.second_look_limit().min(Duration::from_secs(1));
        if conversation.ping_many(N_PINGS, limit).await < N_PINGS {
            again = None;
        }
    }
    let finding = match &again {
        Some(_) => passing(&host, &trouble, when),
        None if is_thinking(&trouble, [&first, &second], &knock) => thinking(&host),
        None => lasting(&host, &trouble, when, [&first, &second]),
    };
    examination.find(finding);
    again
}

/// Whether the server is awake and only does not answer logins.
fn is_thinking(trouble: &Trouble, paths: [&Path; 2], knock: &Path) -> bool {
    let has_no_answer = paths.iter().all(|path| path.stage == Stage::NoAnswer);
    *trouble == Trouble::Silent && has_no_answer && knock.stage == Stage::Refused
}

fn thinking(host: &str) -> Finding {
    codes::AUTH_CALLOUT_SILENT
        .finding(format!("{host} does not answer the login: it waits for its auth callout service."))
        .because("It is awake and the path works: a PING without login is refused at once. Only what it has to ask somebody about takes so long.")
        .evidence("login", "no answer")
        .evidence("PING without login", "refused at once")
        .certainty(Certainty::Likely)
        .remedy("Start the auth callout service as one of `auth_users`, and see that it listens in the account of `auth_callout`.")
        .remedy("In operator mode: see that the account resolver answers.")
}

/// It happened once.
fn passing(host: &str, trouble: &Trouble, when: &str) -> Finding {
    let finding = match trouble {
        Trouble::Silent => codes::NO_ANSWER.finding(format!(
            "A connection to {host} fell silent {when}, and a second one did not."
        )),
        Trouble::Closed(_) => codes::CLOSED.finding(format!(
            "A connection to {host} was closed {when}, and a second one was not."
        )),
    };
    finding
        .severity(Severity::Warning)
        .certainty(Certainty::Possible)
        .because("It need not happen again. If it does, it is one of several servers or paths behind this address.")
        .evidence("first connection", trouble.text())
        .evidence("second connection", "all went well")
        .remedy("Run the doctor a few times, and compare the `server` that it names.")
}

/// It happens again.
fn lasting(host: &str, trouble: &Trouble, when: &str, paths: [&Path; 2]) -> Finding {
    let [first, second] = paths;
    let is_same_place = first.stage == second.stage
        && first.n_received.abs_diff(second.n_received) <= SAME_PLACE_BYTES;
    let n_bytes = format_count(u64::try_from(first.n_received.min(second.n_received)).unwrap_or(0));
    let finding = match (trouble, first.stage) {
        _ if is_same_place && is_cut([first, second]) => cut_off(host, when, &n_bytes, first.stage),
        (_, Stage::NoUpgrade | Stage::NoInfo) => codes::NO_ANSWER
            .finding(format!("{host} fell silent {when}, and answers nothing any more: it hangs, or the path to it broke."))
            .because("New connections do not get as far as this one did.")
            .certainty(Certainty::Possible)
            .remedy("Look whether the server process runs or is stopped, and whether its machine is out of memory or CPU.")
            .or("the server is frozen or overloaded", "its client port (4222) does not answer either")
            .or("the path broke, or a firewall blocks this address by now", "other clients of the server still work"),
        (Trouble::Silent, Stage::Whole) if first.took.max(second.took) > SLOW => slow(host, when, first),
        (Trouble::Silent, Stage::Whole) => codes::LARGE_PACKETS_LOST
            .finding(format!("Between here and {host} small packets go through, full ones do not."))
            .because("The same amount of data arrived in many small packets, but not in a few full ones: a link on the way carries less than the ends believe, and the messages that would tell them are filtered.")
            .certainty(Certainty::Likely)
            .paste("Find the size that goes through (1472 is that of Ethernet), then set it at the tunnel:", &["ping -M do -s 1472 HOST", "ip link set dev tun0 mtu 1400"])
            .remedy("Let ICMP `fragmentation needed` (IPv6: `packet too big`) through, or clamp the MSS at the router."),
        (Trouble::Silent, Stage::Stalled | Stage::NoAnswer) => stalled(host, when, &n_bytes, is_same_place),
        (Trouble::Closed(how), _) => closed(host, when, how, &n_bytes, is_same_place),
        (Trouble::Silent, _) => codes::NO_ANSWER
            .finding(format!("The connection to {host} is open, but nothing more came {when}."))
            .because("Further connections fared no better, though in other ways: see the evidence.")
            .certainty(Certainty::Possible)
            .or("something on the way stops forwarding", "a connection from the machine of the server itself works")
            .or("the server hangs", "its log and its monitoring page stop, too"),
    };
    finding
        .evidence("first connection", format!("{} {when}", trouble.text()))
        .evidence(
            "two more",
            format!("{}; {}", text_of(first), text_of(second)),
        )
}

/// Whether both were ended by something else than the server's answer to the login.
fn is_cut(paths: [&Path; 2]) -> bool {
    paths.iter().all(|path| match path.stage {
        Stage::CutOff => true,
        Stage::Closed => path.is_reset,
        _ => false,
    })
}

fn cut_off(host: &str, when: &str, n_bytes: &str, stage: Stage) -> Finding {
    let finding = codes::CUT_OFF
        .finding(format!(
            "Something between here and {host} cuts every connection after about {n_bytes} bytes."
        ))
        .because(format!(
            "The connection ended {when}, and two more at the same place, without an error or a close frame. A server does not count bytes: a firewall or proxy that inspects traffic, or limits it, does."
        ))
        .remedy("Look at what stands between: firewalls with inspection, proxies, VPNs, limits of bytes for a connection. Let WebSocket connections to this port pass.")
        .certainty(Certainty::Likely);
    // Until it had answered, it may not have liked what was sent.
    if stage == Stage::Closed {
        return finding.certainty(Certainty::Possible).or(
            "the server itself resets the connection when it reads the login",
            "a connection from its own machine ends in the same way, and its log says why",
        );
    }
    finding.or(
        "the server crashes at the same place each time",
        "its log begins anew, or its uptime is short",
    )
}

/// Nothing is lost: it only takes longer than it was waited for.
fn slow(host: &str, when: &str, path: &Path) -> Finding {
    codes::NO_ANSWER
        .finding(format!(
            "The path to {host} is so slow that not everything came in time {when}."
        ))
        .certainty(Certainty::Likely)
        .because("What was asked for in small pieces came whole, only late: a link or a proxy on the way limits the rate, or several connections share very little.")
        .evidence("in small pieces", format!("{} bytes in {}", format_count(u64::try_from(path.n_received).unwrap_or(0)), format_duration(path.took)))
        .remedy("Raise the limit of the rate there, or `--timeout` here.")
        .or("a link on the way loses full packets, and small ones are late for another reason", "`ping -M do -s 1472 HOST` gets no answer, and a smaller size does")
}

fn stalled(host: &str, when: &str, n_bytes: &str, is_same_place: bool) -> Finding {
    let finding = codes::NO_ANSWER
        .finding(format!(
            "Something between here and {host} stops forwarding after about {n_bytes} bytes, and keeps the connection open."
        ))
        .because(format!(
            "The connection fell silent {when}. New ones are answered and fall silent after as much, so that the server is alive and takes connections: a middlebox (firewall, NAT, proxy that inspects traffic) no longer passes on what it sends."
        ))
        .remedy("Look at what stands between: firewalls with inspection, NAT, proxies, VPNs. Let WebSocket connections to this port pass without inspection.")
        .remedy("Where only idle connections are forgotten, ping more often than that; in nats.conf:\n    websocket { ping_interval: \"20s\" }");
    if is_same_place {
        return finding.certainty(Certainty::Likely).or(
            "the server itself stops answering",
            "a connection from its own machine falls silent, too",
        );
    }
    finding
        .certainty(Certainty::Possible)
        .or(
            "the server hangs, or waits for its auth callout service",
            "a connection from its own machine falls silent, too; its log says what it waits for",
        )
        .or(
            "the path loses packets",
            "`ping` and `mtr` to the host show losses",
        )
}

fn closed(host: &str, when: &str, how: &str, n_bytes: &str, is_same_place: bool) -> Finding {
    let place = if is_same_place {
        format!(" Two further connections ended the same way, after about {n_bytes} bytes.")
    } else {
        String::new()
    };
    codes::CLOSED
        .finding(format!("The connection to {host} ended {when}: {how}."))
        .because(format!("A server that refuses something says so in an error, and none came.{place}"))
        .certainty(Certainty::Possible)
        .remedy("Look into the log of the server: it has a line for each connection that it closes, with the reason.")
        .or("a proxy, firewall or load balancer on the way ends the connection", "the log of the server says `Client Closed` or `Read Error`, or a connection from its own machine works")
        .or("the server does not understand what was sent, such as a CONNECT of another version", "its log says `Parse Error` or `protocol`")
        .or("the server crashes or restarts", "its log begins anew, or its uptime is short")
}

fn text_of(path: &Path) -> String {
    let n_bytes = format_count(u64::try_from(path.n_received).unwrap_or(0));
    match path.stage {
        Stage::NoUpgrade => "no answer to the upgrade".to_owned(),
        Stage::NoInfo => "no INFO".to_owned(),
        Stage::NoAnswer => format!("INFO, then nothing ({n_bytes} bytes in all)"),
        Stage::Stalled => format!("answered, then nothing more after {n_bytes} bytes"),
        Stage::Closed | Stage::CutOff if path.is_reset => format!("reset after {n_bytes} bytes"),
        Stage::Closed | Stage::CutOff => format!("closed after {n_bytes} bytes"),
        Stage::Refused => "the login was refused".to_owned(),
        Stage::Whole => format!("{n_bytes} bytes in small packets, all answered"),
    }
}
