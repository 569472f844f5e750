//! `callboard store`: check, export, import, compact.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use callboard_core::device;
use callboard_core::fleet::FleetLimits;
use callboard_core::item::Dictionary;
use callboard_core::job;
use callboard_core::policy;
use callboard_core::sip::profile;
use callboard_core::store::journal::{self, JournalCheck, Stretch};
use callboard_core::store::{
    self, CommitsFault, ExportReport, Folders, MaintenanceError, StoreConfig, Table,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::{complain, say};

/// Exit code when the store is damaged.
const DAMAGED: u8 = 3;

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Read every record and tell what is there, what is damaged and what is missing. Works on a copy beside the
    /// store, which needs its space for the time, and changes nothing. Exit code 3 if something is wrong.
    Check(Place),
    /// Write every readable record as a line of JSON. Works on a copy as `check` does. Exit code 3 if something had to
    /// be left out, or may be missing.
    Export {
        #[command(flatten)]
        place: Place,
        /// Where to; `-` is standard output.
        #[arg(long, value_name = "FILE", default_value = "-")]
        to: PathBuf,
    },
    /// Read an export into a new store.
    Import {
        #[command(flatten)]
        place: Place,
        /// Where from; `-` is standard input.
        #[arg(long, value_name = "FILE", default_value = "-")]
        from: PathBuf,
    },
    /// Copy the records into a fresh store that takes the place of the old one, and give space back.
    Compact(Place),
}

/// Which store.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The server's data directory.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data_dir: PathBuf,
}

impl Place {
    fn folders(&self) -> Folders {
        Folders::of(&self.data_dir)
    }
}

impl StoreCommand {
    pub(crate) fn run(self) -> ExitCode {
        let done = match self {
            Self::Check(place) => check(&place.folders()),
            Self::Export { place, to } => export(&place.folders(), &to),
            Self::Import { place, from } => import(&place, &from),
            Self::Compact(place) => compact(&place.folders()),
        };
        done.unwrap_or_else(|error| {
            complain(&format!("callboard: {error:#}"));
            if is_damage(&error) { ExitCode::from(DAMAGED) } else { ExitCode::FAILURE }
        })
    }
}

fn is_damage(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(MaintenanceError::Open(error)) if error.is_damage())
}

fn check(folders: &Folders) -> anyhow::Result<ExitCode> {
    let (text, sound) = checked(folders)?;
    say(&text);
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) })
}

/// What is there, and whether nothing is wrong with it.
fn checked(folders: &Folders) -> anyhow::Result<(String, bool)> {
    let report = store::check(&folders.store)?;
    let mut journals = Vec::new();
    for (kind, folder) in folders.journals() {
        journals.extend(journal::check(folder)?.map(|check| (kind, check)));
    }
    let mut text = String::new();
    for table in &report.tables {
        let _ = writeln!(text, "{}: {} records, {} bytes", table.table.name(), table.records, table.bytes);
    }
    for (kind, check) in &journals {
        let scan = &check.scan;
        let _ = writeln!(text, "{}: {} records, {} bytes", kind.record(), scan.records, scan.bytes);
    }
    let _ = writeln!(text, "live: {} bytes, on disk: {} bytes", report.live_bytes(), report.size_on_disk);
    for path in report.set_aside.iter().chain(&report.leftovers) {
        let _ = writeln!(text, "left by an interrupted run: {}", path.display());
    }
    for record in &report.damage.damaged_list {
        let table = record.table.map_or("unknown table", Table::name);
        let _ = writeln!(text, "damaged: {table} {}: {}", record.key, record.reason);
    }
    let _ = writeln!(text, "damaged records: {}", report.damage.damaged);
    if report.missing_commits > 0 {
        let _ = writeln!(text, "missing: {}", missing(report.missing_commits));
    }
    if let Some(reason) = &report.number_fault {
        let _ = writeln!(text, "missing: {}", unknown(reason));
    }
    if let Some(fault) = report.commits_fault {
        let _ = writeln!(text, "{}", unmarked(fault));
    }
    for (kind, check) in &journals {
        tell_journal(kind.records(), check, &mut text);
    }
    let are_sound = journals.iter().all(|(_, check)| check.is_sound());
    Ok((text, report.is_sound() && are_sound))
}

/// What else is to be said of the journal of what `name` says.
fn tell_journal(name: &str, check: &JournalCheck, text: &mut String) {
    let _ = writeln!(text, "{name} on disk: {} bytes", check.size_on_disk);
    if check.torn_bytes > 0 {
        let _ = writeln!(
            text,
            "{name}: {} bytes at the end were cut short by a crash and never acknowledged; the next start removes them",
            check.torn_bytes
        );
    }
    for path in &check.leftovers {
        let _ = writeln!(text, "left by an interrupted run: {}", path.display());
    }
    for path in &check.set_aside {
        let _ = writeln!(text, "kept aside, was damaged when it was compacted: {}", path.display());
    }
    for stretch in &check.scan.damage.list {
        let _ = writeln!(text, "damaged: {}", damaged(stretch));
    }
    if !check.is_sound() {
        let damage = &check.scan.damage;
        let _ = writeln!(
            text,
            "damaged stretches of {name}: {}, with {} records as far as is known",
            damage.stretches, damage.records
        );
    }
}

fn damaged(stretch: &Stretch) -> String {
    let Stretch { file, offset, bytes, records, reason } = stretch;
    let records = records.map_or("unknown number of".to_owned(), |records| records.to_string());
    format!("{file} at byte {offset}, {bytes} bytes, {records} records: {reason}")
}

fn progress(what: &'static str) -> impl FnMut(u64) {
    move |records| complain(&format!("{what} {records} records"))
}

fn missing(commits: u64) -> String {
    format!(
        "the newest {commits} commits, which had been made durable; restore the last backup, or export what is readable \
         and import it into a new directory"
    )
}

fn unknown(reason: &str) -> String {
    format!("unknown how many of the newest commits: {reason}")
}

fn unmarked(fault: CommitsFault) -> String {
    format!(
        "the file `commits` {fault}: whether commits are missing is not known; the next start writes it anew"
    )
}

fn export(folders: &Folders, to: &Path) -> anyhow::Result<ExitCode> {
    let report = if to == Path::new("-") {
        export_to(folders, &mut BufWriter::new(io::stdout().lock()))?
    } else {
        export_to_file(folders, to)?
    };
    for record in &report.damage.damaged_list {
        complain(&format!("left out, damaged: {}: {}", record.key, record.reason));
    }
    for stretch in &report.unreadable {
        complain(&format!("left out, a stretch of records that cannot be read: {stretch}"));
    }
    if report.missing_commits > 0 {
        complain(&format!("missing: {}", missing(report.missing_commits)));
    }
    if let Some(reason) = &report.number_fault {
        complain(&format!("missing: {}", unknown(reason)));
    }
    if let Some(fault) = report.commits_fault {
        complain(&unmarked(fault));
    }
    for stretch in report.journals.iter().flat_map(|check| &check.scan.damage.list) {
        complain(&format!("left out, damaged: {}", damaged(stretch)));
    }
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) })
}

fn export_to(folders: &Folders, out: &mut dyn io::Write) -> anyhow::Result<ExportReport> {
    let dictionary = Arc::new(Dictionary::new(FleetLimits::default().dictionary_values));
    let render = |table, key: &str, value: &[u8]| render(&dictionary, table, key, value);
    Ok(store::export(folders, out, Some(&render), &mut progress("exported"))?)
}

/// Under its name there is a whole export or none.
fn export_to_file(folders: &Folders, to: &Path) -> anyhow::Result<ExportReport> {
    anyhow::ensure!(to.symlink_metadata().is_err(), "cannot create {}: it exists", to.display());
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let _ = fs::remove_file(&part);
    let file = File::create_new(&part).with_context(|| format!("cannot create {}", part.display()))?;
    let mut out = BufWriter::new(file);
    let written = export_to(folders, &mut out).and_then(|report| {
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&part, to)?;
        Ok(report)
    });
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

fn import(place: &Place, from: &Path) -> anyhow::Result<ExitCode> {
    let mut input: Box<dyn BufRead> = if from == Path::new("-") {
        Box::new(BufReader::new(io::stdin().lock()))
    } else {
        Box::new(BufReader::new(File::open(from).with_context(|| format!("cannot open {}", from.display()))?))
    };
    let config = StoreConfig::default();
    let report = store::import(&place.folders(), &config, &mut input, &mut progress("imported"))?;
    let key = place.data_dir.join("key");
    let mut text = format!("imported {} records, {} bytes\n", report.records, report.bytes);
    if !key.exists() {
        let _ = writeln!(
            text,
            "before starting, put the file `key` and the folder `tls` of the exported server into {}: secrets are \
             sealed under the one, the certificates of phones in secure mode come from the other",
            place.data_dir.display()
        );
    }
    Ok(say(&text))
}

fn compact(folders: &Folders) -> anyhow::Result<ExitCode> {
    let report = store::compact(&folders.store, &mut progress("copied"))?;
    let mut text =
        format!("{} entries, {} bytes before, {} bytes after\n", report.entries, report.before, report.after);
    let mut damaged_journals = false;
    for (kind, folder) in folders.journals() {
        let Some(report) = journal::compact(folder)? else { continue };
        let _ = writeln!(
            text,
            "{}: {} records, {} bytes before, {} bytes after",
            kind.records(),
            report.records,
            report.before,
            report.after
        );
        for stretch in &report.damage.list {
            let _ = writeln!(text, "left out, damaged: {}", damaged(stretch));
        }
        damaged_journals |= !report.damage.is_none();
    }
    let done = say(&text);
    Ok(if damaged_journals { ExitCode::from(DAMAGED) } else { done })
}

/// A record for people; what is secret stays sealed.
fn render(dictionary: &Arc<Dictionary>, table: Table, key: &str, value: &[u8]) -> Option<Value> {
    match table {
        // Common values come before the devices that use them.
        Table::Value => {
            let text = std::str::from_utf8(value).ok()?;
            dictionary.insert(u32::from_str_radix(key, 16).ok()?, text);
            Some(json!(text))
        }
        Table::Device => {
            let device = device::decode(value).ok()?;
            let reported = device.reported.clone().attach(dictionary).unwrap_or_else(|rest| rest);
            let items: Vec<_> = reported
                .iter()
                .map(|item| json!({ "name": item.key().to_string(), "value": item.value.text(), "status": item.status }))
                .collect();
            Some(json!({
                "id": device.id, "revision": device.revision, "state": device.state().as_str(),
                "device_type": device.identity.device_type, "software_version": device.identity.software_version,
                "e164": device.identity.e164, "secure_mode": device.security.mode.as_str(), "items": items,
            }))
        }
        Table::Template => {
            let template = policy::decode(value).ok()?;
            Some(json!({
                "id": template.id.to_string(), "revision": template.revision, "name": template.name,
                "ranking": template.ranking, "items": template.items.len(),
            }))
        }
        Table::Tasks => {
            let record = device::decode_tasks(value).ok()?;
            let tasks: Vec<_> = record
                .tasks
                .iter()
                .map(|task| json!({ "id": task.id, "type": task.task_type, "job": task.job().map(|job| job.to_string()) }))
                .collect();
            Some(json!({ "revision": record.revision, "tasks": tasks }))
        }
        Table::Job => {
            let job = job::decode(value).ok()?;
            Some(json!({
                "id": job.id.to_string(), "revision": job.revision, "type": job.kind.as_str(),
                "name": job.name, "targets": job.targets, "ended": job.ended.is_some(),
            }))
        }
        Table::Meta
        | Table::File
        | Table::Provider
        | Table::Site
        | Table::SipRealm
        | Table::SipCredential
        | Table::SnmpView
        | Table::SnmpGroup
        | Table::SnmpUser
        | Table::SnmpCommunity
        | Table::SnmpReceiver => None,
        Table::SipProfile => {
            let rule = profile::decode(value).ok()?;
            Some(json!({
                "name": rule.name.as_str(), "revision": rule.revision, "order": rule.order, "vendor": rule.vendor,
                "model": rule.model, "profile_type": rule.profile_type.as_str(), "url": rule.url.as_str(),
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use callboard_core::store::journal::{FileJournal, Journal as _, JournalConfig};
    use callboard_core::store::{SledStore, Store as _, Write};

    use super::*;

    #[test]
    fn a_damaged_store_is_told_by_its_own_exit_code_and_leaves_no_half_export() {
        let dir = tempfile::tempdir().unwrap();
        let folders = Folders::of(dir.path());
        let (store, to) = (&folders.store, dir.path().join("export"));
        let error = check(&folders).unwrap_err();
        assert!(!is_damage(&error) && error.to_string().contains("there is no store in"), "{error}");
        let config = StoreConfig { min_free_bytes: 0, ..StoreConfig::default() };
        let (opened, _) = SledStore::open(store, &config).unwrap();
        opened.submit(vec![Write::put(Table::Device, "a", vec![1])]).unwrap().wait().unwrap();
        drop(opened);
        assert!(export_to_file(&folders, &to).unwrap().is_complete());
        let whole = fs::read(&to).unwrap();
        assert!(export_to_file(&folders, &to).is_err(), "written over");
        assert_eq!(fs::read(&to).unwrap(), whole);

        let commits = store.join("records-1/commits");
        let saved = fs::read(&commits).unwrap();
        let third = dir.path().join("third");
        fs::write(&commits, "rubbish").unwrap();
        assert_eq!(check(&folders).unwrap(), ExitCode::from(DAMAGED));
        assert_eq!(export(&folders, &third).unwrap(), ExitCode::from(DAMAGED));
        fs::write(&commits, saved).unwrap();
        assert_eq!(check(&folders).unwrap(), ExitCode::SUCCESS);

        fs::write(store.join("records-1/db"), "rubbish").unwrap();
        let other = dir.path().join("other");
        assert!(
            is_damage(&check(&folders).unwrap_err())
                && is_damage(&export_to_file(&folders, &other).unwrap_err())
        );
        assert!(!other.exists() && !dir.path().join("other.part").exists());
    }
    #[test]
    fn journals_are_checked_exported_and_compacted_with_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let folders = Folders::of(dir.path());
        let config = StoreConfig { min_free_bytes: 0, ..StoreConfig::default() };
        drop(SledStore::open(&folders.store, &config).unwrap());
        assert!(!checked(&folders).unwrap().0.contains("binding"));
        let config = JournalConfig { min_free_bytes: 0, ..JournalConfig::default() };
        let (journal, _) = FileJournal::open(&folders.bindings, &config).unwrap();
        for value in [b"1", b"2"] {
            let position = journal.append("sip:1@example.net", Some(value)).unwrap();
            journal.committed(position).wait().unwrap();
        }
        drop(journal);
        let (journal, _) = FileJournal::open(&folders.notifications, &config).unwrap();
        let position = journal.append("event/1", Some(b"12345")).unwrap();
        journal.committed(position).wait().unwrap();
        drop(journal);
        let (text, sound) = checked(&folders).unwrap();
        assert!(sound && text.contains("binding: 1 records, 18 bytes\n"), "{text}");
        assert!(text.contains("notification: 1 records, 12 bytes\n"), "{text}");
        let to = dir.path().join("export");
        assert_eq!(export_to_file(&folders, &to).unwrap().records, 2);
        assert_eq!(compact(&folders).unwrap(), ExitCode::SUCCESS);
        assert!(folders.bindings.join("snapshot-0000000001").exists());
        assert!(folders.notifications.join("snapshot-0000000001").exists());
        assert!(checked(&folders).unwrap().1);

        let snapshot = folders.bindings.join("snapshot-0000000001");
        let mut bytes = fs::read(&snapshot).unwrap();
        bytes[80] ^= 1;
        fs::write(&snapshot, bytes).unwrap();
        let (text, sound) = checked(&folders).unwrap();
        assert!(!sound && text.contains("damaged: snapshot-0000000001 at byte 44"), "{text}");
        assert!(!export_to_file(&folders, &dir.path().join("second")).unwrap().is_complete());
        assert_eq!(compact(&folders).unwrap(), ExitCode::from(DAMAGED));
        let (text, sound) = checked(&folders).unwrap();
        assert!(sound && text.contains("kept aside"), "{text}");
    }
}
