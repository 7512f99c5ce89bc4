//! Why the JetStream API cannot be used.

use serde_json::Value;

use crate::doctor::checks::jetstream::api::ApiError;
use crate::doctor::checks::jetstream::codes::{
    API_DENIED, NO_ANSWER, NOT_ENABLED, NOT_FOR_ACCOUNT, UNAVAILABLE,
};
use crate::doctor::checks::paste::{is_quotable, word};
use crate::doctor::conversation::err_line;
use crate::results::doctor::{Certainty, Finding, Severity};
use crate::subject::Pattern;

/// Errors of the API that have a cause of their own.
const NOT_ENABLED_FOR_ACCOUNT: u64 = 10_039;
const NOT_ENABLED_ON_SERVER: u64 = 10_076;
const TEMPORARILY_UNAVAILABLE: u64 = 10_008;
/// What a client of JetStream publishes to.
const NEEDED_TO_PUBLISH: [&str; 2] = ["$JS.API.>", "$JS.ACK.>"];
/// Most entries of a list of permissions that are repeated.
const MAX_ENTRIES: usize = 12;

/// What is known of the server and of us.
pub(super) struct Scene<'a> {
    /// `host:port`, or a whole URL without secrets.
    pub(super) server: &'a str,
    /// INFO names JetStream.
    pub(super) has_jetstream: bool,
    pub(super) domain: Option<&'a str>,
    pub(super) account: Option<&'a str>,
    pub(super) user: Option<&'a str>,
    /// Who we are is in a JWT, so that nats.conf is not the place to change it.
    pub(super) has_jwt: bool,
    /// `permissions` of `$SYS.REQ.USER.INFO`.
    pub(super) permissions: Option<&'a Value>,
}

/// What follows from the failure of a request to `$JS.API.INFO`. `None` if the connection is over.
pub(super) fn judge(error: &ApiError, scene: &Scene<'_>) -> Option<Finding> {
    let finding = match error {
        ApiError::Ended(_) => return None,
        ApiError::NobodyThere if !scene.has_jetstream => not_enabled(scene),
        ApiError::Failed { code, .. } if *code == NOT_ENABLED_ON_SERVER => not_enabled(scene),
        ApiError::Failed { code, .. } if *code == NOT_ENABLED_FOR_ACCOUNT => not_for_account(scene),
        ApiError::Failed { code, description } => unavailable(*code, description),
        ApiError::Refused(text) if text.contains("Permissions Violation") => denied(text, scene),
        ApiError::NobodyThere | ApiError::Refused(_) | ApiError::Silence | ApiError::Unreadable => {
            no_answer(scene)
        }
    };
    let has = if scene.has_jetstream {
        "JetStream is on"
    } else {
        "no JetStream"
    };
    let finding = finding.evidence("INFO", has);
    Some(finding.evidence("$JS.API.INFO", error.in_words()))
}

fn not_enabled(scene: &Scene<'_>) -> Finding {
    NOT_ENABLED
        .finding(format!("JetStream is not enabled on {}.", scene.server))
        .because("Nobody answers the JetStream API there, so that there are no streams and no consumers.")
        .paste(
            "Enable it in nats.conf and restart the server:",
            &["jetstream {", "  store_dir: \"/data/jetstream\"", "}"],
        )
        .remedy("If JetStream is on the hub of this leaf node, name its domain: `nats --js-domain DOMAIN stream ls`.")
}

fn not_for_account(scene: &Scene<'_>) -> Finding {
    if scene.account == Some("$SYS") {
        return NOT_FOR_ACCOUNT
            .finding("This user belongs to the system account `$SYS`, which never has JetStream.")
            .because(
                "The system account is for events of the server. Streams are in other accounts.",
            )
            .remedy("Log in with a user of the account that has the streams.");
    }
    let account = scene.account.map_or_else(
        || "the account of this user".to_owned(),
        |account| format!("account `{account}`"),
    );
    let finding = NOT_FOR_ACCOUNT
        .finding(format!(
            "JetStream is on at {}, but not for {account}.",
            scene.server
        ))
        .because("Each account needs JetStream of its own.");
    let name = scene.account.unwrap_or("ACCOUNT");
    if scene.has_jwt {
        return finding.paste(
            "Give the account limits for JetStream, and push it:",
            &[
                &format!(
                    "nsc edit account --name {} --js-mem-storage 1G --js-disk-storage 10G",
                    word(name)
                ),
                "nsc push --all",
            ],
        );
    }
    finding.paste(
        "Enable it for the account in nats.conf:",
        &[
            "accounts {",
            &format!("  {name}: {{ jetstream: enabled }}"),
            "}",
        ],
    )
}

fn unavailable(code: u64, description: &str) -> Finding {
    let finding = UNAVAILABLE.finding(format!(
        "JetStream answers with error {code}: {description}."
    ));
    if code == TEMPORARILY_UNAVAILABLE {
        return finding
            .because("The cluster has no leader for JetStream: less than half of its servers are there, or it has just started.")
            .paste("See which servers are missing:", &["nats server report jetstream"]);
    }
    finding
        .because("The API is there, and refuses to say anything about the account.")
        .remedy("Look at the log of the server.")
}

/// `-ERR 'Permissions Violation for Publish to "$JS.API.INFO"'`, or for the subscription to the inbox.
fn denied(text: &str, scene: &Scene<'_>) -> Finding {
    let user = scene
        .user
        .map_or_else(|| "This user".to_owned(), |user| format!("User `{user}`"));
    let is_inbox = text.contains("Violation for Subscription");
    let title = if is_inbox {
        format!("{user} may not subscribe to `_INBOX.>`, where answers of the JetStream API come.")
    } else {
        format!("{user} may not use the JetStream API: publishing to `$JS.API.>` is refused.")
    };
    let mut finding = API_DENIED
        .finding(title)
        .because("Every use of JetStream is a request: a message to `$JS.API.…`, and an answer in an inbox of the client.");
    let (side, needed): (&str, &[&str]) = if is_inbox {
        ("subscribe", &["_INBOX.>"])
    } else {
        ("publish", &NEEDED_TO_PUBLISH)
    };
    for deny in entries(scene.permissions, side, "deny") {
        let pattern: Result<Pattern, _> = deny.parse();
        let is_guilty = pattern.is_ok_and(|deny| {
            needed
                .iter()
                .any(|it| it.parse().is_ok_and(|it| deny.overlaps(&it)))
        });
        if is_guilty {
            finding = finding.evidence("denied", &deny).remedy(format!(
                "Take `{deny}` off the list of what is denied: a deny wins over every allow."
            ));
        }
    }
    grants(finding, scene)
}

fn grants(finding: Finding, scene: &Scene<'_>) -> Finding {
    let user = scene.user.unwrap_or("USER");
    if scene.has_jwt {
        return finding.paste(
            "Grant it, and use the new credentials:",
            &[&format!(
                "nsc edit user --name {} --allow-pub '$JS.API.>,$JS.ACK.>' --allow-sub '_INBOX.>'",
                word(user)
            )],
        );
    }
    let list = |side: &str, needed: &[&str]| {
        let mut all = entries(scene.permissions, side, "allow");
        let needed = needed.iter().map(|it| (*it).to_owned());
        all.extend(needed.filter(|it| !all.contains(it)).collect::<Vec<_>>());
        let quoted: Vec<String> = all.iter().map(|entry| format!("\"{entry}\"")).collect();
        quoted.join(", ")
    };
    finding.paste(
        format!("Grant it to user `{user}` in nats.conf:"),
        &[
            "permissions: {",
            &format!(
                "  publish:   {{ allow: [{}] }}",
                list("publish", &NEEDED_TO_PUBLISH)
            ),
            &format!(
                "  subscribe: {{ allow: [{}] }}",
                list("subscribe", &["_INBOX.>"])
            ),
            "}",
        ],
    )
}

fn entries(permissions: Option<&Value>, side: &str, kind: &str) -> Vec<String> {
    let all = permissions.and_then(|all| all[side][kind].as_array());
    let all = all.into_iter().flatten().filter_map(Value::as_str);
    // A quote or a line break would end what is to be pasted.
    all.filter(|entry| is_quotable(entry))
        .take(MAX_ENTRIES)
        .map(str::to_owned)
        .collect()
}

/// Only `$JS.API.INFO` is refused, and the rest can be used.
pub(super) fn only_info_denied(error: &ApiError, scene: &Scene<'_>) -> Option<Finding> {
    let finding = judge(error, scene)?;
    let finding = Finding {
        title: "The JetStream API can be used, but not `$JS.API.INFO`.".to_owned(),
        explanation: "Some clients ask for it first, and take a refusal for JetStream being off."
            .to_owned(),
        ..finding
    };
    Some(finding.severity(Severity::Warning))
}

/// `$JS.API.INFO` is answered, and the question which streams there are is refused.
pub(super) fn only_info_allowed(error: &ApiError, scene: &Scene<'_>) -> Option<Finding> {
    let ApiError::Refused(text) = error else {
        return None;
    };
    let user = scene
        .user
        .map_or_else(|| "This user".to_owned(), |user| format!("User `{user}`"));
    let finding = API_DENIED
        .finding(format!(
            "{user} may ask `$JS.API.INFO`, but not for streams: publishing to `$JS.API.STREAM.NAMES` is refused."
        ))
        .because("So nobody can tell from here whether a stream stores the subjects. Clients that look for the stream of a subject fail in the same way.")
        .severity(Severity::Warning)
        .evidence("$JS.API.STREAM.NAMES", err_line(text));
    Some(grants(finding, scene))
}

fn no_answer(scene: &Scene<'_>) -> Finding {
    let finding = NO_ANSWER
        .finding(format!(
            "The JetStream API does not answer at {}.",
            scene.server
        ))
        .because("The request was sent and not refused, and no answer of JetStream came back.")
        .certainty(Certainty::Possible)
        .paste(
            "See how JetStream is doing:",
            &["nats server report jetstream"],
        )
        .or(
            "the cluster has no leader for JetStream",
            "`nats server report jetstream` names the servers and the leader",
        )
        .or(
            "answers are filtered: the permissions deny a part of `_INBOX.>`",
            "`natsbench doctor --request` looks whether answers come back",
        );
    match scene.domain {
        Some(domain) => finding.or(
            &format!("the API is only reached under the prefix of its domain: `$JS.{domain}.API`"),
            &format!("`nats --js-domain {domain} account info`"),
        ),
        None => finding.or(
            "JetStream is in another domain: this is a leaf node",
            "`nats --js-domain DOMAIN account info` with the domain of the hub",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scene() -> Scene<'static> {
        Scene {
            server: "ws://broker:8443",
            has_jetstream: true,
            domain: None,
            account: Some("A"),
            user: Some("game"),
            has_jwt: false,
            permissions: None,
        }
    }

    fn code_of(error: &ApiError, scene: &Scene<'_>) -> String {
        judge(error, scene).map_or_else(String::new, |finding| finding.code)
    }

    #[test]
    fn each_failure_has_its_cause() {
        let off = Scene {
            has_jetstream: false,
            ..scene()
        };
        let failed = |code| ApiError::Failed {
            code,
            description: "no".to_owned(),
        };
        let refused = |text: &str| ApiError::Refused(text.to_owned());
        assert_eq!(
            code_of(&ApiError::NobodyThere, &off),
            "jetstream.not-enabled"
        );
        assert_eq!(
            code_of(&ApiError::NobodyThere, &scene()),
            "jetstream.no-answer"
        );
        assert_eq!(code_of(&ApiError::Silence, &scene()), "jetstream.no-answer");
        assert_eq!(
            code_of(&failed(10_039), &scene()),
            "jetstream.not-for-account"
        );
        assert_eq!(code_of(&failed(10_076), &scene()), "jetstream.not-enabled");
        assert_eq!(code_of(&failed(10_008), &scene()), "jetstream.unavailable");
        let text = "Permissions Violation for Publish to \"$JS.API.INFO\"";
        assert_eq!(code_of(&refused(text), &scene()), "jetstream.api-denied");
        assert_eq!(code_of(&ApiError::Ended("over".to_owned()), &scene()), "");
    }

    #[test]
    fn the_grants_keep_what_is_allowed_already() {
        let permissions = json!({
            "publish": {"allow": ["rounds.>"], "deny": ["$JS.>", "other"]},
            "subscribe": {"allow": [">"]},
        });
        let scene = Scene {
            permissions: Some(&permissions),
            ..scene()
        };
        let error = ApiError::Refused("Permissions Violation for Publish to \"x\"".to_owned());
        let finding = judge(&error, &scene).unwrap();
        assert!(finding.title.contains("`game`"), "{}", finding.title);
        let remedy = finding.remedy.join("\n");
        assert!(
            remedy.contains(r#"["rounds.>", "$JS.API.>", "$JS.ACK.>"]"#),
            "{remedy}"
        );
        assert!(remedy.contains("Take `$JS.>` off"), "{remedy}");
        assert!(!remedy.contains("Take `other` off"), "{remedy}");
    }

    #[test]
    fn a_refused_inbox_is_named_as_such() {
        let error = ApiError::Refused(
            "Permissions Violation for Subscription to \"_INBOX.x.1\"".to_owned(),
        );
        let finding = judge(&error, &scene()).unwrap();
        assert!(finding.title.contains("_INBOX.>"), "{}", finding.title);
    }

    #[test]
    fn the_system_account_never_has_it() {
        let error = ApiError::Failed {
            code: 10_039,
            description: String::new(),
        };
        let system = Scene {
            account: Some("$SYS"),
            ..scene()
        };
        let finding = judge(&error, &system).unwrap();
        assert!(
            finding.title.contains("system account"),
            "{}",
            finding.title
        );
    }
}
