//! `doctor`: jetstream.
