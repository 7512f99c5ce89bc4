//! What permissions can hinder.

use crate::doctor::code::Code;
use crate::results::doctor::Severity;

pub(super) const SUBSCRIBE_DENIED: Code = Code::error(
    "permissions.subscribe-denied",
    "The user may not subscribe to the subject.",
    "The subject is not among those that the user may subscribe to, or it is denied.",
    "Allow it: `subscribe` in the permissions of the user in nats.conf, or `nsc edit user --allow-sub`.",
);

pub(super) const QUEUE_ONLY: Code = Code::error(
    "permissions.queue-only",
    "The user may subscribe to the subject in a queue group only.",
    "The permission is of the form `SUBJECT QUEUE`: a subscription without that queue group is denied.",
    "Subscribe in the queue group (`--queue NAME`), or allow the subject without one.",
);

pub(super) const DENY_FILTERS: Code = Code::error(
    "permissions.deny-filters",
    "The subscription is accepted, but the server leaves out some of its messages in silence.",
    "A denied subject lies within the pattern. The server accepts the subscription and filters what arrives, without a word. It is a warning where only a part of the known subjects is left out.",
    "Take the subject from the `deny` list of the user.",
);

pub(super) const TOO_MANY_TOKENS: Code = Code::error(
    "permissions.too-many-tokens",
    "The subject has more tokens than the server allows in a subscription.",
    "`max_subscription_tokens` in nats.conf.",
    "Raise `max_subscription_tokens`, or use a subject with fewer tokens, such as one that ends with `>`.",
);

pub(super) const TOO_MANY_SUBSCRIPTIONS: Code = Code::error(
    "permissions.too-many-subscriptions",
    "The server or the account takes no more subscriptions.",
    "`max_subscriptions` in nats.conf, or the limit of the account or user JWT.",
    "Raise the limit, or use fewer subscriptions with wildcards.",
);

pub(super) const INVALID_SUBJECT: Code = Code::error(
    "permissions.invalid-subject",
    "The server calls the subject invalid.",
    "An empty token, or `>` before the end.",
    "Correct the subject.",
);

pub(super) const SUBSCRIBE_REFUSED: Code = Code::error(
    "permissions.subscribe-refused",
    "The server refuses the subscription for a reason of its own.",
    "The reason is in its words.",
    "See the server's words, and its log.",
);

pub(super) const PUBLISH_DENIED: Code = Code::error(
    "permissions.publish-denied",
    "The user may not publish to the subject.",
    "The subject is not among those that the user may publish to, or it is denied.",
    "Allow it: `publish` in the permissions of the user in nats.conf, or `nsc edit user --allow-pub`.",
);

pub(super) const USER_INFO_DENIED: Code = Code::new(
    "permissions.user-info-denied",
    // A client that may do nothing but its work is healthy.
    Severity::Info,
    "The user may not ask the server for its own permissions.",
    "Publishing to `$SYS.REQ.USER.INFO` is denied, or subscribing to `_INBOX.>`. Denied subjects that filter messages in silence cannot be seen.",
    "Allow publishing to `$SYS.REQ.USER.INFO` and subscribing to `_INBOX.>`. It tells a user about nobody but itself.",
);

pub(super) const INBOX_DENIED: Code = Code::error(
    "permissions.inbox-denied",
    "Requests cannot be answered: the user may not subscribe to reply subjects.",
    "Clients receive answers on `_INBOX.>`, which the user may not subscribe to.",
    "Allow subscribing to `_INBOX.>`, or give the client the inbox prefix that is allowed.",
);
