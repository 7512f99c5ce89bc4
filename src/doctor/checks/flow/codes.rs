//! What can be found out about traffic.

use crate::doctor::code::Code;
use crate::results::doctor::Severity;

pub(super) const NO_PUBLISHER: Code = Code {
    name: "flow.no-publisher",
    severity: Severity::Warning,
    meaning: "The subscription is in order, but nobody publishes on the subject in this account.",
    cause: "No message came while the doctor listened, and none on a subject that is alike. The publisher does not run, \
            publishes more rarely than the doctor listened, or is connected to another account or another server: \
            accounts do not see each other, and there is no error for it.",
    fix: "Start the publisher, or log in to the account that it uses. Listen for longer with `--watch 30s` if \
          messages are rare.",
};

pub(super) const NEAR_SUBJECT: Code = Code {
    name: "flow.near-subject",
    severity: Severity::Warning,
    meaning: "Nothing comes on the subject, but on one that is almost the same.",
    cause: "Another case, a letter or a token more or less, or a prefix: subjects are compared byte by byte, and an \
            import with `prefix` or `to`, or a subject mapping, gives messages another subject than the publisher did.",
    fix: "Subscribe to the subject that the messages have, or publish them under the expected one.",
};

pub(super) const QUEUE_SHARED: Code = Code {
    name: "flow.queue-shared",
    severity: Severity::Warning,
    meaning: "Other members of the queue group take messages that this client waits for.",
    cause: "A message goes to one member of a queue group. A second subscription without the group was opened beside \
            the one in it, and heard messages that the one in the group did not get.",
    fix: "Use a group name of your own to get every message, or stop the other members.",
};

pub(super) const OTHER_ACCOUNT: Code = Code {
    name: "flow.other-account",
    severity: Severity::Warning,
    meaning: "Messages are published in another account than the one of this user.",
    cause: "Nothing comes in the account of this user, and the monitoring port of the same server shows clients of another \
            account that publish. Accounts are separate: subjects of one do not exist in the other unless they are \
            exported and imported.",
    fix: "Log in with a user of the other account, or export the subjects there and import them here.",
};

pub(super) const SYSTEM_ACCOUNT: Code = Code {
    name: "flow.system-account",
    severity: Severity::Warning,
    meaning: "The user belongs to the system account, which carries events of the server and no other messages.",
    cause: "The server names the system account as the account of this connection.",
    fix: "Log in with a user of the account that the publisher uses.",
};

pub(super) const UNREADABLE_ROUND: Code = Code {
    name: "flow.unreadable-round",
    severity: Severity::Warning,
    meaning: "A message on a subject of rounds holds JSON that is broken.",
    cause: "The payload begins like JSON, and a reader of JSON fails before its end: it was cut off, or put together by hand.",
    fix: "Mend the publisher: every message is to hold one whole JSON object.",
};

pub(super) const CONNECTION_LOST: Code = Code {
    name: "flow.connection-lost",
    severity: Severity::Error,
    meaning: "The connection ended while the doctor listened for messages.",
    cause: "The server, or something in between, closed it; what it said is in the evidence.",
    fix: "Run the doctor with `--watch 2m`: it then finds out what ends connections.",
};
