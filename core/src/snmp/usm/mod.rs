//! The User-based Security Model (RFC 3414): keys of users, and what they do to messages.
//!
//! * [`UserKeys`] are made once from the passwords of a user, which is slow by design, and are what is stored.
//! * [`LocalKeys`] are the keys of a user at one engine, ready for use: they authenticate and encrypt messages.
//! * [`LocalKeyCache`] remembers those that proved good.
//!
//! Nothing here knows how a message is written: messages come in as bytes, with the place of the authentication code.

mod cache;
mod cipher;
mod code;
mod key;
mod local;
mod user;

pub use cache::{LocalKeyCache, describe_metrics};
pub use cipher::DecryptionError;
pub use local::{LocalKeys, ProtectionError};
pub use user::{BadKeys, PASSWORD_BYTES, UserKeys};
