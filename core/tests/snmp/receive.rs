//! Notifications come in, find their device, and become events.

use std::sync::Arc;
use std::time::Duration;

use callboard_codecs::snmp::{
    CommunityMessage, Message, ObjectId, Oid, Payload, PduKind, TrapV1, VarBinds, Version, read,
};
use callboard_core::device::{Contacts, Device};
use callboard_core::event::EventKind;
use callboard_core::service::snmp::SnmpSettings;
use callboard_core::store::MemoryStore;

use super::world::{World, second};

fn trap_v1(community: &str, agent_addr: [u8; 4]) -> Vec<u8> {
    let mut enterprise = Vec::new();
    ObjectId::write_contents(&[1, 3, 6, 1, 4, 1, 4329], &mut enterprise);
    let trap = TrapV1 {
        enterprise: Oid::new(&enterprise).unwrap(),
        agent_addr,
        generic_trap: 6,
        specific_trap: 42,
        time_stamp: 7,
        varbinds: VarBinds::default(),
    };
    let message = CommunityMessage {
        version: Version::V1,
        community: community.as_bytes(),
        payload: Payload::TrapV1(trap),
    };
    let mut bytes = Vec::new();
    message.write(&mut bytes);
    bytes
}

fn device(world: &World, id: &str, source: &str) {
    let source = Some(source.parse().unwrap());
    world
        .service
        .fleet
        .update_detached(&id.parse().unwrap(), true, |current| {
            Ok(Device { contacts: Contacts { source, ..Contacts::default() }, ..current.clone() })
        })
        .unwrap();
}

#[test]
fn a_notification_is_an_event_of_the_device_at_its_address() {
    let world = World::new();
    world.community("public", true, &[]);
    device(&world, "one", "192.0.2.1");
    device(&world, "two", "192.0.2.2");
    world.receive("192.0.2.1", &second("public", PduKind::Trap, 1, "x"));
    world.receive("192.0.2.9", &second("public", PduKind::Trap, 1, "y"));
    world.receive("192.0.2.9", &trap_v1("public", [192, 0, 2, 2]));
    world.receive("192.0.2.1", &trap_v1("public", [0; 4]));
    let events = world.events(EventKind::TrapReceived);
    let told: Vec<_> =
        events.iter().map(|event| (event.device.as_ref().map(ToString::to_string), &*event.text)).collect();
    let of = |id: &str| Some(id.to_owned());
    assert_eq!(
        told,
        [
            (of("one"), "linkDown: sysName.0 = \"x\" (from 192.0.2.1, v2c)"),
            (None, "linkDown: sysName.0 = \"y\" (from 192.0.2.9, v2c)"),
            (of("two"), "1.3.6.1.4.1.4329.0.42 (from 192.0.2.9 for 192.0.2.2, v1)"),
            (of("one"), "1.3.6.1.4.1.4329.0.42 (from 192.0.2.1, v1)"),
        ]
    );
}

#[test]
fn informs_are_acknowledged_with_their_variables() {
    let world = World::new();
    world.community("public", true, &[]);
    let inform = second("public", PduKind::Inform, -5, "x");
    let answer = world.receive("192.0.2.1", &inform);
    let payload = |bytes: &[u8]| match read(bytes).unwrap().message {
        Message::Community(CommunityMessage { payload: Payload::Pdu(pdu), .. }) => {
            (pdu.kind, pdu.request_id, pdu.varbinds.as_bytes().to_vec())
        }
        other => panic!("{other:?}"),
    };
    let (_, _, varbinds) = payload(&inform);
    assert_eq!(payload(&answer), (PduKind::Response, -5, varbinds));
    assert_eq!(world.receive("192.0.2.1", &inform), answer, "whoever did not hear it hears it again");
    assert_eq!(world.texts().len(), 1);
}

#[test]
fn a_community_is_good_for_what_it_was_made_for() {
    let world = World::new();
    world.community("public", true, &["192.0.2.0/24"]);
    world.community("read", false, &[]);
    for (from, bytes) in [
        ("192.0.2.1", second("guess", PduKind::Trap, 1, "x")),
        ("198.51.100.1", second("public", PduKind::Trap, 1, "x")),
        ("192.0.2.1", second("read", PduKind::Inform, 1, "x")),
        ("192.0.2.1", second("public", PduKind::Get, 1, "x")),
        ("192.0.2.1", second("public", PduKind::Response, 1, "x")),
    ] {
        assert_eq!(world.receive(from, &bytes), [] as [u8; 0]);
    }
    assert_eq!(world.texts(), [] as [String; 0]);
    let refused = world.events(EventKind::SnmpRefused);
    assert!(refused.iter().all(|event| !event.text.contains("guess")), "{refused:?}");
    assert_eq!(refused.len(), 3, "{refused:?}");
}

#[test]
fn a_storm_is_told_in_a_few_words() {
    let settings = SnmpSettings { events_per_source: 5, ..SnmpSettings::default() };
    let world = World::with(settings, Arc::new(MemoryStore::default()));
    world.community("public", true, &[]);
    for number in 0..1_000 {
        world.receive("192.0.2.1", &second("public", PduKind::Trap, number, "x"));
    }
    world.receive("192.0.2.2", &second("public", PduKind::Trap, 1, "x"));
    assert_eq!(world.texts().len(), 6);
    world.pass(Duration::from_mins(1));
    world.receive("192.0.2.1", &second("public", PduKind::Trap, 1, "x"));
    let last = world.texts().pop().unwrap();
    assert!(last.ends_with("; 995 more from there were left out before"), "{last}");
}

#[test]
fn what_nobody_wants_to_hear_is_ignored() {
    let ignored = vec!["1.3.6.1.6.3.1.1.5".parse().unwrap()];
    let world =
        World::with(SnmpSettings { ignored, ..SnmpSettings::default() }, Arc::new(MemoryStore::default()));
    world.community("public", true, &[]);
    assert_eq!(world.receive("192.0.2.1", &second("public", PduKind::Trap, 1, "x")), [] as [u8; 0]);
    assert!(
        !world.receive("192.0.2.1", &second("public", PduKind::Inform, 1, "x")).is_empty(),
        "acknowledged"
    );
    assert_eq!(world.texts(), [] as [String; 0]);
    world.receive("192.0.2.1", &trap_v1("public", [0; 4]));
    assert_eq!(world.texts().len(), 1);
}

#[test]
fn garbage_is_counted_and_dropped() {
    use callboard_core::snmp::counters::Counted;
    let world = World::new();
    world.community("public", true, &[]);
    let good = second("public", PduKind::Trap, 1, "x");
    for length in 0..good.len() {
        assert_eq!(world.receive("192.0.2.1", &good[..length]), [] as [u8; 0]);
    }
    let counters = &world.service.snmp.counters;
    let length = u32::try_from(good.len()).unwrap();
    assert_eq!((counters.of(Counted::InPkts), counters.of(Counted::InAsnParseErrs)), (length, length));
    assert_eq!(world.texts(), [] as [String; 0]);
}
