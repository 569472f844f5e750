//! What time does to bindings: they end, and endpoints are asked whether they are there.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::super::binding::{Binding, Flow, Liveness};
use super::super::registrar::Done;
use super::shard::{Entry, Shard};
use super::{Location, Place, SHARDS, wakes};
use crate::device::DeviceId;
use crate::time::Timestamp;

/// After this time it is tried again to end bindings whose end the journal did not take.
const AGAIN: Duration = Duration::from_secs(1);

/// Ends of records that are written in one tick.
const OVER_AT_ONCE: usize = 1_000;

/// An endpoint that is to be asked whether it is there (OPTIONS).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Where its address-of-record stands.
    pub place: Place,
    /// Which of its bindings, and in which form: one that was refreshed meanwhile needs no answer.
    pub transaction: u64,
    /// What is asked for: the contact's URI.
    pub contact: Box<str>,
    /// The address-of-record.
    pub aor: Box<str>,
    /// On which flow.
    pub flow: Flow,
    /// Route set (RFC 3327).
    pub path: Box<str>,
}

/// Something that time brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// An endpoint is to be asked.
    Ping(Ping),
    /// A binding ended because nobody refreshed it.
    Expired {
        /// Its address-of-record.
        aor: Box<str>,
        /// Its device.
        device: Option<DeviceId>,
    },
}

/// What one call of [`Location::tick`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// Bindings that ended.
    pub expired: usize,
    /// Endpoints that are to be asked.
    pub pings: usize,
    /// Endpoints that were not asked because too many were: they are a second later.
    pub postponed: usize,
}

impl Location {
    /// End what is over and say who is to be asked, `pings` at most. To be called several times a second; one shard is locked
    /// at a time.
    pub fn tick(&self, now: Timestamp, pings: usize, due: &mut Vec<Due>) -> Tick {
        let mut done = Tick::default();
        let mut awake = Vec::new();
        for number in 0..SHARDS {
            // SHARDS is less than 256.
            let number = u8::try_from(number).unwrap_or(u8::MAX);
            let mut shard = self.shard(number);
            shard.awake(now, &mut awake);
            for slot in awake.drain(..) {
                let place = Place { shard: number, slot };
                self.wake(&mut shard, place, now, pings, &mut done, due);
            }
        }
        self.end_over(now);
        done
    }

    /// Write the end of records that were over when the process began, some at a time, after as much time as none of them could
    /// outlive: if the clock was wrong then, a restart with the right one still finds them. Whoever has registered since has a record
    /// of its own.
    fn end_over(&self, now: Timestamp) {
        let life = Duration::from_secs(self.settings.registrar.max_expires.into());
        if now < self.began.plus(life) {
            return;
        }
        for _ in 0..OVER_AT_ONCE {
            let Some(aor) = self.over.lock().pop() else { return };
            let hash = self.hash(&aor);
            let mut shard = self.shard(Self::shard_of(hash));
            if shard.find(hash, &aor).is_some() {
                continue;
            }
            match self.journal.append(&aor, None) {
                Ok(position) => shard.ended = shard.ended.max(position),
                Err(error) => {
                    tracing::debug!(%aor, %error, "the end of a registration is not written yet");
                    drop(shard);
                    return self.over.lock().push(aor);
                }
            }
        }
    }

    fn wake(
        &self,
        shard: &mut Shard,
        place: Place,
        now: Timestamp,
        pings: usize,
        done: &mut Tick,
        due: &mut Vec<Due>,
    ) {
        let Some(entry) = shard.get_mut(place.slot) else { return };
        if entry.wakes > now {
            // It came at the wheel's horizon, or what it was put in for has changed.
            let wakes = entry.wakes;
            return shard.plan(place.slot, wakes);
        }
        let mut again = None;
        if entry.bindings.iter().any(|binding| !binding.is_current(now)) {
            let over = self.end_expired(shard, place, now, done, due);
            if over == Over::Later {
                again = Some(now.plus(AGAIN));
            }
        }
        let Some(entry) = shard.get_mut(place.slot) else { return };
        ask(entry, place, &self.settings.pings, now, pings, done, due);
        let wakes = again.unwrap_or_else(|| wakes(&entry.bindings));
        shard.plan(place.slot, wakes);
    }

    /// Remove what is over. The end of bindings is written down so that the journal can forget them; that they are over is known
    /// without.
    fn end_expired(
        &self,
        shard: &mut Shard,
        place: Place,
        now: Timestamp,
        done: &mut Tick,
        due: &mut Vec<Due>,
    ) -> Over {
        let Some((entry, room)) = shard.get_with_room(place.slot) else { return Over::Done };
        let left: Vec<Binding> = entry.bindings.iter().filter(|it| it.is_current(now)).cloned().collect();
        let appended = self.append(&entry.aor, &left, room);
        let over = match appended {
            Ok(position) => {
                entry.position = position;
                let gone = entry.bindings.iter().filter(|binding| !binding.is_current(now));
                for binding in gone {
                    done.expired += 1;
                    due.push(Due::Expired { aor: entry.aor.clone(), device: binding.device.clone() });
                }
                let change = Done::All(std::mem::replace(&mut entry.bindings, left));
                self.account(place, &change, &entry.bindings);
                Over::Done
            }
            Err(error) => {
                tracing::debug!(aor = %entry.aor, %error, "the end of a binding is not written yet");
                Over::Later
            }
        };
        let (is_empty, position) = (entry.bindings.is_empty(), entry.position);
        if is_empty {
            shard.ended = shard.ended.max(position);
            shard.remove(place.slot);
            self.counts.aors.fetch_sub(1, Relaxed);
        }
        over
    }

    /// An endpoint answered what it was asked, or did not in time: the one that registered `contact` with the request `transaction`. Returns its address-of-record and device if that is news.
    pub fn answered(
        &self,
        place: Place,
        (transaction, contact): (u64, &str),
        is_there: bool,
    ) -> Option<(Box<str>, Option<DeviceId>)> {
        let state = if is_there { Liveness::Reachable } else { Liveness::Lost };
        let mut shard = self.shard(place.shard);
        let entry = shard.get_mut(place.slot)?;
        let binding = entry
            .bindings
            .iter_mut()
            .find(|binding| binding.transaction == transaction && *binding.contact == *contact)?;
        if binding.liveness == state {
            return None;
        }
        // That an endpoint which registered is there is no news.
        let is_news = state == Liveness::Lost || binding.liveness == Liveness::Lost;
        self.counts.sub(binding);
        binding.liveness = state;
        self.counts.add(binding);
        is_news.then(|| (entry.aor.clone(), binding.device.clone()))
    }

    /// A connection is gone: its bindings stand, but nothing can be sent to them until the endpoint comes again
    /// (RFC 5626, section 5.3). Returns the devices that are lost by it.
    pub fn connection_closed(&self, place: Place, connection: u64) -> Vec<(Box<str>, Option<DeviceId>)> {
        let mut lost = Vec::new();
        let mut shard = self.shard(place.shard);
        let Some(entry) = shard.get_mut(place.slot) else { return lost };
        for binding in &mut entry.bindings {
            if binding.flow.connection != connection || !binding.flow.transport.is_reliable() {
                continue;
            }
            self.counts.sub(binding);
            binding.flow.connection = 0;
            binding.liveness = Liveness::Lost;
            binding.next_ping = None;
            self.counts.add(binding);
            lost.push((entry.aor.clone(), binding.device.clone()));
        }
        lost
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Done,
    Later,
}

fn ask(
    entry: &mut Entry,
    place: Place,
    settings: &super::PingSettings,
    now: Timestamp,
    pings: usize,
    done: &mut Tick,
    due: &mut Vec<Due>,
) {
    for binding in &mut entry.bindings {
        let is_due = binding.next_ping.is_some_and(|at| at <= now);
        if !is_due {
            continue;
        }
        if done.pings >= pings {
            binding.next_ping = Some(now.plus(Duration::from_secs(1)));
            done.postponed += 1;
            continue;
        }
        binding.next_ping = settings.interval(binding).map(|interval| now.plus(interval));
        if binding.flow.is_gone() {
            continue;
        }
        done.pings += 1;
        due.push(Due::Ping(Ping {
            place,
            transaction: binding.transaction,
            contact: binding.contact.clone(),
            aor: entry.aor.clone(),
            flow: binding.flow,
            path: binding.path.clone(),
        }));
    }
}
