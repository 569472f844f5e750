//! Who has to be called, and what came of it.

use super::Service;
use super::sip::NoSync;
use crate::device::{Device, DeviceId, Task};
use crate::event::{EventDraft, EventKind};
use crate::fleet::FleetError;
use crate::reach::calls::NotNow;
use crate::reach::scan::{Scan, ScanId, ScanRefused, ScanState, ScanWish};
use crate::reach::{CallOutcome, NotCallable, Target};
use crate::site::SiteId;

/// Why a device is not called now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallRefused {
    /// There is no such device.
    #[error("there is no such device")]
    NoDevice,
    /// No calls are made at all.
    #[error("contact-me is switched off (contact.concurrency is 0)")]
    Off,
    /// Its address cannot be called.
    #[error("{0}")]
    NotCallable(NotCallable),
    /// Later.
    #[error("{0}")]
    NotNow(NotNow),
}

/// How a device is called.
#[derive(Debug, PartialEq, Eq)]
pub enum Way {
    /// By contact-me, at its web server. The site is that whose edge has to make the call.
    ContactMe(Target, Option<SiteId>),
    /// By SIP, where it is registered, or where it came from: see [`Service::begin_sync`].
    CheckSync,
}

impl Service {
    /// Have a device called now, whether work waits for it or not.
    pub fn call_now(&self, id: &DeviceId) -> Result<(), CallRefused> {
        let device = self.fleet.get(id).ok_or(CallRefused::NoDevice)?;
        if !self.reach.is_enabled() {
            return Err(CallRefused::Off);
        }
        match self.way_to(&device) {
            Ok(_) => {}
            Err(_) if self.sync_way(id).is_ok() => {}
            Err(why) => return Err(CallRefused::NotCallable(why)),
        }
        self.reach.keep_distance(&device, self.now());
        self.reach.hurry(id, self.now()).map_err(CallRefused::NotNow)?;
        self.admin_event(Some(id), "call asked for");
        Ok(())
    }

    /// Begin a scan. Looks at each address: milliseconds for some thousands.
    pub fn begin_scan(&self, wish: ScanWish) -> Result<Scan, ScanRefused> {
        let scan = self.reach.begin_scan(wish, self.now())?;
        self.admin_event(None, format!("scan {} of {} begun", scan.id, scan.wish.range));
        Ok(scan)
    }

    /// End a scan that is running, or forget one that has ended. `None`: there is none.
    pub fn end_scan(&self, id: ScanId) -> Option<()> {
        let was = self.reach.end_scan(id, self.now())?;
        let what = if was == ScanState::Running { "cancelled" } else { "forgotten" };
        self.admin_event(None, format!("scan {id} {what}"));
        Some(())
    }

    /// Where a device is called, by this machine or the edge of its site, or why it is not. Looks at this machine's addresses:
    /// a system call or two.
    pub fn way_to(&self, device: &Device) -> Result<Target, NotCallable> {
        let is_gone = |site| self.sites.registry.get(site).is_none();
        if device.route.site.is_some_and(is_gone) {
            Err(NotCallable::SiteGone)
        } else {
            self.reach.target(device)
        }
    }

    /// How a device that is due is called. An outcome means that it is not, and is to be told like that of a call.
    pub fn way(&self, id: &DeviceId) -> Result<Way, CallOutcome> {
        let device = self.fleet.get(id).ok_or(CallOutcome::NotCalled(NotCallable::Unknown))?;
        // What only SIP can do is done by SIP.
        let book = self.jobs.book();
        let is_sync = |task: &Task| task.is_pending() && task.task_type.is_check_sync();
        let is_due = |task: &Task| is_sync(task) && crate::job::is_due(task, &book, self.now());
        if device.tasks.iter().any(is_due) {
            return self.sip_way(&device);
        }
        match self.way_to(&device) {
            Ok(target) => self.contact_me(&device, target),
            Err(NotCallable::Unsure) => Err(CallOutcome::NoSocket),
            // A phone that stands behind NAT, or knows nothing of contact-me, may be reached where it is registered.
            Err(why) => match self.sync_way(id) {
                Ok(()) => Ok(Way::CheckSync),
                Err(_) => Err(CallOutcome::NotCalled(why)),
            },
        }
    }

    fn sip_way(&self, device: &Device) -> Result<Way, CallOutcome> {
        match self.sync_way(&device.id) {
            Ok(()) => Ok(Way::CheckSync),
            Err(NoSync::NotRegistered) => self.expected_way(&device.id).map(|()| Way::CheckSync),
            // It waits until the device comes by itself.
            Err(NoSync::FlowGone | NoSync::NotProven) => Err(CallOutcome::Broken),
        }
    }

    fn contact_me(&self, device: &Device, target: Target) -> Result<Way, CallOutcome> {
        let site = device.route.site;
        // What another edge calls is another machine, though it may have the same address.
        if site.is_none() {
            self.reach.call_address(target.address, self.now()).map_err(CallOutcome::Postponed)?;
        }
        Ok(Way::ContactMe(target, site))
    }

    /// How the call of a device that was due went.
    pub fn called(&self, id: &DeviceId, outcome: CallOutcome) {
        tracing::debug!(device = %id, %outcome, "contact-me");
        if self.reach.outcome(id, self.now(), outcome) {
            self.unreached(id, Some(outcome));
        }
    }

    /// A device has work waiting and will not be called any more: all tries brought nothing, or it cannot be called.
    /// `last` is how the last call went.
    pub fn unreached(&self, id: &DeviceId, last: Option<CallOutcome>) {
        match self.switch_to_polling(id) {
            Ok(_) | Err(FleetError::Unknown(_)) => {}
            Err(error) => tracing::debug!(device = %id, %error, "it is not told to poll yet"),
        }
        if matches!(last, Some(CallOutcome::NotCalled(_))) {
            return;
        }
        let tries = self.settings.reach.calls.tries;
        let last = last.map_or_else(String::new, |last| format!(", the last: {last}"));
        let text = format!("it did not come after {tries} contact-me calls{last}");
        self.record(EventDraft::about(id, EventKind::ContactFailed, text));
    }

    /// Whether there is something to do with the device as soon as it comes.
    pub fn has_work(&self, device: &Device) -> bool {
        self.lookout.is_due(device, self.now())
    }

    /// A flow of the device is over, well or not.
    pub(super) fn flow_is_over(&self, id: &DeviceId) {
        let now = self.now();
        // Under the lock: nobody adds work or takes it away meanwhile.
        self.fleet.look(id, |device| {
            if self.lookout.is_due(device, now) {
                self.reach.want_again(device, now);
            } else {
                self.reach.rest(device, now);
            }
        });
    }

    /// Work of a device may be done from now on.
    pub(super) fn work_begins(&self, id: &DeviceId) {
        let now = self.now();
        self.fleet.look(id, |device| {
            if self.lookout.is_due(device, now) {
                self.reach.want(device, now);
            }
        });
    }
}
