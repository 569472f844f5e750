//! Digest authentication of SIP (RFC 3261, section 22, with RFC 7616 and RFC 8760).
//!
//! * [`Authenticator`] challenges and judges answers. It keeps no state for a challenge that was not answered.
//! * [`respond()`] answers the challenge of somebody else.
//! * [`Ha1`] is what is kept of a password.
//!
//! Nothing here knows how a header field is written: fields come in without their quotes and escapes, and challenges go out
//! as plain data. MD5 and SHA-256 are offered, each in a challenge of its own, the preferred one first (RFC 8760, section 2.3).
//! The `-sess` forms are computed with the `cnonce` of the same request. SHA-512-256 and `auth-int` are not offered.

mod algorithm;
mod authenticator;
mod authorization;
mod failures;
mod hash;
mod nonce;
mod replay;
mod respond;
#[cfg(test)]
mod tests;

pub use algorithm::{Algorithm, Offer, Scheme};
pub use authenticator::{
    Attempt, Authenticator, Challenge, DigestSettings, Known, Verdict, describe_metrics,
};
pub use authorization::{Authorization, BadAuthorization};
pub use failures::FailureLimits;
pub(crate) use hash::HA1_BYTES;
pub use hash::{Ha1, Hex, MAX_PASSWORD_BYTES, TooLong};
pub use nonce::{NONCE_CHARS, Nonce};
pub use respond::{Answer, Count, Received, RespondError, respond};
