//! The SIP codec: a typical REGISTER read, judged and answered; and read beside ezk's parser taking the same header fields out.

#![allow(missing_docs)]

use std::hint::black_box;

use bytes::Bytes;
use callboard_benches::sip::{PLAIN, register, with_digest};
use callboard_codecs::sip::{HeaderName, Index, Limits, Message, Strictness, parse};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ezk_sip_types::header::typed::{CSeq, CallID, Contact, FromTo, Via};
use ezk_sip_types::msg::{Line, MessageLine, PullParser};
use ezk_sip_types::parse::Parse;
use ezk_sip_types::{Headers, Name};

fn answer(criterion: &mut Criterion) {
    let digest = with_digest();
    let mut group = criterion.benchmark_group("sip_register_answer");
    for (name, bytes) in [("plain", PLAIN), ("digest", &digest[..])] {
        let (mut index, mut key, mut out) = (Index::new(), Vec::new(), Vec::new());
        assert!(register(bytes, &mut index, &mut key, &mut out).is_some());
        group.throughput(Throughput::Elements(1));
        group.bench_function(name, |bencher| {
            bencher.iter(|| register(black_box(bytes), &mut index, &mut key, &mut out));
        });
    }
    group.finish();
}

/// What a registrar takes out of a REGISTER: bytes of Call-ID, tag and contact, and the number.
type Taken = (usize, usize, u32, usize);

fn ours(bytes: &[u8], index: &mut Index) -> Option<Taken> {
    let Ok(Message::Request(request)) = parse(bytes, index, &Limits::default()) else { return None };
    let read = request.check(Strictness::Current).ok()?;
    read.to.uri().ok()?;
    read.from.uri().ok()?;
    let contacts = request.headers.contacts().flatten().count();
    request.headers.has(HeaderName::Supported).then_some(())?;
    Some((read.call_id.len(), read.from.tag()?.len(), read.cseq.number, contacts))
}

fn theirs(bytes: &Bytes) -> Option<Taken> {
    let mut parser = PullParser::new(bytes, 0);
    let line = str::from_utf8(parser.next()?.ok()?).ok()?;
    let (_, _first) = MessageLine::parse(bytes)(line).ok()?;
    let mut headers = Headers::with_capacity(16);
    for line in parser {
        let (_, line) = Line::parse(bytes, str::from_utf8(line.ok()?).ok()?).ok()?;
        headers.insert(line.name, line.value);
    }
    headers.get_named::<Vec<Via>>().ok()?;
    let from: FromTo = headers.get(Name::FROM).ok()?;
    let _to: FromTo = headers.get(Name::TO).ok()?;
    let call_id: CallID = headers.get_named().ok()?;
    let cseq: CSeq = headers.get_named().ok()?;
    let contacts: Vec<Contact> = headers.get_named().ok()?;
    Some((call_id.0.len(), from.tag?.len(), cseq.cseq, contacts.len()))
}

fn read(criterion: &mut Criterion) {
    let mut index = Index::new();
    let bytes = Bytes::from_static(PLAIN);
    // Both must do the same work, or the comparison means nothing.
    let (here, there) = (ours(PLAIN, &mut index), theirs(&bytes));
    assert!(here.is_some() && here == there, "{here:?} {there:?}");

    let mut group = criterion.benchmark_group("sip_register_read");
    group.throughput(Throughput::Bytes(PLAIN.len() as u64));
    group.bench_function("callboard", |bencher| bencher.iter(|| ours(black_box(PLAIN), &mut index)));
    group.bench_function("ezk", |bencher| bencher.iter(|| theirs(black_box(&bytes))));
    group.finish();
}

criterion_group!(benches, answer, read);
criterion_main!(benches);
