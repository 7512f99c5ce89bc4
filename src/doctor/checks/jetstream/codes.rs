//! What can be found out about streams.

use crate::doctor::code::Code;
use crate::results::doctor::Severity;

pub(super) const NOT_ENABLED: Code = Code {
    name: "jetstream.not-enabled",
    severity: Severity::Error,
    meaning: "JetStream is not enabled on the server.",
    cause: "INFO does not name JetStream, and nobody answers `$JS.API.INFO` (status 503).",
    fix: "Put `jetstream { store_dir: \"/data/jetstream\" }` into nats.conf and restart the server.",
};

pub(super) const NOT_FOR_ACCOUNT: Code = Code {
    name: "jetstream.not-for-account",
    severity: Severity::Error,
    meaning: "The server has JetStream, but not for the account of this user.",
    cause: "The API answers with error 10039. With accounts, each needs JetStream enabled, and the system account never has it.",
    fix: "Add `jetstream: enabled` to the account in nats.conf, or give it JetStream limits with `nsc edit account`.",
};

pub(super) const API_DENIED: Code = Code {
    name: "jetstream.api-denied",
    severity: Severity::Error,
    meaning: "The permissions of the user do not let it use the JetStream API.",
    cause: "The server refuses to publish to `$JS.API.…`, or to subscribe to the inbox that the answer would come to.",
    fix: "Allow publishing to `$JS.API.>` and `$JS.ACK.>`, and subscribing to `_INBOX.>`.",
};

pub(super) const NO_ANSWER: Code = Code {
    name: "jetstream.no-answer",
    severity: Severity::Error,
    meaning: "The JetStream API does not answer, although the server has JetStream.",
    cause: "The request was accepted and no answer came: a deny on the inbox filters it in silence, the cluster has no leader \
            for JetStream, or the API is reached under another prefix.",
    fix: "Look at `nats server report jetstream`; on a leaf node, name the domain.",
};

pub(super) const UNAVAILABLE: Code = Code {
    name: "jetstream.unavailable",
    severity: Severity::Error,
    meaning: "The JetStream API answers with an error.",
    cause: "See the text of the error. 10008 is a cluster that has no leader for JetStream: less than half of its servers are there.",
    fix: "Look at `nats server report jetstream`, and bring the missing servers back.",
};

pub(super) const LIMIT: Code = Code {
    name: "jetstream.account-limit",
    severity: Severity::Warning,
    meaning: "The account has used up, or almost used up, what it may use of JetStream.",
    cause: "`$JS.API.INFO` shows what is used of memory, storage, streams and consumers, and the limits of the account.",
    fix: "Raise the limits of the account, or delete what is not needed.",
};

pub(super) const STORAGE_SMALL: Code = Code {
    name: "jetstream.storage-insufficient",
    severity: Severity::Error,
    meaning: "No stream covers the subject, and there is hardly any storage left to make one.",
    cause: "The limit of the server (`max_file_store`, `max_memory_store`) or of the account is too small, or reserved by other \
            streams: making a stream fails with error 10047, `insufficient storage resources available`.",
    fix: "Raise `max_file_store` in the `jetstream` block of nats.conf, or lower `max_bytes` of the stream.",
};

pub(super) const NO_STREAM: Code = Code {
    name: "jetstream.no-stream",
    severity: Severity::Error,
    meaning: "JetStream works, but there is no stream at all, so that nothing is stored.",
    cause: "The list of streams of the account is empty.",
    fix: "`nats stream add ROUNDS --subjects 'rounds.>' --defaults`",
};

pub(super) const NOT_IN_DOMAIN: Code = Code {
    name: "jetstream.not-in-domain",
    severity: Severity::Error,
    meaning: "The server has a JetStream domain of its own, and no stream there covers the subject.",
    cause: "Streams of other domains are not seen without naming the domain: a leaf node and its hub have different streams.",
    fix: "Name the domain in which the stream is, such as `nats --js-domain hub stream ls`; or make the stream in this one.",
};

pub(super) const NOT_COVERED: Code = Code {
    name: "jetstream.subject-not-covered",
    severity: Severity::Error,
    meaning: "There are streams, but none of them stores the subject.",
    cause: "The subjects of the streams do not match the one that was asked for.",
    fix: "`nats stream edit ROUNDS --subjects …` with the subject added.",
};

pub(super) const PARTLY_COVERED: Code = Code {
    name: "jetstream.partly-covered",
    severity: Severity::Info,
    meaning: "A stream stores only a part of what the pattern matches.",
    cause: "The subjects of the stream are narrower than the pattern that was asked for.",
    fix: "Nothing, if that part is all that is to be stored.",
};

pub(super) const FULL: Code = Code {
    name: "jetstream.stream-full",
    severity: Severity::Error,
    meaning: "A stream is full, and refuses new messages because it does not discard old ones.",
    cause: "The stream has reached `max_bytes`, `max_msgs` or `max_msgs_per_subject`, and `discard` is `new`. Publishers that do not \
            wait for the acknowledgement do not notice.",
    fix: "Raise the limit, purge the stream, or set `discard` to `old`.",
};

pub(super) const SEALED: Code = Code {
    name: "jetstream.stream-sealed",
    severity: Severity::Error,
    meaning: "The stream is sealed: it can never take another message.",
    cause: "`sealed` is set in its configuration, and cannot be taken back.",
    fix: "Make another stream for the subject.",
};

pub(super) const TOO_LARGE: Code = Code {
    name: "jetstream.message-too-large",
    severity: Severity::Error,
    meaning: "The stream does not take messages of the size that was asked for.",
    cause: "`max_msg_size` of the stream is smaller.",
    fix: "Raise it with `nats stream edit`.",
};

pub(super) const NO_LEADER: Code = Code {
    name: "jetstream.no-leader",
    severity: Severity::Error,
    meaning: "The stream has no leader, so that it takes no messages.",
    cause: "Less than half of the servers that hold it are there.",
    fix: "Bring the missing servers back; `nats stream info` names them.",
};

pub(super) const REPLICA: Code = Code {
    name: "jetstream.replica-behind",
    severity: Severity::Warning,
    meaning: "A replica of the stream is away or behind.",
    cause: "The leader of the stream reports it as offline or not current.",
    fix: "Look at that server and its log.",
};

pub(super) const RETENTION: Code = Code {
    name: "jetstream.retention",
    severity: Severity::Info,
    meaning: "The stream does not keep messages until they are old.",
    cause: "Its retention is `interest` or `workqueue`: messages go as soon as the consumers have acknowledged them.",
    fix: "Nothing, if that is meant. `limits` keeps messages.",
};

pub(super) const DOMAIN: Code = Code {
    name: "jetstream.domain",
    severity: Severity::Info,
    meaning: "JetStream of this server is a domain of its own.",
    cause: "`domain` is set in the `jetstream` block.",
    fix: "Nothing here. From a hub or another leaf node, name the domain.",
};
