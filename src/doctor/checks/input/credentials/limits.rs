//! What a JWT limits connections to: their kind, their time of the day, their networks.

use super::codes::{BAD_LIMITS, CONNECTION_TYPE, OUTSIDE_TIMES};
use super::{Around, reissuing, with_user};
use crate::doctor::checks::input::quoting::{quoted, shell};
use crate::doctor::checks::input::times::{Within, moment, within};
use crate::protocol::UserClaims;
use crate::protocol::jwt::{CONNECTION_TYPE_STANDARD, CONNECTION_TYPE_WEBSOCKET, parse_network};
use crate::results::doctor::{Certainty, Finding, Severity};

pub(super) fn connection_type(claims: &UserClaims, around: &Around<'_>) -> Option<Finding> {
    let (needed, what, other) = if around.scheme.is_websocket() {
        (
            CONNECTION_TYPE_WEBSOCKET,
            "over WebSocket",
            CONNECTION_TYPE_STANDARD,
        )
    } else {
        (
            CONNECTION_TYPE_STANDARD,
            "to the client port",
            CONNECTION_TYPE_WEBSOCKET,
        )
    };
    if claims.allows_connection_type(needed) {
        return None;
    }
    let allowed = claims.connection_types.join(", ");
    let finding = CONNECTION_TYPE
        .finding(format!(
            "The credentials of {} are not good for connections {what}, only for {}.",
            quoted(around.source),
            quoted(&allowed)
        ))
        .because(
            "A server refuses another kind of connection than the JWT allows with the same `Authorization Violation` as a \
             wrong password.",
        )
        .evidence("allowed_connection_types", quoted(&allowed))
        .evidence("needed", needed);
    let finding = reissuing(
        with_user(finding, claims),
        claims,
        around,
        &format!("--conn-type {needed}"),
    );
    Some(if claims.allows_connection_type(other) {
        let port = if other == CONNECTION_TYPE_STANDARD {
            "connect to the client port (`nats://HOST:4222`)"
        } else {
            "connect over WebSocket (`ws://` or `wss://`)"
        };
        finding.remedy(format!("Or {port}, which these credentials are good for."))
    } else {
        finding
    })
}

pub(super) fn unreadable(claims: &UserClaims, around: &Around<'_>) -> Option<Finding> {
    let network = claims
        .networks
        .iter()
        .find(|network| parse_network(network).is_none());
    let has_bad_times = within(&claims.times, around.now, around.offsets) == Within::Malformed;
    let (what, remedy) = match network {
        Some(network) => (
            format!("the network {}", quoted(network)),
            format!(
                "--rm-source-network {} --source-network {}",
                shell(network),
                network.parse::<std::net::IpAddr>().map_or_else(
                    |_| "10.0.0.0/8".to_owned(),
                    |address| format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 })
                )
            ),
        ),
        None if has_bad_times => (
            "a time that is not written as `08:00:00`".to_owned(),
            "--time 08:00:00-17:00:00".to_owned(),
        ),
        None => return None,
    };
    let finding = BAD_LIMITS
        .finding(format!(
            "The JWT of {} contains {what}, which no server can read.",
            quoted(around.source)
        ))
        .because("A server refuses the whole JWT then.");
    Some(reissuing(
        with_user(finding, claims),
        claims,
        around,
        &remedy,
    ))
}

pub(super) fn outside_times(claims: &UserClaims, around: &Around<'_>) -> Option<Finding> {
    let result = within(&claims.times, around.now, around.offsets);
    let (severity, certainty) = match result {
        Within::Yes | Within::Malformed | Within::Perhaps { in_utc: true } => return None,
        Within::No => (Severity::Error, Certainty::Certain),
        Within::Perhaps { in_utc: false } => (Severity::Warning, Certainty::Likely),
    };
    let ranges: Vec<String> = claims
        .times
        .iter()
        .map(|range| format!("{} to {}", range.start, range.end))
        .collect();
    let zone = claims
        .time_zone
        .as_deref()
        .map_or_else(|| "local time of the server".to_owned(), quoted);
    let finding = OUTSIDE_TIMES
        .finding(format!(
            "The credentials of {} are good only from {} ({zone}), and it is {}.",
            quoted(around.source),
            ranges.join(", "),
            moment(around.now)
        ))
        .because("Outside of these times a server refuses the JWT with the same `Authorization Violation` as a wrong password.")
        .severity(severity)
        .certainty(certainty)
        .evidence("times", ranges.join(", "))
        .evidence("times_location", &zone);
    let finding = if certainty == Certainty::Likely {
        finding.or(
            "the server is in a time zone where it is another time of the day, and the login works",
            "`date` on the server",
        )
    } else {
        finding
    };
    Some(reissuing(
        with_user(finding, claims),
        claims,
        around,
        "--time 00:00:00-23:59:59",
    ))
}
