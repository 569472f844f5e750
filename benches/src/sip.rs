//! REGISTERs as desk phones send them, and a registrar that has nothing to look up.

use callboard_codecs::sip::{
    Contact, ContactValue, HeaderName, Index, Limits, Message, MessageWriter, Reply, Strictness, parse,
};

/// Without credentials, as in a network that is trusted: ten header fields.
pub const PLAIN: &[u8] = b"REGISTER sip:example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.168.17.42:5060;branch=z9hG4bK-524287-1---7f2c31d5a0e94b1c;rport\r\n\
    Max-Forwards: 70\r\n\
    Contact: <sip:4711@192.168.17.42:5060;transport=udp>;expires=3600;\
    +sip.instance=\"<urn:uuid:00000000-0000-1000-8000-001AE80A0B0C>\"\r\n\
    To: \"Reception\" <sip:4711@example.com>\r\n\
    From: \"Reception\" <sip:4711@example.com>;tag=8f31c90d\r\n\
    Call-ID: 84731ODk1YWFiNzM0YTQ5NzE1ZGY2OGI1YjE\r\n\
    CSeq: 2 REGISTER\r\n\
    Supported: outbound, path\r\n\
    User-Agent: OpenScape Desk Phone CP600 V1 R5.3.0\r\n\
    Content-Length: 0\r\n\r\n";

/// The same with Digest credentials.
#[must_use]
pub fn with_digest() -> Vec<u8> {
    let end = PLAIN.len() - b"Content-Length: 0\r\n\r\n".len();
    let credentials = b"Authorization: Digest username=\"4711\", realm=\"example.com\", \
        nonce=\"MTczMjM0NTY3OCAxOTIuMTY4LjE3LjQyIGV4YW1wbGU\", uri=\"sip:example.com\", \
        response=\"06c2a1e9d5b3f4874c1d5f7a2b9e8c3d\", algorithm=MD5, cnonce=\"0a4f113b2c5d\", \
        qop=auth, nc=00000001, opaque=\"5ccc069c403ebaf9\"\r\nContent-Length: 0\r\n\r\n";
    [PLAIN.get(..end).unwrap_or_default(), credentials].concat()
}

/// Reads a REGISTER, judges it, finds the address of record, contacts and credentials, and writes the 200. Gives the length of the
/// credentials' response, 0 if there is none; `None` if this is no such request.
pub fn register(bytes: &[u8], index: &mut Index, key: &mut Vec<u8>, out: &mut Vec<u8>) -> Option<usize> {
    key.clear();
    out.clear();
    let Ok(Message::Request(request)) = parse(bytes, index, &Limits::default()) else { return None };
    let read = request.check(Strictness::Current).ok()?;
    read.to.uri().ok()?.sip()?.write_address_of_record(key);
    let mut credentials = request.headers.credentials(HeaderName::Authorization).flatten();
    let digest = credentials.next().and_then(|read| read.digest().copied());
    let source = std::net::SocketAddr::from(([192, 168, 17, 42], 5_060));
    let reply = Reply { status: 200, reason: "OK", to_tag: b"3a9f51c0", source: Some(source) };
    let mut writer = MessageWriter::response_to(out, &request, &read, &reply);
    for contact in request.headers.contacts() {
        let Ok(Contact::Address(contact)) = contact else { return None };
        let (uri, expires) = (contact.address.raw_uri, contact.expires.or(Some(3_600)));
        writer = writer.contact(&ContactValue { uri, params: b"", expires });
    }
    writer.header(HeaderName::Date, b"Sat, 13 Nov 2010 23:29:00 GMT").finish().ok()?;
    Some(digest.map_or(0, |digest| digest.response.len()))
}
