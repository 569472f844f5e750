//! How a phone that has work waiting is reached.

pub mod pending;
pub mod polling;
