//! Several servers in one result, and what a result is when warnings count as failures.

use super::{CheckStatus, DoctorResult, DoctorStatus, Finding, INTERRUPTED};

impl DoctorResult {
    /// Puts the results of several servers together; the result of one server stays as it is.
    ///
    /// What is found before anything is connected to, such as a credentials file that has expired, would be said for
    /// each server in the same words. It is kept once, and names no server.
    ///
    /// `None` if there is no result at all.
    pub fn of_several(results: Vec<Self>) -> Option<Self> {
        if results.len() <= 1 {
            return results.into_iter().next();
        }
        let mut all = results[0].clone();
        let targets: Vec<&str> = results.iter().map(|one| one.target.as_str()).collect();
        all.target = targets.join(", ");
        let is_common = |finding: &Finding| {
            let mut results = results.iter();
            results.all(|one| one.findings.contains(finding))
        };
        let (common, _): (Vec<Finding>, Vec<Finding>) =
            all.findings.iter().cloned().partition(is_common);
        all.findings.clone_from(&common);
        all.checks.clear();
        all.facts.clear();
        for one in results {
            let server = || Some(one.target.clone());
            let own = one.findings.into_iter();
            let own = own.filter(|finding| !common.contains(finding));
            all.findings.extend(own.map(|finding| Finding {
                server: server(),
                ..finding
            }));
            all.checks.extend(one.checks.into_iter().map(|mut check| {
                check.server = server();
                check
            }));
            all.facts.extend(one.facts.into_iter().map(|mut fact| {
                fact.server = server();
                fact
            }));
            all.status = all.status.max(one.status);
            all.duration_ns = all.duration_ns.max(one.duration_ns);
            all.interrupted |= one.interrupted;
        }
        // Stable: of two that are as bad, the server that was named first comes first.
        all.findings
            .sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Some(all)
    }

    /// The servers that were examined, in the order of the checks; none where there was only one.
    pub fn servers(&self) -> Vec<&str> {
        let mut servers: Vec<&str> = Vec::new();
        for server in self
            .checks
            .iter()
            .filter_map(|check| check.server.as_deref())
        {
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        servers
    }

    /// The part that is about one of several servers alone, as a result of its own; `None` for what is about no
    /// server in particular.
    #[must_use]
    pub fn part(&self, server: Option<&str>) -> Self {
        let mut part = self.clone();
        part.findings
            .retain(|finding| finding.server.as_deref() == server);
        part.checks
            .retain(|check| check.server.as_deref() == server);
        part.facts.retain(|fact| fact.server.as_deref() == server);
        // One that was done with before was not interrupted.
        part.interrupted &= part
            .checks
            .iter()
            .any(|check| check.reason.as_deref() == Some(INTERRUPTED));
        if let Some(server) = server {
            server.clone_into(&mut part.target);
        }
        let has = |status| part.checks.iter().any(|check| check.status == status);
        let of_checks = if has(CheckStatus::Failed) {
            DoctorStatus::Failed
        } else if has(CheckStatus::Warned) {
            DoctorStatus::Warning
        } else {
            DoctorStatus::Ok
        };
        part.status = Self::status_of(&part.findings).max(of_checks);
        part
    }

    /// The result when warnings fail, too: the status and the checks say so, the findings stay what they are.
    #[must_use]
    pub fn strictly(mut self) -> Self {
        if self.status == DoctorStatus::Warning {
            self.status = DoctorStatus::Failed;
        }
        for check in &mut self.checks {
            if check.status == CheckStatus::Warned {
                check.status = CheckStatus::Failed;
            }
        }
        self
    }
}
