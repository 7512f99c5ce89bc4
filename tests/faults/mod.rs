//! Outages: what natsbench does when its connections break, in every way in which they do, and what it counts then.
//!
//! `means` checks the means themselves: that the proxy, the brokers and the witness do what the other tests rest on.

mod ends;
mod goodbyes;
mod means;
mod network;
mod pressure;
mod restarts;
mod run;
mod stage;
mod unknowns;
