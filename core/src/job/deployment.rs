//! What a phone is told to fetch (WPI reference, sections 8.6 to 8.8).

use serde::{Deserialize, Serialize};

use super::Restrictions;
use crate::file::{FileId, Files};
use crate::item::ItemWrite;
use crate::secret::{Sealed, Vault, VaultError};

/// Where a phone fetches a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileSource {
    /// By HTTPS, at this URL.
    Https {
        /// The whole URL, file name included. A secret, because whoever has it gets the file.
        url: Sealed,
        /// The file's name, the last part of the URL.
        name: Box<str>,
    },
    /// By FTP.
    Ftp {
        /// Address or name of the server.
        server: Box<str>,
        /// Its port.
        port: u16,
        /// Account.
        username: Box<str>,
        /// Password of the account.
        password: Sealed,
        /// Folder.
        path: Box<str>,
        /// The file's name.
        name: Box<str>,
    },
    /// At this server, by HTTPS.
    Stored {
        /// Which file.
        file: FileId,
        /// The file's name.
        name: Box<str>,
    },
}

/// Where a phone finds this server's own files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileServer<'a> {
    pub(crate) files: &'a Files,
    /// Scheme, host and port of the door that the phone can reach, without a slash at its end; `None` is not known.
    pub(crate) address: Option<&'a str>,
    pub(crate) vault: &'a Vault,
}

/// Why a phone cannot be told where a file is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoFile {
    #[error("the file {0} is no longer there")]
    Gone(FileId),
    #[error("the address at which the phone finds files is not known: set files.external_address")]
    NoAddress,
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl FileSource {
    /// The file's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Https { name, .. } | Self::Ftp { name, .. } | Self::Stored { name, .. } => name,
        }
    }

    /// Which of this server's files it is, if it is one.
    pub const fn stored(&self) -> Option<FileId> {
        match self {
            Self::Stored { file, .. } => Some(*file),
            Self::Https { .. } | Self::Ftp { .. } => None,
        }
    }

    /// The items that say it, each with this index.
    fn items(
        &self,
        index: Option<u32>,
        server: FileServer<'_>,
        into: &mut Vec<ItemWrite>,
    ) -> Result<(), NoFile> {
        let mut item = |name: &str, value: &str| into.push(ItemWrite::new(name, index, value));
        let mut https = |url: &str, name: &str| {
            item("file-https-base-url", url);
            // Alone the phone takes the name from the URL.
            if index.is_some() {
                item("file-name", name);
            }
        };
        match self {
            Self::Https { url, name } => https(server.vault.open(url)?.expose(), name),
            Self::Stored { file, name } => {
                let record = server.files.get(*file).ok_or(NoFile::Gone(*file))?;
                let address = server.address.ok_or(NoFile::NoAddress)?;
                https(&format!("{address}{}", server.files.path(&record)?.expose()), name);
            }
            Self::Ftp { server: host, port, username, password, path, name } => {
                let password = server.vault.open(password)?;
                item("file-server", host);
                item("file-port", &port.to_string());
                item("file-username", username);
                item("file-pwd", password.expose());
                item("file-path", path);
                item("file-name", name);
            }
        }
        Ok(())
    }
}

/// Whether a phone in a call loads firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// Only when it is idle.
    Normal,
    /// In any case.
    Immediate,
}

impl Priority {
    /// The word on the wire and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Immediate => "immediate",
        }
    }
}

/// Firmware for phones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoftwareDeployment {
    /// Where it lies.
    pub source: FileSource,
    /// Its kind, for example `Siemens SIP`: phones with another one do not get it.
    pub software_type: Box<str>,
    /// Its version, for example `V3 R5.12.0`: what the phone reports when it is done.
    pub version: Box<str>,
    /// Device types that it is for; none is all.
    pub device_types: Vec<Box<str>>,
    /// Whether a phone in a call loads it.
    pub priority: Priority,
    /// When no phone loads it.
    pub restrictions: Restrictions,
}

impl SoftwareDeployment {
    /// The items of the message that asks for it.
    pub(crate) fn items(&self, server: FileServer<'_>) -> Result<Vec<ItemWrite>, NoFile> {
        let mut items = Vec::with_capacity(10);
        self.source.items(None, server, &mut items)?;
        let mut item = |name: &str, value: &str| items.push(ItemWrite::new(name, None, value));
        item("file-type", "APP");
        item("file-sw-type", &self.software_type);
        item("file-sw-version", &self.version);
        item("file-priority", self.priority.as_str());
        Ok(items)
    }

    /// Whether it is for this device type.
    pub fn is_for(&self, device_type: &str) -> bool {
        let same = |own: &str| own.trim().eq_ignore_ascii_case(device_type.trim());
        self.device_types.is_empty() || self.device_types.iter().any(|own| same(own))
    }
}

/// One file to fetch or to delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileAction {
    /// Fetch it.
    Deploy {
        /// The phone's word for its kind, for example `RINGTONE`.
        file_type: Box<str>,
        /// Where it lies.
        source: FileSource,
    },
    /// Delete it at the phone.
    Delete {
        /// The phone's word for its kind.
        file_type: Box<str>,
        /// Its name.
        name: Box<str>,
    },
}

impl FileAction {
    /// The kind of the file.
    pub fn file_type(&self) -> &str {
        match self {
            Self::Deploy { file_type, .. } | Self::Delete { file_type, .. } => file_type,
        }
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Deploy { source, .. } => source.name(),
            Self::Delete { name, .. } => name,
        }
    }

    /// Whether the phone has it when it is done.
    pub const fn is_deployed(&self) -> bool {
        matches!(self, Self::Deploy { .. })
    }
}

/// The items of the message that asks for these files: a single fetch stands without index, else files count from 1.
pub(crate) fn file_items(files: &[FileAction], server: FileServer<'_>) -> Result<Vec<ItemWrite>, NoFile> {
    let mut items = Vec::with_capacity(files.len() * 9);
    if let [FileAction::Deploy { file_type, source }] = files {
        items.push(ItemWrite::new("file-type", None, &**file_type));
        source.items(None, server, &mut items)?;
        return Ok(items);
    }
    for (file, index) in files.iter().zip(1_u32..) {
        let index = Some(index);
        items.push(ItemWrite::new(
            "file-action",
            index,
            if file.is_deployed() { "deploy" } else { "delete" },
        ));
        items.push(ItemWrite::new("file-type", index, file.file_type()));
        match file {
            FileAction::Deploy { source, .. } => source.items(index, server, &mut items)?,
            FileAction::Delete { name, .. } => items.push(ItemWrite::new("file-name", index, &**name)),
        }
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::file::FileBounds;
    use crate::secret::{KEY_LEN, Secret};
    use crate::store::MemoryStore;

    fn files(vault: &Arc<Vault>) -> Files {
        Files::new(Arc::new(MemoryStore::default()), vault.clone(), FileBounds::default())
    }

    fn told(items: &[ItemWrite]) -> Vec<String> {
        items.iter().map(|item| format!("{}={}", item.key, item.value.expose())).collect()
    }

    #[test]
    fn one_file_stands_without_index_and_several_with() {
        let vault = Arc::new(Vault::new(&[1; KEY_LEN]).unwrap());
        let ftp = FileAction::Deploy {
            file_type: "RINGTONE".into(),
            source: FileSource::Ftp {
                server: "198.51.100.9".into(),
                port: 21,
                username: "pub".into(),
                password: vault.seal(&Secret::new("pub")).unwrap(),
                path: "/media".into(),
                name: "bell.wav".into(),
            },
        };
        let files = files(&vault);
        let server = FileServer { files: &files, address: None, vault: &vault };
        let one = told(&file_items(std::slice::from_ref(&ftp), server).unwrap());
        assert_eq!(one[0], "file-type=RINGTONE");
        assert!(one.contains(&"file-pwd=pub".to_owned()) && one.contains(&"file-name=bell.wav".to_owned()));
        let delete = FileAction::Delete { file_type: "LOGO".into(), name: "old.png".into() };
        let two = told(&file_items(&[ftp, delete], server).unwrap());
        assert_eq!(two[0], "file-action[1]=deploy");
        assert_eq!(
            two[two.len() - 3..],
            ["file-action[2]=delete", "file-type[2]=LOGO", "file-name[2]=old.png"]
        );
    }

    #[test]
    fn firmware_is_for_some_device_types_or_for_all() {
        let vault = Arc::new(Vault::new(&[1; KEY_LEN]).unwrap());
        let url = vault.seal(&Secret::new("https://198.51.100.7:18443/files/x/a.img")).unwrap();
        let mut software = SoftwareDeployment {
            source: FileSource::Https { url, name: "a.img".into() },
            software_type: "Siemens SIP".into(),
            version: "V3 R5.12.0".into(),
            device_types: Vec::new(),
            priority: Priority::Normal,
            restrictions: Restrictions::default(),
        };
        assert!(software.is_for("OpenStage 60"));
        software.device_types.push("OpenStage 40".into());
        assert!(software.is_for("openstage 40 ") && !software.is_for("OpenStage 60"));
        let files = files(&vault);
        let server = FileServer { files: &files, address: None, vault: &vault };
        let items = told(&software.items(server).unwrap());
        assert_eq!(items[0], "file-https-base-url=https://198.51.100.7:18443/files/x/a.img");
        assert_eq!(
            items[1..],
            [
                "file-type=APP",
                "file-sw-type=Siemens SIP",
                "file-sw-version=V3 R5.12.0",
                "file-priority=normal"
            ]
        );
    }
}
