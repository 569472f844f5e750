//! Reading a message allocates nothing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use callboard_codecs::snmp::{
    CommunityMessage, Message, Notification, Numbers, Payload, Pdu, PduKind, Value, VarBinds, Version, read,
    write_notification_head, write_varbind,
};

#[test]
fn a_trap_is_read_without_allocation() {
    let mut varbinds = Vec::new();
    write_notification_head(7, &[1, 3, 6, 1, 4, 1, 9, 0, 1], &mut varbinds);
    write_varbind(&[1, 3, 6, 1, 4, 1, 9, 1], &Value::OctetString(b"text"), &mut varbinds);
    let varbinds = VarBinds::new(&varbinds).unwrap();
    let pdu = Pdu { kind: PduKind::Trap, request_id: 1, numbers: Numbers::NONE, varbinds };
    let message = CommunityMessage { version: Version::V2c, community: b"x", payload: Payload::Pdu(pdu) };
    let mut bytes = Vec::new();
    message.write(&mut bytes);
    let counted = allocation_counter::measure(|| {
        let Message::Community(message) = read(&bytes).unwrap().message else { panic!("version 3") };
        let notification = Notification::of(&message.payload).unwrap();
        assert_eq!(notification.oid.arcs(&mut [0; 128]).last(), Some(&1));
        assert_eq!(notification.varbinds().count(), 1);
    });
    assert_eq!(counted.count_total, 0);
}
