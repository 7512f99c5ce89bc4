//! `doctor`: upgrade.
