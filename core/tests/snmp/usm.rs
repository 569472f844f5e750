//! Messages of net-snmp, authenticated and decrypted, and made anew.

use std::ops::Range;

use callboard_core::secret::Secret;
use callboard_core::snmp::protocol::{AuthProtocol, PrivProtocol, SecurityLevel};
use callboard_core::snmp::usm::{LocalKeys, UserKeys};

const RECORDED: &str = include_str!("golden/net-snmp-5.9.3.txt");

/// Where the parts of a message stand in it.
struct Message {
    bytes: Vec<u8>,
    engine_id: Range<usize>,
    boots: u32,
    time: u32,
    code: Range<usize>,
    salt: Range<usize>,
    /// The content of the encrypted part, or of the plain one.
    data: Range<usize>,
}

impl Message {
    fn new(bytes: Vec<u8>) -> Self {
        let outer = content(&bytes, 0);
        // msgVersion, msgGlobalData, msgSecurityParameters, msgData
        let [_, _, security, data] = parts(&bytes, outer);
        let [engine_id, boots, time, _, code, salt] = parts(&bytes, content(&bytes, security.start));
        let number = |range: Range<usize>| {
            bytes[range].iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte))
        };
        Self { boots: number(boots), time: number(time), bytes, engine_id, code, salt, data }
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes[range.clone()]
    }

    fn is_right(&self, keys: &LocalKeys) -> bool {
        keys.verify(&self.bytes, self.code.clone())
    }

    fn decrypted(&self, keys: &LocalKeys) -> Vec<u8> {
        let mut plain = b"what was here before".to_vec();
        keys.decrypt(self.part(&self.salt), self.boots, self.time, self.part(&self.data), &mut plain)
            .unwrap();
        plain
    }
}

/// The content of the element that begins at `at`.
fn content(bytes: &[u8], at: usize) -> Range<usize> {
    let (start, len) = match bytes[at + 1] {
        0x81 => (at + 3, usize::from(bytes[at + 2])),
        0x82 => (at + 4, usize::from(bytes[at + 2]) << 8 | usize::from(bytes[at + 3])),
        short => (at + 2, usize::from(short)),
    };
    start..start + len
}

/// The contents of the elements in a range, which are `N`.
fn parts<const N: usize>(bytes: &[u8], range: Range<usize>) -> [Range<usize>; N] {
    let mut at = range.start;
    let parts = std::array::from_fn(|_| {
        let part = content(bytes, at);
        at = part.end;
        part
    });
    assert_eq!(at, range.end, "there are {N} elements");
    parts
}

fn unhex(digits: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(digit).collect()
}

struct Recorded {
    line: usize,
    is_good: bool,
    auth: AuthProtocol,
    privacy: Option<PrivProtocol>,
    message: Message,
    keys: LocalKeys,
}

fn recorded() -> impl Iterator<Item = Recorded> {
    let lines = RECORDED.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(at, line)| {
        let mut words = line.split(' ');
        let [verdict, auth, privacy, digits] = std::array::from_fn(|_| words.next().unwrap());
        let auth = AuthProtocol::ALL.into_iter().find(|protocol| protocol.as_str() == auth).unwrap();
        let privacy = PrivProtocol::ALL.into_iter().find(|protocol| protocol.as_str() == privacy);
        let message = Message::new(unhex(digits));
        let passwords = (Secret::new("authpass12"), Secret::new("privpass12"));
        let user =
            UserKeys::derive(Some((auth, &passwords.0)), privacy.map(|it| (it, &passwords.1))).unwrap();
        let keys = user.localise(message.part(&message.engine_id));
        Recorded { line: at + 1, is_good: verdict == "good", auth, privacy, message, keys }
    })
}

/// Whether it begins with a whole scoped PDU that names the linkDown trap; with its length.
fn scoped_pdu(plain: &[u8]) -> Option<usize> {
    const LINK_DOWN: [u8; 11] = [6, 9, 43, 6, 1, 6, 3, 1, 1, 5, 3];
    let end = content(plain, 0).end;
    let named = plain.get(..end)?.windows(LINK_DOWN.len()).any(|window| window == LINK_DOWN);
    (plain[0] == 0x30 && named).then_some(end)
}

#[test]
fn messages_of_net_snmp_are_verified_and_decrypted() {
    let mut combinations = Vec::new();
    for Recorded { line, is_good, auth, privacy, message, keys } in recorded() {
        assert_eq!(message.is_right(&keys), is_good, "line {line}");
        let level = if privacy.is_some() { SecurityLevel::AuthPriv } else { SecurityLevel::AuthNoPriv };
        assert_eq!((keys.level(), keys.code_bytes()), (level, message.code.len()), "line {line}");
        if privacy.is_some() {
            let plain = message.decrypted(&keys);
            let end = scoped_pdu(&plain).unwrap_or_else(|| panic!("line {line}: {plain:02x?}"));
            let padded = if privacy == Some(PrivProtocol::Des) { end.next_multiple_of(8) } else { end };
            assert_eq!(plain.len(), padded, "line {line}");
            combinations.push((auth, privacy));
        }
    }
    combinations.sort_unstable();
    combinations.dedup();
    assert_eq!(combinations.len(), 36, "all protocols of one kind with all of the other");
}

#[test]
fn the_same_messages_are_made_again() {
    for Recorded { line, privacy, mut message, keys, .. } in recorded().filter(|recorded| recorded.is_good) {
        if let Some(privacy) = privacy {
            let plain = message.decrypted(&keys);
            let salt: [u8; 8] = message.part(&message.salt).try_into().unwrap();
            let counter = u64::from_be_bytes(salt);
            // net-snmp writes its own boots into the salt of DES, and not those of the message.
            let boots = match privacy {
                PrivProtocol::Des => u32::try_from(counter >> 32).unwrap(),
                _ => message.boots,
            };
            let mut encrypted = Vec::new();
            let end = scoped_pdu(&plain).unwrap();
            let made = keys.encrypt(counter, boots, message.time, &plain[..end], &mut encrypted);
            assert_eq!(made, Ok(salt), "line {line}");
            assert_eq!(encrypted, message.part(&message.data), "line {line}");
        }
        let original = message.bytes.clone();
        message.bytes[message.code.clone()].fill(0xff);
        assert!(!message.is_right(&keys), "line {line}");
        keys.sign(&mut message.bytes, message.code.clone()).unwrap();
        assert_eq!(message.bytes, original, "line {line}");
    }
}

#[test]
fn another_engine_has_other_keys() {
    let password = Secret::new("authpass12");
    let Recorded { message, auth, .. } = recorded().next().unwrap();
    let user = UserKeys::derive(Some((auth, &password)), None).unwrap();
    let mut engine_id = message.part(&message.engine_id).to_vec();
    assert!(message.is_right(&user.localise(&engine_id)));
    engine_id[4] ^= 1;
    assert!(!message.is_right(&user.localise(&engine_id)));
}
