//! `doctor`: formats.
