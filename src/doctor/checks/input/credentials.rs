//! What can be told of a JWT and its seed without a server, which gives the same answer to all that is wrong with them.
//!
//! The login looks at these findings: a server that lets us in anyway was right, and this machine's clock, say, was not.

pub(super) mod codes;
mod limits;

use nkeys::KeyPair;

use self::codes::{
    BAD_SEED, BAD_SIGNATURE, EXPIRED, ISSUED_LATER, NO_SEED, NOT_A_JWT, NOT_A_USER, NOT_YET_VALID,
    PROXY_REQUIRED, SEED_MISMATCH, TOO_LONG,
};

use crate::doctor::checks::input::quoting::{quoted, shell};
use crate::doctor::checks::input::times::{length, moment};
use crate::net::target::Scheme;
use crate::protocol::{JwtError, UserClaims};
use crate::results::doctor::{Certainty, Finding};

/// So near to a border in time, a wrong clock is as likely a cause, in seconds.
const CLOCK_DOUBT: i64 = 5 * 60;
/// Later than now by more than this is no difference between good clocks, in seconds.
const CLOCK_TOLERANCE: i64 = 60;
/// What a server reads of CONNECT by default, in bytes.
const MAX_CONNECT_BYTES: usize = 4096;
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
    /// What follows the word CONNECT.
    pub(super) n_connect_bytes: usize,
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
        limits::connection_type(claims, around),
        limits::unreadable(claims, around),
        limits::outside_times(claims, around),
    ]
    .into_iter()
    .flatten()
    .collect();
    found.extend(too_long(jwt, around));
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

fn too_long(jwt: &str, around: &Around<'_>) -> Option<Finding> {
    let n_bytes = around.n_connect_bytes;
    (n_bytes > MAX_CONNECT_BYTES).then(|| {
        TOO_LONG
            .finding(format!(
                "The JWT of {} is {} bytes long, too long for a server that has the usual limit.",
                quoted(around.source),
                jwt.len()
            ))
            .because(format!(
                "With it, CONNECT has {n_bytes} bytes, and a server reads {MAX_CONNECT_BYTES} unless its configuration says \
                 otherwise. It closes the connection on more."
            ))
            .certainty(Certainty::Likely)
            .paste("Allow more in the server's configuration:", &["max_control_line: 16384"])
    })
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

/// What the JWT is, in one line.
pub(super) fn description(claims: &UserClaims, around: &Around<'_>) -> String {
    let mut parts = vec![format!(
        "{}: JWT of user {}, account {}",
        around.source,
        quoted(&claims.name),
        quoted(claims.account())
    )];
    if claims.bearer {
        parts.push("bearer".to_owned());
    }
    parts.push(match claims.expires {
        None => "does not expire".to_owned(),
        Some(expires) if expires >= around.now => {
            let left = length(expires.saturating_sub(around.now));
            format!("expires in {left} ({})", moment(expires))
        }
        Some(expires) => format!("expired on {}", moment(expires)),
    });
    let limits = [
        ("only", &claims.connection_types),
        ("only from", &claims.networks),
    ];
    let limits = limits.iter().filter(|(_, values)| !values.is_empty());
    parts.extend(limits.map(|(what, values)| format!("{what} {}", quoted(&values.join(", ")))));
    parts.join(", ")
}

#[cfg(test)]
mod tests;
