//! Request and reply: may answers be received, and does one come back?

use std::ops::ControlFlow;
use std::time::Duration;

use crate::clock::mono_now;
use crate::doctor::conversation::{Conversation, End, RequestError, err_line, random_token};
use crate::doctor::examination::Examination;
use crate::doctor::identity::{USER_INFO_SUBJECT, UserInfo};
use crate::doctor::silence::Trouble;
use crate::protocol::ServerErrorKind;
use crate::results::doctor::Finding;
use crate::units::format_duration;

use super::subjects::{is_too_many_tokens, too_many_tokens};
use super::{User, codes};

/// The answer of a responder that is there comes within this, beyond the round trip.
const PATIENCE: Duration = Duration::from_millis(500);

/// Looks whether requests can be answered; returns what came of it, in a few words.
pub(super) async fn look(
    examination: &mut Examination<'_>,
    conversation: &mut Conversation,
    user: &User,
) -> Result<String, Trouble> {
    let inbox = conversation.new_inbox();
    if let Some(words) = subscribe(examination, conversation, &inbox).await? {
        if is_too_many_tokens(&words) {
            let finding = too_many_tokens("_INBOX.CONNECTION.REQUEST");
            examination.find(finding.evidence("server", err_line(&words)));
            return Ok("reply subjects have too many tokens".to_owned());
        }
        let own = find_own_prefix(examination, conversation, user).await?;
        let finding = inbox_denied(user, &words, own.as_deref());
        examination.find(finding);
        return Ok("may not subscribe to _INBOX.>".to_owned());
    }
    if let Some(took) = ask_ourselves(examination, conversation).await {
        examination.fact("request and reply", format_duration(took));
        return Ok(format!(
            "a request was answered in {}",
            format_duration(took)
        ));
    }
    if examination.learned.identity.user_info == UserInfo::Answered {
        return Ok(format!("a request to {USER_INFO_SUBJECT} was answered"));
    }
    Ok("may subscribe to _INBOX.>; no request could be tried".to_owned())
}

/// The words of a refusal, if there was one.
async fn subscribe(
    examination: &Examination<'_>,
    conversation: &mut Conversation,
    subject: &str,
) -> Result<Option<String>, Trouble> {
    let sid = conversation.subscribe(subject, None);
    conversation.unsubscribe(sid);
    let answer = conversation.settle(examination.second_look_limit()).await;
    match answer.end {
        End::Pong | End::Enough => {}
        End::Silence => return Err(Trouble::Silent),
        End::Ended(error) => return Err(Trouble::of(&error)),
    }
    let mut errors = answer.errors.into_iter();
    Ok(errors.find(|text| ServerErrorKind::classify(text) == ServerErrorKind::SubscribePermission))
}

/// Configurations that keep users apart give each one an inbox prefix; these forms are usual.
async fn find_own_prefix(
    examination: &Examination<'_>,
    conversation: &mut Conversation,
    user: &User,
) -> Result<Option<String>, Trouble> {
    let name = &user.name;
    if name.contains([' ', '\t', '\r', '\n', '.', '*', '>']) || name.is_empty() {
        return Ok(None);
    }
    for prefix in [
        format!("_INBOX_{name}"),
        format!("_INBOX.{name}"),
        format!("_{}_INBOX", name.to_uppercase()),
        format!("inbox.{name}"),
    ] {
        let subject = format!("{prefix}.{}", random_token(16));
        if subscribe(examination, conversation, &subject)
            .await?
            .is_none()
        {
            return Ok(Some(prefix));
        }
    }
    Ok(None)
}

fn inbox_denied(user: &User, words: &str, own: Option<&str>) -> Finding {
    let finding = codes::INBOX_DENIED
        .finding(format!(
            "{} may not subscribe to `_INBOX.>`, so that its requests cannot be answered.",
            user.title
        ))
        .because("A client receives the answer to a request on a subject of its own below `_INBOX`; the request itself may arrive, its answer does not.")
        .evidence("server", err_line(words));
    let finding = match own {
        Some(prefix) => finding.evidence("allowed", format!("{prefix}.>")).paste(
            "The user has an inbox prefix of its own; give it to the client:",
            &[
                &format!("nats request --inbox-prefix {prefix} SUBJECT ''"),
                &format!("connect({{ inboxPrefix: \"{prefix}\" }})   // nats.js"),
            ],
        ),
        None => finding,
    };
    user.allowing(finding, "sub", "_INBOX.>")
}

/// A request to a second connection of ours, on a subject that nobody else knows.
async fn ask_ourselves(
    examination: &Examination<'_>,
    conversation: &mut Conversation,
) -> Option<Duration> {
    let limit = examination.second_look_limit();
    let subject = format!("_INBOX.natsbench-{}", random_token(16));
    let (mut responder, _) = examination.connect_again(|_| ()).await.ok()?;
    responder.subscribe(&subject, None);
    if !responder.settle(limit).await.is_clean() {
        return None;
    }
    let begun = mono_now();
    let answering = async {
        let patience = PATIENCE.min(limit);
        let heard = responder
            .listen(patience, &mut |_| ControlFlow::Break(()))
            .await;
        if let Some(reply) = heard.messages.first().and_then(|heard| heard.reply.clone()) {
            responder.publish(&reply, None, b"natsbench");
        }
        responder.settle(patience).await
    };
    let asking = conversation.request(&subject, b"natsbench", PATIENCE.min(limit));
    let (reply, _) = tokio::join!(asking, answering);
    let took = Duration::from_nanos(mono_now().since(begun));
    match reply {
        Ok(_) => Some(took),
        Err(
            RequestError::NoResponders
            | RequestError::Refused(_)
            | RequestError::Silence
            | RequestError::Ended(_),
        ) => None,
    }
}
