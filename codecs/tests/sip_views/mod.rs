//! Looks at all that a message can be asked, for property tests and fuzz targets: whatever the bytes were, nothing may panic, and what
//! was read must hold together.

use callboard_codecs::sip::{
    Contact, Credentials, HeaderName, Headers, Index, Limits, Message, MessageWriter, NameAddr, Reply,
    Request, Rport, Strictness, Uri, Via, parse, write_unfolded,
};

/// The limits an answer is read back with: it is longer than its request.
const ROOMY: Limits =
    Limits { message_bytes: 1 << 20, headers: 1_000, line_bytes: 1 << 20, vias: 1_000, contacts: 10 };

/// Reads the bytes as a message and asks for everything; answers requests.
pub(crate) fn look_at(bytes: &[u8]) {
    match parse(bytes, &mut Index::new(), &Limits::default()) {
        Ok(Message::Request(request)) => {
            all_headers(&request.headers);
            for strictness in [Strictness::Current, Strictness::OldClients, Strictness::Multicast] {
                if let Ok(read) = request.check(strictness) {
                    uri(&read.uri);
                    assert_eq!(read.cseq.method, request.method);
                    assert!(request.is_answerable() || request.method.as_bytes() == b"ACK");
                }
            }
            if request.headers.has(HeaderName::Via) {
                answer(&request);
            }
        }
        Ok(Message::Response(response)) => {
            all_headers(&response.headers);
            if let Ok(read) = response.check() {
                assert_eq!(read.one_via, response.headers.values(HeaderName::Via).count() == 1);
            }
        }
        Err(_) => {}
    }
}

fn all_headers(headers: &Headers<'_>) {
    for header in headers.iter() {
        let blank = |byte: Option<&u8>| byte.is_some_and(|byte| b" \t\r\n".contains(byte));
        assert!(!header.raw_name.is_empty() && !blank(header.value.first()) && !blank(header.value.last()));
        assert_eq!(HeaderName::recognise(header.raw_name), header.name);
        let text = String::from_utf8_lossy(header.raw_name);
        assert_eq!(headers.other(&text).is_some(), header.name == HeaderName::Other);
    }
    for via in headers.vias().flatten() {
        assert_eq!(via.params.iter().count() > 0, !via.params.as_bytes().is_empty());
    }
    for contact in headers.contacts().flatten() {
        if let Contact::Address(contact) = contact {
            assert!(contact.q.is_none_or(|q| q <= 1_000) && contact.reg_id != Some(0));
            address(&contact.address);
        }
    }
    for name in [HeaderName::Route, HeaderName::RecordRoute, HeaderName::Path] {
        headers.routes(name).flatten().for_each(|route| address(&route));
    }
    for party in [headers.from(), headers.to()].into_iter().flatten().flatten() {
        address(&party);
    }
    for read in headers.credentials(HeaderName::Authorization).flatten() {
        if let Credentials::Digest(digest) = read {
            assert!(digest.nonce_count().is_none() || digest.nc.is_some_and(|digits| digits.len() == 8));
        }
    }
    let _ = headers.challenges(HeaderName::WwwAuthenticate).count();
    let _ =
        (headers.event(), headers.subscription_state(), headers.content_type(), headers.accepts().count());
    let _ = (headers.expires(), headers.min_expires(), headers.retry_after(), headers.max_forwards());
    assert!(headers.tokens(HeaderName::Supported).all(|token| !token.is_empty()));
}

fn address(address: &NameAddr<'_>) {
    assert!(address.raw_uri.iter().all(u8::is_ascii_graphic));
    assert!(address.tag().is_none_or(|tag| !tag.is_empty()));
    let _ = address.display();
    if let Ok(read) = address.uri() {
        uri(&read);
    }
}

/// A URI is itself, and its address of record has one spelling.
pub(crate) fn uri(uri: &Uri<'_>) {
    assert!(uri.is_equivalent(uri));
    let Some(sip) = uri.sip() else { return };
    let mut once = b"sip:".to_vec();
    sip.write_address_of_record(&mut once);
    let again = Uri::read(&once);
    let Some(again) = again.as_ref().ok().and_then(Uri::sip) else { panic!("{once:?}") };
    let mut twice = b"sip:".to_vec();
    again.write_address_of_record(&mut twice);
    assert_eq!(once, twice);
    assert!(again.host.is_same(&sip.host) && sip.unescaped_user().eq(again.unescaped_user()));
}

fn unfolded(value: Option<&[u8]>) -> Option<Vec<u8>> {
    value.map(|value| {
        let mut out = Vec::new();
        write_unfolded(&mut out, value);
        out.trim_ascii().to_vec()
    })
}

/// An answer to whatever was sent can be read, has what its request had, and says where that came from.
pub(crate) fn answer(request: &Request<'_>) {
    let mut out = Vec::new();
    let source = std::net::SocketAddr::from(([192, 0, 2, 4], 1_024));
    let reply = Reply { status: 400, reason: "No", to_tag: b"t", source: Some(source) };
    assert!(MessageWriter::response(&mut out, request, &reply).finish().is_ok());
    let mut index = Index::new();
    let Ok(Message::Response(response)) = parse(&out, &mut index, &ROOMY) else {
        panic!("{}", String::from_utf8_lossy(&out));
    };
    let (asked, told) = (&request.headers, &response.headers);
    for name in [HeaderName::From, HeaderName::CallId, HeaderName::CSeq] {
        assert_eq!(unfolded(told.first(name)), unfolded(asked.first(name)));
    }
    assert_eq!(told.has(HeaderName::To), asked.has(HeaderName::To));
    assert_eq!(told.all(HeaderName::Via).count(), asked.all(HeaderName::Via).count());
    let others = |headers: &Headers<'_>| {
        headers.all(HeaderName::Via).skip(1).map(|via| unfolded(Some(via))).collect::<Vec<_>>()
    };
    assert_eq!(others(told), others(asked));
    let topmost = |headers: &Headers<'_>| headers.values(HeaderName::Via).next().map(<[u8]>::to_vec);
    let (Some(asked), Some(told)) = (topmost(asked), topmost(told)) else { panic!("no Via") };
    if let Ok(asked) = Via::read(&asked) {
        let Ok(told) = Via::read(&told) else { panic!("{}", String::from_utf8_lossy(&out)) };
        assert_eq!((told.host, told.port, told.transport), (asked.host, asked.port, asked.transport));
        assert_eq!((told.branch, told.maddr, told.ttl), (asked.branch, asked.maddr, asked.ttl));
        let here = told.received.or(told.host.address()).map(|address| address.to_canonical());
        assert_eq!(here, Some(source.ip()));
        let port = if asked.rport == Rport::Empty { Rport::Value(1_024) } else { asked.rport };
        assert_eq!(told.rport, port);
    }
}
