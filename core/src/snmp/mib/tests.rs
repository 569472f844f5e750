//! The module's file says the same as the code.

use std::collections::{BTreeMap, BTreeSet};

use super::parse::{Definition, definitions};
use super::*;
use crate::device::{DeviceState, SecureMode};
use crate::event::{EventKind, Severity};
use crate::job::JobState;
use crate::sip::binding::{Liveness, Transport};
use crate::site::Presence;
use crate::time::Timestamp;

type Module = BTreeMap<String, Definition>;

fn docs(file: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");
    std::fs::read_to_string(format!("{path}/{file}")).unwrap()
}

fn module() -> Module {
    definitions(&docs("mibs/CALLBOARD-MIB.txt"))
}

/// `node-started` as a part of a name: `NodeStarted`.
fn camel(word: &str) -> String {
    let part = |part: &str| part[..1].to_uppercase() + &part[1..];
    word.split('-').map(part).collect()
}

#[test]
fn all_stands_below_callboard() {
    let module = module();
    assert_eq!(module["callboard"].oid, CALLBOARD);
    assert_eq!(CALLBOARD.strip_prefix(ENTERPRISE), Some(&[1][..]));
    for (name, definition) in &module {
        assert!(definition.oid.starts_with(CALLBOARD), "{name}");
    }
    let places: BTreeSet<_> = module.values().map(|definition| &definition.oid).collect();
    assert_eq!(places.len(), module.len(), "no two have one identifier");
}

#[test]
fn every_kind_of_event_has_its_notification() {
    let module = module();
    let objects: Vec<_> = EventObject::ALL.iter().map(|object| format!("callboardEvent{object:?}")).collect();
    for kind in EventKind::ALL {
        let name = format!("callboard{}", camel(kind.as_str()));
        let found = module.get(&name).unwrap_or_else(|| panic!("the MIB lacks {name}"));
        assert_eq!(found.macro_name, "NOTIFICATION-TYPE");
        assert_eq!(found.oid, notification(*kind), "{name}");
        assert_eq!(found.list("OBJECTS"), objects, "{name}");
    }
    let count = module.values().filter(|one| one.macro_name == "NOTIFICATION-TYPE").count();
    assert_eq!(count, EventKind::ALL.len());
}

/// What can be read below an identifier is what the code knows, and its group has all of it.
#[track_caller]
fn compare(module: &Module, access: &str, part: &str, base: &[u32], known: Vec<(String, u32)>) {
    let named = |(name, number): (String, u32)| (format!("callboard{part}{name}"), number);
    let known: BTreeMap<String, u32> = known.into_iter().map(named).collect();
    let below = module.iter().filter_map(|(name, one)| match one.oid.strip_prefix(base) {
        Some([number]) if one.clause("MAX-ACCESS") == access => Some((name.clone(), *number)),
        _ => None,
    });
    assert_eq!(below.collect::<BTreeMap<_, _>>(), known, "{part}");
    let group = module[&format!("callboard{part}Group")].list("OBJECTS");
    assert_eq!(group.into_iter().collect::<BTreeSet<_>>(), known.keys().map(String::as_str).collect());
}

macro_rules! compare {
    ($module:expr, $access:literal, $objects:ident, $part:literal) => {
        let known = $objects::ALL.iter().map(|one| (format!("{one:?}"), one.number())).collect();
        compare(&$module, $access, $part, $objects::BASE, known);
    };
}

#[test]
fn scalars_and_columns_have_the_same_numbers() {
    let module = module();
    compare!(module, "read-only", NodeObject, "Node");
    compare!(module, "read-only", ListenerColumn, "Listener");
    compare!(module, "read-only", SubsystemColumn, "Subsystem");
    compare!(module, "read-only", JobColumn, "Job");
    compare!(module, "read-only", SiteColumn, "Site");
    compare!(module, "read-only", EndpointColumn, "Endpoint");
    compare!(module, "accessible-for-notify", EventObject, "Event");
}

#[test]
fn rows_are_known_by_their_first_column() {
    let module = module();
    for (part, index) in [
        ("Listener", ["IMPLIED", "callboardListenerName"].as_slice()),
        ("Subsystem", &["IMPLIED", "callboardSubsystemName"]),
        // Texts of one length are not told with their length either.
        ("Job", &["callboardJobId"]),
        ("Site", &["callboardSiteId"]),
        ("Endpoint", &["IMPLIED", "callboardEndpointId"]),
    ] {
        let (table, entry) =
            (&module[&format!("callboard{part}Table")], &module[&format!("callboard{part}Entry")]);
        assert_eq!(
            (entry.oid.strip_prefix(&*table.oid), entry.list("INDEX")),
            (Some(&[1][..]), index.to_vec())
        );
        let own = &module[*index.last().unwrap()];
        assert_eq!(own.oid.strip_prefix(&*entry.oid), Some(&[1][..]));
        assert_eq!(own.clause("MAX-ACCESS"), "not-accessible");
    }
    assert_eq!(module["callboardEndpointEntry"].oid, EndpointColumn::BASE);
}

/// The labels of an enumeration are `words`, with these numbers.
#[track_caller]
fn enumerates(object: &str, words: &[(&str, i32)]) {
    let module = module();
    for (word, number) in words {
        let label = camel(word);
        let label = label[..1].to_lowercase() + &label[1..];
        assert_eq!(module[object].label(&label), Some(*number), "{object}: {label}");
    }
    assert_eq!(module[object].list("SYNTAX").iter().filter(|word| **word == "(").count(), words.len());
}

#[test]
fn enumerations_have_the_same_numbers() {
    let all = [Severity::Info, Severity::Warning, Severity::Error];
    enumerates("callboardEventSeverity", &all.map(|one| (one.as_str(), severity(one))));
    let states = DeviceState::ALL.map(|one| (one.as_str(), device_state(one)));
    enumerates("callboardEndpointState", &states);
    let modes = SecureMode::ALL.map(|one| (one.as_str(), secure_mode(one)));
    enumerates("callboardEndpointSecureMode", &modes);
    enumerates("callboardJobState", &JobState::ALL.map(|one| (one.as_str(), job_state(one))));
    let mut states = vec![("not-registered", registration(None))];
    states.extend(Liveness::ALL.map(|one| (one.as_str(), registration(Some(one)))));
    enumerates("callboardEndpointRegistration", &states);
    let mut ways = vec![("none", transport(None))];
    ways.extend(Transport::ALL.map(|one| (one.as_str(), transport(Some(one)))));
    enumerates("callboardEndpointTransport", &ways);
    let at = Timestamp::default();
    let states = [
        ("never-enrolled", site_state(false, None)),
        ("connected", site_state(true, Some(Presence::Connected(at)))),
        ("away", site_state(true, Some(Presence::Away(at)))),
    ];
    enumerates("callboardSiteState", &states);
    assert_eq!(site_state(true, None), site_state(true, Some(Presence::Away(at))));
}

#[test]
fn the_manual_lists_all_notifications() {
    let manual = docs("snmp.md");
    let rows: Vec<_> = manual.lines().filter(|line| line.starts_with("| callboard.0.")).collect();
    let mut kinds = EventKind::ALL.to_vec();
    kinds.sort_unstable_by_key(|kind| kind.number());
    let wanted: Vec<_> = kinds
        .iter()
        .map(|kind| {
            let (number, word, severity) = (kind.number(), kind.as_str(), kind.severity().as_str());
            format!("| callboard.0.{number} | `callboard{}` | `{word}` | {severity} |", camel(word))
        })
        .collect();
    assert_eq!(rows.len(), wanted.len());
    for (row, wanted) in rows.iter().zip(&wanted) {
        assert!(row.starts_with(wanted.as_str()), "{row}\ninstead of\n{wanted}");
    }
}
