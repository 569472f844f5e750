//! The simulated phone: who it is, what it reports, what it sends, and what it makes of an answer.
//!
//! Written from the WPI reference alone, with an XML reader of its own, so that it does not share the
//! server's mistakes.

pub(crate) mod dialogue;
pub(crate) mod identity;
pub(crate) mod message;
pub(crate) mod profile;
pub(crate) mod reply;
pub(crate) mod stencil;
pub(crate) mod template;
