//! Subjects and subscription patterns.
