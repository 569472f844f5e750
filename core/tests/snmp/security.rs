//! Version 3: who is believed, and what others are told.

use std::sync::Arc;
use std::time::Duration;

use callboard_codecs::snmp::{Message, PduKind, read};
use callboard_core::event::EventKind;
use callboard_core::service::snmp::SnmpSettings;
use callboard_core::snmp::protocol::SecurityLevel;

use super::world::{AUTH_PASSWORD, Sender, World, link_down, pdu, second};

use SecurityLevel::{AuthNoPriv, AuthPriv, NoAuthNoPriv};

const STATS: &str = "1.3.6.1.6.3.15.1.1";

/// A world with a user of each level, who may tell at any.
fn office() -> World {
    let world = World::new();
    for (name, level) in [("none", NoAuthNoPriv), ("auth", AuthNoPriv), ("priv", AuthPriv)] {
        world.user(name, level, Some(NoAuthNoPriv));
    }
    world
}

/// A sender that has found out about the engine.
fn informed(world: &World, user: &'static str, level: SecurityLevel, password: &str) -> Sender {
    let mut sender = Sender::new(world, user, level, password);
    let probe = Sender { level: NoAuthNoPriv, ..Sender::new(world, "", NoAuthNoPriv, password) };
    let report = world.receive("192.0.2.1", &probe.message(pdu(PduKind::Get, 5, &[])));
    assert_eq!(probe.open(&report), (PduKind::Report, 5, format!("{STATS}.4.0")));
    sender.learn(&report);
    sender
}

#[test]
fn informs_are_acknowledged_at_their_level_and_told_once() {
    let world = office();
    for (number, (user, level)) in
        [("none", NoAuthNoPriv), ("auth", NoAuthNoPriv), ("auth", AuthNoPriv), ("priv", AuthPriv)]
            .into_iter()
            .enumerate()
    {
        let sender = informed(&world, user, level, AUTH_PASSWORD);
        let varbinds = link_down(&format!("case {number}"));
        for _ in 0..2 {
            let inform = sender.message(pdu(PduKind::Inform, 9, &varbinds));
            let answer = world.receive("192.0.2.1", &inform);
            let Message::V3(read) = read(&answer).unwrap().message else { panic!("not version 3") };
            assert_eq!((read.flags.auth, read.flags.privacy), (level >= AuthNoPriv, level == AuthPriv));
            let first = "1.3.6.1.2.1.1.3.0".to_owned();
            assert_eq!(sender.open(&answer), (PduKind::Response, 9, first));
        }
        assert_eq!(world.texts().len(), number + 1, "once each");
    }
}

#[test]
fn who_is_wrong_gets_the_report_that_says_so() {
    let world = office();
    let tell = |sender: &Sender| {
        world.receive("192.0.2.1", &sender.message(pdu(PduKind::Inform, 9, &link_down("x"))))
    };
    let report = |sender: &Sender| sender.open(&tell(sender)).2;
    let unknown = informed(&world, "nobody", AuthPriv, AUTH_PASSWORD);
    assert_eq!(report(&unknown), format!("{STATS}.3.0"));
    let wrong = informed(&world, "priv", AuthPriv, "another password");
    assert_eq!(report(&wrong), format!("{STATS}.5.0"));
    let too_much = informed(&world, "auth", AuthPriv, AUTH_PASSWORD);
    assert_eq!(report(&too_much), format!("{STATS}.1.0"));
    let elsewhere =
        Sender { engine: vec![0x80, 0, 0, 0, 9], ..informed(&world, "auth", AuthNoPriv, AUTH_PASSWORD) };
    assert_eq!(report(&elsewhere), format!("{STATS}.4.0"));
    assert_eq!(world.texts(), [] as [String; 0]);
    assert!(!world.events(EventKind::SnmpRefused).is_empty());
}

#[test]
fn time_is_told_with_authentication_and_messages_outside_its_window_are_not_taken() {
    let world = office();
    let mut sender = informed(&world, "auth", AuthNoPriv, AUTH_PASSWORD);
    let tell = |sender: &Sender| {
        let answer = world.receive("192.0.2.1", &sender.message(pdu(PduKind::Inform, 9, &link_down("x"))));
        let Message::V3(message) = read(&answer).unwrap().message else { panic!("not version 3") };
        let (kind, _, first) = sender.open(&answer);
        (kind, message.flags.auth, first == format!("{STATS}.2.0"), answer)
    };
    world.pass(Duration::from_secs(150));
    assert_eq!(tell(&sender).0, PduKind::Response);
    world.pass(Duration::from_secs(1));
    let (kind, is_authentic, is_time, report) = tell(&sender);
    assert_eq!((kind, is_authentic, is_time), (PduKind::Report, true, true));
    sender.learn(&report);
    assert_eq!((sender.boots, sender.time), (1, 151));
    assert_eq!(tell(&sender).0, PduKind::Response);
    sender.boots += 1;
    assert!(tell(&sender).2, "another start");
}

#[test]
fn traps_are_good_by_the_clock_of_their_sender() {
    let world = office();
    let mut sender = Sender::new(&world, "priv", AuthPriv, AUTH_PASSWORD);
    (sender.engine, sender.boots, sender.time) = (vec![0x80, 0, 0, 0, 1, 2, 3, 4], 3, 1_000);
    let tell = |sender: &Sender, text: &str| {
        let trap = sender.message(pdu(PduKind::Trap, 1, &link_down(text)));
        assert_eq!(world.receive("192.0.2.1", &trap), [] as [u8; 0], "nobody answers a trap");
        trap
    };
    let recorded = tell(&sender, "first");
    sender.time = 900;
    tell(&sender, "late, but not too late");
    sender.time = 800;
    tell(&sender, "too late");
    (sender.boots, sender.time) = (2, 2_000);
    tell(&sender, "of an earlier start");
    (sender.boots, sender.time) = (4, 1);
    tell(&sender, "after a start");
    world.receive("192.0.2.1", &recorded);
    let texts = world.texts();
    let wanted = ["first", "late, but not too late", "after a start"];
    assert_eq!(texts.len(), wanted.len(), "{texts:?}");
    for (text, wanted) in texts.iter().zip(wanted) {
        assert!(text.contains(&format!("\"{wanted}\"")), "{text}");
    }
    assert!(world.events(EventKind::SnmpRefused).iter().any(|event| event.text.contains("too old")));
}

#[test]
fn a_request_in_the_clothes_of_a_trap_is_not_answered() {
    let world = office();
    let mut sender = Sender::new(&world, "none", NoAuthNoPriv, AUTH_PASSWORD);
    sender.engine = vec![0x80, 0, 0, 0, 1];
    // Only a confirmed message makes this engine answer; a report, a response or a trap with our own id does not.
    for kind in [PduKind::Report, PduKind::Response, PduKind::Trap] {
        assert_eq!(world.receive("192.0.2.1", &sender.message(pdu(kind, 1, &link_down("x")))), [] as [u8; 0]);
    }
    assert_eq!(world.texts().len(), 1, "the trap alone");
    let own = Sender { engine: world.service.snmp.engine().unwrap().id().to_vec(), ..sender };
    assert_eq!(
        world.receive("192.0.2.1", &own.message(pdu(PduKind::Trap, 1, &link_down("y")))),
        [] as [u8; 0]
    );
    assert_eq!(world.texts().len(), 1, "with our clock only an inform can come");
}

#[test]
fn a_start_is_counted_and_the_engine_stays_itself() {
    let world = office();
    let before = world.service.snmp.engine().unwrap().clone();
    let store = Arc::new(world.store.reopen());
    let again = World::with(SnmpSettings::default(), store);
    let after = again.service.snmp.engine().unwrap();
    assert_eq!((before.boots(), after.boots()), (1, 2));
    assert_eq!(before.id(), after.id());
    let mut sender = informed(&again, "auth", AuthNoPriv, AUTH_PASSWORD);
    sender.boots = 1;
    let answer = again.receive("192.0.2.1", &sender.message(pdu(PduKind::Inform, 9, &link_down("x"))));
    assert_eq!(sender.open(&answer).2, format!("{STATS}.2.0"), "what was recorded before is too old");
}

#[test]
fn reports_to_one_source_are_few() {
    let world = office();
    let probe = Sender::new(&world, "", NoAuthNoPriv, AUTH_PASSWORD);
    let ask = |from: &str| !world.receive(from, &probe.message(pdu(PduKind::Get, 5, &[]))).is_empty();
    assert_eq!((0..100).filter(|_| ask("192.0.2.1")).count(), 10);
    assert!(ask("192.0.2.2"));
    world.pass(Duration::from_secs(1));
    assert!(ask("192.0.2.1"));
    // A message of version 2 has its own fate.
    assert_eq!(world.receive("192.0.2.1", &second("guess", PduKind::Inform, 1, "x")), [] as [u8; 0]);
}
