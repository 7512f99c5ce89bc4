//! `doctor`: tls.
