//! What can be wrong with credentials.

use crate::doctor::code::Code;
use crate::results::doctor::Severity;

pub(in crate::doctor::checks::input) const NOT_A_JWT: Code = Code {
    name: "credentials.not-a-jwt",
    severity: Severity::Error,
    meaning: "The credentials hold no JWT of NATS.",
    cause: "It was cut or changed when it was copied, or it is a token of another system, such as OAuth.",
    fix: "Generate the credentials again with `nsc generate creds`.",
};
pub(in crate::doctor::checks::input) const NOT_A_USER: Code = Code {
    name: "credentials.not-a-user",
    severity: Severity::Error,
    meaning: "The JWT is not that of a user.",
    cause: "The JWT of an account or an operator stands in the credentials file. Only users log in.",
    fix: "Generate credentials of a user with `nsc generate creds`.",
};
pub(in crate::doctor::checks::input) const BAD_SIGNATURE: Code = Code {
    name: "credentials.bad-signature",
    severity: Severity::Error,
    meaning: "The JWT was changed after it was signed.",
    cause: "Its signature does not fit its text. A character got lost or was replaced when it was copied, or somebody \
            edited it.",
    fix: "Copy it again, or generate it again with `nsc generate creds`.",
};
pub(in crate::doctor::checks::input) const SEED_MISMATCH: Code = Code {
    name: "credentials.seed-mismatch",
    severity: Severity::Error,
    meaning: "The seed does not belong to the JWT.",
    cause: "JWT and seed of two users were put together, or the user's key was replaced. The server verifies a signature \
            made with the seed by the key in the JWT.",
    fix: "Generate both together with `nsc generate creds`.",
};
pub(in crate::doctor::checks::input) const BAD_SEED: Code = Code {
    name: "credentials.bad-seed",
    severity: Severity::Error,
    meaning: "The seed beside the JWT is no seed of a user.",
    cause: "It was cut or changed when it was copied, or it is the seed of an account or an operator.",
    fix: "Generate JWT and seed together with `nsc generate creds`.",
};
pub(in crate::doctor::checks::input) const NO_SEED: Code = Code {
    name: "credentials.no-seed",
    severity: Severity::Error,
    meaning: "The credentials hold a JWT, but not the seed that proves that it is ours.",
    cause: "Only the JWT was stored. It is enough alone only where it is a bearer token, and this one is not.",
    fix: "Generate JWT and seed together with `nsc generate creds`.",
};
pub(in crate::doctor::checks::input) const EXPIRED: Code = Code {
    name: "credentials.expired",
    severity: Severity::Error,
    meaning: "The JWT has expired.",
    cause: "It was issued for a limited time (`exp`), which is over. If this machine's clock is wrong, it may not be.",
    fix: "Extend it with `nsc edit user --expiry`, and generate the credentials again.",
};
pub(in crate::doctor::checks::input) const NOT_YET_VALID: Code = Code {
    name: "credentials.not-yet-valid",
    severity: Severity::Error,
    meaning: "The JWT is not valid yet.",
    cause: "It was issued for later (`nbf`), or this machine's clock is behind.",
    fix: "Wait, set the clock, or change the start with `nsc edit user --start`.",
};
pub(in crate::doctor::checks::input) const ISSUED_LATER: Code = Code {
    name: "credentials.issued-in-the-future",
    severity: Severity::Warning,
    meaning: "The JWT was issued at a time that has not come yet.",
    cause: "This machine's clock is behind, or that of the machine that issued it was ahead.",
    fix: "Compare the clocks with `date -u`, and have them set by NTP.",
};
pub(in crate::doctor::checks::input) const CONNECTION_TYPE: Code = Code {
    name: "credentials.connection-type",
    severity: Severity::Error,
    meaning: "The JWT does not allow this kind of connection.",
    cause: "It names the kinds that are allowed (`allowed_connection_types`), and the one of the URL is not among them: \
            `WEBSOCKET` for `ws` and `wss`, `STANDARD` for `nats` and `tls`.",
    fix: "Add it with `nsc edit user --conn-type`, and generate the credentials again.",
};
pub(in crate::doctor::checks::input) const OUTSIDE_TIMES: Code = Code {
    name: "credentials.outside-times",
    severity: Severity::Error,
    meaning: "The JWT does not allow connections at this time of the day.",
    cause: "It names the times when connections are allowed (`times`), and now is outside of them.",
    fix: "Wait, or change the times with `nsc edit user --time` and `--rm-time`.",
};
pub(in crate::doctor::checks::input) const BAD_LIMITS: Code = Code {
    name: "credentials.bad-limits",
    severity: Severity::Error,
    meaning: "The JWT contains a limit that no server can read.",
    cause: "A network that is not written as `10.0.0.0/8`, or a time that is not written as `08:00:00`. A server refuses the \
            whole JWT.",
    fix: "Correct it with `nsc edit user`, and generate the credentials again.",
};
pub(in crate::doctor::checks::input) const TOO_LONG: Code = Code {
    name: "credentials.too-long",
    severity: Severity::Warning,
    meaning: "The JWT hardly fits into CONNECT.",
    cause: "Many permissions make a long JWT, and a server reads 4096 bytes of CONNECT unless its `max_control_line` says \
            otherwise. It closes the connection with `Maximum Control Line Exceeded` when there are more.",
    fix: "Raise `max_control_line`, or move the permissions to a scoped signing key of the account.",
};
pub(in crate::doctor::checks::input) const PROXY_REQUIRED: Code = Code {
    name: "credentials.proxy-required",
    severity: Severity::Info,
    meaning: "The JWT is good only through a proxy that the server trusts.",
    cause: "It says `proxy_required`; such a proxy signs the login itself.",
    fix: "Connect to the proxy, or issue credentials without it.",
};
