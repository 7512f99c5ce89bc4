//! What can be wrong with subjects and queue groups.

use crate::doctor::code::Code;
use crate::results::doctor::Severity;

pub(in crate::doctor::checks::input) const EMPTY: Code = Code {
    name: "subject.empty",
    severity: Severity::Error,
    meaning: "A subject is an empty text.",
    cause: "Mostly a variable of the shell that is not set. A server closes the connection on it.",
    fix: "Give a subject, such as `rounds.game.*`, or `>` for everything.",
};
pub(in crate::doctor::checks::input) const EMPTY_TOKEN: Code = Code {
    name: "subject.empty-token",
    severity: Severity::Error,
    meaning: "A token of the subject is empty.",
    cause: "Two dots side by side, or a dot at an end. A server refuses to subscribe to it, and drops every message to \
            it without a word.",
    fix: "Leave out the dot, or put a token there; `*` stands for any one token.",
};
pub(in crate::doctor::checks::input) const BLANK: Code = Code {
    name: "subject.blank",
    severity: Severity::Error,
    meaning: "The subject contains a blank.",
    cause: "Blanks separate the arguments of an operation: in a subscription the rest is taken for a queue group, in a \
            message for a reply subject. The server gives no error.",
    fix: "Separate the tokens by dots. A queue group is given with `--queue`, and several subjects as several arguments.",
};
pub(in crate::doctor::checks::input) const CONTROL_CHARACTER: Code = Code {
    name: "subject.control-character",
    severity: Severity::Error,
    meaning: "The subject contains a character that cannot be seen.",
    cause: "A line break, another control character, or a blank that is none for a server. A line break ends the \
            operation; others become a part of the subject, which then matches nothing that looks the same.",
    fix: "Type the subject again instead of copying it.",
};
pub(in crate::doctor::checks::input) const FULL_WILDCARD_NOT_LAST: Code = Code {
    name: "subject.full-wildcard-not-last",
    severity: Severity::Error,
    meaning: "`>` stands before the end of the subject.",
    cause: "`>` is for all further tokens and can only come last. A server refuses the subscription.",
    fix: "Write `*` for one token in the middle, and `>` only at the end.",
};
pub(in crate::doctor::checks::input) const WILDCARD_IN_PUBLISH: Code = Code {
    name: "subject.wildcard-in-publish",
    severity: Severity::Error,
    meaning: "A message is to be published to a subject with a wildcard.",
    cause: "A wildcard selects subjects to receive; a message goes to one subject. Unless asked to check, a server \
            delivers it under that literal name to wider subscriptions, and to none of the subjects that were meant.",
    fix: "Publish to each subject by its full name.",
};
pub(in crate::doctor::checks::input) const TOO_LONG: Code = Code {
    name: "subject.too-long",
    severity: Severity::Error,
    meaning: "The subject does not fit into the control line.",
    cause: "A server reads 4096 bytes of arguments (`max_control_line`): subject, queue group or reply subject, and \
            a number. It closes the connection with `Maximum Control Line Exceeded` when there are more.",
    fix: "Use a shorter subject, and put the rest into the message.",
};
pub(in crate::doctor::checks::input) const QUEUE: Code = Code {
    name: "queue.invalid",
    severity: Severity::Error,
    meaning: "The name of the queue group cannot be sent.",
    cause: "It is empty, or contains a blank or a control character. A server would take it for more arguments and \
            close the connection.",
    fix: "Use a name without blanks.",
};
