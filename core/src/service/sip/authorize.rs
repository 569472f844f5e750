//! Who may register which address (RFC 3261, section 10.3, step 5).

use callboard_codecs::sip::SipUri;

use super::ClientProof;
use super::authenticate::Who;
use crate::device::DeviceId;
use crate::service::Service;
use crate::sip::identify::device_in;

impl Service {
    /// The device that a client certificate proves: one that it was issued to, and that was not given up since. It is looked at
    /// for each request, because connections last longer than that.
    pub(super) fn proven_device<'a>(&self, proof: Option<ClientProof<'a>>) -> Option<&'a DeviceId> {
        let ClientProof { device, serial } = proof?;
        let is_good = self.fleet.look(device, |known| known.security.knows(serial)).unwrap_or(false);
        is_good.then_some(device)
    }

    /// Whether a sender may register an address.
    pub(super) fn may_register(&self, sender: &Who, to: &SipUri<'_>) -> bool {
        match sender {
            Who::Trusted => true,
            Who::User(user) | Who::Again(user) => is_own(user.username.as_str(), to),
            Who::Device(device) => self.is_address_of(device, to),
        }
    }

    /// Whether an address is that of a device: a credential with its name is the device's; where nobody has a credential with that
    /// name, it is the device's number or MAC address.
    fn is_address_of(&self, device: &DeviceId, to: &SipUri<'_>) -> bool {
        let Ok(user) = String::from_utf8(to.unescaped_user().collect()) else { return false };
        let realm = self.sip.realm_of(to);
        let credential = realm.and_then(|realm| self.sip.credentials.find(realm.name.as_str(), &user));
        match credential {
            Some(credential) => credential.device.as_ref() == Some(device),
            None => {
                self.lookout.numbers.device(&user).as_ref() == Some(device)
                    || device_in(&user).as_ref() == Some(device)
            }
        }
    }
}

/// Whether an address is a user's own. A user name may be a whole address: then the domain counts too.
fn is_own(username: &str, to: &SipUri<'_>) -> bool {
    let is_user = |name: &str| to.unescaped_user().eq(name.bytes());
    is_user(username)
        || username.rsplit_once('@').is_some_and(|(user, domain)| {
            let mut host = Vec::new();
            to.host.write_canonical(&mut host);
            is_user(user) && host.eq_ignore_ascii_case(domain.as_bytes())
        })
}
