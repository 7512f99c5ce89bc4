//! `doctor`: input.
