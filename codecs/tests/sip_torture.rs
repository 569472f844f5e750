//! Every message of RFC 4475 (torture tests) and RFC 5118 (the same for IPv6), with the verdict that its RFC gives and ours.
//!
//! What the codec judges is syntax and what holds for every method. Where more is to be said of a message (a method, a scheme, an extension
//! that nobody knows), the table says what the user agent will answer, and other tests below show that it has what it needs.

#![allow(clippy::unwrap_used)]

use callboard_codecs::sip::{
    BadMessage, BadStream, Contact, Credentials, Fault, Frame, Framer, HeaderName, Host, Index, Limits,
    Message, MessageWriter, Reply, Request, Response, Side, Strictness, Transport, Uri, parse,
};

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accept,
    Refuse(u16),
    Drop,
}

use Verdict::{Accept, Drop, Refuse};

struct Case {
    section: &'static str,
    name: &'static str,
    /// What the RFC allows here.
    rfc: &'static [Verdict],
    ours: Verdict,
    /// What the user agent will say, where that is another thing.
    agent: &'static str,
}

const fn case(
    section: &'static str,
    name: &'static str,
    rfc: &'static [Verdict],
    ours: Verdict,
    agent: &'static str,
) -> Case {
    Case { section, name, rfc, ours, agent }
}

const ACCEPT: &[Verdict] = &[Accept];
const REFUSE: &[Verdict] = &[Refuse(400)];
/// The RFC leaves it to the element whether it is liberal.
const LIBERAL: &[Verdict] = &[Refuse(400), Accept];
const DROP: &[Verdict] = &[Drop];

const RFC4475: &[Case] = &[
    case("3.1.1.1", "wsinv", ACCEPT, Accept, "405"),
    case("3.1.1.2", "intmeth", ACCEPT, Accept, "501"),
    case("3.1.1.3", "esc01", ACCEPT, Accept, "405"),
    case("3.1.1.4", "escnull", ACCEPT, Accept, "two bindings"),
    case("3.1.1.5", "esc02", ACCEPT, Accept, "501"),
    case("3.1.1.6", "lwsdisp", ACCEPT, Accept, ""),
    case("3.1.1.7", "longreq", ACCEPT, Accept, "405"),
    case("3.1.1.8", "dblreq", ACCEPT, Accept, ""),
    case("3.1.1.9", "semiuri", ACCEPT, Accept, ""),
    case("3.1.1.10", "transports", ACCEPT, Accept, ""),
    case("3.1.1.11", "mpart01", ACCEPT, Accept, "405"),
    case("3.1.1.12", "unreason", ACCEPT, Accept, ""),
    case("3.1.1.13", "noreason", ACCEPT, Accept, ""),
    case("3.1.2.1", "badinv01", REFUSE, Refuse(400), ""),
    case("3.1.2.2", "clerr", REFUSE, Refuse(400), ""),
    case("3.1.2.3", "ncl", REFUSE, Refuse(400), ""),
    case("3.1.2.4", "scalar02", REFUSE, Refuse(400), ""),
    case("3.1.2.5", "scalarlg", DROP, Drop, ""),
    case("3.1.2.6", "quotbal", LIBERAL, Refuse(400), ""),
    case("3.1.2.7", "ltgtruri", LIBERAL, Refuse(400), ""),
    case("3.1.2.8", "lwsruri", LIBERAL, Refuse(400), ""),
    case("3.1.2.9", "lwsstart", LIBERAL, Refuse(400), ""),
    case("3.1.2.10", "trws", LIBERAL, Refuse(400), ""),
    case("3.1.2.11", "escruri", LIBERAL, Refuse(400), ""),
    case("3.1.2.12", "baddate", LIBERAL, Accept, "405, Date unread"),
    case("3.1.2.13", "regbadct", LIBERAL, Refuse(400), ""),
    case("3.1.2.14", "badaspec", LIBERAL, Refuse(400), ""),
    case("3.1.2.15", "baddn", LIBERAL, Refuse(400), ""),
    case("3.1.2.16", "badvers", &[Refuse(505)], Refuse(505), ""),
    case("3.1.2.17", "mismatch01", REFUSE, Refuse(400), ""),
    case("3.1.2.18", "mismatch02", &[Refuse(501), Refuse(400)], Refuse(501), ""),
    case("3.1.2.19", "bigcode", DROP, Drop, ""),
    case("3.2.1", "badbranch", ACCEPT, Accept, "RFC 2543 matching"),
    case("3.3.1", "insuf", REFUSE, Refuse(400), ""),
    case("3.3.2", "unkscm", ACCEPT, Accept, "416"),
    case("3.3.3", "novelsc", ACCEPT, Accept, "416"),
    case("3.3.4", "unksm2", ACCEPT, Accept, "400 or 404: To"),
    case("3.3.5", "bext01", ACCEPT, Accept, "420"),
    case("3.3.6", "invut", ACCEPT, Accept, "415 or 405"),
    case("3.3.7", "regaut01", ACCEPT, Accept, "401"),
    case("3.3.8", "multi01", REFUSE, Refuse(400), ""),
    case("3.3.9", "mcl01", REFUSE, Refuse(400), ""),
    case("3.3.10", "bcast", ACCEPT, Accept, "dropped: Via not ours"),
    case("3.3.11", "zeromf", ACCEPT, Accept, "200"),
    case("3.3.12", "cparam01", ACCEPT, Accept, ""),
    case("3.3.13", "cparam02", ACCEPT, Accept, ""),
    case("3.3.14", "regescrt", ACCEPT, Accept, ""),
    case("3.3.15", "sdp01", ACCEPT, Accept, "406 or 405"),
    case("3.4.1", "inv2543", ACCEPT, Accept, "405"),
];

const RFC5118: &[Case] = &[
    case("4.1", "ipv6-good", ACCEPT, Accept, ""),
    case("4.2", "ipv6-bad", REFUSE, Refuse(400), ""),
    case("4.3", "port-ambiguous", ACCEPT, Accept, ""),
    case("4.4", "port-unambiguous", ACCEPT, Accept, ""),
    case("4.5", "via-received-param-with-delim", ACCEPT, Accept, "481"),
    case("4.5", "via-received-param-no-delim", ACCEPT, Accept, ""),
    case("4.6", "ipv6-in-sdp", ACCEPT, Accept, "405"),
    case("4.7", "mult-ip-in-header", ACCEPT, Accept, "481"),
    case("4.8", "mult-ip-in-sdp", ACCEPT, Accept, "405"),
    case("4.9", "ipv4-mapped-ipv6", ACCEPT, Accept, "405"),
    case("4.10", "ipv6-bug-abnf-3-colons", ACCEPT, Accept, ""),
    case("4.10", "ipv6-correct-abnf-2-colons", ACCEPT, Accept, ""),
];

fn message(name: &str) -> Vec<u8> {
    let path = |folder| format!("{}/tests/data/{folder}/{name}.dat", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path("rfc4475")).or_else(|_| std::fs::read(path("rfc5118"))).unwrap()
}

fn with_request<T>(name: &str, ask: impl FnOnce(&Request<'_>) -> T) -> T {
    match parse(&message(name), &mut Index::new(), &Limits::default()) {
        Ok(Message::Request(request)) => ask(&request),
        other => panic!("{name}: {other:?}"),
    }
}

fn with_response<T>(name: &str, ask: impl FnOnce(&Response<'_>) -> T) -> T {
    match parse(&message(name), &mut Index::new(), &Limits::default()) {
        Ok(Message::Response(response)) => ask(&response),
        other => panic!("{name}: {other:?}"),
    }
}

/// What a registrar looks at before it looks at what the message says.
fn judge(bytes: &[u8]) -> Verdict {
    match parse(bytes, &mut Index::new(), &Limits::default()) {
        Err(_) => Drop,
        Ok(Message::Response(response)) => response.check().map_or(Drop, |_| Accept),
        Ok(Message::Request(request)) => {
            let refused = request.check(Strictness::default()).err().map(|refusal| refusal.status);
            let contacts = || request.headers.contacts().any(|contact| contact.is_err()).then_some(400);
            match refused.or_else(contacts) {
                Some(status) if request.is_answerable() => {
                    assert_answer_can_be_read(&request, status);
                    Refuse(status)
                }
                Some(_) => Drop,
                None => Accept,
            }
        }
    }
}

/// A refusal goes out with whatever the request has.
fn assert_answer_can_be_read(request: &Request<'_>, status: u16) {
    let mut answer = Vec::new();
    let source = "[2001:db8::1]:5060".parse().ok();
    let reply = Reply { status, reason: "Refused", to_tag: b"t", source };
    MessageWriter::response(&mut answer, request, &reply).finish().unwrap();
    let mut index = Index::new();
    let Ok(Message::Response(response)) = parse(&answer, &mut index, &Limits::default()) else { panic!() };
    assert_eq!(response.status, status);
    for name in [HeaderName::From, HeaderName::CallId, HeaderName::CSeq] {
        assert_eq!(response.headers.first(name), request.headers.first(name));
    }
    assert_eq!(response.headers.has(HeaderName::To), request.headers.has(HeaderName::To));
    let vias = |headers: callboard_codecs::sip::Headers<'_>| headers.all(HeaderName::Via).count();
    assert_eq!(vias(response.headers), vias(request.headers));
}

#[test]
fn every_message_gets_its_verdict() {
    let mut different = Vec::new();
    println!("{:<9} {:<30} {:<28} {:<12} agent", "section", "message", "RFC", "here");
    for case in RFC4475.iter().chain(RFC5118) {
        let here = judge(&message(case.name));
        let rfc = format!("{:?}", case.rfc);
        println!(
            "{:<9} {:<30} {rfc:<28} {:<12} {}",
            case.section,
            case.name,
            format!("{here:?}"),
            case.agent
        );
        if here != case.ours || !case.rfc.contains(&here) {
            different.push(case.name);
        }
    }
    assert_eq!(different, [""; 0]);
}

#[test]
fn no_message_was_forgotten() {
    for (folder, cases) in [("rfc4475", RFC4475), ("rfc5118", RFC5118)] {
        let path = format!("{}/tests/data/{folder}", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(std::fs::read_dir(path).unwrap().count(), cases.len());
    }
}

#[test]
fn each_is_refused_for_its_own_fault() {
    let refused =
        |name: &str| with_request(name, |request| request.check(Strictness::default()).unwrap_err());
    for (name, reason) in [
        ("badinv01", "Malformed Via"),
        ("clerr", "Body Shorter Than Content-Length"),
        ("ncl", "Malformed Content-Length"),
        ("scalar02", "Malformed CSeq"),
        ("quotbal", "Malformed To"),
        ("ltgtruri", "Malformed Request-URI"),
        ("lwsruri", "Malformed Request-Line"),
        ("lwsstart", "Malformed Request-Line"),
        ("trws", "Malformed Request-Line"),
        ("escruri", "Headers In Request-URI"),
        ("badaspec", "Malformed To"),
        ("badvers", "Version Not Supported"),
        ("mismatch01", "CSeq Method Mismatch"),
        ("mismatch02", "Not Implemented"),
        ("insuf", "Missing From"),
        ("multi01", "More Than One From"),
        ("mcl01", "More Than One Content-Length"),
        ("ipv6-bad", "Malformed Request-URI"),
    ] {
        assert_eq!(refused(name).reason, reason, "{name}");
    }
    // The archive has this message without its empty line, which is the first thing that is wrong with it.
    assert_eq!(refused("baddn").fault, Fault::NoEnd);
    let mut complete = message("baddn");
    complete.extend_from_slice(b"\r\n");
    let mut index = Index::new();
    let Ok(Message::Request(request)) = parse(&complete, &mut index, &Limits::default()) else { panic!() };
    assert_eq!(request.check(Strictness::default()).unwrap_err().reason, "Malformed From");
    let fault = |name| with_response(name, |response| response.check().unwrap_err());
    assert_eq!(fault("scalarlg").reason(), "Malformed CSeq");
    let bigcode = parse(&message("bigcode"), &mut Index::new(), &Limits::default()).map(|_| ());
    assert_eq!(bigcode, Err(BadMessage::StartLine));
}

/// In streams an error of the length is the end; what is longer than what is there may still come.
#[test]
fn streams_are_closed_where_the_rfc_says_so() {
    let frame = |name: &str| Framer::new(Side::Server, Limits::default()).next(&message(name));
    assert_eq!(frame("clerr"), Ok(Frame::More));
    assert_eq!(frame("ncl"), Err(BadStream::ContentLength));
    assert_eq!(frame("mcl01"), Err(BadStream::ContentLength));
    let bytes = message("dblreq");
    let mut framer = Framer::new(Side::Server, Limits::default());
    let Ok(Frame::Message(first)) = framer.next(&bytes) else { panic!() };
    assert!(bytes[first..].starts_with(b"\r\nINVITE"));
    let Ok(Frame::Message(second)) = framer.next(&bytes[first..]) else { panic!() };
    // The second body is three bytes longer than it is said to be, which is no first line.
    let rest = &bytes[first + second..];
    assert_eq!((rest, framer.next(rest)), (&b"C\r\n\r\n"[..], Ok(Frame::Message(5))));
    let after = parse(rest, &mut Index::new(), &Limits::default()).map(|_| ());
    assert_eq!(after, Err(BadMessage::StartLine));
}

#[test]
fn the_tortuous_invite_reads_as_it_is_meant() {
    with_request("wsinv", |request| {
        let read = request.check(Strictness::OldClients).unwrap();
        assert_eq!(read.from.display().as_deref(), Some(&b"J Rosenberg \\\""[..]));
        assert_eq!((read.from.tag(), read.to.tag()), (Some(&b"98asjd8"[..]), Some(&b"1918181833n"[..])));
        assert_eq!((read.cseq.number, read.max_forwards), (9, Some(68)));
        assert_eq!((read.via.branch, read.via.has_cookie()), (Some(&b"390skdjuw"[..]), false));
        let vias: Vec<_> = request.headers.vias().map(Result::unwrap).collect();
        let branches: Vec<_> = vias.iter().filter_map(|via| via.branch).collect();
        assert_eq!(branches, [&b"390skdjuw"[..], b"z9hG4bK9ikj8", b"z9hG4bK30239"]);
        assert_eq!(vias[1].transport, Transport::Tcp);
        let contacts: Vec<_> = request.headers.contacts().map(Result::unwrap).collect();
        let [Contact::Address(contact)] = contacts.as_slice() else { panic!() };
        assert_eq!(contact.address.display().as_deref(), Some(&b"Quoted string \"\""[..]));
        assert_eq!((contact.q, contact.address.params.text("newparam")), (Some(330), Some(&b"newvalue"[..])));
        let route = request.headers.routes(HeaderName::Route).next().unwrap().unwrap();
        assert!(route.uri().unwrap().sip().unwrap().params.is_loose_router());
        assert_eq!(request.headers.first(HeaderName::Subject), Some(&b""[..]));
        assert_eq!(request.headers.other("unknownheaderwithunusualvalue"), Some(&b";;,,;;,;"[..]));
        assert_eq!(request.body.len(), 150);
    });
}

#[test]
fn escapes_mean_what_they_are_where_they_are_escapes() {
    with_request("esc01", |request| {
        let read = request.check(Strictness::Current).unwrap();
        let user = |uri: Uri<'_>| uri.sip().unwrap().unescaped_user().collect::<Vec<_>>();
        assert_eq!(user(read.uri), b"sips:user@example.com");
        assert_eq!(user(read.to.uri().unwrap()), b"user");
        assert_eq!(user(read.from.uri().unwrap()), b"I have spaces");
        let Some(Ok(Contact::Address(contact))) = request.headers.contacts().next() else { panic!() };
        let uri = contact.address.uri().unwrap();
        assert!(uri.sip().unwrap().params.is_loose_router());
        assert!(uri.is_equivalent(&Uri::read(b"sip:caller@host5.example.net;lr;name=value%2541").unwrap()));
    });
    with_request("esc02", |request| {
        assert_eq!(request.method.as_bytes(), b"RE%47IST%45R");
        assert_eq!(request.headers.contacts().count(), 2);
        let to = request.headers.to().unwrap().unwrap();
        assert_eq!(to.display().as_deref(), Some(&b"%Z%45"[..]));
    });
    with_request("escnull", |request| {
        let mut users = request.headers.contacts().map(|contact| {
            let Ok(Contact::Address(contact)) = contact else { panic!() };
            contact.address.uri().unwrap().sip().unwrap().unescaped_user().collect::<Vec<_>>()
        });
        assert_eq!((users.next(), users.next(), users.next()), (Some(vec![0]), Some(vec![0, 0]), None));
    });
    with_request("semiuri", |request| {
        assert_eq!(request.uri().unwrap().sip().unwrap().user, Some(&b"user;par=u%40example.net"[..]));
        assert_eq!(request.headers.accepts().flatten().count(), 6);
    });
}

#[test]
fn contact_parameters_belong_to_whom_they_belong() {
    let contact = |name: &str, ask: fn(&callboard_codecs::sip::ContactAddress<'_>)| {
        with_request(name, |request| match request.headers.contacts().next() {
            Some(Ok(Contact::Address(contact))) => ask(&contact),
            other => panic!("{name}: {other:?}"),
        });
    };
    contact("cparam01", |contact| {
        assert!(contact.address.params.get("unknownparam").is_some());
        assert_eq!(contact.address.raw_uri, b"sip:+19725552222@gw1.example.net");
    });
    contact("cparam02", |contact| {
        assert!(contact.address.params.as_bytes().is_empty());
        assert_eq!(contact.address.raw_uri, b"sip:+19725552222@gw1.example.net;unknownparam");
    });
    contact("regescrt", |contact| {
        let uri = contact.address.uri().unwrap();
        let header = uri.sip().unwrap().headers.iter().next().unwrap();
        assert_eq!((header.name, header.value), (&b"Route"[..], Some(&b"%3Csip:sip.example.com%3E"[..])));
    });
}

#[test]
fn the_user_agent_has_what_it_needs_to_judge() {
    with_request("unkscm", |request| {
        let uri = request.check(Strictness::Current).unwrap().uri;
        assert!(matches!(uri, Uri::Other(other) if other.scheme == b"nobodyKnowsThisScheme"));
    });
    with_request("novelsc", |request| assert!(matches!(request.uri(), Ok(Uri::Other(_)))));
    with_request("unksm2", |request| {
        let to = request.check(Strictness::Current).unwrap().to;
        assert!(matches!(to.uri(), Ok(Uri::Other(other)) if other.scheme == b"isbn"));
    });
    with_request("bext01", |request| {
        let required: Vec<_> = request.headers.tokens(HeaderName::Require).collect();
        assert_eq!(required, [&b"nothingSupportsThis"[..], b"nothingSupportsThisEither"]);
    });
    with_request("invut", |request| {
        assert!(request.headers.content_type().unwrap().unwrap().is("application/unknownformat"));
    });
    with_request("sdp01", |request| {
        assert!(!request.headers.accepts().any(|range| range.unwrap().allows("application/sdp")));
    });
    with_request("regaut01", |request| {
        let read = request.headers.credentials(HeaderName::Authorization).next().unwrap();
        assert_eq!(read, Ok(Credentials::Other { scheme: b"NoOneKnowsThisScheme" }));
    });
    with_request("zeromf", |request| {
        assert_eq!(request.check(Strictness::Current).unwrap().max_forwards, Some(0));
    });
    with_request("badbranch", |request| {
        let read = request.check(Strictness::OldClients).unwrap();
        assert_eq!((read.via.branch, read.via.has_cookie()), (Some(&b"z9hG4bK"[..]), false));
        assert_eq!(request.check(Strictness::Current).unwrap_err().fault, Fault::NoBranch);
    });
    with_request("inv2543", |request| {
        let read = request.check(Strictness::OldClients).unwrap();
        assert_eq!((read.from.tag(), read.max_forwards), (None, None));
    });
    with_response("bcast", |response| {
        let read = response.check().unwrap();
        assert_eq!((read.via.host.address(), read.one_via), ("192.0.2.198".parse().ok(), false));
    });
    with_response("noreason", |response| assert_eq!((response.status, response.reason), (100, &b""[..])));
    with_response("unreason", |response| assert!(response.reason.starts_with(b"= 2**3 * 5**2 \xD0")));
}

#[test]
fn ipv6_references_are_addresses_and_nothing_else() {
    let host = |name: &str| {
        with_request(name, |request| {
            let uri = request.check(Strictness::Current).unwrap().uri;
            let uri = uri.sip().unwrap();
            (uri.host.address().map(|address| address.to_string()), uri.port)
        })
    };
    let read = |text: &str| Some(text.to_owned());
    assert_eq!(host("ipv6-good"), (read("2001:db8::10"), None));
    assert_eq!(host("port-ambiguous"), (read("2001:db8::10:5070"), None));
    assert_eq!(host("port-unambiguous"), (read("2001:db8::10"), Some(5070)));
    assert_eq!(host("ipv6-bug-abnf-3-colons"), host("ipv6-correct-abnf-2-colons"));
    for name in ["via-received-param-with-delim", "via-received-param-no-delim"] {
        let received = with_request(name, |request| request.check(Strictness::Current).unwrap().via.received);
        assert_eq!(received, "2001:db8::9:255".parse().ok(), "{name}");
    }
    with_request("mult-ip-in-header", |request| {
        let vias: Vec<_> = request.headers.vias().map(Result::unwrap).collect();
        assert_eq!((vias.len(), vias[0].port), (3, Some(6050)));
        assert_eq!(vias[2].received, "192.0.2.200".parse().ok());
    });
    with_request("ipv4-mapped-ipv6", |request| {
        let mapped = request.check(Strictness::Current).unwrap().via.host;
        assert_eq!(mapped, Host::V6("::ffff:192.0.2.10".parse().unwrap()));
    });
}
