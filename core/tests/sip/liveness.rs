//! Whether endpoints are there.

use std::time::Duration;

use super::world::{World, answer_to, register, udp};

const BEHIND: &str = "Contact: <sip:alice@10.0.0.4:5060>\r\n";
const NAT: &str = "198.51.100.7:31000";

#[test]
fn an_endpoint_behind_nat_is_asked_and_any_answer_will_do() {
    let world = World::trusting();
    world.send(&udp(NAT), register("a", 1, BEHIND));
    world.wait(Duration::from_secs(40));
    let requests = world.requests();
    let (flow, request) = &requests[0];
    assert_eq!(flow.remote.to_string(), NAT);
    assert!(request.starts_with("OPTIONS sip:alice@10.0.0.4:5060 SIP/2.0\r\n"), "{request}");
    assert_eq!(world.send(&udp(NAT), answer_to(request, "100 Trying")).text, "");
    assert_eq!(world.send(&udp(NAT), answer_to(request, "486 Busy Here")).text, "");
    world.requests();
    // Asked after 24 s at the soonest, and again 30 s later.
    world.wait(Duration::from_secs(12));
    assert!(world.requests().is_empty(), "it was answered");
    assert!(world.events("endpoint-lost").is_empty());
}

#[test]
fn one_that_does_not_answer_is_lost_until_it_registers() {
    let world = World::trusting();
    world.send(&udp(NAT), register("a", 1, BEHIND));
    world.wait(Duration::from_secs(40));
    let (_, first) = world.requests().remove(0);
    world.wait(Duration::from_mins(1));
    assert_eq!(world.events("endpoint-lost"), ["alice@example.com: it does not answer"]);
    let same = world.requests().iter().filter(|(_, text)| *text == first).count();
    assert!((4..=10).contains(&same), "repeated {same} times");
    world.send(&udp(NAT), answer_to(&first, "200 OK"));
    assert!(world.events("endpoint-back").is_empty(), "that came too late to count");
    world.send(&udp(NAT), register("a", 2, BEHIND));
    assert_eq!(world.events("endpoint-back"), ["alice@example.com is back"]);
}

#[test]
fn those_whose_address_is_their_own_are_left_in_peace() {
    let world = World::trusting();
    world.send(&udp("192.0.2.4:5060"), register("a", 1, "Contact: <sip:alice@192.0.2.4>\r\n"));
    world.wait(Duration::from_mins(2));
    assert!(world.requests().is_empty());
}
