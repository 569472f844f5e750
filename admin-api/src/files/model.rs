//! Files and providers as the API shows and takes them.

use callboard_core::file::{self, FileRecord};
use callboard_core::service::Service;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::refusal::internal;
use crate::time::text;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident,)*) => {
        /// What a file is for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "kebab-case")]
        pub(super) enum FileKind { $($(#[$doc])* $variant,)* }

        impl From<file::FileKind> for FileKind {
            fn from(kind: file::FileKind) -> Self {
                match kind { $(file::FileKind::$variant => Self::$variant,)* }
            }
        }

        impl From<FileKind> for file::FileKind {
            fn from(kind: FileKind) -> Self {
                match kind { $(FileKind::$variant => Self::$variant,)* }
            }
        }
    };
}

kinds! {
    /// Firmware.
    Software,
    /// A ring tone.
    Ringtone,
    /// A picture for the logo.
    Logo,
    /// A picture for the screensaver.
    Screensaver,
    /// Another picture.
    Picture,
    /// A template for LDAP.
    LdapTemplate,
    /// Dongle keys.
    Dongle,
    /// Music on hold.
    MusicOnHold,
}

/// What the header of a firmware image says.
#[derive(Debug, Serialize, ToSchema)]
struct Firmware {
    /// The phone's name in the header.
    product: String,
    /// The version, as phones report it.
    version: String,
    /// The device types that it is for.
    device_types: Vec<String>,
    /// The software type, if the image says one.
    software_type: Option<String>,
}

impl Firmware {
    fn of(firmware: &file::Firmware) -> Self {
        Self {
            product: firmware.product.as_ref().into(),
            version: firmware.version.as_ref().into(),
            device_types: firmware.device_type.iter().map(|text| text.as_ref().into()).collect(),
            software_type: firmware.software_type.as_ref().map(|text| text.as_ref().into()),
        }
    }
}

/// A file in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FileSummary {
    /// Its id: twelve hexadecimal digits.
    id: String,
    /// Counts changes, from 1; also in `ETag`.
    revision: u64,
    /// Its name at phones; unique within its kind.
    name: String,
    /// What it is for.
    kind: FileKind,
    /// Its length in bytes.
    size: u64,
    /// SHA-256 of its bytes, hexadecimal; null for a file of a storage provider.
    sha256: Option<String>,
    /// What the header of an image says; null if it is none.
    firmware: Option<Firmware>,
    /// The storage provider that has its bytes; null if they are here.
    provider: Option<String>,
    /// The name of that provider.
    provider_name: Option<String>,
    /// When it came.
    #[schema(format = DateTime)]
    uploaded: String,
    /// Who brought it.
    uploaded_by: String,
}

impl FileSummary {
    pub(super) fn of(file: &FileRecord, service: &Service) -> Self {
        let provider = file.provider().and_then(|id| service.files.provider(id));
        Self {
            id: file.id.to_string(),
            revision: file.revision,
            name: file.name.to_string(),
            kind: file.kind.into(),
            size: file.size,
            sha256: file.is_hashed().then(|| file.digest_text()),
            firmware: file.firmware.as_ref().map(Firmware::of),
            provider: file.provider().map(|id| id.to_string()),
            provider_name: provider.map(|provider| provider.name.to_string()),
            uploaded: text(file.uploaded),
            uploaded_by: file.uploaded_by.to_string(),
        }
    }
}

/// A file.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct File {
    #[serde(flatten)]
    summary: FileSummary,
    /// Its path at the phones' doors. Nobody can guess it; whoever knows it can fetch the file.
    path: String,
    /// Its path at the provider, if it is a provider's.
    provider_path: Option<String>,
}

impl File {
    pub(super) fn of(file: &FileRecord, service: &Service) -> Result<Self, Problem> {
        let path = service.files.path(file).map_err(|error| internal(&error))?;
        let provider_path = match &file.source {
            file::Source::Internal => None,
            file::Source::Provider(remote) => Some(remote.path.to_string()),
        };
        Ok(Self { summary: FileSummary::of(file, service), path: path.expose().to_owned(), provider_path })
    }
}
