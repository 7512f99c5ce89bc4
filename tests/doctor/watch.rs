//! `doctor`: watch.
