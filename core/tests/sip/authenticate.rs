//! Passwords, certificates and networks.

use callboard_core::device::DeviceId;
use callboard_core::secret::Secret;
use callboard_core::service::sip::{ClientProof, SipSettings};
use callboard_core::sip::credentials::CredentialWish;
use callboard_core::sip::trust::Trust;

use super::world::{PHONE, World, authorization, register, tls, udp};

const CONTACT: &str = "Contact: <sip:alice@192.0.2.4>\r\n";

/// A world with a realm for all domains and a password of alice.
fn world() -> World {
    let trust = Trust::new(Vec::new(), true).unwrap();
    let world = World::new(SipSettings { trust, ..SipSettings::default() });
    let credentials = &world.service.sip.credentials;
    credentials.put_realm("phones".parse().unwrap(), Vec::new(), true, None).unwrap().1.wait().unwrap();
    for (username, device) in [("alice", None), ("bob", Some("00:1a:e8:00:00:01".parse().unwrap()))] {
        let wish = CredentialWish {
            realm: "phones".parse().unwrap(),
            username: username.parse().unwrap(),
            device,
            password: Some(Secret::new("wonderland")),
        };
        credentials.put(wish, true, None).unwrap().1.wait().unwrap();
    }
    world
}

#[test]
fn a_phone_that_knows_its_password_gets_in_by_either_algorithm() {
    let world = world();
    for (call_id, algorithm) in [("a", "SHA-256"), ("b", "MD5")] {
        let challenged = world.send(&udp(PHONE), register(call_id, 1, CONTACT));
        let algorithms: Vec<_> = challenged.headers("WWW-Authenticate").collect();
        assert_eq!((challenged.status(), algorithms.len()), (401, 2), "{}", challenged.text);
        assert!(algorithms[0].contains("algorithm=SHA-256") && algorithms[1].contains("algorithm=MD5"));
        let authorization = authorization(&challenged, algorithm, "alice", "wonderland", 1);
        let request = register(call_id, 2, &format!("{authorization}{CONTACT}"));
        let answer = world.send(&udp(PHONE), &request);
        assert_eq!(answer.status(), 200, "{}", answer.text);
        // Its answer was lost.
        assert_eq!(world.send(&udp(PHONE), &request).status(), 200);
        // Somebody heard it and says it again as another request.
        let replayed = world.send(&udp(PHONE), register(call_id, 3, &format!("{authorization}{CONTACT}")));
        assert!(replayed.status() == 401 && replayed.text.contains("stale=true"), "{}", replayed.text);
    }
}

#[test]
fn a_request_that_borrows_the_names_of_another_is_another_one() {
    let world = world();
    let challenged = world.send(&udp(PHONE), register("a", 1, CONTACT));
    let authorization = authorization(&challenged, "SHA-256", "alice", "wonderland", 1);
    let fetch = register("a", 2, &authorization);
    assert_eq!(world.send(&udp(PHONE), &fetch).status(), 200);
    assert_eq!(world.send(&udp(PHONE), &fetch).status(), 200, "its answer was lost");
    let other = register("a", 2, &format!("{authorization}Contact: <sip:mallory@192.0.2.66>\r\n"));
    let answer = world.send(&udp(PHONE), &other);
    assert!(answer.status() == 401 && answer.text.contains("stale=true"), "{}", answer.text);
    assert!(world.contacts("alice@example.com").is_empty());
}

/// Sends a request with credentials under a nonce of its own; gives its bytes.
fn shown(world: &World, call_id: &str, cseq: u32, more: &str) -> String {
    let challenged = world.send(&udp(PHONE), register(call_id, cseq, more));
    let authorization = authorization(&challenged, "SHA-256", "alice", "wonderland", 1);
    let request = register(call_id, cseq + 1, &format!("{authorization}{more}"));
    assert_eq!(world.send(&udp(PHONE), &request).status(), 200);
    request
}

#[test]
fn what_was_done_is_not_done_again_after_what_came_later() {
    let world = world();
    let again = |request: &str| {
        let before = world.contacts("alice@example.com");
        let answer = world.send(&udp(PHONE), request);
        assert!(answer.status() == 401 && answer.text.contains("stale=true"), "{}", answer.text);
        assert_eq!(world.contacts("alice@example.com"), before);
    };
    // A registration that was ended since.
    let made = shown(&world, "a", 1, CONTACT);
    let ended = shown(&world, "a", 3, "Contact: *\r\nExpires: 0\r\n");
    again(&made);
    assert_eq!(world.send(&udp(PHONE), &ended).status(), 200, "nothing is left to end");
    // An end, after which the phone came with another Call-ID.
    shown(&world, "b", 1, CONTACT);
    again(&ended);
    assert_eq!(world.contacts("alice@example.com").len(), 1);
}

#[test]
fn a_user_name_with_a_domain_is_good_for_that_domain() {
    let world = world();
    let wish = CredentialWish {
        realm: "phones".parse().unwrap(),
        username: "carol@a.example".parse().unwrap(),
        device: None,
        password: Some(Secret::new("wonderland")),
    };
    world.service.sip.credentials.put(wish, true, None).unwrap().1.wait().unwrap();
    for (cseq, domain, status) in [(2, "A.example", 200), (4, "b.example", 403)] {
        let carol = |cseq, more: &str| {
            register("c", cseq, more).replace("alice@example.com", &format!("carol@{domain}"))
        };
        let challenged = world.send(&udp(PHONE), carol(cseq, CONTACT));
        let shown = authorization(&challenged, "MD5", "carol@a.example", "wonderland", 1);
        let answer = world.send(&udp(PHONE), carol(cseq + 1, &format!("{shown}{CONTACT}")));
        assert_eq!(answer.status(), status, "{}", answer.text);
    }
}

#[test]
fn a_nonce_serves_a_phone_for_its_refreshes() {
    let world = world();
    let challenged = world.send(&udp(PHONE), register("a", 1, CONTACT));
    for nc in 1..5 {
        let authorization = authorization(&challenged, "SHA-256", "alice", "wonderland", nc);
        let answer = world.send(&udp(PHONE), register("a", nc + 1, &format!("{authorization}{CONTACT}")));
        assert_eq!(answer.status(), 200, "{}", answer.text);
    }
}

#[test]
fn others_do_not_get_in_and_nobody_learns_who_is_known() {
    let world = world();
    let challenged = world.send(&udp(PHONE), register("a", 1, CONTACT));
    let try_as = |user: &str, password: &str, cseq| {
        let authorization = authorization(&challenged, "MD5", user, password, cseq);
        world.send(&udp(PHONE), register("a", cseq, &format!("{authorization}{CONTACT}")))
    };
    let (wrong, unknown) = (try_as("alice", "looking-glass", 2), try_as("mallory", "wonderland", 3));
    assert_eq!((wrong.status(), unknown.status()), (401, 401));
    assert!(!wrong.text.contains("stale") && !unknown.text.contains("stale"));
    let other = try_as("bob", "wonderland", 4);
    assert!(other.text.starts_with("SIP/2.0 403 Not Your Address"), "{}", other.text);
    for cseq in 5..20 {
        try_as("alice", "looking-glass", cseq);
    }
    let blocked = try_as("alice", "wonderland", 21);
    assert!(blocked.status() == 403 && blocked.header("Retry-After").is_some(), "{}", blocked.text);
    assert!(world.contacts("alice@example.com").is_empty());
}

/// A device that was given a certificate with this serial number.
fn certified(world: &World, device: &DeviceId, serial: Option<&str>) {
    let changed = world.service.fleet.update_detached(device, true, |known| {
        let mut new = known.clone();
        new.revision += 1;
        new.security.certificate_serial = serial.map(Into::into);
        Ok(new)
    });
    changed.unwrap();
}

#[test]
fn a_certificate_takes_the_place_of_a_password_for_the_addresses_of_its_device() {
    let world = world();
    let device: DeviceId = "00:1a:e8:00:00:01".parse().unwrap();
    let flow = tls("192.0.2.4:40000", 1);
    let as_user = |serial, user: &str, cseq| {
        let request = register(user, cseq, CONTACT).replace("alice@", &format!("{user}@"));
        world.send_as(&flow, Some(ClientProof { device: &device, serial }), request).status()
    };
    assert_eq!(as_user("0a", "bob", 1), 401, "a device that nobody knows");
    certified(&world, &device, Some("0a"));
    assert_eq!(as_user("0a", "bob", 2), 200, "the credential is the device's");
    assert_eq!(as_user("0a", "alice", 2), 403, "this one is somebody else's");
    assert_eq!(as_user("0a", "001ae8000001", 2), 200, "its own MAC address");
    assert_eq!(as_user("0a", "001ae8000002", 2), 403, "that of another one");
    assert_eq!(as_user("0a", "4711", 2), 403, "nobody has this number");
    assert_eq!(as_user("0b", "bob", 3), 401, "a certificate that was not handed out to it");
    certified(&world, &device, None);
    assert_eq!(as_user("0a", "bob", 4), 401, "given up, while the connection is open");
    assert_eq!(world.service.sip.location.of_device(&device, world.now()).len(), 2);
}

#[test]
fn a_password_belongs_to_its_device() {
    let world = world();
    let bob = |cseq, more: &str| register("a", cseq, more).replace("alice@", "bob@");
    let challenged = world.send(&udp(PHONE), bob(1, CONTACT));
    let authorization = authorization(&challenged, "SHA-256", "bob", "wonderland", 1);
    assert_eq!(world.send(&udp(PHONE), bob(2, &format!("{authorization}{CONTACT}"))).status(), 200);
    let device = "00:1a:e8:00:00:01".parse().unwrap();
    assert_eq!(world.service.sip.location.of_device(&device, world.now())[0].0, "bob@example.com".into());
}

#[test]
fn a_domain_of_no_realm_is_not_ours() {
    let world = World::new(SipSettings::default());
    assert_eq!(
        world.send(&udp(PHONE), register("a", 1, CONTACT)).status(),
        401,
        "nobody has said what is ours"
    );
    let domains = vec!["other.test".parse().unwrap()];
    let put = world.service.sip.credentials.put_realm("phones".parse().unwrap(), domains, true, None);
    put.unwrap().1.wait().unwrap();
    assert_eq!(world.send(&udp(PHONE), register("a", 2, CONTACT)).status(), 404);
}
