//! A device as bytes in the store, and its tasks beside it.

use serde::{Deserialize, Serialize};

use super::task::{BOOT_TIME, Task, TaskId, TaskKind, TaskState};
use super::{Device, Route};
use crate::time::Timestamp;

/// Version of the record form that this build writes. Older ones stay readable.
const VERSION: u8 = 4;
/// Ends with the device itself: it does not say how the phone is [reached](Tail).
const WITHOUT_TAIL: u8 = 3;
/// Holds its tasks itself.
const WITH_TASKS: u8 = 2;
/// Has no marks in [`Offered`](super::Offered) either.
const WITHOUT_MARKS: u8 = 1;

/// A record that cannot be read as a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// Written by a newer Callboard.
    #[error("device record version {0} is newer than this Callboard reads (up to {VERSION})")]
    Newer(u8),
    /// Tasks written by a newer Callboard.
    #[error("task record version {0} is newer than this Callboard reads (up to {TASKS_VERSION})")]
    NewerTasks(u8),
    /// The bytes do not fit the form.
    #[error("malformed device record: {0}")]
    Malformed(postcard::Error),
    /// Nothing at all.
    #[error("empty device record")]
    Empty,
}

impl BadRecord {
    /// The newest version of the record form that this build reads.
    pub const SUPPORTED: u8 = VERSION;
}

/// Pack a device.
pub fn encode(device: &Device) -> Result<Vec<u8>, BadRecord> {
    let mut bytes = Vec::with_capacity(device.reported.as_bytes().len() + 512);
    bytes.push(VERSION);
    let bytes = postcard::to_extend(device, bytes).map_err(BadRecord::Malformed)?;
    postcard::to_extend(&Tail::of(device), bytes).map_err(BadRecord::Malformed)
}

/// How a phone is reached: what devices came to know after version 3 of their record.
#[derive(Serialize, Deserialize)]
struct Tail {
    polls: bool,
    route: Route,
    opened_with: u64,
}

impl Tail {
    const fn of(device: &Device) -> Self {
        Self { polls: device.polls, route: device.route, opened_with: device.opened_with }
    }

    const fn give(self, device: &mut Device) {
        device.polls = self.polls;
        device.route = self.route;
        device.opened_with = self.opened_with;
    }
}

/// Unpack a device. Its tasks are in a record of their own, but for those of older records.
pub fn decode(bytes: &[u8]) -> Result<Device, BadRecord> {
    let malformed = BadRecord::Malformed;
    match bytes.split_first() {
        Some((&VERSION, payload)) => {
            let (mut device, rest): (Device, _) = postcard::take_from_bytes(payload).map_err(malformed)?;
            let tail: Tail = postcard::from_bytes(rest).map_err(malformed)?;
            tail.give(&mut device);
            Ok(device)
        }
        Some((&WITHOUT_TAIL, payload)) => postcard::from_bytes(payload).map_err(malformed),
        Some((&(WITH_TASKS | WITHOUT_MARKS), payload)) => {
            let (mut device, rest): (Device, _) = postcard::take_from_bytes(payload).map_err(malformed)?;
            let tasks: Vec<OldTask> = postcard::from_bytes(rest).map_err(malformed)?;
            device.tasks = tasks.into_iter().map(OldTask::renew).collect();
            Ok(device)
        }
        Some((&version, _)) if version > VERSION => Err(BadRecord::Newer(version)),
        Some(_) => Err(BadRecord::Malformed(postcard::Error::DeserializeBadEncoding)),
        None => Err(BadRecord::Empty),
    }
}

/// A task as older records hold it.
#[derive(Deserialize)]
struct OldTask {
    id: TaskId,
    kind: TaskKind,
    state: OldTaskState,
    created: Timestamp,
}

#[derive(Deserialize)]
enum OldTaskState {
    Pending,
    Sent(Timestamp),
}

impl OldTask {
    fn renew(self) -> Task {
        let state = match self.state {
            OldTaskState::Pending => TaskState::Pending,
            OldTaskState::Sent(since) => TaskState::Running { since, until: since.plus(BOOT_TIME) },
        };
        Task { state, ..Task::own(self.id, self.kind, self.created) }
    }
}

/// Version of the record of tasks.
pub const TASKS_VERSION: u8 = 1;

/// The tasks of a device, as they lie in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TasksRecord {
    /// The device's revision with them: the record of the device itself may be older.
    pub revision: u64,
    /// The tasks.
    pub tasks: Vec<Task>,
}

/// Pack the tasks of a device.
pub fn encode_tasks(device: &Device) -> Result<Vec<u8>, BadRecord> {
    let record = (device.revision, &device.tasks);
    postcard::to_extend(&record, vec![TASKS_VERSION]).map_err(BadRecord::Malformed)
}

/// Unpack the tasks of a device.
pub fn decode_tasks(bytes: &[u8]) -> Result<TasksRecord, BadRecord> {
    match bytes.split_first() {
        Some((&TASKS_VERSION, payload)) => postcard::from_bytes(payload).map_err(BadRecord::Malformed),
        Some((&version, _)) if version > TASKS_VERSION => Err(BadRecord::NewerTasks(version)),
        Some(_) => Err(BadRecord::Malformed(postcard::Error::DeserializeBadEncoding)),
        None => Err(BadRecord::Empty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{DeviceId, Offered, Refusal, Route, SecureMode};
    use crate::item::{ItemKey, ItemSetBuilder};
    use crate::pki::Series;
    use crate::secret::{KEY_LEN, Secret, Vault};
    use crate::site::SiteId;
    use crate::time::Timestamp;

    fn device() -> Device {
        let vault = Vault::new(&[1; KEY_LEN]).unwrap();
        let mut device = Device::new("00:1a:e8:00:00:01".parse().unwrap());
        let mut items = ItemSetBuilder::default();
        items.push("reg-addr", None, "198.51.100.20", None, &vault).unwrap();
        items.push("sip-pwd", None, "hunter2", None, &vault).unwrap();
        device.reported = items.build(10).unwrap();
        device.contacts.source = Some("192.0.2.41".parse().unwrap());
        device.security.mode = SecureMode::EnablingIndividualPin;
        device.security.pin = Some(vault.seal(&Secret::new("123456")).unwrap());
        device.refused.push(Refusal {
            key: ItemKey::new("unheard-of", Some(3)),
            digest: 7,
            status: "failed".into(),
            at: Timestamp::from_millis(9),
        });
        device
    }

    #[test]
    fn comes_back_as_it_was() {
        let device = device();
        let bytes = encode(&device).unwrap();
        assert_eq!(decode(&bytes).unwrap(), device);
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("hunter2") && !text.contains("123456"));
    }

    #[test]
    fn a_record_under_a_name_that_no_phone_may_bring_stays_readable() {
        let device = Device { id: "00:1a:e8-0a:0b:0c".parse().unwrap(), ..device() };
        assert!(DeviceId::from_phone(&device.id.to_string()).is_err());
        assert_eq!(decode(&encode(&device).unwrap()).unwrap(), device);
    }

    /// The bytes of an older record without tasks.
    fn older(device: &Device, version: u8) -> Vec<u8> {
        let mut bytes = encode(device).unwrap();
        bytes[0] = version;
        bytes.truncate(bytes.len() - postcard::to_allocvec(&Tail::of(device)).unwrap().len());
        if version < WITHOUT_TAIL {
            bytes.push(0);
        }
        bytes
    }

    #[test]
    fn tasks_of_older_records_come_along() {
        let mut bytes = older(&device(), 2);
        // Two tasks instead of none: a restart that was sent, and a read that waits.
        bytes.pop();
        let sent = (7_u64, (3_u8, true), (1_u8, 50_u64), 40_u64);
        let waits = (8_u64, 0_u8, 0_u8, 41_u64);
        bytes.push(2);
        bytes = postcard::to_extend(&(sent, waits), bytes).unwrap();
        let read = decode(&bytes).unwrap();
        let at = Timestamp::from_millis;
        let kind = TaskKind::Restart { factory_reset: true };
        let state = TaskState::Running { since: at(50), until: at(50).plus(BOOT_TIME) };
        let restart = Task { state, ..Task::own(TaskId(7), kind, at(40)) };
        assert_eq!(read.tasks, [restart, Task::own(TaskId(8), TaskKind::ReadAll, at(41))]);
    }

    #[test]
    fn tasks_come_back_from_their_own_record() {
        let mut device = device();
        device.revision = 5;
        device.tasks.push(Task::own(TaskId(1), TaskKind::ApplyTemplates, Timestamp::from_millis(3)));
        device.tasks[0].end(Timestamp::from_millis(9), crate::device::TaskOutcome::Failed, "refused");
        let bytes = encode_tasks(&device).unwrap();
        let read = decode_tasks(&bytes).unwrap();
        assert_eq!((read.revision, read.tasks), (5, device.tasks.clone()));
        assert!(decode(&encode(&device).unwrap()).unwrap().tasks.is_empty());
        assert_eq!(decode_tasks(&[9]), Err(BadRecord::NewerTasks(9)));
        for cut in 0..bytes.len() {
            assert!(decode_tasks(&bytes[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn serial_numbers_of_older_records_stay_good() {
        // One that was handed out alone, of no series.
        let bytes =
            postcard::to_allocvec(&("6f00112233445566778899aabbccddee", Timestamp::from_millis(9))).unwrap();
        let offered = postcard::from_bytes(&bytes).unwrap();
        let mut device = device();
        device.security.offered.push(offered);
        let read = decode(&older(&device, 1)).unwrap();
        assert!(read.security.admits("6f00112233445566778899aabbccddee"));
        assert!(
            !read.security.admits("6f00112233445566778899aabbccddef") && read.security.series().is_none()
        );
    }

    #[test]
    fn the_way_comes_back_and_older_records_have_none() {
        let route = Route { site: Some(SiteId::from_u64(7)) };
        let polls = Device { polls: true, route, opened_with: 7, ..device() };
        assert_eq!(decode(&encode(&polls).unwrap()).unwrap(), polls);
        let before = Device { polls: false, route: Route::default(), opened_with: 0, ..polls };
        for version in 1..VERSION {
            let bytes = older(&before, version);
            assert_eq!(decode(&bytes).unwrap(), before, "{version}");
            assert!(decode(&bytes[..bytes.len() - 1]).is_err(), "{version}");
        }
    }

    #[test]
    fn what_is_known_of_certificates_comes_back() {
        let mut device = device();
        let at = Timestamp::from_millis(1_800_000_000_000);
        device.security.offered.push(Offered::series(Series::new(1), at, at));
        device.security = device.security.chosen(SecureMode::EnablingNoPin, at, None);
        device.security.offered.push(Offered::series(Series::new(2), at, at));
        let read = decode(&encode(&device).unwrap()).unwrap();
        assert_eq!(read, device);
        assert_eq!((read.security.series(), read.security.last_offer()), (Some(Series::new(2)), Some(at)));
    }

    #[test]
    fn newer_and_damaged_records_are_refused() {
        let mut bytes = encode(&device()).unwrap();
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "{cut}");
        }
        bytes[0] = VERSION + 1;
        assert_eq!(decode(&bytes), Err(BadRecord::Newer(VERSION + 1)));
    }
}
