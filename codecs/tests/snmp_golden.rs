//! Datagrams that net-snmp sent are read as what they are, and written as they were.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use callboard_codecs::snmp::{
    CommunityMessage, Data, Message, Notification, ObjectId, Payload, PduKind, ScopedPdu, Value, Version,
    read, write_trap_v1,
};

fn datagrams() -> Vec<Vec<u8>> {
    let hex = |text: &str| {
        let digits = text.as_bytes().chunks(2).map(|two| str::from_utf8(two).unwrap());
        digits.map(|two| u8::from_str_radix(two, 16).unwrap()).collect()
    };
    let lines = include_str!("data/snmp/net-snmp-5.9.3.txt").lines();
    lines.filter(|line| !line.starts_with('#')).map(|line| hex(line.split(' ').nth(2).unwrap())).collect()
}

fn community(datagram: &[u8]) -> CommunityMessage<'_> {
    match read(datagram).unwrap().message {
        Message::Community(message) => message,
        Message::V3(_) => panic!("version 3"),
    }
}

fn id(text: &str) -> ObjectId {
    text.parse().unwrap()
}

#[test]
fn all_of_them_are_written_as_they_were() {
    let datagrams = datagrams();
    assert!(datagrams.len() >= 26, "{}", datagrams.len());
    for (number, datagram) in datagrams.iter().enumerate() {
        let received = read(datagram).unwrap_or_else(|fault| panic!("{number}: {fault}"));
        let mut written = Vec::new();
        match received.message {
            Message::Community(message) => message.write(&mut written),
            Message::V3(message) => {
                let code = message.write(&mut written);
                // net-snmp writes the largest size with three bytes, as is shortest.
                assert_eq!(written.get(code.clone()), datagram.get(received.auth_code()), "{number}");
                assert_eq!(received.message, read(&written).unwrap().message);
                if let Data::Plain(scoped) = message.data {
                    let pdu = ScopedPdu::read(scoped).unwrap();
                    let mut again = Vec::new();
                    pdu.write(&mut again);
                    assert_eq!(ScopedPdu::read(&again), Ok(pdu), "{number}");
                }
            }
        }
        assert_eq!(read(&written).unwrap().message, received.message, "{number}");
    }
}

#[test]
fn traps_of_version_1_are_notifications() {
    let datagrams = datagrams();
    let specific = community(&datagrams[0]);
    assert_eq!((specific.version, specific.community), (Version::V1, &b"public"[..]));
    let notification = Notification::of(&specific.payload).unwrap();
    assert_eq!(notification.oid.to_owned(), id("1.3.6.1.4.1.8072.9999.0.42"));
    assert_eq!((notification.agent_addr, notification.up_time), (Some([127, 0, 0, 9]), 123_456));
    let varbinds: Vec<_> = notification.varbinds().collect();
    assert_eq!((varbinds.len(), varbinds[0].value), (1, Value::OctetString(b"hello")));
    let link_down = community(&datagrams[1]);
    let notification = Notification::of(&link_down.payload).unwrap();
    assert_eq!(notification.oid.to_owned(), id("1.3.6.1.6.3.1.1.5.3"));
}

#[test]
fn traps_and_informs_of_version_2_are_notifications() {
    let datagrams = datagrams();
    for (number, kind) in [(2, PduKind::Trap), (3, PduKind::Inform)] {
        let message = community(&datagrams[number]);
        let Payload::Pdu(pdu) = message.payload else { panic!("a trap of version 1") };
        assert_eq!(pdu.kind, kind);
        let notification = Notification::of(&message.payload).unwrap();
        assert_eq!(notification.oid.to_owned(), id("1.3.6.1.6.3.1.1.5.3"));
        assert_eq!((notification.agent_addr, notification.up_time), (None, 123_456));
        let varbinds: Vec<_> = notification.varbinds().map(|varbind| varbind.value).collect();
        assert_eq!(varbinds, [Value::Integer(1)]);
    }
    let response = community(&datagrams[4]);
    assert_eq!(Notification::of(&response.payload), None);
}

#[test]
fn notifications_go_from_one_version_to_the_other() {
    let datagrams = datagrams();
    let [first, second] = [1, 2].map(|number: usize| community(&datagrams[number]));
    let notification = Notification::of(&second.payload).unwrap();
    let same = write_trap_v1(&notification, [192, 0, 2, 7], |payload| {
        let again = Notification::of(payload).unwrap();
        let Payload::TrapV1(trap) = payload else { panic!("no trap of version 1") };
        assert_eq!((trap.generic_trap, trap.specific_trap), (2, 0));
        assert_eq!(trap.enterprise.to_string(), "1.3.6.1.6.3.1.1.5");
        assert_eq!(again.agent_addr, Some([192, 0, 2, 7]));
        again.oid.to_owned() == Notification::of(&first.payload).unwrap().oid.to_owned()
    });
    assert_eq!(same, Ok(true));
    let own = community(&datagrams[0]);
    let notification = Notification::of(&own.payload).unwrap();
    write_trap_v1(&notification, [0; 4], |payload| assert_eq!(*payload, own.payload)).unwrap();
}

#[test]
fn messages_of_version_3_tell_who_speaks_and_where_their_code_is() {
    let datagrams = datagrams();
    let v3 = |number: usize| {
        let received = read(&datagrams[number]).unwrap();
        match received.message {
            Message::V3(message) => (message, received.auth_code()),
            Message::Community(_) => panic!("{number}: not version 3"),
        }
    };
    let (encrypted, code) = v3(5);
    assert_eq!((encrypted.usm.user_name, encrypted.usm.time, code.len()), (&b"trapuser"[..], 399_955, 12));
    assert!(matches!(encrypted.data, Data::Encrypted(bytes) if bytes.len() == 0x62));
    let (plain, _) = v3(6);
    assert!(plain.flags.auth && !plain.flags.privacy && !plain.flags.reportable);
    let Data::Plain(scoped) = plain.data else { panic!("encrypted") };
    let scoped = ScopedPdu::read(scoped).unwrap();
    assert_eq!(scoped.pdu.kind, PduKind::Trap);
    assert_ne!(scoped.context_engine_id, plain.usm.engine_id, "they may differ");
    let (discovery, _) = v3(7);
    assert!(discovery.usm.engine_id.is_empty() && discovery.flags.reportable);
    let (report, _) = v3(8);
    let Data::Plain(scoped) = report.data else { panic!("encrypted") };
    let report = ScopedPdu::read(scoped).unwrap().pdu;
    let varbind = report.varbinds.iter().next().unwrap();
    assert_eq!((report.kind, varbind.value), (PduKind::Report, Value::Counter32(1)));
    assert_eq!(varbind.name, id("1.3.6.1.6.3.15.1.1.4.0"));
}
