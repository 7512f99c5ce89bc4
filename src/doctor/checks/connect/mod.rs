//! The login: CONNECT, and why it is refused.
//!
//! A server says the same for most reasons, so that a refusal is judged by what was sent, what INFO asks for, how long it
//! took, and what became of the same credentials on the client port of the same server. Afterwards the server is
//! asked who we are, and a few kilobytes go there and back: a path that carries a login need not carry more.

mod codes;
mod elsewhere;
mod other_login;
mod refusal;
mod trials;
mod violation;

use std::time::Duration;

use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::conversation::{Answer, Conversation, End, err_line};
use crate::doctor::examination::Examination;
use crate::doctor::identity::{self, Identity};
use crate::doctor::silence::path::{self, Say};
use crate::doctor::silence::{self, N_PINGS, Trouble};
use crate::net::dial::{connect_options, credentials_for};
use crate::protocol::{
    Credentials, CredentialsError, ServerErrorKind, ServerInfo, UserClaims, encode,
};
use crate::results::doctor::{Finding, Severity};
use crate::units::format_duration;

use other_login::OtherLogin;
use refusal::Refusal;
use trials::ClientTrial;

/// A refusal that takes so long is worth measuring the path.
const NOTICEABLE: Duration = Duration::from_millis(500);

pub(super) const CHECK: Check = Check {
    id: CheckId::Connect,
    requires: &[CheckId::Info],
    codes: &[
        &codes::CREDENTIALS_NEEDED,
        &codes::NKEY_OR_CREDS_NEEDED,
        &codes::NKEY_NOT_WANTED,
        &codes::WRONG_PASSWORD,
        &codes::WRONG_TOKEN,
        &codes::UNKNOWN_NKEY,
        &codes::JWT_REFUSED,
        &codes::SOURCE_NETWORK,
        &codes::COOKIE_REFUSED,
        &codes::UNKNOWN_CERTIFICATE,
        &codes::NOT_FOR_WEBSOCKET,
        &silence::codes::AUTH_CALLOUT_SILENT,
        &codes::AUTH_TIMEOUT,
        &codes::EXPIRED,
        &codes::REVOKED,
        &codes::SERVER_FULL,
        &codes::ACCOUNT_FULL,
        &codes::THROTTLED,
        &codes::TLS_REQUIRED,
        &codes::PROXY_REQUIRED,
        &codes::CONNECT_TOO_LONG,
        &codes::REFUSED,
        &silence::codes::CLOSED,
        &silence::codes::CUT_OFF,
        &silence::codes::NO_ANSWER,
        &silence::codes::LARGE_PACKETS_LOST,
    ],
    run: |examination| Box::pin(run(examination)),
};

/// What was sent, and by whom.
struct Login {
    credentials: Credentials,
    claims: Option<UserClaims>,
    info: ServerInfo,
}

async fn run(examination: &mut Examination<'_>) -> Looked {
    let (Some(session), Some(info)) = (
        examination.learned.session.take(),
        examination.learned.info.clone(),
    ) else {
        return Looked::Unable("there is no connection".to_owned());
    };
    let options = &examination.plan.dial;
    let credentials = credentials_for(examination.target, options);
    let claims = credentials.claims();
    let is_tls = examination.learned.is_tls;
    let login = Login {
        credentials,
        claims,
        info,
    };
    let connect = match connect_options(options, &login.credentials, &login.info, is_tls) {
        Ok(connect) => connect,
        Err(CredentialsError::NoNonce) => return no_nonce(examination, &login),
        Err(error) => return Looked::Unable(error.to_string()),
    };
    let mut conversation = Conversation::new(session);
    encode::connect(conversation.out(), &connect);
    let answer = conversation.settle(examination.step_limit()).await;
    if is_accepted(&answer) {
        let took = format_duration(answer.took);
        return accepted(examination, &login, conversation, took).await;
    }
    if let Some(words) = refused_with(&answer.errors) {
        return refused(examination, &login, &words, &answer).await;
    }
    let trouble = match &answer.end {
        End::Ended(error) => Trouble::of(error),
        End::Silence | End::Pong | End::Enough => Trouble::Silent,
    };
    unanswered(examination, &login, trouble).await
}

fn is_accepted(answer: &Answer) -> bool {
    let mut kinds = answer
        .errors
        .iter()
        .map(|text| ServerErrorKind::classify(text));
    matches!(answer.end, End::Pong) && !kinds.any(ServerErrorKind::closes_connection)
}

/// The words that count: some servers say first that something else failed.
fn refused_with(errors: &[String]) -> Option<String> {
    let is_decisive = |text: &&String| ServerErrorKind::classify(text).closes_connection();
    let decisive = errors.iter().find(is_decisive);
    decisive.or_else(|| errors.first()).cloned()
}

/// An nkey cannot be used with a server that sends nothing to sign.
fn no_nonce(examination: &mut Examination<'_>, login: &Login) -> Looked {
    let refusal = Refusal {
        host: &examination.target.host_and_port(),
        url: &examination.target.to_string(),
        given: &login.credentials,
        source: None,
        claims: None,
        info: &login.info,
        words: "",
        end: "",
        took: Duration::ZERO,
        round_trip: Duration::ZERO,
        client: None,
        is_open_to_all: false,
        other_login: None,
    };
    let finding = refusal.nkey_not_wanted();
    examination.find(finding);
    Looked::At("nothing was sent: there is no nonce to sign".to_owned())
}

/// The login worked. Who are we, and does the path carry more than a few bytes?
async fn accepted(
    examination: &mut Examination<'_>,
    login: &Login,
    mut conversation: Conversation,
    took: String,
) -> Looked {
    let limit = examination.second_look_limit();
    let mut learned = identity::ask(&mut conversation, limit, login.claims.as_ref()).await;
    forget_token(login, &mut learned.identity);
    let trouble = match learned.trouble {
        Some(End::Ended(error)) => Some(Trouble::of(&error)),
        Some(_) => Some(Trouble::Silent),
        None if conversation.ping_many(N_PINGS, limit).await < N_PINGS => Some(Trouble::Silent),
        None => None,
    };
    if let Some(account) = &learned.identity.account {
        examination.fact("account", account);
    }
    if let Some(user) = &learned.identity.user {
        examination.fact("user", user);
    }
    if let Some(left) = learned.expires {
        examination.fact("credentials expire", identity::expiry_text(left));
    }
    let who = described(&learned.identity);
    examination.learned.identity = learned.identity;
    let is_checked = login.info.auth_required;
    soften_credentials(examination, is_checked);
    if !is_checked && login.credentials != Credentials::None {
        // It lets in whoever connects: a login here proves nothing about them.
        examination.fact(
            "credentials",
            "not looked at: the server has no authentication",
        );
    }
    if let Some(trouble) = trouble {
        return match silence::report(examination, trouble, "after the login").await {
            Some(again) => {
                examination.learned.conversation = Some(again);
                Looked::At(format!(
                    "PONG after {took}{who}; a second connection was needed"
                ))
            }
            None => Looked::At(format!("PONG after {took}{who}, then nothing")),
        };
    }
    examination.learned.conversation = Some(conversation);
    Looked::At(format!("PONG after {took}{who}"))
}

/// Whoever logs in with a token has no name: servers give the token itself for it.
fn forget_token(login: &Login, identity: &mut Identity) {
    if matches!(login.credentials, Credentials::Token(_)) {
        identity.user = None;
    }
}

fn described(identity: &Identity) -> String {
    match (&identity.user, &identity.account) {
        (Some(user), Some(account)) => format!("; user {user} of account {account}"),
        (None, Some(account)) => format!("; account {account}"),
        (Some(user), None) => format!("; user {user}"),
        (None, None) => String::new(),
    }
}

/// What is wrong with credentials is no error where the server lets us in with them.
fn soften_credentials(examination: &mut Examination<'_>, is_checked: bool) {
    let why = if is_checked {
        "The server accepted the login all the same."
    } else {
        "The server accepted the login all the same: it has no authentication."
    };
    for finding in examination.findings_of(CheckId::Input) {
        if finding.code.starts_with("credentials.") && finding.severity == Severity::Error {
            finding.severity = Severity::Warning;
            let told = format!("{} {why}", finding.explanation);
            told.trim().clone_into(&mut finding.explanation);
        }
    }
}

/// `-ERR`.
async fn refused(
    examination: &mut Examination<'_>,
    login: &Login,
    words: &str,
    answer: &Answer,
) -> Looked {
    let kind = ServerErrorKind::classify(words);
    let end = answer.end_text();
    let text = format!("{}; {end}", err_line(words));
    if kind.is_authorization()
        && kind != ServerErrorKind::AuthenticationTimeout
        && explained_by_input(examination, words, &end)
    {
        return Looked::Unable(format!("{text}: see what was found in the credentials"));
    }
    if kind == ServerErrorKind::MaximumControlLine {
        harden_too_long(examination);
        if explained_by_input(examination, words, &end) {
            return Looked::Unable(format!("{text}: see what was found in the credentials"));
        }
    }
    let looks = look_again(examination, login, kind, answer.took).await;
    if let Some((conversation, took)) = looks.again {
        return accepted(examination, login, conversation, took).await;
    }
    let source = examination.plan.credentials_source.clone();
    let is_in_url = examination.target.user_info.is_some();
    let source = if is_in_url {
        Some("the URL".to_owned())
    } else {
        source
    };
    let other_login = OtherLogin::of(examination);
    let refusal = Refusal {
        host: &examination.target.host_and_port(),
        url: &examination.target.to_string(),
        given: &login.credentials,
        source: source
            .as_deref()
            .filter(|_| login.credentials != Credentials::None),
        claims: login.claims.as_ref(),
        info: &login.info,
        words,
        end: &end,
        took: answer.took,
        round_trip: looks.round_trip,
        client: looks.client.as_ref(),
        is_open_to_all: looks.is_open_to_all,
        other_login: other_login.as_ref(),
    };
    let finding = refusal.judge();
    examination.find(finding);
    Looked::At(text)
}

/// What was seen when looking again after a refusal.
struct SecondLook {
    /// A second login that was accepted, and how long it took.
    again: Option<(Conversation, String)>,
    round_trip: Duration,
    client: Option<ClientTrial>,
    is_open_to_all: bool,
}

/// Looks again as the refusal asks for.
async fn look_again(
    examination: &mut Examination<'_>,
    login: &Login,
    kind: ServerErrorKind,
    took: Duration,
) -> SecondLook {
    let tcp = examination
        .learned
        .reached
        .first()
        .map(|reached| reached.took);
    let mut look = SecondLook {
        again: None,
        round_trip: tcp.unwrap_or(took).min(took),
        client: None,
        is_open_to_all: false,
    };
    if kind == ServerErrorKind::AuthenticationTimeout {
        // Between INFO and CONNECT other checks may have taken their time: that is not the fault of the path.
        let (again, walked) = tokio::join!(
            examination.connect_again(|_| ()),
            path::walk(examination, Say::Connect)
        );
        look.again = again.ok().map(|(conversation, facts)| {
            let connect_ns = facts.timings.connect_ns;
            (
                conversation,
                format_duration(Duration::from_nanos(connect_ns)),
            )
        });
        look.round_trip = walked.round_trip.unwrap_or(look.round_trip);
        return look;
    }
    if kind != ServerErrorKind::AuthorizationViolation {
        return look;
    }
    if took >= NOTICEABLE {
        let walked = path::walk(examination, Say::Connect).await;
        look.round_trip = walked.round_trip.unwrap_or(look.round_trip);
    }
    if refusal::is_slow(took, look.round_trip) || login.credentials == Credentials::None {
        return look;
    }
    let client = trials::find_client_port(examination, &login.info).await;
    let trial = async {
        match client {
            Some(client) => Some(trials::client_port(examination, client).await),
            None => None,
        }
    };
    (look.client, look.is_open_to_all) = tokio::join!(trial, trials::is_open_to_all(examination));
    look
}

/// Whether the check of the input has found why; then the server's words are added to that.
fn explained_by_input(examination: &mut Examination<'_>, words: &str, end: &str) -> bool {
    let mut findings = examination.findings_of(CheckId::Input);
    let is_cause = |finding: &&mut Finding| {
        finding.severity == Severity::Error && finding.code.starts_with("credentials.")
    };
    let Some(finding) = findings.find(is_cause) else {
        return false;
    };
    let explained = finding
        .clone()
        .evidence("server", format!("{}; {end}", err_line(words)));
    *finding = explained;
    true
}

/// A JWT that hardly fits is no warning where it did not fit.
fn harden_too_long(examination: &mut Examination<'_>) {
    for finding in examination.findings_of(CheckId::Input) {
        if finding.code == "credentials.too-long" {
            finding.severity = Severity::Error;
        }
    }
}

/// No PONG, and no word either.
async fn unanswered(examination: &mut Examination<'_>, login: &Login, trouble: Trouble) -> Looked {
    let text = trouble.text();
    match silence::report(examination, trouble, "after CONNECT").await {
        Some(conversation) => {
            accepted_late(examination, login, conversation).await;
            Looked::At(format!("{text}; a second connection was accepted"))
        }
        None => Looked::At(text),
    }
}

/// A second connection got what the first one did not.
async fn accepted_late(
    examination: &mut Examination<'_>,
    login: &Login,
    mut conversation: Conversation,
) {
    let limit = examination.second_look_limit();
    let mut learned = identity::ask(&mut conversation, limit, login.claims.as_ref()).await;
    forget_token(login, &mut learned.identity);
    examination.learned.identity = learned.identity;
    if learned.trouble.is_none() {
        examination.learned.conversation = Some(conversation);
    }
}
