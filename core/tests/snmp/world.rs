//! A service that speaks SNMP, and whoever speaks to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use callboard_codecs::snmp::{
    CommunityMessage, Data, Message, Numbers, Payload, Pdu, PduKind, ScopedPdu, Value, VarBinds, Version,
    read, write_notification_head, write_varbind,
};
use callboard_core::device::DeviceId;
use callboard_core::dialogue::snmp::{Reply, Salts, write_reply};
use callboard_core::dialogue::wpi::Need;
use callboard_core::event::{Event, EventKind};
use callboard_core::pki::Series;
use callboard_core::secret::{KEY_LEN, Secret, Vault};
use callboard_core::service::snmp::{SnmpDoor, SnmpIncoming, SnmpScratch, SnmpSettings};
use callboard_core::service::{CredentialSource, IssueError, Issuing, Service, Settings, Surroundings};
use callboard_core::site::Origin;
use callboard_core::snmp::access::{Community, CommunityWish, User, UserWish, Versions};
use callboard_core::snmp::protocol::{AuthProtocol, PrivProtocol, SecurityLevel};
use callboard_core::snmp::usm::{LocalKeys, UserKeys};
use callboard_core::store::MemoryStore;
use callboard_core::store::journal::{JournalConfig, MemoryJournal};
use callboard_core::time::{Clock, Random, Timestamp};

pub(super) const AUTH_PASSWORD: &str = "authpass12";
pub(super) const PRIV_PASSWORD: &str = "privpass12";

/// Time and numbers, and nobody who makes credentials.
#[derive(Debug)]
pub(super) struct Hands {
    millis: AtomicU64,
    count: AtomicU64,
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.load(Relaxed))
    }
}

impl Random for Hands {
    fn next_u128(&self) -> u128 {
        u128::from(self.count.fetch_add(1, Relaxed) + 1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }
}

impl CredentialSource for Hands {
    fn is_busy(&self, _: &DeviceId, _: Origin) -> bool {
        false
    }

    fn issue(&self, _: Need, _: Series, _: Origin, _: Timestamp) -> Issuing<'_> {
        Box::pin(std::future::ready(Err(IssueError::Failed("nobody asks for any".to_owned()))))
    }
}

pub(super) struct World {
    pub(super) service: Service,
    pub(super) store: Arc<MemoryStore>,
    pub(super) hands: Arc<Hands>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(SnmpSettings::default(), Arc::new(MemoryStore::default()))
    }

    pub(super) fn with(snmp: SnmpSettings, store: Arc<MemoryStore>) -> Self {
        let millis = AtomicU64::new(1_767_323_045_678);
        let hands = Arc::new(Hands { millis, count: AtomicU64::new(0) });
        let around = Surroundings {
            store: store.clone(),
            vault: Arc::new(Vault::new(&[7; KEY_LEN]).unwrap()),
            clock: hands.clone(),
            random: hands.clone(),
            credentials: hands.clone(),
            journal: Arc::new(MemoryJournal::new(JournalConfig::default())),
            notifications: Arc::new(MemoryJournal::default()),
        };
        let service = Service::new(around, Settings { snmp, ..Settings::default() });
        let (_, before) = service.snmp.load().unwrap();
        ready(service.start_snmp_engine(before)).unwrap();
        Self { service, store, hands }
    }

    pub(super) fn pass(&self, time: Duration) {
        self.hands.millis.fetch_add(u64::try_from(time.as_millis()).unwrap(), Relaxed);
    }

    /// A community that may tell.
    pub(super) fn community(&self, text: &str, notifications: bool, networks: &[&str]) {
        let wish = CommunityWish {
            community: Some(Secret::new(text)),
            versions: Versions { v1: true, v2c: true },
            group: None,
            notifications,
            networks: networks.iter().map(|network| network.parse().unwrap()).collect(),
        };
        let name = format!("c-{}", text.len()).parse().unwrap();
        drop(self.service.snmp.access.put::<Community>(name, wish, true, None).unwrap());
    }

    /// A user that may tell at a level, with SHA-1 and AES-128 if it has keys.
    pub(super) fn user(&self, name: &str, own: SecurityLevel, notifications: Option<SecurityLevel>) {
        let has = |level| own >= level;
        let wish = UserWish {
            auth_protocol: has(SecurityLevel::AuthNoPriv).then_some(AuthProtocol::Sha1),
            auth_password: has(SecurityLevel::AuthNoPriv).then(|| Secret::new(AUTH_PASSWORD)),
            priv_protocol: has(SecurityLevel::AuthPriv).then_some(PrivProtocol::Aes128),
            priv_password: has(SecurityLevel::AuthPriv).then(|| Secret::new(PRIV_PASSWORD)),
            notifications,
            ..UserWish::default()
        };
        drop(self.service.snmp.access.put::<User>(name.parse().unwrap(), wish, true, None).unwrap());
    }

    /// What is answered to a datagram; nothing if it is not.
    pub(super) fn receive(&self, from: &str, bytes: &[u8]) -> Vec<u8> {
        let source: SocketAddr = format!("{from}:40000").parse().unwrap();
        let incoming = SnmpIncoming { bytes, source, door: SnmpDoor::Trap };
        let mut out = Vec::new();
        self.service.snmp_received(&incoming, &mut SnmpScratch::default(), self.service.steady(), &mut out);
        out
    }

    /// What was told, oldest first.
    pub(super) fn events(&self, kind: EventKind) -> Vec<Event> {
        let mut events = self.service.events.recent(None, 1_000, |event| event.kind == kind);
        events.reverse();
        events
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.events(EventKind::TrapReceived).into_iter().map(|event| event.text).collect()
    }
}

/// What is ready at once.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).as_mut().poll(&mut context) {
        std::task::Poll::Ready(done) => done,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

/// The variables of a notification: linkDown with a text.
pub(super) fn link_down(text: &str) -> Vec<u8> {
    let mut varbinds = Vec::new();
    write_notification_head(7, &[1, 3, 6, 1, 6, 3, 1, 1, 5, 3], &mut varbinds);
    write_varbind(&[1, 3, 6, 1, 2, 1, 1, 5, 0], &Value::OctetString(text.as_bytes()), &mut varbinds);
    varbinds
}

pub(super) fn pdu(kind: PduKind, request_id: i32, varbinds: &[u8]) -> Pdu<'_> {
    Pdu { kind, request_id, numbers: Numbers::NONE, varbinds: VarBinds::new(varbinds).unwrap() }
}

/// A message of version 2c.
pub(super) fn second(community: &str, kind: PduKind, request_id: i32, text: &str) -> Vec<u8> {
    let varbinds = link_down(text);
    let payload = Payload::Pdu(pdu(kind, request_id, &varbinds));
    let mut bytes = Vec::new();
    CommunityMessage { version: Version::V2c, community: community.as_bytes(), payload }.write(&mut bytes);
    bytes
}

/// What somebody who speaks version 3 knows.
pub(super) struct Sender {
    pub(super) user: &'static str,
    pub(super) level: SecurityLevel,
    pub(super) engine: Vec<u8>,
    pub(super) boots: u32,
    pub(super) time: u32,
    pub(super) keys: UserKeys,
    pub(super) salts: Salts,
}

impl Sender {
    pub(super) fn new(world: &World, user: &'static str, level: SecurityLevel, password: &str) -> Self {
        let keys = UserKeys::derive(
            Some((AuthProtocol::Sha1, &Secret::new(password))),
            Some((PrivProtocol::Aes128, &Secret::new(PRIV_PASSWORD))),
        );
        let salts = Salts::new(&*world.hands);
        Self { user, level, engine: Vec::new(), boots: 0, time: 0, keys: keys.unwrap(), salts }
    }

    pub(super) fn local(&self) -> LocalKeys {
        self.keys.localise(&self.engine)
    }

    /// A message with this PDU.
    pub(super) fn message(&self, pdu: Pdu<'_>) -> Vec<u8> {
        let scoped = ScopedPdu { context_engine_id: &self.engine, context_name: b"", pdu };
        let local = self.local();
        let reply = Reply {
            message_id: 77,
            reportable: pdu.kind.is_confirmed(),
            user_name: self.user.as_bytes(),
            keys: Some(&local),
            level: self.level,
            clock: (&self.engine, self.boots, self.time),
            scoped: &scoped,
        };
        let mut out = Vec::new();
        write_reply(&reply, &self.salts, &mut out).unwrap();
        out
    }

    /// The PDU of an answer, whose authentication code must be right if it has one: its kind, request id, and the first variable.
    pub(super) fn open(&self, bytes: &[u8]) -> (PduKind, i32, String) {
        let received = read(bytes).unwrap();
        let Message::V3(message) = received.message else { panic!("not version 3") };
        assert_eq!(message.id, 77);
        let mut plain = Vec::new();
        if message.flags.auth {
            assert!(self.local().verify(received.bytes, received.auth_code()), "a wrong code");
        }
        let scoped = match message.data {
            Data::Plain(bytes) => bytes,
            Data::Encrypted(bytes) => {
                let usm = message.usm;
                self.local().decrypt(usm.salt, usm.boots, usm.time, bytes, &mut plain).unwrap();
                &plain
            }
        };
        let pdu = ScopedPdu::read(scoped).unwrap().pdu;
        let first = pdu.varbinds.iter().next().map(|varbind| varbind.name.to_string());
        (pdu.kind, pdu.request_id, first.unwrap_or_default())
    }

    /// Takes over the engine and the time that a report tells.
    pub(super) fn learn(&mut self, bytes: &[u8]) {
        let Message::V3(message) = read(bytes).unwrap().message else { panic!("not version 3") };
        (self.engine, self.boots, self.time) =
            (message.usm.engine_id.to_vec(), message.usm.boots, message.usm.time);
    }
}
