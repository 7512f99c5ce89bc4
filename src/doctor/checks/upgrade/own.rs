//! Whether our own headers are what is refused: the same request without each of them.

use tokio::join;
use tokio::task::JoinSet;

use crate::doctor::code::Code;
use crate::doctor::http::again::Asker;
use crate::doctor::http::answer::Case;
use crate::results::doctor::{Finding, Severity};

/// Most headers that are left out one at a time.
const MAX_TRIED: usize = 8;

pub(super) const OWN_HEADER: Code = Code {
    name: "upgrade.own-header",
    severity: Severity::Error,
    meaning: "A header that `--header` or the context adds breaks the handshake.",
    cause: "The same request without the added headers is accepted.",
    fix: "Leave that header out, or correct its value.",
};

/// Leaves the added headers out, together and each by itself; the finding if the request then passes.
pub(super) async fn look(case: &Case<'_>, asker: &Asker) -> Option<Finding> {
    let headers = &asker.options.headers;
    if headers.is_empty() {
        return None;
    }
    let mut tasks = JoinSet::new();
    for idx in 0..headers.len().min(MAX_TRIED) {
        let asker = asker.clone();
        tasks.spawn(async move {
            let outcome = asker.ask(|request| _ = request.headers.remove(idx)).await;
            (idx, outcome.is_switched())
        });
    }
    let (without, each) = join!(
        asker.ask(|request| request.headers.clear()),
        tasks.join_all()
    );
    if !without.is_switched() {
        return None;
    }
    let mut culprits: Vec<_> = each
        .into_iter()
        .filter(|(_, passes)| *passes)
        .map(|(idx, _)| headers[idx].0.as_str())
        .collect();
    if culprits.is_empty() {
        culprits = headers.iter().map(|(name, _)| name.as_str()).collect();
    }
    Some(judge(case, &culprits))
}

fn judge(case: &Case<'_>, culprits: &[&str]) -> Finding {
    let names: Vec<_> = culprits.iter().map(|name| format!("`{name}`")).collect();
    let names = names.join(", ");
    case.finding(
        &OWN_HEADER,
        format!("The request is refused because of a header of ours, {names}, from --header or the context."),
    )
    .because("The same request without it is accepted.")
    .evidence("without it", "101")
    .remedy(format!("Leave {names} out, or correct the value."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::http::testing::{case, reply};

    #[test]
    fn the_header_is_named_and_its_value_is_not() {
        let reply = reply("HTTP/1.1 400 Bad Request\r\n\r\n");
        let finding = judge(&case("ws://h:1", &reply), &["Cookie"]);
        assert_eq!(finding.code, OWN_HEADER.name);
        assert!(finding.title.contains("`Cookie`"));
    }
}
