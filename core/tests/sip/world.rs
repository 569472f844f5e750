//! A service that answers SIP, and everything around it.

use std::pin::pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use callboard_core::device::DeviceId;
use callboard_core::dialogue::wpi::Need;
use callboard_core::pki::Series;
use callboard_core::secret::{KEY_LEN, Secret, Vault};
use callboard_core::service::sip::{
    ClientProof, Incoming, Outlet, Reaction, Scratch, SendFault, SipSettings,
};
use callboard_core::service::{CredentialSource, IssueError, Issuing, Service, Settings, Surroundings};
use callboard_core::sip::binding::{Flow, Transport};
use callboard_core::sip::digest::{Count, Ha1, Received, respond};
use callboard_core::sip::location::Place;
use callboard_core::sip::trust::Trust;
use callboard_core::site::Origin;
use callboard_core::store::MemoryStore;
use callboard_core::store::journal::{Journal as _, JournalConfig, MemoryJournal};
use callboard_core::time::{Clock, Random, Timestamp};

/// Time and numbers, and nobody who makes credentials.
#[derive(Debug)]
pub(crate) struct Hands {
    millis: AtomicU64,
    /// By how many milliseconds somebody has set the wall clock.
    set_by: AtomicI64,
    count: AtomicU64,
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        let millis = self.millis.load(Relaxed).saturating_add_signed(self.set_by.load(Relaxed));
        Timestamp::from_millis(millis)
    }

    fn steady(&self) -> Timestamp {
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

impl Hands {
    /// Time passes, and nobody looks.
    pub(crate) fn pass(&self, time: Duration) {
        self.millis.fetch_add(u64::try_from(time.as_millis()).unwrap(), Relaxed);
    }
}

/// What left on its own account.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    requests: Mutex<Vec<(Flow, String)>>,
}

impl Outlet for Sent {
    fn send(&self, flow: &Flow, bytes: &Arc<[u8]>) -> Result<(), SendFault> {
        if flow.is_gone() {
            return Err(SendFault::FlowGone);
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.requests.lock().unwrap().push((*flow, text));
        Ok(())
    }
}

/// The service.
pub(crate) struct World {
    pub(crate) service: Arc<Service>,
    pub(crate) journal: Arc<MemoryJournal>,
    store: Arc<MemoryStore>,
    pub(crate) hands: Arc<Hands>,
    sent: Arc<Sent>,
    settings: Settings,
}

/// Where phones are, unless a test says otherwise.
pub(crate) const PHONE: &str = "192.0.2.4:5060";

pub(crate) fn udp(address: &str) -> Flow {
    Flow::udp(address.parse().unwrap())
}

pub(crate) fn tls(address: &str, connection: u64) -> Flow {
    Flow { transport: Transport::Tls, connection, ..udp(address) }
}

/// An answer, or that there is none.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) reaction: Reaction,
    pub(crate) text: String,
}

impl Answer {
    /// The status; 0 if there is no answer.
    pub(crate) fn status(&self) -> u16 {
        self.text.split(' ').nth(1).map_or(0, |status| status.parse().unwrap())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    pub(crate) fn headers<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let name = name.to_owned();
        self.text.lines().filter_map(move |line| line.strip_prefix(&*name)?.strip_prefix(": "))
    }

    pub(crate) fn place(&self) -> Option<Place> {
        match self.reaction {
            Reaction::AnswerAfter(_, place) => place,
            _ => None,
        }
    }
}

impl World {
    /// Everybody is trusted.
    pub(crate) fn trusting() -> Self {
        let trust = Trust::new(vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()], true).unwrap();
        Self::new(SipSettings { trust, ..SipSettings::default() })
    }

    pub(crate) fn new(mut sip: SipSettings) -> Self {
        sip.location.registrar.spread_percent = 0;
        sip.location.pings.nat_udp = Some(Duration::from_secs(30));
        let mut settings = Settings { sip, tasks_per_device: 10, ..Settings::default() };
        settings.reach.enabled = true;
        let millis = AtomicU64::new(1_767_323_045_000);
        let hands = Arc::new(Hands { millis, set_by: AtomicI64::new(0), count: AtomicU64::new(0) });
        let journal = Arc::new(MemoryJournal::new(JournalConfig::default()));
        let store = Arc::new(MemoryStore::default());
        let sent = Arc::new(Sent::default());
        let service = serve(&settings, &journal, &store, &hands, &sent);
        Self { service, journal, store, hands, sent, settings }
    }

    /// Kill the process and start it again.
    pub(crate) fn crash(&mut self) {
        self.journal = Arc::new(self.journal.reopen());
        self.store = Arc::new(self.store.reopen());
        // A process begins by the wall clock.
        let set_by = self.hands.set_by.swap(0, Relaxed);
        self.hands.millis.store(self.now().as_millis().saturating_add_signed(set_by), Relaxed);
        self.service = serve(&self.settings, &self.journal, &self.store, &self.hands, &self.sent);
    }

    /// The time that SIP goes by.
    pub(crate) fn now(&self) -> Timestamp {
        self.hands.steady()
    }

    /// Set the wall clock by so many seconds.
    pub(crate) fn set_clock(&self, seconds: i64) {
        self.hands.set_by.fetch_add(seconds * 1_000, Relaxed);
    }

    /// Let time pass, as the node does: with a tick each so many milliseconds.
    pub(crate) fn wait(&self, time: Duration) {
        const TICK: u64 = 50;
        let millis = u64::try_from(time.as_millis()).unwrap();
        for _ in 0..millis.div_ceil(TICK) {
            self.hands.millis.fetch_add(TICK, Relaxed);
            self.service.sip_tick();
        }
    }

    /// Let time pass at once, as after a pause of the process; what is due then is done.
    pub(crate) fn jump(&self, time: Duration) {
        self.hands.pass(time);
        self.service.sip_tick();
    }

    /// One message in, and its answer.
    pub(crate) fn send(&self, flow: &Flow, text: impl AsRef<[u8]>) -> Answer {
        self.send_as(flow, None, text)
    }

    /// The same over a connection with a client certificate.
    pub(crate) fn send_as(
        &self,
        flow: &Flow,
        proof: Option<ClientProof<'_>>,
        text: impl AsRef<[u8]>,
    ) -> Answer {
        let incoming = Incoming { bytes: text.as_ref(), flow: *flow, proof };
        let mut out = b"before".to_vec();
        let reaction = self.service.sip_received(&incoming, &mut Scratch::default(), self.now(), &mut out);
        assert!(out.starts_with(b"before"), "what was there stays");
        let text = String::from_utf8_lossy(&out[6..]).into_owned();
        assert_eq!(reaction == Reaction::Nothing, text.is_empty(), "{reaction:?} {text}");
        Answer { reaction, text }
    }

    /// A datagram to the group: where the answer goes, and the answer.
    pub(crate) fn send_to_group(&self, from: &str, text: &str) -> Option<(String, String)> {
        let incoming = Incoming { bytes: text.as_bytes(), flow: udp(from), proof: None };
        let mut out = b"before".to_vec();
        let to = self.service.sip_multicast(&incoming, &mut Scratch::default(), self.now(), &mut out);
        let answer = String::from_utf8(out.split_off(6)).unwrap();
        assert_eq!(to.is_none(), answer.is_empty(), "{answer}");
        to.map(|to| (to.to_string(), answer))
    }

    /// Requests that have left since this was asked last.
    pub(crate) fn requests(&self) -> Vec<(Flow, String)> {
        std::mem::take(&mut *self.sent.requests.lock().unwrap())
    }

    /// Contacts of an address-of-record.
    pub(crate) fn contacts(&self, aor: &str) -> Vec<String> {
        let bindings = self.service.sip.location.get(aor, self.now());
        bindings.iter().map(|binding| binding.contact.to_string()).collect()
    }

    /// Events of a kind, as texts.
    pub(crate) fn events(&self, word: &str) -> Vec<String> {
        let events = self.service.events.recent(None, 1_000, |event| event.kind.as_str() == word);
        events.iter().map(|event| event.text.clone()).collect()
    }
}

fn serve(
    settings: &Settings,
    journal: &Arc<MemoryJournal>,
    store: &Arc<MemoryStore>,
    hands: &Arc<Hands>,
    sent: &Arc<Sent>,
) -> Arc<Service> {
    let around = Surroundings {
        store: store.clone(),
        vault: Arc::new(Vault::new(&[7; KEY_LEN]).unwrap()),
        clock: hands.clone(),
        random: hands.clone(),
        credentials: hands.clone(),
        journal: journal.clone(),
        notifications: Arc::new(MemoryJournal::default()),
    };
    let service = Service::new(around, settings.clone());
    service.sip.credentials.load().unwrap();
    service.sip.profiles.load().unwrap();
    service.sip.location.load(hands.steady()).unwrap();
    service.sip.set_outlet(sent.clone());
    let _ = journal.durable();
    Arc::new(service)
}

/// A REGISTER of `alice`.
pub(crate) struct Register<'a> {
    pub(crate) call_id: &'a str,
    pub(crate) cseq: u32,
    /// Header fields between `CSeq` and the end, each with its line end.
    pub(crate) more: &'a str,
}

impl Register<'_> {
    pub(crate) fn text(&self) -> String {
        let Self { call_id, cseq, more } = self;
        format!(
            "REGISTER sip:example.com SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.0.2.4:5060;branch=z9hG4bK{call_id}{cseq};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:alice@example.com>;tag=1\r\n\
             To: <sip:alice@example.com>\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: {cseq} REGISTER\r\n\
             {more}Content-Length: 0\r\n\r\n"
        )
    }
}

pub(crate) fn register(call_id: &str, cseq: u32, more: &str) -> String {
    Register { call_id, cseq, more }.text()
}

/// What a future gives that waits for nothing: the store is in memory.
pub(crate) fn done<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

/// What an endpoint says to a request of this server.
pub(crate) fn answer_to(request: &str, status: &str) -> String {
    let copied: Vec<_> = request
        .lines()
        .filter(|line| {
            ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name))
        })
        .collect();
    format!("SIP/2.0 {status}\r\n{}\r\nContent-Length: 0\r\n\r\n", copied.join("\r\n"))
}

/// The header field that answers the challenge of `algorithm`.
pub(crate) fn authorization(answer: &Answer, algorithm: &str, user: &str, password: &str, nc: u32) -> String {
    authorization_of(answer, ("phones", user, password), algorithm, nc)
}

/// The same in any realm.
pub(crate) fn authorization_of(
    answer: &Answer,
    (realm, user, password): (&str, &str, &str),
    algorithm: &str,
    nc: u32,
) -> String {
    let challenge =
        answer.headers("WWW-Authenticate").find(|line| line.contains(&format!("algorithm={algorithm}")));
    let challenge = challenge.unwrap_or_else(|| panic!("{}", answer.text));
    let nonce = challenge.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    let received = Received { realm, nonce, algorithm: Some(algorithm), qop: Some("auth"), opaque: None };
    let ha1 = Ha1::of(user, realm, &Secret::new(password)).unwrap();
    let uri = "sip:example.com";
    let answer = respond(&ha1, &received, "REGISTER", uri, "c0ffee", nc).unwrap();
    let nc = answer.nc.as_ref().map_or("", Count::as_str);
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         response=\"{}\", algorithm={algorithm}, cnonce=\"c0ffee\", qop=auth, nc={nc}\r\n",
        answer.response.as_str()
    )
}
