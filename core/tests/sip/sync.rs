//! Phones that are told to fetch their configuration.

use std::time::Duration;

use callboard_core::device::{DeviceId, Task, TaskOutcome, TaskState};
use callboard_core::reach::CallOutcome;
use callboard_core::secret::Secret;
use callboard_core::service::sip::{NoSync, SyncRefused};
use callboard_core::service::{TaskRequest, Way};
use callboard_core::sip::credentials::CredentialWish;
use callboard_core::sip::vendor::SyncWish;

use super::world::{PHONE, World, answer_to, done, register, udp};

const PHONE_ID: &str = "00:15:65:aa:bb:cc";
const CONTACT: &str =
    "Contact: <sip:alice@192.0.2.4:5060>\r\nUser-Agent: Yealink SIP-T46S/66.85 001565aabbcc\r\n";

fn id() -> DeviceId {
    PHONE_ID.parse().unwrap()
}

fn task(world: &World, restart: bool) {
    done(world.service.add_task(&id(), TaskRequest::CheckSync { restart })).unwrap();
}

fn last_task(world: &World) -> Task {
    world.service.fleet.get(&id()).unwrap().tasks.last().unwrap().clone()
}

/// What the dispatcher does; gives the request that left.
fn dispatch(world: &World) -> (String, tokio::sync::oneshot::Receiver<CallOutcome>) {
    assert_eq!(world.service.reach.due(world.now(), 9).calls, [id()]);
    assert_eq!(world.service.way(&id()), Ok(Way::CheckSync));
    let mut call = world.service.begin_sync(&id()).unwrap();
    if let Some(ticket) = call.ticket.take() {
        ticket.wait().unwrap();
    }
    let told = world.service.send_sync(call);
    (world.requests().remove(0).1, told)
}

fn ended(task: &Task) -> (TaskOutcome, &str) {
    match &task.state {
        TaskState::Ended { outcome, reason, .. } => (*outcome, reason),
        state => panic!("{state:?}"),
    }
}

#[test]
fn a_phone_that_registers_is_a_device_and_does_as_it_is_told() {
    let world = World::trusting();
    world.send(&udp(PHONE), register("a", 1, CONTACT));
    let device = world.service.fleet.get(&id()).expect("it is taken in");
    assert_eq!((&*device.identity.device_type, &*device.identity.software_type), ("Yealink SIP-T46S", "SIP"));
    for (restart, event) in [(false, "check-sync;reboot=false"), (true, "check-sync;reboot=true")] {
        task(&world, restart);
        let (request, mut told) = dispatch(&world);
        assert!(request.starts_with("NOTIFY sip:alice@192.0.2.4:5060 SIP/2.0\r\n"), "{request}");
        assert!(
            request.contains(&format!("\r\nEvent: {event}\r\nSubscription-State: terminated\r\n")),
            "{request}"
        );
        assert_eq!(last_task(&world).is_running(), restart, "nobody makes it restart once more");
        world.send(&udp(PHONE), answer_to(&request, "200 OK"));
        assert_eq!(told.try_recv(), Ok(CallOutcome::Understood));
        assert_eq!(ended(&last_task(&world)), (TaskOutcome::Successful, "the phone answered"));
        world.service.called(&id(), CallOutcome::Understood);
        assert_eq!(world.service.reach.counts().waiting, 0, "it rests");
        world.wait(Duration::from_mins(2));
        world.requests();
    }
}

#[test]
fn a_phone_that_refuses_or_is_silent_has_a_true_end() {
    let world = World::trusting();
    world.send(&udp(PHONE), register("a", 1, CONTACT));
    task(&world, false);
    let (request, mut told) = dispatch(&world);
    world.send(&udp(PHONE), answer_to(&request, "489 Bad Event"));
    assert_eq!(told.try_recv(), Ok(CallOutcome::Status(489)));
    let reason = "the phone does not know check-sync (489)";
    assert_eq!(ended(&last_task(&world)), (TaskOutcome::Failed, reason));
    world.service.called(&id(), CallOutcome::Status(489));
    world.wait(Duration::from_mins(2));
    world.requests();

    task(&world, false);
    let (_, mut told) = dispatch(&world);
    world.wait(Duration::from_secs(33));
    assert_eq!(told.try_recv(), Ok(CallOutcome::TimedOut));
    assert!(last_task(&world).is_pending(), "it does no harm once more");
    world.service.called(&id(), CallOutcome::TimedOut);
    world.wait(Duration::from_mins(2));
    world.requests();
    let (request, _told) = dispatch(&world);
    world.send(&udp(PHONE), answer_to(&request, "202 Accepted"));
    assert_eq!(ended(&last_task(&world)).0, TaskOutcome::Successful);
    world.service.called(&id(), CallOutcome::Understood);
    world.wait(Duration::from_mins(2));
    world.requests();

    task(&world, true);
    dispatch(&world);
    world.wait(Duration::from_secs(33));
    let reason = "the phone did not answer; it may have restarted";
    assert_eq!(ended(&last_task(&world)), (TaskOutcome::Timeout, reason));
}

#[test]
fn a_phone_that_is_not_registered_is_told_when_it_is() {
    let world = World::trusting();
    world.service.fleet.update_detached(&id(), true, |device| Ok(device.clone())).unwrap();
    task(&world, false);
    world.wait(Duration::from_mins(2));
    assert_eq!(world.service.reach.due(world.now(), 9).calls, [id()]);
    let why = world.service.way(&id()).unwrap_err();
    assert_eq!(why.to_string(), "not called: the phone is not registered by SIP");
    world.service.called(&id(), why);
    world.wait(Duration::from_mins(2));
    world.send(&udp(PHONE), register("b", 1, CONTACT));
    let (request, _told) = dispatch(&world);
    world.send(&udp(PHONE), answer_to(&request, "200 OK"));
    assert_eq!(ended(&last_task(&world)).0, TaskOutcome::Successful);
}

#[test]
fn a_phone_that_is_not_registered_any_more_is_told_where_it_came_from() {
    let world = World::trusting();
    world.send(&udp("192.0.2.4:1024"), register("a", 1, CONTACT));
    world.send(&udp("192.0.2.4:1024"), register("a", 2, "Contact: *\r\nExpires: 0\r\n"));
    task(&world, true);
    let (request, mut told) = dispatch(&world);
    assert!(request.starts_with("NOTIFY sip:192.0.2.4 SIP/2.0\r\n"), "{request}");
    assert!(request.contains("\r\nEvent: check-sync;reboot=true\r\n"), "{request}");
    world.send(&udp(PHONE), answer_to(&request, "200 OK"));
    assert_eq!(told.try_recv(), Ok(CallOutcome::Understood));
    assert_eq!(ended(&last_task(&world)), (TaskOutcome::Successful, "the phone answered"));
    // An administrator is held to the spacing of calls, too.
    let again = |wait| {
        world.wait(Duration::from_secs(wait));
        world.service.sync_device(&id(), SyncWish::Fetch)
    };
    assert!(matches!(again(1), Err(SyncRefused::NotNow(_))));
    let mut told = again(120).unwrap();
    let (flow, request) = world.requests().pop().unwrap();
    assert_eq!(flow.remote.to_string(), "192.0.2.4:5060");
    world.send(&udp(PHONE), answer_to(&request, "489 Bad Event"));
    assert_eq!(told.try_recv(), Ok(CallOutcome::Status(489)));
}

#[test]
fn nobody_is_told_where_no_phone_can_be() {
    let world = World::trusting();
    let unknown = "00:15:65:00:00:01".parse().unwrap();
    assert_eq!(world.service.sync_device(&unknown, SyncWish::Fetch).unwrap_err(), SyncRefused::NoDevice);
    let came_from = |source: Option<&str>| {
        let made = world.service.fleet.update_detached(&id(), true, |device| {
            let mut new = device.clone();
            new.contacts.source = source.map(|source| source.parse().unwrap());
            Ok(new)
        });
        made.unwrap();
        world.service.sync_device(&id(), SyncWish::Fetch).unwrap_err().to_string()
    };
    for source in [None, Some("127.0.0.1"), Some("169.254.169.254"), Some("224.0.1.75"), Some("::1")] {
        let why = came_from(source);
        assert!(why.starts_with("it is not registered, and where it came from it is not told: "), "{why}");
    }
    assert!(world.requests().is_empty());
}

/// A credential of the device itself, or of nobody's.
fn credential(world: &World, username: &str, device: Option<DeviceId>) {
    let wish = CredentialWish {
        realm: "phones".parse().unwrap(),
        username: username.parse().unwrap(),
        device,
        password: Some(Secret::new("wonderland")),
    };
    world.service.sip.credentials.put(wish, true, None).unwrap().1.wait().unwrap();
}

#[test]
fn who_only_says_that_it_is_a_phone_is_not_told_in_its_place() {
    let world = World::new(callboard_core::service::sip::SipSettings::default());
    let credentials = &world.service.sip.credentials;
    credentials.put_realm("phones".parse().unwrap(), Vec::new(), true, None).unwrap().1.wait().unwrap();
    credential(&world, "alice", None);
    credential(&world, "mallory", None);
    let mut number = 0;
    let mut come = |user: &str, from: &str| {
        number += 2;
        let contact = CONTACT.replace("192.0.2.4", from);
        let text = |cseq, more: &str| register(user, cseq, more).replace("alice@", &format!("{user}@"));
        let flow = udp(&format!("{from}:5060"));
        let challenged = world.send(&flow, text(number, &contact));
        let authorization = super::world::authorization(&challenged, "MD5", user, "wonderland", 1);
        let answer = world.send(&flow, text(number + 1, &format!("{authorization}{contact}")));
        assert_eq!(answer.status(), 200, "{user}");
    };
    let told = || {
        let _told = world.service.sync_device(&id(), SyncWish::Fetch).unwrap();
        world.requests().remove(0).0.remote.ip().to_string()
    };
    come("mallory", "192.0.2.66");
    assert_eq!(told(), "192.0.2.66", "as long as nobody knows better");
    // From now on the phone can show who it is.
    credential(&world, "alice", Some(id()));
    let refused = world.service.sync_device(&id(), SyncWish::Fetch).err();
    assert_eq!(refused, Some(SyncRefused::NoWay(NoSync::NotProven)));
    come("alice", "192.0.2.4");
    world.wait(Duration::from_secs(40));
    come("mallory", "192.0.2.66");
    // Its other address is no way to it.
    let mail = CONTACT.replace("sip:alice@192.0.2.4:5060", "mailto:alice@example.com");
    let challenged = world.send(&udp(PHONE), register("m", 90, &mail));
    let shown = super::world::authorization(&challenged, "MD5", "alice", "wonderland", 1);
    assert_eq!(world.send(&udp(PHONE), register("m", 91, &format!("{shown}{mail}"))).status(), 200);
    world.requests();
    assert_eq!(told(), "192.0.2.4");
}

#[test]
fn nobody_gets_what_others_passwords_answer() {
    use callboard_core::sip::digest::Offer;

    for (offer, claims, realm, answers) in [
        (Offer::default(), false, "phones", true),
        (Offer::Sha256, false, "phones", false),
        (Offer::default(), true, "board", false),
    ] {
        let mut settings = callboard_core::service::sip::SipSettings::default();
        settings.digest.offer = offer;
        let world = World::new(settings);
        let credentials = &world.service.sip.credentials;
        for (realm, domains) in [("board", vec!["board.example".parse().unwrap()]), ("phones", Vec::new())] {
            credentials.put_realm(realm.parse().unwrap(), domains, true, None).unwrap().1.wait().unwrap();
        }
        credential(&world, "alice", None);
        let wish = CredentialWish {
            realm: "board".parse().unwrap(),
            username: "director".parse().unwrap(),
            device: Some(id()),
            password: Some(Secret::new("secret")),
        };
        credentials.put(wish, true, None).unwrap().1.wait().unwrap();
        // She says that her phone is the director's.
        let contact = if claims { CONTACT } else { "Contact: <sip:alice@192.0.2.4:5060>\r\n" };
        let challenged = world.send(&udp(PHONE), register("a", 1, contact));
        let algorithm = if offer == Offer::Sha256 { "SHA-256" } else { "MD5" };
        let shown = super::world::authorization(&challenged, algorithm, "alice", "wonderland", 1);
        assert_eq!(world.send(&udp(PHONE), register("a", 2, &format!("{shown}{contact}"))).status(), 200);
        let _told = world.service.sync_aor("alice@example.com", SyncWish::Fetch).unwrap();
        let (_, request) = world.requests().remove(0);
        let challenge = format!("WWW-Authenticate: Digest realm=\"{realm}\", nonce=\"n\", algorithm=MD5\r\n");
        let refusal = answer_to(&request, "401 Unauthorized")
            .replace("Content-Length", &format!("{challenge}Content-Length"));
        world.send(&udp(PHONE), &refusal);
        assert_eq!(!world.requests().is_empty(), answers, "{offer:?} {realm}");
    }
}

#[test]
fn the_password_that_answers_a_challenge_is_of_the_realm_of_the_address() {
    let world = World::new(callboard_core::service::sip::SipSettings::default());
    let credentials = &world.service.sip.credentials;
    let domain = "2001:db8::1".parse().unwrap();
    credentials.put_realm("six".parse().unwrap(), vec![domain], true, None).unwrap().1.wait().unwrap();
    credentials.put_realm("phones".parse().unwrap(), Vec::new(), true, None).unwrap().1.wait().unwrap();
    credential(&world, "alice", None);
    let wish = CredentialWish {
        realm: "six".parse().unwrap(),
        username: "alice".parse().unwrap(),
        device: None,
        password: Some(Secret::new("another")),
    };
    credentials.put(wish, true, None).unwrap().1.wait().unwrap();
    let text = |cseq, more: &str| register("a", cseq, more).replace("example.com", "[2001:db8::1]");
    let challenged = world.send(&udp(PHONE), text(1, CONTACT));
    let shown = super::world::authorization_of(&challenged, ("six", "alice", "another"), "MD5", 1);
    let request = text(2, CONTACT).replace("Max-Forwards", &format!("{shown}Max-Forwards"));
    assert_eq!(world.send(&udp(PHONE), request).status(), 200);
    for (realm, answers) in [("phones", false), ("six", true)] {
        let _told = world.service.sync_aor("alice@[2001:db8::1]", SyncWish::Fetch).unwrap();
        let (_, request) = world.requests().remove(0);
        let challenge = format!("WWW-Authenticate: Digest realm=\"{realm}\", nonce=\"n\", qop=\"auth\"\r\n");
        let refusal = answer_to(&request, "401 Unauthorized")
            .replace("Content-Length", &format!("{challenge}Content-Length"));
        world.send(&udp(PHONE), &refusal);
        assert_eq!(!world.requests().is_empty(), answers, "{realm}");
    }
}

#[test]
fn a_phone_that_shows_its_password_at_a_refresh_is_known_from_then_on() {
    let world = World::new(callboard_core::service::sip::SipSettings::default());
    let credentials = &world.service.sip.credentials;
    credentials.put_realm("phones".parse().unwrap(), Vec::new(), true, None).unwrap().1.wait().unwrap();
    for (cseq, device) in [(1, None), (3, Some(id()))] {
        assert!(world.service.fleet.get(&id()).is_none(), "{cseq}");
        credential(&world, "alice", device);
        let challenged = world.send(&udp(PHONE), register("a", cseq, CONTACT));
        let shown = super::world::authorization(&challenged, "MD5", "alice", "wonderland", 1);
        let answer = world.send(&udp(PHONE), register("a", cseq + 1, &format!("{shown}{CONTACT}")));
        assert_eq!(answer.status(), 200);
    }
    assert!(world.service.fleet.get(&id()).is_some());
}

#[test]
fn a_contact_of_another_scheme_is_kept_and_left_alone() {
    let world = World::trusting();
    let contact = "Contact: <mailto:alice@example.com>\r\n";
    assert_eq!(world.send(&udp(PHONE), register("a", 1, contact)).status(), 200);
    assert_eq!(world.contacts("alice@example.com"), ["mailto:alice@example.com"]);
    let told = world.service.sync_aor("alice@example.com", SyncWish::Fetch);
    assert_eq!(told.err(), Some(NoSync::NotRegistered));
}

#[test]
fn a_challenge_is_answered_with_the_phones_own_password_only() {
    let world = World::new(callboard_core::service::sip::SipSettings::default());
    let credentials = &world.service.sip.credentials;
    credentials.put_realm("phones".parse().unwrap(), Vec::new(), true, None).unwrap().1.wait().unwrap();
    credential(&world, "alice", Some(id()));
    let challenged = world.send(&udp(PHONE), register("a", 1, CONTACT));
    let authorization = super::world::authorization(&challenged, "MD5", "alice", "wonderland", 1);
    world.send(&udp(PHONE), register("a", 2, &format!("{authorization}{CONTACT}")));
    for (realm, answers) in [("phones", true), ("elsewhere", false)] {
        let mut told = world.service.sync_aor("alice@example.com", SyncWish::Fetch).unwrap();
        let (_, request) = world.requests().remove(0);
        let challenge = format!(
            "WWW-Authenticate: Digest realm=\"{realm}\", nonce=\"abc\", qop=\"auth\", algorithm=MD5\r\n"
        );
        let refusal = answer_to(&request, "401 Unauthorized")
            .replace("Content-Length", &format!("{challenge}Content-Length"));
        world.send(&udp(PHONE), &refusal);
        let again = world.requests();
        if answers {
            let (_, request) = &again[0];
            assert!(request.contains("\r\nCSeq: 2 NOTIFY\r\n"), "{request}");
            assert!(
                request.contains("Authorization: Digest username=\"alice\", realm=\"phones\", nonce=\"abc\""),
                "{request}"
            );
            world.send(&udp(PHONE), answer_to(request, "200 OK"));
            assert_eq!(told.try_recv(), Ok(CallOutcome::Understood));
        } else {
            assert_eq!((again.len(), told.try_recv()), (0, Ok(CallOutcome::Status(401))));
        }
    }
}
