//! `doctor`: proxies.
