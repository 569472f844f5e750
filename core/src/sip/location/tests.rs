//! The location service against a model, and by itself.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::binding::Flow;
use super::super::registrar::{ContactWish, Contacts};
use super::*;
use crate::store::journal::{JournalConfig, MemoryJournal};

const START: Timestamp = Timestamp::from_millis(1_767_323_045_000);

fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn settings() -> LocationSettings {
    let registrar = RegistrarLimits { spread_percent: 0, contacts: 3, ..RegistrarLimits::default() };
    let pings = PingSettings { nat_udp: Some(Duration::from_secs(30)), others: None };
    LocationSettings { aors: 100, registrar, pings }
}

fn location() -> Location {
    Location::new(Arc::new(MemoryJournal::new(JournalConfig::default())), settings(), 7, START)
}

fn contact(uri: &str) -> ContactWish<'_> {
    ContactWish { uri, params: "", instance: None, reg_id: None, q: None, expires: None, nat: false }
}

struct Request<'a> {
    call_id: &'a str,
    cseq: u32,
    expires: Option<u32>,
}

impl Request<'_> {
    fn send(
        &self,
        location: &Location,
        contacts: Contacts<'_>,
        now: Timestamp,
    ) -> Result<Registered, LocationError> {
        let user_agent = location.share("Phone/1");
        let registration = Registration {
            call_id: self.call_id,
            cseq: self.cseq,
            contacts,
            expires: self.expires,
            path: "",
            user_agent: &user_agent,
            flow: Flow::udp("192.0.2.4:5060".parse().unwrap()),
            transaction: FixedState::with_seed(1).hash_one((self.call_id, self.cseq)),
            username: "",
            device: None,
            is_proven: false,
            again: false,
            outbound: false,
        };
        location.register("a@x", &registration, now, |_| ()).map(|done| done.0)
    }
}

fn seen(location: &Location, now: Timestamp) -> Vec<(String, u32, u32)> {
    let tell = |binding: &Binding| (binding.contact.to_string(), binding.cseq, binding.expires_in(now));
    let mut seen: Vec<_> = location.get("a@x", now).iter().map(tell).collect();
    seen.sort();
    seen
}

#[test]
fn bindings_come_and_go() {
    let location = location();
    let one = [contact("sip:a@192.0.2.4")];
    let first = Request { call_id: "c", cseq: 1, expires: Some(600) };
    let made = first.send(&location, Contacts::Some(&one), START).unwrap();
    assert!(!made.repeated && made.place.is_some());
    assert_eq!((location.aors(), seen(&location, at(1))), (1, vec![("sip:a@192.0.2.4".into(), 1, 599)]));
    let again = first.send(&location, Contacts::Some(&one), at(2)).unwrap();
    assert!(again.repeated && again.position == made.position, "what was lost on the way comes again");
    let two = [contact("sip:b@192.0.2.4"), ContactWish { expires: Some(60), ..contact("sip:A@192.0.2.4") }];
    let second = Request { call_id: "c", cseq: 2, ..first };
    second.send(&location, Contacts::Some(&two), at(10)).unwrap();
    let three = vec![
        ("sip:A@192.0.2.4".into(), 2, 60),
        ("sip:a@192.0.2.4".into(), 1, 590),
        ("sip:b@192.0.2.4".into(), 2, 600),
    ];
    assert_eq!(seen(&location, at(10)), three, "users differ by case");
    let mut due = Vec::new();
    location.tick(at(75), 10, &mut due);
    assert_eq!(due, [Due::Expired { aor: "a@x".into(), device: None }]);
    assert_eq!(seen(&location, at(75)).len(), 2);
    let refused =
        |request: &Request<'_>, contacts| request.send(&location, contacts, at(80)).unwrap_err().to_string();
    assert_eq!(refused(&second, Contacts::All), "Contact * needs Expires: 0");
    let old = Request { call_id: "c", cseq: 1, expires: Some(0) };
    assert_eq!(refused(&old, Contacts::All), "CSeq is not higher than that of a binding");
    Request { call_id: "d", cseq: 1, expires: Some(0) }.send(&location, Contacts::All, at(80)).unwrap();
    assert_eq!((location.aors(), seen(&location, at(80)).len()), (0, 0));
}

#[test]
fn what_an_instance_calls_its_flow_is_one_binding() {
    let location = location();
    let params = ";+sip.instance=\"<urn:uuid:1>\";reg-id=1";
    let flow = |uri| ContactWish { params, instance: Some((16, 28)), reg_id: Some(1), ..contact(uri) };
    let request = |call_id| Request { call_id, cseq: 1, expires: None };
    request("c").send(&location, Contacts::Some(&[flow("sip:a@192.0.2.4:1000")]), START).unwrap();
    request("d").send(&location, Contacts::Some(&[flow("sip:a@192.0.2.4:2000")]), START).unwrap();
    assert_eq!(seen(&location, START), [("sip:a@192.0.2.4:2000".to_owned(), 1, 3_600)]);
    let two = [flow("sip:a@192.0.2.4:1"), ContactWish { reg_id: Some(2), ..flow("sip:a@192.0.2.4:2") }];
    let refused = request("e").send(&location, Contacts::Some(&two), START).unwrap_err();
    assert_eq!(refused.to_string(), "several Contacts with reg-id");
}

#[test]
fn a_change_that_the_journal_does_not_take_is_not_made() {
    let journal = Arc::new(MemoryJournal::new(JournalConfig::default()));
    let location = Location::new(journal.clone(), settings(), 7, START);
    let one = [contact("sip:a@192.0.2.4")];
    let send = |cseq, contacts: Contacts<'_>, expires| {
        Request { call_id: "c", cseq, expires }.send(&location, contacts, START)
    };
    journal.set_no_space(true);
    assert!(matches!(send(1, Contacts::Some(&one), None), Err(LocationError::Submit(_))));
    assert_eq!(location.aors(), 0);
    journal.set_no_space(false);
    send(2, Contacts::Some(&one), None).unwrap();
    journal.set_no_space(true);
    assert!(matches!(send(3, Contacts::Some(&one), Some(700)), Err(LocationError::Submit(_))));
    assert!(matches!(send(4, Contacts::All, Some(0)), Err(LocationError::Submit(_))));
    assert_eq!(seen(&location, START), [("sip:a@192.0.2.4".to_owned(), 2, 3_600)]);
    assert_eq!(location.bindings(Transport::Udp, Liveness::Registered), 1);
    // What is over ends when the journal takes it.
    let mut due = Vec::new();
    assert_eq!(location.tick(at(4_000), 0, &mut due).expired, 0);
    assert_eq!((seen(&location, at(4_000)).len(), location.aors()), (0, 1), "nobody is told of it any more");
    journal.set_no_space(false);
    assert_eq!(location.tick(at(4_002), 0, &mut due).expired, 1);
    assert_eq!((location.aors(), location.bindings(Transport::Udp, Liveness::Registered)), (0, 0));
}

#[test]
fn who_is_behind_nat_is_asked_and_its_silence_is_told_once() {
    let location = location();
    let behind = [ContactWish { nat: true, ..contact("sip:a@10.0.0.4") }];
    let request = |cseq| Request { call_id: "c", cseq, expires: None };
    request(1).send(&location, Contacts::Some(&behind), START).unwrap();
    let asked = |now, most| {
        let mut due = Vec::new();
        let tick = location.tick(now, most, &mut due);
        let ping = due.into_iter().find_map(|due| match due {
            Due::Ping(ping) => Some(ping),
            Due::Expired { .. } => None,
        });
        (ping, tick.postponed)
    };
    assert_eq!(asked(at(20), 9), (None, 0));
    assert_eq!(asked(at(40), 0), (None, 1), "too many are asked already");
    let ping = asked(at(42), 9).0.expect("a second later");
    assert_eq!((&*ping.contact, ping.flow.transport), ("sip:a@10.0.0.4", Transport::Udp));
    let lost =
        |is_there| location.answered(ping.place, (ping.transaction, &ping.contact), is_there).is_some();
    assert_eq!((lost(true), lost(true)), (false, false), "it is there, as everybody thought");
    assert_eq!((lost(false), lost(false)), (true, false));
    assert_eq!(location.bindings(Transport::Udp, Liveness::Lost), 1);
    let back = request(2).send(&location, Contacts::Some(&behind), at(50)).unwrap();
    assert!(back.back);
    assert!(!lost(false), "it has registered since");
    assert_eq!(location.bindings(Transport::Udp, Liveness::Registered), 1);
}

#[test]
fn what_was_registered_is_there_after_a_restart() {
    let journal = Arc::new(MemoryJournal::new(JournalConfig::default()));
    let before = Location::new(journal.clone(), settings(), 7, START);
    let request = |call_id, expires| Request { call_id, cseq: 1, expires: Some(expires) };
    request("c", 600).send(&before, Contacts::Some(&[contact("sip:a@192.0.2.4")]), START).unwrap();
    request("d", 60).send(&before, Contacts::Some(&[contact("sip:b@192.0.2.4")]), START).unwrap();
    let after = Location::new(journal, settings(), 8, at(100));
    let report = after.load(at(100)).unwrap();
    assert_eq!((report.aors, report.bindings, report.expired, report.unreadable), (1, 1, 1, 0));
    assert_eq!(seen(&after, at(100)), [("sip:a@192.0.2.4".to_owned(), 1, 500)]);
    let mut due = Vec::new();
    after.tick(at(601), 0, &mut due);
    assert_eq!((after.aors(), due.len()), (0, 1));
}

/// Somebody registers for the first time.
fn register(location: &Location, aor: &str, contacts: &[ContactWish<'_>], device: Option<&DeviceId>) {
    register_as(location, aor, contacts, device, false);
}

fn register_as(
    location: &Location,
    aor: &str,
    contacts: &[ContactWish<'_>],
    device: Option<&DeviceId>,
    is_proven: bool,
) {
    let registration = Registration {
        call_id: "c",
        cseq: 1,
        contacts: Contacts::Some(contacts),
        expires: None,
        path: "",
        user_agent: &location.share("Phone/1"),
        flow: Flow::udp("192.0.2.4:5060".parse().unwrap()),
        transaction: FixedState::with_seed(1).hash_one(aor),
        username: "",
        device,
        is_proven,
        again: false,
        outbound: false,
    };
    location.register(aor, &registration, START, |_| ()).unwrap();
}

#[test]
fn devices_know_their_bindings_and_lists_have_pages() {
    let location = location();
    let device: DeviceId = "00:1a:e8:00:00:01".parse().unwrap();
    for number in 0..50 {
        let uri = format!("sip:{number}@192.0.2.4");
        let device = (number % 10 == 0).then_some(&device);
        register(&location, &format!("{number}@x"), &[contact(&uri)], device);
    }
    assert_eq!(location.of_device(&device, START).len(), 5);
    location.remove("10@x", None).unwrap().unwrap();
    assert_eq!(location.remove("10@x", None).unwrap(), None);
    assert_eq!(location.remove("20@x", Some("sip:nobody@x")).unwrap(), None);
    assert_eq!(location.of_device(&device, START).len(), 4);
    let all = |filter: &BindingFilter| {
        let (mut from, mut names) = (ListPosition::default(), Vec::new());
        loop {
            let page = location.list(from, 7, filter, START, &|| true);
            assert!(page.items.len() <= 7);
            names.extend(page.items.into_iter().map(|item| item.0));
            match page.next {
                Some(next) => from = next,
                None => break,
            }
        }
        names.sort();
        names.dedup();
        names.len()
    };
    assert_eq!(all(&BindingFilter::default()), 49);
    assert_eq!(all(&BindingFilter { device: Some(device), ..BindingFilter::default() }), 4);
    assert_eq!(all(&BindingFilter { aor: Some("4@X".into()), ..BindingFilter::default() }), 5);
    assert_eq!(all(&BindingFilter { nat: Some(true), ..BindingFilter::default() }), 0);
}

#[test]
fn a_page_keeps_bindings_of_one_address_together_and_ends_when_nobody_waits() {
    let location = location();
    let uris: Vec<_> = (0..3).map(|at| format!("sip:x@192.0.2.{at}")).collect();
    let contacts: Vec<_> = uris.iter().map(|uri| contact(uri)).collect();
    for number in 0..20 {
        register(&location, &format!("{number}@x"), &contacts, None);
    }
    let filter = BindingFilter::default();
    for (limit, each) in [(1, 1), (3, 1), (5, 1), (6, 2), (8, 2), (60, 20)] {
        let (mut from, mut seen) = (ListPosition::default(), Vec::new());
        loop {
            let page = location.list(from, limit, &filter, START, &|| true);
            assert!(page.items.iter().all(|item| item.1.len() == 3) && page.items.len() <= each, "{limit}");
            seen.extend(page.items.into_iter().map(|item| item.0));
            let Some(next) = page.next else { break };
            from = next;
        }
        assert_eq!(seen.iter().collect::<std::collections::BTreeSet<_>>().len(), seen.len(), "{limit}");
        assert_eq!(seen.len(), 20, "{limit}");
    }
    let page = location.list(ListPosition::default(), 60, &filter, START, &|| false);
    assert_eq!((page.items.len(), page.next), (0, Some(ListPosition::default())));
}

#[test]
fn one_device_has_a_bounded_number_of_addresses() {
    let journal = Arc::new(MemoryJournal::new(JournalConfig::default()));
    let location = Location::new(journal, LocationSettings { aors: 1_000, ..settings() }, 7, START);
    let device: DeviceId = "00:1a:e8:00:00:01".parse().unwrap();
    for number in 0..300 {
        let uri = format!("sip:{number}@192.0.2.4");
        register(&location, &format!("{number}@x"), &[contact(&uri)], Some(&device));
    }
    assert_eq!((location.aors(), location.of_device(&device, START).len()), (300, 256));
    location.remove("0@x", None).unwrap().unwrap();
    assert_eq!(location.of_device(&device, START).len(), 255);
    register(&location, "400@x", &[contact("sip:400@192.0.2.4")], Some(&device));
    // Whoever claims to be the device does not hide it.
    register_as(&location, "own@x", &[contact("sip:own@192.0.2.4")], Some(&device), true);
    let known = location.of_device(&device, START);
    assert!(known.len() == 256 && known.iter().any(|(aor, _)| &**aor == "own@x"));
}

/// What a step of the model does.
#[derive(Debug, Clone)]
enum Step {
    Register {
        call: u8,
        cseq: u32,
        contacts: Vec<(u8, Option<u32>)>,
        expires: Option<u32>,
    },
    All {
        call: u8,
        cseq: u32,
    },
    Wait(u64),
    /// Time passes, and what is over is not taken out yet.
    Pause(u64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let seconds = prop_oneof![Just(None), Just(Some(0)), Just(Some(30)), Just(Some(61)), Just(Some(9_999))];
    let contacts = prop::collection::vec((0_u8..5, seconds.clone()), 0..4);
    let register = (0_u8..3, 1_u32..6, contacts, seconds)
        .prop_map(|(call, cseq, contacts, expires)| Step::Register { call, cseq, contacts, expires });
    let all = (0_u8..3, 1_u32..6).prop_map(|(call, cseq)| Step::All { call, cseq });
    let step = prop_oneof![6 => register, 1 => all, 2 => (0_u64..120).prop_map(Step::Wait),
        1 => (0_u64..120).prop_map(Step::Pause), 1 => Just(Step::Restart)];
    prop::collection::vec(step, 1..60)
}

/// The simplest registrar that is right: contact to call, cseq and end.
#[derive(Debug, Default, Clone)]
struct Model(BTreeMap<u8, (u8, u32, u64)>);

impl Model {
    /// Whether the request is taken.
    fn register(
        &mut self,
        call: u8,
        cseq: u32,
        contacts: &[(u8, Option<u32>)],
        expires: Option<u32>,
        now: u64,
    ) -> bool {
        self.0.retain(|_, known| known.2 > now);
        if contacts.is_empty() || self.0.values().any(|known| (known.0, known.1) == (call, cseq)) {
            return true;
        }
        let before = self.clone();
        let mut made = Vec::new();
        for (contact, own) in contacts {
            let asked = own.or(expires).unwrap_or(3_600);
            let newer = self.0.get(contact).is_some_and(|known| known.0 == call && known.1 >= cseq);
            let full = self.0.len() >= 3 && !self.0.contains_key(contact);
            if (asked > 0 && asked < 60) || (newer && !made.contains(contact)) || (asked > 0 && full) {
                *self = before;
                return false;
            }
            if asked == 0 {
                self.0.remove(contact);
            } else {
                made.push(*contact);
                self.0.insert(*contact, (call, cseq, now + u64::from(asked.min(7_200))));
            }
        }
        true
    }
}

proptest! {
    /// Whatever order requests come in: the bindings are those of the model, in memory and after each restart, and so are
    /// the books.
    #[test]
    fn the_registrar_is_its_model(steps in steps()) {
        let journal = Arc::new(MemoryJournal::new(JournalConfig::default()));
        let mut location = Location::new(journal.clone(), settings(), 7, START);
        let (mut model, mut now) = (Model::default(), 0);
        for step in steps {
            match step {
                Step::Register { call, cseq, contacts, expires } => {
                    let uris: Vec<_> = contacts.iter().map(|it| format!("sip:{}@192.0.2.4", it.0)).collect();
                    let wishes: Vec<_> = contacts.iter().zip(&uris)
                        .map(|(it, uri)| ContactWish { expires: it.1, ..contact(uri) }).collect();
                    let wish = if wishes.is_empty() { Contacts::Fetch } else { Contacts::Some(&wishes) };
                    let call_id = call.to_string();
                    let taken = Request { call_id: &call_id, cseq, expires }.send(&location, wish, at(now));
                    prop_assert_eq!(taken.is_ok(), model.register(call, cseq, &contacts, expires, now), "{:?}", taken);
                }
                Step::All { call, cseq } => {
                    model.0.retain(|_, known| known.2 > now);
                    let newer = model.0.values().any(|known| known.0 == call && known.1 >= cseq);
                    let call_id = call.to_string();
                    let request = Request { call_id: &call_id, cseq, expires: Some(0) };
                    prop_assert_eq!(request.send(&location, Contacts::All, at(now)).is_ok(), !newer);
                    if !newer {
                        model.0.clear();
                    }
                }
                Step::Wait(seconds) => {
                    now += seconds;
                    location.tick(at(now), 0, &mut Vec::new());
                }
                Step::Pause(seconds) => now += seconds,
                Step::Restart => {
                    location = Location::new(journal.clone(), settings(), now, at(now));
                    location.load(at(now)).unwrap();
                }
            }
            let wanted: Vec<_> = model.0.iter().filter(|known| known.1.2 > now)
                .map(|(contact, known)| (format!("sip:{contact}@192.0.2.4"), known.1, u32::try_from(known.2 - now).unwrap()))
                .collect();
            prop_assert_eq!(seen(&location, at(now)), wanted.clone());
            if wanted.is_empty() {
                location.tick(at(now + 2), 0, &mut Vec::new());
                now += 2;
                prop_assert_eq!(location.aors(), 0);
                let books = Transport::ALL.map(|transport| Liveness::ALL.map(|state| location.bindings(transport, state)));
                prop_assert_eq!(books.as_flattened().iter().sum::<usize>(), 0);
            }
        }
    }
}
