//! All sites: kept in memory, changed through the store.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Unit, describe_gauge, gauge};
use parking_lot::Mutex;

use super::record::{self, BadSiteRecord};
use super::{Enrolment, MAX_NAME_CHARS, Site, SiteCertificate, SiteId, SiteToken};
use crate::event::deceives;
use crate::policy::Fault;
use crate::store::{CommitError, LoadError, Store, SubmitError, Table, Ticket, Write};
use crate::time::Timestamp;

/// Why a site was not changed, or its change is not known to be durable ([`SiteError::Commit`]).
#[derive(Clone, Debug, thiserror::Error)]
pub enum SiteError {
    /// No such site.
    #[error("no site {0}")]
    Unknown(SiteId),
    /// As many as may be.
    #[error("there are {limit} sites already")]
    Full {
        /// The bound.
        limit: usize,
    },
    /// Another one has that name.
    #[error("site {0} has this name already")]
    NameTaken(SiteId),
    /// Somebody else changed it meanwhile.
    #[error("the site has revision {current}, not {expected}")]
    Revision {
        /// What the caller had.
        expected: u64,
        /// What it is.
        current: u64,
    },
    /// It cannot be stored like this.
    #[error("{}: {}", .0.field, .0.reason)]
    Field(Fault),
    /// The store does not take it.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The change is made in memory, but the store could not make it durable yet.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// It cannot be packed.
    #[error(transparent)]
    Record(#[from] BadSiteRecord),
}

/// Why an edge gets no certificate.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EnrolError {
    /// The token names no site, or is not the latest of its site. Which of them is for the log only: whoever guesses learns
    /// nothing.
    #[error("the token is not good: {0}")]
    Token(&'static str),
    /// The token was good and is not any more: whoever has it knew it.
    #[error("the token is not good any more: {0}")]
    Spent(&'static str),
    /// The certificate that it has does not entitle it to another one.
    #[error("the certificate is not renewed: {0}")]
    Certificate(&'static str),
    /// The site cannot be changed.
    #[error(transparent)]
    Site(#[from] SiteError),
}

/// Counts site records that cannot be read.
const UNREADABLE_RECORDS: &str = "callboard_site_unreadable_records";

/// Counts sites that an edge enrolled for.
const ENROLLED: &str = "callboard_edge_sites_enrolled";

/// Describe the metrics of this module.
pub fn describe_metrics() {
    describe_gauge!(ENROLLED, Unit::Count, "Sites that an edge has enrolled for");
    describe_gauge!(
        UNREADABLE_RECORDS,
        Unit::Count,
        "Site records that could not be read at the start; their edges are refused"
    );
}

/// All sites.
pub struct Registry {
    sites: Mutex<BTreeMap<SiteId, Arc<Site>>>,
    store: Arc<dyn Store>,
    limit: usize,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("sites", &self.sites.lock().len()).finish_non_exhaustive()
    }
}

impl Registry {
    /// No sites. At most `limit` may come.
    pub fn new(store: Arc<dyn Store>, limit: usize) -> Self {
        Self { sites: Mutex::default(), store, limit }
    }

    /// Take over what the store holds. Gives the number of sites and what could not be read, which stays where it is.
    /// Fails at a site of a newer Callboard.
    pub fn load(&self) -> Result<(usize, Vec<String>), LoadError> {
        let mut sites = self.sites.lock();
        let mut unreadable = Vec::new();
        let mut newer = None;
        let scan = self.store.scan(Table::Site, &mut |key, value| {
            match record::decode(value) {
                Ok(site) if site.id.to_string() == key => {
                    sites.insert(site.id, Arc::new(site));
                }
                Ok(site) => unreadable.push(format!("{key}: holds site {}", site.id)),
                Err(BadSiteRecord::Newer(found)) => {
                    let (table, supported) = (Table::Site, record::VERSION);
                    newer = Some(LoadError::Newer { table, key: key.into(), found, supported });
                    return ControlFlow::Break(());
                }
                Err(error) => unreadable.push(format!("{key}: {error}")),
            }
            ControlFlow::Continue(())
        })?;
        if let Some(newer) = newer {
            return Err(newer);
        }
        unreadable
            .extend(scan.damaged_list.into_iter().map(|record| format!("{}: {}", record.key, record.reason)));
        #[allow(clippy::cast_precision_loss)] // at most a few thousand
        gauge!(UNREADABLE_RECORDS).set(unreadable.len() as f64);
        count(&sites);
        Ok((sites.len(), unreadable))
    }

    /// All sites in the order of their ids.
    pub fn all(&self) -> Vec<Arc<Site>> {
        self.sites.lock().values().cloned().collect()
    }

    /// One site.
    pub fn get(&self, id: SiteId) -> Option<Arc<Site>> {
        self.sites.lock().get(&id).cloned()
    }

    /// Make a site that may enrol with `token` for this long.
    pub fn create(
        &self,
        name: &str,
        token: &SiteToken,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<(Arc<Site>, Ticket), SiteError> {
        if let Some(reason) = name_fault(name) {
            return Err(SiteError::Field(Fault { field: "name".into(), reason }));
        }
        let mut sites = self.sites.lock();
        if sites.len() >= self.limit {
            return Err(SiteError::Full { limit: self.limit });
        }
        if let Some(other) =
            sites.values().find(|other| other.name.as_ref() == name || other.id == token.site)
        {
            return Err(SiteError::NameTaken(other.id));
        }
        let site = Site {
            id: token.site,
            revision: 0,
            name: name.into(),
            enrolment: Enrolment { digest: token.digest(), expires: now.plus(lifetime), used: None },
            certificate: None,
            previous: None,
            created: now,
            changed: now,
        };
        self.store_as(&mut sites, site, now)
    }

    /// Give a site a new token, in place of the one before. Its certificate stays good until the token is used.
    pub fn retoken(
        &self,
        token: &SiteToken,
        expected: Option<u64>,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<(Arc<Site>, Ticket), SiteError> {
        let mut sites = self.sites.lock();
        let mut site = known(&sites, token.site, expected)?;
        site.enrolment = Enrolment { digest: token.digest(), expires: now.plus(lifetime), used: None };
        self.store_as(&mut sites, site, now)
    }

    /// Forget a site. From now on its edge is refused.
    pub fn remove(&self, id: SiteId, expected: Option<u64>) -> Result<(Arc<Site>, Ticket), SiteError> {
        let mut sites = self.sites.lock();
        let site = known(&sites, id, expected)?;
        let ticket = self.store.submit(vec![Write::delete(Table::Site, id.to_string())])?;
        sites.remove(&id);
        count(&sites);
        Ok((Arc::new(site), ticket))
    }

    /// Whether this token is good for an enrolment now. Asked before a certificate is made, so that nobody makes the server
    /// work without one.
    pub fn check_token(&self, token: &SiteToken, now: Timestamp) -> Result<(), EnrolError> {
        let site = self.get(token.site).ok_or(EnrolError::Token("no such site"))?;
        usable(&site.enrolment, token, now)
    }

    /// Use a token up: from now on the site is known by this certificate alone.
    pub fn enrol(
        &self,
        token: &SiteToken,
        certificate: SiteCertificate,
        now: Timestamp,
    ) -> Result<(Arc<Site>, Ticket), EnrolError> {
        let mut sites = self.sites.lock();
        let mut site =
            sites.get(&token.site).map(|site| Site::clone(site)).ok_or(EnrolError::Token("no such site"))?;
        // Under the lock: of two that bring one token, one is late.
        usable(&site.enrolment, token, now)?;
        site.enrolment.used = Some(now);
        site.certificate = Some(certificate);
        site.previous = None;
        Ok(self.store_as(&mut sites, site, now)?)
    }

    /// Whether an edge that came with the certificate `bearer` may have another one now: not while more than `most_left` of
    /// its life is left. Asked before a certificate is made.
    pub fn check_renewal(
        &self,
        id: SiteId,
        bearer: &str,
        most_left: Duration,
        now: Timestamp,
    ) -> Result<(), EnrolError> {
        let site = self.get(id).ok_or(SiteError::Unknown(id))?;
        if bearing(&site, bearer)?.expires.since(now) > most_left {
            return Err(EnrolError::Certificate("too much of its life is left"));
        }
        Ok(())
    }

    /// Give the edge that came with the certificate `bearer` another one; its present one stays good until the new one was
    /// [seen](Registry::seen).
    pub fn renew(
        &self,
        id: SiteId,
        bearer: &str,
        certificate: SiteCertificate,
        now: Timestamp,
    ) -> Result<(Arc<Site>, Ticket), EnrolError> {
        let mut sites = self.sites.lock();
        let mut site = known(&sites, id, None)?;
        // Under the lock: another edge may have enrolled, and this one speaks for nobody any more. What it came with it holds
        // for certain; the newer one of an earlier renewal may never have arrived.
        site.previous = Some(bearing(&site, bearer)?.clone());
        site.certificate = Some(certificate);
        Ok(self.store_as(&mut sites, site, now)?)
    }

    /// Whether an edge with this certificate speaks for the site.
    pub fn admits(&self, id: SiteId, serial: &str) -> bool {
        self.get(id).is_some_and(|site| bearing(&site, serial).is_ok())
    }

    /// The edge came with this certificate: an older one is not needed any more. Nobody waits for that to be durable.
    pub fn seen(&self, id: SiteId, serial: &str, now: Timestamp) -> Result<(), SiteError> {
        let mut sites = self.sites.lock();
        let mut site = known(&sites, id, None)?;
        let is_new = site.certificate.as_ref().is_some_and(|one| one.serial.as_ref() == serial);
        if !is_new || site.previous.is_none() {
            return Ok(());
        }
        site.previous = None;
        self.store_as(&mut sites, site, now).map(|(_, ticket)| drop(ticket))
    }

    fn store_as(
        &self,
        sites: &mut BTreeMap<SiteId, Arc<Site>>,
        mut site: Site,
        now: Timestamp,
    ) -> Result<(Arc<Site>, Ticket), SiteError> {
        site.revision += 1;
        site.changed = now;
        let write = Write::put(Table::Site, site.id.to_string(), record::encode(&site)?);
        let ticket = self.store.submit(vec![write])?;
        let site = Arc::new(site);
        sites.insert(site.id, site.clone());
        count(sites);
        Ok((site, ticket))
    }
}

#[allow(clippy::cast_precision_loss)] // far below 2^52
fn count(sites: &BTreeMap<SiteId, Arc<Site>>) {
    gauge!(ENROLLED).set(sites.values().filter(|site| site.certificate.is_some()).count() as f64);
}

fn known(sites: &BTreeMap<SiteId, Arc<Site>>, id: SiteId, expected: Option<u64>) -> Result<Site, SiteError> {
    let site = sites.get(&id).ok_or(SiteError::Unknown(id))?;
    match expected {
        Some(expected) if expected != site.revision => {
            Err(SiteError::Revision { expected, current: site.revision })
        }
        _ => Ok(Site::clone(site)),
    }
}

/// The certificate of the site that has this serial number.
fn bearing<'a>(site: &'a Site, serial: &str) -> Result<&'a SiteCertificate, EnrolError> {
    [&site.certificate, &site.previous]
        .into_iter()
        .flatten()
        .find(|one| one.serial.as_ref() == serial)
        .ok_or(EnrolError::Certificate("it is not that of the site any more"))
}

fn usable(enrolment: &Enrolment, token: &SiteToken, now: Timestamp) -> Result<(), EnrolError> {
    if !token.is(&enrolment.digest) {
        return Err(EnrolError::Token("it is not the latest token of its site"));
    }
    if enrolment.used.is_some() {
        return Err(EnrolError::Spent("it was used"));
    }
    if now >= enrolment.expires {
        return Err(EnrolError::Spent("it has ended"));
    }
    Ok(())
}

fn name_fault(name: &str) -> Option<String> {
    let is_good = !name.trim().is_empty()
        && name.trim() == name
        && name.chars().count() <= MAX_NAME_CHARS
        && !name.chars().any(deceives);
    (!is_good).then(|| {
        format!("1 to {MAX_NAME_CHARS} characters without blanks at the ends and without control characters")
    })
}

#[cfg(test)]
mod tests;
