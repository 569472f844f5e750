use super::*;
use crate::store::LoadError;
use crate::store::MemoryStore;

fn fleet(limit: usize) -> (Fleet, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::default());
    (Fleet::new(store.clone(), FleetLimits { devices: limit, ..FleetLimits::default() }), store)
}

fn id(n: u32) -> DeviceId {
    let bytes = n.to_be_bytes().map(|byte| format!("{byte:02x}"));
    format!("00:1a:{}", bytes.join(":")).parse().unwrap()
}

#[allow(clippy::unnecessary_wraps)] // the form of a change
fn touch(device: &Device) -> Result<Device, FleetError> {
    Ok(Device { revision: device.revision + 1, ..device.clone() })
}

/// Make or change a device; the tests do not wait for the store.
fn change(fleet: &Fleet, id: &DeviceId, change: impl FnOnce(&Device) -> Result<Device, FleetError>) {
    drop(fleet.update(id, true, change).unwrap().1);
}

#[test]
fn a_fleet_comes_back_from_its_store() {
    let (first, store) = fleet(10);
    for n in 0..5 {
        change(&first, &id(n), touch);
    }
    change(&first, &id(3), touch);
    drop(first.remove(&id(4), Some(1)).unwrap());
    let again = Fleet::new(store, FleetLimits::default());
    let report = again.load(|_| {}).unwrap();
    assert_eq!((report.devices, report.damaged, report.unreadable), (4, 0, 0));
    assert_eq!(again.len(), 4);
    assert_eq!(again.get(&id(3)).unwrap().revision, 2);
    assert!(again.get(&id(4)).is_none());
    assert_eq!(again.in_state(DeviceState::New), 4);
}

fn put(store: &MemoryStore, key: &str, value: Vec<u8>) {
    drop(store.submit(vec![Write::put(Table::Device, key, value)]).unwrap());
}

#[test]
fn unreadable_records_are_kept_until_somebody_deletes_the_device() {
    let (first, store) = fleet(10);
    change(&first, &id(7), touch);
    change(&first, &id(8), touch);
    store.damage(Table::Device, &id(7).to_string());
    let malformed = vec![1, 2, 3];
    put(&store, &id(1).to_string(), malformed.clone());
    put(&store, &id(2).to_string(), store.get(Table::Device, &id(8).to_string()).unwrap());
    put(&store, "no/id", malformed.clone());
    let fleet = Fleet::new(store.clone(), FleetLimits::default());
    let report = fleet.load(|_| {}).unwrap();
    assert_eq!((report.devices, report.damaged, report.unreadable), (1, 1, 3));
    assert_eq!(report.examples.len(), 4);
    assert!(
        report.examples.iter().any(|text| text.contains("holds device") && text.contains(&id(8).to_string()))
    );
    for n in [1, 2, 7] {
        assert!(fleet.is_unreadable(&id(n)), "{n}");
        assert!(matches!(fleet.update(&id(n), true, touch), Err(FleetError::Unreadable(_))), "{n}");
        assert!(matches!(fleet.update_detached(&id(n), true, touch), Err(FleetError::Unreadable(_))), "{n}");
    }
    assert_eq!(store.get(Table::Device, &id(1).to_string()), Some(malformed));
    assert!(matches!(fleet.remove(&id(1), Some(1)), Err(FleetError::Unreadable(_))));
    drop(fleet.remove(&id(1), None).unwrap());
    assert_eq!(store.get(Table::Device, &id(1).to_string()), None);
    assert!(matches!(fleet.remove(&id(1), None), Err(FleetError::Unknown(_))));
    change(&fleet, &id(1), touch);
    assert!(!fleet.is_unreadable(&id(1)) && fleet.is_unreadable(&id(7)));
}

#[test]
fn a_record_of_a_newer_version_ends_the_start() {
    let (fleet, store) = fleet(10);
    let key = id(1).to_string();
    put(&store, &key, vec![99, 1]);
    let error = fleet.load(|_| {}).unwrap_err();
    assert!(matches!(error, LoadError::Newer { table: Table::Device, found: 99, .. }));
    let text = error.to_string();
    assert!(text.contains("device") && text.contains(&key) && text.contains("form 99"), "{text}");
    assert_eq!(store.get(Table::Device, &key), Some(vec![99, 1]));
}

#[test]
fn a_store_full_of_rubbish_ends_the_start() {
    let (fleet, store) = fleet(10);
    for n in 0..=u32::try_from(MAX_UNREADABLE).unwrap() {
        put(&store, &id(n).to_string(), Vec::new());
    }
    assert!(matches!(fleet.load(|_| {}), Err(LoadError::TooManyUnreadable { limit: MAX_UNREADABLE })));
    drop(store.submit(vec![Write::delete(Table::Device, id(0).to_string())]).unwrap());
    assert_eq!(fleet.load(|_| {}).unwrap().unreadable, MAX_UNREADABLE as u64);
}

#[test]
fn a_full_fleet_takes_no_stranger_but_keeps_its_own() {
    let (fleet, _store) = fleet(1);
    change(&fleet, &id(1), touch);
    assert!(matches!(fleet.update(&id(2), true, touch), Err(FleetError::Full { limit: 1 })));
    assert!(fleet.update(&id(1), true, touch).is_ok());
    assert!(matches!(fleet.update(&id(2), false, touch), Err(FleetError::Unknown(_))));
}

#[test]
fn the_limit_holds_whatever_comes_at_once() {
    let (fleet, store) = fleet(100);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let fleet = &fleet;
            scope.spawn(move || {
                for n in 0..100 {
                    // Half of them are given up: their places are free again.
                    let given_up = |_: &Device| Err(FleetError::Refused("no".into()));
                    drop(fleet.update_detached(&id(10_000 + thread * 100 + n), true, given_up));
                    drop(fleet.update_detached(&id(thread * 100 + n), true, touch));
                }
            });
        }
    });
    assert_eq!((fleet.len(), store.len()), (100, 100));
    assert_eq!(fleet.ids_after(None, 1_000).len(), 100);
}

#[test]
fn a_refused_change_changes_nothing() {
    let (fleet, _store) = fleet(5);
    change(&fleet, &id(1), touch);
    let refused = fleet.update(&id(1), false, |device| {
        check_revision(device, Some(7))?;
        touch(device)
    });
    assert!(matches!(refused, Err(FleetError::Revision { expected: 7, current: 1 })));
    assert!(fleet.update(&id(2), true, |_| Err(FleetError::Refused("no".into()))).is_err());
    assert_eq!(fleet.len(), 1);
    assert_eq!(fleet.get(&id(1)).unwrap().revision, 1);
}

#[test]
fn pages_follow_each_other_in_order() {
    let (fleet, _store) = fleet(2_000);
    for n in (0..1_100).rev() {
        change(&fleet, &id(n), touch);
    }
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let page = fleet.page(after.as_ref(), 100, &Filter::default());
        seen.extend(page.devices.iter().map(|device| device.id.clone()));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, (0..1_100).map(id).collect::<Vec<_>>());
}

#[test]
fn filters_look_into_every_field() {
    let (fleet, _store) = fleet(10);
    for n in 0..4 {
        change(&fleet, &id(n), |device| {
            let mut device = touch(device)?;
            device.identity.device_type = if n % 2 == 0 { "OpenStage 60" } else { "OpenStage 40" }.into();
            device.identity.e164 = format!("49897{n}").into();
            Ok(device)
        });
    }
    let count = |filter: Filter| fleet.page(None, 10, &filter).devices.len();
    assert_eq!(count(Filter { device_type: Some("openstage 60".into()), ..Filter::default() }), 2);
    assert_eq!(count(Filter { text: Some("STAGE 4".into()), ..Filter::default() }), 2);
    assert_eq!(count(Filter { text: Some("498973".into()), ..Filter::default() }), 1);
    for (text, wanted) in [
        ("00:00:03", 1),
        ("001A00000003", 1),
        ("00-00-00-03", 1),
        ("001a.0000.0003", 1),
        ("000003", 1),
        ("1a00000003", 1),
        ("00003", 0),
        // Separators stand between bytes, or pairs of them.
        ("1a:00", 4),
        ("01-a0", 0),
        ("a0:00", 0),
        ("a.0000.0003", 1),
        ("1a00.0000", 0),
        ("10.0.0.3", 0),
        ("0000000000033", 0),
    ] {
        assert_eq!(count(Filter { text: Some(text.into()), ..Filter::default() }), wanted, "{text}");
    }
    assert_eq!(count(Filter { state: Some(DeviceState::Registered), ..Filter::default() }), 0);
}

#[test]
fn models_are_kept_once() {
    let (fleet, _store) = fleet(10);
    for n in 0..2 {
        change(&fleet, &id(n), |device| {
            let mut device = touch(device)?;
            device.identity.device_type = "OpenStage 60".into();
            Ok(device)
        });
    }
    let types = [0, 1].map(|n| fleet.get(&id(n)).unwrap().identity.device_type.clone());
    assert!(Arc::ptr_eq(&types[0], &types[1]));
}

#[test]
fn a_walk_that_nobody_waits_for_ends() {
    let (fleet, _) = fleet(3_000);
    for n in 0..3_000 {
        change(&fleet, &id(n), touch);
    }
    let none = Filter { text: Some("nowhere".into()), ..Filter::default() };
    let asked = AtomicUsize::new(0);
    let go_on = || asked.fetch_add(1, Ordering::Relaxed) < 2;
    let broken_off = fleet.page_while(None, 10, &none, &go_on);
    assert_eq!((broken_off.looked_at, broken_off.next), (1_024, Some(id(1_023))));
    let whole = fleet.page(None, 10, &none);
    assert_eq!((whole.looked_at, whole.next), (3_000, None));
}
