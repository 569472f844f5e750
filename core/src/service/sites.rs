//! What administrators do with sites, and what edges ask for.

use std::sync::Arc;

use super::Service;
use crate::event::{EventDraft, EventKind};
use crate::pki::{Authority, PkiError};
use crate::secret::Secret;
use crate::site::{EnrolError, Site, SiteCertificate, SiteError, SiteId, SiteToken};
use crate::time::Timestamp;

/// Certificates begin to be valid this much earlier: clocks of branches may be late.
const BACKDATED: std::time::Duration = std::time::Duration::from_hours(24);

/// Why an edge gets no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    /// Its token, or its site.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// Its request.
    #[error(transparent)]
    Pki(#[from] PkiError),
}

impl From<SiteError> for CertifyError {
    fn from(error: SiteError) -> Self {
        Self::Enrol(error.into())
    }
}

impl Service {
    /// Make a site. The token is shown here and never again.
    pub async fn create_site(&self, name: &str) -> Result<(Arc<Site>, Secret), SiteError> {
        let now = self.now();
        let token = self.site_token(self.new_site_id());
        let lifetime = self.sites.settings.token_lifetime;
        let (site, ticket) = self.sites.registry.create(name, &token, lifetime, now)?;
        ticket.await?;
        self.site_event(format!("site {} ({name}) made", site.id));
        Ok((site, token.text()))
    }

    /// Give a site a new token. The one before is of no use any more; its edge stays connected until the new one is used.
    pub async fn renew_site_token(
        &self,
        id: SiteId,
        expected: Option<u64>,
    ) -> Result<(Arc<Site>, Secret), SiteError> {
        let token = self.site_token(id);
        let lifetime = self.sites.settings.token_lifetime;
        let (site, ticket) = self.sites.registry.retoken(&token, expected, lifetime, self.now())?;
        ticket.await?;
        self.site_event(format!("site {id} ({}) got a new token", site.name));
        Ok((site, token.text()))
    }

    /// Delete a site: its certificate is refused from now on, and the connection of its edge is cut.
    pub async fn delete_site(&self, id: SiteId, expected: Option<u64>) -> Result<(), SiteError> {
        let (site, ticket) = self.sites.registry.remove(id, expected)?;
        self.sites.live.revoke(id);
        ticket.await?;
        self.site_event(format!("site {id} ({}) deleted", site.name));
        Ok(())
    }

    /// Exchange a token and a request for a certificate that is valid until `not_after`. When this returns the token is used
    /// up, for good.
    pub async fn enrol_site(
        &self,
        authority: &Authority,
        token: &SiteToken,
        request: &[u8],
        not_after: Timestamp,
    ) -> Result<Vec<u8>, CertifyError> {
        let now = self.now();
        self.sites.registry.check_token(token, now)?;
        let (der, certificate) = certify(authority, request, token.site, now, not_after)?;
        let (site, ticket) = self.sites.registry.enrol(token, certificate, now)?;
        // Whoever is connected had the certificate before, and speaks for the site no more.
        self.sites.live.revoke(site.id);
        ticket.await.map_err(SiteError::from)?;
        let text = format!("site {} ({}) enrolled an edge", site.id, site.name);
        self.record(EventDraft::node(EventKind::SiteEnrolled, text));
        Ok(der)
    }

    /// Give the edge of a site, which came with the certificate `bearer`, a new one when at most half the life of that is
    /// left. It stays good until the new one was seen.
    pub async fn renew_site(
        &self,
        authority: &Authority,
        (id, bearer): (SiteId, &str),
        request: &[u8],
        not_after: Timestamp,
    ) -> Result<Vec<u8>, CertifyError> {
        let now = self.now();
        let life = not_after.since(now) + BACKDATED;
        self.sites.registry.check_renewal(id, bearer, life / 2, now)?;
        let (der, certificate) = certify(authority, request, id, now, not_after)?;
        let (_, ticket) = self.sites.registry.renew(id, bearer, certificate, now)?;
        ticket.await.map_err(SiteError::from)?;
        Ok(der)
    }

    fn new_site_id(&self) -> SiteId {
        loop {
            let bits = self.around.random.next_u128() & u128::from(u64::MAX);
            let id = SiteId::from_u64(u64::try_from(bits).unwrap_or_default());
            if self.sites.registry.get(id).is_none() {
                return id;
            }
        }
    }

    fn site_token(&self, id: SiteId) -> SiteToken {
        SiteToken::new(id, self.sites.settings.authority, &*self.around.random)
    }

    fn site_event(&self, text: String) {
        self.record(EventDraft::node(EventKind::AdminChange, text));
    }
}

fn certify(
    authority: &Authority,
    request: &[u8],
    site: SiteId,
    now: Timestamp,
    not_after: Timestamp,
) -> Result<(Vec<u8>, SiteCertificate), PkiError> {
    let from = now.as_millis().saturating_sub(u64::try_from(BACKDATED.as_millis()).unwrap_or(0));
    let not_after = not_after.min(Timestamp::from_jiff(authority.not_after()));
    let from = Timestamp::from_millis(from).to_jiff();
    let issued = authority.issue_site(request, &site.to_string(), from, not_after.to_jiff())?;
    let expires = Timestamp::from_jiff(issued.not_after);
    Ok((issued.certificate_der, SiteCertificate { serial: issued.serial_hex.into(), expires }))
}
