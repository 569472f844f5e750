//! The files of the data directory that are not the store: the key, the token, the PIN.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use callboard_core::dialogue::wpi::pin_fault;
use callboard_core::secret::{KEY_LEN, Secret, Vault, VaultError};
use callboard_core::store::Folders;

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store is there and the key is not: nothing secret in it could be opened.
    #[error(
        "{path} is missing, but the store beside it exists; put the key file back, or move the store away to start anew"
    )]
    KeyLost {
        /// The key file.
        path: PathBuf,
    },
    /// The key file has the wrong size.
    #[error("{path}: {source}")]
    BadKey {
        /// The key file.
        path: PathBuf,
        /// Why.
        source: VaultError,
    },
    /// Others could read or replace what is secret.
    #[error("{path} is open to others (mode {mode:04o}); {remedy}")]
    Open {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What to do.
        remedy: &'static str,
    },
    /// A text file holds something else than it should.
    #[error("{path}: {reason}")]
    BadContents {
        /// The file.
        path: PathBuf,
        /// What is allowed.
        reason: &'static str,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DataError {
    let path = path.to_owned();
    |source| DataError::Io { path, source }
}

/// The data directory.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// Open the directory, or make it, readable for its owner only.
    pub fn open(root: &Path) -> Result<Self, DataError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(at(root))?;
        closed(root, 0o022, "nobody else may write here: chmod go-w")?;
        Ok(Self { root: root.to_owned() })
    }

    /// Where the store lies.
    pub fn store(&self) -> PathBuf {
        Folders::of(&self.root).store
    }

    /// Where the journal of bindings lies.
    pub fn bindings(&self) -> PathBuf {
        Folders::of(&self.root).bindings
    }

    /// Where the journal of notifications lies.
    pub fn notifications(&self) -> PathBuf {
        Folders::of(&self.root).notifications
    }

    /// Where files for phones lie.
    pub fn files(&self) -> PathBuf {
        self.root.join("files")
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The vault under the key file, which is made at first start.
    pub fn vault(&self) -> Result<Vault, DataError> {
        let path = self.root.join("key");
        let key = match read(&path)? {
            Some(key) => key,
            None if self.store().exists() => return Err(DataError::KeyLost { path }),
            None => {
                let key = random_bytes::<KEY_LEN>().map_err(at(&path))?.to_vec();
                create(&path, &key)?;
                key
            }
        };
        Vault::new(&key).map_err(|source| DataError::BadKey { path, source })
    }

    /// The administrator's token, which is made at first start. The second value tells whether it was.
    pub fn admin_token(&self) -> Result<(Secret, bool), DataError> {
        let good = |text: &str| text.len() >= 32 && text.bytes().all(|b| b.is_ascii_graphic());
        let reason = "a token has at least 32 visible ASCII characters";
        self.text("admin-token", &good, reason, || Ok(hex(&random_bytes::<32>()?)))
    }

    /// The PIN for devices that are secured with the default PIN, which is made at first start: 20 digits, so that any
    /// keypad types it, 17 of which are the password of all packs under it (56 bits).
    ///
    /// One that was put there and is too weak is told of, not refused: the phones that need none of it go on.
    pub fn default_pin(&self) -> Result<(Secret, bool), DataError> {
        let good = |text: &str| (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        let reason = "a PIN has at most 32 visible ASCII characters";
        let (pin, new) = self.text("default-pin", &good, reason, || {
            // Half of the bytes more than needed: all values are as likely as makes no difference.
            let number = u128::from_le_bytes(random_bytes::<16>()?) % 10_u128.pow(20);
            Ok(format!("{number:020}"))
        })?;
        if let Some(fault) = pin_fault(pin.expose()) {
            let file = self.root.join("default-pin");
            tracing::warn!(file = %file.display(), wanted = fault,
                "the default PIN is too weak and cannot be chosen; remove the file to have one made");
        }
        Ok((pin, new))
    }

    fn text(
        &self,
        name: &str,
        good: &dyn Fn(&str) -> bool,
        reason: &'static str,
        make: impl FnOnce() -> io::Result<String>,
    ) -> Result<(Secret, bool), DataError> {
        let path = self.root.join(name);
        let Some(bytes) = read(&path)? else {
            let text = make().map_err(at(&path))?;
            create(&path, format!("{text}\n").as_bytes())?;
            return Ok((Secret::new(text), true));
        };
        match std::str::from_utf8(&bytes).map(str::trim) {
            Ok(text) if good(text) => Ok((Secret::new(text), false)),
            _ => Err(DataError::BadContents { path, reason }),
        }
    }
}

/// Refuse a path whose mode has any of these bits.
fn closed(path: &Path, forbidden: u32, remedy: &'static str) -> Result<(), DataError> {
    let mode = fs::metadata(path).map_err(at(path))?.permissions().mode() & 0o7777;
    if mode & forbidden == 0 { Ok(()) } else { Err(DataError::Open { path: path.to_owned(), mode, remedy }) }
}

fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Most bytes of a file that is read here.
const MOST: u64 = 4_096;

fn read(path: &Path) -> Result<Option<Vec<u8>>, DataError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    closed(path, 0o077, "only its owner may read it: chmod 600")?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).map_err(at(path))?;
    Ok(Some(bytes))
}

/// Write a new file that only its owner can read, whole or not at all.
fn create(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    crate::files::replace(path, bytes, 0o600).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_made_once_and_for_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(&dir.path().join("data")).unwrap();
        data.vault().unwrap();
        let (token, new) = data.admin_token().unwrap();
        assert!(new && token.expose().len() == 64);
        let (pin, _) = data.default_pin().unwrap();
        assert!(pin.expose().len() == 20 && pin_fault(pin.expose()).is_none());
        let (again, new) = data.admin_token().unwrap();
        assert!(!new && again == token);
        for name in ["key", "admin-token", "default-pin"] {
            let mode = fs::metadata(data.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_store_without_its_key_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        fs::create_dir(data.store()).unwrap();
        assert!(matches!(data.vault(), Err(DataError::KeyLost { .. })));
        create(&data.path().join("key"), b"short").unwrap();
        assert!(matches!(data.vault(), Err(DataError::BadKey { .. })));
    }

    #[test]
    fn what_others_can_read_or_replace_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        data.admin_token().unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(&dir.path().join("admin-token"), 0o644);
        assert!(matches!(data.admin_token(), Err(DataError::Open { mode: 0o644, .. })));
        mode(dir.path(), 0o777);
        assert!(matches!(DataDir::open(dir.path()), Err(DataError::Open { mode: 0o777, .. })));
    }

    #[test]
    fn a_broken_token_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        create(&data.path().join("admin-token"), b"short\n").unwrap();
        assert!(matches!(data.admin_token(), Err(DataError::BadContents { .. })));
    }
}
