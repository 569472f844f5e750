//! Files for phones: firmware, ring tones, pictures (vendor guide, section 9; WPI reference, sections 8.6 to 8.8).
//!
//! A record says what a file is; its bytes lie in the node's own folder or at a storage provider, which only the
//! gateway knows how to read ([`FileStorage`]). A file is identified by name and kind: a phone does not fetch a name again that
//! it has, so a changed file needs a new name.

mod firmware;
mod name;
mod provider;
mod providers;
mod record;
mod registry;
mod shelf;
mod storage;
#[cfg(test)]
mod tests;

pub use firmware::{Firmware, HEAD_BYTES, TAIL_BYTES, recognise};
pub use name::{BadFileName, FileName, FileToken, MAX_NAME_BYTES};
pub use provider::{Place, Provider, ProviderFault, ProviderId};
pub use record::{BadFileRecord, BadId, FileId, FileKind, FileRecord, Remote, Source};
pub use registry::{FileBounds, FileError, FileUse, Files, Loaded, describe_metrics};
pub use shelf::{Reservation, Told};
pub use storage::{BrokenPieces, Doing, FileStorage, Found, Pieces, RemoteFile, Scan, StorageError, Upload};
