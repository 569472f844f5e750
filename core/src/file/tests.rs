//! The registry over a store in memory.

use std::sync::Arc;

use super::*;
use crate::secret::{KEY_LEN, Secret, Vault};
use crate::store::{LoadError, MemoryStore, Store as _, Table, Write};
use crate::time::Timestamp;

fn vault() -> Arc<Vault> {
    Arc::new(Vault::new(&[3; KEY_LEN]).unwrap())
}

fn files(store: &Arc<MemoryStore>) -> Files {
    let bounds = FileBounds { files: 3, file_bytes: 100, total_bytes: 250, providers: 2 };
    Files::new(store.clone(), vault(), bounds)
}

fn told(size: u64) -> Told {
    let (at, by) = (Timestamp::from_millis(5), "somebody".into());
    Told { size, digest: [0xab; 32], firmware: None, source: Source::Internal, at, by }
}

fn put(files: &Files, name: &str, size: u64, random: u128) -> Result<Arc<FileRecord>, FileError> {
    let mut room = files.reserve(name.parse().unwrap(), FileKind::Ringtone, random)?;
    room.grow(size)?;
    Ok(room.commit(told(size), random)?.0)
}

fn provider(id: u64, name: &str) -> Provider {
    let password = Some(vault().seal(&Secret::new("hunter2")).unwrap());
    Provider {
        id: ProviderId::from_u64(id),
        revision: 0,
        name: name.into(),
        place: Place::Http { url: "https://files.example.net/".into(), username: "u".into(), password },
        created: Timestamp::default(),
        changed: Timestamp::default(),
    }
}

#[test]
fn files_come_back_from_the_store_with_their_paths() {
    let store = Arc::new(MemoryStore::default());
    let first = files(&store);
    let file = put(&first, "bell.wav", 40, 0xfeed).unwrap();
    let path = first.path(&file).unwrap();
    assert_eq!(path.expose(), "/files/0000000000000000000000000000feed/bell.wav");
    let again = files(&store);
    assert_eq!(again.load().unwrap(), Loaded { files: 1, providers: 0, unreadable: vec![] });
    assert_eq!(again.get(file.id).unwrap(), file);
    let token = FileToken::from_u128(0xfeed);
    assert_eq!(again.open(&token, "bell.wav").unwrap(), file);
    assert_eq!(again.open(&token, "bell"), None);
    assert_eq!(again.open(&FileToken::from_u128(0xfeee), "bell.wav"), None);
    let record = store.get(Table::File, &file.id.to_string()).unwrap();
    assert!(!record.windows(4).any(|bytes| bytes == b"feed"), "the token is sealed at rest");
}

#[test]
fn a_name_is_taken_within_its_kind_also_while_its_file_is_on_its_way() {
    let files = files(&Arc::new(MemoryStore::default()));
    let name: FileName = "a".parse().unwrap();
    let coming = files.reserve(name.clone(), FileKind::Logo, 1).unwrap();
    let refused = files.reserve(name.clone(), FileKind::Logo, 2).unwrap_err();
    assert!(matches!(refused, FileError::NameTaken(FileKind::Logo)), "{refused}");
    drop(files.reserve(name.clone(), FileKind::Picture, 1).unwrap());
    drop(coming);
    let again = files.reserve(name.clone(), FileKind::Logo, 2).unwrap();
    drop(again.commit(told(1), 1).unwrap());
    assert!(matches!(files.reserve(name, FileKind::Logo, 3), Err(FileError::NameTaken(_))));
}

#[test]
fn bounds_hold_and_what_is_given_up_is_given_back() {
    let files = files(&Arc::new(MemoryStore::default()));
    let one = put(&files, "one", 100, 1).unwrap();
    put(&files, "two", 100, 2).unwrap();
    assert!(matches!(put(&files, "three", 51, 3), Err(FileError::TotalFull { limit: 250 })));
    put(&files, "three", 50, 3).unwrap();
    assert!(matches!(put(&files, "four", 0, 4), Err(FileError::Full { limit: 3, .. })));
    drop(files.remove(one.id, Some(1)).unwrap());
    put(&files, "four", 100, 4).unwrap();
    assert!(files.open(&FileToken::from_u128(1), "one").is_none());
}

#[test]
fn a_file_that_is_needed_stays() {
    struct Job;
    impl FileUse for Job {
        fn needed_by(&self, file: FileId) -> Option<String> {
            (file == FileId::from_u64(2)).then(|| "job 7".to_owned())
        }
    }
    let files = files(&Arc::new(MemoryStore::default()));
    files.set_use(Arc::new(Job));
    let (one, two) = (put(&files, "one", 1, 1).unwrap(), put(&files, "two", 1, 2).unwrap());
    files.hold(one.id).unwrap();
    files.hold(one.id).unwrap();
    files.release(one.id);
    assert!(matches!(files.remove(one.id, None), Err(FileError::InUse(_))));
    files.release(one.id);
    files.release(one.id);
    assert!(matches!(files.remove(one.id, Some(2)), Err(FileError::Revision { expected: 2, current: 1 })));
    drop(files.remove(one.id, Some(1)).unwrap());
    assert!(matches!(files.remove(two.id, None), Err(FileError::InUse(why)) if why == "job 7"));
    assert!(matches!(files.hold(one.id), Err(FileError::Unknown(_))));
}

#[test]
fn a_provider_stays_as_long_as_files_come_from_it() {
    let store = Arc::new(MemoryStore::default());
    let files = files(&store);
    let (made, _) = files.put_provider(provider(1, "p"), true, None).unwrap();
    let remote =
        || Remote { provider: made.id, path: "a/b".into(), etag: None, modified: Timestamp::default() };
    let room = files.reserve("b".parse().unwrap(), FileKind::Logo, 1).unwrap();
    let (file, _) = room.commit(Told { source: Source::Provider(remote()), ..told(9_999) }, 1).unwrap();
    assert!(matches!(files.remove_provider(made.id, None), Err(FileError::ProviderInUse { files: 1 })));
    drop(files.remove(file.id, None).unwrap());
    drop(files.remove_provider(made.id, Some(1)).unwrap());
    let room = files.reserve("b".parse().unwrap(), FileKind::Logo, 1).unwrap();
    let refused = room.commit(Told { source: Source::Provider(remote()), ..told(1) }, 1);
    assert!(matches!(refused, Err(FileError::UnknownProvider(_))));
    assert_eq!(files.lock().coming.len(), 0);
}

#[test]
fn providers_are_checked_and_told_apart() {
    let store = Arc::new(MemoryStore::default());
    let files = files(&store);
    drop(files.put_provider(provider(1, "p"), true, None).unwrap());
    assert!(matches!(files.put_provider(provider(2, "p"), true, None), Err(FileError::ProviderNameTaken(_))));
    assert!(matches!(files.put_provider(provider(1, "q"), false, Some(4)), Err(FileError::Revision { .. })));
    let (changed, _) = files.put_provider(provider(1, "q"), false, Some(1)).unwrap();
    assert_eq!(changed.revision, 2);
    drop(files.put_provider(provider(2, "p"), true, None).unwrap());
    assert!(matches!(
        files.put_provider(provider(3, "r"), true, None),
        Err(FileError::Full { limit: 2, .. })
    ));
    let mut bad = provider(4, "");
    bad.place = Place::S3 {
        url: "https://s3.example.net".into(),
        bucket: "..".into(),
        region: "".into(),
        access_key: "key".into(),
        secret: None,
    };
    let fields: Vec<_> = bad.faults().into_iter().map(|fault| fault.field).collect();
    assert_eq!(fields, ["name", "bucket", "region", "access_key"]);
    let record = store.get(Table::Provider, "000000000001").unwrap();
    assert!(!record.windows(7).any(|bytes| bytes == b"hunter2"));
}

#[test]
fn what_cannot_be_read_is_told_and_what_is_newer_ends_the_start() {
    let store = Arc::new(MemoryStore::default());
    put(&files(&store), "one", 1, 1).unwrap();
    drop(store.submit(vec![Write::put(Table::File, "000000000009", vec![1, 2])]).unwrap());
    let loaded = files(&store).load().unwrap();
    assert_eq!((loaded.files, loaded.unreadable.len()), (1, 1));
    let other_key = Arc::new(Vault::new(&[4; KEY_LEN]).unwrap());
    let unopened = Files::new(store.clone(), other_key, FileBounds::default());
    assert_eq!(unopened.load().unwrap().unreadable.len(), 2);
    drop(store.submit(vec![Write::put(Table::Provider, "000000000009", vec![9])]).unwrap());
    assert!(matches!(files(&store).load(), Err(LoadError::Newer { table: Table::Provider, found: 9, .. })));
}
