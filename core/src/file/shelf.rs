//! Room for a file before it is there: its name, its place in the count, its bytes.

use std::sync::Arc;

use super::firmware::Firmware;
use super::name::{FileName, FileToken};
use super::record::{self, FileId, FileKind, FileRecord, Source};
use super::registry::{FileError, Files};
use crate::store::{Table, Ticket, Write};
use crate::time::Timestamp;

/// A name and bytes that are kept for a file on its way; given back when dropped.
#[derive(Debug)]
pub struct Reservation<'a> {
    files: &'a Files,
    id: FileId,
    bytes: u64,
}

/// What is known about a file when all of it has come.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its length in bytes.
    pub size: u64,
    /// See [`FileRecord::digest`].
    pub digest: [u8; 32],
    /// What the header of an image says.
    pub firmware: Option<Firmware>,
    /// Where its bytes are.
    pub source: Source,
    /// When it came.
    pub at: Timestamp,
    /// Who brought it.
    pub by: Box<str>,
}

impl Files {
    /// Keep a name for a file that is on its way. `random` is where its id is made from.
    pub fn reserve(
        &self,
        name: FileName,
        kind: FileKind,
        random: u128,
    ) -> Result<Reservation<'_>, FileError> {
        let mut state = self.lock();
        let limit = self.bounds().files;
        if state.files.len() + state.coming.len() >= limit {
            return Err(FileError::Full { what: "files", limit });
        }
        let same = |other: &FileName, of: FileKind| *other == name && of == kind;
        let there = state.files.values().any(|file| same(&file.name, file.kind));
        if there || state.coming.values().any(|(other, of)| same(other, *of)) {
            return Err(FileError::NameTaken(kind));
        }
        #[allow(clippy::cast_possible_truncation)] // any bits do
        let mut number = random as u64;
        let id = loop {
            let id = FileId::from_u64(number);
            if !state.files.contains_key(&id) && !state.coming.contains_key(&id) {
                break id;
            }
            number = number.wrapping_add(1);
        };
        state.coming.insert(id, (name, kind));
        Ok(Reservation { files: self, id, bytes: 0 })
    }
}

impl Reservation<'_> {
    /// The id that the file will have.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Keep room for so many bytes more in the node's own folder.
    pub fn grow(&mut self, bytes: u64) -> Result<(), FileError> {
        let mut state = self.files.lock();
        let limit = self.files.bounds().total_bytes;
        let total = state.bytes.saturating_add(bytes);
        if total > limit {
            return Err(FileError::TotalFull { limit });
        }
        state.bytes = total;
        self.bytes += bytes;
        Ok(())
    }

    /// The file is there. `random` becomes its token. When the ticket has resolved, its record is durable.
    pub fn commit(self, told: Told, random: u128) -> Result<(Arc<FileRecord>, Ticket), FileError> {
        let files = self.files;
        let token = FileToken::from_u128(random).expose();
        let token = files.vault.seal(&token)?;
        let mut state = files.lock();
        let Some((name, kind)) = state.coming.get(&self.id).cloned() else {
            return Err(FileError::Unknown(self.id));
        };
        if let Source::Provider(remote) = &told.source
            && !state.providers.contains_key(&remote.provider)
        {
            drop(state);
            return Err(FileError::UnknownProvider(remote.provider));
        }
        let Told { size, digest, firmware, source, at, by } = told;
        let file = FileRecord {
            id: self.id,
            revision: 1,
            name,
            kind,
            size,
            digest,
            firmware,
            source,
            token,
            uploaded: at,
            uploaded_by: by,
        };
        let record = record::encode(&file)?;
        let ticket = files.store.submit(vec![Write::put(Table::File, self.id.to_string(), record)])?;
        let file = Arc::new(file);
        files.insert(&mut state, file.clone())?;
        drop(state);
        // Gives back what was kept: the file itself counts now.
        drop(self);
        Ok((file, ticket))
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut state = self.files.lock();
        state.coming.remove(&self.id);
        state.bytes = state.bytes.saturating_sub(self.bytes);
        state.publish();
    }
}
