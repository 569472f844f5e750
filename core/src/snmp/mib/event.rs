//! Events as notifications.

use callboard_codecs::snmp::{Value, write_varbind};

use super::{ENTERPRISE_NUMBER, EventObject, TEXT_BYTES, date_and_time, severity, text};
use crate::event::{Event, EventKind};

/// The type of the notifications that tell of events of a kind. In version 1 they are traps of the enterprise
/// [`CALLBOARD`](super::CALLBOARD), and the last arc is their specific number.
pub const fn notification(kind: EventKind) -> [u32; 10] {
    [1, 3, 6, 1, 4, 1, ENTERPRISE_NUMBER, 1, 0, kind.number()]
}

/// Appends the variables in which a notification tells of an event: all that are behind sysUpTime.0 and snmpTrapOID.0. Versions 1
/// to 3 can tell them.
pub fn write_event(event: &Event, out: &mut Vec<u8>) {
    let number = event.id.to_string();
    let time = date_and_time(event.at);
    let device = event.device.as_ref().map(ToString::to_string).unwrap_or_default();
    let task = event.task.map(|task| task.to_string()).unwrap_or_default();
    for object in EventObject::ALL {
        let octets = match object {
            EventObject::Severity => {
                write_varbind(&name(*object), &Value::Integer(severity(event.kind.severity())), out);
                continue;
            }
            EventObject::Number => number.as_bytes(),
            EventObject::Time => &time,
            EventObject::Kind => event.kind.as_str().as_bytes(),
            EventObject::Device => device.as_bytes(),
            EventObject::Task => task.as_bytes(),
            EventObject::Text => text(&event.text, TEXT_BYTES).as_bytes(),
        };
        write_varbind(&name(*object), &Value::OctetString(octets), out);
    }
}

/// The name of the only instance of an object of notifications.
const fn name(object: EventObject) -> [u32; 12] {
    [1, 3, 6, 1, 4, 1, ENTERPRISE_NUMBER, 1, 1, 7, object.number(), 0]
}

#[cfg(test)]
mod tests {
    use callboard_codecs::snmp::{
        Notification, Numbers, Payload, Pdu, PduKind, TrapOid, VarBinds, write_notification_head,
        write_trap_v1,
    };

    use super::super::CALLBOARD;
    use super::*;
    use crate::device::TaskId;
    use crate::time::Timestamp;

    fn event(device: Option<&str>, task: Option<u64>, text: &str) -> Event {
        Event {
            id: 1_767_323_045_678_004,
            at: Timestamp::from_millis(1_767_323_045_678),
            kind: EventKind::TaskFailed,
            device: device.map(|id| id.parse().unwrap()),
            task: task.map(TaskId),
            text: text.into(),
            repeated: 0,
        }
    }

    /// The values by the numbers of their objects, as a receiver reads them.
    fn told(event: &Event) -> Vec<(u32, Vec<u8>)> {
        let mut bytes = Vec::new();
        write_event(event, &mut bytes);
        let varbinds = VarBinds::new(&bytes).unwrap();
        varbinds
            .iter()
            .map(|varbind| {
                let name: Vec<u32> = varbind.name.arcs().collect();
                let [number, 0] = *name.strip_prefix(EventObject::BASE).unwrap() else { panic!("{name:?}") };
                let value = match varbind.value {
                    Value::OctetString(octets) => octets.to_vec(),
                    Value::Integer(number) => number.to_string().into_bytes(),
                    other => panic!("{other:?}"),
                };
                (number, value)
            })
            .collect()
    }

    #[test]
    fn all_of_an_event_is_told() {
        let told = told(&event(Some("00:1A:E8:0A:0B:0C"), Some(1_767_323_040_000), "read-all refused"));
        let moment = b"\x07\xea\x01\x02\x03\x04\x05\x06+\x00\x00";
        let wanted: [&[u8]; 7] = [
            b"1767323045678004",
            moment,
            b"task-failed",
            b"2",
            b"00:1a:e8:0a:0b:0c",
            b"1767323040000",
            b"read-all refused",
        ];
        let wanted: Vec<_> = (1..).zip(wanted.map(<[u8]>::to_vec)).collect();
        assert_eq!(told, wanted);
    }

    #[test]
    fn what_there_is_not_is_empty_and_what_is_long_is_cut() {
        let told = told(&event(None, None, &"€".repeat(512)));
        assert_eq!((told[4].1.len(), told[5].1.len()), (0, 0));
        assert_eq!(told[6].1, "€".repeat(341).as_bytes(), "1023 bytes, and 1024 may be");
    }

    #[test]
    fn version_1_can_tell_them() {
        let mut bytes = Vec::new();
        write_notification_head(7, &notification(EventKind::TaskFailed), &mut bytes);
        write_event(&event(Some("phone"), None, "x"), &mut bytes);
        let pdu = Pdu {
            kind: PduKind::Trap,
            request_id: 1,
            numbers: Numbers::NONE,
            varbinds: VarBinds::new(&bytes).unwrap(),
        };
        let notification = Notification::of_pdu(&pdu).unwrap();
        assert!(
            matches!(notification.oid, TrapOid::Named(oid) if oid.is(&super::notification(EventKind::TaskFailed)))
        );
        write_trap_v1(&notification, [192, 0, 2, 1], |trap| match trap {
            Payload::TrapV1(trap) => {
                assert!(trap.enterprise.is(CALLBOARD));
                let number = i32::try_from(EventKind::TaskFailed.number()).unwrap();
                assert_eq!((trap.generic_trap, trap.specific_trap), (6, number));
                assert_eq!(trap.varbinds.len(), EventObject::ALL.len());
            }
            Payload::Pdu(_) => panic!("a trap of version 1"),
        })
        .unwrap();
    }
}
