//! HTTP, as the doctor speaks it to the place of the URL: the upgrade asked again with something changed, what an answer
//! shows, and the paths at which NATS may be.
//!
//! What goes to the very place of the URL carries what the user gave. What goes anywhere else, if only to another path or
//! port of the same host, carries no secret ([`again::Asker::without_secrets`]).

pub(crate) mod again;
pub(crate) mod answer;
pub(crate) mod paths;
#[cfg(test)]
pub(crate) mod testing;
