//! What administrators send to start a job.

use std::sync::Arc;

use callboard_core::device::{self, BadDeviceId, DeviceId};
use callboard_core::file::BadId;
use callboard_core::job::{self, Interval, Priority, Restrictions, Schedule};
use callboard_core::service::{
    FileSourceWish, FileWish, FileWishAction, JobRequest, Service, SoftwareWish, TaskRequest,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::devices::{FilterBody, TaskItemInput, item_keys, item_values};
use crate::extract::{Object, SecretText};
use crate::problem::Problem;
use crate::state::{State, Wanted};
use crate::token::ADMINISTRATOR;

/// Longest name of a job, in characters.
const MAX_NAME: usize = 128;
/// Longest time that tasks may wait or run, in seconds: ten years.
const MAX_SECONDS: u32 = 315_360_000;

/// What a job or a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TaskType {
    /// Read all items again: synchronise.
    ReadAll,
    /// Read some items.
    ReadItems,
    /// Write some items.
    WriteItems,
    /// Boot the phone.
    Restart,
    /// Boot the phone with factory settings.
    FactoryReset,
    /// Boot the phone with factory settings, its certificates excepted.
    FactoryResetKeepCertificates,
    /// Write what the templates of the device ask for.
    ApplyTemplates,
    /// Load other firmware.
    SoftwareDeployment,
    /// Fetch and delete files.
    FileDeployment,
    /// Enter secure mode.
    SecureModeOn,
    /// Leave secure mode.
    SecureModeOff,
    /// Be told by SIP to fetch the configuration (NOTIFY with `check-sync`, in the words of the phone's vendor).
    CheckSync,
    /// The same, and to restart.
    CheckSyncRestart,
}

impl TaskType {
    pub(crate) const fn of(task_type: device::TaskType) -> Self {
        match task_type {
            device::TaskType::ReadAll => Self::ReadAll,
            device::TaskType::ReadItems => Self::ReadItems,
            device::TaskType::WriteItems => Self::WriteItems,
            device::TaskType::Restart => Self::Restart,
            device::TaskType::FactoryReset => Self::FactoryReset,
            device::TaskType::FactoryResetKeepCertificates => Self::FactoryResetKeepCertificates,
            device::TaskType::ApplyTemplates => Self::ApplyTemplates,
            device::TaskType::SoftwareDeployment => Self::SoftwareDeployment,
            device::TaskType::FileDeployment => Self::FileDeployment,
            device::TaskType::SecureModeOn => Self::SecureModeOn,
            device::TaskType::SecureModeOff => Self::SecureModeOff,
            device::TaskType::CheckSync => Self::CheckSync,
            device::TaskType::CheckSyncRestart => Self::CheckSyncRestart,
        }
    }
}

/// When a job begins.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ScheduleInput {
    /// Date and time on the wall, such as `2027-01-31T22:00`, or a moment, such as `2027-01-31T21:00:00Z`.
    at: String,
    /// Where the wall stands: an IANA name such as `Europe/Berlin`; UTC if not given.
    time_zone: Option<String>,
}

/// An account at an FTP server.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FtpInput {
    /// Address or name of the server.
    server: String,
    /// Its port; 21 if not given.
    port: Option<u16>,
    /// Account.
    #[serde(default)]
    username: String,
    /// Password of the account. Never shown again.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    password: Option<SecretText>,
    /// Folder.
    #[serde(default)]
    path: String,
    /// The file's name.
    name: String,
}

/// A weekday.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// A time in which no firmware is deployed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct IntervalInput {
    /// On this weekday.
    weekday: Weekday,
    /// From this time on, such as `08:00`; the whole day if neither this nor `to` is given.
    from: Option<String>,
    /// Until this time, such as `18:00`; `24:00` is midnight.
    to: Option<String>,
}

/// Times in which no firmware is deployed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RestrictionsInput {
    /// Where the clock hangs that they are read from: an IANA name such as `Europe/Berlin`; UTC if not given.
    time_zone: Option<String>,
    /// The times. Not all seven days as a whole.
    #[schema(value_type = Vec<IntervalInput>)]
    intervals: Vec<Object<IntervalInput>>,
}

/// Whether a phone in a call loads firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum PriorityInput {
    /// Only when it is idle.
    #[default]
    Normal,
    /// In any case.
    Immediate,
}

/// Firmware. It is a `file` of this server, or lies at `url` or at `ftp`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SoftwareInput {
    /// The id of a file of this server.
    file: Option<String>,
    /// Where it lies: the whole URL, which ends with the name of the file.
    #[schema(value_type = Option<String>)]
    url: Option<SecretText>,
    /// Where it lies.
    #[schema(value_type = Option<FtpInput>)]
    ftp: Option<Object<FtpInput>>,
    /// Its kind, for example `Siemens SIP`: phones with another one fail. Of a `file` the one that its header says, if not given.
    software_type: Option<String>,
    /// Its version, for example `V3 R5.12.0`: what a phone reports when it is done. Of a `file` the one that its header says, if
    /// not given.
    version: Option<String>,
    /// Device types that it is for; if not given, those that the header of the `file` says, else all.
    #[serde(default)]
    device_types: Vec<String>,
    /// Whether a phone in a call loads it.
    #[serde(default)]
    priority: PriorityInput,
    /// When no phone loads it.
    #[schema(value_type = Option<RestrictionsInput>)]
    restrictions: Option<Object<RestrictionsInput>>,
}

/// What to do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum FileActionInput {
    /// Fetch it.
    Deploy,
    /// Delete it.
    Delete,
}

/// A file to fetch, a `file` of this server or from `url` or `ftp`, or to delete, by its `name`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FileInput {
    /// What to do.
    action: FileActionInput,
    /// The phone's word for its kind, for example `RINGTONE`. Of a `file` that of its kind, if not given.
    r#type: Option<String>,
    /// The id of a file of this server.
    file: Option<String>,
    /// Where it lies: the whole URL, which ends with the name of the file.
    #[schema(value_type = Option<String>)]
    url: Option<SecretText>,
    /// Where it lies.
    #[schema(value_type = Option<FtpInput>)]
    ftp: Option<Object<FtpInput>>,
    /// With `delete`: its name.
    name: Option<String>,
}

/// How a device gets its credentials for secure mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum PinInput {
    /// Without PIN.
    None,
    /// With the default PIN.
    Default,
}

/// A job: what, where and when.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JobInput {
    /// What to do.
    r#type: TaskType,
    /// What the job is called.
    #[serde(default)]
    name: String,
    /// Ids of devices. Either this or `filter`.
    devices: Option<Vec<String>>,
    /// A filter; `{}` means all devices. Either this or `devices`.
    #[schema(value_type = Option<FilterBody>)]
    filter: Option<Object<FilterBody>>,
    /// When it begins; at once if not given.
    #[schema(value_type = Option<ScheduleInput>)]
    schedule: Option<Object<ScheduleInput>>,
    /// Seconds that its tasks wait for their phones; 0 is for ever.
    wait_seconds: Option<u32>,
    /// Seconds that a phone may take for a task once it was handed to it.
    #[schema(minimum = 1)]
    running_seconds: Option<u32>,
    /// With `read-items` and `write-items`: which items, 1 to 500.
    #[schema(value_type = Option<Vec<TaskItemInput>>)]
    items: Option<Vec<Object<TaskItemInput>>>,
    /// With `software-deployment`: the firmware.
    #[schema(value_type = Option<SoftwareInput>)]
    software: Option<Object<SoftwareInput>>,
    /// With `file-deployment`: the files, 1 to 20.
    #[schema(value_type = Option<Vec<FileInput>>)]
    files: Option<Vec<Object<FileInput>>>,
    /// With `secure-mode-on`: how devices get their credentials; without PIN if not given.
    pin: Option<PinInput>,
}

/// Devices that may be listed; more are named by a filter.
const MAX_LISTED: usize = 10_000;

impl JobInput {
    pub(super) async fn submit(mut self, state: &State) -> Result<Arc<job::Job>, Problem> {
        let wish = self.wish(state)?;
        let name = job_name(&self.name)?;
        let schedule =
            self.schedule.take().map(|Object(schedule)| schedule.read(state.service())).transpose()?;
        for (field, value, least) in
            [("wait_seconds", self.wait_seconds, 0), ("running_seconds", self.running_seconds, 1)]
        {
            if value.is_some_and(|value| !(least..=MAX_SECONDS).contains(&value)) {
                return Err(Problem::field(field, format!("{least} to {MAX_SECONDS}")));
            }
        }
        let targets = targets(state, self.devices, self.filter).await?;
        let request = JobRequest {
            wish,
            targets,
            name,
            initiator: ADMINISTRATOR.into(),
            schedule,
            wait_seconds: self.wait_seconds,
            running_seconds: self.running_seconds,
        };
        Ok(state.service().submit_job(request).await?)
    }

    /// What is to be done. Fields that do not belong to the type are refused.
    fn wish(&mut self, state: &State) -> Result<TaskRequest, Problem> {
        let missing = |field: &'static str| Problem::field(field, "is missing");
        let wish = match self.r#type {
            TaskType::ReadAll => TaskRequest::ReadAll,
            TaskType::ReadItems => {
                TaskRequest::ReadItems(item_keys(self.items.take().ok_or_else(|| missing("items"))?)?)
            }
            TaskType::WriteItems => {
                let items = self.items.take().ok_or_else(|| missing("items"))?;
                TaskRequest::WriteItems(item_values(state.service(), items)?)
            }
            TaskType::Restart => TaskRequest::Restart { factory_reset: false },
            TaskType::FactoryReset => TaskRequest::Restart { factory_reset: true },
            TaskType::FactoryResetKeepCertificates => TaskRequest::FactoryResetKeepCertificates,
            TaskType::ApplyTemplates => TaskRequest::ApplyTemplates,
            TaskType::SoftwareDeployment => {
                let Object(software) = self.software.take().ok_or_else(|| missing("software"))?;
                TaskRequest::SoftwareDeployment(Box::new(software.read()?))
            }
            TaskType::FileDeployment => {
                let files = self.files.take().ok_or_else(|| missing("files"))?.into_iter().enumerate();
                let files = files.map(|(at, Object(file))| file.read(&format!("files[{at}]")));
                TaskRequest::FileDeployment(files.collect::<Result<_, _>>()?)
            }
            TaskType::SecureModeOn => {
                TaskRequest::SecureModeOn { default_pin: self.pin.take() == Some(PinInput::Default) }
            }
            TaskType::SecureModeOff => TaskRequest::SecureModeOff,
            TaskType::CheckSync => TaskRequest::CheckSync { restart: false },
            TaskType::CheckSyncRestart => TaskRequest::CheckSync { restart: true },
        };
        let foreign = [
            ("items", self.items.is_some()),
            ("software", self.software.is_some()),
            ("files", self.files.is_some()),
            ("pin", self.pin.is_some()),
        ];
        match foreign.into_iter().find(|(_, given)| *given) {
            Some((field, _)) => Err(Problem::field(field, "does not go with this type")),
            None => Ok(wish),
        }
    }
}

fn job_name(name: &str) -> Result<Box<str>, Problem> {
    let name = name.trim();
    if name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(Problem::field("name", format!("at most {MAX_NAME} characters, no control characters")));
    }
    Ok(name.into())
}

impl ScheduleInput {
    fn read(self, service: &Service) -> Result<Schedule, Problem> {
        let schedule = Schedule::parse(&self.at, self.time_zone.as_deref())
            .map_err(|error| Problem::field(format!("schedule.{}", error.field()), error.to_string()))?;
        if schedule.at <= service.now() {
            return Err(Problem::field("schedule.at", "a moment in the future"));
        }
        Ok(schedule)
    }
}

/// Where a file lies: one of the three.
fn source(
    field: &str,
    file: Option<String>,
    url: Option<SecretText>,
    ftp: Option<Object<FtpInput>>,
) -> Result<FileSourceWish, Problem> {
    match (file, url, ftp) {
        (Some(file), None, None) => {
            let id = file
                .parse()
                .map_err(|error: BadId| Problem::field(format!("{field}.file"), error.to_string()))?;
            Ok(FileSourceWish::Stored(id))
        }
        (None, Some(url), None) => Ok(FileSourceWish::Https { url: url.0 }),
        (None, None, Some(Object(ftp))) => Ok(FileSourceWish::Ftp {
            server: ftp.server,
            port: ftp.port.unwrap_or(21),
            username: ftp.username,
            password: ftp.password.map(|password| password.0).unwrap_or_default(),
            path: ftp.path,
            name: ftp.name,
        }),
        _ => Err(Problem::field(format!("{field}.file"), "one of `file`, `url` and `ftp`")),
    }
}

impl SoftwareInput {
    fn read(self) -> Result<SoftwareWish, Problem> {
        let restrictions = self.restrictions.map(|Object(input)| input.read()).transpose()?;
        Ok(SoftwareWish {
            source: source("software", self.file, self.url, self.ftp)?,
            software_type: self.software_type,
            version: self.version,
            device_types: self.device_types,
            priority: match self.priority {
                PriorityInput::Normal => Priority::Normal,
                PriorityInput::Immediate => Priority::Immediate,
            },
            restrictions: restrictions.unwrap_or_default(),
        })
    }
}

impl RestrictionsInput {
    fn read(self) -> Result<Restrictions, Problem> {
        let field = "software.restrictions";
        let interval = |(at, Object(input)): (usize, Object<IntervalInput>)| {
            input
                .read()
                .map_err(|(part, reason)| Problem::field(format!("{field}.intervals[{at}].{part}"), reason))
        };
        let intervals =
            self.intervals.into_iter().enumerate().map(interval).collect::<Result<Vec<_>, _>>()?;
        let time_zone = self.time_zone.as_deref().unwrap_or("UTC");
        Restrictions::new(intervals, time_zone).map_err(|error| {
            let part = match error {
                job::BadRestrictions::TimeZone(_) => "time_zone",
                _ => "intervals",
            };
            Problem::field(format!("{field}.{part}"), error.to_string())
        })
    }
}

impl IntervalInput {
    fn read(self) -> Result<Interval, (&'static str, &'static str)> {
        const TIME: &str = "a time such as `08:00`, up to `24:00`";
        let (from, to) = match (&self.from, &self.to) {
            (None, None) => (0, job::MINUTES_OF_DAY),
            (Some(from), Some(to)) => (minute(from).ok_or(("from", TIME))?, minute(to).ok_or(("to", TIME))?),
            (None, Some(_)) => return Err(("from", "goes with `to`")),
            (Some(_), None) => return Err(("to", "goes with `from`")),
        };
        if from >= to {
            return Err(("to", "after `from`, on the same day"));
        }
        Ok(Interval { weekday: self.weekday as u8, from, to })
    }
}

/// The minute of the day of a time such as `08:00`.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| (text.len() == 2).then(|| text.parse::<u16>().ok()).flatten();
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= job::MINUTES_OF_DAY).then_some(minute)
}

impl FileInput {
    fn read(self, field: &str) -> Result<FileWish, Problem> {
        let action = match (self.action, self.name) {
            (FileActionInput::Deploy, None) => {
                FileWishAction::Deploy(source(field, self.file, self.url, self.ftp)?)
            }
            (FileActionInput::Deploy, Some(_)) => {
                return Err(Problem::field(format!("{field}.name"), "only with `delete`"));
            }
            (FileActionInput::Delete, Some(name))
                if self.file.is_none() && self.url.is_none() && self.ftp.is_none() =>
            {
                FileWishAction::Delete(name)
            }
            (FileActionInput::Delete, Some(_)) => {
                return Err(Problem::field(field.to_owned(), "`file`, `url` and `ftp` only with `deploy`"));
            }
            (FileActionInput::Delete, None) => {
                return Err(Problem::field(format!("{field}.name"), "the name of the file"));
            }
        };
        Ok(FileWish { file_type: self.r#type, action })
    }
}

async fn targets(
    state: &State,
    devices: Option<Vec<String>>,
    filter: Option<Object<FilterBody>>,
) -> Result<Vec<DeviceId>, Problem> {
    match (devices, filter) {
        (Some(devices), None) => listed(state.service(), &devices),
        (None, Some(Object(filter))) => {
            let filter = filter.filter(state.service())?;
            let walk = move |service: &Service, wanted: &Wanted| service.targets(&filter, &|| wanted.still());
            let targets = state.scan(walk).await?;
            if targets.is_empty() {
                return Err(Problem::field("filter", "no device is like this"));
            }
            Ok(targets)
        }
        _ => Err(Problem::field("devices", "either `devices` or `filter`")),
    }
}

fn listed(service: &Service, texts: &[String]) -> Result<Vec<DeviceId>, Problem> {
    if texts.is_empty() || texts.len() > MAX_LISTED {
        return Err(Problem::field("devices", format!("1 to {MAX_LISTED} ids, not {}", texts.len())));
    }
    let read = |(at, text): (usize, &String)| {
        let fault = |reason: String| Problem::field(format!("devices[{at}]"), reason);
        let id: DeviceId = text.parse().map_err(|error: BadDeviceId| fault(error.to_string()))?;
        service.fleet.get(&id).map(|device| device.id.clone()).ok_or_else(|| fault(format!("no device {id}")))
    };
    texts.iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests;
