//! Telling phones to fetch their configuration that an administrator names, and those that are not registered: at the address
//! from which they came last.

use std::net::{IpAddr, SocketAddr};

use tokio::sync::oneshot;

use super::admin::Aor;
use super::sync::{NoSync, SyncCall};
use crate::device::DeviceId;
use crate::reach::{CallOutcome, NotCallable};
use crate::service::Service;
use crate::sip::binding::{Binding, Flow};
use crate::sip::vendor::SyncWish;
use crate::time::Timestamp;

/// Why a phone is not told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyncRefused {
    /// There is no such device.
    #[error("there is no such device")]
    NoDevice,
    /// It is registered, but there is no way to it.
    #[error(transparent)]
    NoWay(NoSync),
    /// It is not registered, and must not be told where it came from.
    #[error("it is not registered, and where it came from it is not told: {0}")]
    NotCallable(NotCallable),
    /// Its address was called a short while ago. It may be called at this time.
    #[error("its address was called a short while ago")]
    NotNow(Timestamp),
}

impl Service {
    /// Tell a device now, for no task: where it is registered, else at the address that it came from last.
    ///
    /// # Errors
    /// Why not. Nothing has left then.
    pub fn sync_device(
        &self,
        id: &DeviceId,
        wish: SyncWish,
    ) -> Result<oneshot::Receiver<CallOutcome>, SyncRefused> {
        let (aor, binding) = match self.sip_line(id) {
            Ok(line) => line,
            Err(NoSync::NotRegistered) => {
                let line = self.expected_line(id).map_err(|why| match why {
                    NotCallable::Unknown => SyncRefused::NoDevice,
                    why => SyncRefused::NotCallable(why),
                })?;
                self.reach.call_address(line.1.flow.remote, self.now()).map_err(SyncRefused::NotNow)?;
                line
            }
            Err(why) => return Err(SyncRefused::NoWay(why)),
        };
        let sync = self.sync_of(None, aor, binding, wish);
        self.admin_event(Some(id), "check-sync asked for");
        Ok(self.send_sync(SyncCall { sync, ticket: None }))
    }

    /// Tell whoever is registered for an address-of-record, because an administrator wants it.
    ///
    /// # Errors
    /// Why not.
    pub fn sync_registered(
        &self,
        aor: &Aor,
        wish: SyncWish,
    ) -> Result<oneshot::Receiver<CallOutcome>, NoSync> {
        let told = self.sync_aor(aor.as_str(), wish)?;
        self.admin_event(None, format!("check-sync of {aor} asked for"));
        Ok(told)
    }

    /// Where a device is expected that is not registered: at the address from which it came, if that may be called (see
    /// [`Guard`](crate::reach::Guard)), in datagrams. Not behind an edge: its address is one of another network.
    ///
    /// # Errors
    /// Why it is not told there; [`NotCallable::Unknown`] if there is no such device.
    pub(super) fn expected_line(&self, id: &DeviceId) -> Result<(Box<str>, Binding), NotCallable> {
        let device = self.fleet.get(id).ok_or(NotCallable::Unknown)?;
        let source = device.contacts.source.filter(|_| device.route.site.is_none());
        let address = source.ok_or(NotCallable::NotRegistered)?.to_canonical();
        let mut flow = Flow::udp(SocketAddr::new(address, SIP_PORT));
        self.reach.may_call(flow.remote)?;
        flow.local = self.sip.outlet.get().and_then(|outlet| outlet.local(&flow));
        let host = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let contact = format!("sip:{host}");
        let binding =
            Binding::expected(&contact, flow, &device.identity.device_type, id.clone(), self.steady());
        Ok((host.into(), binding))
    }

    /// Whether a device that is not registered is told where it came from; a yes is a call of that address.
    ///
    /// # Errors
    /// What is to be told like the outcome of a call.
    pub(in crate::service) fn expected_way(&self, id: &DeviceId) -> Result<(), CallOutcome> {
        let (_, binding) = self.expected_line(id).map_err(|why| match why {
            NotCallable::Unsure => CallOutcome::NoSocket,
            why => CallOutcome::NotCalled(why),
        })?;
        self.reach.call_address(binding.flow.remote, self.now()).map_err(CallOutcome::Postponed)
    }
}

/// The port of SIP in datagrams.
const SIP_PORT: u16 = 5_060;
