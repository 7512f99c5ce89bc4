//! Game rounds: the messages that natsbench publishes and reads.
