//! `seed`: writes devices as they are after a boot into a store, without phones; measures the start of the server
//! over it; then lets some of the phones start, which shows that the records are the real thing.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use callboard_core::device::{self, Device};
use callboard_core::fleet::FleetLimits;
use callboard_core::item::{Dictionary, ItemSet, ItemSetBuilder, NameRef};
use callboard_core::secret::Vault;
use callboard_core::store::{SledStore, Store as _, StoreConfig, Table, Ticket, Write};
use callboard_core::time::Timestamp;

use super::{AT_REST, Place, create_templates, drive, put_settings, target, verify};
use crate::call::World;
use crate::cli::Common;
use crate::ledger::Ledger;
use crate::phone::dialogue::Plan;
use crate::phone::profile::{Flag, Profile};
use crate::phone::stencil::{Fill, NONCE_LEN};
use crate::procfs;
use crate::progress::{self, phase};
use crate::report::Report;
use crate::server::Launch;

/// Devices that are made and submitted together.
const CHUNK: u32 = 512;
/// Phones that the dictionary learns from, as it would from the first phones that start.
const LEARN_FROM: u32 = 2_000;
/// Phones that start afterwards.
const SAMPLE: u32 = 1_000;
/// Items a device may have: more than enough for these.
const MAX_ITEMS: usize = 2_000;
/// How long the store may take to close.
const CLOSE_PATIENCE: Duration = Duration::from_mins(2);

pub(super) async fn run(common: &Common) -> anyhow::Result<Report> {
    let world = Arc::new(World::new(common.seed));
    let ledger = Arc::new(Ledger::new(common.phones));
    let place = Place::new(common.data_dir.as_ref())?;
    let launch = place.launch(common)?;
    prepare(&launch).await?;
    let writing = Instant::now();
    let record_bytes = write_all(&launch.data, &world, common.phones).await?;
    let writing = writing.elapsed();
    (0..common.phones).for_each(|number| ledger.assume_settled(number));

    let starting = phase("start", 0);
    let server = launch.start().await?;
    drop(starting);
    progress::rest("rest", AT_REST).await;
    let ready = procfs::memory(server.pid())?;
    let sample = 0..common.phones.min(SAMPLE);
    let phones = u64::from(common.phones);
    let run = drive(common, &world, target(common, server.wpi)?, &ledger, sample, Plan::Reboot);
    let driven = run.run().await?;
    let mut report = Report::new("seed", phones, driven.tally, driven.time);
    report.set("ready_seconds", server.ready_after.as_secs_f64());
    report.set("write_seconds", writing.as_secs_f64());
    report.set("record_bytes", record_bytes / phones);
    report.set("store_bytes", directory_bytes(&launch.data.join("store"))?);
    report.server_rss_bytes = Some(ready.now);
    report.server_peak_rss_bytes = Some(ready.peak);
    report.bytes_per_device = Some(ready.now / phones);
    put_settings(common, &mut report);
    let sampled = Common { verify_sample: common.verify_sample.or(Some(SAMPLE)), ..common.clone() };
    verify(&sampled, &server.admin, &world, &ledger, &mut report).await?;
    if let Err(error) = server.stop().await {
        report.fail("server_exit", format!("{error:#}"));
    }
    Ok(report)
}

/// Let the server make its data directory, and create the templates.
pub(super) async fn prepare(launch: &Launch) -> anyhow::Result<()> {
    let server = launch.start().await?;
    create_templates(&server.admin).await?;
    let devices = server.admin.connect().await?.devices(None).await?.0;
    ensure!(devices.is_empty(), "the data directory holds devices already");
    server.stop().await
}

/// Write all devices; gives the size of their records in bytes.
pub(super) async fn write_all(data: &Path, world: &Arc<World>, phones: u32) -> anyhow::Result<u64> {
    let vault = Arc::new(Vault::new(&std::fs::read(data.join("key")).context("key file")?)?);
    let directory = data.join("store");
    let open = move || SledStore::open(&directory, &StoreConfig::default());
    let (store, _) = tokio::task::spawn_blocking(open).await??;
    let progress = phase("seed", u64::from(phones));
    let dictionary = learn(world, &vault, &store).await?;
    let mut bytes = 0;
    let mut waiting: Vec<Ticket> = Vec::new();
    for start in (0..phones).step_by(CHUNK as usize) {
        let numbers = start..phones.min(start.saturating_add(CHUNK));
        let count = u64::from(numbers.end - numbers.start);
        let (world, vault) = (Arc::clone(world), Arc::clone(&vault));
        let (dictionary, values) = (Arc::clone(&dictionary), Arc::clone(&store));
        let make = tokio::task::spawn_blocking(move || {
            numbers
                .map(|number| record(&world, &vault, number, |set| dictionary.pack(set, &*values)))
                .collect::<anyhow::Result<Vec<_>>>()
        });
        // The next devices are made while the last ones are written.
        let wait = async {
            for ticket in waiting.drain(..) {
                ticket.await?;
            }
            anyhow::Ok(())
        };
        let (made, waited) = tokio::join!(make, wait);
        waited?;
        for (id, value) in made?? {
            bytes += value.len() as u64;
            waiting.push(store.submit(vec![Write::put(Table::Device, id, value)])?);
        }
        progress.inc(count);
    }
    for ticket in waiting {
        ticket.await?;
    }
    tokio::task::spawn_blocking(move || store.shutdown(CLOSE_PATIENCE)).await??;
    Ok(bytes)
}

/// The dictionary as the server would have it after the first phones: common values are written before the records
/// that use them.
async fn learn(
    world: &Arc<World>,
    vault: &Arc<Vault>,
    store: &Arc<SledStore>,
) -> anyhow::Result<Arc<Dictionary>> {
    let dictionary = Arc::new(Dictionary::new(FleetLimits::default().dictionary_values));
    for number in 0..LEARN_FROM {
        record(world, vault, number, |set| dictionary.pack(set, &**store))?;
        while dictionary.arriving() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            dictionary.settle();
        }
    }
    Ok(dictionary)
}

/// Id and record of a phone that has booted.
fn record(
    world: &World,
    vault: &Vault,
    number: u32,
    pack: impl FnOnce(&ItemSet) -> ItemSet,
) -> anyhow::Result<(String, Vec<u8>)> {
    let identity = world.fleet.identity(number);
    let profile = &world.profiles[identity.model];
    let fill = Fill { identity: &identity, generation: 0, nonce: &[b'0'; NONCE_LEN] };
    let id = identity.device_id();
    let mut device = Device::new(id.parse()?);
    let mut items = ItemSetBuilder::with_capacity(profile.items.len());
    let mut value = Vec::new();
    for item in &profile.items {
        value.clear();
        item.after.render(fill, &mut value);
        let status = (item.spec.flag == Flag::Failed).then_some("failed");
        items.push_ref(
            NameRef::of(item.spec.name),
            item.spec.index,
            str::from_utf8(&value)?,
            status,
            vault,
        )?;
    }
    device.reported = pack(&items.build(MAX_ITEMS)?);
    let text = |name: &str| text_of(profile, fill, name);
    device.identity.device_type = text("device-type")?.into();
    device.identity.software_type = text("software-type")?.into();
    device.identity.software_version = text("software-version")?.into();
    device.identity.part_number = text("part-number")?.into();
    device.identity.e164 = text("e164")?.into();
    device.identity.basic_e164 = text("basic-e164")?.into();
    device.identity.contact_me_uri = text("contact-me-uri")?.into();
    let now = now()?;
    device.contacts.first = now;
    device.contacts.last = now;
    device.contacts.started = Some(now);
    device.contacts.read = Some(now);
    device.contacts.written = Some(now);
    device.contacts.source = Some(IpAddr::from([127, 1, 0, 1]));
    device.onboarded = true;
    // A start-up, a complete read and a write: as many changes as a boot makes.
    device.revision = 3;
    Ok((id, device::encode(&device)?))
}

fn text_of(profile: &Profile, fill: Fill<'_>, name: &str) -> anyhow::Result<String> {
    let Some(position) = profile.position(name, None) else { bail!("phones do not report {name}") };
    let mut value = Vec::new();
    profile.items[position].after.render(fill, &mut value);
    Ok(String::from_utf8(value)?)
}

fn now() -> anyhow::Result<Timestamp> {
    Ok(Timestamp::from_millis(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?))
}

/// Size of all files in a directory, in bytes.
fn directory_bytes(directory: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { directory_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_core::device::DeviceState;

    #[test]
    fn a_record_is_a_registered_device_with_all_items() {
        let world = World::new(1);
        let vault = Vault::new(&[7; 32]).unwrap();
        let (id, bytes) = record(&world, &vault, 12, ItemSet::clone).unwrap();
        let device = device::decode(&bytes).unwrap();
        assert_eq!(device.id.to_string(), id);
        assert_eq!(device.state(), DeviceState::Registered);
        assert_eq!(device.reported.len(), 320);
        assert_eq!(device.reported.text("reg-addr").as_deref(), Some("198.51.100.21"));
        assert_eq!(&*device.identity.e164, "498900000012");
    }

    #[tokio::test]
    async fn a_store_takes_all_devices() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("key"), [7; 32]).unwrap();
        let world = Arc::new(World::new(1));
        let bytes = write_all(data.path(), &world, CHUNK + 3).await.unwrap();
        assert!(bytes / u64::from(CHUNK + 3) > 1_000, "{bytes}");
        let (store, _) = SledStore::open(&data.path().join("store"), &StoreConfig::default()).unwrap();
        let mut count = 0;
        let mut visit = |_: &str, _: &[u8]| {
            count += 1;
            std::ops::ControlFlow::Continue(())
        };
        store.scan(Table::Device, &mut visit).unwrap();
        assert_eq!(count, CHUNK + 3);
        assert!(directory_bytes(data.path()).unwrap() > bytes / 4);
    }
}
