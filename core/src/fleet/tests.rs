use super::*;
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

#[test]
fn unreadable_records_are_told_and_kept() {
    let (fleet, store) = fleet(10);
    drop(store.submit(vec![Write::put(Table::Device, "00:00:00:00:00:01", vec![99])]).unwrap());
    let report = fleet.load(|_| {}).unwrap();
    assert_eq!((report.devices, report.unreadable), (0, 1));
    assert!(report.first_unreadable.unwrap().contains("newer"));
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
    assert_eq!(count(Filter { text: Some("00:00:03".into()), ..Filter::default() }), 1);
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
