//! Callboard: listen.
