//! The real program, end to end.

// Helpers of tests may unwrap like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admin;
mod boot;
mod cli;
mod contact;
mod dcmp;
mod disk;
mod edge;
mod files;
mod generations;
mod http;
mod jobs;
mod lifecycle;
mod limits;
mod manage;
mod manners;
mod mib;
mod outcomes;
mod packaging;
mod pnp;
mod secrets;
mod secure;
mod sip_api;
mod sip_peers;
mod snmp_peers;
mod steps;
mod tls;
