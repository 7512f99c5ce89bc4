//! Why a connection to a broker does not work.
//!
//! [`runner::examine`] takes a target through the checks in [`checks`], one after the other, in the order in which a
//! connection comes about. A check does its step of the connection, hands it on to the next one (`examination.learned`), and
//! reports what it found. When the step fails, it looks again in other ways until the cause is known, or until what is left are
//! causes that cannot be told apart from here; then it says so.
//!
//! Rules
//! - A broken target is a [`Finding`](crate::results::doctor::Finding). A check that could not look says that instead.
//! - The first finding is the cause. A check that runs after it adds no consequences of it.
//! - `certain` only where nothing else gives the same evidence.
//! - Every finding has a [`code::Code`]: declared beside the check that finds it, or beside what several checks share;
//!   collected in [`catalogue`].
//! - Everything has a deadline, and nothing that arrives is kept without a limit.
//! - Nothing secret goes to a place that is not the one of the URL.
//! - Modules import in one direction. What two checks share lies below both.

pub mod catalogue;
pub mod check;
mod check_id;
pub mod checks;
pub mod code;
mod conversation;
mod elsewhere;
pub mod examination;
mod fingerprint;
mod front;
mod http;
mod identity;
mod nearness;
mod neighbours;
pub mod plan;
pub(crate) mod redact;
mod reprobe;
pub mod runner;
mod silence;
mod words;
