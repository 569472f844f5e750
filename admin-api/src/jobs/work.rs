//! What a job does, as its administrator said it, without what is secret.

use callboard_core::device::TaskKind;
use callboard_core::item::ItemKey;
use callboard_core::job::{FileAction, FileSource, Interval, Priority, Restrictions, SoftwareDeployment};
use serde::Serialize;
use utoipa::ToSchema;

/// What a job does. Only what belongs to its type is there.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Work {
    /// The items that are read or written. Values are not shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<String>,
    /// The PIN with which phones enter secure mode: `none` or `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<&'static str>,
    /// The firmware that phones load.
    #[serde(skip_serializing_if = "Option::is_none")]
    software: Option<FirmwareWork>,
    /// The files that phones fetch or delete.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<FileWork>,
}

/// Firmware that phones load.
#[derive(Debug, Serialize, ToSchema)]
struct FirmwareWork {
    /// Where it lies.
    source: Place,
    /// Its kind: phones with another one do not get it.
    software_type: String,
    /// Its version.
    version: String,
    /// Device types that it is for; none is all.
    device_types: Vec<String>,
    /// Whether a phone in a call loads it: `normal` is when it is idle, `immediate` in any case.
    priority: &'static str,
    /// When no phone loads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    restrictions: Option<Times>,
}

/// Times in which no firmware is deployed.
#[derive(Debug, Serialize, ToSchema)]
struct Times {
    /// The time zone in which they are said.
    time_zone: String,
    /// Such as `monday 08:00-18:00`.
    intervals: Vec<String>,
}

/// A file that phones fetch or delete.
#[derive(Debug, Serialize, ToSchema)]
struct FileWork {
    /// `deploy` or `delete`.
    action: &'static str,
    /// The phone's word for its kind.
    file_type: String,
    /// Its name.
    name: String,
    /// Where it lies; not with `delete`.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Place>,
}

/// Where a file lies. Accounts, and the URLs that lead to it, are not shown.
#[derive(Debug, Serialize, ToSchema)]
struct Place {
    /// `file` is this server, else the protocol: `https` or `ftp`.
    kind: &'static str,
    /// The file's name.
    name: String,
    /// With `file`: its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// With `ftp`: the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
}

impl Work {
    pub(super) fn of(kind: &TaskKind) -> Self {
        let items = match kind {
            TaskKind::ReadItems(keys) => keys.iter().map(ItemKey::to_string).collect(),
            TaskKind::WriteItems(writes) => writes.iter().map(|write| write.key.to_string()).collect(),
            _ => Vec::new(),
        };
        let files = match kind {
            TaskKind::FileDeployment(files) => files.iter().map(FileWork::of).collect(),
            _ => Vec::new(),
        };
        let pin = match kind {
            TaskKind::SecureModeOn { default_pin: true } => Some("default"),
            TaskKind::SecureModeOn { default_pin: false } => Some("none"),
            _ => None,
        };
        let software = match kind {
            TaskKind::SoftwareDeployment(software) => Some(FirmwareWork::of(software)),
            _ => None,
        };
        Self { items, pin, software, files }
    }
}

impl FirmwareWork {
    fn of(software: &SoftwareDeployment) -> Self {
        let is_restricted = !software.restrictions.intervals().is_empty();
        Self {
            source: Place::of(&software.source),
            software_type: software.software_type.to_string(),
            version: software.version.to_string(),
            device_types: software.device_types.iter().map(ToString::to_string).collect(),
            priority: match software.priority {
                Priority::Normal => "normal",
                Priority::Immediate => "immediate",
            },
            restrictions: is_restricted.then(|| Times::of(&software.restrictions)),
        }
    }
}

impl Times {
    fn of(restrictions: &Restrictions) -> Self {
        Self {
            time_zone: restrictions.time_zone().to_owned(),
            intervals: restrictions.intervals().iter().copied().map(interval).collect(),
        }
    }
}

fn interval(interval: Interval) -> String {
    const WEEKDAYS: [&str; 7] =
        ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let weekday = WEEKDAYS.get(usize::from(interval.weekday)).unwrap_or(&"?");
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    format!("{weekday} {}-{}", clock(interval.from), clock(interval.to))
}

impl FileWork {
    fn of(action: &FileAction) -> Self {
        Self {
            action: if action.is_deployed() { "deploy" } else { "delete" },
            file_type: action.file_type().to_owned(),
            name: action.name().to_owned(),
            source: match action {
                FileAction::Deploy { source, .. } => Some(Place::of(source)),
                FileAction::Delete { .. } => None,
            },
        }
    }
}

impl Place {
    fn of(source: &FileSource) -> Self {
        let (kind, server) = match source {
            FileSource::Stored { .. } => ("file", None),
            FileSource::Https { .. } => ("https", None),
            FileSource::Ftp { server, .. } => ("ftp", Some(server.to_string())),
        };
        let file = source.stored().map(|id| id.to_string());
        Self { kind, name: source.name().to_owned(), file, server }
    }
}

#[cfg(test)]
mod tests {
    use callboard_core::file::FileId;
    use serde_json::json;

    use super::*;

    fn shown(kind: &TaskKind) -> serde_json::Value {
        serde_json::to_value(Work::of(kind)).unwrap()
    }

    #[test]
    fn firmware_is_shown_with_its_times_and_place() {
        let day = Interval { weekday: 2, from: 8 * 60, to: 24 * 60 };
        let software = SoftwareDeployment {
            source: FileSource::Stored { file: FileId::from_u64(7), name: "sip.app".into() },
            software_type: "Siemens SIP".into(),
            version: "V3 R5.12.0".into(),
            device_types: vec!["OpenStage 60".into()],
            priority: Priority::Immediate,
            restrictions: Restrictions::new(vec![day], "Europe/Berlin").unwrap(),
        };
        assert_eq!(
            shown(&TaskKind::SoftwareDeployment(Box::new(software))),
            json!({"software": {
                "source": {"kind": "file", "name": "sip.app", "file": FileId::from_u64(7).to_string()},
                "software_type": "Siemens SIP",
                "version": "V3 R5.12.0",
                "device_types": ["OpenStage 60"],
                "priority": "immediate",
                "restrictions": {"time_zone": "Europe/Berlin", "intervals": ["wednesday 08:00-24:00"]},
            }})
        );
    }

    #[test]
    fn items_files_and_pins_are_shown() {
        let keys = vec![ItemKey::new("e164", None), ItemKey::new("dss-label", Some(3))];
        assert_eq!(shown(&TaskKind::ReadItems(keys)), json!({"items": ["e164", "dss-label[3]"]}));
        assert_eq!(shown(&TaskKind::SecureModeOn { default_pin: true }), json!({"pin": "default"}));
        assert_eq!(shown(&TaskKind::SecureModeOff), json!({}));
        let gone = FileAction::Delete { file_type: "RINGTONE".into(), name: "bell.mp3".into() };
        assert_eq!(
            shown(&TaskKind::FileDeployment(vec![gone])),
            json!({"files": [{"action": "delete", "file_type": "RINGTONE", "name": "bell.mp3"}]})
        );
    }
}
