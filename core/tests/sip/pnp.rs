//! Plug and play: phones that ask for their profile, by unicast and by multicast.

use std::time::Duration;

use callboard_core::name::ResourceName;
use callboard_core::service::sip::{ProfileRequests, SipSettings};
use callboard_core::sip::profile::{BodyForm, ProfileType, RuleWish, Whose};

use super::world::{Answer, World, answer_to, done, udp};

/// A phone in a private network.
const PHONE: &str = "192.168.1.45:5060";
const MAC_USER: &str = "MAC%3a001565AABBCC";

fn world_with(change: impl FnOnce(&mut SipSettings)) -> World {
    let mut settings = SipSettings::default();
    settings.plug_and_play.requests = ProfileRequests::All;
    change(&mut settings);
    World::new(settings)
}

fn wish(name: &str, url: &str) -> RuleWish {
    RuleWish {
        name: name.parse().unwrap(),
        order: 100,
        vendor: "yealink".into(),
        model: "".into(),
        mac_prefixes: ["001565".parse().unwrap()].into(),
        profile_type: ProfileType::Device,
        url: url.parse().unwrap(),
        form: BodyForm::Url,
        whose: Whose::Any,
    }
}

/// With one rule.
fn world() -> World {
    let world = world_with(|_| {});
    put(&world, wish("yealink", "https://pbx.example/p/{mac}.cfg?m={model}"));
    world
}

fn put(world: &World, wish: RuleWish) {
    done(world.service.put_profile(wish, true, None)).unwrap();
}

/// A SUBSCRIBE; `more` are further header fields.
struct Subscribe<'a> {
    cseq: u32,
    to_tag: &'a str,
    event: &'a str,
    more: &'a str,
}

const EVENT: &str = "ua-profile;profile-type=\"device\";vendor=\"Yealink\";model=\"T46 S\";version=\"66.85\"";
const FETCH: Subscribe<'static> =
    Subscribe { cseq: 1, to_tag: "", event: EVENT, more: "Expires: 0\r\nAccept: application/url\r\n" };

impl Subscribe<'_> {
    fn text(&self) -> String {
        let Self { cseq, to_tag, event, more } = self;
        format!(
            "SUBSCRIBE sip:{MAC_USER}@anything.example SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.168.1.45:5060;branch=z9hG4bKa{cseq};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:{MAC_USER}@anything.example>;tag=77\r\n\
             To: <sip:{MAC_USER}@anything.example>{to_tag}\r\n\
             Call-ID: c1@phone\r\n\
             CSeq: {cseq} SUBSCRIBE\r\n\
             Contact: <sip:192.168.1.45:5060>\r\n\
             Event: {event}\r\n\
             {more}Content-Length: 0\r\n\r\n"
        )
    }
}

fn ask(world: &World, subscribe: &Subscribe<'_>) -> Answer {
    world.send(&udp(PHONE), subscribe.text())
}

/// NOTIFYs that have left a tick later.
fn notifies(world: &World) -> Vec<String> {
    world.wait(Duration::from_millis(50));
    let requests = world.requests();
    assert!(requests.iter().all(|(flow, _)| flow.remote.to_string() == PHONE));
    requests.into_iter().map(|(_, text)| text).collect()
}

fn notify(world: &World) -> String {
    let mut all = notifies(world);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn subscriptions(world: &World) -> usize {
    world.service.sip_subscriptions(None, 100).0.len()
}

/// A subscription for so many seconds, and the tag of ours; its NOTIFY is answered.
fn subscribed(world: &World, seconds: u32) -> String {
    let more = format!("Expires: {seconds}\r\n");
    let answer = ask(world, &Subscribe { more: &more, ..FETCH });
    assert_eq!(answer.status(), 200, "{}", answer.text);
    let notify = notify(world);
    world.send(&udp(PHONE), answer_to(&notify, "200 OK"));
    let tag = header(&answer.text, "To").unwrap().rsplit_once(";tag=").unwrap().1;
    format!(";tag={tag}")
}

#[test]
fn a_phone_that_asks_is_told_its_url() {
    let world = world();
    let answer = ask(&world, &FETCH);
    assert_eq!(answer.status(), 200, "{}", answer.text);
    assert_eq!(answer.header("Expires"), Some("0"));
    assert!(answer.header("Contact").unwrap().starts_with("<sip:callboard@"), "{}", answer.text);
    assert!(world.requests().is_empty(), "the answer is first");
    let notify = notify(&world);
    assert!(notify.starts_with("NOTIFY sip:192.168.1.45:5060 SIP/2.0\r\n"), "{notify}");
    assert!(notify.ends_with("\r\n\r\nhttps://pbx.example/p/001565aabbcc.cfg?m=T46%20S"), "{notify}");
    // The tags are swapped.
    assert_eq!(header(&notify, "From"), answer.header("To"));
    assert_eq!(header(&notify, "To"), answer.header("From"));
    for (name, value) in [
        ("Call-ID", "c1@phone"),
        ("CSeq", "1 NOTIFY"),
        ("Event", EVENT),
        ("Subscription-State", "terminated;reason=timeout"),
        ("Content-Type", "application/url"),
    ] {
        assert_eq!(header(&notify, name), Some(value), "{notify}");
    }
    world.send(&udp(PHONE), answer_to(&notify, "200 OK"));
    world.wait(Duration::from_secs(40));
    assert!(world.requests().is_empty() && subscriptions(&world) == 0);
}

#[test]
fn a_request_that_comes_again_gets_its_answer_and_no_second_notify() {
    let world = world();
    let more = "Expires: 3600\r\n";
    let first = ask(&world, &Subscribe { more, ..FETCH });
    let again = ask(&world, &Subscribe { more, ..FETCH });
    assert_eq!(first.text, again.text);
    notify(&world);
    assert_eq!((subscriptions(&world), notifies(&world).len()), (1, 0));
}

#[test]
fn who_may_not_ask_is_told_nothing_more() {
    let world = world();
    let send = |from: &str, text: String| world.send(&udp(from), text);
    for from in ["203.0.113.9:5060", "[2001:db8::9]:5060"] {
        let answer = send(from, FETCH.text());
        assert_eq!(answer.status(), 403);
        assert!(answer.text.len() <= 3 * FETCH.text().len());
    }
    for from in ["10.1.2.3:5060", "[fd00::1]:5060", "169.254.1.1:5060"] {
        let own = FETCH.text().replace("z9hG4bKa1", &format!("z9hG4bK{}", from.len()));
        assert_eq!(send(from, own).status(), 200, "{from}");
        assert!(world.requests().is_empty());
        world.wait(Duration::from_millis(50));
        assert_eq!(world.requests()[0].0.remote.to_string(), from);
    }
    // Trust brings anybody in.
    let trusting = World::trusting();
    assert_eq!(ask(&trusting, &FETCH).status(), 489, "by default only the group is asked");
}

#[test]
fn what_is_not_to_be_had_is_refused() {
    let world = world();
    for (subscribe, status) in [
        (Subscribe { event: "presence", ..FETCH }, 489),
        (Subscribe { event: "ua-profile;profile-type=\"user\"", ..FETCH }, 404),
        (Subscribe { event: "ua-profile;vendor=\"snom\"", ..FETCH }, 404),
        (Subscribe { event: "a b", ..FETCH }, 400),
        (Subscribe { more: "Accept: application/xml\r\n", ..FETCH }, 406),
        (Subscribe { more: "Expires: 10\r\n", ..FETCH }, 423),
        (Subscribe { more: "Contact: <sip:b@h>\r\n", ..FETCH }, 400),
        (Subscribe { to_tag: ";tag=0123456789abcdef", ..FETCH }, 481),
        (Subscribe { to_tag: ";tag=x", ..FETCH }, 481),
        (Subscribe { more: "Require: tea\r\n", ..FETCH }, 420),
    ] {
        let answer = ask(&world, &subscribe);
        assert_eq!(answer.status(), status, "{}", subscribe.text());
        if status == 489 {
            assert_eq!(answer.header("Allow-Events"), Some("ua-profile"));
        }
        if status == 423 {
            assert_eq!(answer.header("Min-Expires"), Some("300"));
        }
    }
    let no_event = FETCH.text().replace(&format!("Event: {EVENT}\r\n"), "");
    assert_eq!(world.send(&udp(PHONE), no_event).status(), 489);
    let no_contact = FETCH.text().replace("Contact: <sip:192.168.1.45:5060>\r\n", "");
    assert_eq!(world.send(&udp(PHONE), no_contact).status(), 400);
    assert!(notifies(&world).is_empty() && subscriptions(&world) == 0);
}

#[test]
fn the_body_has_the_form_that_the_phone_takes() {
    let world = world();
    put(&world, RuleWish { form: BodyForm::ExternalBody, ..wish("yealink-2", "http://h/{MAC}") });
    let url = "http://h/001565AABBCC";
    put(&world, RuleWish { form: BodyForm::ExternalBody, order: 1, ..wish("first", "http://h/{MAC}") });
    for (accept, form) in [
        ("", "message/external-body;access-type=\"URL\";URL=\"http://h/001565AABBCC\""),
        ("Accept: application/url\r\n", "application/url"),
        ("Accept: */*\r\n", "message/external-body;access-type=\"URL\";URL=\"http://h/001565AABBCC\""),
    ] {
        let mut other = FETCH.text().replace("Accept: application/url\r\n", accept);
        other = other.replace("z9hG4bKa1", &format!("z9hG4bK{}", accept.len()));
        assert_eq!(world.send(&udp(PHONE), other).status(), 200);
        let notify = notify(&world);
        assert_eq!(header(&notify, "Content-Type"), Some(form));
        assert_eq!(notify.ends_with(url), form == "application/url", "{notify}");
    }
}

#[test]
fn a_subscription_is_refreshed_and_ended() {
    let world = world();
    let tag = subscribed(&world, 600);
    assert_eq!(subscriptions(&world), 1);
    world.wait(Duration::from_secs(500));
    let refresh = |cseq, more| ask(&world, &Subscribe { cseq, to_tag: &tag, more, ..FETCH });
    let answer = refresh(2, "Expires: 999999\r\n");
    assert_eq!((answer.status(), answer.header("Expires")), (200, Some("86400")));
    let told = notify(&world);
    assert_eq!(header(&told, "CSeq"), Some("2 NOTIFY"));
    assert_eq!(header(&told, "Subscription-State"), Some("active;expires=86400"));
    world.send(&udp(PHONE), answer_to(&told, "200 OK"));
    world.wait(Duration::from_secs(500));
    assert_eq!(subscriptions(&world), 1, "it goes on");
    // Late ones and those of others.
    let late = Subscribe { cseq: 1, to_tag: &tag, more: "Expires: 600\r\n", ..FETCH }.text();
    assert_eq!(world.send(&udp(PHONE), late.replace("z9hG4bKa1", "z9hG4bKother")).status(), 500);
    let other = Subscribe { cseq: 3, to_tag: &tag, more: "Expires: 600\r\n", ..FETCH }.text();
    for (from, to) in [("c1@phone", "c2@phone"), (";tag=77", ";tag=78"), ("ua-profile;", "ua-profile;id=1;")]
    {
        assert_eq!(world.send(&udp(PHONE), other.replace(from, to)).status(), 481, "{from}");
    }
    let elsewhere = world.send(&udp("10.9.9.9:5060"), other.replace("z9hG4bKa", "z9hG4bKb"));
    assert_eq!(elsewhere.status(), 481, "nobody has NOTIFYs sent to an address that it forges");
    assert!(notifies(&world).is_empty());
    assert_eq!(refresh(4, "Expires: 0\r\n").header("Expires"), Some("0"));
    assert_eq!(header(&notify(&world), "Subscription-State"), Some("terminated;reason=timeout"));
    assert_eq!((subscriptions(&world), refresh(5, "Expires: 600\r\n").status()), (0, 481));
}

#[test]
fn a_subscription_that_nobody_refreshes_ends() {
    let world = world();
    let tag = subscribed(&world, 600);
    world.wait(Duration::from_secs(602));
    assert_eq!(subscriptions(&world), 0);
    let told = world.requests().remove(0).1;
    assert_eq!(header(&told, "Subscription-State"), Some("terminated;reason=timeout"));
    let late = ask(&world, &Subscribe { cseq: 2, to_tag: &tag, more: "Expires: 600\r\n", ..FETCH });
    assert_eq!(late.status(), 481);
}

#[test]
fn a_phone_that_does_not_take_its_notify_is_forgotten() {
    for (answer, left) in [(Some("200 OK"), 1), (Some("481 Gone"), 0), (Some("500 Oops"), 0), (None, 0)] {
        let world = world();
        ask(&world, &Subscribe { more: "Expires: 3600\r\n", ..FETCH });
        let told = notify(&world);
        if let Some(answer) = answer {
            world.send(&udp(PHONE), answer_to(&told, answer));
        }
        world.wait(Duration::from_secs(33));
        let sent = world.requests().len();
        assert_eq!((subscriptions(&world), sent), (left, if answer.is_some() { 0 } else { 2 }));
    }
}

#[test]
fn a_changed_rule_is_told_to_those_it_is_for() {
    let world = world();
    subscribed(&world, 3_600);
    put(&world, RuleWish { vendor: "snom".into(), ..wish("snom", "http://other/{mac}") });
    world.wait(Duration::from_millis(100));
    assert!(world.requests().is_empty(), "it is not for this phone");
    put(&world, RuleWish { order: 1, ..wish("first", "http://new/{mac}") });
    world.wait(Duration::from_millis(100));
    let told = world.requests().remove(0).1;
    assert!(told.ends_with("\r\n\r\nhttp://new/001565aabbcc"), "{told}");
    assert_eq!(header(&told, "CSeq"), Some("2 NOTIFY"));
    assert!(header(&told, "Subscription-State").unwrap().starts_with("active;expires=3600"));
    world.send(&udp(PHONE), answer_to(&told, "200 OK"));
    for name in ["first", "yealink"] {
        let name: ResourceName = name.parse().unwrap();
        done(world.service.delete_profile(&name, None)).unwrap();
        world.wait(Duration::from_millis(100));
        let told = world.requests().remove(0).1;
        world.send(&udp(PHONE), answer_to(&told, "200 OK"));
        let is_last = name.as_str() == "yealink";
        let over = header(&told, "Subscription-State") == Some("terminated;reason=noresource");
        assert_eq!((over, subscriptions(&world)), (is_last, usize::from(!is_last)), "{told}");
    }
}

#[test]
fn a_restart_forgets_subscriptions_and_keeps_rules() {
    let mut world = world();
    let tag = subscribed(&world, 3_600);
    world.crash();
    let refresh = Subscribe { cseq: 2, to_tag: &tag, more: "Expires: 3600\r\n", ..FETCH };
    assert_eq!(ask(&world, &refresh).status(), 481);
    assert_eq!(ask(&world, &Subscribe { cseq: 3, ..FETCH }).status(), 200);
}

#[test]
fn there_are_bounds_on_subscriptions_and_notifies() {
    let world = world_with(|sip| {
        sip.plug_and_play.subscriptions.per_source = 1;
        sip.plug_and_play.notifies_per_second = 3;
    });
    put(&world, wish("yealink", "http://h/{mac}"));
    let more = "Expires: 3600\r\n";
    let text = |number: u32, more| {
        let text = Subscribe { more, ..FETCH }.text();
        text.replace("AABBCC", &format!("AABB{number:02}")).replace("c1@", &format!("d{number}@"))
    };
    let from = |host: u32, number, more| world.send(&udp(&format!("10.0.0.{host}:5060")), text(number, more));
    assert_eq!(from(1, 1, more).status(), 200);
    let refused = from(1, 2, FETCH.more);
    assert_eq!((refused.status(), refused.header("Retry-After").is_some()), (503, true));
    let statuses: Vec<_> = (3..7).map(|number| from(number, number, FETCH.more).status()).collect();
    assert_eq!(statuses, [200, 200, 503, 503], "each address has its part, and all have theirs");
    world.wait(Duration::from_millis(50));
    assert_eq!(world.requests().len(), 3);
    assert_eq!(from(1, 2, more).status(), 503, "it has its subscription");
    assert_eq!(from(7, 7, FETCH.more).status(), 200);
    world.wait(Duration::from_millis(50));
    assert_eq!(world.requests().len(), 0, "the rate");
    world.wait(Duration::from_secs(1));
    assert!(world.requests().iter().any(|(_, text)| text.ends_with("001565aabb07")));
}

#[test]
fn known_devices_only_if_the_rule_says_so() {
    let world = world_with(|_| {});
    put(&world, RuleWish { whose: Whose::Known, ..wish("known", "http://h/{mac}") });
    assert_eq!(ask(&world, &FETCH).status(), 404);
    let id = "00:15:65:aa:bb:cc".parse().unwrap();
    let made = world.service.fleet.update_detached(&id, true, |device| Ok(device.clone()));
    made.unwrap();
    let again = FETCH.text().replace("z9hG4bKa1", "z9hG4bKa2");
    assert_eq!(world.send(&udp(PHONE), again).status(), 200);
}

fn group_world() -> World {
    let world = world_with(|sip| sip.plug_and_play.requests = ProfileRequests::Multicast);
    put(&world, wish("yealink", "http://h/{mac}"));
    world
}

#[test]
fn an_answer_that_is_kept_is_for_its_request_alone() {
    let world = world();
    let long = Subscribe {
        more: "Expires: 0\r\nRecord-Route: <sip:edge.example;lr;x=0123456789012345678901234567890123456789>\r\n",
        ..FETCH
    };
    assert_eq!(ask(&world, &long).status(), 200);
    let elsewhere = world.send(&udp("203.0.113.9:5060"), long.text());
    assert_eq!(elsewhere.status(), 403, "a forged sender gets no answer of others");
    let shorter = ask(&world, &Subscribe { more: "", ..long });
    assert!(!shorter.text.contains("edge.example"), "{}", shorter.text);
}

#[test]
fn a_subscription_does_not_move_to_where_nobody_may_ask() {
    let world = world();
    let answer = ask(&world, &Subscribe { more: "Expires: 600\r\n", ..FETCH });
    let tag = answer.header("To").unwrap().split_once('>').unwrap().1.to_owned();
    world.wait(Duration::from_millis(100));
    world.requests();
    let refresh = Subscribe { cseq: 2, to_tag: &tag, more: "Expires: 600\r\n", ..FETCH };
    assert_eq!(world.send(&udp("203.0.113.9:5060"), refresh.text()).status(), 403);
    world.wait(Duration::from_millis(100));
    assert!(world.requests().iter().all(|(flow, _)| flow.remote.to_string() == PHONE));
}

#[test]
fn a_phone_that_asks_the_group_is_answered_by_unicast() {
    let world = group_world();
    assert_eq!(ask(&world, &FETCH).status(), 489, "only the group is asked");
    let (to, answer) = world.send_to_group(PHONE, &FETCH.text()).unwrap();
    assert!(answer.starts_with("SIP/2.0 200 OK\r\n") && to == PHONE, "{to} {answer}");
    assert_eq!(world.send_to_group(PHONE, &FETCH.text()).unwrap().1, answer, "it comes again");
    assert!(notify(&world).ends_with("\r\n\r\nhttp://h/001565aabbcc"));
    // Without a tag, a branch and `rport`, as some phones write it: to the port of its Via.
    let old = FETCH.text().replace(";branch=z9hG4bKa1;rport", "").replace(";tag=77", "");
    let (to, answer) = world.send_to_group("192.168.1.45:1053", &old).unwrap();
    assert_eq!(to, PHONE);
    assert!(answer.contains(";tag="), "{answer}");
    let told = notify(&world);
    assert_eq!(header(&told, "To"), Some("<sip:MAC%3a001565AABBCC@anything.example>"));
    // With `rport` to where it came from.
    let other = FETCH.text().replace("z9hG4bKa1", "z9hG4bKa9");
    let (to, answer) = world.send_to_group("192.168.1.45:1053", &other).unwrap();
    assert_eq!(to, "192.168.1.45:1053");
    assert!(answer.contains(";rport=1053;"), "{answer}");
}

#[test]
fn a_subscription_that_began_at_the_group_goes_on_by_unicast() {
    let world = group_world();
    let begin = Subscribe { more: "Expires: 3600\r\n", ..FETCH };
    let (_, answer) = world.send_to_group(PHONE, &begin.text()).unwrap();
    let tag = header(&answer, "To").unwrap().rsplit_once(";tag=").unwrap().1;
    notify(&world);
    let refresh = Subscribe { cseq: 2, to_tag: &format!(";tag={tag}"), more: "Expires: 3600\r\n", ..FETCH };
    assert_eq!(world.send_to_group(PHONE, &refresh.text()), None);
    assert_eq!(ask(&world, &refresh).status(), 200);
}

#[test]
fn nothing_else_is_answered_to_the_group() {
    let world = group_world();
    let good = FETCH.text();
    for other in [
        good.replace("SUBSCRIBE", "OPTIONS"),
        good.replace("SUBSCRIBE", "REGISTER"),
        good.replace("ua-profile", "presence"),
        good.replace("Yealink", "snom"),
        good.replace("MAC%3a001565AABBCC", "MAC%3a001566AABBCC"),
        good.replace("MAC%3a001565AABBCC", "alice"),
        good.replace("application/url", "application/xml"),
        good.replace("Expires: 0", "Expires: 1"),
        good.replace("CSeq: 1 ", "CSeq: x "),
        "SIP/2.0 200 OK\r\n\r\n".to_owned(),
        "\r\n\r\n".to_owned(),
        String::new(),
    ] {
        assert_eq!(world.send_to_group(PHONE, &other), None, "{other}");
    }
    assert_eq!(world.send_to_group("203.0.113.9:5060", &good), None, "from elsewhere");
    let off = world_with(|sip| sip.plug_and_play.requests = ProfileRequests::Off);
    put(&off, wish("yealink", "http://h/{mac}"));
    assert_eq!((off.send_to_group(PHONE, &good), ask(&off, &FETCH).status()), (None, 489));
    assert!(notifies(&world).is_empty());
}
