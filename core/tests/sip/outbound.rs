//! Connections that phones keep (RFC 5626), and proxies on the way (RFC 3327).

use super::world::{World, register, tls, udp};

const FLOW: &str = "Contact: <sip:alice@192.0.2.4;transport=tls>;reg-id=1;+sip.instance=\"<urn:uuid:1>\"\r\n\
                    Supported: outbound, path\r\n";

#[test]
fn a_phone_that_comes_on_a_new_connection_has_one_binding() {
    let world = World::trusting();
    let first = world.send(&tls("192.0.2.4:40000", 1), register("a", 1, FLOW));
    assert_eq!((first.header("Require"), first.header("Flow-Timer")), (Some("outbound"), Some("120")));
    let contact = "<sip:alice@192.0.2.4;transport=tls>;reg-id=1;+sip.instance=\"<urn:uuid:1>\";expires=3600";
    assert_eq!(first.header("Contact"), Some(contact));
    let place = first.place().unwrap();
    world.service.sip_connection_closed(place, 1);
    assert_eq!(world.events("endpoint-lost"), ["alice@example.com: its connection is gone"]);
    let again = world.send(&tls("192.0.2.4:40001", 2), register("b", 1, FLOW));
    assert_eq!(again.headers("Contact").count(), 1);
    assert_eq!(world.events("endpoint-back"), ["alice@example.com is back"]);
    // The end of the old connection says nothing about the new one.
    world.service.sip_connection_closed(place, 1);
    assert_eq!(world.events("endpoint-lost").len(), 1);
}

#[test]
fn the_first_hop_has_to_keep_flows_too() {
    let world = World::trusting();
    let proxy = udp("192.0.2.99:5060");
    let through = |path: &str| {
        let more = format!("{FLOW}{path}");
        register("a", 1, &more).replacen("Via: ", "Via: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKp\r\nVia: ", 1)
    };
    let lacking = world.send(&proxy, through("Path: <sip:p.example.com;lr>\r\n"));
    assert!(lacking.text.starts_with("SIP/2.0 439 First Hop Lacks Outbound Support"), "{}", lacking.text);
    let keeping =
        world.send(&proxy, through("Path: <sip:p2.example.com;lr>, <sip:t@p.example.com;lr;ob>\r\n"));
    assert_eq!((keeping.status(), keeping.header("Require")), (200, Some("outbound")));
    let path = "<sip:p2.example.com;lr>, <sip:t@p.example.com;lr;ob>";
    assert_eq!(keeping.header("Path"), Some(path));
    let binding = &world.service.sip.location.get("alice@example.com", world.now())[0];
    assert_eq!(&*binding.path, path);
}
