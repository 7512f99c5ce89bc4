//! What can be told of a JWT and its seed without a server, which gives the same answer to all that is wrong with them.
//!
//! The login looks at these findings: a server that lets us in anyway was right, and this machine's clock, say, was not.

use nkeys::KeyPair;

use crate::doctor::checks::input::quoting::{quoted, shell};
use crate::doctor::checks::input::times::{Within, length, moment, within};
use crate::doctor::code::Code;
use crate::net::target::Scheme;
use crate::protocol::JwtError;
use crate::protocol::jwt::{
    CONNECTION_TYPE_STANDARD, CONNECTION_TYPE_WEBSOCKET, UserClaims, parse_network,
};
use crate::results::doctor::{Certainty, Finding, Severity};

pub(super) const NOT_A_JWT: Code = Code {
    name: "credentials.not-a-jwt",
    severity: Severity::Error,
    meaning: "The credentials hold no JWT of NATS.",
    cause: "It was cut or changed when it was copied, or it is a token of another system, such as OAuth.",
    fix: "Generate the credentials again with `nsc generate creds`.",
};
pub(super) const NOT_A_USER: Code = Code {
    name: "credentials.not-a-user",
    severity: Severity::Error,
    meaning: "The JWT is not that of a user.",
    cause: "The JWT of an account or an operator stands in the credentials file. Only users log in.",
    fix: "Generate credentials of a user with `nsc generate creds`.",
};
pub(super) const BAD_SIGNATURE: Code = Code {
    name: "credentials.bad-signature",
    severity: Severity::Error,
    meaning: "The JWT was changed after it was signed.",
    cause: "Its signature does not fit its text. A character got lost or was replaced when it was copied, or somebody \
            edited it.",
    fix: "Copy it again, or generate it again with `nsc generate creds`.",
};
pub(super) const SEED_MISMATCH: Code = Code {
    name: "credentials.seed-mismatch",
    severity: Severity::Error,
    meaning: "The seed does not belong to the JWT.",
    cause: "JWT and seed of two users were put together, or the user's key was replaced. The server verifies a signature \
            made with the seed by the key in the JWT.",
    fix: "Generate both together with `nsc generate creds`.",
};
pub(super) const BAD_SEED: Code = Code {
    name: "credentials.bad-seed",
    severity: Severity::Error,
    meaning: "The seed beside the JWT is no seed of a user.",
    cause: "It was cut or changed when it was copied, or it is the seed of an account or an operator.",
    fix: "Generate JWT and seed together with `nsc generate creds`.",
};
pub(super) const NO_SEED: Code = Code {
    name: "credentials.no-seed",
    severity: Severity::Error,
    meaning: "The credentials hold a JWT, but not the seed that proves that it is ours.",
    cause: "Only the JWT was stored. It is enough alone only where it is a bearer token, and this one is not.",
    fix: "Generate JWT and seed together with `nsc generate creds`.",
};
pub(super) const EXPIRED: Code = Code {
    name: "credentials.expired",
    severity: Severity::Error,
    meaning: "The JWT has expired.",
    cause: "It was issued for a limited time (`exp`), which is over. If this machine's clock is wrong, it may not be.",
    fix: "Extend it with `nsc edit user --expiry`, and generate the credentials again.",
};
pub(super) const NOT_YET_VALID: Code = Code {
    name: "credentials.not-yet-valid",
    severity: Severity::Error,
    meaning: "The JWT is not valid yet.",
    cause: "It was issued for later (`nbf`), or this machine's clock is behind.",
    fix: "Wait, set the clock, or change the start with `nsc edit user --start`.",
};
pub(super) const ISSUED_LATER: Code = Code {
    name: "credentials.issued-in-the-future",
    severity: Severity::Warning,
    meaning: "The JWT was issued at a time that has not come yet.",
    cause: "This machine's clock is behind, or that of the machine that issued it was ahead.",
    fix: "Compare the clocks with `date -u`, and have them set by NTP.",
};
pub(super) const CONNECTION_TYPE: Code = Code {
    name: "credentials.connection-type",
    severity: Severity::Error,
    meaning: "The JWT does not allow this kind of connection.",
    cause: "It names the kinds that are allowed (`allowed_connection_types`), and the one of the URL is not among them: \
            `WEBSOCKET` for `ws` and `wss`, `STANDARD` for `nats` and `tls`.",
    fix: "Add it with `nsc edit user --conn-type`, and generate the credentials again.",
};
pub(super) const OUTSIDE_TIMES: Code = Code {
    name: "credentials.outside-times",
    severity: Severity::Error,
    meaning: "The JWT does not allow connections at this time of the day.",
    cause: "It names the times when connections are allowed (`times`), and now is outside of them.",
    fix: "Wait, or change the times with `nsc edit user --time` and `--rm-time`.",
};
pub(super) const BAD_LIMITS: Code = Code {
    name: "credentials.bad-limits",
    severity: Severity::Error,
    meaning: "The JWT contains a limit that no server can read.",
    cause: "A network that is not written as `10.0.0.0/8`, or a time that is not written as `08:00:00`. A server refuses the \
            whole JWT.",
    fix: "Correct it with `nsc edit user`, and generate the credentials again.",
};
pub(super) const TOO_LONG: Code = Code {
    name: "credentials.too-long",
    severity: Severity::Warning,
    meaning: "The JWT hardly fits into CONNECT.",
    cause: "Many permissions make a long JWT, and a server reads 4096 bytes of CONNECT unless its `max_control_line` says \
            otherwise. It closes the connection with `Maximum Control Line Exceeded` when there are more.",
    fix: "Raise `max_control_line`, or move the permissions to a scoped signing key of the account.",
};
pub(super) const PROXY_REQUIRED: Code = Code {
    name: "credentials.proxy-required",
    severity: Severity::Info,
    meaning: "The JWT is good only through a proxy that the server trusts.",
    cause: "It says `proxy_required`; such a proxy signs the login itself.",
    fix: "Connect to the proxy, or issue credentials without it.",
};

/// So near to a border in time, a wrong clock is as likely a cause, in seconds.
const CLOCK_DOUBT: i64 = 5 * 60;
/// Later than now by more than this is no difference between good clocks, in seconds.
const CLOCK_TOLERANCE: i64 = 60;
/// What a server reads of CONNECT by default, in bytes.
const MAX_CONNECT_BYTES: usize = 4096;
/// What CONNECT holds besides the JWT, in bytes: signature, language, version, name and switches.
const CONNECT_REST_BYTES: usize = 350;

/// What a JWT is judged by.
#[derive(Debug)]
pub(super) struct Around<'a> {
    /// Where it comes from, such as `--creds game.creds`.
    pub(super) source: &'a str,
    /// How it is to be used.
    pub(super) scheme: Scheme,
    /// In seconds since the epoch.
    pub(super) now: i64,
    /// The offsets from UTC that the times of the JWT may have, in seconds.
    pub(super) offsets: &'a [i32],
}

/// What is wrong with a text that should be a JWT.
pub(super) fn undecodable(error: &JwtError, source: &str) -> Finding {
    let again = |finding: Finding| {
        finding.paste(
            "Generate the credentials again, where the operator's keys are:",
            &["nsc generate creds --account ACCOUNT --name USER --output-file user.creds"],
        )
    };
    match error {
        JwtError::NotUser { kind } if !kind.is_empty() => again(
            NOT_A_USER
                .finding(format!("The JWT of {} is that of {}, not of a user.", quoted(source), a(kind)))
                .because("Only users log in. Accounts and operators are for the configuration of the server."),
        ),
        JwtError::Algorithm { algorithm } => again(
            NOT_A_JWT
                .finding(format!("The JWT of {} is none of NATS, but of another system.", quoted(source)))
                .because("nats-server takes only JWTs that are signed with an nkey, as `nsc` makes them.")
                .evidence("alg", quoted(algorithm)),
        ),
        error => again(
            NOT_A_JWT
                .finding(format!("{} holds no JWT that can be read: {error}.", quoted(source)))
                .because("A server refuses it with the same `Authorization Violation` as any other."),
        ),
    }
}

fn a(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {kind}")
}

/// What is wrong with a JWT and its seed, what stops us most first.
pub(super) fn findings(
    jwt: &str,
    claims: &UserClaims,
    seed: Option<&str>,
    around: &Around<'_>,
) -> Vec<Finding> {
    let mut found: Vec<Finding> = [
        signature(claims, around),
        seed_fault(claims, seed, around),
        expired(claims, around),
        not_yet_valid(claims, around),
        issued_later(claims, around),
        connection_type(claims, around),
        limits(claims, around),
        outside_times(claims, around),
    ]
    .into_iter()
    .flatten()
    .collect();
    let n_connect = jwt.len() + CONNECT_REST_BYTES;
    if n_connect > MAX_CONNECT_BYTES {
        found.push(
            TOO_LONG
                .finding(format!("The JWT of {} is {} bytes long.", quoted(around.source), jwt.len()))
                .because(format!(
                    "A server reads {MAX_CONNECT_BYTES} bytes of CONNECT, the JWT included, unless its configuration says \
                     otherwise, and closes the connection on more."
                ))
                .certainty(Certainty::Likely)
                .paste("Allow more in the server's configuration:", &["max_control_line: 16384"]),
        );
    }
    if claims.proxy_required {
        found.push(
            PROXY_REQUIRED
                .finding(format!(
                    "The JWT of {} is good only through a trusted proxy.",
                    quoted(around.source)
                ))
                .because("A server refuses a direct connection with it."),
        );
    }
    found
}

/// The lines that change a user and write the credentials again.
fn reissuing(finding: Finding, claims: &UserClaims, around: &Around<'_>, change: &str) -> Finding {
    let user = if claims.name.is_empty() {
        "USER".to_owned()
    } else {
        shell(&claims.name)
    };
    let file = around
        .source
        .strip_prefix("--creds ")
        .map_or_else(|| "user.creds".to_owned(), shell);
    let edit = format!("nsc edit user --account ACCOUNT --name {user} {change}");
    let generate =
        format!("nsc generate creds --account ACCOUNT --name {user} --output-file {file}");
    let lines: &[&str] = if change.is_empty() {
        &[&generate]
    } else {
        &[&edit, &generate]
    };
    finding.paste("Where the operator's keys are:", lines)
}

/// What the finding rests on, of what may be shown.
fn with_user(finding: Finding, claims: &UserClaims) -> Finding {
    finding.evidence(
        "user",
        format!("{} ({})", quoted(&claims.name), quoted(&claims.subject)),
    )
}

fn signature(claims: &UserClaims, around: &Around<'_>) -> Option<Finding> {
    if claims.is_signature_valid {
        return None;
    }
    let is_account =
        KeyPair::from_public_key(&claims.issuer).is_ok() && claims.issuer.starts_with('A');
    let because = if is_account {
        "Its signature does not fit its text: it was cut or changed when it was copied, or edited. A server refuses it."
    } else {
        "It does not name an account that signed it, which is a public nkey that begins with `A`. A server refuses it."
    };
    let finding = BAD_SIGNATURE
        .finding(format!(
            "The JWT of {} was changed after it was signed.",
            quoted(around.source)
        ))
        .because(because);
    Some(reissuing(with_user(finding, claims), claims, around, ""))
}

fn seed_fault(claims: &UserClaims, seed: Option<&str>, around: &Around<'_>) -> Option<Finding> {
    // Nobody asks for a signature then.
    if claims.bearer {
        return None;
    }
    let source = quoted(around.source);
    let Some(seed) = seed else {
        let finding = NO_SEED
            .finding(format!("{source} holds a JWT, but no seed to prove that it is ours."))
            .because("Only a bearer JWT is enough alone, and this one is none. The server asks for a signature that cannot be made.");
        let finding = if claims.issuer_account.is_some() {
            finding.certainty(Certainty::Likely).or(
                "the signing key of the account makes bearer tokens of its users' JWTs, and nothing is wrong",
                "the login works",
            )
        } else {
            finding
        };
        return Some(reissuing(finding, claims, around, ""));
    };
    let finding = match KeyPair::from_seed(seed) {
        Ok(pair) if pair.public_key() == claims.subject => return None,
        Ok(pair) if pair.public_key().starts_with('U') => SEED_MISMATCH
            .finding(format!("The seed of {source} does not belong to its JWT."))
            .because(
                "The server verifies what is signed with the seed by the key in the JWT, and they are those of two users.",
            )
            .evidence("key in the JWT", quoted(&claims.subject))
            .evidence("key of the seed", quoted(&pair.public_key())),
        Ok(pair) => BAD_SEED
            .finding(format!("The seed of {source} is not that of a user."))
            .because("A user's seed begins with `SU`, and its public key with `U`.")
            .evidence("key of the seed", quoted(&pair.public_key())),
        Err(error) => BAD_SEED
            .finding(format!("The seed of {source} cannot be read."))
            .because(format!("It was cut or changed when it was copied: {error}.")),
    };
    Some(reissuing(finding, claims, around, ""))
}

fn expired(claims: &UserClaims, around: &Around<'_>) -> Option<Finding> {
    // As the server has it: valid in the very second.
    let expires = claims.expires.filter(|expires| around.now > *expires)?;
    let since = around.now.saturating_sub(expires);
    let finding = EXPIRED
        .finding(format!(
            "The credentials of {} expired {} ago, on {}.",
            quoted(around.source),
            length(since),
            moment(expires)
        ))
        .because("A server refuses an expired JWT with the same `Authorization Violation` as a wrong password.")
        .evidence("exp", moment(expires))
        .evidence("clock of this machine", moment(around.now));
    let finding = doubting_the_clock(with_user(finding, claims), since, "ahead");
    Some(reissuing(finding, claims, around, "--expiry 1y"))
}

fn doubting_the_clock(finding: Finding, difference: i64, direction: &str) -> Finding {
    if difference > CLOCK_DOUBT {
        return finding;
    }
    finding.certainty(Certainty::Likely).or(
        &format!(
            "the clock of this machine is {direction} by {} or more",
            length(difference)
        ),
        "`date -u` on this machine and on the server",
    )
}

fn not_yet_valid(claims: &UserClaims, around: &Around<'_>) -> Option<Finding> {
    let from = claims.not_before.filter(|from| *from > around.now)?;
    let until = from.saturating_sub(around.now);
    let finding = NOT_YET_VALID
        .finding(format!(
            "The credentials of {} are not valid before {}, in {}.",
            quoted(around.source),
            moment(from),
            length(until)
        ))
        .because("A server refuses a JWT before its time with the same `Authorization Violation` as a wrong password.")
        .evidence("nbf", moment(from))
        .evidence("clock of this machine", moment(around.now));
    let is_from_the_future = claims
        .issued_at
        .is_some_and(|issued| issued > around.now + CLOCK_TOLERANCE);
    let doubt = if is_from_the_future { 0 } else { until };
    let finding = doubting_the_clock(with_user(finding, claims), doubt, "behind");
    Some(reissuing(finding, claims, around, "--start 0"))
}

fn issued_later(claims: &UserClaims, around: &Around<'_>) -> Option<Finding> {
    let issued = claims
        .issued_at
        .filter(|issued| *issued > around.now.saturating_add(CLOCK_TOLERANCE))?;
    Some(
        ISSUED_LATER
            .finding(format!(
                "The JWT of {} was issued {} from now: the clock of this machine is probably behind.",
                quoted(around.source),
                length(issued.saturating_sub(around.now))
            ))
            .because(
                "Whether a JWT has expired or a certificate is valid cannot be told with a wrong clock. The server goes by \
                 its own.",
            )
            .evidence("iat", moment(issued))
            .evidence("clock of this machine", moment(around.now))
            .certainty(Certainty::Likely)
            .or("the clock of the machine that issued the JWT was ahead", "`date -u` on both machines")
            .paste("Let the clock be set:", &["timedatectl set-ntp true"]),
    )
}

fn connection_type(claims: &UserClaims, around: &Around<'_>) -> Option<Finding> {
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

fn limits(claims: &UserClaims, around: &Around<'_>) -> Option<Finding> {
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

fn outside_times(claims: &UserClaims, around: &Around<'_>) -> Option<Finding> {
    let result = within(&claims.times, around.now, around.offsets);
    let (severity, certainty) = match result {
        Within::Yes | Within::Malformed => return None,
        Within::No => (Severity::Error, Certainty::Certain),
        Within::Perhaps { in_utc: false } => (Severity::Warning, Certainty::Likely),
        Within::Perhaps { in_utc: true } => return None,
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

/// What the JWT is, in one line.
pub(super) fn description(claims: &UserClaims, around: &Around<'_>) -> String {
    let mut text = format!(
        "{}: JWT of user {}, account {}",
        around.source,
        quoted(&claims.name),
        quoted(claims.account())
    );
    if claims.bearer {
        text.push_str(", bearer");
    }
    match claims.expires {
        None => text.push_str(", does not expire"),
        Some(expires) if expires >= around.now => {
            let left = length(expires.saturating_sub(around.now));
            text.push_str(&format!(", expires in {left} ({})", moment(expires)));
        }
        Some(expires) => text.push_str(&format!(", expired on {}", moment(expires))),
    }
    for (what, values) in [
        ("only", &claims.connection_types),
        ("only from", &claims.networks),
    ] {
        if !values.is_empty() {
            text.push_str(&format!(", {what} {}", quoted(&values.join(", "))));
        }
    }
    text
}
