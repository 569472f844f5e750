//! REGISTER.

use std::time::Duration;

use callboard_core::service::sip::{Incoming, Reaction, Scratch, SipSettings};
use callboard_core::store::journal::{Journal as _, Position};

use super::world::{PHONE, World, register, tls, udp};

const CONTACT: &str = "Contact: <sip:alice@192.0.2.4>\r\nUser-Agent: Phone/1.0\r\n";

#[test]
fn a_phone_registers_and_is_told_of_all_its_bindings() {
    let world = World::trusting();
    let answer = world.send(&udp(PHONE), register("a", 1, CONTACT));
    assert_eq!(answer.status(), 200, "{}", answer.text);
    assert!(
        matches!(answer.reaction, Reaction::AnswerAfter(position, Some(_)) if position > Position::START)
    );
    assert_eq!(answer.header("Contact"), Some("<sip:alice@192.0.2.4>;expires=3600"));
    let via = "SIP/2.0/UDP 192.0.2.4:5060;branch=z9hG4bKa1;rport=5060;received=192.0.2.4";
    assert_eq!(answer.header("Via"), Some(via));
    assert_eq!(answer.header("Date"), Some("Fri, 02 Jan 2026 03:04:05 GMT"));
    assert!(answer.header("To").unwrap().starts_with("<sip:alice@example.com>;tag="));
    let second = "Contact: <sip:alice@192.0.2.5>;q=0.5;expires=120;audio\r\n";
    let answer = world.send(&udp("192.0.2.5:5060"), register("b", 1, second));
    let contacts: Vec<_> = answer.headers("Contact").collect();
    assert_eq!(contacts, ["<sip:alice@192.0.2.4>;expires=3600", "<sip:alice@192.0.2.5>;audio;expires=120"]);
    let fetched = world.send(&udp(PHONE), register("c", 1, ""));
    assert_eq!(fetched.headers("Contact").count(), 2);
    let removed = world.send(&udp(PHONE), register("d", 1, "Contact: *\r\nExpires: 0\r\n"));
    assert_eq!((removed.status(), removed.header("Contact")), (200, None));
    assert!(world.contacts("alice@example.com").is_empty());
}

#[test]
fn what_is_asked_and_cannot_be_is_answered_with_the_reason() {
    let world = World::trusting();
    world.send(&udp(PHONE), register("a", 5, CONTACT));
    for (call_id, cseq, more, status, reason) in [
        ("a", 4, CONTACT, 500, "CSeq Out Of Order"),
        ("b", 1, "Contact: *\r\n", 400, "Contact * Needs Expires 0"),
        ("b", 1, "Contact: *\r\nContact: <sip:a@b>\r\nExpires: 0\r\n", 400, "Contact * Stands Alone"),
        ("b", 1, "Contact: *, *\r\nExpires: 0\r\n", 400, "Contact * Stands Alone"),
        ("b", 1, "Contact: <sip:a@b>\r\nExpires: 59\r\n", 423, "Interval Too Brief"),
        ("b", 1, "Contact: <sip:a@>\r\n", 400, "Malformed Contact"),
        ("b", 1, "Contact: <sip:a@b>\r\nRequire: gruu, path, foo\r\n", 420, "Bad Extension"),
        ("b", 1, "Contact: <sip:a@b>\r\nPath: <sip:p;lr>\r\n", 421, "Extension Required"),
    ] {
        let answer = world.send(&udp(PHONE), register(call_id, cseq, more));
        let first = answer.text.lines().next().unwrap();
        assert_eq!(first, format!("SIP/2.0 {status} {reason}"), "{more}");
        assert_eq!(answer.reaction, Reaction::Answer);
        match status {
            423 => assert_eq!(answer.header("Min-Expires"), Some("60")),
            420 => assert_eq!(answer.header("Unsupported"), Some("gruu, foo")),
            421 => assert_eq!(answer.header("Require"), Some("path")),
            _ => {}
        }
    }
    assert_eq!(world.contacts("alice@example.com"), ["sip:alice@192.0.2.4"]);
}

#[test]
fn a_request_that_comes_again_is_answered_again_and_not_done_again() {
    let mut world = World::trusting();
    let request = register("a", 1, CONTACT);
    let first = world.send(&udp(PHONE), &request);
    let again = world.send(&udp(PHONE), &request);
    assert_eq!((first.text, first.reaction), (again.text.clone(), again.reaction));
    let appends = world.journal.stats().committed_records;
    assert_eq!(appends, 1);
    // Nobody knows whether the answer arrived before the restart.
    world.crash();
    let after = world.send(&udp(PHONE), &request);
    assert_eq!((after.status(), after.header("To")), (200, again.header("To")));
}

#[test]
fn an_answer_waits_for_the_disk() {
    let world = World::trusting();
    world.journal.hold();
    let answer = world.send(&udp(PHONE), register("a", 1, CONTACT));
    let Reaction::AnswerAfter(position, _) = answer.reaction else { panic!("{answer:?}") };
    assert!(world.journal.durable() < position);
    // Who asks for it must not be told of what may be lost yet.
    let fetched = world.send(&udp(PHONE), register("b", 1, ""));
    assert!(matches!(fetched.reaction, Reaction::AnswerAfter(at, _) if at == position));
    world.journal.release();
    assert!(world.journal.durable() >= position);
}

#[test]
fn who_does_not_ask_for_its_port_is_answered_at_the_one_it_names() {
    let world = World::trusting();
    let told = |from: &str, via: &str| {
        let text = register("a", 1, CONTACT).replace("192.0.2.4:5060;branch", via).replace(";rport", "");
        let incoming = Incoming { bytes: text.as_bytes(), flow: udp(from), proof: None };
        let mut scratch = Scratch::default();
        let mut out = Vec::new();
        world.service.sip_received(&incoming, &mut scratch, world.now(), &mut out);
        assert!(out.starts_with(b"SIP/2.0 "), "{text}");
        scratch.reply_port()
    };
    assert_eq!(told("192.0.2.4:40000", "192.0.2.4:5070;branch"), Some(5_070));
    assert_eq!(told("192.0.2.4:40000", "192.0.2.4;branch"), Some(5_060));
    assert_eq!(told("203.0.113.9:40000", "10.0.0.4:5060;branch"), None, "behind NAT");
    let flow = world.service.sip.location.get("alice@example.com", world.now())[0].flow;
    assert_eq!(flow.remote.port(), 5_070, "requests follow the answers");
}

#[test]
fn too_many_contacts_are_called_so() {
    let world = World::trusting();
    let many = "Contact: <sip:a@192.0.2.4>\r\n".repeat(30);
    let answer = world.send(&udp(PHONE), register("a", 1, &many));
    assert!(answer.text.starts_with("SIP/2.0 400 Too Many Contacts"), "{}", answer.text);
}

#[test]
fn that_nothing_is_registered_is_told_when_it_is_durable() {
    let world = World::trusting();
    world.send(&udp(PHONE), register("a", 1, CONTACT));
    world.journal.hold();
    let gone = register("a", 2, "Contact: *\r\nExpires: 0\r\n");
    let position = |answer: super::world::Answer| match answer.reaction {
        Reaction::AnswerAfter(position, None) => position,
        other => panic!("{other:?}"),
    };
    let first = position(world.send(&udp(PHONE), &gone));
    let again = position(world.send(&udp(PHONE), &gone));
    assert!(first > world.journal.durable() && again >= first, "{first:?} {again:?}");
}

#[test]
fn new_endpoints_wait_sooner_than_those_that_refresh() {
    let world = World::new(SipSettings { busy_from: 0.0, retry_after: 20, ..trusting() });
    let answer = world.send(&udp(PHONE), register("a", 1, CONTACT));
    let after: u32 = answer.header("Retry-After").unwrap().parse().unwrap();
    assert!(answer.status() == 503 && (20..=40).contains(&after), "{}", answer.text);
    let calm = World::trusting();
    calm.send(&udp(PHONE), register("a", 1, CONTACT));
    calm.journal.set_no_space(true);
    assert_eq!(calm.send(&udp(PHONE), register("a", 2, CONTACT)).status(), 503);
    calm.journal.set_no_space(false);
    assert_eq!(calm.send(&udp(PHONE), register("a", 3, CONTACT)).status(), 200);
    let sip = &calm.service.sip;
    let newcomer = |cseq| register("b", cseq, CONTACT).replace("alice@", "bob@");
    let both = |cseq| {
        let status = |text| calm.send(&udp(PHONE), text).status();
        (status(register("a", cseq, CONTACT)), status(newcomer(cseq)))
    };
    sip.set_backlog(0.6);
    assert_eq!(both(4), (200, 503), "half full: whoever is registered stays so");
    sip.set_delay(Duration::from_millis(800));
    assert_eq!(both(5), (503, 503), "nearly full");
    sip.set_backlog(0.0);
    sip.set_delay(Duration::from_millis(20));
    assert_eq!(both(6), (200, 200));
}

fn trusting() -> SipSettings {
    World::trusting().service.sip.settings().clone()
}

#[test]
fn devices_are_known_by_what_they_show() {
    let world = World::trusting();
    let instance = "Contact: <sip:alice@192.0.2.4>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-001ae8000001>\"\r\n";
    for (call_id, more, device) in [
        ("a", instance, Some("00:1a:e8:00:00:01")),
        (
            "b",
            "Contact: <sip:alice@192.0.2.4>\r\nUser-Agent: Yealink 1.2 001565aabbcc\r\n",
            Some("00:15:65:aa:bb:cc"),
        ),
        ("c", "Contact: <sip:alice@192.0.2.4>\r\nAastra-Mac: 00085D112233\r\n", Some("00:08:5d:11:22:33")),
        ("d", "Contact: <sip:00085d112234@192.0.2.4>\r\n", Some("00:08:5d:11:22:34")),
        ("e", "Contact: <sip:498970011234@192.0.2.5>\r\n", None),
    ] {
        world.send(&udp(PHONE), register(call_id, 1, more));
        let bindings = world.service.sip.location.get("alice@example.com", world.now());
        let newest = bindings.iter().find(|binding| *binding.call_id == *call_id).unwrap();
        assert_eq!(newest.device.as_ref().map(ToString::to_string).as_deref(), device, "{more}");
    }
    let device = "00:08:5d:11:22:34".parse().unwrap();
    assert_eq!(world.service.sip.location.of_device(&device, world.now()).len(), 1);
}

#[test]
fn what_time_and_a_restart_do_to_bindings() {
    let mut world = World::trusting();
    world.send(&udp(PHONE), register("a", 1, "Contact: <sip:alice@192.0.2.4>;expires=60\r\n"));
    let tls = tls("192.0.2.9:40000", 7);
    world.send(&tls, register("b", 1, "Contact: <sip:alice@192.0.2.9;transport=tls>;expires=600\r\n"));
    world.wait(Duration::from_secs(30));
    world.crash();
    assert_eq!(world.contacts("alice@example.com").len(), 2);
    world.wait(Duration::from_secs(31));
    assert_eq!(world.contacts("alice@example.com"), ["sip:alice@192.0.2.9;transport=tls"]);
    world.wait(Duration::from_mins(10));
    assert_eq!(world.service.sip.location.aors(), 0);
}

#[test]
fn a_clock_that_is_set_ends_nothing_and_keeps_nothing() {
    const DAY: i64 = 86_400;
    for set in [-DAY, DAY] {
        let mut world = World::trusting();
        world.send(&udp(PHONE), register("a", 1, "Contact: <sip:alice@192.0.2.4>;expires=600\r\n"));
        world.set_clock(set);
        world.wait(Duration::from_secs(590));
        assert_eq!(world.contacts("alice@example.com").len(), 1, "{set}");
        let fetched = world.send(&udp(PHONE), register("a", 2, ""));
        assert_eq!(fetched.header("Contact"), Some("<sip:alice@192.0.2.4>;expires=10"));
        world.wait(Duration::from_secs(11));
        assert_eq!((world.contacts("alice@example.com").len(), world.service.sip.location.aors()), (0, 0));
        // Over a restart it has the rest of its time, because it is stored in the time of the wall clock.
        world.send(&udp(PHONE), register("a", 3, "Contact: <sip:alice@192.0.2.4>;expires=600\r\n"));
        world.wait(Duration::from_secs(590));
        world.crash();
        assert_eq!(world.contacts("alice@example.com").len(), 1, "{set}");
        let fetched = world.send(&udp(PHONE), register("a", 4, ""));
        assert_eq!(fetched.header("Contact"), Some("<sip:alice@192.0.2.4>;expires=10"), "{set}");
    }
}

#[test]
fn a_clock_that_is_set_while_nobody_looks_gives_no_more_time_than_was_granted() {
    let mut world = World::trusting();
    for (call, contact) in [("a", "sip:alice@192.0.2.4"), ("b", "sip:alice@192.0.2.5")] {
        world.send(&udp(PHONE), register(call, 1, &format!("Contact: <{contact}>;expires=600\r\n")));
    }
    world.wait(Duration::from_secs(100));
    world.set_clock(-86_400);
    world.crash();
    // Writing one of them anew keeps the other.
    world.send(&udp(PHONE), register("b", 2, "Contact: <sip:alice@192.0.2.5>;expires=600\r\n"));
    world.crash();
    assert_eq!(world.contacts("alice@example.com").len(), 2);
    let bindings = world.service.sip.location.get("alice@example.com", world.now());
    assert!(bindings.iter().all(|binding| binding.refreshed <= world.now()), "none is of tomorrow");
    world.wait(Duration::from_secs(601));
    assert!(world.contacts("alice@example.com").is_empty());
}

#[test]
fn what_ended_while_nobody_looked_leaves_the_journal() {
    let mut world = World::trusting();
    world.send(&udp(PHONE), register("a", 1, "Contact: <sip:alice@192.0.2.4>;expires=600\r\n"));
    world.hands.pass(Duration::from_hours(1));
    world.crash();
    assert_eq!((world.service.sip.location.aors(), world.journal.len()), (0, 1));
    world.wait(Duration::from_millis(50));
    assert_eq!(world.journal.len(), 1, "the clock may be wrong");
    world.jump(Duration::from_hours(2));
    assert!(world.journal.is_empty());
    // One that came before that was written has a record of its own.
    world.send(&udp(PHONE), register("a", 2, "Contact: <sip:alice@192.0.2.4>;expires=600\r\n"));
    world.hands.pass(Duration::from_hours(1));
    world.crash();
    world.send(&udp(PHONE), register("a", 3, "Contact: <sip:alice@192.0.2.4>;expires=7200\r\n"));
    world.jump(Duration::from_secs(7_199));
    world.send(&udp(PHONE), register("a", 4, "Contact: <sip:alice@192.0.2.4>;expires=7200\r\n"));
    world.jump(Duration::from_mins(1));
    assert_eq!(world.journal.len(), 1);
}

#[test]
fn an_address_is_the_same_at_every_port_and_with_any_ornament() {
    let world = World::trusting();
    let text = register("a", 1, "Contact: <sip:alice@192.0.2.4>\r\n");
    for (number, to) in [":5070", ":5060;transport=tcp", "?Subject=x"].into_iter().enumerate() {
        let text = text.replace("To: <sip:alice@example.com>", &format!("To: <sip:alice@example.com{to}>"));
        let text = text.replace("CSeq: 1 ", &format!("CSeq: {} ", number + 1));
        assert_eq!(world.send(&udp(PHONE), text).status(), 200, "{to}");
        assert_eq!(world.contacts("alice@example.com").len(), 1, "{to}");
    }
    assert_eq!(world.service.sip.location.aors(), 1);
}

#[test]
fn whoever_is_not_known_gets_no_more_than_three_times_what_was_sent() {
    let world = World::new(SipSettings::default());
    let small =
        "OPTIONS sip:h SIP/2.0\r\nv:SIP/2.0/UDP h\r\nf:sip:a\r\nt:sip:b\r\ni:1\r\nCSeq:1 OPTIONS\r\n\r\n";
    for text in [small.to_owned(), small.replace("OPTIONS", "REGISTER"), small.replace("OPTIONS", "INVITE")] {
        let answer = world.send(&udp(PHONE), &text);
        assert!(
            answer.text.len() <= 3 * text.len(),
            "{} for {}:\n{}",
            answer.text.len(),
            text.len(),
            answer.text
        );
    }
}
