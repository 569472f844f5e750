//! Callboard: config.
