//! Streams: whether there are any, whether one stores the subjects, and whether it takes more.
//!
//! Only what reads is asked. Nothing is made, changed or published.

mod access;
mod api;
mod codes;
mod coverage;
mod health;
mod streams;
#[cfg(test)]
mod tests;

use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::conversation::Conversation;
use crate::doctor::examination::Examination;
use crate::net::dial::credentials_for;
use crate::protocol::Credentials;
use crate::units::{format_bytes, format_count};

use api::{AccountInfo, ApiError, StreamNames, Usage};

pub(super) const CHECK: Check = Check {
    id: CheckId::Jetstream,
    requires: &[CheckId::Connect],
    codes: &[
        &codes::NOT_ENABLED,
        &codes::NOT_FOR_ACCOUNT,
        &codes::API_DENIED,
        &codes::NO_ANSWER,
        &codes::UNAVAILABLE,
        &codes::LIMIT,
        &codes::STORAGE_SMALL,
        &codes::NO_STREAM,
        &codes::NOT_IN_DOMAIN,
        &codes::NOT_COVERED,
        &codes::PARTLY_COVERED,
        &codes::FULL,
        &codes::SEALED,
        &codes::TOO_LARGE,
        &codes::NO_LEADER,
        &codes::REPLICA,
        &codes::RETENTION,
        &codes::DOMAIN,
    ],
    run: |examination| Box::pin(run(examination)),
};

async fn run(examination: &mut Examination<'_>) -> Looked {
    if !examination.plan.jetstream {
        return Looked::NotNeeded("not asked for: `--jetstream`".to_owned());
    }
    let Some(mut conversation) = examination.learned.conversation.take() else {
        return Looked::Unable("there is no connection".to_owned());
    };
    match look(examination, &mut conversation).await {
        Ok(text) => {
            examination.learned.conversation = Some(conversation);
            Looked::At(text)
        }
        Err(error) => {
            // Those behind this check get another connection.
            if let Ok((conversation, _)) = examination.connect_again(|_| {}).await {
                examination.learned.conversation = Some(conversation);
            }
            Looked::Unable(format!("the connection ended: {error}"))
        }
    }
}

/// What was tried and what came back, or how the connection ended.
async fn look(
    examination: &mut Examination<'_>,
    conversation: &mut Conversation,
) -> Result<String, String> {
    let limit = examination.second_look_limit();
    let info = match api::ask::<AccountInfo>(conversation, "INFO", "", limit).await {
        Ok(info) => {
            note(examination, &info);
            Some(info)
        }
        Err(ApiError::Ended(error)) => return Err(error),
        Err(error) => {
            // The rights to use one stream need not include those to ask about the account.
            let is_refused = matches!(error, ApiError::Refused(_));
            let can_list = is_refused && lists(examination, conversation).await;
            report_access(examination, &error, can_list);
            if !can_list {
                return Ok(format!("$JS.API.INFO: {}", error.in_words()));
            }
            None
        }
    };
    let text = streams::look_at_all(examination, conversation, info.as_ref()).await?;
    Ok(format!("$JS.API: {text}"))
}

/// Whether the API may be asked for streams.
async fn lists(examination: &Examination<'_>, conversation: &mut Conversation) -> bool {
    let limit = examination.second_look_limit();
    let names = api::ask::<StreamNames>(conversation, "STREAM.NAMES", "", limit).await;
    names.is_ok()
}

fn report_access(examination: &mut Examination<'_>, error: &ApiError, can_list: bool) {
    let finding = with_scene(examination, |scene| {
        if can_list {
            access::only_info_denied(error, scene)
        } else {
            access::judge(error, scene)
        }
    });
    if let Some(finding) = finding {
        examination.find(finding);
    }
}

/// The account may be asked about, and its streams may not.
fn report_streams_denied(examination: &mut Examination<'_>, error: &ApiError) {
    let finding = with_scene(examination, |scene| access::only_info_allowed(error, scene));
    if let Some(finding) = finding {
        examination.find(finding);
    }
}

fn with_scene<T>(examination: &Examination<'_>, judge: impl FnOnce(&access::Scene<'_>) -> T) -> T {
    let server = examination.target.to_string();
    let info = examination.learned.info.clone().unwrap_or_default();
    let identity = examination.learned.identity.clone();
    let credentials = credentials_for(examination.target, &examination.plan.dial);
    let named = match &credentials {
        Credentials::UserPassword { user, .. } => Some(user.as_str()),
        _ => None,
    };
    let scene = access::Scene {
        server: &server,
        has_jetstream: info.jetstream,
        domain: info.domain.as_deref(),
        account: identity.account.as_deref(),
        user: identity.user.as_deref().or(named),
        has_jwt: matches!(credentials, Credentials::Jwt { .. }),
        permissions: identity.permissions.as_ref(),
    };
    judge(&scene)
}

/// What a healthy report shows, and what is used up.
fn note(examination: &mut Examination<'_>, info: &AccountInfo) {
    let Usage {
        storage,
        streams,
        consumers,
        ref limits,
        ..
    } = info.all;
    let of = u64::try_from(limits.storage).map_or_else(
        |_| String::new(),
        |max| format!(" of {}", format_bytes(max)),
    );
    examination.fact(
        "jetstream",
        format!(
            "{}, {}, {}{of} stored",
            counted(streams, "stream"),
            counted(consumers, "consumer"),
            format_bytes(storage)
        ),
    );
    if let Some(domain) = &info.domain {
        examination.fact("jetstream domain", domain);
    }
    for finding in health::account_limits(info) {
        examination.find(finding);
    }
}

/// `1 stream`, `2 streams`.
fn counted(n: u64, what: &str) -> String {
    let ending = if n == 1 { "" } else { "s" };
    format!("{} {what}{ending}", format_count(n))
}
