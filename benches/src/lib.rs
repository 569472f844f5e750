//! Callboard: what several benchmarks share.

pub mod sip;
