//! What administrators may ask of a device, checked and made fit for records.

use std::sync::Arc;

use callboard_codecs::wpi::SoftwareVersion;

use super::{AdminError, Service};
use crate::device::{TaskKind, TaskWrite};
use crate::file::{FileId, FileKind, FileRecord, Firmware};
use crate::item::{ItemKey, ItemWrite};
use crate::job::{FileAction, FileSource, Priority, Restrictions, SoftwareDeployment};
use crate::policy::setting_fault;
use crate::secret::{Secret, VaultError};

/// What an administrator wants a device to do at its next contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskRequest {
    /// Give all its items.
    ReadAll,
    /// Give these items.
    ReadItems(Vec<ItemKey>),
    /// Take these values.
    WriteItems(Vec<ItemWrite>),
    /// Take what its templates ask for.
    ApplyTemplates,
    /// Load other firmware.
    SoftwareDeployment(Box<SoftwareWish>),
    /// Fetch and delete files.
    FileDeployment(Vec<FileWish>),
    /// Boot.
    Restart {
        /// Back to factory settings.
        factory_reset: bool,
    },
    /// Boot with factory settings, but keep certificates.
    FactoryResetKeepCertificates,
    /// Enter secure mode.
    SecureModeOn {
        /// With the default PIN; else without PIN.
        default_pin: bool,
    },
    /// Leave secure mode.
    SecureModeOff,
    /// Be told by SIP to fetch the configuration.
    CheckSync {
        /// And to restart.
        restart: bool,
    },
}

impl TaskRequest {
    /// The files of this server that it names.
    pub(super) fn stored_files(&self) -> Vec<FileId> {
        let stored = |source: &FileSourceWish| match source {
            FileSourceWish::Stored(id) => Some(*id),
            FileSourceWish::Https { .. } | FileSourceWish::Ftp { .. } => None,
        };
        match self {
            Self::SoftwareDeployment(software) => stored(&software.source).into_iter().collect(),
            Self::FileDeployment(files) => {
                let deployed = files.iter().filter_map(|file| match &file.action {
                    FileWishAction::Deploy(source) => stored(source),
                    FileWishAction::Delete(_) => None,
                });
                deployed.collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Where a phone shall fetch a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileSourceWish {
    /// By HTTP or HTTPS.
    Https {
        /// The whole URL; its last part is the file's name.
        url: Secret,
    },
    /// By FTP.
    Ftp {
        /// Address or name of the server.
        server: String,
        /// Its port.
        port: u16,
        /// Account.
        username: String,
        /// Password of the account.
        password: Secret,
        /// Folder.
        path: String,
        /// The file's name.
        name: String,
    },
    /// At this server, by HTTPS.
    Stored(FileId),
}

/// Firmware that phones shall load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoftwareWish {
    /// Where it lies.
    pub source: FileSourceWish,
    /// Its kind, for example `Siemens SIP`; that of the image at this server if not given.
    pub software_type: Option<String>,
    /// Its version, for example `V3 R5.12.0`; that of the image at this server if not given.
    pub version: Option<String>,
    /// Device types that it is for; none is those of the image at this server, or all.
    pub device_types: Vec<String>,
    /// Whether a phone in a call loads it.
    pub priority: Priority,
    /// When no phone loads it.
    pub restrictions: Restrictions,
}

/// A file that phones shall fetch or delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileWish {
    /// The phone's word for its kind, for example `RINGTONE`; that of the file at this server if not given.
    pub file_type: Option<String>,
    /// What is to be done.
    pub action: FileWishAction,
}

/// What is to be done with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileWishAction {
    /// Fetch it.
    Deploy(FileSourceWish),
    /// Delete the one of this name.
    Delete(String),
}

/// Items that one task may read or write.
const MAX_TASK_ITEMS: usize = 500;
/// Files of one task.
const MAX_TASK_FILES: usize = 20;
/// Bytes of a text in a task.
const MAX_TEXT_BYTES: usize = 255;
/// Bytes of a URL.
const MAX_URL_BYTES: usize = 1_024;
/// Device types of one firmware.
const MAX_DEVICE_TYPES: usize = 64;

fn bounded(field: &str, what: &str, count: usize, most: usize) -> Result<(), AdminError> {
    match count {
        0 => Err(AdminError::field(field, format!("at least one {what}"))),
        count if count > most => {
            Err(AdminError::field(field, format!("at most {most} {what}s, not {count}")))
        }
        _ => Ok(()),
    }
}

/// A short text without characters that do not belong into an item.
fn text(field: &str, text: &str, may_be_empty: bool) -> Result<Box<str>, AdminError> {
    let text = text.trim();
    if text.is_empty() && !may_be_empty {
        return Err(AdminError::field(field, "must not be empty"));
    }
    if text.len() > MAX_TEXT_BYTES {
        return Err(AdminError::field(field, format!("at most {MAX_TEXT_BYTES} bytes, not {}", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(AdminError::field(field, "no control characters"));
    }
    Ok(text.into())
}

/// The name of a file: one part of a path.
fn file_name(field: &str, name: &str) -> Result<Box<str>, AdminError> {
    let name = text(field, name, false)?;
    if name.contains(['/', '\\']) || matches!(&*name, "." | "..") {
        return Err(AdminError::field(field, "a file name, without folders"));
    }
    Ok(name)
}

impl Service {
    /// Check a wish and make it fit for a record. `field` is where it stands in what the administrator sent.
    pub(super) fn task_kind(&self, wish: TaskRequest) -> Result<TaskKind, AdminError> {
        Ok(match wish {
            TaskRequest::ReadAll => TaskKind::ReadAll,
            TaskRequest::ReadItems(keys) => {
                bounded("items", "item", keys.len(), MAX_TASK_ITEMS)?;
                TaskKind::ReadItems(keys)
            }
            TaskRequest::WriteItems(items) => self.write_kind(items)?,
            TaskRequest::ApplyTemplates => TaskKind::ApplyTemplates,
            TaskRequest::SoftwareDeployment(wish) => {
                TaskKind::SoftwareDeployment(Box::new(self.software(*wish)?))
            }
            TaskRequest::FileDeployment(files) => {
                bounded("files", "file", files.len(), MAX_TASK_FILES)?;
                let files = files.into_iter().enumerate().map(|(at, file)| self.file(at, file));
                TaskKind::FileDeployment(files.collect::<Result<_, _>>()?)
            }
            TaskRequest::Restart { factory_reset } => TaskKind::Restart { factory_reset },
            TaskRequest::FactoryResetKeepCertificates => TaskKind::FactoryResetKeepCertificates,
            TaskRequest::SecureModeOn { default_pin } => TaskKind::SecureModeOn { default_pin },
            TaskRequest::SecureModeOff => TaskKind::SecureModeOff,
            TaskRequest::CheckSync { restart } => TaskKind::CheckSync { restart },
        })
    }

    fn write_kind(&self, items: Vec<ItemWrite>) -> Result<TaskKind, AdminError> {
        bounded("items", "item", items.len(), MAX_TASK_ITEMS)?;
        for (at, item) in items.iter().enumerate() {
            if let Some((part, reason)) = setting_fault(&item.key) {
                return Err(AdminError::field(format!("items[{at}].{part}"), reason));
            }
        }
        let seal =
            |item: ItemWrite| Ok(TaskWrite { value: self.around.vault.seal(&item.value)?, key: item.key });
        Ok(TaskKind::WriteItems(items.into_iter().map(seal).collect::<Result<_, VaultError>>()?))
    }

    fn software(&self, wish: SoftwareWish) -> Result<SoftwareDeployment, AdminError> {
        let image = self.image(&wish.source)?;
        let said = |own: Option<String>, of_image: Option<&str>, field: &str| {
            let told = own.or_else(|| of_image.map(str::to_owned));
            told.ok_or_else(|| AdminError::field(field, "is missing, and the image does not say it"))
        };
        let (software_type, version) = ("software.software_type", "software.version");
        let of_image = image.as_ref().and_then(|image| image.software_type.as_deref());
        let told_type = said(wish.software_type, of_image, software_type)?;
        let told_version = said(wish.version, image.as_ref().map(|image| &*image.version), version)?;
        if told_version.parse::<SoftwareVersion>().is_err() {
            return Err(AdminError::field(version, "a version such as `V3 R5.12.0` or `3.5.12.0`"));
        }
        if wish.device_types.len() > MAX_DEVICE_TYPES {
            let reason = format!("at most {MAX_DEVICE_TYPES} device types");
            return Err(AdminError::field("software.device_types", reason));
        }
        let types = wish.device_types.iter().enumerate();
        let device_type =
            |(at, name): (usize, &String)| text(&format!("software.device_types[{at}]"), name, false);
        let mut device_types = types.map(device_type).collect::<Result<Vec<_>, _>>()?;
        if device_types.is_empty() {
            device_types.extend(image.and_then(|image| image.device_type));
        }
        Ok(SoftwareDeployment {
            source: self.source("software", wish.source)?,
            software_type: text(software_type, &told_type, false)?,
            version: text(version, &told_version, false)?,
            device_types,
            priority: wish.priority,
            restrictions: wish.restrictions,
        })
    }

    /// What the image at this server says of itself; nothing if it lies elsewhere.
    fn image(&self, source: &FileSourceWish) -> Result<Option<Firmware>, AdminError> {
        let FileSourceWish::Stored(id) = source else { return Ok(None) };
        let file = self.stored("software", *id)?;
        if file.kind != FileKind::Software {
            return Err(AdminError::field(
                "software.file",
                format!("is no software but a {}", file.kind.as_str()),
            ));
        }
        Ok(file.firmware.clone())
    }

    fn stored(&self, field: &str, id: FileId) -> Result<Arc<FileRecord>, AdminError> {
        let missing = || AdminError::field(format!("{field}.file"), format!("there is no file {id}"));
        self.files.get(id).ok_or_else(missing)
    }

    fn file(&self, at: usize, wish: FileWish) -> Result<FileAction, AdminError> {
        let field = format!("files[{at}]");
        let of_file = match &wish.action {
            FileWishAction::Deploy(FileSourceWish::Stored(id)) => Some(self.stored(&field, *id)?.kind.wire()),
            _ => None,
        };
        let type_field = format!("{field}.type");
        let told = wish.file_type.as_deref().or(of_file);
        let told = told.ok_or_else(|| AdminError::field(type_field.as_str(), "is missing"))?;
        let file_type = text(&type_field, told, false)?;
        Ok(match wish.action {
            FileWishAction::Delete(name) => {
                FileAction::Delete { file_type, name: file_name(&format!("{field}.name"), &name)? }
            }
            FileWishAction::Deploy(source) => {
                FileAction::Deploy { file_type, source: self.source(&field, source)? }
            }
        })
    }

    fn source(&self, field: &str, wish: FileSourceWish) -> Result<FileSource, AdminError> {
        let vault = &self.around.vault;
        Ok(match wish {
            FileSourceWish::Https { url } => {
                let name = url_file_name(&format!("{field}.url"), url.expose())?;
                FileSource::Https { url: vault.seal(&url)?, name }
            }
            FileSourceWish::Stored(id) => {
                let file = self.stored(field, id)?;
                FileSource::Stored { file: id, name: file.name.as_str().into() }
            }
            FileSourceWish::Ftp { server, port, username, password, path, name } => {
                let ftp = |part: &str| format!("{field}.ftp.{part}");
                if port == 0 {
                    return Err(AdminError::field(ftp("port"), "1 to 65535"));
                }
                FileSource::Ftp {
                    server: text(&ftp("server"), &server, false)?,
                    port,
                    username: text(&ftp("username"), &username, true)?,
                    password: vault.seal(&password)?,
                    path: text(&ftp("path"), &path, true)?,
                    name: file_name(&ftp("name"), &name)?,
                }
            }
        })
    }
}

/// The last part of a URL. The URL itself is never told: whoever has it may get the file.
fn url_file_name(field: &str, url: &str) -> Result<Box<str>, AdminError> {
    let fault = |reason: &str| AdminError::field(field, reason);
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest else { return Err(fault("a URL that begins with `https://` or `http://`")) };
    if url.len() > MAX_URL_BYTES {
        return Err(fault("at most 1024 bytes"));
    }
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(fault("visible ASCII only; other characters are to be percent-encoded"));
    }
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    match path.rsplit_once('/') {
        Some((host, name)) if !host.is_empty() && !name.is_empty() => file_name(field, name),
        _ => Err(fault("a URL that ends with the name of a file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_ends_with_the_name_of_a_file() {
        let name = |url: &str| url_file_name("url", url).map(String::from).map_err(|error| error.to_string());
        assert_eq!(name("https://198.51.100.7:18443/files/x/a.img"), Ok("a.img".to_owned()));
        assert_eq!(name("http://h/a.img?x=1"), Ok("a.img".to_owned()));
        for bad in ["ftp://h/a", "https://h/", "https://h", "https:///a", "https://h/a b", "https://h/.."] {
            assert!(name(bad).unwrap_err().starts_with("url: "), "{bad}");
        }
    }

    #[test]
    fn texts_are_bounded_and_without_control_characters() {
        assert_eq!(&*text("f", " a ", false).unwrap(), "a");
        assert!(text("f", " ", true).is_ok() && text("f", " ", false).is_err());
        assert!(text("f", "a\nb", false).is_err() && text("f", &"x".repeat(256), false).is_err());
        assert!(file_name("f", "../x").is_err() && file_name("f", "x\\y").is_err());
    }
}
