//! SIP endpoints: who they are, where they are registered, whether they are alive, and how they are told to fetch their
//! configuration.
//!
//! [`registrar`] is RFC 3261, section 10.3, as a pure step over the bindings of one address-of-record; [`location`] holds
//! those of all, in shards, each change on its way to the journal before anybody hears of it.

pub mod binding;
pub mod credentials;
pub mod digest;
pub mod identify;
pub mod location;
pub mod numbers;
pub mod profile;
mod record;
pub mod registrar;
pub mod subscription;
pub mod trust;
pub mod vendor;
