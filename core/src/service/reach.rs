//! Who has to be called, and what came of it.

use super::Service;
use crate::device::DeviceId;
use crate::event::{EventDraft, EventKind};
use crate::reach::calls::NotNow;
use crate::reach::scan::{Scan, ScanId, ScanRefused, ScanState, ScanWish};
use crate::reach::{CallOutcome, NotCallable, Target};

/// Ids taken from the fleet at a time.
const CHUNK: usize = 512;

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

impl Service {
    /// Have all devices called that have work waiting: after a start. Gives their number.
    pub fn want_waiting(&self) -> usize {
        let (mut last, mut wanted) = (None, 0);
        loop {
            let ids = self.fleet.ids_after(last.as_ref(), CHUNK);
            for id in &ids {
                if self.has_work(id) {
                    self.want(id);
                    wanted += 1;
                }
            }
            match ids.into_iter().next_back() {
                Some(id) => last = Some(id),
                None => return wanted,
            }
        }
    }

    /// Have a device called now, whether work waits for it or not.
    pub fn call_now(&self, id: &DeviceId) -> Result<(), CallRefused> {
        let device = self.fleet.get(id).ok_or(CallRefused::NoDevice)?;
        if !self.reach.is_enabled() {
            return Err(CallRefused::Off);
        }
        self.reach.target(&device).map_err(CallRefused::NotCallable)?;
        self.keep_distance(id);
        self.reach.hurry(id, self.now()).map_err(CallRefused::NotNow)?;
        self.admin_event(Some(id), "contact-me asked for");
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

    /// Where a device that is due is called. An outcome means that it is not, and is to be told like that of a call.
    pub fn target(&self, id: &DeviceId) -> Result<Target, CallOutcome> {
        let device = self.fleet.get(id).ok_or(CallOutcome::NotCalled(NotCallable::Unknown))?;
        let target = self.reach.target(&device).map_err(|why| match why {
            NotCallable::Unsure => CallOutcome::NoSocket,
            why => CallOutcome::NotCalled(why),
        })?;
        self.reach.call_address(target.address, self.now()).map_err(CallOutcome::Postponed)?;
        Ok(target)
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
        if matches!(last, Some(CallOutcome::NotCalled(_))) {
            return;
        }
        let tries = self.settings.reach.calls.tries;
        let last = last.map_or_else(String::new, |last| format!(", the last: {last}"));
        let text = format!("it did not come after {tries} contact-me calls{last}");
        self.record(EventDraft::about(id, EventKind::ContactFailed, text));
    }

    fn has_work(&self, id: &DeviceId) -> bool {
        self.fleet.get(id).is_some_and(|device| device.has_pending())
    }

    /// Work was added to a device, which may have come for it already.
    pub(super) fn work_added(&self, id: &DeviceId) {
        if self.has_work(id) {
            self.want(id);
        }
    }

    /// Work was taken away from a device.
    pub(super) fn work_removed(&self, id: &DeviceId) {
        if !self.has_work(id) {
            self.at_rest(id);
        }
    }

    /// A flow of the device is over.
    pub(super) fn flow_is_over(&self, id: &DeviceId) {
        if self.has_work(id) {
            self.keep_distance(id);
            self.reach.want_again(id, self.now());
        } else {
            self.at_rest(id);
        }
    }

    /// No work waits for a device, unless some was added just now: then its call must not be lost.
    pub(super) fn at_rest(&self, id: &DeviceId) {
        self.reach.rest(id, self.now());
        if self.has_work(id) {
            self.want(id);
        }
    }

    fn want(&self, id: &DeviceId) {
        self.keep_distance(id);
        self.reach.want(id, self.now());
    }

    /// Nobody knows when a device was called last that is older than this process: it may have been just before.
    fn keep_distance(&self, id: &DeviceId) {
        if self.fleet.get(id).is_some_and(|device| device.contacts.first < self.started) {
            self.reach.perhaps_called(id, self.started, self.now());
        }
    }
}
