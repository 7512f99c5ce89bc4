//! The checks, one file each, in the order in which a connection comes about.

mod connect;
mod dns;
mod flow;
mod greeting;
mod health;
mod info;
pub mod input;
mod jetstream;
mod paste;
mod permissions;
mod round_trip;
mod tcp;
mod tls;
pub(crate) mod upgrade;
mod watch;

use crate::doctor::check::Check;

/// All of them, in order.
pub static ALL: [Check; 14] = [
    input::CHECK,
    dns::CHECK,
    tcp::CHECK,
    greeting::CHECK,
    tls::CHECK,
    upgrade::CHECK,
    info::CHECK,
    connect::CHECK,
    permissions::CHECK,
    round_trip::CHECK,
    flow::CHECK,
    jetstream::CHECK,
    health::CHECK,
    watch::CHECK,
];
