use super::*;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use callboard_codecs::wpi::{Limits, parse_phone_message};
use proptest::prelude::*;

use crate::device::Device;
use crate::dialogue::wpi::{Context, FlowLimits, SecureSettings};
use crate::file::{FileBounds, Files};
use crate::job::JobBook;
use crate::policy::Policy;
use crate::reach::polling::Polling;
use crate::secret::{KEY_LEN, Vault};
use crate::site::SiteId;
use crate::store::MemoryStore;

struct Counting(AtomicU64);

impl Random for Counting {
    fn next_u128(&self) -> u128 {
        let count = u128::from(self.0.fetch_add(1, Ordering::Relaxed) + 1);
        count.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }
}

const IDLE: Duration = Duration::from_mins(2);

fn limits() -> SessionLimits {
    SessionLimits {
        idle: IDLE,
        lifetime: IDLE * 3,
        retransmission_window: IDLE * 2,
        ..SessionLimits::default()
    }
}

fn device(number: u8) -> DeviceId {
    format!("00:1a:e8:00:00:{number:02x}").parse().unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn from(source: u8, door: Door) -> Arrival {
    Arrival { source: IpAddr::from([192, 0, 2, source]), site: None, host: None, door, digest: 0 }
}

/// A flow that waits for the answer to a read-all.
fn flow(device: &DeviceId, arrival: &Arrival, now: Timestamp) -> Box<Flow> {
    let vault = Arc::new(Vault::new(&[1; KEY_LEN]).unwrap());
    let (policy, limits, secure) = (Policy::default(), FlowLimits::default(), SecureSettings::default());
    let jobs = JobBook::default();
    let polling = Polling::default();
    let (policy, limits, secure, polling) = (&policy, &limits, &secure, &polling);
    let files = Files::new(Arc::new(MemoryStore::default()), vault.clone(), FileBounds::default());
    let (files, files_address) = (&files, None);
    let ctx =
        Context { now, policy, jobs: &jobs, vault: &vault, limits, secure, polling, files, files_address };
    let body = "<WorkpointMessage><Message nonce=\"1\"><ReasonForContact>start-up</ReasonForContact></Message>\
                </WorkpointMessage>";
    let message = parse_phone_message(body.as_bytes(), &Limits::default()).unwrap();
    Box::new(Flow::open(&ctx, Arc::new(Device::new(device.clone())), &message, arrival).flow)
}

/// A table with one parked flow of device 1 from source 1.
fn one() -> (Sessions, Cookie, Arrival) {
    let sessions = Sessions::new(limits());
    let arrival = from(1, Door::Default);
    let cookie = open(&sessions, 1, &arrival, at(0));
    (sessions, cookie, arrival)
}

fn open(sessions: &Sessions, number: u8, arrival: &Arrival, now: Timestamp) -> Cookie {
    let random = Counting(AtomicU64::new(u64::from(number) * 1_000 + now.as_millis()));
    let (cookie, _) = sessions.begin(&device(number), arrival, now, &random);
    assert!(sessions.park(cookie, flow(&device(number), arrival, now)).is_none());
    cookie
}

/// What a look-up finds, as a word; the flow is put back.
fn finds(sessions: &Sessions, hints: Hints<'_>, arrival: &Arrival, now: Timestamp) -> &'static str {
    match sessions.check_out(hints, arrival, now) {
        Found::Flow(cookie, flow) => {
            assert!(sessions.park(cookie, flow).is_none());
            "flow"
        }
        Found::Busy => "busy",
        Found::Over(..) => "over",
        Found::None => "none",
    }
}

fn with_cookie<'a>(cookie: Cookie) -> Hints<'a> {
    Hints { cookie: Some(cookie), has_cookie: true, ..Hints::default() }
}

#[test]
fn a_flow_is_found_by_each_hint() {
    let (sessions, cookie, arrival) = one();
    let (named, elsewhere) = (device(1), from(9, Door::Default));
    for (hints, from, expected) in [
        (with_cookie(cookie), &elsewhere, "flow"),
        (Hints { connection: Some(cookie), ..Hints::default() }, &elsewhere, "flow"),
        (Hints { device: Some(&named), ..Hints::default() }, &elsewhere, "flow"),
        (Hints::default(), &arrival, "flow"),
        (Hints::default(), &elsewhere, "none"),
        // A dead cookie may be saved by the device, but not by what another flow can share.
        (with_cookie(Cookie::from_u128(7)), &arrival, "none"),
        (Hints { connection: Some(cookie), ..with_cookie(Cookie::from_u128(7)) }, &arrival, "none"),
        (Hints { device: Some(&named), ..with_cookie(Cookie::from_u128(7)) }, &elsewhere, "flow"),
        // A cookie of somebody else has no number of ours.
        (Hints { has_cookie: true, ..Hints::default() }, &arrival, "none"),
    ] {
        assert_eq!(finds(&sessions, hints, from, at(1)), expected, "{hints:?}");
    }
}

#[test]
fn a_message_that_names_another_device_finds_nothing() {
    let (sessions, cookie, arrival) = one();
    let other = device(2);
    for hints in [
        Hints { device: Some(&other), ..with_cookie(cookie) },
        Hints { device: Some(&other), connection: Some(cookie), ..Hints::default() },
        Hints { device: Some(&other), ..Hints::default() },
    ] {
        assert_eq!(finds(&sessions, hints, &arrival, at(1)), "none", "{hints:?}");
    }
}

#[test]
fn branches_with_the_same_addresses_do_not_meet() {
    let site = |number| Arrival { site: Some(SiteId::from_u64(number)), ..from(1, Door::Default) };
    let (sessions, cookie, direct) = one();
    let (one, two) = (site(1), site(2));
    let named = device(1);
    for (hints, expected) in [
        (with_cookie(cookie), "none"),
        (Hints { connection: Some(cookie), ..Hints::default() }, "none"),
        (Hints { device: Some(&named), ..Hints::default() }, "none"),
        (Hints::default(), "none"),
    ] {
        assert_eq!(finds(&sessions, hints, &one, at(1)), expected, "{hints:?}");
    }
    let inside = open(&sessions, 2, &one, at(1));
    for (arrival, expected) in [(&direct, Some(cookie)), (&one, Some(inside)), (&two, None)] {
        let found = match sessions.check_out(Hints::default(), arrival, at(2)) {
            Found::Flow(found, flow) => {
                assert!(sessions.park(found, flow).is_none());
                Some(found)
            }
            _ => None,
        };
        assert_eq!(found, expected, "{arrival:?}");
    }
    // What the edge of one site says fills no bound of another.
    let bounded = Sessions::new(SessionLimits { flows_per_source: 2, ..limits() });
    open(&bounded, 1, &one, at(0));
    assert!(!bounded.is_full(one.origin()));
    open(&bounded, 2, &one, at(0));
    assert!(bounded.is_full(one.origin()));
    assert!(!bounded.is_full(two.origin()) && !bounded.is_full(direct.origin()));
    bounded.sweep(at(100_000));
    assert!(bounded.is_empty());
}

#[test]
fn two_flows_of_one_address_are_not_guessed_between() {
    let (sessions, cookie, arrival) = one();
    let second = open(&sessions, 2, &arrival, at(1));
    assert_eq!(finds(&sessions, Hints::default(), &arrival, at(1)), "none");
    sessions.close(cookie, &device(1), at(2), Reply::clean_up());
    match sessions.check_out(Hints::default(), &arrival, at(2)) {
        Found::Flow(found, _) => assert_eq!(found, second),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_flow_stays_at_its_door() {
    let (sessions, cookie, _) = one();
    let secure = from(1, Door::Secure { device: device(1), serial: "01".into() });
    let named = device(1);
    assert_eq!(
        finds(&sessions, Hints { device: Some(&named), ..with_cookie(cookie) }, &secure, at(1)),
        "none"
    );
    sessions.close(cookie, &device(1), at(2), Reply::clean_up());
    assert_eq!(finds(&sessions, with_cookie(cookie), &secure, at(2)), "none");
    assert_eq!(finds(&sessions, with_cookie(cookie), &from(1, Door::Default), at(2)), "over");
}

#[test]
fn a_new_flow_takes_the_place_of_the_old_one() {
    let (sessions, old, arrival) = one();
    let new = open(&sessions, 1, &arrival, at(5));
    assert_ne!(old, new);
    assert_eq!((sessions.open(), sessions.has_flow(&device(1))), (1, true));
    assert_eq!(finds(&sessions, with_cookie(old), &from(9, Door::Default), at(5)), "none");
    assert_eq!(finds(&sessions, Hints::default(), &arrival, at(5)), "flow");
    // The old one cannot be closed any more, nor end the new one.
    sessions.close(old, &device(1), at(6), Reply::clean_up());
    assert_eq!(sessions.open(), 1);
}

#[test]
fn a_flow_that_is_replaced_while_it_is_stepped_comes_back_to_its_step() {
    let (sessions, cookie, arrival) = one();
    let Found::Flow(_, stepped) = sessions.check_out(with_cookie(cookie), &arrival, at(1)) else { panic!() };
    assert_eq!(finds(&sessions, with_cookie(cookie), &arrival, at(1)), "busy");
    open(&sessions, 1, &arrival, at(2));
    assert!(sessions.park(cookie, stepped).is_some());
    assert_eq!(sessions.open(), 1);
}

#[test]
fn two_messages_that_end_a_flow_count_once() {
    let (sessions, cookie, arrival) = one();
    let Found::Flow(_, second) = sessions.check_out(with_cookie(cookie), &arrival, at(1)) else { panic!() };
    sessions.close(cookie, &device(1), at(1), Reply::clean_up());
    assert!(sessions.park(cookie, second).is_none());
    sessions.close(cookie, &device(1), at(1), Reply::clean_up());
    assert_eq!(sessions.open(), 0);
    assert_eq!(finds(&sessions, with_cookie(cookie), &arrival, at(1)), "over");
}

#[test]
fn waiting_flows_weigh_and_others_do_not() {
    let limits = SessionLimits { flow_bytes: 0, ..limits() };
    let sessions = Sessions::new(limits);
    let arrival = from(1, Door::Default);
    let cookie = open(&sessions, 1, &arrival, at(0));
    assert!(sessions.is_heavy());
    assert!(matches!(sessions.check_out(with_cookie(cookie), &arrival, at(0)), Found::Flow(..)));
    assert!(!sessions.is_heavy(), "it is out of the table");
    let _ = open(&sessions, 2, &arrival, at(0));
    drop(sessions.sweep(at(100_000)));
    assert!(!sessions.is_heavy(), "all of them are gone");
}

#[test]
fn idle_and_old_flows_are_swept() {
    let (sessions, cookie, arrival) = one();
    assert!(sessions.sweep(at(120)).is_empty());
    assert_eq!(sessions.sweep(at(121)).len(), 1);
    assert_eq!((sessions.open(), finds(&sessions, with_cookie(cookie), &arrival, at(121))), (0, "none"));
    // One whose step never ends, too.
    sessions.begin(&device(3), &arrival, at(200), &Counting(AtomicU64::new(5)));
    assert!(sessions.sweep(at(321)).is_empty());
    assert!(sessions.is_empty());
}

#[test]
fn opening_messages_are_recognised() {
    let sessions = Sessions::new(limits());
    let cookie = Cookie::from_u128(64);
    sessions.remember(&device(1), "N1", 5, at(0), (cookie, Reply::clean_up()));
    let find = |number, nonce, digest, now| sessions.answered(&device(number), nonce, digest, at(now));
    assert_eq!(find(1, "N1", 5, 240), Some((cookie, Reply::clean_up())));
    for (number, nonce, digest, now) in [(2, "N1", 5, 1), (1, "N2", 5, 1), (1, "N1", 6, 1), (1, "N1", 5, 241)]
    {
        assert_eq!(find(number, nonce, digest, now), None);
    }
    sessions.sweep(at(241));
    assert!(sessions.is_empty());
}

#[derive(Clone, Debug)]
enum Operation {
    Open { device: u8, source: u8 },
    TakeByCookie { opened: usize },
    TakeByDevice { device: u8 },
    TakeBySource { source: u8 },
    Park,
    Close { opened: usize },
    Remember { device: u8, nonce: u8 },
    Pass { seconds: u8 },
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let device = || 0_u8..4;
    let operation = prop_oneof![
        (device(), 0_u8..3).prop_map(|(device, source)| Operation::Open { device, source }),
        any::<usize>().prop_map(|opened| Operation::TakeByCookie { opened }),
        device().prop_map(|device| Operation::TakeByDevice { device }),
        (0_u8..3).prop_map(|source| Operation::TakeBySource { source }),
        Just(Operation::Park),
        any::<usize>().prop_map(|opened| Operation::Close { opened }),
        (device(), 0_u8..3).prop_map(|(device, nonce)| Operation::Remember { device, nonce }),
        (0_u8..130).prop_map(|seconds| Operation::Pass { seconds }),
    ];
    proptest::collection::vec(operation, 1..60)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Parked,
    Out,
    Over,
}

/// What should be in the table, kept in the plainest way.
#[derive(Default)]
struct Model {
    now: u64,
    /// Of each flow ever opened: cookie, device, source, state while it is in the table, time of the last change.
    flows: Vec<(Cookie, u8, u8, Option<State>, u64, u64)>,
    out: Vec<(Cookie, Box<Flow>)>,
}

impl Model {
    fn open(&self) -> usize {
        self.flows.iter().filter(|flow| matches!(flow.3, Some(State::Parked | State::Out))).count()
    }

    fn state(&self, cookie: Cookie) -> Option<State> {
        self.flows.iter().find(|flow| flow.0 == cookie)?.3
    }

    fn set(&mut self, cookie: Cookie, state: State) {
        for flow in self.flows.iter_mut().filter(|flow| flow.0 == cookie) {
            (flow.3, flow.4) = (Some(state), self.now);
        }
    }

    fn expect(&mut self, cookie: Option<Cookie>, found: Found) {
        let state = cookie.and_then(|cookie| self.state(cookie));
        match (state, found) {
            (Some(State::Parked), Found::Flow(found, flow)) => {
                assert_eq!(Some(found), cookie);
                self.set(found, State::Out);
                self.out.push((found, flow));
            }
            (Some(State::Out), Found::Busy) | (Some(State::Over), Found::Over(..)) | (None, Found::None) => {}
            (state, found) => panic!("{state:?} in the model, found {found:?}"),
        }
    }

    fn expire(&mut self) {
        let idle = IDLE.as_secs();
        for flow in &mut self.flows {
            // A parked flow counts from its last message, here its opening.
            let since = if flow.3 == Some(State::Parked) { flow.5 } else { flow.4 };
            if flow.3.is_some() && self.now - since > idle {
                flow.3 = None;
            }
        }
    }
}

fn run(operations: &[Operation]) {
    let sessions = Sessions::new(limits());
    let random = Counting(AtomicU64::new(0));
    let mut model = Model::default();
    for operation in operations {
        step(&sessions, &random, &mut model, operation);
        assert_eq!(sessions.open(), model.open(), "after {operation:?}");
    }
    for (cookie, flow) in std::mem::take(&mut model.out) {
        sessions.park(cookie, flow);
    }
    sessions.sweep(at(model.now + 10_000));
    assert!(sessions.is_empty());
}

fn step(sessions: &Sessions, random: &Counting, model: &mut Model, operation: &Operation) {
    let now = at(model.now);
    let nth = |model: &Model, opened: usize| {
        (!model.flows.is_empty()).then(|| model.flows[opened % model.flows.len()].0)
    };
    match *operation {
        Operation::Open { device: number, source } => {
            let arrival = from(source, Door::Default);
            let (cookie, _) = sessions.begin(&device(number), &arrival, now, random);
            for flow in model.flows.iter_mut().filter(|flow| flow.1 == number) {
                flow.3 = None;
            }
            model.flows.push((cookie, number, source, Some(State::Out), model.now, model.now));
            model.out.push((cookie, flow(&device(number), &arrival, now)));
        }
        Operation::TakeByCookie { opened } => {
            let Some(cookie) = nth(model, opened) else { return };
            let found = sessions.check_out(with_cookie(cookie), &from(9, Door::Default), now);
            model.expect(Some(cookie), found);
        }
        Operation::TakeByDevice { device: number } => {
            let named = device(number);
            let hints = Hints { device: Some(&named), ..Hints::default() };
            let found = sessions.check_out(hints, &from(9, Door::Default), now);
            let cookie =
                model.flows.iter().find(|flow| flow.1 == number && flow.3.is_some()).map(|flow| flow.0);
            model.expect(cookie, found);
        }
        Operation::TakeBySource { source } => {
            let open = |flow: &&(_, _, u8, Option<State>, _, _)| {
                flow.2 == source && matches!(flow.3, Some(State::Parked | State::Out))
            };
            let here: Vec<_> = model.flows.iter().filter(open).map(|flow| flow.0).collect();
            let only = (here.len() == 1).then(|| here[0]);
            let found = sessions.check_out(Hints::default(), &from(source, Door::Default), now);
            model.expect(only, found);
        }
        Operation::Park => {
            let Some((cookie, flow)) = model.out.pop() else { return };
            let in_table = model.state(cookie).is_some();
            assert_eq!(sessions.park(cookie, flow).is_none(), in_table);
            if model.state(cookie) == Some(State::Out) {
                model.set(cookie, State::Parked);
            }
        }
        Operation::Close { opened } => {
            let Some(cookie) = nth(model, opened) else { return };
            let number = model.flows.iter().find(|flow| flow.0 == cookie).map_or(0, |flow| flow.1);
            sessions.close(cookie, &device(number), now, Reply::clean_up());
            if matches!(model.state(cookie), Some(State::Parked | State::Out)) {
                model.set(cookie, State::Over);
            }
        }
        Operation::Remember { device: number, nonce } => {
            let answer = (Cookie::from_u128(1), Reply::clean_up());
            sessions.remember(&device(number), &format!("N{nonce}"), 1, now, answer);
            assert!(sessions.answered(&device(number), &format!("N{nonce}"), 1, now).is_some());
        }
        Operation::Pass { seconds } => {
            model.now += u64::from(seconds);
            model.expire();
            sessions.sweep(at(model.now));
        }
    }
}

proptest! {
    #[test]
    fn tables_agree_with_the_model_and_are_empty_in_the_end(operations in operations()) {
        run(&operations);
    }
}
