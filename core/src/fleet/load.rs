//! Taking over what the store holds.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Fleet, FleetError, MAX_UNREADABLE, Unreadable, both_writes};
use crate::device::{self, BadRecord, Device, DeviceId, TasksRecord};
use crate::store::{LoadError, Table};

/// What was found in the store at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Devices taken over.
    pub devices: u64,
    /// Records that the store could not read, which stay where they are.
    pub damaged: u64,
    /// Records that are no devices, which stay where they are.
    pub unreadable: u64,
    /// Common values taken over.
    pub values: usize,
    /// Records of common values that cannot be read.
    pub bad_values: u64,
    /// Devices with values that are lost; they are read again at their next contact.
    pub incomplete: u64,
    /// Records of tasks that cannot be read or belong to no device. They stay until the device has tasks again.
    pub bad_tasks: u64,
    /// The first 20 of the damaged and unreadable records and what is wrong with them, for the log.
    pub examples: Vec<String>,
}

impl LoadReport {
    fn example(&mut self, key: &str, reason: impl fmt::Display) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(format!("{key}: {reason}"));
        }
    }
}

/// Unreadable records named in a report.
const EXAMPLES: usize = 20;

impl Fleet {
    /// Take over what the store holds. `progress` hears the number of devices every now and then.
    ///
    /// Records that cannot be read stay as they are: the fleet takes no changes under their ids until the device is
    /// [removed](Fleet::remove). Fails at a record of a newer Callboard, and at more than [`MAX_UNREADABLE`] unreadable
    /// ones.
    pub fn load(&self, mut progress: impl FnMut(u64)) -> Result<LoadReport, LoadError> {
        const EVERY: u64 = 50_000;
        let mut report = LoadReport::default();
        (report.values, report.bad_values) = self.dictionary.load(&*self.store)?;
        let mut unreadable = Unreadable::default();
        let mut newer = None;
        let mut with_tasks = Vec::new();
        let scan = self.store.scan(Table::Device, &mut |key, value| {
            let reason = match device::decode(value) {
                Ok(device) if device.id.to_string() == key => {
                    if !device.tasks.is_empty() {
                        with_tasks.push(device.id.clone());
                    }
                    self.take_over(device, &mut report);
                    if report.devices.is_multiple_of(EVERY) {
                        progress(report.devices);
                    }
                    return ControlFlow::Continue(());
                }
                Ok(device) => format!("holds device {}", device.id),
                Err(BadRecord::Newer(found)) => {
                    newer = Some((Box::<str>::from(key), found));
                    return ControlFlow::Break(());
                }
                Err(error) => error.to_string(),
            };
            report.unreadable += 1;
            report.example(key, reason);
            unreadable.insert(key);
            if unreadable.len() > MAX_UNREADABLE { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if let Some((key, found)) = newer {
            let (table, supported) = (Table::Device, BadRecord::SUPPORTED);
            return Err(LoadError::Newer { table, key, found, supported });
        }
        report.damaged = scan.damaged;
        for record in &scan.damaged_list {
            report.example(&record.key, record.reason);
            unreadable.insert(&record.key);
        }
        if report.damaged + report.unreadable > MAX_UNREADABLE as u64 {
            return Err(LoadError::TooManyUnreadable { limit: MAX_UNREADABLE });
        }
        self.load_tasks(&mut report)?;
        self.move_tasks(&with_tasks);
        unreadable.tell();
        *self.unreadable.write() = unreadable;
        Ok(report)
    }

    /// Give the devices their tasks.
    fn load_tasks(&self, report: &mut LoadReport) -> Result<(), LoadError> {
        let mut newer = None;
        let scan = self.store.scan(Table::Tasks, &mut |key, value| {
            let reason = match device::decode_tasks(value) {
                Ok(record) => match key.parse().ok().map(|id| self.take_tasks_over(&id, record)) {
                    Some(true) => return ControlFlow::Continue(()),
                    // Of a device whose record cannot be read, or that was never there.
                    Some(false) | None => "tasks of no device that is known".to_owned(),
                },
                Err(BadRecord::NewerTasks(found)) => {
                    newer = Some((Box::<str>::from(key), found));
                    return ControlFlow::Break(());
                }
                Err(error) => error.to_string(),
            };
            report.bad_tasks += 1;
            report.example(key, reason);
            ControlFlow::Continue(())
        })?;
        if let Some((key, found)) = newer {
            let (table, supported) = (Table::Tasks, device::TASKS_VERSION);
            return Err(LoadError::Newer { table, key, found, supported });
        }
        report.bad_tasks += scan.damaged;
        for record in &scan.damaged_list {
            report.example(&record.key, record.reason);
        }
        Ok(())
    }

    /// Take tasks out of older records of devices, into records of their own. What fails is done at the next start.
    fn move_tasks(&self, devices: &[DeviceId]) {
        for device in devices.iter().filter_map(|id| self.get(id)) {
            let moved = both_writes(&device)
                .map_err(FleetError::from)
                .and_then(|writes| Ok(self.store.submit_detached(writes)?));
            if let Err(error) = moved {
                tracing::warn!(device = %device.id, %error, "its tasks stay in the older form");
            }
        }
    }

    /// Whether there is such a device.
    fn take_tasks_over(&self, id: &DeviceId, record: TasksRecord) -> bool {
        let mut shard = self.shard(id).write();
        let Some(device) = shard.get_mut(id) else { return false };
        self.tally.load(id, &device.tasks, &record.tasks);
        let old = device.clone();
        let new = Arc::make_mut(device);
        new.revision = new.revision.max(record.revision);
        new.tasks = record.tasks;
        self.watch.changed(Some(&old), Some(new));
        true
    }

    fn take_over(&self, device: Device, report: &mut LoadReport) {
        let device = Arc::new(self.adopt(device, report));
        self.account(None, Some(&device));
        self.watch.changed(None, Some(&device));
        self.index.write().insert(device.id.clone());
        self.shard(&device.id).write().insert(device.id.clone(), device);
        self.count.fetch_add(1, Ordering::Relaxed);
        report.devices += 1;
    }

    /// A device from its record, with common texts and values shared.
    fn adopt(&self, device: Device, report: &mut LoadReport) -> Device {
        let mut device = self.interner.intern_device(device);
        device.reported = match device.reported.attach(&self.dictionary) {
            Ok(set) => set,
            Err(rest) => {
                report.incomplete += 1;
                // Known only in part: it is to be read again.
                device.contacts.read = None;
                rest
            }
        };
        device
    }
}
