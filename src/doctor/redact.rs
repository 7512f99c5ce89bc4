//! Keeps secrets out of what is reported, wherever they come from: a server may send back what it was sent.

use crate::doctor::plan::Plan;
use crate::net::target::Target;
use crate::protocol::Credentials;
use crate::results::doctor::DoctorResult;

/// What stands for a secret.
const STARS: &str = "***";
/// Headers of the upgrade whose values are no secrets.
const PLAIN_HEADERS: [&str; 3] = ["Host", "Origin", "User-Agent"];

/// From this length on, a secret is hidden in our own sentences, too. A shorter one may be a plain word, and hiding
/// it there would tell what it is.
const LONG_BYTES: usize = 12;

/// Texts that must not be shown.
#[derive(Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    pub(super) fn of(plan: &Plan, target: &Target) -> Self {
        let mut secrets = Vec::new();
        match &plan.dial.credentials {
            Credentials::None => {}
            Credentials::UserPassword { password, .. } => {
                secrets.push(password.expose().to_owned())
            }
            Credentials::Token(token) => secrets.push(token.expose().to_owned()),
            Credentials::NKey { seed } => secrets.push(seed.expose().to_owned()),
            Credentials::Jwt { jwt, seed } => {
                secrets.push(jwt.expose().to_owned());
                secrets.extend(seed.iter().map(|seed| seed.expose().to_owned()));
            }
        }
        if let Some(info) = &target.user_info {
            let secret = info.password.as_ref().unwrap_or(&info.user);
            secrets.push(secret.expose().to_owned());
        }
        if let Some((_, query)) = target.path_and_query.split_once('?') {
            secrets.push(query.to_owned());
        }
        for (name, value) in &plan.dial.headers {
            if !PLAIN_HEADERS
                .iter()
                .any(|plain| plain.eq_ignore_ascii_case(name))
            {
                secrets.push(value.clone());
                // `Authorization: Bearer TOKEN`, `Cookie: name=VALUE; other=VALUE`.
                secrets.extend(
                    value
                        .split([' ', ';', '='])
                        .filter(|part| part.len() > 7)
                        .map(str::to_owned),
                );
            }
        }
        // What is contained in another goes last; a short word would cut texts to pieces.
        secrets.retain(|secret| secret.len() > 2);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// Hides them in what may be a quotation.
    fn hide(&self, text: &mut String) {
        self.hide_from(0, text);
    }

    /// Hides them in a sentence of ours.
    fn hide_long(&self, text: &mut String) {
        self.hide_from(LONG_BYTES, text);
    }

    fn hide_from(&self, min_bytes: usize, text: &mut String) {
        for secret in self.0.iter().filter(|secret| secret.len() >= min_bytes) {
            if text.contains(secret.as_str()) {
                *text = text.replace(secret.as_str(), STARS);
            }
        }
    }

    /// Hides them everywhere.
    pub(super) fn hide_in(&self, result: &mut DoctorResult) {
        for finding in &mut result.findings {
            self.hide_long(&mut finding.title);
            self.hide_long(&mut finding.explanation);
            finding
                .remedy
                .iter_mut()
                .for_each(|text| self.hide_long(text));
            for evidence in &mut finding.evidence {
                self.hide(&mut evidence.value);
            }
            for other in &mut finding.alternatives {
                self.hide_long(&mut other.cause);
                self.hide_long(&mut other.how_to_tell);
            }
        }
        for check in &mut result.checks {
            check
                .reason
                .iter_mut()
                .for_each(|text| self.hide_long(text));
            check.detail.iter_mut().for_each(|text| self.hide(text));
        }
        for fact in &mut result.facts {
            self.hide(&mut fact.value);
        }
    }
}
