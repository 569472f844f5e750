//! What is written reads the same; no bytes do harm; streams may be cut anywhere; URIs compare by the laws.

#![allow(clippy::unwrap_used)]

mod sip_views;

use callboard_codecs::sip::{
    BadStream, ContactValue, Frame, Framer, HeaderName, Index, Limits, Message, MessageWriter, Method,
    RequestHead, Side, Strictness, Transport, Uri, ViaHead, parse,
};
use proptest::prelude::*;
use proptest::string::string_regex;

const TOKEN: &str = "[a-zA-Z0-9.!%*_+`'~-]{1,12}";
const URI: &str = "(sip|SIPS):(([a-z0-9;?/&+]|%[0-9a-f][0-9A-F]){1,8}(:[a-z&=]{0,4})?@)?\
    ([a-zA-Z]{1,8}(\\.[a-z]{2,3}){0,2}|192\\.0\\.2\\.[0-9]|\\[2001:db8::[0-9a-f]{1,4}\\])(:[1-9][0-9]{0,3})?\
    (;(transport=[a-z]{2,3}|lr|user=phone|[a-z]{1,3}=[A-Za-z0-9]{1,3})){0,3}(\\?[a-c]=[a-z]{0,3}(&[a-c]=[a-z]{0,2}){0,2})?";

/// Text near SIP: lines that make sense, and some that do not.
fn near_sip() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        6 => "(REGISTER|OPTIONS|ACK|X) sip:[a-z@.:;=?]{1,20} SIP/2\\.0",
        2 => "SIP/2\\.0 [1-9][0-9]{2} [ -~]{0,9}",
        1 => "[ -~]{0,30}",
    ];
    let value = prop_oneof![
        3 => string_regex(&format!("[a-z\" ]{{0,8}}<{URI}>(;tag={TOKEN})?(;q=0\\.[0-9]{{1,3}}|;expires=[0-9a]{{1,12}}){{0,2}}")).unwrap(),
        3 => string_regex(&format!("SIP ?/2\\.0/UDP {TOKEN}(:[0-9]{{1,5}})?(;branch=z9hG4bK{TOKEN}|;rport|;received=192\\.0\\.2\\.1|;ttl=1){{0,4}}(, ?SIP/2\\.0/TCP h)?")).unwrap(),
        2 => "[0-9]{1,10}[ \t]{1,2}(REGISTER|OPTIONS|ACK|X)",
        2 => "[0-9]{1,5}",
        2 => "Digest username=\"[ -~]{0,9}\", ?realm=\"r\", nonce=\"n\", uri=\"sip:h\", response=\"[0-9a-f]{0,9}\"(, nc=[0-9a-f]{8})?",
        2 => "[ -~\t]{0,20}",
        1 => "([ -~]{0,9}\r\n[ \t]){1,3}[ -~]{0,9}",
        1 => "[\\x00-\\x7F\u{e4}]{0,20}",
    ];
    let name = prop::sample::select(vec![
        "Via",
        "v",
        "From",
        "f",
        "To",
        "t",
        "Call-ID",
        "i",
        "CSeq",
        "Contact",
        "m",
        "Route",
        "Path",
        "Expires",
        "Authorization",
        "WWW-Authenticate",
        "Event",
        "Content-Type",
        "Accept",
        "Supported",
        "X-Other",
        "l",
        "Max-Forwards",
        "Subscription-State",
        "Retry-After",
    ]);
    let field =
        (name, "( |\t)?:( |\r\n )?", value).prop_map(|(name, colon, value)| format!("{name}{colon}{value}"));
    (
        line,
        prop::collection::vec(field, 0..14),
        prop_oneof![9 => Just("\r\n"), 1 => Just("\n")],
        "[a-z\r\n]{0,9}",
    )
        .prop_map(|(line, fields, end, body)| {
            let fields = fields.iter().fold(String::new(), |all, field| all + field + end);
            format!("{line}{end}{fields}{end}{body}").into_bytes()
        })
}

/// A caller's text: nine times of ten what it should be, a token.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let odd = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..9),
        "[a-z\r\n\t ]{0,9}".prop_map(String::into_bytes)
    ];
    prop_oneof![9 => "[a-zA-Z0-9]{1,12}".prop_map(String::into_bytes), 1 => odd]
}

/// Frames of a stream, with the bytes of messages, until it ends or breaks.
fn frames(side: Side, limits: Limits, pieces: &[&[u8]]) -> (Vec<(Frame, Vec<u8>)>, Option<BadStream>) {
    let (mut framer, mut buffer, mut all) = (Framer::new(side, limits), Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match framer.next(&buffer) {
                Ok(Frame::More) => break,
                Ok(frame @ (Frame::Ping(length) | Frame::Pong(length) | Frame::Message(length))) => {
                    assert!(length > 0 && length <= limits.message_bytes.max(4));
                    all.push((frame, buffer.drain(..length).collect()));
                }
                Err(error) => return (all, Some(error)),
            }
        }
        assert!(buffer.len() <= limits.message_bytes);
    }
    (all, None)
}

#[test]
fn no_seed_does_harm() {
    let folder = format!("{}/../fuzz/corpus/sip_message", env!("CARGO_MANIFEST_DIR"));
    let seeds: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|seed| std::fs::read(seed.unwrap().path()).unwrap()).collect();
    assert!(seeds.len() > 60);
    for seed in seeds {
        sip_views::look_at(&seed);
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(
        method in TOKEN,
        uri in URI,
        branch in TOKEN,
        call_id in "[a-zA-Z0-9<>:/@]{1,20}",
        cseq in 0_u32..1 << 31,
        tag in TOKEN,
        hops in 0_u8..,
        expires: u32,
        other in "[ -~]{0,20}",
        body in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let from = format!("\"{}\" <{uri}>;tag={tag}", other.replace(['"', '\\'], ""));
        let to = format!("<{uri}>");
        let head = RequestHead {
            method: Method::read(method.as_bytes()),
            uri: uri.as_bytes(),
            via: ViaHead { transport: Transport::Udp, sent_by: b"h:5060", branch: branch.as_bytes(), rport: true },
            routes: &[b"<sip:edge;lr>"],
            max_forwards: hops,
            from: from.as_bytes(),
            to: to.as_bytes(),
            call_id: call_id.as_bytes(),
            cseq,
        };
        let mut bytes = Vec::new();
        let contact = ContactValue { uri: uri.as_bytes(), params: b"", expires: Some(expires) };
        let writer = MessageWriter::request(&mut bytes, &head).contact(&contact).other("X-Other", other.as_bytes());
        let length = writer.finish_with("a/b", &body).unwrap();
        prop_assert_eq!(length, bytes.len());
        prop_assert_eq!(Framer::new(Side::Server, Limits::default()).next(&bytes), Ok(Frame::Message(length)));
        let mut index = Index::new();
        let Ok(Message::Request(request)) = parse(&bytes, &mut index, &Limits::default()) else { panic!() };
        let headers = &request.headers;
        prop_assert_eq!(headers.iter().count(), 11);
        prop_assert_eq!((request.method, request.raw_uri, request.body), (head.method, head.uri, &body[..]));
        prop_assert_eq!((headers.first(HeaderName::From), headers.first(HeaderName::To)), (Some(head.from), Some(head.to)));
        prop_assert_eq!(headers.other("x-other"), Some(other.as_bytes().trim_ascii()));
        match request.check(Strictness::OldClients) {
            Ok(read) => {
                prop_assert_eq!((read.cseq.number, read.call_id, read.max_forwards), (cseq, head.call_id, Some(hops)));
                prop_assert_eq!((read.from.tag(), read.via.branch), (Some(tag.as_bytes()), Some(branch.as_bytes())));
                prop_assert!(read.uri.is_equivalent(&read.to.uri().unwrap()));
            }
            Err(refusal) => prop_assert!(uri.contains('?'), "{refusal}"),
        }
        sip_views::look_at(&bytes);
    }

    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        sip_views::look_at(&bytes);
    }

    #[test]
    fn no_message_does_harm(bytes in near_sip()) {
        sip_views::look_at(&bytes);
    }

    /// Whatever a caller gives, it stays where it was put, or nothing is written.
    #[test]
    fn no_text_breaks_out(pieces in prop::collection::vec(text(), 8), name in "X-[a-z]{1,4}|[ -~\r\n]{1,9}") {
        let [uri, sent_by, branch, route, from, to, call_id, value] = pieces.try_into().unwrap();
        let head = RequestHead {
            method: Method::read(&branch),
            uri: &uri,
            via: ViaHead { transport: Transport::Other(&branch), sent_by: &sent_by, branch: &branch, rport: false },
            routes: &[&route],
            max_forwards: 70,
            from: &from,
            to: &to,
            call_id: &call_id,
            cseq: 1,
        };
        let mut bytes = Vec::new();
        let contact = ContactValue { uri: &uri, params: &value, expires: None };
        let writer = MessageWriter::request(&mut bytes, &head).contact(&contact).header(HeaderName::Server, &value);
        if writer.list(HeaderName::Allow, [&branch]).other(&name, &value).finish().is_err() {
            prop_assert!(bytes.is_empty());
            return Ok(());
        }
        let mut index = Index::new();
        let Ok(Message::Request(request)) = parse(&bytes, &mut index, &Limits::default()) else { panic!() };
        prop_assert_eq!(request.headers.iter().count(), 12);
        prop_assert_eq!(request.headers.first(HeaderName::Server), Some(value.trim_ascii()));
        prop_assert!(request.body.is_empty());
    }

    #[test]
    fn it_does_not_matter_how_a_stream_is_cut(
        messages in prop::collection::vec(prop_oneof![4 => near_sip(), 1 => Just(b"\r\n\r\n".to_vec())], 1..4),
        cuts in prop::collection::vec(0_usize..600, 0..20),
        client: bool,
        message_bytes in 20_usize..700,
        line_bytes in 10_usize..120,
    ) {
        let side = if client { Side::Client } else { Side::Server };
        let limits = Limits { message_bytes, line_bytes, ..Limits::default() };
        let stream = messages.concat();
        let whole = frames(side, limits, &[&stream]);
        let bytes: Vec<_> = stream.chunks(1).collect();
        prop_assert_eq!(&frames(side, limits, &bytes), &whole);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
        prop_assert_eq!(&frames(side, limits, &pieces), &whole);
    }

    #[test]
    fn uris_compare_by_the_laws(one in URI, other in URI) {
        let (one, other) = (Uri::read(one.as_bytes()).unwrap(), Uri::read(other.as_bytes()).unwrap());
        sip_views::uri(&one);
        prop_assert_eq!(one.is_equivalent(&other), other.is_equivalent(&one));
    }

    /// Spelling makes no difference: escapes, case, order.
    #[test]
    fn one_address_has_many_spellings(
        user in "[a-zA-Z0-9_.-]{1,8}",
        escaped in prop::collection::vec(any::<bool>(), 8),
        host in "[a-z]{1,8}\\.[a-z]{2}",
        params in prop::collection::vec("[a-z]{2}=[a-z0-9]{1,3}", 0..4),
    ) {
        let escape = |(byte, escaped): (u8, &bool)| if *escaped { format!("%{byte:02x}") } else { char::from(byte).to_string() };
        let other: String = user.bytes().zip(escaped.iter().cycle()).map(escape).collect();
        let join = |params: &mut dyn Iterator<Item = &String>| params.fold(String::new(), |all, param| all + ";" + param);
        let mut unique = params.clone();
        unique.sort_unstable();
        unique.dedup_by(|one, other| one[..2] == other[..2]);
        let one = format!("sip:{user}@{host}{}", join(&mut unique.iter()));
        let other = format!("SIP:{other}@{}{}", host.to_uppercase(), join(&mut unique.iter().rev()).to_uppercase());
        let (one, other) = (Uri::read(one.as_bytes()).unwrap(), Uri::read(other.as_bytes()).unwrap());
        prop_assert!(one.is_equivalent(&other));
        let key = |uri: &Uri<'_>| {
            let mut out = Vec::new();
            uri.sip().unwrap().write_address_of_record(&mut out);
            String::from_utf8(out).unwrap()
        };
        prop_assert_eq!(key(&one), format!("{user}@{host}"));
        prop_assert_eq!(key(&one), key(&other));
    }
}
