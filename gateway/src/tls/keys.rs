//! The certificates in use, and which of them a client gets.

use std::sync::Arc;

use arc_swap::ArcSwap;
use callboard_core::pki::KeyKind;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// One certificate per kind of key; at least one is there.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) rsa: Option<Arc<CertifiedKey>>,
    pub(super) ecdsa: Option<Arc<CertifiedKey>>,
}

impl Keys {
    /// The elliptic-curve certificate if the client can check its signatures, else RSA, else what there is.
    pub(super) fn choose(&self, offered: &[SignatureScheme]) -> Option<(KeyKind, &Arc<CertifiedKey>)> {
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(offered).is_some();
        match self.ecdsa.as_ref().filter(usable) {
            Some(key) => Some((KeyKind::P256, key)),
            None => self.rsa.as_ref().filter(usable).map(|key| (KeyKind::Rsa2048, key)),
        }
    }
}

/// The certificates of a running server. Replacing them concerns later handshakes only.
#[derive(Debug)]
pub(super) struct Resolver(pub(super) ArcSwap<Keys>);

impl Resolver {
    pub(super) fn key_for(&self, offered: &[SignatureScheme]) -> Option<KeyKind> {
        self.0.load().choose(offered).map(|(kind, _)| kind)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load().choose(hello.signature_schemes()).map(|(_, key)| Arc::clone(key))
    }
}
