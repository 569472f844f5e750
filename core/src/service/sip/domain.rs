//! Whose requests are taken, and when none are.

use std::sync::Arc;

use callboard_codecs::sip::SipUri;

use super::Sip;
use crate::sip::credentials::Realm;

impl Sip {
    /// Whether requests for this domain are for this server: a realm covers it, or there is none that says anything.
    pub(super) fn is_own_domain(&self, uri: &SipUri<'_>) -> bool {
        !self.credentials.has_realms() || self.realm_of(uri).is_some()
    }

    /// The realm whose users register in this domain.
    ///
    /// `None`: no realm covers it, so nobody can show who they are.
    pub(super) fn realm_of(&self, uri: &SipUri<'_>) -> Option<Arc<Realm>> {
        let mut host = Vec::with_capacity(64);
        uri.host.write_canonical(&mut host);
        self.credentials.realm_of(str::from_utf8(&host).ok()?)
    }

    /// Whether there is so much to do that those who can wait have to.
    pub(super) fn is_busy(&self) -> bool {
        self.load() >= self.settings.busy_from
    }
}

/// The address that bindings are kept for: the same at whatever port of the domain it is asked for, so that whoever may register one
/// address has one.
pub(super) const fn canonical(to: SipUri<'_>) -> SipUri<'_> {
    SipUri { port: None, ..to }
}
