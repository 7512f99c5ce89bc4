//! Every socket and child process.
