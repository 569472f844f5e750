//! Callboard: tls.
