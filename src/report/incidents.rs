//! Outages grouped by time.
//!
//! An outage is that of one connection. For a reader, those that overlap in time are one incident: a broker that is
//! restarted under a thousand subscribers is one.

use crate::results::outages::Outage;
use crate::units::NANOS_PER_SEC;

/// An outage that begins so soon after the others have ended belongs to them: connections do not find out at the same
/// moment, and one can be back before another one has noticed.
const NEAR_NS: u64 = NANOS_PER_SEC / 4;

/// Outages that belong together, in the order in which they began.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Incident<'a> {
    /// At least one.
    pub(super) outages: Vec<&'a Outage>,
    /// When the first connection was lost.
    pub(super) started_ns: u64,
    /// When the last one was back; `None` when one of them never was.
    pub(super) ended_ns: Option<u64>,
}

/// Puts each outage into exactly one incident.
pub(super) fn incidents(outages: &[Outage]) -> Vec<Incident<'_>> {
    let mut ordered: Vec<&Outage> = outages.iter().collect();
    ordered.sort_by_key(|outage| outage.started_ns);
    let mut incidents: Vec<Incident<'_>> = Vec::new();
    let mut reaches_ns = 0;
    for outage in ordered {
        let open = incidents.last_mut();
        if let Some(incident) = open.filter(|_| outage.started_ns <= reaches_ns) {
            incident.outages.push(outage);
            let ends = incident.ended_ns.zip(ended_ns(outage));
            incident.ended_ns = ends.map(|(own, other)| own.max(other));
        } else {
            incidents.push(Incident {
                outages: vec![outage],
                started_ns: outage.started_ns,
                ended_ns: ended_ns(outage),
            });
        }
        reaches_ns = reaches_ns.max(reach_ns(outage));
    }
    incidents
}

fn ended_ns(outage: &Outage) -> Option<u64> {
    Some(outage.started_ns.saturating_add(outage.duration_ns?))
}

/// Up to when other outages belong to this one. A connection that was given up is no reason to take whatever happens
/// afterwards for a part of it.
fn reach_ns(outage: &Outage) -> u64 {
    let last_failed = outage.failed.last();
    let tried_ns = last_failed.map_or(0, |failed| failed.after_ns + failed.duration_ns);
    let length_ns = match (outage.duration_ns, &outage.gave_up) {
        (Some(duration_ns), _) => duration_ns,
        (None, Some(_)) => tried_ns,
        (None, None) => u64::MAX,
    };
    let ended_ns = outage.started_ns.saturating_add(length_ns);
    ended_ns.saturating_add(NEAR_NS)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::results::outages::{Cause, CauseKind, FailedAttempt, Role};

    const MS: u64 = 1_000_000;

    /// An outage of a subscriber, in milliseconds.
    pub(crate) fn outage(idx: usize, started_ms: u64, length_ms: Option<u64>) -> Outage {
        let cause = Cause {
            kind: CauseKind::Reset,
            close_code: None,
            text: "it was reset".to_owned(),
        };
        Outage {
            duration_ns: length_ms.map(|length_ms| length_ms * MS),
            attempts: 1,
            ..Outage::begun(Role::Subscriber, idx, cause, started_ms * MS)
        }
    }

    fn sizes(outages: &[Outage]) -> Vec<usize> {
        let incidents = incidents(outages);
        incidents
            .iter()
            .map(|incident| incident.outages.len())
            .collect()
    }

    #[test]
    fn outages_that_overlap_are_one_incident_and_others_are_not() {
        let overlapping = [
            outage(0, 1_000, Some(500)),
            outage(1, 1_400, Some(2_000)),
            outage(2, 3_300, Some(10)),
        ];
        assert_eq!(sizes(&overlapping), [3]);
        // In whatever order they are.
        let [first, second, third] = overlapping;
        let reversed = [third, second, first];
        assert_eq!(sizes(&reversed), [3]);
        assert_eq!(incidents(&reversed)[0].started_ns, 1_000 * MS);
        assert_eq!(incidents(&reversed)[0].ended_ns, Some(3_400 * MS));
        // Those that follow on each other within a moment, too.
        let near = [
            outage(0, 1_000, Some(2)),
            outage(1, 1_252, Some(2)),
            outage(2, 1_505, Some(2)),
        ];
        assert_eq!(sizes(&near), [2, 1]);
        assert_eq!(sizes(&[]), [0; 0]);
    }

    #[test]
    fn a_connection_that_was_given_up_does_not_swallow_what_comes_later() {
        let given_up = Outage {
            gave_up: Some("no more".to_owned()),
            failed: vec![FailedAttempt {
                server: "ws://a".to_owned(),
                after_ns: 1_000 * MS,
                duration_ns: 500 * MS,
                error: "refused".to_owned(),
            }],
            ..outage(0, 1_000, None)
        };
        let during = outage(1, 2_000, Some(10));
        let later = outage(1, 60_000, Some(10));
        assert_eq!(sizes(&[given_up, during, later.clone()]), [2, 1]);
        // One that is still tried goes on.
        assert_eq!(sizes(&[outage(0, 1_000, None), later]), [2]);
    }

    /// Outages of a few connections within some seconds.
    pub(crate) fn any_outage() -> impl Strategy<Value = Outage> {
        let length = proptest::option::weighted(0.9, 0_u64..3_000);
        (0_usize..4, 0_u64..20_000, length, any::<bool>()).prop_map(
            |(idx, started_ms, length_ms, is_given_up)| Outage {
                gave_up: (is_given_up && length_ms.is_none()).then(|| "no more".to_owned()),
                ..outage(idx, started_ms, length_ms)
            },
        )
    }

    proptest! {
        #[test]
        fn every_outage_is_in_one_incident_that_covers_it(outages in proptest::collection::vec(any_outage(), 0..40)) {
            let incidents = incidents(&outages);
            let mut places: Vec<*const Outage> = incidents
                .iter()
                .flat_map(|incident| &incident.outages)
                .map(|outage| std::ptr::from_ref(*outage))
                .collect();
            places.sort_unstable();
            let expected: Vec<*const Outage> = outages.iter().map(std::ptr::from_ref).collect();
            prop_assert_eq!(places, expected);
            for incident in &incidents {
                prop_assert!(!incident.outages.is_empty());
                for outage in &incident.outages {
                    prop_assert!(incident.started_ns <= outage.started_ns);
                    match (incident.ended_ns, ended_ns(outage)) {
                        (Some(own), Some(end)) => prop_assert!(end <= own),
                        (own, None) => prop_assert!(own.is_none()),
                        (None, Some(_)) => {}
                    }
                }
            }
            // They are told apart by time, and come in its order.
            for pair in incidents.windows(2) {
                let reaches_ns = pair[0].outages.iter().map(|outage| reach_ns(outage)).max();
                prop_assert!(reaches_ns.unwrap() < pair[1].started_ns);
            }
        }
    }
}
