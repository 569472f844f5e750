//! TLS 1.2 and 1.3 for the doors: the server's two certificates, where they come from, and the handshake.
//!
//! Old phones know RSA only, newer ones handle P-256, whose handshakes cost the server a fraction. Both certificates are
//! held, and each client gets the better one it offers to accept. They are made by the internal authority
//! ([`callboard_core::pki`]) at first start and renewed in time, or come from files that are watched.

mod files;
mod handshake;
mod hello;
mod identity;
mod keys;
mod server;
mod settings;
#[cfg(test)]
mod tests;

use metrics::{Unit, describe_counter, describe_gauge};

pub use handshake::{Handshake, HandshakeError, HandshakeOutcome, Version};
pub use identity::{Identity, TlsError, try_files};
pub use server::{ClientCertificate, Purpose, Server, client_certificate};
pub use settings::{KeyFiles, Settings};

/// Tells the installed recorder what the certificate metrics mean. [`crate::listen::describe_metrics`] calls this.
pub fn describe_metrics() {
    describe_counter!(
        "callboard_tls_reloads_total",
        "Reloads and renewals of server certificates, by outcome."
    );
    describe_gauge!(
        "callboard_tls_certificate_expiry_timestamp_seconds",
        Unit::Seconds,
        "End of life of the server certificate in use, by kind of key."
    );
}
