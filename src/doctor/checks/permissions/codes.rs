//! What permissions can hinder.

use crate::doctor::code::Code;
use crate::results::doctor::Severity;

const fn code(
    name: &'static str,
    severity: Severity,
    meaning: &'static str,
    cause: &'static str,
    fix: &'static str,
) -> Code {
    Code {
        name,
        severity,
        meaning,
        cause,
        fix,
    }
}

pub(in crate::doctor::checks) const SUBSCRIBE_DENIED: Code = code(
    "permissions.subscribe-denied",
    Severity::Error,
    "The user may not subscribe to the subject.",
    "The subject is not among those that the user may subscribe to, or it is denied.",
    "Allow it: `subscribe` in the permissions of the user in nats.conf, or `nsc edit user --allow-sub`.",
);

pub(super) const QUEUE_ONLY: Code = code(
    "permissions.queue-only",
    Severity::Error,
    "The user may subscribe to the subject in a queue group only.",
    "The permission is of the form `SUBJECT QUEUE`: a subscription without that queue group is denied.",
    "Subscribe in the queue group (`--queue NAME`), or allow the subject without one.",
);

pub(super) const DENY_FILTERS: Code = code(
    "permissions.deny-filters",
    Severity::Error,
    "The subscription is accepted, but the server leaves out some of its messages in silence.",
    "A denied subject lies within the pattern. The server accepts the subscription and filters what arrives, without a word. It is a warning where only a part of the known subjects is left out.",
    "Take the subject from the `deny` list of the user.",
);

pub(super) const TOO_MANY_TOKENS: Code = code(
    "permissions.too-many-tokens",
    Severity::Error,
    "The subject has more tokens than the server allows in a subscription.",
    "`max_subscription_tokens` in nats.conf.",
    "Raise `max_subscription_tokens`, or use a subject with fewer tokens, such as one that ends with `>`.",
);

pub(super) const TOO_MANY_SUBSCRIPTIONS: Code = code(
    "permissions.too-many-subscriptions",
    Severity::Error,
    "The server or the account takes no more subscriptions.",
    "`max_subscriptions` in nats.conf, or the limit of the account or user JWT.",
    "Raise the limit, or use fewer subscriptions with wildcards.",
);

pub(super) const INVALID_SUBJECT: Code = code(
    "permissions.invalid-subject",
    Severity::Error,
    "The server calls the subject invalid.",
    "An empty token, or `>` before the end.",
    "Correct the subject.",
);

pub(super) const SUBSCRIBE_REFUSED: Code = code(
    "permissions.subscribe-refused",
    Severity::Error,
    "The server refuses the subscription for a reason of its own.",
    "The reason is in its words.",
    "See the server's words, and its log.",
);

pub(in crate::doctor::checks) const PUBLISH_DENIED: Code = code(
    "permissions.publish-denied",
    Severity::Error,
    "The user may not publish to the subject.",
    "The subject is not among those that the user may publish to, or it is denied.",
    "Allow it: `publish` in the permissions of the user in nats.conf, or `nsc edit user --allow-pub`.",
);

pub(super) const USER_INFO_DENIED: Code = code(
    "permissions.user-info-denied",
    // A client that may do nothing but its work is healthy.
    Severity::Info,
    "The user may not ask the server for its own permissions.",
    "Publishing to `$SYS.REQ.USER.INFO` is denied, or subscribing to `_INBOX.>`. Denied subjects that filter messages in silence cannot be seen.",
    "Allow publishing to `$SYS.REQ.USER.INFO` and subscribing to `_INBOX.>`. It tells a user about nobody but itself.",
);

pub(super) const INBOX_DENIED: Code = code(
    "permissions.inbox-denied",
    Severity::Error,
    "Requests cannot be answered: the user may not subscribe to reply subjects.",
    "Clients receive answers on `_INBOX.>`, which the user may not subscribe to.",
    "Allow subscribing to `_INBOX.>`, or give the client the inbox prefix that is allowed.",
);
