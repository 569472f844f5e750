//! What the phones call themselves.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::{Digest, Transport};

/// The domain that all phones are in, and the realm of their passwords.
pub(crate) const DOMAIN: &str = "load.test";

/// What all phones have in common.
#[derive(Clone, Debug)]
pub(crate) struct Company {
    /// Tells the Call-IDs of this run from those of others: a phone that boots has a new one.
    pub(crate) run: u32,
    /// Seconds that a registration is asked for.
    pub(crate) expires: u32,
    /// Which challenge is answered.
    pub(crate) digest: Digest,
}

/// The user part of a phone's address.
pub(crate) fn user(number: u32) -> String {
    format!("p{number:08}")
}

/// The phone's password.
pub(crate) fn password(number: u32) -> String {
    format!("pw-{number:08x}-{:08x}", number.wrapping_mul(0x9e37_79b9))
}

/// Where a flow of phones is, and what they speak over it.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(super) transport: Transport,
    /// The flow's own address, as text for header fields.
    pub(super) local: String,
}

impl Site {
    pub(super) fn new(transport: Transport, local: SocketAddr) -> Self {
        Self { transport, local: local.to_string() }
    }

    /// The URI in a phone's Contact.
    pub(crate) fn contact(&self, number: u32) -> String {
        let mut uri = String::with_capacity(64);
        // Writing to a String cannot fail.
        let _ = write!(uri, "sip:p{number:08}@{};transport={}", self.local, self.transport.as_str());
        uri
    }
}

impl Company {
    /// A phone's Call-ID, the same as long as the phone runs (RFC 3261, section 10.2.4).
    pub(crate) fn call_id(&self, number: u32) -> String {
        format!("{number:08x}-{:08x}@{DOMAIN}", self.run)
    }
}
