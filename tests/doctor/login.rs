//! `doctor`: login.
