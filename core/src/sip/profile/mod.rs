//! Profiles: which URL a SIP phone is told when it asks the network for its configuration (event package `ua-profile`, RFC 6080;
//! "plug and play").
//!
//! An administrator's rules stand in an order; the first that fits what a phone says of itself ([`Asker`]) decides. A rule is a
//! record. What a phone says is its own word, so a URL is nothing that only the right phone may know.

mod asker;
mod record;
mod registry;
mod rule;
mod url;

use crate::name::ResourceName;
use crate::store::{CommitError, SubmitError};

pub use asker::{Asker, MAX_WORD_BYTES};
pub use record::{BadProfileRecord, decode};
pub use registry::{LoadedProfiles, Profiles, describe_metrics};
pub use rule::{
    BadMacPrefix, BodyForm, MAX_MAC_PREFIXES, MAX_MATCH_BYTES, MacPrefix, ProfileType, Rule, RuleWish, Whose,
};
pub use url::{BadUrl, MAX_FILLED_BYTES, MAX_PATTERN_BYTES, UrlPattern};

/// Rules there may be: all of them are looked at for a phone.
pub const MAX_RULES: usize = 256;

/// A profile that a phone is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The rule that decided.
    pub rule: ResourceName,
    /// The URL, filled in.
    pub url: Box<str>,
    /// How it is told, if the phone takes both.
    pub form: BodyForm,
}

/// Why rules were not changed, or the change is not known to be durable ([`ProfileError::Commit`]).
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProfileError {
    /// No such rule.
    #[error("no profile {0}")]
    Unknown(ResourceName),
    /// As many as may be.
    #[error("there are {limit} profiles already")]
    Full {
        /// The bound.
        limit: usize,
    },
    /// Somebody else changed it meanwhile.
    #[error("the resource has revision {current}, not {expected}")]
    Revision {
        /// What the caller had.
        expected: u64,
        /// What it is.
        current: u64,
    },
    /// The store does not take it.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The change is made, but the store could not make it durable yet.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// It cannot be packed.
    #[error(transparent)]
    Record(#[from] BadProfileRecord),
}
