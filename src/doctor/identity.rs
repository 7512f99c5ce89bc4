//! Who we are at the server, and what we may do there: the server's own answer to `$SYS.REQ.USER.INFO`, or what the user
//! JWT says where that is not to be had.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::{Value, json};

use crate::doctor::conversation::{Answer, Conversation, End, Heard, random_token};
use crate::protocol::jwt::SubjectRules;
use crate::protocol::{ServerErrorKind, ServerInfo, UserClaims};
use crate::subject::covers;
use crate::units::format_duration;

/// Where a server tells a client about itself. Any user may ask, unless its permissions say otherwise.
pub(crate) const USER_INFO_SUBJECT: &str = "$SYS.REQ.USER.INFO";
/// The account of everybody on a server that has no others.
pub(crate) const GLOBAL_ACCOUNT: &str = "$G";
/// The server answers this itself: what takes longer does not come.
const PATIENCE: Duration = Duration::from_millis(400);
/// Most rules of a kind that are looked at.
const MAX_RULES: usize = 1_000;

/// Who we are, as the server sees it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    pub(crate) account: Option<String>,
    pub(crate) user: Option<String>,
    /// `permissions` of `$SYS.REQ.USER.INFO`, as JSON; what a user JWT says of them where that was not answered.
    pub(crate) permissions: Option<serde_json::Value>,
    /// What became of `$SYS.REQ.USER.INFO`.
    pub(crate) user_info: UserInfo,
}

/// What became of the question who we are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum UserInfo {
    /// Nobody has asked.
    #[default]
    NotAsked,
    /// The server answered.
    Answered,
    /// We may not ask: the server's words.
    Denied(String),
    /// We may ask, but not subscribe to a reply subject: the server's words.
    InboxDenied(String),
    /// No answer came, though the connection works.
    Unanswered,
}

/// What was learned, and whether the connection still works.
#[derive(Debug)]
pub(crate) struct Learned {
    pub(crate) identity: Identity,
    /// For how long the credentials still hold.
    pub(crate) expires: Option<Duration>,
    /// How the connection ended meanwhile, if it did, or that it fell silent.
    pub(crate) trouble: Option<End>,
}

/// Asks the server. `claims` are those of our user JWT.
pub(crate) async fn ask(
    conversation: &mut Conversation,
    limit: Duration,
    claims: Option<&UserClaims>,
) -> Learned {
    // Two tokens: a server may allow no more.
    let inbox = format!("_INBOX.{}", random_token(22));
    let sid = conversation.subscribe(&inbox, None);
    conversation.publish(USER_INFO_SUBJECT, Some(&inbox), b"");
    let is_reply = |heard: &Heard| heard.sid == sid;
    // Hundreds of permissions make a long answer.
    let mut answer = conversation.settle_for_reply(limit).await;
    let is_open = matches!(answer.end, End::Pong);
    let mut reply = answer
        .messages
        .iter()
        .find(|heard| is_reply(heard))
        .cloned();
    if is_open && reply.is_none() && answer.errors.is_empty() {
        let mut until_reply = |heard: &Heard| {
            if is_reply(heard) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let later = conversation
            .listen_for_reply(PATIENCE.min(limit), &mut until_reply)
            .await;
        reply = later.messages.iter().find(|heard| is_reply(heard)).cloned();
        answer.infos.extend(later.infos);
        answer.errors.extend(later.errors);
        if let End::Ended(_) = later.end {
            answer.end = later.end;
        }
    }
    conversation.unsubscribe(sid);
    learned_from(answer, reply.as_ref(), claims)
}

fn learned_from(answer: Answer, reply: Option<&Heard>, claims: Option<&UserClaims>) -> Learned {
    let mut identity = Identity {
        account: account_of(&answer.infos),
        user_info: state_of(&answer.errors, reply),
        ..Identity::default()
    };
    let mut expires = None;
    let data = reply.and_then(|heard| serde_json::from_slice::<Value>(&heard.payload).ok());
    if let Some(data) = data.as_ref().and_then(|reply| reply.get("data")) {
        let text = |field: &str| {
            let text = data.get(field).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        identity.user = text("user_name").or_else(|| text("user"));
        identity.account = text("account").or(identity.account);
        identity.permissions = data.get("permissions").filter(|it| it.is_object()).cloned();
        let expires_ns = data.get("expires").and_then(Value::as_u64);
        expires = expires_ns.filter(|ns| *ns > 0).map(Duration::from_nanos);
    } else {
        if identity.user_info == UserInfo::Answered {
            identity.user_info = UserInfo::Unanswered;
        }
        identity.permissions = claims.and_then(permissions_in);
    }
    let trouble = match answer.end {
        End::Pong | End::Enough => None,
        end => Some(end),
    };
    Learned {
        identity,
        expires,
        trouble,
    }
}

/// Newer servers name the account in a second INFO.
fn account_of(infos: &[ServerInfo]) -> Option<String> {
    infos.iter().find_map(|info| info.remote_account.clone())
}

fn state_of(errors: &[String], reply: Option<&Heard>) -> UserInfo {
    if reply.is_some_and(|heard| !heard.is_no_responders()) {
        return UserInfo::Answered;
    }
    let text_of = |kind| {
        let mut errors = errors.iter();
        errors
            .find(|text| ServerErrorKind::classify(text) == kind)
            .cloned()
    };
    if let Some(text) = text_of(ServerErrorKind::PublishPermission) {
        return UserInfo::Denied(text);
    }
    match text_of(ServerErrorKind::SubscribePermission) {
        Some(text) => UserInfo::InboxDenied(text),
        None => UserInfo::Unanswered,
    }
}

/// The permissions in a JWT, in the form of the server. A JWT without any may get them from its signing key, so that
/// nothing is known then.
fn permissions_in(claims: &UserClaims) -> Option<Value> {
    let rules = |rules: &SubjectRules| json!({"allow": rules.allow, "deny": rules.deny});
    let none = SubjectRules::default();
    let has_any = claims.publish != none || claims.subscribe != none;
    has_any
        .then(|| json!({"publish": rules(&claims.publish), "subscribe": rules(&claims.subscribe)}))
}

/// One entry of a list of permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The subjects.
    pub(crate) pattern: String,
    /// Only in such a queue group; possibly with wildcards.
    pub(crate) queue: Option<String>,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.queue {
            Some(queue) => write!(f, "{} {queue}", self.pattern),
            None => f.write_str(&self.pattern),
        }
    }
}

/// What is allowed and denied of publishing, or of subscribing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Everything, if empty.
    pub(crate) allow: Vec<Rule>,
    pub(crate) deny: Vec<Rule>,
}

/// What a user may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Permissions {
    pub(crate) publish: Rules,
    pub(crate) subscribe: Rules,
}

impl Permissions {
    /// Reads [`Identity::permissions`].
    pub(crate) fn of(json: &Value) -> Self {
        let rules = |field: &str| {
            let rules = json.get(field);
            let list = |name: &str| {
                let list = rules
                    .and_then(|rules| rules.get(name))
                    .and_then(Value::as_array);
                list.map(|list| list.iter().take(MAX_RULES).filter_map(rule_of).collect())
            };
            Rules {
                allow: list("allow").unwrap_or_default(),
                deny: list("deny").unwrap_or_default(),
            }
        };
        Self {
            publish: rules("publish"),
            subscribe: rules("subscribe"),
        }
    }
}

fn rule_of(entry: &Value) -> Option<Rule> {
    let mut words = entry.as_str()?.split_whitespace();
    Some(Rule {
        pattern: words.next()?.to_owned(),
        queue: words.next().map(str::to_owned),
    })
}

impl Rules {
    /// Whether a subject may be used outside of queue groups. A leave to answer requests is not counted.
    pub(crate) fn allow(&self, subject: &str) -> bool {
        let has = |rules: &[Rule]| {
            let mut rules = rules.iter().filter(|rule| rule.queue.is_none());
            rules.any(|rule| covers(&rule.pattern, subject))
        };
        (self.allow.is_empty() || has(&self.allow)) && !has(&self.deny)
    }

    /// Queue groups that a pattern may be subscribed to in.
    pub(crate) fn queues_for(&self, pattern: &str) -> Vec<&str> {
        let rules = self
            .allow
            .iter()
            .filter(|rule| covers(&rule.pattern, pattern));
        rules.filter_map(|rule| rule.queue.as_deref()).collect()
    }

    /// What is left out, in silence, of what a pattern would bring. The server filters where a denied pattern lies
    /// within the one that is subscribed to.
    pub(crate) fn filters_of(&self, pattern: &str) -> Vec<&str> {
        let rules = self.deny.iter().filter(|rule| rule.queue.is_none());
        let patterns = rules.map(|rule| rule.pattern.as_str());
        patterns
            .filter(|denied| *denied != pattern && covers(pattern, denied))
            .collect()
    }
}

/// For how long credentials still hold, in words.
pub(crate) fn expiry_text(left: Duration) -> String {
    const DAY_SECS: u64 = 86_400;
    match left.as_secs() {
        secs if secs < 120 => format!("in {}", format_duration(left)),
        secs if secs < 2 * 3_600 => format!("in {} minutes", secs / 60),
        secs if secs < 2 * DAY_SECS => format!("in {} hours", secs / 3_600),
        secs => format!("in {} days", secs / DAY_SECS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permissions() -> Permissions {
        Permissions::of(&json!({
            "publish": {"allow": ["rounds.>"]},
            "subscribe": {"allow": ["rounds.>", "jobs.* workers", 7], "deny": ["rounds.game.>", "x.>"]},
        }))
    }

    #[test]
    fn permissions_are_read_as_the_server_reads_them() {
        let permissions = permissions();
        assert!(permissions.publish.allow("rounds.game.x"));
        assert!(!permissions.publish.allow("other"));
        assert!(permissions.subscribe.allow("rounds.>"));
        assert!(!permissions.subscribe.allow("rounds.game.x"));
        assert!(!permissions.subscribe.allow("jobs.a"));
        assert_eq!(permissions.subscribe.queues_for("jobs.a"), ["workers"]);
        assert_eq!(
            permissions.subscribe.filters_of("rounds.>"),
            ["rounds.game.>"]
        );
        assert!(permissions.subscribe.filters_of("rounds.type.*").is_empty());
        assert_eq!(Permissions::of(&json!([1])), Permissions::default());
    }

    #[test]
    fn a_refusal_is_told_from_silence() {
        let state = |text: &str| state_of(&[text.to_owned()], None);
        let publish = "Permissions Violation for Publish to \"$SYS.REQ.USER.INFO\"";
        assert_eq!(state(publish), UserInfo::Denied(publish.to_owned()));
        let subscribe = "Permissions Violation for Subscription to \"_INBOX.x\" (sid \"1\")";
        assert_eq!(
            state(subscribe),
            UserInfo::InboxDenied(subscribe.to_owned())
        );
        assert_eq!(state_of(&[], None), UserInfo::Unanswered);
    }
}
