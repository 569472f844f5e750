//! When which phone is called: contact-me is fragile, so it is given in small doses (WPI reference, sections 1.6 and 3).
//!
//! A device is *wanted* when work waits for it. It is called at once, but never twice within [`CallLimits::spacing`];
//! a call that brings nothing is repeated after the times of [`CallLimits::retries`], and after [`CallLimits::tries`]
//! calls the device is left in peace until it comes by itself or is wanted anew. That a phone understood a call does
//! not end anything; only that it [came](Calls::came) does.
//!
//! Nothing here waits or reads a clock. Every step takes time in the logarithm of the number of devices.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use foldhash::fast::RandomState;

use super::CallOutcome;
use crate::device::DeviceId;
use crate::time::Timestamp;

/// Doses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// Devices with a state. One more is not called.
    pub devices: usize,
    /// Devices that are not wanted of which the last call is still known; the oldest is forgotten first.
    pub remembered: usize,
    /// Time from one call of a device to the next at least.
    pub spacing: Duration,
    /// Calls that may bring nothing.
    pub tries: u32,
    /// Time from a call that brought nothing to the next: after the first, the second, and any later one.
    pub retries: [Duration; 3],
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            devices: 1_200_000,
            remembered: 100_000,
            spacing: Duration::from_mins(1),
            tries: 5,
            retries: [Duration::from_mins(1), Duration::from_mins(5), Duration::from_mins(15)],
        }
    }
}

impl CallLimits {
    /// Time to wait after this many calls that brought nothing, from 1.
    fn retry(&self, calls: u32) -> Duration {
        let at = usize::try_from(calls.saturating_sub(1)).unwrap_or(usize::MAX);
        self.retries[at.min(self.retries.len() - 1)].max(self.spacing)
    }

    /// No call is ever planned for later than this.
    fn horizon(&self) -> Duration {
        self.retries.into_iter().fold(self.spacing, Duration::max)
    }
}

/// What a device is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing: it is not wanted.
    Resting,
    /// Its next call, or after the last one: that it comes.
    Waiting(Timestamp),
    /// All tries brought nothing.
    UsedUp,
}

#[derive(Clone, Debug)]
struct Entry {
    stage: Stage,
    /// A call is under way.
    calling: bool,
    /// Calls since it was wanted or came.
    tries: u32,
    /// How often it came and went while work was waiting.
    rounds: u32,
    /// When its last call began, and the one before: a call that was not made takes its time back.
    called: Option<Timestamp>,
    called_before: Option<Timestamp>,
    /// How its last call ended, and when.
    last: Option<(Timestamp, CallOutcome)>,
}

impl Entry {
    fn new() -> Self {
        Self {
            stage: Stage::Resting,
            calling: false,
            tries: 0,
            rounds: 0,
            called: None,
            called_before: None,
            last: None,
        }
    }

    /// When it may be called again.
    fn free(&self, limits: &CallLimits) -> Timestamp {
        self.called.map_or(Timestamp::default(), |called| called.plus(limits.spacing))
    }
}

/// Where an entry stands in the order of things.
enum Place {
    /// To be called at this time.
    Queue(Timestamp),
    /// Not wanted, and free to be called since this time.
    Idle(Timestamp),
    /// A call is under way.
    Calling,
    /// Wanted, and not called any more.
    UsedUp,
}

/// Devices whose time has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// To be called now; each is under way until its [outcome](Calls::outcome) is told.
    pub calls: Vec<DeviceId>,
    /// All their tries brought nothing, and they will not be called again.
    pub used_up: Vec<(DeviceId, Option<CallOutcome>)>,
}

/// How far the calls of a device are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStage {
    /// It is not wanted.
    Resting,
    /// It will be called at this time, or is waited for until then.
    Waiting(Timestamp),
    /// It is being called.
    Calling,
    /// All tries brought nothing.
    UsedUp,
}

/// What is known of the calls of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallState {
    /// How far they are.
    pub stage: CallStage,
    /// Calls since it was wanted or came.
    pub tries: u32,
    /// Calls that are left.
    pub tries_left: u32,
    /// When the last one began.
    pub called: Option<Timestamp>,
    /// When and how the last one ended.
    pub last: Option<(Timestamp, CallOutcome)>,
}

/// Why a device is not called now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// It was called a short while ago. It may be called at this time.
    #[error("it was called a short while ago")]
    TooSoon(Timestamp),
    /// As many devices have a state as may.
    #[error("as many devices are being called as may be")]
    Full,
}

/// The numbers of devices by what they wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// Waiting for a call.
    pub waiting: usize,
    /// Being called.
    pub calling: usize,
    /// Left in peace after all tries.
    pub used_up: usize,
}

/// The plan of all calls.
#[derive(Debug)]
pub struct Calls {
    limits: CallLimits,
    entries: HashMap<DeviceId, Entry, RandomState>,
    queue: BTreeSet<(Timestamp, DeviceId)>,
    idle: BTreeSet<(Timestamp, DeviceId)>,
    calling: usize,
    used_up: usize,
}

impl Calls {
    /// Nobody is wanted yet.
    pub fn new(limits: CallLimits) -> Self {
        Self {
            limits,
            entries: HashMap::default(),
            queue: BTreeSet::new(),
            idle: BTreeSet::new(),
            calling: 0,
            used_up: 0,
        }
    }

    /// The device may have been called at this time, by a process before this one. `false`: there are too many.
    pub fn perhaps_called(&mut self, id: &DeviceId, at: Timestamp, now: Timestamp) -> bool {
        self.change(id, now, |entry, _| entry.called = entry.called.max(Some(at)))
    }

    /// Work waits for the device. One that is wanted already stays where it is. `false`: there are too many.
    pub fn want(&mut self, id: &DeviceId, now: Timestamp) -> bool {
        self.change(id, now, |entry, limits| {
            if !matches!(entry.stage, Stage::Waiting(_)) {
                entry.tries = 0;
                entry.stage = Stage::Waiting(entry.free(limits).max(now));
            }
        })
    }

    /// The device came, and left with work waiting: it is busy, or did not end what it began. It is called later, and
    /// later still if that happens again. `false`: there are too many.
    pub fn want_again(&mut self, id: &DeviceId, now: Timestamp) -> bool {
        self.change(id, now, |entry, limits| {
            if !matches!(entry.stage, Stage::Waiting(_)) {
                entry.rounds = entry.rounds.saturating_add(1);
                entry.tries = 0;
                let at = now.plus(limits.retry(entry.rounds));
                entry.stage = Stage::Waiting(entry.free(limits).max(at));
            }
        })
    }

    /// Call the device now, with all its tries before it.
    ///
    /// # Errors
    /// [`NotNow`]; nothing is changed then.
    pub fn hurry(&mut self, id: &DeviceId, now: Timestamp) -> Result<(), NotNow> {
        if let Some(entry) = self.entries.get(id) {
            let free = entry.free(&self.limits);
            if entry.calling || free > now {
                return Err(NotNow::TooSoon(free));
            }
        }
        let begin = |entry: &mut Entry, _: &CallLimits| {
            entry.tries = 0;
            entry.stage = Stage::Waiting(now);
        };
        if self.change(id, now, begin) { Ok(()) } else { Err(NotNow::Full) }
    }

    /// The device opened a flow: it need not be called any more.
    pub fn came(&mut self, id: &DeviceId, now: Timestamp) {
        self.change_known(id, now, |entry, _| {
            entry.stage = Stage::Resting;
            entry.tries = 0;
        });
    }

    /// No work waits for the device.
    pub fn rest(&mut self, id: &DeviceId, now: Timestamp) {
        self.change_known(id, now, |entry, _| {
            entry.stage = Stage::Resting;
            entry.tries = 0;
            entry.rounds = 0;
        });
    }

    /// Devices whose time has come, at most `max` of each kind. Those to be called are under way from now on.
    pub fn due(&mut self, now: Timestamp, max: usize) -> Due {
        let mut due = Due::default();
        while due.calls.len() < max && due.used_up.len() < max {
            let Some((at, id)) = self.queue.first() else { break };
            // Later than anything is ever planned for: the clock was set back.
            if *at > now && at.since(now) <= self.limits.horizon() {
                break;
            }
            let id = id.clone();
            let mut calls = true;
            self.change_known(&id, now, |entry, limits| {
                if entry.tries >= limits.tries {
                    entry.stage = Stage::UsedUp;
                    due.used_up.push((id.clone(), entry.last.map(|(_, outcome)| outcome)));
                    calls = false;
                    return;
                }
                entry.tries += 1;
                entry.calling = true;
                entry.called_before = entry.called.replace(now);
            });
            if calls {
                due.calls.push(id);
            }
        }
        due
    }

    /// How the call of a device went that was due. `true`: it will not be called, because it cannot be.
    pub fn outcome(&mut self, id: &DeviceId, now: Timestamp, outcome: CallOutcome) -> bool {
        let mut given_up = false;
        self.change_known(id, now, |entry, limits| {
            if !std::mem::take(&mut entry.calling) {
                return;
            }
            entry.last = Some((now, outcome));
            if outcome.is_no_call() {
                entry.called = entry.called_before.take();
                entry.tries = entry.tries.saturating_sub(1);
            }
            let Stage::Waiting(_) = entry.stage else { return };
            entry.stage = match outcome {
                CallOutcome::NotCalled(_) => {
                    given_up = true;
                    Stage::UsedUp
                }
                CallOutcome::Postponed(until) => Stage::Waiting(entry.free(limits).max(until).max(now)),
                // Its time was taken back: counted from there it would be due again at once, and again.
                CallOutcome::EdgeAway => Stage::Waiting(entry.free(limits).max(now.plus(limits.retry(1)))),
                // After the last one the phone has the time of the first retry to come.
                _ if entry.tries >= limits.tries => {
                    Stage::Waiting(entry.called.unwrap_or(now).plus(limits.retry(1)).max(now))
                }
                _ => {
                    let at = entry.called.unwrap_or(now).plus(limits.retry(entry.tries));
                    Stage::Waiting(entry.free(limits).max(at).max(now))
                }
            };
        });
        given_up
    }

    /// When somebody is due, at the earliest.
    pub fn next_at(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// What is known of the calls of a device.
    pub fn state(&self, id: &DeviceId) -> CallState {
        let unknown = Entry::new();
        let entry = self.entries.get(id).unwrap_or(&unknown);
        let stage = match entry.stage {
            _ if entry.calling => CallStage::Calling,
            Stage::Resting => CallStage::Resting,
            Stage::Waiting(at) => CallStage::Waiting(at),
            Stage::UsedUp => CallStage::UsedUp,
        };
        let tries_left = match entry.stage {
            Stage::UsedUp => 0,
            _ => self.limits.tries.saturating_sub(entry.tries),
        };
        CallState { stage, tries: entry.tries, tries_left, called: entry.called, last: entry.last }
    }

    /// The numbers of devices by what they wait for.
    pub fn counts(&self) -> CallCounts {
        CallCounts { waiting: self.queue.len(), calling: self.calling, used_up: self.used_up }
    }

    /// Change a device's entry, which is made if there is none. `false`: there is no room for it.
    fn change(
        &mut self,
        id: &DeviceId,
        now: Timestamp,
        change: impl FnOnce(&mut Entry, &CallLimits),
    ) -> bool {
        if !self.entries.contains_key(id) {
            if self.entries.len() >= self.limits.devices && !self.forget_oldest(now) {
                return false;
            }
            let entry = Entry::new();
            self.put(id, &entry);
            self.entries.insert(id.clone(), entry);
        }
        self.change_known(id, now, change);
        true
    }

    /// Change a device's entry, if there is one, and where it stands.
    fn change_known(&mut self, id: &DeviceId, now: Timestamp, change: impl FnOnce(&mut Entry, &CallLimits)) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let old = entry.clone();
        change(entry, &self.limits);
        let new = entry.clone();
        self.take(id, &old);
        self.put(id, &new);
        while self.idle.len() > self.limits.remembered && self.forget_oldest(now) {}
    }

    fn place(&self, entry: &Entry) -> Place {
        match entry.stage {
            _ if entry.calling => Place::Calling,
            Stage::Waiting(at) => Place::Queue(at),
            Stage::Resting => Place::Idle(entry.free(&self.limits)),
            Stage::UsedUp => Place::UsedUp,
        }
    }

    fn put(&mut self, id: &DeviceId, entry: &Entry) {
        match self.place(entry) {
            Place::Queue(at) => drop(self.queue.insert((at, id.clone()))),
            Place::Idle(free) => drop(self.idle.insert((free, id.clone()))),
            Place::Calling => self.calling += 1,
            Place::UsedUp => self.used_up += 1,
        }
    }

    fn take(&mut self, id: &DeviceId, entry: &Entry) {
        match self.place(entry) {
            Place::Queue(at) => drop(self.queue.remove(&(at, id.clone()))),
            Place::Idle(free) => drop(self.idle.remove(&(free, id.clone()))),
            Place::Calling => self.calling -= 1,
            Place::UsedUp => self.used_up -= 1,
        }
    }

    /// Forget the device that is idle for longest, if it may be called again: else it could be called too soon.
    fn forget_oldest(&mut self, now: Timestamp) -> bool {
        let Some((free, _)) = self.idle.first() else { return false };
        if *free > now {
            return false;
        }
        let Some((_, id)) = self.idle.pop_first() else { return false };
        self.entries.remove(&id);
        true
    }
}

#[cfg(test)]
mod tests;
