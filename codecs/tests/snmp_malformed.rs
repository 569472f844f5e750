//! What is malformed is refused with its reason and place: the classes of the PROTOS suite c06-snmpv1, and what version 3 adds.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use callboard_codecs::snmp::{FaultKind, MAX_VARBINDS, Message, OidFault, Payload, read};

/// An element with a length of two bytes.
fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len()).unwrap().to_be_bytes();
    [&[tag, 0x82, length[0], length[1]], contents].concat()
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(0x30, &parts.concat())
}

const NAME: &[u8] = &[6, 3, 0x2b, 6, 1];

fn varbind(value: &[u8]) -> Vec<u8> {
    sequence(&[NAME, value])
}

fn pdu(tag: u8, numbers: &[u8], varbinds: &[u8]) -> Vec<u8> {
    element(tag, &[numbers, varbinds].concat())
}

const NUMBERS: &[u8] = &[2, 1, 1, 2, 1, 0, 2, 1, 0];

fn community(version: u8, pdu: &[u8]) -> Vec<u8> {
    sequence(&[&[2, 1, version], &[4, 1, b'x'], pdu])
}

fn refused(bytes: &[u8]) -> FaultKind {
    read(bytes).expect_err("this was read").kind
}

fn refused_value(version: u8, value: &[u8]) -> FaultKind {
    refused(&community(version, &pdu(0xa0, NUMBERS, &sequence(&[&varbind(value)]))))
}

#[test]
fn lengths() {
    assert_eq!(refused(&[]), FaultKind::Truncated);
    assert_eq!(refused(&[0x30, 5, 2, 1, 0]), FaultKind::Truncated);
    assert_eq!(refused(&[0x30, 0x80, 2, 1, 0, 0, 0]), FaultKind::IndefiniteLength);
    assert_eq!(refused(&[0x30, 0x85, 0, 0, 0, 0, 3, 2, 1, 0]), FaultKind::LengthOfLength(5));
    for length in [[0x7f, 255, 255, 255], [0x80, 0, 0, 0], [255; 4]] {
        assert_eq!(refused(&[&[0x30, 0x84], &length[..], &[2, 1, 0]].concat()), FaultKind::Truncated);
    }
    let fault = read(&community(1, &pdu(0xa0, &[2, 9, 1], &[]))).unwrap_err();
    assert_eq!((fault.kind, fault.offset), (FaultKind::Truncated, 14));
}

#[test]
fn values() {
    use FaultKind as F;
    for (value, why) in [
        (&[2, 0][..], F::EmptyNumber),
        (&[2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0], F::NumberRange),
        (&[6, 2, 0x2b, 0x81], F::ObjectId(OidFault::Unfinished)),
        (&[6, 6, 0x2b, 0x90, 0x80, 0x80, 0x80, 0], F::ObjectId(OidFault::Arc)),
        (&[5, 1, 0], F::ValueLength(1)),
        (&[0x40, 3, 1, 2, 3], F::ValueLength(3)),
        (&[0x41, 6, 1, 0, 0, 0, 0, 0], F::NumberRange),
        (&[0x1f, 0x81, 1, 0], F::ValueTag(0x1f)),
        (&[0x30, 0], F::ValueTag(0x30)),
        (&[0x82, 1, 0], F::ValueLength(1)),
    ] {
        assert_eq!(refused_value(1, value), why, "{value:?}");
    }
    assert_eq!(refused_value(1, &element(6, &[1; 128])), F::ObjectId(OidFault::Length));
    for (value, tag) in
        [(&[0x46, 1, 0][..], 0x46), (&[0x80, 0], 0x80), (&[0x81, 0], 0x81), (&[0x82, 0], 0x82)]
    {
        assert_eq!(refused_value(0, value), F::ValueOfLaterVersion(tag));
    }
}

#[test]
fn structures() {
    use FaultKind as F;
    let list = sequence(&[&varbind(&[5, 0])]);
    let whole = pdu(0xa0, NUMBERS, &list);
    assert_eq!(refused(&sequence(&[&[2, 1, 1], &[4, 1, b'x']])), F::Truncated);
    assert_eq!(refused(&sequence(&[&[2, 1, 1], &[4, 1, b'x'], &whole, &[5, 0]])), F::Surplus);
    assert_eq!(refused(&community(1, &pdu(0xa0, NUMBERS, &[&list[..], &[5, 0]].concat()))), F::Surplus);
    assert_eq!(refused(&community(1, &pdu(0xa0, NUMBERS, NAME))), F::Tag { expected: 0x30, found: 6 });
    assert_eq!(refused(&community(1, &pdu(0xa0, NUMBERS, &[]))), F::Truncated, "no list");
    assert_eq!(refused_value(1, &[5, 0, 5, 0]), F::Surplus);
    assert_eq!(refused(&sequence(&[&[4, 1, 1], &[4, 0], &whole])), F::Tag { expected: 2, found: 4 });
    // Sequences in sequences are looked at one by one: no depth harms.
    let mut nested = vec![5, 0];
    for _ in 0..1_000 {
        nested = sequence(&[&nested]);
    }
    assert_eq!(refused(&nested), F::Tag { expected: 2, found: 0x30 });
    assert_eq!(refused_value(1, &nested), F::ValueTag(0x30));
}

#[test]
fn numbers_of_variables() {
    let of =
        |number| community(1, &pdu(0xa0, NUMBERS, &sequence(&[&vec![varbind(&[5, 0]); number].concat()])));
    for number in [0, 1, MAX_VARBINDS] {
        read(&of(number)).unwrap();
    }
    for number in [MAX_VARBINDS + 1, 4_000] {
        assert_eq!(refused(&of(number)), FaultKind::VarBinds);
    }
}

#[test]
fn versions_and_kinds() {
    use FaultKind as F;
    let list = sequence(&[]);
    let of = |version, tag| community(version, &pdu(tag, NUMBERS, &list));
    for (version, number) in [(2, 2), (4, 4), (255, -1), (128, -128)] {
        assert_eq!(refused(&of(version, 0xa0)), F::Version(number));
    }
    assert_eq!(refused(&sequence(&[&[2, 2, 0, 255], &[4, 0], &pdu(0xa0, NUMBERS, &list)])), F::Version(255));
    for tag in [0xa5, 0xa6, 0xa7, 0xa8] {
        assert_eq!(refused(&of(0, tag)), F::PduOfOtherVersion(tag));
        read(&of(1, tag)).unwrap();
    }
    assert_eq!(refused(&of(1, 0xa4)), F::PduOfOtherVersion(0xa4));
    for tag in [0xa9, 0xbf, 0x30, 0x02] {
        assert_eq!(refused(&of(1, tag)), F::PduTag(tag));
    }
}

#[test]
fn numbers_of_a_pdu() {
    let of = |numbers: &[u8]| community(1, &pdu(0xa2, numbers, &sequence(&[])));
    read(&of(&[2, 1, 255, 2, 1, 18, 2, 1, 0])).expect("ids may be negative");
    for (numbers, value) in [
        (&[2, 1, 1, 2, 1, 19, 2, 1, 0][..], 19),
        (&[2, 1, 1, 2, 1, 255, 2, 1, 0], -1),
        (&[2, 1, 1, 2, 1, 0, 2, 1, 254], -2),
    ] {
        assert_eq!(refused(&of(numbers)), FaultKind::Number { value });
    }
}

#[test]
fn communities_of_any_bytes_are_read() {
    for text in [&b""[..], b"%s%n%x", &vec![0; 60_000]] {
        let bytes = sequence(&[&[2, 1, 0], &element(4, text), &pdu(0xa0, NUMBERS, &sequence(&[]))]);
        let Message::Community(message) = read(&bytes).unwrap().message else { panic!("version 3") };
        assert_eq!(message.community, text);
    }
}

#[test]
fn traps_of_version_1() {
    use FaultKind as F;
    let trap = |address: &[u8], generic: u8| {
        let parts: [&[u8]; 6] = [NAME, address, &[2, 1, generic], &[2, 1, 42], &[0x43, 1, 0], &sequence(&[])];
        community(0, &element(0xa4, &parts.concat()))
    };
    let good = trap(&[0x40, 4, 192, 0, 2, 1], 6);
    let Message::Community(message) = read(&good).unwrap().message else { panic!("version 3") };
    assert!(matches!(message.payload, Payload::TrapV1(trap) if trap.agent_addr == [192, 0, 2, 1]));
    for length in [0, 3, 5, 16] {
        let address = [&[0x40, length], &vec![1; usize::from(length)][..]].concat();
        assert_eq!(refused(&trap(&address, 6)), F::ValueLength(length.into()));
    }
    assert_eq!(refused(&trap(&[4, 4, 192, 0, 2, 1], 6)), F::Tag { expected: 0x40, found: 4 });
    for (generic, value) in [(7, 7), (255, -1)] {
        assert_eq!(refused(&trap(&[0x40, 4, 192, 0, 2, 1], generic)), F::Number { value });
    }
}

/// The parts of a message of version 3, each of which a test can spoil.
struct Parts {
    head: Vec<u8>,
    usm: Vec<u8>,
    data: Vec<u8>,
}

const HEAD: [&[u8]; 4] = [&[2, 1, 7], &[2, 2, 5, 0xc0], &[4, 1, 4], &[2, 1, 3]];
const USM: [&[u8]; 6] = [&[4, 5, 0x80, 0, 0, 0, 1], &[2, 1, 1], &[2, 1, 1], &[4, 1, b'u'], &[4, 0], &[4, 0]];

impl Parts {
    fn new() -> Self {
        Self { head: HEAD.concat(), usm: sequence(&USM), data: sequence(&[]) }
    }

    fn head(at: usize, with: &[u8]) -> FaultKind {
        let mut head = HEAD;
        head[at] = with;
        Self { head: head.concat(), ..Self::new() }.refused()
    }

    fn usm(at: usize, with: &[u8]) -> FaultKind {
        let mut usm = USM;
        usm[at] = with;
        Self { usm: sequence(&usm), ..Self::new() }.refused()
    }

    fn bytes(&self) -> Vec<u8> {
        sequence(&[&[2, 1, 3], &sequence(&[&self.head]), &element(4, &self.usm), &self.data])
    }

    fn refused(&self) -> FaultKind {
        refused(&self.bytes())
    }
}

#[test]
fn heads_of_version_3() {
    use FaultKind as F;
    read(&Parts::new().bytes()).unwrap();
    assert_eq!(Parts::head(0, &[2, 1, 255]), F::Number { value: -1 });
    assert_eq!(Parts::head(0, &[2, 5, 0, 128, 0, 0, 0]), F::NumberRange);
    for size in [[1_u8, 227], [255, 255], [0, 0]] {
        let value = i16::from_be_bytes(size).into();
        assert_eq!(Parts::head(1, &[2, 2, size[0], size[1]]), F::Number { value });
    }
    assert_eq!(Parts::head(2, &[4, 0]), F::ValueLength(0));
    assert_eq!(Parts::head(2, &[4, 2, 4, 4]), F::ValueLength(2));
    assert_eq!(Parts::head(2, &[4, 1, 6]), F::Flags(6), "privacy without authentication");
    assert_eq!(Parts::head(3, &[2, 1, 0]), F::Number { value: 0 });
    // Of another model nothing is known: its parameters are not looked at.
    let other =
        Parts { head: [HEAD[0], HEAD[1], HEAD[2], &[2, 1, 2]].concat(), usm: vec![9], ..Parts::new() };
    read(&other.bytes()).unwrap();
}

#[test]
fn security_parameters() {
    use FaultKind as F;
    for length in [4, 33] {
        let engine = [&[4, length], &vec![1; usize::from(length)][..]].concat();
        assert_eq!(Parts::usm(0, &engine), F::ValueLength(length.into()));
    }
    assert_eq!(Parts::usm(1, &[2, 1, 255]), F::Number { value: -1 });
    assert_eq!(Parts::usm(2, &[2, 5, 0, 128, 0, 0, 0]), F::NumberRange, "2^31");
    assert_eq!(Parts::usm(3, &[&[4, 33], &[b'u'; 33][..]].concat()), F::ValueLength(33));
    assert_eq!(Parts::usm(4, &[2, 1, 0]), F::Tag { expected: 4, found: 2 });
    let no_sequence = Parts { usm: vec![4, 0], ..Parts::new() };
    assert_eq!(no_sequence.refused(), F::Tag { expected: 0x30, found: 4 });
    let more = Parts { usm: [sequence(&USM), vec![5, 0]].concat(), ..Parts::new() };
    assert_eq!(more.refused(), F::Surplus);
}

#[test]
fn data_of_version_3() {
    use FaultKind as F;
    let octets = Parts { data: vec![4, 0], ..Parts::new() };
    assert_eq!(octets.refused(), F::Tag { expected: 0x30, found: 4 });
    let mut secret = Parts::new();
    secret.head = [HEAD[0], HEAD[1], &[4, 1, 7], HEAD[3]].concat();
    assert_eq!(secret.refused(), F::Tag { expected: 4, found: 0x30 });
}

#[test]
fn what_comes_behind_a_message_is_let_pass() {
    let mut bytes = community(1, &pdu(0xa0, NUMBERS, &sequence(&[])));
    let length = bytes.len();
    bytes.extend_from_slice(&[0xff; 9]);
    assert_eq!(read(&bytes).unwrap().bytes.len(), length);
}
