//! Turns any bytes into endpoints that register in any order, networks that repeat and lose, disks that stop, processes that are
//! killed, and looks after every step whether the registrar still keeps its promises.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use callboard_codecs::sip::{Index, Limits, Message, Strictness, parse};
use callboard_core::device::DeviceId;
use callboard_core::secret::Secret;
use callboard_core::service::sip::{PlugAndPlay, ProfileRequests, Reaction, SipSettings};
use callboard_core::sip::binding::{Binding, Flow, Liveness, Transport};
use callboard_core::sip::credentials::CredentialWish;
use callboard_core::sip::location::{BindingFilter, ListPosition, LocationSettings, Place};
use callboard_core::sip::profile::{BodyForm, ProfileType, RuleWish, Whose};
use callboard_core::sip::subscription::Bounds;
use callboard_core::sip::trust::Trust;
use callboard_core::sip::vendor::SyncWish;
use callboard_core::time::Timestamp;

use super::words::{
    ASKS, CALLS, EVENTS, EXPIRES, Input, METHODS, MORE, PARAMS, RAW, STATUSES, TIMES, URIS, USERS,
};
use super::world::{Answer, World, answer_to, authorization, done, udp};

/// Steps of one run.
const STEPS: usize = 64;
/// Bounds that are reached in one run.
const CONTACTS: usize = 3;
const AORS: usize = 3;
const OWN_REQUESTS: usize = 4;
const SUBSCRIPTIONS: usize = 2;
/// Header fields of all kinds in one request.
const MORE_FIELDS: usize = 32;
/// Longest time that a registration is given.
const MAX_EXPIRES: u32 = 7_200;

/// What must be the same about a binding after a restart.
type Kept = (String, String, u32, Timestamp);

fn kept(binding: &Binding) -> Kept {
    (binding.contact.to_string(), binding.call_id.to_string(), binding.cseq, binding.expires)
}

struct Run<'a> {
    input: Input<'a>,
    world: World,
    /// Everybody has to know a password.
    asks: bool,
    /// The number of the connection that each of the flows but the first two is.
    connections: [u64; 2],
    places: Vec<(Place, u64)>,
    challenges: BTreeMap<usize, (Answer, u32)>,
    last: Option<(Flow, String)>,
    /// The tag of the server in the last subscription.
    tag: String,
    own: Vec<(Flow, String)>,
    /// What the disk knows, since it takes nothing: because it is slow or full.
    held: Option<BTreeMap<String, Vec<Kept>>>,
    slow: bool,
    full: bool,
}

/// Play the bytes.
///
/// # Panics
/// When a promise is broken.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let asks = input.byte() % 2 == 1;
    let mut run = Run {
        input,
        world: world(asks),
        asks,
        connections: [1, 2],
        places: Vec::new(),
        challenges: BTreeMap::new(),
        last: None,
        tag: String::new(),
        own: Vec::new(),
        held: None,
        slow: false,
        full: false,
    };
    for _ in 0..STEPS {
        if run.input.0.is_empty() {
            break;
        }
        run.step();
        run.look();
    }
    run.end();
}

fn world(asks: bool) -> World {
    let all = if asks { Vec::new() } else { vec!["0.0.0.0/0".parse().unwrap()] };
    let mut location = LocationSettings { aors: AORS, ..LocationSettings::default() };
    location.registrar.contacts = CONTACTS;
    location.registrar.max_expires = MAX_EXPIRES;
    location.pings.others = Some(Duration::from_mins(5));
    let trust = Trust::new(all, true).unwrap();
    let plug_and_play = PlugAndPlay {
        requests: ProfileRequests::All,
        networks: vec!["192.0.2.0/24".parse().unwrap()],
        subscriptions: Bounds::new(SUBSCRIPTIONS, SUBSCRIPTIONS - 1),
        max_expires: MAX_EXPIRES,
        ..PlugAndPlay::default()
    };
    let settings = SipSettings {
        plug_and_play,
        location,
        trust,
        client_transactions: OWN_REQUESTS,
        server_transactions: OWN_REQUESTS,
        limits: Limits { contacts: CONTACTS + 1, ..Limits::default() },
        ..SipSettings::default()
    };
    let world = World::new(settings);
    let credentials = &world.service.sip.credentials;
    credentials.put_realm("phones".parse().unwrap(), Vec::new(), true, None).unwrap().1.wait().unwrap();
    put_rule(&world, "https://pbx.example/{mac}");
    put_password(&world, "alice", None);
    put_password(&world, "bob", Some("00:1a:e8:00:00:01".parse().unwrap()));
    world
}

fn put_rule(world: &World, url: &str) {
    let wish = RuleWish {
        name: "all".parse().unwrap(),
        order: 1,
        vendor: "yealink".into(),
        model: "".into(),
        mac_prefixes: [].into(),
        profile_type: ProfileType::Device,
        url: url.parse().unwrap(),
        form: BodyForm::Url,
        whose: Whose::Any,
    };
    done(world.service.put_profile(wish, true, None)).unwrap();
}

fn put_password(world: &World, user: &str, device: Option<DeviceId>) {
    let wish = CredentialWish {
        realm: "phones".parse().unwrap(),
        username: user.parse().unwrap(),
        device,
        password: Some(Secret::new("wonderland")),
    };
    world.service.sip.credentials.put(wish, true, None).unwrap().1.wait().unwrap();
}

impl Run<'_> {
    fn step(&mut self) {
        match self.input.below(18) {
            0..=5 => self.register(),
            6 => self.repeat(),
            7 => self.something_else(),
            8 => self.raw(),
            9 | 10 => self.answer(),
            11 => self.wait(),
            12 => self.disk(),
            13 => self.crash(),
            14 => self.close(),
            16 | 17 => self.subscribe(),
            _ => self.interfere(),
        }
    }

    fn flow(&mut self) -> (usize, Flow) {
        let number = self.input.below(4);
        let flow = match number {
            0 => udp("192.0.2.4:5060"),
            1 => udp("203.0.113.9:40000"),
            _ => Flow {
                transport: if number == 2 { Transport::Tcp } else { Transport::Tls },
                connection: self.connections[number - 2],
                ..udp("192.0.2.4:50000")
            },
        };
        (number, flow)
    }

    fn register(&mut self) {
        let (number, flow) = self.flow();
        let user = self.input.pick(&USERS);
        let (call, cseq) = (self.input.pick(&CALLS), self.input.below(5) + 1);
        let mut more = String::new();
        for _ in 0..self.input.below(CONTACTS + 3) {
            let (uri, params) = (self.input.pick(&URIS), self.input.pick(&PARAMS));
            let expires = match self.input.below(EXPIRES.len() + 2) {
                at if at < EXPIRES.len() => format!(";expires={}", EXPIRES[at]),
                _ => String::new(),
            };
            write!(more, "Contact: <{uri}>{params}{expires}\r\n").unwrap();
        }
        if self.input.one_in(8) {
            more.clear();
            more += "Contact: *\r\nExpires: 0\r\n";
        }
        more += &self.more(4);
        if let Some((challenge, nc)) = self.challenges.get_mut(&number) {
            *nc += u32::from(!self.input.one_in(6));
            let algorithm = if self.input.one_in(3) { "MD5" } else { "SHA-256" };
            let password = if self.input.one_in(6) { "looking-glass" } else { "wonderland" };
            let name = if user == "bob" { "bob" } else { "alice" };
            more += &authorization(challenge, algorithm, name, password, *nc);
        }
        let text = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.4;branch=z9hG4bK{number}{call}{cseq};rport\r\n\
             From: <sip:{user}@example.com>;tag=1\r\nTo: <sip:{user}@example.com>\r\nCall-ID: {call}\r\n\
             CSeq: {cseq} REGISTER\r\n{more}Content-Length: 0\r\n\r\n"
        );
        let answer = self.registered(&flow, &text);
        if answer.status() == 401 {
            self.challenges.insert(number, (answer, 0));
        }
        self.last = Some((flow, text));
    }

    /// Header fields of all kinds, one more with a chance of one in `odds`: fewer than a message may have.
    fn more(&mut self, odds: u8) -> String {
        let mut more = String::new();
        for _ in 0..MORE_FIELDS {
            if !self.input.one_in(odds) {
                break;
            }
            more += self.input.pick(&MORE);
        }
        more
    }

    /// Send it, and see that it is done wholly or not at all.
    fn registered(&mut self, flow: &Flow, text: &str) -> Answer {
        let before = self.bindings();
        let answer = self.world.send(flow, text);
        let after = self.bindings();
        let status = answer.status();
        if status != 200 {
            assert_eq!(before, after, "refused with {status}, and done nevertheless:\n{text}");
            assert!(matches!(status, 400..=503), "{}\n{text}", answer.text);
            assert!(
                flow.transport != Transport::Udp || answer.text.len() <= 3 * text.len().max(1),
                "amplified"
            );
            return answer;
        }
        let Reaction::AnswerAfter(_, place) = answer.reaction else {
            panic!("a 200 that does not wait for the disk: {:?}", answer.reaction);
        };
        if let Some(place) = place
            && flow.connection != 0
        {
            self.places.push((place, flow.connection));
        }
        let changed: Vec<_> = after.iter().filter(|(aor, list)| before.get(*aor) != Some(list)).collect();
        assert!(changed.len() <= 1, "one request, and two addresses changed: {changed:?}");
        self.listed(&answer, text);
        answer
    }

    /// The answer lists what is registered, and nothing longer than it may be.
    fn listed(&self, answer: &Answer, text: &str) {
        let user = text.split("To: <sip:").nth(1).and_then(|rest| rest.split('@').next()).unwrap();
        let aor = format!("{}@example.com", user.replace("%61", "a"));
        let mut told: Vec<_> = answer.headers("Contact").map(str::to_owned).collect();
        let mut known: Vec<_> = Vec::new();
        for binding in self.world.service.sip.location.get(&aor, self.world.now()) {
            let seconds = binding.expires_in(self.world.now());
            assert!((1..=MAX_EXPIRES).contains(&seconds), "{seconds}");
            known.push(format!("<{}>{};expires={seconds}", binding.contact, binding.params));
        }
        told.sort();
        known.sort();
        assert_eq!(told, known, "{text}");
    }

    fn repeat(&mut self) {
        let Some((flow, mut text)) = self.last.clone() else { return };
        while self.input.one_in(3) {
            let (at, byte) = (self.input.below(text.len()), self.input.byte());
            if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
                text.replace_range(at..=at, &char::from(byte % 128).to_string());
            }
        }
        let _ = self.world.send(&flow, &text);
    }

    fn something_else(&mut self) {
        let (_, flow) = self.flow();
        let method = self.input.pick(&METHODS);
        let more = self.more(3);
        let text = format!(
            "{method} sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.4;branch=z9hG4bKx\r\n\
             From: <sip:alice@example.com>;tag=1\r\nTo: <sip:alice@example.com>\r\nCall-ID: x\r\n\
             CSeq: 1 {method}\r\nEvent: ua-profile\r\n{more}Content-Length: 0\r\n\r\n"
        );
        let before = self.bindings();
        let answer = self.world.send(&flow, &text);
        assert!(answer.text.len() <= 3 * text.len(), "amplified: {}", answer.text);
        assert_eq!(method == "ACK", answer.status() == 0, "{}", answer.text);
        assert_eq!(before, self.bindings());
    }

    /// A phone asks for its profile: this server, or the group.
    fn subscribe(&mut self) {
        let (_, flow) = self.flow();
        let (user, call) =
            (self.input.pick(&["MAC%3a001565AABBCC", "001565aabbcd", "x"]), self.input.pick(&CALLS));
        let cseq = self.input.below(5) + 1;
        let tag = if self.input.one_in(2) { self.tag.clone() } else { String::new() };
        let more = [self.input.pick(&EVENTS), self.input.pick(&ASKS)].concat();
        let text = format!(
            "SUBSCRIBE sip:{user}@any.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.4;branch=z9hG4bKs{call}{cseq};rport\r\n\
             From: <sip:{user}@any.example>;tag=7\r\nTo: <sip:{user}@any.example>{tag}\r\nCall-ID: {call}\r\n\
             CSeq: {cseq} SUBSCRIBE\r\nContact: <sip:192.0.2.4:5060?a=b>\r\n{more}Content-Length: 0\r\n\r\n"
        );
        let before = self.bindings();
        let answer = if self.input.one_in(4) {
            self.world.send_to_group("192.0.2.4:5060", &text).map_or(String::new(), |answer| answer.1)
        } else {
            self.world.send(&flow, &text).text
        };
        assert!(answer.len() <= 3 * text.len(), "amplified: {answer}");
        assert_eq!(before, self.bindings());
        if let Some(line) = answer.lines().find(|line| line.starts_with("To: ") && answer.contains(" 200 OK"))
        {
            self.tag = line.split_once('>').map_or(String::new(), |parts| parts.1.to_owned());
        }
    }

    fn raw(&mut self) {
        let (_, flow) = self.flow();
        let mut bytes = self.input.pick(&RAW).to_vec();
        let length = self.input.below(64).min(self.input.0.len());
        bytes.extend_from_slice(&self.input.0[..length]);
        self.input.0 = &self.input.0[length..];
        let before = self.bindings();
        let _ = self.world.send(&flow, &bytes);
        assert_eq!(before, self.bindings());
    }

    /// An endpoint answers a request of this server, or somebody else does.
    fn answer(&mut self) {
        if self.own.is_empty() {
            return;
        }
        let at = self.input.below(self.own.len());
        let (flow, request) = self.own[at].clone();
        let mut response = answer_to(&request, self.input.pick(&STATUSES));
        if self.input.one_in(3) {
            let challenge = "WWW-Authenticate: Digest realm=\"phones\", nonce=\"n\", qop=\"auth\"\r\n\r\n";
            response = response.replace("\r\n\r\n", &format!("\r\n{challenge}"));
        }
        let flow = if self.input.one_in(5) { self.flow().1 } else { flow };
        let answer = self.world.send(&flow, &response);
        assert_eq!(answer.reaction, Reaction::Nothing, "an answer is not answered: {}", answer.text);
    }

    fn wait(&mut self) {
        let millis = self.input.pick(&TIMES);
        self.world.jump(Duration::from_millis(millis));
    }

    fn disk(&mut self) {
        let before = self.bindings();
        match self.input.below(4) {
            0 => {
                self.slow = true;
                self.world.journal.hold();
            }
            1 => {
                self.full = !self.full;
                self.world.journal.set_no_space(self.full);
            }
            _ => {
                self.slow = false;
                self.world.journal.release();
            }
        }
        if self.slow || self.full {
            self.held.get_or_insert(before);
        } else {
            self.held = None;
        }
    }

    /// What the disk had taken is there, and nothing else.
    fn crash(&mut self) {
        let before = self.held.take().unwrap_or_else(|| self.bindings());
        self.world.crash();
        (self.slow, self.full) = (false, false);
        self.own.clear();
        self.places.clear();
        let now = self.world.now();
        let still = before.into_iter().filter_map(|(aor, mut list)| {
            list.retain(|binding| binding.3 > now);
            (!list.is_empty()).then_some((aor, list))
        });
        assert_eq!(self.bindings(), still.collect(), "after a restart");
    }

    fn close(&mut self) {
        let which = self.input.below(2);
        let connection = self.connections[which];
        self.connections[which] = self.connections.iter().max().unwrap() + 1;
        for (place, number) in std::mem::take(&mut self.places) {
            if number == connection {
                self.world.service.sip_connection_closed(place, number);
            } else {
                self.places.push((place, number));
            }
        }
        self.own.retain(|(flow, _)| flow.connection != connection);
    }

    /// An administrator does something.
    fn interfere(&mut self) {
        let aor = format!("{}@example.com", self.input.pick(&USERS));
        let service = &self.world.service;
        match self.input.below(6) {
            5 => put_rule(&self.world, self.input.pick(&["http://a/{mac}", "http://b/"])),
            0 => {
                let _ = service.sip.location.remove(&aor, None);
            }
            1 => {
                let _ = service.sip.location.remove(&aor, Some(self.input.pick(&URIS)));
            }
            2 => {
                let _ = service.sync_aor(&aor, SyncWish::Restart);
            }
            3 => put_password(&self.world, "alice", None),
            _ => {
                if let Ok(call) = service.begin_sync(&"00:1a:e8:00:00:01".parse().unwrap()) {
                    drop(service.send_sync(call));
                }
            }
        }
    }

    /// All that is registered.
    fn bindings(&self) -> BTreeMap<String, Vec<Kept>> {
        let location = &self.world.service.sip.location;
        let filter = BindingFilter::default();
        let page = location.list(ListPosition::default(), 1_000, &filter, self.world.now(), &|| true);
        assert!(page.next.is_none());
        let list = page.items.into_iter().map(|(aor, bindings)| {
            let mut list: Vec<_> = bindings.iter().map(kept).collect();
            list.sort();
            (aor.to_string(), list)
        });
        list.collect()
    }

    /// What must hold at any time.
    fn look(&mut self) {
        let location = &self.world.service.sip.location;
        let bindings = self.bindings();
        assert!(bindings.len() <= location.aors() && location.aors() <= AORS, "{bindings:?}");
        assert!(bindings.values().all(|list| (1..=CONTACTS).contains(&list.len())), "{bindings:?}");
        let counted = Transport::ALL.map(|it| Liveness::ALL.map(|state| location.bindings(it, state)));
        let counted: usize = counted.as_flattened().iter().sum();
        let seen: usize = bindings.values().map(Vec::len).sum();
        assert!(seen <= counted && counted <= AORS * CONTACTS, "{seen} are there, {counted} in the books");
        let under_way = self.world.service.sip.transactions();
        assert!(under_way.client <= OWN_REQUESTS && under_way.server <= OWN_REQUESTS, "{under_way:?}");
        let subscribed = self.world.service.sip_subscriptions(None, 100).0.len();
        assert!(subscribed <= SUBSCRIPTIONS, "{subscribed} subscriptions");
        let mut index = Index::default();
        for (flow, request) in self.world.requests() {
            let parsed = parse(request.as_bytes(), &mut index, &Limits::default());
            let Ok(Message::Request(parsed)) = parsed else { panic!("no request of SIP:\n{request}") };
            parsed.check(Strictness::Current).unwrap_or_else(|bad| panic!("{bad:?}\n{request}"));
            if self.own.len() == 16 {
                self.own.remove(0);
            }
            self.own.push((flow, request));
        }
    }

    /// In time all comes to an end.
    fn end(&mut self) {
        self.world.journal.release();
        self.world.journal.set_no_space(false);
        for _ in 0..4 {
            self.world.jump(Duration::from_secs(u64::from(MAX_EXPIRES)));
        }
        let sip = &self.world.service.sip;
        let subscribed = self.world.service.sip_subscriptions(None, 100).0.len();
        let left = (sip.location.aors(), sip.transactions().client, subscribed);
        assert_eq!(left, (0, 0, 0), "left for ever");
        let books = Transport::ALL.map(|it| Liveness::ALL.map(|state| sip.location.bindings(it, state)));
        assert_eq!(books.as_flattened().iter().sum::<usize>(), 0, "the books");
        assert!(self.asks || self.challenges.is_empty(), "trusted, and asked");
    }
}
