//! Permissions: every subject is asked for by itself, since a server names neither the subscription nor always the subject.
//!
//! What a server filters in silence is found in the permissions of the user, as the server tells them, or by asking for
//! subjects within the pattern.

mod codes;
mod filters;
mod queues;
mod request;
mod subjects;

use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::conversation::{Conversation, err_line};
use crate::doctor::examination::Examination;
use crate::doctor::identity::{Permissions, UserInfo};
use crate::doctor::silence::{self, Trouble};
use crate::protocol::Credentials;
use crate::results::doctor::Finding;
use crate::subject::{Pattern, Subject};

/// Most subjects that are looked at.
const MAX_SUBJECTS: usize = 50;

pub(super) const CHECK: Check = Check {
    id: CheckId::Permissions,
    requires: &[CheckId::Connect],
    codes: &[
        &codes::SUBSCRIBE_DENIED,
        &codes::QUEUE_ONLY,
        &codes::DENY_FILTERS,
        &codes::TOO_MANY_TOKENS,
        &codes::TOO_MANY_SUBSCRIPTIONS,
        &codes::INVALID_SUBJECT,
        &codes::SUBSCRIBE_REFUSED,
        &codes::PUBLISH_DENIED,
        &codes::USER_INFO_DENIED,
        &codes::INBOX_DENIED,
    ],
    run: |examination| Box::pin(run(examination)),
};

async fn run(examination: &mut Examination<'_>) -> Looked {
    let Some(mut conversation) = examination.learned.conversation.take() else {
        return Looked::Unable("there is no login".to_owned());
    };
    let user = User::of(examination);
    let mut texts = Vec::new();
    match ask_all(examination, &mut conversation, &user, &mut texts).await {
        Ok(()) => examination.learned.conversation = Some(conversation),
        Err(trouble) => {
            let again = silence::report(examination, trouble, "after SUB").await;
            examination.learned.conversation = again;
        }
    }
    look_at_publish(examination, &user, &mut texts);
    look_at_user_info(examination, &user);
    if texts.is_empty() {
        texts.push(
            match (&user.permissions, &examination.learned.identity.user_info) {
                (Some(_), _) => {
                    "the user has permissions of its own; no subject was given".to_owned()
                }
                (None, UserInfo::Answered) => "the user may use every subject".to_owned(),
                (None, _) => return Looked::NotNeeded("no subject was given".to_owned()),
            },
        );
    }
    Looked::At(texts.join("; "))
}

/// Whom the permissions are of, and what is known of them.
struct User {
    /// As configurations name it.
    name: String,
    /// For the beginning of a sentence.
    title: String,
    has_jwt: bool,
    permissions: Option<Permissions>,
    /// All of them are known.
    is_known: bool,
}

impl User {
    fn of(examination: &Examination<'_>) -> Self {
        let identity = &examination.learned.identity;
        let credentials =
            crate::net::dial::credentials_for(examination.target, &examination.plan.dial);
        let typed = match &credentials {
            Credentials::UserPassword { user, .. } => Some(user.clone()),
            _ => None,
        };
        let has_jwt = matches!(credentials, Credentials::Jwt { .. });
        let name = typed.or_else(|| identity.user.clone());
        let title = name
            .as_ref()
            .map_or_else(|| "This user".to_owned(), |name| format!("User `{name}`"));
        let fallback = || if has_jwt { "USER" } else { "NAME" }.to_owned();
        Self {
            name: name.unwrap_or_else(fallback),
            title,
            has_jwt,
            permissions: identity.permissions.as_ref().map(Permissions::of),
            is_known: identity.user_info == UserInfo::Answered || identity.permissions.is_some(),
        }
    }

    /// How to allow something: `sub` or `pub`.
    fn allowing(&self, finding: Finding, direction: &str, subject: &str) -> Finding {
        if self.has_jwt {
            return finding.paste(
                "Allow it, and issue the credentials again (where a scoped signing key has the permissions: edit that one):",
                &[
                    &format!("nsc edit user --name {} --allow-{direction} '{subject}'", self.name),
                    &format!("nsc generate creds --name {} > new.creds", self.name),
                ],
            );
        }
        let word = if direction == "sub" {
            "subscribe"
        } else {
            "publish"
        };
        finding.paste(
            "Allow it in nats.conf, beside what is allowed already, and reload:",
            &[
                &format!(
                    "{{ user: {}, permissions: {{ {word}: {{ allow: [\"{subject}\"] }} }} }}",
                    self.name
                ),
                "nats-server --signal reload",
            ],
        )
    }
}

impl User {
    /// Which of the denied subjects forbid this one altogether.
    fn denied_by(&self, subject: &str) -> Vec<String> {
        let Some(permissions) = &self.permissions else {
            return Vec::new();
        };
        let Ok(wanted) = subject.parse::<Pattern>() else {
            return Vec::new();
        };
        let rules = permissions.subscribe.deny.iter();
        rules
            .filter(|rule| {
                rule.queue.is_none()
                    && rule
                        .pattern
                        .parse::<Pattern>()
                        .is_ok_and(|deny| deny.covers(&wanted))
            })
            .map(|rule| rule.pattern.clone())
            .collect()
    }
}

/// All subjects, and request and reply.
async fn ask_all(
    examination: &mut Examination<'_>,
    conversation: &mut Conversation,
    user: &User,
    texts: &mut Vec<String>,
) -> Result<(), Trouble> {
    let mut seen: Vec<String> = Vec::new();
    for typed in &examination.plan.subjects {
        // What is invalid was found by the check of the input, and would mean something else to the server.
        if typed.parse::<Pattern>().is_err() || seen.contains(typed) || seen.len() == MAX_SUBJECTS {
            continue;
        }
        seen.push(typed.clone());
        texts.push(subjects::look(examination, conversation, user, typed).await?);
    }
    if seen.len() > 1 {
        subjects::look_at_all(examination, conversation, &seen).await?;
    }
    if examination.plan.request {
        texts.push(request::look(examination, conversation, user).await?);
    }
    Ok(())
}

/// Publishing is judged by what the server says of the permissions: trying it would send a message.
fn look_at_publish(examination: &mut Examination<'_>, user: &User, texts: &mut Vec<String>) {
    let Some(subject) = &examination.plan.publish else {
        return;
    };
    if subject.parse::<Subject>().is_err() {
        return;
    }
    let Some(permissions) = &user.permissions else {
        return;
    };
    if permissions.publish.allow(subject) {
        texts.push(format!("may publish to {subject}"));
        return;
    }
    texts.push(format!("may not publish to {subject}"));
    let finding = publish_denied(user, subject)
        .evidence("publish permissions", rules_text(&permissions.publish));
    examination.find(finding);
}

fn publish_denied(user: &User, subject: &str) -> Finding {
    let finding = codes::PUBLISH_DENIED
        .finding(format!("{} may not publish to `{subject}`.", user.title))
        .because("The server drops what is published there, and says so in an error that most clients only log; the connection stays open.");
    user.allowing(finding, "pub", subject)
}

/// The same for a server that was tried.
pub(super) fn publish_denied_for(examination: &Examination<'_>, subject: &str) -> Finding {
    publish_denied(&User::of(examination), subject)
}

fn rules_text(rules: &crate::doctor::identity::Rules) -> String {
    let list = |rules: &[crate::doctor::identity::Rule]| {
        let texts: Vec<_> = rules.iter().take(20).map(ToString::to_string).collect();
        texts.join(", ")
    };
    match (rules.allow.is_empty(), rules.deny.is_empty()) {
        (true, true) => "everything".to_owned(),
        (false, true) => format!("allow {}", list(&rules.allow)),
        (true, false) => format!("deny {}", list(&rules.deny)),
        (false, false) => format!("allow {}; deny {}", list(&rules.allow), list(&rules.deny)),
    }
}

/// Without the permissions of the user, what is filtered in silence cannot be seen.
fn look_at_user_info(examination: &mut Examination<'_>, user: &User) {
    let mut typed = examination.plan.subjects.iter();
    // Of a subject without wildcards nothing can be filtered, and what was asked for has been tried.
    let is_all_tried = !examination.plan.subjects.is_empty()
        && typed.all(|subject| subject.parse::<Subject>().is_ok());
    if user.permissions.is_some() || is_all_tried {
        return;
    }
    let because = "The answer tells a user about itself only. Without it, denied subjects that filter messages in silence are found only where a subject is given that they hit.";
    let (finding, words) = match examination.learned.identity.user_info.clone() {
        UserInfo::Denied(words) => {
            let finding = codes::USER_INFO_DENIED.finding(format!(
                "{} may not publish to `$SYS.REQ.USER.INFO`, so that its permissions cannot be seen.",
                user.title
            ));
            let finding = user.allowing(finding.because(because), "pub", "$SYS.REQ.USER.INFO");
            (finding, words)
        }
        UserInfo::InboxDenied(words) => {
            let finding = codes::USER_INFO_DENIED
                .finding(format!(
                    "{} may not subscribe to `_INBOX.>`, so that the server cannot tell its permissions.",
                    user.title
                ));
            let finding = user.allowing(finding.because(because), "sub", "_INBOX.>");
            (finding, words)
        }
        UserInfo::NotAsked | UserInfo::Answered | UserInfo::Unanswered => return,
    };
    examination.find(finding.evidence("server", err_line(&words)));
}
