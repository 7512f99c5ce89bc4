//! `doctor`: flow.
