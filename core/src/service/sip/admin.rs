//! What administrators do about SIP: realms, credentials, registrations.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use callboard_codecs::sip::Uri;

use super::Sip;
use super::domain::canonical;
use crate::device::DeviceId;
use crate::fleet::FleetError;
use crate::service::{AdminError, Service, counted};
use crate::sip::credentials::{
    Credential, CredentialError, CredentialFilter, CredentialWish, Domain, MAX_PER_DEVICE, Realm, RealmName,
    Username,
};
use crate::sip::location::LocationError;
use crate::store::{CommitError, Ticket};

/// Credentials on their way to the store at the same time: enough to share its flushes, and few beside its usual queue.
const AT_ONCE: usize = 32;

/// An address-of-record in the one form in which bindings are kept: `user@host`, see
/// [`SipUri::write_address_of_record`](callboard_codecs::sip::SipUri::write_address_of_record), without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aor(Box<str>);

/// A text that is no address-of-record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address-of-record is `user@host`, without scheme and parameters")]
pub struct BadAor;

impl FromStr for Aor {
    type Err = BadAor;

    fn from_str(text: &str) -> Result<Self, BadAor> {
        let uri = format!("sip:{text}");
        let Ok(Uri::Sip(uri)) = Uri::read(uri.as_bytes()) else { return Err(BadAor) };
        let is_bare = uri.password.is_none() && uri.params.iter().next().is_none();
        if !is_bare || uri.headers.iter().next().is_some() {
            return Err(BadAor);
        }
        let mut aor = Vec::with_capacity(text.len());
        canonical(uri).write_address_of_record(&mut aor);
        String::from_utf8(aor).map(|aor| Self(aor.into())).map_err(|_| BadAor)
    }
}

impl Aor {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Aor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why registrations were not removed, or their end is not known to be durable ([`RegistrationError::Commit`]).
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegistrationError {
    /// Nothing is registered for it, or not at this contact.
    #[error("{0} is not registered, or not at this contact")]
    Unknown(Aor),
    /// The journal does not take it.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// It has ended, but the journal could not make that durable yet.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// What becomes of the credentials of a device that is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceCredentials {
    /// They are forgotten, too: nobody gets in with them any more.
    Forget,
    /// They stay, and belong to the device if it comes again.
    Keep,
}

/// What came of one of many credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imported {
    /// It is new.
    Created,
    /// It took the place of one that was there.
    Replaced,
}

/// Transactions in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transactions {
    /// Requests of this server that are under way.
    pub client: usize,
    /// Answers that are kept for requests that come again.
    pub server: usize,
}

impl Sip {
    /// How many transactions are in memory.
    pub fn transactions(&self) -> Transactions {
        Transactions { client: self.clients.lock().len(), server: self.servers.lock().len() }
    }
}

/// Removals that are on their way to the disk.
pub(in crate::service) struct Leaving {
    credentials: usize,
    registrations: usize,
    tickets: Vec<Ticket>,
}

impl Service {
    /// Store a new realm, or other domains of one. `expected` is the revision that the change is based on; 0 with `create` is for
    /// a realm that must not be there.
    pub async fn put_realm(
        &self,
        name: RealmName,
        domains: Vec<Domain>,
        create: bool,
        expected: Option<u64>,
    ) -> Result<Arc<Realm>, CredentialError> {
        let (realm, ticket) = self.sip.credentials.put_realm(name, domains, create, expected)?;
        ticket.await?;
        let what = if realm.revision == 1 { "created" } else { "changed" };
        self.admin_event(None, format!("SIP realm {} {what}", realm.name));
        Ok(realm)
    }

    /// Forget a realm that has no credentials.
    pub async fn delete_realm(&self, name: &RealmName, expected: Option<u64>) -> Result<(), CredentialError> {
        self.sip.credentials.remove_realm(name, expected)?.await?;
        self.admin_event(None, format!("SIP realm {name} deleted"));
        Ok(())
    }

    /// Store a new credential, or a changed one. `create` and `expected` as for [`Service::put_realm`].
    pub async fn put_credential(
        &self,
        wish: CredentialWish,
        create: bool,
        expected: Option<u64>,
    ) -> Result<Arc<Credential>, CredentialError> {
        let (credential, ticket) = self.sip.credentials.put(wish, create, expected)?;
        ticket.await?;
        let what = if credential.revision == 1 { "created" } else { "changed" };
        self.credential_event(&credential, what);
        Ok(credential)
    }

    /// Forget a credential. Who is registered with it stays so until the registration ends.
    pub async fn delete_credential(
        &self,
        realm: &RealmName,
        username: &Username,
        expected: Option<u64>,
    ) -> Result<(), CredentialError> {
        let known = self.sip.credentials.find(realm.as_str(), username.as_str());
        self.sip.credentials.remove(realm, username, expected)?.await?;
        if let Some(known) = known {
            self.credential_event(&known, "deleted");
        }
        Ok(())
    }

    /// Store many credentials, each by itself and each at its place in the answer. One that is there already is left alone with
    /// [`CredentialError::Revision`] unless it shall be replaced.
    pub async fn import_credentials(
        &self,
        realm: &RealmName,
        wishes: Vec<CredentialWish>,
        replace: bool,
    ) -> Vec<Result<Imported, CredentialError>> {
        let expected = if replace { None } else { Some(0) };
        let mut outcomes = Vec::with_capacity(wishes.len());
        let mut wishes = wishes.into_iter().peekable();
        while wishes.peek().is_some() {
            let begun: Vec<_> = wishes
                .by_ref()
                .take(AT_ONCE)
                .map(|wish| self.sip.credentials.put(wish, true, expected))
                .collect();
            for begun in begun {
                outcomes.push(ended(begun).await);
            }
        }
        let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        if done > 0 {
            let credentials = counted(done, "credential", "credentials");
            self.admin_event(None, format!("SIP realm {realm}: {credentials} imported"));
        }
        outcomes
    }

    fn credential_event(&self, credential: &Credential, what: &str) {
        let Credential { realm, username, device, .. } = credential;
        self.admin_event(device.as_ref(), format!("SIP user {username} of realm {realm} {what}"));
    }

    /// End the registrations of an address-of-record, or only that at `contact`. The endpoint is not told: it comes again when it
    /// would have refreshed, if it still may. Says how many have ended.
    pub async fn remove_registrations(
        &self,
        aor: &Aor,
        contact: Option<&str>,
    ) -> Result<usize, RegistrationError> {
        let is_meant = |known: &str| contact.is_none_or(|contact| *known == *contact);
        let mut bindings = self.sip.location.get(aor.as_str(), self.steady());
        bindings.retain(|binding| is_meant(&binding.contact));
        let removed = self.sip.location.remove(aor.as_str(), contact)?;
        let position = removed.ok_or_else(|| RegistrationError::Unknown(aor.clone()))?;
        self.sip.committed(position).await?;
        let text = format!("{} of {aor} removed", counted(bindings.len(), "registration", "registrations"));
        let device = bindings.first().and_then(|binding| binding.device.as_ref());
        let is_one = bindings.iter().all(|binding| binding.device.as_ref() == device);
        self.admin_event(device.filter(|_| is_one), text);
        Ok(bindings.len())
    }

    /// Whether SIP holds anything of a device that is to be forgotten with it.
    pub fn has_endpoint(&self, device: &DeviceId, fate: DeviceCredentials) -> bool {
        let has_credentials = || !self.credentials_of(device, 1).is_empty();
        (fate == DeviceCredentials::Forget && has_credentials())
            || !self.sip.location.of_device(device, self.steady()).is_empty()
    }

    fn credentials_of(&self, device: &DeviceId, most: usize) -> Vec<Arc<Credential>> {
        let filter = CredentialFilter { device: Some(device.clone()), ..CredentialFilter::default() };
        self.sip.credentials.page(None, most, &filter).credentials
    }

    /// Forget what SIP holds of a device. Done in memory when this returns; [`Service::endpoint_forgotten`] waits for the disk.
    pub(in crate::service) fn forget_endpoint(
        &self,
        device: &DeviceId,
        fate: DeviceCredentials,
    ) -> Result<Leaving, AdminError> {
        let mut leaving = Leaving { credentials: 0, registrations: 0, tickets: Vec::new() };
        if fate == DeviceCredentials::Forget {
            for credential in self.credentials_of(device, MAX_PER_DEVICE) {
                match self.sip.credentials.remove(&credential.realm, &credential.username, None) {
                    Ok(ticket) => leaving.tickets.push(ticket),
                    // Somebody else was faster.
                    Err(CredentialError::Unknown(..)) => continue,
                    Err(error) => return Err(error.into()),
                }
                leaving.credentials += 1;
            }
        }
        let mut end = None;
        for (aor, binding) in self.sip.location.of_device(device, self.steady()) {
            let removed = self.sip.location.remove(&aor, Some(&binding.contact));
            let Some(position) = removed.map_err(RegistrationError::from)? else { continue };
            end = end.max(Some(position));
            leaving.registrations += 1;
        }
        leaving.tickets.extend(end.map(|position| self.sip.committed(position)));
        Ok(leaving)
    }

    /// Wait until what was forgotten with a device is so for good.
    pub(in crate::service) async fn endpoint_forgotten(
        &self,
        device: &DeviceId,
        leaving: Leaving,
    ) -> Result<(), AdminError> {
        for ticket in leaving.tickets {
            ticket.await.map_err(FleetError::from)?;
        }
        if leaving.credentials + leaving.registrations > 0 {
            let credentials = counted(leaving.credentials, "SIP credential", "SIP credentials");
            let registrations = counted(leaving.registrations, "registration", "registrations");
            self.admin_event(Some(device), format!("{credentials} and {registrations} deleted with it"));
        }
        Ok(())
    }
}

async fn ended(
    begun: Result<(Arc<Credential>, Ticket), CredentialError>,
) -> Result<Imported, CredentialError> {
    let (credential, ticket) = begun?;
    ticket.await?;
    Ok(if credential.revision == 1 { Imported::Created } else { Imported::Replaced })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_of_record_has_one_form() {
        for (text, shown) in [
            ("alice@Example.COM", "alice@example.com"),
            ("%61lice@example.com", "alice@example.com"),
            ("a%23b@example.com:5070", "a%23b@example.com"),
            ("+4989123@192.0.2.1", "+4989123@192.0.2.1"),
            ("alice@[2001:DB8::1]", "alice@[2001:db8::1]"),
            ("example.com", "example.com"),
        ] {
            let aor: Aor = text.parse().unwrap();
            assert_eq!(aor.as_str(), shown);
            assert_eq!(shown.parse(), Ok(aor));
        }
        for bad in ["", "@", "a@", "a b@c", "a@b;transport=tcp", "a@b?x=y", "a:b@c", "a@b@c", "a@b/c"] {
            assert_eq!(bad.parse::<Aor>(), Err(BadAor), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,40}") {
            if let Ok(aor) = text.parse::<Aor>() {
                prop_assert_eq!(aor.as_str().parse(), Ok(aor.clone()));
            }
        }
    }
}
