//! All jobs: kept in memory, changed through the store.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::record::{self, BadJobRecord, Key, VERSION};
use super::{Job, JobId};
use crate::device::DeviceId;
use crate::store::{CommitError, LoadError, Store, SubmitError, Table, Ticket, Write};

/// Why a job was not changed, or its change is not known to be durable ([`JobError::Commit`]).
#[derive(Clone, Debug, thiserror::Error)]
pub enum JobError {
    /// No such job.
    #[error("no job {0}")]
    Unknown(JobId),
    /// As many as may be.
    #[error("there are {limit} jobs already; delete some that have ended")]
    Full {
        /// The bound.
        limit: usize,
    },
    /// Somebody else changed it meanwhile.
    #[error("the job has revision {current}, not {expected}")]
    Revision {
        /// What the caller had.
        expected: u64,
        /// What it is.
        current: u64,
    },
    /// It is in a state in which this cannot be done.
    #[error("{0}")]
    State(&'static str),
    /// The store does not take it.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The change is made, but the store could not make it durable yet.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// It cannot be packed.
    #[error(transparent)]
    Record(#[from] BadJobRecord),
}

/// The jobs at one moment, for whoever looks tasks up in them.
#[derive(Clone, Debug, Default)]
pub struct JobBook {
    jobs: BTreeMap<JobId, Arc<Job>>,
    unreadable: Arc<BTreeSet<JobId>>,
}

impl JobBook {
    /// One job.
    pub fn get(&self, id: JobId) -> Option<&Arc<Job>> {
        self.jobs.get(&id)
    }

    /// Whether there is a record of this job that cannot be read.
    pub fn is_unreadable(&self, id: JobId) -> bool {
        self.unreadable.contains(&id)
    }

    /// All jobs, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Job>> {
        self.jobs.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }
}

/// What was found in the store at start.
#[derive(Debug, Default)]
pub struct JobLoadReport {
    /// Jobs taken over.
    pub jobs: usize,
    /// Records that cannot be read, and why. They stay where they are.
    pub unreadable: Vec<String>,
    /// Jobs whose tasks are not all placed yet, with the targets from the first that is missing on.
    pub unplaced: Vec<(JobId, Vec<DeviceId>)>,
}

/// All jobs.
pub struct Registry {
    jobs: Mutex<BTreeMap<JobId, Arc<Job>>>,
    book: ArcSwap<JobBook>,
    store: Arc<dyn Store>,
    limit: usize,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("jobs", &self.book.load().len()).finish_non_exhaustive()
    }
}

impl Registry {
    /// No jobs. At most `limit` may come.
    pub fn new(store: Arc<dyn Store>, limit: usize) -> Self {
        Self { jobs: Mutex::default(), book: ArcSwap::default(), store, limit }
    }

    /// Take over what the store holds. Targets without a job are of one that was never accepted: they are removed. Fails at a
    /// record of a newer Callboard.
    pub fn load(&self) -> Result<JobLoadReport, LoadError> {
        let mut report = JobLoadReport::default();
        let mut jobs = BTreeMap::new();
        let mut targets: BTreeMap<JobId, BTreeMap<u32, Vec<DeviceId>>> = BTreeMap::new();
        let mut newer = None;
        let mut unreadable = BTreeSet::new();
        let scan = self.store.scan(Table::Job, &mut |key, value| {
            let read = match Key::parse(key) {
                Some(Key::Job(id)) => match record::decode(value) {
                    Ok(job) if job.id == id => {
                        jobs.insert(id, Arc::new(job));
                        Ok(())
                    }
                    Ok(job) => Err(format!("holds job {}", job.id)),
                    Err(error) => keep_newer(key, &error, &mut newer),
                },
                Some(Key::Targets(id, from)) => match record::decode_targets(value) {
                    Ok(part) => {
                        targets.entry(id).or_default().insert(from, part);
                        Ok(())
                    }
                    Err(error) => keep_newer(key, &error, &mut newer),
                },
                None => Err("no key of a job".to_owned()),
            };
            if let Err(reason) = read {
                if let Some(Key::Job(id)) = Key::parse(key) {
                    unreadable.insert(id);
                }
                report.unreadable.push(format!("{key}: {reason}"));
            }
            if newer.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if let Some(newer) = newer {
            return Err(newer);
        }
        unreadable.extend(scan.damaged_list.iter().filter_map(|record| match Key::parse(&record.key) {
            Some(Key::Job(id)) => Some(id),
            _ => None,
        }));
        let damaged = scan.damaged_list.iter();
        report.unreadable.extend(damaged.map(|record| format!("{}: {}", record.key, record.reason)));
        for (id, parts) in targets {
            match jobs.get(&id).filter(|job| job.placed < job.targets) {
                Some(job) => report.unplaced.push((id, rest(parts, job.placed))),
                // With records that cannot be read a job may be among them.
                None if report.unreadable.is_empty() => self.forget_targets(id, parts.into_keys()),
                None => {}
            }
        }
        report.jobs = jobs.len();
        let book = JobBook { jobs: BTreeMap::new(), unreadable: Arc::new(unreadable) };
        self.book.store(Arc::new(book));
        self.publish(&jobs);
        *self.jobs.lock() = jobs;
        Ok(report)
    }

    fn forget_targets(&self, id: JobId, parts: impl Iterator<Item = u32>) {
        let writes = parts.map(|from| Write::delete(Table::Job, Key::Targets(id, from).to_text())).collect();
        if let Err(error) = self.store.submit_detached(writes) {
            tracing::debug!(job = %id, %error, "targets of a job stay until the next start");
        }
    }

    fn publish(&self, jobs: &BTreeMap<JobId, Arc<Job>>) {
        let unreadable = self.book.load().unreadable.clone();
        self.book.store(Arc::new(JobBook { jobs: jobs.clone(), unreadable }));
    }

    /// The jobs as they are now.
    pub fn book(&self) -> Arc<JobBook> {
        self.book.load_full()
    }

    /// One job.
    pub fn get(&self, id: JobId) -> Option<Arc<Job>> {
        self.book.load().get(id).cloned()
    }

    /// Most jobs that there may be.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Whether one more job may come.
    pub fn check_room(&self) -> Result<(), JobError> {
        if self.book.load().len() < self.limit { Ok(()) } else { Err(JobError::Full { limit: self.limit }) }
    }

    /// Store the targets of a job that is about to be accepted. When all tickets have resolved the job itself can be
    /// [inserted](Registry::insert); until then these records mean nothing.
    pub fn store_targets(&self, id: JobId, targets: &[DeviceId]) -> Result<Vec<Ticket>, JobError> {
        let mut tickets = Vec::new();
        for (from, part) in record::parts(targets) {
            let key = Key::Targets(id, from).to_text();
            let write = Write::put(Table::Job, key, record::encode_targets(part)?);
            match self.store.submit(vec![write]) {
                Ok(ticket) => tickets.push(ticket),
                Err(error) => {
                    self.drop_targets(id, targets);
                    return Err(error.into());
                }
            }
        }
        Ok(tickets)
    }

    /// The targets of a job are no longer needed: all have their tasks, or it was not accepted.
    pub fn drop_targets(&self, id: JobId, targets: &[DeviceId]) {
        self.forget_targets(id, record::parts(targets).into_iter().map(|(from, _)| from));
    }

    /// All targets of a job have their tasks, or are gone: their records are not needed any more.
    pub fn forget_all_targets(&self, id: JobId) {
        let mut keys = Vec::new();
        let scan = self.store.scan(Table::Job, &mut |key, _| {
            if let Some(Key::Targets(of, from)) = Key::parse(key)
                && of == id
            {
                keys.push(from);
            }
            ControlFlow::Continue(())
        });
        match scan {
            Ok(_) => self.forget_targets(id, keys.into_iter()),
            Err(error) => tracing::debug!(job = %id, %error, "targets of a job stay until the next start"),
        }
    }

    /// Take a new job in.
    pub fn insert(&self, job: Job) -> Result<(Arc<Job>, Ticket), JobError> {
        let mut jobs = self.jobs.lock();
        if jobs.len() >= self.limit {
            return Err(JobError::Full { limit: self.limit });
        }
        self.write(&mut jobs, job)
    }

    /// Change a job. `expected` is the revision that the change is based on.
    pub fn change(
        &self,
        id: JobId,
        expected: Option<u64>,
        change: impl FnOnce(&mut Job) -> Result<(), JobError>,
    ) -> Result<(Arc<Job>, Ticket), JobError> {
        let mut jobs = self.jobs.lock();
        let old = jobs.get(&id).ok_or(JobError::Unknown(id))?;
        check(old, expected)?;
        let mut job = old.as_ref().clone();
        change(&mut job)?;
        job.revision += 1;
        self.write(&mut jobs, job)
    }

    fn write(&self, jobs: &mut BTreeMap<JobId, Arc<Job>>, job: Job) -> Result<(Arc<Job>, Ticket), JobError> {
        let write = Write::put(Table::Job, Key::Job(job.id).to_text(), record::encode(&job)?);
        let ticket = self.store.submit(vec![write])?;
        let job = Arc::new(job);
        jobs.insert(job.id, job.clone());
        self.publish(jobs);
        Ok((job, ticket))
    }

    /// Forget a job that has ended. Its tasks at the devices mean nothing from then on.
    pub fn remove(&self, id: JobId, expected: Option<u64>) -> Result<Ticket, JobError> {
        let mut jobs = self.jobs.lock();
        let old = jobs.get(&id).ok_or(JobError::Unknown(id))?;
        check(old, expected)?;
        if old.ended.is_none() {
            return Err(JobError::State("the job has not ended: cancel it first"));
        }
        let ticket = self.store.submit(vec![Write::delete(Table::Job, Key::Job(id).to_text())])?;
        jobs.remove(&id);
        self.publish(&jobs);
        Ok(ticket)
    }
}

/// The targets from number `placed` on.
fn rest(parts: BTreeMap<u32, Vec<DeviceId>>, placed: u32) -> Vec<DeviceId> {
    let left = |(from, part): (u32, Vec<DeviceId>)| {
        part.into_iter().skip(placed.saturating_sub(from).try_into().unwrap_or(usize::MAX))
    };
    parts.into_iter().flat_map(left).collect()
}

fn keep_newer(key: &str, error: &BadJobRecord, newer: &mut Option<LoadError>) -> Result<(), String> {
    if let BadJobRecord::Newer(found) = *error {
        *newer = Some(LoadError::Newer { table: Table::Job, key: key.into(), found, supported: VERSION });
    }
    Err(error.to_string())
}

fn check(job: &Job, expected: Option<u64>) -> Result<(), JobError> {
    match expected {
        Some(expected) if expected != job.revision => {
            Err(JobError::Revision { expected, current: job.revision })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::TaskKind;
    use crate::job::{Counts, JobEnd};
    use crate::store::MemoryStore;
    use crate::time::Timestamp;

    fn job(number: u64, targets: u32) -> Job {
        Job {
            id: JobId::from_u64(number),
            revision: 1,
            kind: TaskKind::ReadAll,
            name: "".into(),
            initiator: "administrator".into(),
            created: Timestamp::default(),
            schedule: None,
            wait_seconds: 0,
            running_seconds: 900,
            targets,
            placed: 0,
            cancelled: None,
            ended: None,
        }
    }

    fn devices(count: u32) -> Vec<DeviceId> {
        let id = |number: u32| format!("00:1a:e8:{:02x}:{:02x}:01", number >> 8, number & 255);
        (0..count).map(|number| id(number).parse().unwrap()).collect()
    }

    #[test]
    fn a_job_and_what_is_left_of_it_come_back() {
        let store = Arc::new(MemoryStore::default());
        let first = Registry::new(store.clone(), 2);
        let targets = devices(8_000);
        drop(first.store_targets(JobId::from_u64(1), &targets).unwrap());
        drop(first.insert(job(1, 8_000)).unwrap());
        drop(
            first
                .change(JobId::from_u64(1), None, |job| {
                    job.placed = 5_000;
                    Ok(())
                })
                .unwrap(),
        );
        // Never accepted: the process ended between its targets and itself.
        drop(first.store_targets(JobId::from_u64(9), &devices(10)).unwrap());
        let again = Registry::new(store.clone(), 2);
        let report = again.load().unwrap();
        assert_eq!((report.jobs, report.unreadable.len()), (1, 0));
        assert_eq!(report.unplaced, [(JobId::from_u64(1), targets[5_000..].to_vec())]);
        assert_eq!(again.get(JobId::from_u64(1)).unwrap().revision, 2);
        assert!(store.get(Table::Job, "000000000009-0000000000").is_none());
    }

    #[test]
    fn bounds_revisions_and_states_hold() {
        let registry = Registry::new(Arc::new(MemoryStore::default()), 1);
        drop(registry.insert(job(1, 0)).unwrap());
        assert!(matches!(registry.insert(job(2, 0)), Err(JobError::Full { limit: 1 })));
        let id = JobId::from_u64(1);
        let none = |_: &mut Job| Ok(());
        assert!(matches!(registry.change(id, Some(7), none), Err(JobError::Revision { current: 1, .. })));
        assert!(matches!(registry.remove(id, None), Err(JobError::State(_))));
        let end = JobEnd { at: Timestamp::default(), counts: Counts::default() };
        drop(
            registry
                .change(id, Some(1), |job| {
                    job.ended = Some(end);
                    Ok(())
                })
                .unwrap(),
        );
        drop(registry.remove(id, Some(2)).unwrap());
        assert!(matches!(registry.change(id, None, none), Err(JobError::Unknown(_))));
        assert!(registry.book().is_empty());
    }

    #[test]
    fn a_newer_job_stops_the_start() {
        let store = Arc::new(MemoryStore::default());
        drop(store.submit(vec![Write::put(Table::Job, "000000000001", vec![9, 1])]).unwrap());
        let error = Registry::new(store, 1).load().unwrap_err();
        assert!(matches!(error, LoadError::Newer { table: Table::Job, found: 9, .. }));
    }
}
