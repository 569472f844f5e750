//! A REGISTER is read, judged and answered without any allocation, once index and buffer have their size.

use callboard_codecs::sip::{
    Contact, ContactValue, HeaderName, Index, Limits, Message, MessageWriter, Reply, Strictness, parse,
};

const REGISTER: &[u8] = b"REGISTER sip:example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.168.17.42:5060;branch=z9hG4bK-524287-1---7f2c31d5a0e94b1c;rport\r\n\
    Max-Forwards: 70\r\n\
    Contact: <sip:4711@192.168.17.42:5060;transport=udp>;expires=3600;\
    +sip.instance=\"<urn:uuid:00000000-0000-1000-8000-001AE80A0B0C>\";reg-id=1\r\n\
    To: \"Reception\" <sip:4711@example.com>\r\n\
    From: \"Reception\" <sip:4711@example.com>;tag=8f31c90d\r\n\
    Call-ID: 84731ODk1YWFiNzM0YTQ5NzE1ZGY2OGI1YjE\r\n\
    CSeq: 2 REGISTER\r\n\
    Supported: outbound, path\r\n\
    User-Agent: OpenScape Desk Phone CP600\r\n\
    Content-Length: 0\r\n\r\n";

fn answer(index: &mut Index, key: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
    let Ok(Message::Request(request)) = parse(REGISTER, index, &Limits::default()) else { return false };
    let Ok(read) = request.check(Strictness::Current) else { return false };
    let Ok(to) = read.to.uri() else { return false };
    let Some(to) = to.sip() else { return false };
    to.write_address_of_record(key);
    let Some(Ok(Contact::Address(contact))) = request.headers.contacts().next() else { return false };
    let reply = Reply { status: 200, reason: "OK", to_tag: b"3a9f", source: "192.0.2.4:61024".parse().ok() };
    let uri = contact.address.raw_uri;
    let contact = ContactValue { uri, params: b"", expires: contact.expires };
    let supported = request.headers.has_option(HeaderName::Supported, "PATH");
    let writer = MessageWriter::response(out, &request, &reply).contact(&contact);
    writer.header(HeaderName::Date, b"Sat, 13 Nov 2010 23:29:00 GMT").finish().is_ok() && supported
}

#[test]
fn a_register_allocates_nothing() {
    let (mut index, mut key, mut out) = (Index::new(), Vec::new(), Vec::new());
    assert!(answer(&mut index, &mut key, &mut out));
    let expected = "SIP/2.0 200 OK\r\n\
        Via: SIP/2.0/UDP 192.168.17.42:5060;branch=z9hG4bK-524287-1---7f2c31d5a0e94b1c;rport=61024;received=192.0.2.4\r\n\
        From: \"Reception\" <sip:4711@example.com>;tag=8f31c90d\r\n\
        To: \"Reception\" <sip:4711@example.com>;tag=3a9f\r\n\
        Call-ID: 84731ODk1YWFiNzM0YTQ5NzE1ZGY2OGI1YjE\r\n\
        CSeq: 2 REGISTER\r\n\
        Contact: <sip:4711@192.168.17.42:5060;transport=udp>;expires=3600\r\n\
        Date: Sat, 13 Nov 2010 23:29:00 GMT\r\n\
        Content-Length: 0\r\n\r\n";
    assert_eq!((str::from_utf8(&key), str::from_utf8(&out)), (Ok("4711@example.com"), Ok(expected)));
    let counted = allocation_counter::measure(|| {
        key.clear();
        out.clear();
        assert!(answer(&mut index, &mut key, &mut out));
    });
    assert_eq!(counted.count_total, 0);
    assert_eq!(str::from_utf8(&out), Ok(expected));
}
