//! What the login can fail with.

use crate::doctor::code::Code;

pub(super) const CREDENTIALS_NEEDED: Code = Code::error(
    "connect.credentials-needed",
    "The server wants a user and password, or a token, and none were given.",
    "INFO says `auth_required`, without a nonce to be signed, and the login without credentials was refused.",
    "Give `--user` and `--password`, or `--token`.",
);

pub(super) const NKEY_OR_CREDS_NEEDED: Code = Code::error(
    "connect.nkey-or-creds-needed",
    "The server wants an nkey or the JWT of a credentials file, and none was given.",
    "INFO says `auth_required` and sends a nonce, which only an nkey can sign, and the login without credentials was refused.",
    "Give `--creds FILE` (a server in operator mode), or `--nkey FILE`.",
);

pub(super) const NKEY_NOT_WANTED: Code = Code::error(
    "connect.nkey-not-wanted",
    "An nkey or a JWT was given, and the server knows neither.",
    "INFO sends no nonce: the server has no nkeys in its configuration and no operator.",
    "Leave out `--nkey` or `--creds`, and give what the server wants: `--user` and `--password`, or `--token`.",
);

pub(super) const WRONG_PASSWORD: Code = Code::error(
    "connect.wrong-password",
    "The server does not accept this user with this password.",
    "The user is unknown to it or the password is another one; the server says the same in both cases.",
    "Correct user and password; the server's log names the user whose login failed.",
);

pub(super) const WRONG_TOKEN: Code = Code::error(
    "connect.wrong-token",
    "The server does not accept this token.",
    "The token is another one, or the server has users instead of a token.",
    "Give the token that `authorization { token: ... }` has, or a user and password.",
);

pub(super) const UNKNOWN_NKEY: Code = Code::error(
    "connect.unknown-nkey",
    "The server does not accept this nkey.",
    "No user of the configuration has its public key.",
    "Add the public key to the users in nats.conf, or use the seed of one that is there.",
);

pub(super) const JWT_REFUSED: Code = Code::error(
    "connect.jwt-refused",
    "The server refuses a user JWT in which nothing is wrong.",
    "The cause is at the server: the user was revoked, or the account, its signing key or the operator is not known there or no longer valid. The server only says `Authorization Violation`.",
    "Look into the log of the server, which names the cause, and push the account or issue new credentials.",
);

pub(super) const SOURCE_NETWORK: Code = Code::error(
    "connect.source-network",
    "The user JWT only allows connections from other networks than this one.",
    "The JWT lists networks (`src`), and the address that the server sees (`client_ip` of INFO) is in none of them.",
    "Connect from an allowed network, or add this one: `nsc edit user --name NAME --source-network CIDR`.",
);

pub(super) const COOKIE_REFUSED: Code = Code::error(
    "connect.cookie-refused",
    "The server does not take the JWT in the cookie for a login.",
    "It looks into the cookie that `websocket { jwt_cookie }` names, and takes a bearer JWT only: another name of the cookie, a JWT that is no bearer token or has expired, or an account or user that it does not accept.",
    "Give the cookie the name that `jwt_cookie` has, and a bearer JWT: `nsc edit user --name NAME --bearer`.",
);

pub(super) const UNKNOWN_CERTIFICATE: Code = Code::error(
    "connect.unknown-certificate",
    "The client certificate was accepted, but it is no login.",
    "With `verify_and_map` no user of the configuration has a name that is in the certificate (an address, a host name, or the whole subject); without it, a certificate alone logs nobody in.",
    "Add a user that is named like the certificate, or give `--user` and `--password`, a token or credentials besides.",
);

pub(super) const NOT_FOR_WEBSOCKET: Code = Code::error(
    "connect.not-for-websocket",
    "The same server accepts the same credentials on its client port, but not over WebSocket.",
    "Either the user is allowed other kinds of connections only (`allowed_connection_types`), or `websocket {}` has an authorization of its own, which replaces the general one.",
    "Add `WEBSOCKET` to `allowed_connection_types`, or use the credentials of `websocket { authorization {} }`.",
);

pub(super) const AUTH_TIMEOUT: Code = Code::error(
    "connect.auth-timeout",
    "CONNECT reached the server too late, although it was sent at once.",
    "From INFO to CONNECT the server waits for `authorization.timeout` (2 s unless configured), and the round trip takes longer than that.",
    "Raise `authorization { timeout: ... }`, or find out what makes the path slow.",
);

pub(super) const EXPIRED: Code = Code::error(
    "connect.expired",
    "The credentials have expired.",
    "The server says so: the JWT of the user or of its account is out of date.",
    "Issue new credentials, or renew the JWT of the account and push it.",
);

pub(super) const REVOKED: Code = Code::error(
    "connect.revoked",
    "The credentials were revoked.",
    "The server says so: the account revoked the JWT of this user.",
    "Issue new credentials.",
);

pub(super) const SERVER_FULL: Code = Code::error(
    "connect.server-full",
    "The server has as many connections as it takes.",
    "`max_connections` is reached; the server says so right behind INFO, to whomever.",
    "Raise `max_connections`, or close connections that nobody needs.",
);

pub(super) const ACCOUNT_FULL: Code = Code::error(
    "connect.account-full",
    "The account has as many connections as it may have.",
    "The limit of the account is reached: in its JWT, or in its block of nats.conf.",
    "Raise the limit of the account, or close connections that nobody needs.",
);

pub(super) const THROTTLED: Code = Code::error(
    "connect.throttled",
    "The server takes no more connections for the moment.",
    "Connections came faster than the server is allowed to take them.",
    "Wait, and connect more slowly.",
);

pub(super) const TLS_REQUIRED: Code = Code::error(
    "connect.tls-required",
    "The server takes no login without TLS.",
    "The URL says `ws://` or `nats://`, and the server requires TLS.",
    "Use `wss://` or `tls://`.",
);

pub(super) const PROXY_REQUIRED: Code = Code::error(
    "connect.proxy-required",
    "The server takes this user only through a proxy that it trusts.",
    "The user has `proxy_required`, and no trusted proxy signed the login.",
    "Connect through the proxy, or take `proxy_required` from the user.",
);

pub(super) const CONNECT_TOO_LONG: Code = Code::error(
    "connect.line-too-long",
    "CONNECT is longer than the lines that the server takes.",
    "CONNECT carries the credentials in one line. A JWT with many permissions is long, and `max_control_line` is 4096 bytes unless configured.",
    "Raise `max_control_line`, or move the permissions from the user to a scoped signing key of the account.",
);

pub(super) const REFUSED: Code = Code::error(
    "connect.refused",
    "The server refused the login for a reason of its own.",
    "The reason is in its words.",
    "See the server's words, and its log.",
);
