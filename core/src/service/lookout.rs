//! Who has work waiting: what the fleet holds, told to [`Reach`].

use std::fmt;
use std::sync::Arc;

use crate::device::{Device, Task};
use crate::fleet::Watch;
use crate::job::{self, JobBook};
use crate::reach::Reach;
use crate::sip::numbers::Numbers;
use crate::snmp::places::Places;
use crate::time::{Clock, Timestamp};

/// Hears of every change of a device and tells [`Reach`] whether it is to come.
pub(super) struct Lookout {
    pub(super) reach: Arc<Reach>,
    pub(super) jobs: Arc<job::Registry>,
    pub(super) clock: Arc<dyn Clock>,
    /// Devices by telephone number.
    pub(super) numbers: Numbers,
    /// Devices by address.
    pub(super) places: Places,
}

impl fmt::Debug for Lookout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookout").finish_non_exhaustive()
    }
}

impl Lookout {
    pub(super) fn new(reach: Arc<Reach>, jobs: Arc<job::Registry>, clock: Arc<dyn Clock>) -> Self {
        Self { reach, jobs, clock, numbers: Numbers::default(), places: Places::default() }
    }

    /// Whether there is something to do with the device as soon as it comes.
    pub(super) fn is_due(&self, device: &Device, now: Timestamp) -> bool {
        device.awaits_mode() || (device.has_pending() && has_due_task(device, &self.jobs.book(), now))
    }
}

impl Watch for Lookout {
    fn changed(&self, old: Option<&Device>, new: Option<&Device>) {
        self.numbers.follow(old, new);
        self.places.follow(old, new);
        let now = self.clock.now();
        let is_due = new.is_some_and(|new| self.is_due(new, now));
        self.reach.members.follow(old, new, is_due);
        match (old, new) {
            (Some(old), None) => self.reach.rest(old, now),
            (_, Some(new)) if is_due && has_more(old, new) => self.reach.want(new, now),
            (Some(old), Some(new)) if !is_due && may_have_been_due(old) => self.reach.rest(new, now),
            _ => {}
        }
    }
}

fn has_due_task(device: &Device, jobs: &JobBook, now: Timestamp) -> bool {
    device.tasks.iter().any(|task| task.is_pending() && job::is_due(task, jobs, now))
}

/// Whether there is something to do that was not there before. What was there is left alone: if nobody is told of it, the
/// device is about to do it.
fn has_more(old: Option<&Device>, new: &Device) -> bool {
    let Some(old) = old else { return true };
    // What a busy phone gave back is told when its flow is over.
    let is_new = |task: &&Task| !old.tasks.iter().any(|old| old.id == task.id && !old.state.is_ended());
    let chosen = |device: &Device| device.awaits_mode().then_some(device.security.since);
    new.tasks.iter().filter(|task| task.is_pending()).any(|task| is_new(&task))
        || (chosen(new).is_some() && chosen(new) != chosen(old))
}

fn may_have_been_due(old: &Device) -> bool {
    old.has_pending() || old.awaits_mode()
}
