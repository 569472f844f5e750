//! The API in process: real service, store in memory, requests by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may")]

mod audit;
mod bounds;
mod bulk;
mod devices;
mod document;
mod events;
mod files;
mod garbage;
mod harness;
mod jobs;
mod reach;
mod refusals;
mod scans;
mod secrets;
mod sip;
mod sites;
mod snmp;
mod tasks;
mod templates;
