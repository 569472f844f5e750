//! WPI, the XML dialogue between desk phones and their provisioning service.
//!
//! Section numbers in these pages are those of the WPI reference.
//!
//! - [`parse_phone_message`] and [`write_service_message`] are the service's side,
//!   [`parse_service_message`] and [`write_phone_message`] the phone's (load generator, tests).
//! - [`split_items`] cuts a long write into messages that a phone accepts.
//! - [`catalogue`] knows the public item names, [`SoftwareVersion`] compares firmware.
//!
//! # Reading
//! A parser takes one whole body (HTTP gives its length), never a piece of one: there is nothing to resume.
//! The result borrows the body; text is copied only where an entity, a CDATA section, a comment or a
//! carriage return stands inside it. White space around values is not part of them.
//!
//! The XML read is XML 1.0 without document types: UTF-8 only, well-formed, elements at most
//! [`MAX_DEPTH`] deep with at most [`MAX_ATTRIBUTES`] attributes each. Nothing recurses and no entity but
//! the five predefined ones exists, so work and memory are linear in the body's length. The caller bounds
//! that length (reference 1.6: 2 MiB).
//!
//! Elements count by their local name, whatever the prefix or namespace; unknown ones are skipped
//! (reference, section 11).

pub mod catalogue;

mod error;
mod message;
mod plain;
mod read;
mod split;
mod text;
mod version;
mod vocabulary;
mod write;
mod xml;

pub use error::{EmitError, ParseError, ParseErrorKind};
pub use message::{Ignored, Item, ItemRef, Limits, PhoneMessage, ServiceMessage};
pub use read::{parse_phone_message, parse_service_message};
pub use split::split_items;
pub use version::{Dialect, SoftwareVersion};
pub use vocabulary::{Action, Fragment, Reason, ReplyStatus};
pub use write::{Layout, PhoneMessageRef, write_phone_message, write_service_message};
pub use xml::{MAX_ATTRIBUTES, MAX_DEPTH};

/// Largest message or fragment in bytes; its sender splits what is longer (reference 4.4).
pub const MAX_MESSAGE_BYTES: usize = 51_200;

/// The XML namespace of both directions (reference 4.1).
pub const NAMESPACE: &str = "http://www.siemens.com/DLS";

/// Longest nonce in characters (reference 4.2).
pub const MAX_NONCE_BYTES: usize = 128;

/// Whether this is a nonce: 1 to [`MAX_NONCE_BYTES`] ASCII letters and digits (reference 4.2).
pub fn is_nonce(text: &str) -> bool {
    (1..=MAX_NONCE_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
