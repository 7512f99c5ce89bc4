//! `doctor`: hostile.
