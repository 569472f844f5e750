//! The real program, end to end.

// Helpers of tests may unwrap like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod boot;
mod http;
mod lifecycle;
mod secure;
mod tls;
