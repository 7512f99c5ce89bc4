//! One marked message, there and back; only when asked for, and only one.
//!
//! A second connection listens on the subject, and on everything where it may, so that a message that a mapping
//! moves elsewhere is seen there. Nothing is sent that the server is known to refuse.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::clock::{MonoNanos, mono_now};
use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::checks::permissions::publish_denied_for;
use crate::doctor::code::Code;
use crate::doctor::conversation::{
    Answer, Conversation, End, Heard, err_line, excerpt, random_token,
};
use crate::doctor::examination::Examination;
use crate::doctor::silence::{self, Trouble};
use crate::protocol::ServerErrorKind;
use crate::results::doctor::{Certainty, Finding, Severity};
use crate::subject::Subject;
use crate::units::{format_bytes, format_duration};

/// How long a message may take, beyond the round trip.
const PATIENCE: Duration = Duration::from_millis(700);
/// A message that came under another subject may also come under its own.
const GRACE: Duration = Duration::from_millis(200);
/// No server that is set up sensibly takes more (it warns from 8 MiB on).
const MAX_SENT_BYTES: u64 = 64 << 20;

const PAYLOAD_TOO_LARGE: Code = Code {
    name: "round-trip.payload-too-large",
    severity: Severity::Error,
    meaning: "The message is larger than the server takes.",
    cause: "INFO tells the largest payload (`max_payload`, 1 MiB unless configured). A server that gets a larger one closes the connection.",
    fix: "Send less, or raise `max_payload` in nats.conf (or the limit of the account or user JWT).",
};

const MAPPED: Code = Code {
    name: "round-trip.mapped",
    severity: Severity::Error,
    meaning: "The message arrives under another subject than the one it was published to.",
    cause: "The account maps the subject to another one (`mappings`): who subscribes to the subject itself gets nothing.",
    fix: "Subscribe to the subject that it is mapped to, or remove the mapping.",
};

const LOST: Code = Code {
    name: "round-trip.lost",
    severity: Severity::Error,
    meaning: "The message was accepted and did not come back.",
    cause: "A denied subject that filters in silence, a mapping to a subject that may not be seen, or a service import that takes the message to another account.",
    fix: "Look into the permissions of the user, and into `mappings` and `imports` of its account.",
};

const REFUSED: Code = Code {
    name: "round-trip.refused",
    severity: Severity::Error,
    meaning: "The server refused the message for a reason of its own.",
    cause: "The reason is in its words.",
    fix: "See the server's words, and its log.",
};

pub(super) const CHECK: Check = Check {
    id: CheckId::RoundTrip,
    requires: &[CheckId::Connect],
    codes: &[&PAYLOAD_TOO_LARGE, &MAPPED, &LOST, &REFUSED],
    run: |examination| Box::pin(run(examination)),
};

/// A second connection that listens.
struct Listener {
    conversation: Conversation,
    /// Of the subject itself; `None` where it may not be subscribed to.
    sid: Option<u64>,
    /// Everything is listened to, too.
    hears_all: bool,
}

/// What became of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Arrived(MonoNanos),
    /// Under another subject.
    Moved(String),
    Missing,
}

async fn run(examination: &mut Examination<'_>) -> Looked {
    let Some(subject) = examination.plan.publish.clone() else {
        return Looked::NotNeeded("not asked for: `--publish SUBJECT`".to_owned());
    };
    if subject.parse::<Subject>().is_err() {
        return Looked::Unable(format!("`{subject}` is no subject to publish to"));
    }
    if is_known_to_be_denied(examination) {
        return Looked::NotNeeded("the permissions forbid it".to_owned());
    }
    let payload = match payload_for(examination) {
        Ok(payload) => payload,
        Err(finding) => {
            examination.find(*finding);
            return Looked::At("nothing was sent".to_owned());
        }
    };
    let Some(mut conversation) = examination.learned.conversation.take() else {
        return Looked::Unable("there is no login".to_owned());
    };
    let mut listener = listen(examination, &subject).await;
    // Without a second connection, the same one has to listen.
    let own_sid = listener
        .is_none()
        .then(|| conversation.subscribe(&subject, None));
    let begun = mono_now();
    conversation.publish(&subject, None, &payload);
    let limit = examination.step_limit();
    let (answer, fate) = match &mut listener {
        Some(listener) => {
            let hearing = hear(listener, &subject, &payload, limit);
            send_and_hear(&mut conversation, limit, hearing).await
        }
        None => hear_ourselves(&mut conversation, own_sid, &payload, limit).await,
    };
    if let Err(looked) = look_at_answer(examination, conversation, &subject, &answer).await {
        return looked;
    }
    let took = match fate {
        Fate::Arrived(at) => Duration::from_nanos(at.since(begun)),
        Fate::Moved(_) | Fate::Missing => Duration::ZERO,
    };
    judge(examination, &subject, listener.as_ref(), &fate, took)
}

fn is_known_to_be_denied(examination: &mut Examination<'_>) -> bool {
    let mut findings = examination.findings_of(CheckId::Permissions);
    findings.any(|finding| finding.code == "permissions.publish-denied")
}

/// A payload that nobody takes for anything else, and of the size that was asked for; or why that cannot be sent.
fn payload_for(examination: &Examination<'_>) -> Result<Vec<u8>, Box<Finding>> {
    let mut payload = marked();
    let wanted = examination.plan.payload_bytes;
    let n_bytes = wanted.unwrap_or_else(|| u64::try_from(payload.len()).unwrap_or(0));
    let max = examination
        .learned
        .info
        .as_ref()
        .map_or(0, |info| info.max_payload);
    let max = if max == 0 { MAX_SENT_BYTES } else { max };
    if n_bytes > max.min(MAX_SENT_BYTES) {
        return Err(Box::new(too_large(
            &examination.target.host_and_port(),
            n_bytes,
            max,
        )));
    }
    if let Some(n_bytes) = wanted {
        let n_bytes = usize::try_from(n_bytes).unwrap_or(usize::MAX);
        // Blanks behind JSON are still JSON.
        payload.resize(n_bytes, b' ');
    }
    Ok(payload)
}

fn marked() -> Vec<u8> {
    format!("{{\"natsbench_doctor\":\"{}\"}}", random_token(16)).into_bytes()
}

fn too_large(host: &str, n_bytes: u64, max: u64) -> Finding {
    let (size, max_text) = (format_bytes(n_bytes), format_bytes(max));
    PAYLOAD_TOO_LARGE
        .finding(format!(
            "A message of {n_bytes} bytes is larger than {host} takes: `max_payload` is {max} bytes."
        ))
        .because("It was not sent: the server would have closed the connection with `Maximum Payload Violation`. The limit is that of the payload and its headers together.")
        .evidence("INFO, max_payload", format!("{max} ({max_text})"))
        .evidence("message", format!("{n_bytes} bytes ({size})"))
        .paste(
            "Raise the limit in nats.conf (8 MiB is the most that is advised), and reload:",
            &[&format!("max_payload: {n_bytes}"), "nats-server --signal reload"],
        )
        .remedy("Or send less: split the message, or compress it.")
}

/// Opens a connection that listens, if that is possible at all.
async fn listen(examination: &Examination<'_>, subject: &str) -> Option<Listener> {
    let limit = examination.second_look_limit();
    let (mut conversation, _) = examination.connect_again(|_| ()).await.ok()?;
    let own = conversation.subscribe(subject, None);
    let answer = conversation.settle(limit).await;
    let sid = answer.is_clean().then_some(own);
    if !matches!(answer.end, End::Pong) {
        return None;
    }
    conversation.subscribe(">", None);
    let answer = conversation.settle(limit).await;
    let hears_all = answer.is_clean();
    matches!(answer.end, End::Pong).then_some(Listener {
        conversation,
        sid,
        hears_all,
    })
}

/// Sends what is queued while somebody listens; what the server refuses is not waited for.
async fn send_and_hear(
    conversation: &mut Conversation,
    limit: Duration,
    hearing: impl Future<Output = Fate>,
) -> (Answer, Fate) {
    let sending = conversation.settle(limit);
    tokio::pin!(sending, hearing);
    // Whichever is dropped has nothing left to do.
    tokio::select! {
        answer = &mut sending => {
            if !answer.is_clean() {
                return (answer, Fate::Missing);
            }
            let fate = hearing.await;
            (answer, fate)
        }
        fate = &mut hearing => {
            let answer = sending.await;
            (answer, fate)
        }
    }
}

/// Sends what is queued, and looks for the message among what comes back on the same connection.
async fn hear_ourselves(
    conversation: &mut Conversation,
    sid: Option<u64>,
    payload: &[u8],
    limit: Duration,
) -> (Answer, Fate) {
    let mut answer = conversation.settle(limit).await;
    let at = conversation.received_at();
    // That it may not be subscribed to is no refusal of the message.
    answer
        .errors
        .retain(|text| ServerErrorKind::classify(text) != ServerErrorKind::SubscribePermission);
    let has_come = answer
        .messages
        .iter()
        .any(|heard| Some(heard.sid) == sid && is_ours(heard, payload));
    if let Some(sid) = sid {
        conversation.unsubscribe(sid);
    }
    let fate = if has_come {
        Fate::Arrived(at)
    } else {
        Fate::Missing
    };
    (answer, fate)
}

fn is_ours(heard: &Heard, payload: &[u8]) -> bool {
    heard.payload_bytes == payload.len() && payload.starts_with(&heard.payload)
}

/// Waits for the message.
async fn hear(listener: &mut Listener, subject: &str, payload: &[u8], limit: Duration) -> Fate {
    if listener.sid.is_none() && !listener.hears_all {
        return Fate::Missing;
    }
    let mut moved = None;
    let mut arrived = false;
    let mut patience = limit.min(PATIENCE);
    // What comes under another subject is waited on a little longer.
    for _ in 0..2 {
        let mut look = |heard: &Heard| {
            if !is_ours(heard, payload) {
                return ControlFlow::Continue(());
            }
            arrived = heard.subject == subject;
            if !arrived {
                moved = Some(heard.subject.clone());
            }
            ControlFlow::Break(())
        };
        let answer = listener.conversation.listen(patience, &mut look).await;
        if arrived {
            return Fate::Arrived(listener.conversation.received_at());
        }
        if !matches!(answer.end, End::Enough) {
            break;
        }
        patience = GRACE;
    }
    moved.map_or(Fate::Missing, Fate::Moved)
}

/// What the server said to the publisher. The connection is handed on if it is still of use.
async fn look_at_answer(
    examination: &mut Examination<'_>,
    conversation: Conversation,
    subject: &str,
    answer: &Answer,
) -> Result<(), Looked> {
    let is_open = matches!(answer.end, End::Pong | End::Enough);
    if is_open {
        examination.learned.conversation = Some(conversation);
    }
    if let Some(words) = answer.errors.first() {
        let finding = refused(examination, subject, words);
        examination.find(finding.evidence(
            "server",
            format!("{}; {}", err_line(words), answer.end_text()),
        ));
        return Err(Looked::At(err_line(words)));
    }
    if is_open {
        return Ok(());
    }
    let trouble = match &answer.end {
        End::Ended(error) => Trouble::of(error),
        _ => Trouble::Silent,
    };
    examination.learned.conversation = silence::report(examination, trouble, "after PUB").await;
    Err(Looked::At(format!("PUB {subject}: {}", answer.end_text())))
}

fn refused(examination: &Examination<'_>, subject: &str, words: &str) -> Finding {
    match ServerErrorKind::classify(words) {
        ServerErrorKind::PublishPermission => publish_denied_for(examination, subject),
        ServerErrorKind::MaximumPayload => PAYLOAD_TOO_LARGE
            .finding(format!("The message is larger than {} takes from this user.", examination.target.host_and_port()))
            .because("It is smaller than `max_payload` of INFO, so that a limit of the account or the user is smaller.")
            .paste(
                "Raise the limit of the account or the user:",
                &["nsc edit account --name ACCOUNT --payload -1", "nsc edit user --name USER --payload -1"],
            ),
        _ => REFUSED
            .finding(format!("The server refuses a message to `{subject}`: {}.", excerpt(words)))
            .because("The server has a reason of its own, which it gives in these words.")
            .remedy("Look into the log of the server for more."),
    }
}

fn judge(
    examination: &mut Examination<'_>,
    subject: &str,
    listener: Option<&Listener>,
    fate: &Fate,
    took: Duration,
) -> Looked {
    match fate {
        Fate::Arrived(_) => {
            let took = format_duration(took);
            examination.fact("message there and back", format!("{took}, on {subject}"));
            let info = examination.learned.info.as_ref();
            let stored = if info.is_some_and(|info| info.jetstream) {
                "; a stream that covers the subject has stored it"
            } else {
                ""
            };
            Looked::At(format!(
                "a marked message on {subject} came back in {took}{stored}"
            ))
        }
        Fate::Moved(other) => {
            examination.find(mapped(subject, other));
            Looked::At(format!(
                "what was published to {subject} arrived on {other}"
            ))
        }
        Fate::Missing => match listener {
            None => Looked::At(format!(
                "published to {subject}; it did not come back on the same connection, and there was no second one to listen with"
            )),
            Some(listener) if listener.sid.is_none() => Looked::At(format!(
                "published to {subject}, which may not be subscribed to: whether it arrives cannot be seen"
            )),
            Some(listener) => {
                let finding = lost(examination, subject, listener.hears_all);
                examination.find(finding);
                Looked::At(format!("what was published to {subject} did not come back"))
            }
        },
    }
}

fn mapped(subject: &str, other: &str) -> Finding {
    MAPPED
        .finding(format!("A message published to `{subject}` arrives on `{other}`: the account maps one to the other."))
        .because("Who subscribes to the subject that was published to gets nothing. No other message had this content.")
        .evidence("published to", subject)
        .evidence("arrived on", other)
        .paste("Subscribe to where it goes:", &[&format!("natsbench sub '{other}'")])
        .paste(
            "Or remove the mapping, in nats.conf (`mappings` of the account or at the top) or with nsc:",
            &[
                &format!("mappings {{ \"{subject}\": \"{other}\" }}   # remove this"),
                &format!("nsc delete mapping --from '{subject}'"),
            ],
        )
}

fn lost(examination: &Examination<'_>, subject: &str, hears_all: bool) -> Finding {
    let permissions = &examination.learned.identity.permissions;
    let where_else = if hears_all {
        "It did not come under another subject that this user may listen to either."
    } else {
        "Listening to everything (`>`) was refused, so that it may have come under another subject."
    };
    LOST.finding(format!("A message published to `{subject}` was accepted, and did not come back to a subscriber of `{subject}`."))
        .because(format!("A second connection of the same user was subscribed before it was sent, and got nothing within {}. {where_else}", format_duration(PATIENCE)))
        .evidence("permissions", permissions.as_ref().map_or_else(|| "none known".to_owned(), ToString::to_string))
        .certainty(Certainty::Possible)
        .remedy("Look into `mappings`, `imports` and `exports` of the account, and into the denied subjects of the user.")
        .or("the account maps the subject to one that this user may not see", "`mappings` in nats.conf, or `nsc describe account`")
        .or("the account imports a service there, so that the message goes to another account", "`imports` with `service` in nats.conf, or `nsc describe account`")
        .or("a denied subject filters it", "`deny` under `subscribe` in the permissions of the user")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_payload_is_json_whatever_follows_it() {
        let mut payload = marked();
        payload.resize(200, b' ');
        let value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(value["natsbench_doctor"].as_str().unwrap().len(), 16);
        assert_ne!(marked(), marked());
    }
}
