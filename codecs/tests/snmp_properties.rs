//! What is written reads the same, and no bytes do harm.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use callboard_codecs::snmp::{
    CommunityMessage, Data, ErrorStatus, Flags, MAX_ARCS, Message, Notification, Numbers, ObjectId, Oid,
    Payload, Pdu, PduKind, ScopedPdu, TrapV1, USM, UsmParameters, V3Message, Value, VarBinds, Version, read,
    write_notification_head, write_trap_v1, write_varbind,
};
use proptest::prelude::*;

/// A value that owns its bytes.
#[derive(Clone, Debug)]
enum Owned {
    Octets(Vec<u8>),
    Opaque(Vec<u8>),
    ObjectId(ObjectId),
    Other(Value<'static>),
}

impl Owned {
    fn with<R>(&self, with: impl FnOnce(Value<'_>) -> R) -> R {
        match self {
            Self::Octets(bytes) => with(Value::OctetString(bytes)),
            Self::Opaque(bytes) => with(Value::Opaque(bytes)),
            Self::ObjectId(id) => {
                let mut bytes = Vec::new();
                ObjectId::write_contents(id, &mut bytes);
                with(Value::ObjectId(Oid::new(&bytes).unwrap()))
            }
            Self::Other(value) => with(*value),
        }
    }
}

fn object_id() -> impl Strategy<Value = ObjectId> {
    (0_u32..3, 0_u32..40, prop::collection::vec(any::<u32>(), 0..12))
        .prop_map(|(first, second, rest)| ObjectId::new(&[vec![first, second], rest].concat()).unwrap())
}

fn value(later: bool) -> impl Strategy<Value = Owned> {
    let common = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Owned::Octets),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(Owned::Opaque),
        object_id().prop_map(Owned::ObjectId),
        any::<i32>().prop_map(|number| Owned::Other(Value::Integer(number))),
        any::<[u8; 4]>().prop_map(|address| Owned::Other(Value::IpAddress(address))),
        any::<u32>().prop_map(|number| Owned::Other(Value::Counter32(number))),
        any::<u32>().prop_map(|number| Owned::Other(Value::Gauge32(number))),
        any::<u32>().prop_map(|number| Owned::Other(Value::TimeTicks(number))),
        Just(Owned::Other(Value::Null)),
    ];
    let newer = prop_oneof![
        any::<u64>().prop_map(|number| Owned::Other(Value::Counter64(number))),
        Just(Owned::Other(Value::NoSuchObject)),
        Just(Owned::Other(Value::NoSuchInstance)),
        Just(Owned::Other(Value::EndOfMibView)),
    ];
    prop_oneof![4 => common, u32::from(later) => newer]
}

fn varbinds(later: bool) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec((object_id(), value(later)), 0..8).prop_map(|list| {
        let mut bytes = Vec::new();
        for (name, value) in &list {
            value.with(|value| write_varbind(name, &value, &mut bytes));
        }
        let read = VarBinds::new(&bytes).unwrap();
        assert_eq!(read.len(), list.len());
        for (varbind, (name, value)) in read.iter().zip(&list) {
            assert!(varbind.name == *name);
            value.with(|value| assert_eq!(varbind.value, value));
        }
        bytes
    })
}

fn kind() -> impl Strategy<Value = PduKind> {
    prop::sample::select(PduKind::ALL.to_vec())
}

fn pdu(kind: PduKind, ids: (i32, u32, u32), varbinds: &[u8]) -> Pdu<'_> {
    let numbers = if kind == PduKind::GetBulk {
        Numbers::Bulk { non_repeaters: ids.1 >> 1, max_repetitions: ids.2 >> 1 }
    } else {
        Numbers::Error { status: ErrorStatus::GenErr, index: ids.2 >> 1 }
    };
    Pdu { kind, request_id: ids.0, numbers, varbinds: VarBinds::new(varbinds).unwrap() }
}

proptest! {
    #[test]
    fn messages_of_versions_1_and_2_read_as_they_were_written(
        kind in kind(), ids in any::<(i32, u32, u32)>(), community in prop::collection::vec(any::<u8>(), 0..40),
        first in varbinds(false), second in varbinds(true),
    ) {
        let is_first = matches!(kind, PduKind::Get | PduKind::GetNext | PduKind::Response | PduKind::Set);
        let (version, varbinds) = if is_first { (Version::V1, &first) } else { (Version::V2c, &second) };
        let payload = Payload::Pdu(pdu(kind, ids, varbinds));
        let message = CommunityMessage { version, community: &community, payload };
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        let received = read(&bytes).unwrap();
        prop_assert_eq!(received.message, Message::Community(message));
        prop_assert_eq!(received.bytes, &bytes[..]);
    }

    #[test]
    fn traps_of_version_1_go_to_version_2_and_back(
        enterprise in object_id(), agent_addr in any::<[u8; 4]>(), generic in 0_u8..7, specific in 0_i32..,
        time_stamp in any::<u32>(), varbinds in varbinds(false),
    ) {
        let mut own = Vec::new();
        ObjectId::write_contents(&enterprise, &mut own);
        let specific_trap = if generic == 6 { specific } else { 0 };
        let trap = TrapV1 {
            enterprise: Oid::new(&own).unwrap(), agent_addr, generic_trap: generic, specific_trap, time_stamp,
            varbinds: VarBinds::new(&varbinds).unwrap(),
        };
        let message = CommunityMessage { version: Version::V1, community: b"", payload: Payload::TrapV1(trap) };
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        prop_assert_eq!(read(&bytes).unwrap().message, Message::Community(message));
        let notification = Notification::of(&message.payload).unwrap();
        let mut second = Vec::new();
        write_notification_head(notification.up_time, &notification.oid.to_owned(), &mut second);
        second.extend_from_slice(&varbinds);
        let again = Notification::of_pdu(&pdu(PduKind::Trap, (1, 0, 0), &second)).unwrap();
        prop_assert_eq!(again.oid.to_owned(), notification.oid.to_owned());
        prop_assert!(again.varbinds().eq(notification.varbinds()));
        let back = write_trap_v1(&again, agent_addr, |payload| {
            let Payload::TrapV1(back) = payload else { return false };
            let same_enterprise = generic < 6 || back.enterprise == enterprise || enterprise.ends_with(&[0]);
            same_enterprise && (back.generic_trap, back.specific_trap, back.time_stamp) == (generic, specific_trap, time_stamp)
        });
        // Of what is standard the number alone is kept, and an enterprise of snmpTraps tells another standard one.
        if !enterprise.starts_with(&[1, 3, 6, 1, 6, 3, 1, 1, 5]) {
            prop_assert_eq!(back, Ok(true));
        }
    }

    #[test]
    fn messages_of_version_3_read_as_they_were_written(
        id in 0_u32..1 << 31, max_size in 484_u32..1 << 31, bits in 0_usize..6, numbers in (0_u32..1 << 31, 0_u32..1 << 31),
        engine in prop::collection::vec(any::<u8>(), 5..33), user in prop::collection::vec(any::<u8>(), 0..33),
        code in prop::collection::vec(any::<u8>(), 0..64), salt in prop::collection::vec(any::<u8>(), 0..9),
        kind in kind(), ids in any::<(i32, u32, u32)>(), varbinds in varbinds(true),
    ) {
        let context = (&engine[..], &user[..]);
        let scoped = ScopedPdu { context_engine_id: context.0, context_name: context.1, pdu: pdu(kind, ids, &varbinds) };
        let mut plain = Vec::new();
        scoped.write(&mut plain);
        prop_assert_eq!(ScopedPdu::read(&plain), Ok(scoped));
        let [auth, privacy] = [[false, false], [true, false], [true, true]][bits % 3];
        let flags = Flags { auth, privacy, reportable: bits > 2 };
        let data = if privacy { Data::Encrypted(&plain) } else { Data::Plain(&plain) };
        let usm = UsmParameters {
            engine_id: &engine, boots: numbers.0, time: numbers.1, user_name: &user, auth_code: &code, salt: &salt,
        };
        let message = V3Message { id, max_size, flags, security_model: USM, usm, data };
        let mut bytes = vec![7; 3];
        let at = message.write(&mut bytes);
        prop_assert_eq!(&bytes[at.clone()], &code[..]);
        let received = read(&bytes[3..]).unwrap();
        prop_assert_eq!(received.message, Message::V3(message));
        prop_assert_eq!(received.auth_code(), at.start - 3..at.end - 3);
    }

    #[test]
    fn padding_behind_a_scoped_pdu_is_let_pass(padding in prop::collection::vec(any::<u8>(), 0..8)) {
        let scoped = ScopedPdu { context_engine_id: b"", context_name: b"", pdu: pdu(PduKind::Get, (1, 0, 0), &[]) };
        let mut bytes = Vec::new();
        scoped.write(&mut bytes);
        bytes.extend_from_slice(&padding);
        prop_assert_eq!(ScopedPdu::read(&bytes), Ok(scoped));
    }

    #[test]
    fn any_bytes_are_a_message_or_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        harmless(&bytes);
    }

    #[test]
    fn what_is_almost_a_message_is_one_or_a_fault(
        at in any::<prop::sample::Index>(), with in any::<u8>(), cut in any::<prop::sample::Index>(), which in 0_usize..3,
    ) {
        let lines = include_str!("data/snmp/net-snmp-5.9.3.txt").lines().filter(|line| !line.starts_with('#'));
        let hex = lines.map(|line| line.split(' ').nth(2).unwrap()).nth([0, 3, 6][which]).unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
        let mut bytes: Vec<u8> = (0..hex.len() / 2).map(byte).collect();
        let place = at.index(bytes.len());
        bytes[place] = with;
        bytes.truncate(cut.index(bytes.len() * 4).max(1));
        harmless(&bytes);
    }
}

/// What is read can be written, and is the same then.
fn harmless(bytes: &[u8]) {
    let Ok(received) = read(bytes) else { return };
    let mut again = Vec::new();
    match received.message {
        Message::Community(message) => {
            message.write(&mut again);
            if let Some(notification) = Notification::of(&message.payload) {
                assert!(notification.oid.arcs(&mut [0; MAX_ARCS]).len() <= MAX_ARCS);
                let _ = write_trap_v1(&notification, [0; 4], |_| ());
            }
        }
        Message::V3(message) => {
            message.write(&mut again);
            let data = match message.data {
                Data::Plain(data) | Data::Encrypted(data) => data,
            };
            let _ = ScopedPdu::read(data);
        }
    }
    assert!(again.len() <= bytes.len());
    assert_eq!(read(&again).map(|received| received.message), Ok(received.message));
}
