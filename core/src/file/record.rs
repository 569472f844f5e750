//! What is known about a file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::firmware::Firmware;
use super::name::FileName;
use super::provider::ProviderId;
use crate::secret::Sealed;
use crate::time::Timestamp;

/// Makes the type of an id: a number of 48 bits, written as twelve hexadecimal digits.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// From a number, of which the low 48 bits are taken.
            pub const fn from_u64(number: u64) -> Self {
                Self(number & 0xffff_ffff_ffff)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:012x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                let digits = text.len() == 12 && text.bytes().all(digit);
                let number = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
                number.map(Self).ok_or(BadId($what))
            }
        }
    };
}
pub(super) use id;

/// A text that can be no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {0} id is twelve lower-case hexadecimal digits")]
pub struct BadId(pub(super) &'static str);

id! {
    /// A file's id: twelve hexadecimal digits.
    FileId, "file"
}

macro_rules! file_kinds {
    ($($(#[$doc:meta])* $variant:ident $word:literal $wire:literal,)*) => {
        /// What a file is for (vendor guide, section 9).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum FileKind { $($(#[$doc])* $variant,)* }

        impl FileKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word used in the API.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The value of the item `file-type` (WPI reference, section 8.8).
            pub const fn wire(self) -> &'static str {
                match self { $(Self::$variant => $wire,)* }
            }

            /// The kind of a word used in the API.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
            }
        }
    };
}

file_kinds! {
    /// Firmware.
    Software "software" "APP",
    /// A ring tone.
    Ringtone "ringtone" "RINGTONE",
    /// A picture for the logo.
    Logo "logo" "LOGO",
    /// A picture for the screensaver.
    Screensaver "screensaver" "SCREENSAVER",
    /// Another picture.
    Picture "picture" "PIC",
    /// A template for LDAP.
    LdapTemplate "ldap-template" "LDAP",
    /// Dongle keys.
    Dongle "dongle" "DONGLE",
    /// Music on hold.
    MusicOnHold "music-on-hold" "MOH",
}

/// Where the bytes of a file are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// In the node's own folder.
    Internal,
    /// At a storage provider.
    Provider(Remote),
}

/// A file at a storage provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// Which one.
    pub provider: ProviderId,
    /// Its path there.
    pub path: Box<str>,
    /// The provider's entity tag when the file was registered: what has another one is another file.
    pub etag: Option<Box<str>>,
    /// When it was changed there before it was registered.
    pub modified: Timestamp,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its id.
    pub id: FileId,
    /// Counts changes, from 1.
    pub revision: u64,
    /// Its name at phones; unique within its kind.
    pub name: FileName,
    /// What it is for.
    pub kind: FileKind,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of its bytes; of a provider's file, which is not read before a phone wants it, of what identifies it there.
    pub digest: [u8; 32],
    /// What the header of an image says.
    pub firmware: Option<Firmware>,
    /// Where its bytes are.
    pub source: Source,
    /// Opens it: part of its path. See [`FileToken`](super::FileToken).
    pub token: Sealed,
    /// When it came.
    pub uploaded: Timestamp,
    /// Who brought it.
    pub uploaded_by: Box<str>,
}

impl FileRecord {
    /// The digest as hexadecimal digits: the entity tag of the file.
    pub fn digest_text(&self) -> String {
        use fmt::Write as _;
        self.digest.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Whether the digest is that of the file's bytes.
    pub fn is_hashed(&self) -> bool {
        self.source == Source::Internal
    }

    /// The provider that has its bytes, if one has.
    pub fn provider(&self) -> Option<ProviderId> {
        match &self.source {
            Source::Internal => None,
            Source::Provider(remote) => Some(remote.provider),
        }
    }
}

/// Version of the record forms of files and providers that this build writes. Older ones stay readable.
pub(super) const VERSION: u8 = 1;

/// A record that cannot be read as a file or a provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFileRecord {
    /// Written by a newer Callboard.
    #[error("record version {0} is newer than this Callboard reads (up to {VERSION})")]
    Newer(u8),
    /// The bytes do not fit the form.
    #[error("malformed record: {0}")]
    Malformed(postcard::Error),
}

/// Pack a record.
pub(super) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, BadFileRecord> {
    postcard::to_extend(record, vec![VERSION]).map_err(BadFileRecord::Malformed)
}

/// Unpack a record.
pub(super) fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, BadFileRecord> {
    match bytes.split_first() {
        Some((&VERSION, payload)) => postcard::from_bytes(payload).map_err(BadFileRecord::Malformed),
        Some((&version, _)) if version > VERSION => Err(BadFileRecord::Newer(version)),
        _ => Err(BadFileRecord::Malformed(postcard::Error::DeserializeBadEncoding)),
    }
}
