//! Taking over what the journal holds.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering::Relaxed;

use super::super::binding::Binding;
use super::super::record::{self, BadBindings};
use super::Location;
use super::shard::Entry;
use crate::store::LoadError;
use crate::store::journal::Position;
use crate::time::Timestamp;

/// What was found in the journal at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocationReport {
    /// Addresses-of-record taken over.
    pub aors: u64,
    /// Bindings taken over.
    pub bindings: u64,
    /// Bindings that ended while nobody looked.
    pub expired: u64,
    /// Records that cannot be read. They stay until their address-of-record registers again.
    pub unreadable: u64,
    /// Stretches of the journal that are damaged. What stood in them is lost, and its endpoints are not known before they
    /// register again.
    pub damaged: usize,
    /// The first of them and what is wrong with them, for the log.
    pub examples: Vec<String>,
}

/// Whether an address-of-record names a port, as the first versions kept them.
fn has_port(aor: &str) -> bool {
    let host = aor.rsplit_once('@').map_or(aor, |parts| parts.1);
    host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'))
}

/// One that was made while the clock was ahead lives no longer than it was granted, and is not newer than all that come.
fn bring_back(binding: &mut Binding, now: Timestamp) {
    let granted = binding.expires.since(binding.refreshed);
    binding.expires = binding.expires.min(now.plus(granted));
    binding.refreshed = binding.refreshed.min(now);
    binding.since = binding.since.min(now);
}

/// Unreadable records named in a report.
const EXAMPLES: usize = 20;

impl Location {
    /// Take over what the journal holds; once, before anybody registers. Fails at a record of a newer Callboard.
    pub fn load(&self, now: Timestamp) -> Result<LocationReport, LoadError> {
        let mut report = LocationReport::default();
        let mut newer = None;
        let scan = self.journal.scan(&mut |aor, value| {
            match record::decode(value, &self.texts) {
                // Nobody could name it: an address has no port. Its endpoint comes again.
                Ok(_) if has_port(aor) => self.over.lock().push(aor.into()),
                Ok(mut bindings) => {
                    let all = bindings.len();
                    for binding in &mut bindings {
                        bring_back(binding, now);
                    }
                    bindings.retain(|binding| binding.is_current(now));
                    report.expired += (all - bindings.len()) as u64;
                    report.bindings += bindings.len() as u64;
                    report.aors += u64::from(!bindings.is_empty());
                    self.take_over(aor, bindings, now);
                }
                Err(BadBindings::Newer(found)) => {
                    newer = Some((Box::<str>::from(aor), found));
                    return ControlFlow::Break(());
                }
                Err(error) => {
                    report.unreadable += 1;
                    if report.examples.len() < EXAMPLES {
                        report.examples.push(format!("{aor}: {error}"));
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        report.damaged = scan.damage.list.len();
        match newer {
            Some((key, found)) => {
                Err(LoadError::NewerBindings { aor: key, found, supported: record::VERSION })
            }
            None => Ok(report),
        }
    }

    fn take_over(&self, aor: &str, mut bindings: Vec<Binding>, now: Timestamp) {
        if bindings.is_empty() {
            // Nobody else would ever look at it again.
            return self.over.lock().push(aor.into());
        }
        bindings.shrink_to_fit();
        self.plan_pings(&mut bindings, now);
        let hash = self.hash(aor);
        let number = Self::shard_of(hash);
        let mut shard = self.shard(number);
        // What is stored is taken over, whatever the bound is now.
        self.counts.aors.fetch_add(1, Relaxed);
        let position = Position::default();
        let place = Self::put(
            &mut shard,
            number,
            Entry { aor: aor.into(), hash, bindings, position, wakes: now, turn: 0 },
        );
        if let Some(entry) = shard.get(place.slot) {
            for binding in &entry.bindings {
                self.counts.add(binding);
            }
            self.account_devices(place, &[], &entry.bindings, &entry.bindings);
        }
    }
}
